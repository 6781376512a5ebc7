//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// memory is the proportional share of memory of workers, actors and an idle host.
func (r *rig) memory() (rows []report.Row) {
	mega := func(what string, goal float64, measure func() (float64, error)) {
		got, err := measure()
		if err != nil {
			rows = append(rows, report.Failed(what, err))
			return
		}
		rows = append(rows, report.AtMost(what, goal*1e6, got, report.Mega))
	}
	tiny, _, reactor, _ := r.subjects()
	for _, s := range []subject{tiny, reactor} {
		mega("PSS, further warm worker of the same app, "+s.name, 12, func() (float64, error) { return r.further(s) })
	}
	mega(fmt.Sprintf("PSS, %d idle confined workers, an app each", r.idlers()), 400, func() (float64, error) { return r.idle() })
	mega(fmt.Sprintf("PSS, %d idle confined workers, blank", r.idlers()), 400, r.blank)
	mega("PSS, 10,000 idle actors", 100, r.actors)
	var pool float64
	var workers int
	mega("PSS, idle host process (published: workerd 67 MB, Bacalhau 74 MB)", 40, func() (own float64, err error) { own, pool, workers, err = r.idleHost(); return own, err })
	return append(rows, report.Row{What: fmt.Sprintf("PSS, the pool of an idle host, %d processes", workers), Measured: report.Mega(pool)})
}

// workers is what the execute workers of this process take together that are not blank, and how many there are.
func (r *rig) workers(h *host.Host) (total float64, n int, err error) {
	s, err := h.Inspect(r.ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, w := range s.Workers {
		if w.Kind != "execute" || w.State == "spare" {
			continue
		}
		pss, err := report.PSS(w.PID)
		if err != nil {
			return 0, 0, err
		}
		total, n = total+pss, n+1
	}
	return total, n, nil
}

// further is what a worker takes beside one of the same app. Long runs at one time make the host start more of them.
func (r *rig) further(s subject) (float64, error) {
	const most = 4
	h, err := r.start(host.Config{ExecuteWorkers: most})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	q := s.req
	q.Code = s.code
	if _, err := r.execute(h, q); err != nil {
		return 0, err
	}
	one, _, err := r.workers(h)
	if err != nil {
		return 0, err
	}
	for begin := time.Now(); ; {
		var group sync.WaitGroup
		errs := make([]error, 16*most)
		for i := range errs {
			group.Go(func() { _, errs[i] = r.execute(h, q) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return 0, err
		}
		all, n, err := r.workers(h)
		if err != nil {
			return 0, err
		}
		if n >= most || n > 1 && time.Since(begin) > 2*time.Second {
			return (all - one) / float64(n-1), nil
		}
		if time.Since(begin) > 4*time.Second {
			return 0, fmt.Errorf("the host started no second worker")
		}
	}
}

func (r *rig) idlers() int {
	if r.least {
		return 8
	}
	return 200
}

// idle is what many workers take, each with an app of its own that has run once.
func (r *rig) idle() (float64, error) {
	n := r.idlers()
	h, err := r.start(host.Config{ExecuteWorkers: n, WorkerIdle: time.Hour})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	if err := r.apps(h, n); err != nil {
		return 0, err
	}
	total, live, err := r.workers(h)
	if err == nil && live < n {
		err = fmt.Errorf("only %d of %d workers are there", live, n)
	}
	return total, err
}

// blank is what many spare workers take.
func (r *rig) blank() (float64, error) {
	n := r.idlers()
	h, err := r.start(host.Config{ExecuteWorkers: n, SpareWorkers: n})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	for begin := time.Now(); ; <-time.After(10 * time.Millisecond) {
		s, err := h.Inspect(r.ctx)
		if err != nil {
			return 0, err
		}
		var total float64
		there := 0
		for _, w := range s.Workers {
			if w.State != "spare" {
				continue
			}
			pss, err := report.PSS(w.PID)
			if err != nil {
				return 0, err
			}
			there, total = there+1, total+pss
		}
		switch {
		case there >= n:
			return total, nil
		case time.Since(begin) > time.Minute:
			return 0, fmt.Errorf("only %d of %d workers are there", there, n)
		}
	}
}

// apps runs variants of the small call once each.
func (r *rig) apps(h *host.Host, n int) error {
	for range n {
		q := smallCall(nil)
		q.Code, q.CodeHash = r.variant(r.guest("small-call")), ""
		if err := r.small(h, q); err != nil {
			return err
		}
	}
	return nil
}

// actors is how much more a process takes with 10,000 idle actors, each of which has handled a message.
func (r *rig) actors() (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := exec.Command(self, "-child", "actors").Output()
	if err != nil {
		return 0, err
	}
	var grown float64
	_, err = fmt.Sscan(string(out), &grown)
	return grown, err
}

// actorsChild is the process of actors.
func actorsChild() int {
	const actors = 10_000
	err := func() error {
		s, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
		if err != nil {
			return err
		}
		defer s.Stop(context.Background())
		debug.FreeOSMemory()
		before, err := report.PSS(os.Getpid())
		if err != nil {
			return err
		}
		var handled sync.WaitGroup
		handled.Add(actors)
		for i := range actors {
			a, err := kernel.Spawn(s, kernel.Options[int]{Name: fmt.Sprint(i), New: func(*kernel.Ctx[int]) kernel.Handler[int] {
				return kernel.HandlerFunc[int](func(*kernel.Ctx[int], int) { handled.Done() })
			}})
			if err != nil {
				return err
			}
			if err := a.Send(1); err != nil {
				return err
			}
		}
		handled.Wait()
		debug.FreeOSMemory()
		after, err := report.PSS(os.Getpid())
		fmt.Fprintln(os.Stdout, after-before)
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// idleHost is what 'troupe serve' takes on a new directory, and its workers apart.
func (r *rig) idleHost() (own, pool float64, workers int, err error) {
	cmd := exec.Command(filepath.Join(r.bin, "troupe"), "serve", "--quiet", "--data-dir", r.newDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if e := cmd.Wait(); err == nil {
			err = e
		}
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		return 0, 0, 0, fmt.Errorf("serve said %q: %w", line, err)
	}
	if !r.least {
		<-time.After(5 * time.Second) // what the start left behind is given back, and spare workers are there
	}
	if own, err = report.PSS(cmd.Process.Pid); err != nil {
		return 0, 0, 0, err
	}
	for _, pid := range report.Below(cmd.Process.Pid) {
		pss, err := report.PSS(pid)
		if err != nil {
			return 0, 0, 0, err
		}
		pool, workers = pool+pss, workers+1
	}
	return own, pool, workers, nil
}
