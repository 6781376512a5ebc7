//go:build chaos || timed

package host_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// sample is one request of an open loop.
type sample struct {
	tenant   string
	priority run.Priority
	late     time.Duration // from when it was to start until its answer
	call     time.Duration // from the call to its answer
	refused  bool
	done     time.Duration // since the begin of the loop
}

// quantile of what is chosen, 0 if that is nothing.
func quantile(all []sample, q float64, of func(sample) (time.Duration, bool)) time.Duration {
	var d []time.Duration
	for _, s := range all {
		if v, ok := of(s); ok {
			d = append(d, v)
		}
	}
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

// storm runs n pairs on a host, a healthy run and a neighbour's, at a constant rate, or as fast as width callers can if it
// is 0. It returns what the healthy runs took. A neighbour that is deadly makes its worker be killed each time.
func storm(t *testing.T, h *host.Host, n, width int, rate float64, deadly bool) []sample {
	t.Helper()
	code, loop := guest(t, "hash-puzzle"), guest(t, "loop")
	var mu sync.Mutex
	var all []sample
	healthy := func(intended time.Duration, begin time.Time) {
		r := execute(t, h, host.Request{Code: code, Tenant: "healthy", Entry: invoke("run", "1", "3")})
		if r.Verdict != "ok" || string(r.Result) != "2823" {
			t.Errorf("a healthy run: %s %q", r.Fault, r.Result)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, sample{late: time.Since(begin) - intended})
	}
	neighbour := func() {
		if !deadly {
			execute(t, h, host.Request{Code: code, Tenant: "neighbour", Entry: invoke("run", "1", "3")})
			return
		}
		r := execute(t, h, host.Request{Code: loop, Tenant: "neighbour", Entry: invoke("run"), Limits: run.Limits{CPU: time.Millisecond, Wall: time.Minute}})
		if r.Fault != string(fault.GuestCPULimit) {
			t.Errorf("a deadly run: %s %q", r.Fault, r.Message)
		}
	}
	begin := time.Now()
	var calls sync.WaitGroup
	if rate == 0 {
		var next atomic.Int64
		for range width {
			calls.Go(func() {
				for k := next.Add(1); k <= int64(n); k = next.Add(1) {
					var one sync.WaitGroup
					one.Go(neighbour)
					healthy(time.Since(begin), begin)
					one.Wait()
				}
			})
		}
		calls.Wait()
		return all
	}
	for k := range n {
		intended := time.Duration(float64(k) / rate * float64(time.Second))
		if wait := intended - time.Since(begin); wait > 0 {
			<-time.After(wait)
		}
		calls.Go(neighbour)
		calls.Go(func() { healthy(intended, begin) })
	}
	calls.Wait()
	return all
}

// spawned returns how many execute workers a host has started, by the number of one that it starts for this, and how many
// it has.
func spawned(t *testing.T, h *host.Host, asker string) (most, now int) {
	t.Helper()
	execute(t, h, host.Request{Code: guest(t, "hash-puzzle"), Tenant: asker, Entry: invoke("run", "0", "1")})
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Workers {
		if id, ok := strings.CutPrefix(w.ID, "execute-"); ok {
			n, err := strconv.Atoi(id)
			if err != nil {
				t.Fatal(err)
			}
			most, now = max(most, n), now+1
		}
	}
	return most, now
}

// murder kills the workers of a tenant as soon as they have a run, until it is told to stop.
func murder(t *testing.T, h *host.Host, tenant string) (stop func() int) {
	quit, done, killed := make(chan struct{}), make(chan struct{}), map[string]bool{}
	go func() {
		defer close(done)
		for {
			s, err := h.Inspect(t.Context())
			if err != nil {
				return
			}
			for _, w := range s.Workers {
				if w.Kind == "execute" && w.Tenant == tenant && w.State == "busy" && killOwn(w) {
					killed[w.ID] = true
				}
			}
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() int { close(quit); <-done; return len(killed) }
}

// killOwn kills a worker if it is a child of this process.
func killOwn(w inspect.Worker) bool {
	fd, err := unix.PidfdOpen(w.PID, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.PID))
	_, rest, _ := bytes.Cut(b, []byte(") "))
	f := strings.Fields(string(rest))
	return err == nil && len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}
