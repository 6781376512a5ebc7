//go:build linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// subject is a code with a short entry.
type subject struct {
	name string
	code []byte
	req  host.Request // without code
}

// subjects are a tiny module, a contract of 232 kB and a Go module of 3.4 MB. The contract is of a public Go module: without
// it, the error says how to get it.
func (r *rig) subjects() (tiny, contract, reactor subject, missing error) {
	tiny = subject{name: "tiny", code: r.guest("small-call"), req: smallCall(nil)}
	tiny.req.CodeHash = ""
	reactor = subject{fmt.Sprintf("%.1f MB Go", float64(len(r.reactor))/1e6), r.reactor, host.Request{Entry: invoke("work", "1")}}
	contract = subject{name: "232 kB", req: host.Request{Entry: invoke("interface_version_8"), Imports: run.TrapMissing}}
	contract.code, missing = module("github.com/CosmWasm/wasmvm/v3@v3.0.7", "testdata/hackatom.wasm")
	return tiny, contract, reactor, missing
}

// module reads a file of a public Go module that is on this machine; nothing is downloaded.
func module(from, file string) ([]byte, error) {
	cmd := exec.Command("go", "mod", "download", "-json", from)
	cmd.Env = append(cmd.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s is not on this machine: get it with 'make real'", from)
	}
	_, rest, _ := strings.Cut(string(out), `"Dir": "`)
	dir, _, _ := strings.Cut(rest, `"`)
	return read(filepath.Join(dir, file))
}

// copies is how many copies of a code are prepared to be started; a large one takes seconds each.
func (r *rig) copies(s subject) int {
	if len(s.code) > 1<<20 {
		return r.times(5)
	}
	return r.times(20)
}

// settle waits until a spare worker is there.
func (r *rig) settle(h *host.Host) error {
	for begin := time.Now(); ; <-time.After(time.Millisecond) {
		s, err := h.Inspect(r.ctx)
		if err != nil {
			return err
		}
		for _, w := range s.Workers {
			if w.State == "spare" {
				return nil
			}
		}
		if time.Since(begin) > 10*time.Second {
			return errors.New("no spare worker is there")
		}
	}
}

// first is the first result of a code that the host has, in a worker that has not held it.
func (r *rig) first(h *host.Host, s subject, code []byte) (time.Duration, error) {
	q := s.req
	q.Code = code
	begin := time.Now()
	got, err := r.execute(h, q)
	took := time.Since(begin)
	if err == nil && got.Cache != "hit" {
		err = fmt.Errorf("the artifact was not there")
	}
	return took, err
}

// starts is a first result of cached code: in an idle worker, after a restart, in a new process.
func (r *rig) starts() (rows []report.Row) {
	tiny, contract, reactor, missing := r.subjects()
	row := func(what string, s subject, goal time.Duration, measure func(subject) (report.Samples, error)) {
		what += ", " + s.name
		if s.code == nil {
			rows = append(rows, report.LeftOut(what, missing))
			return
		}
		took, err := measure(s)
		if err != nil {
			rows = append(rows, report.Failed(what, err))
			return
		}
		rows = append(rows, report.AtMost(what, float64(goal.Microseconds()), took.At(0.5), report.Micros))
	}
	const idle = "cached start in an idle worker"
	inIdle := func(s subject) (report.Samples, error) { return r.cached(s, r.copies(s), 1) }
	row(idle, tiny, time.Millisecond, inIdle)
	row(idle, reactor, 10*time.Millisecond, inIdle)
	restart := func(s subject) (report.Samples, error) { return r.restarted(s, r.times(8)) }
	row("first after a host restart", contract, 1500*time.Microsecond, restart)
	row("first after a host restart", reactor, 60*time.Millisecond, restart)
	fresh := func(s subject) (report.Samples, error) { return r.cached(s, r.copies(s), host.NoLimit) }
	row("cached start in a new process", tiny, 15*time.Millisecond, fresh)
	row("cached start in a new process", reactor, 15*time.Millisecond, fresh)
	return rows
}

// cached has copies of a code prepared, and times the first result of each. Their artifacts are in memory.
func (r *rig) cached(s subject, n, spare int) (all report.Samples, err error) {
	h, err := r.start(host.Config{ExecuteWorkers: n + 2, SpareWorkers: spare})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	codes := make([][]byte, n)
	for i := range codes {
		codes[i] = r.variant(s.code)
		q := host.CodeRequest{Code: codes[i], Imports: s.req.Imports}
		if j, err := h.Precheck(r.ctx, q); err != nil {
			return nil, err
		} else if j.Verdict != "ok" {
			return nil, errors.New(j.Message)
		}
	}
	for _, code := range codes {
		if spare > 0 {
			if err := r.settle(h); err != nil {
				return nil, err
			}
		}
		took, err := r.first(h, s, code)
		if err != nil {
			return nil, err
		}
		all = append(all, took)
	}
	return all, nil
}

// restarted times the first result of a code that is on disk only. Another code has run before, so that what is timed is the
// code's own path and not the start of the host.
func (r *rig) restarted(s subject, n int) (all report.Samples, err error) {
	cfg := host.Config{DataDir: r.newDir(), SpareWorkers: 1}
	other := r.guest("hash-puzzle")
	for i := range n + 1 {
		h, err := r.start(cfg)
		if err != nil {
			return nil, err
		}
		_, err = r.execute(h, host.Request{Code: other, Entry: invoke("run", "0", "0")})
		if err == nil {
			err = r.settle(h)
		}
		var took time.Duration
		if i == 0 && err == nil {
			q := s.req
			q.Code = s.code
			_, err = r.execute(h, q)
		} else if err == nil {
			took, err = r.first(h, s, s.code)
			all = append(all, took)
		}
		if e := h.Close(); err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
