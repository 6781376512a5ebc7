//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// growth is how cost grows with payload, artifacts, workers and callers. There are no goals.
func (r *rig) growth() []report.Section {
	section := func(name string, head []string, fill func(add func(cells ...string)) error) report.Section {
		s := report.Section{Name: name, Cells: [][]string{head}}
		if err := fill(func(cells ...string) { s.Cells = append(s.Cells, cells) }); err != nil {
			s.Cells, s.Failed = append(s.Cells, []string{"not measured: " + err.Error()}), true
		}
		return s
	}
	return []report.Section{
		section("Growth with the payload: bytes in and out of one caller", []string{"payload", "p50", "p99", "bytes in a second, both ways"}, r.payloads),
		section("Growth with callers of one small call", []string{"callers", "in a second", "p50", "p99"}, r.callers),
		section("Growth with cached artifacts", []string{"artifacts", "warm p50", "first result of one p50", "host PSS"}, r.artifacts),
		section("Growth with live workers, an app each, called by turns", []string{"workers", "warm p50", "p99", "PSS of all workers"}, r.live),
	}
}

func (r *rig) payloads(add func(...string)) error {
	h, err := r.start(host.Config{})
	if err != nil {
		return err
	}
	defer h.Close()
	code := r.guest("echo")
	if err := r.prepared(h, code); err != nil {
		return err
	}
	for _, n := range []int{100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000} {
		q := host.Request{CodeHash: artifacts.HashCode(code).String(), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: make([]byte, n)}
		q.Input[n-1] = byte(n/100 + 1)
		call := func(int) error {
			got, err := r.execute(h, q)
			if err == nil && (len(got.Result) != n || got.Result[n-1] != q.Input[n-1]) {
				err = fmt.Errorf("%d bytes came back of %d", len(got.Result), n)
			}
			return err
		}
		if err := call(0); err != nil {
			return err
		}
		all, rate, err := r.many(1, call)
		if err != nil {
			return err
		}
		add(fmt.Sprintf("%.1f KB", float64(n)/1e3), report.Micros(all.At(0.5)), report.Micros(all.At(0.99)), report.Mega(2*float64(n)*rate))
	}
	return nil
}

func (r *rig) callers(add func(...string)) error {
	h, err := r.start(host.Config{ExecuteQueue: 1 << 16})
	if err != nil {
		return err
	}
	defer h.Close()
	code := r.guest("small-call")
	if err := r.prepared(h, code); err != nil {
		return err
	}
	q := smallCall(code)
	for n := 1; n <= 256; n *= 2 {
		all, rate, err := r.many(n, func(int) error { return r.small(h, q) })
		if err != nil {
			return err
		}
		add(fmt.Sprint(n), report.Rate(rate), report.Micros(all.At(0.5)), report.Micros(all.At(0.99)))
	}
	return nil
}

func (r *rig) artifacts(add func(...string)) error {
	h, err := r.start(host.Config{ExecuteWorkers: 8, PrepareWorkers: 2})
	if err != nil {
		return err
	}
	defer h.Close()
	code := r.guest("small-call")
	var codes [][]byte
	most := 10_000
	if r.least {
		most = 10
	}
	for n := 1; n <= most; n *= 10 {
		grown := make([][]byte, n-len(codes))
		for i := range grown {
			grown[i] = r.variant(code)
		}
		var next atomic.Int64
		var group sync.WaitGroup
		errs := make([]error, 2)
		for g := range errs {
			group.Go(func() {
				for i := next.Add(1) - 1; int(i) < len(grown) && errs[g] == nil; i = next.Add(1) - 1 {
					errs[g] = r.prepared(h, grown[i])
				}
			})
		}
		group.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		codes = append(codes, grown...)
		q := smallCall(codes[0])
		if err := r.small(h, q); err != nil {
			return err
		}
		warm, _, err := r.many(1, func(int) error { return r.small(h, q) })
		if err != nil {
			return err
		}
		var first report.Samples
		for range r.times(20) {
			q := smallCall(codes[rand.IntN(len(codes))])
			begin := time.Now()
			if err := r.small(h, q); err != nil {
				return err
			}
			first = append(first, time.Since(begin))
		}
		pss, err := report.PSS(os.Getpid())
		if err != nil {
			return err
		}
		add(fmt.Sprint(n), report.Micros(warm.At(0.5)), report.Micros(first.At(0.5)), report.Mega(pss))
	}
	return nil
}

func (r *rig) live(add func(...string)) error {
	steps := []int{1, 10, 50, 100, 200}
	if r.least {
		steps = []int{1, 4}
	}
	most := steps[len(steps)-1]
	h, err := r.start(host.Config{ExecuteWorkers: most, WorkerIdle: time.Hour})
	if err != nil {
		return err
	}
	defer h.Close()
	var apps []host.Request
	for _, n := range steps {
		for len(apps) < n {
			code := r.variant(r.guest("small-call"))
			if err := r.prepared(h, code); err != nil {
				return err
			}
			apps = append(apps, smallCall(code))
			if err := r.small(h, apps[len(apps)-1]); err != nil {
				return err
			}
		}
		at := 0
		all, _, err := r.many(1, func(int) error { at++; return r.small(h, apps[at%n]) })
		if err != nil {
			return err
		}
		pss, workers, err := r.workers(h)
		if err != nil {
			return err
		}
		add(fmt.Sprint(workers), report.Micros(all.At(0.5)), report.Micros(all.At(0.99)), report.Mega(pss))
	}
	return nil
}
