package host_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// answersWhile asks another app again and again, and returns how often it answered until stop.
func answersWhile(t testing.TB, h *host.Host, address string) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if r, err := h.Query(t.Context(), host.AppQuery{Address: address, Path: "echo", Payload: []byte("hello")}); err != nil || string(r.Output) != "hello" {
				t.Errorf("meanwhile another app answers %q, %v", r.Output, err)
				break
			}
		}
		answered <- n
	}()
	return func() int { cancel(); return <-answered }
}

// rests waits until no worker is busy with a guest, and returns when that was seen.
func rests(t testing.TB, h *host.Host) time.Time {
	t.Helper()
	waitFor(t, "workers at rest", func() bool { return len(busyWorkers(t, h)) == 0 })
	return time.Now()
}

// persist asks an app with little time for queries until it answers: a busy machine is slow to begin.
func persist(t testing.TB, h *host.Host, address, path string) (got string) {
	t.Helper()
	waitFor(t, "an answer", func() bool {
		var err error
		got, err = query(t, h, address, path, "")
		return err == nil
	})
	return got
}

// endlessApps has guests of apps compute without end, and says how long they could after their limit, or after they were to end.
func endlessApps(t *testing.T) map[string]time.Duration {
	t.Helper()
	h := appsHost(t, host.Config{ExecuteWorkers: 6})
	const limit = 600 * time.Millisecond
	small := deploy(t, h, appOf(t, h, "c-handler", nil))
	ask(t, h, small.Address, "echo", "hello")
	spins := func(label string, change func(*manifest.Manifest)) string {
		return deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
			m.Label, m.Terms.QueryTimeout = label, limit/2
			change(m)
		})).Address
	}
	begun := func(address string) {
		becomes(t, h, address, "busy", func(a inspect.App) bool { return a.Active > 0 && len(busyWorkers(t, h)) > 0 })
	}
	over := map[string]time.Duration{}

	// Its caller has left, and it is ended by its limit.
	fresh := spins("fresh", func(m *manifest.Manifest) { m.Terms.Reuse, m.Terms.Limits.Wall = manifest.Reset, limit })
	persist(t, h, fresh, "x") // what is timed is not the preparation
	before := becomes(t, h, fresh, "idle", func(a inspect.App) bool { return a.Active == 0 }).Metrics
	rests(t, h)
	count := answersWhile(t, h, small.Address)
	begin := time.Now()
	_, err := query(t, h, fresh, "spin", "")
	isFault(t, err, fault.GuestNoReply)
	over["reply"] = time.Since(begin) - limit/2
	becomes(t, h, fresh, "idle", func(a inspect.App) bool { return a.Active == 0 })
	over["limit"] = time.Since(begin) - limit
	if n := count(); n == 0 {
		t.Error("no other app answered meanwhile")
	}
	rests(t, h)
	if a, err := h.App(t.Context(), fresh); err != nil || a.Metrics.Starts != before.Starts+1 || a.Metrics.RunningTimeMS < before.RunningTimeMS+uint64(limit/2/time.Millisecond) {
		t.Errorf("it is metered as %+v, %v", a.Metrics, err)
	}

	// It is stopped, with a caller and without.
	long := func(m *manifest.Manifest) {
		m.Terms.Limits.Wall, m.Terms.Limits.CPU, m.Terms.QueryTimeout = time.Minute, time.Minute, time.Minute
	}
	for name, change := range map[string]func(*manifest.Manifest){
		"stop fresh": func(m *manifest.Manifest) { long(m); m.Terms.Reuse = manifest.Reset },
		"stop kept":  long,
	} {
		a := spins(name, change)
		var asked sync.WaitGroup
		asked.Go(func() {
			_, err := query(t, h, a, "spin", "")
			if err == nil || fault.CodeOf(err) == fault.GuestNoReply {
				t.Errorf("%s: the caller heard %v", name, err)
			}
		})
		begun(a)
		begin := time.Now()
		if s, err := h.StopApp(t.Context(), a); err != nil || s.Running != 0 || s.Active != 0 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		over[name] = time.Since(begin)
		asked.Wait()
		rests(t, h)
	}

	// All are removed, while two compute and another host call is under way.
	var asked sync.WaitGroup
	for name, change := range map[string]func(*manifest.Manifest){
		"fresh one": func(m *manifest.Manifest) { long(m); m.Terms.Reuse = manifest.Process },
		"kept one":  long,
	} {
		a := spins(name, change)
		asked.Go(func() {
			if _, err := query(t, h, a, "spin", ""); err == nil {
				t.Error("it answered")
			}
		})
		begun(a)
	}
	waitFor(t, "both", func() bool { return len(busyWorkers(t, h)) == 2 })
	begin = time.Now()
	if n, err := h.RemoveAllApps(t.Context()); err != nil || n != 6 {
		t.Errorf("%d were removed, %v", n, err)
	}
	over["remove all"] = rests(t, h).Sub(begin)
	asked.Wait()
	if s, err := h.Session(t.Context()); err != nil || s.Apps != 0 || s.SlotsUsed != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	return over
}

// TestW16W17EndlessApps ends guests that compute without end by their limits, by a stop and by a removal, while others answer. The
// lines are held by the timed test.
func TestW16W17EndlessApps(t *testing.T) {
	for what, took := range endlessApps(t) {
		if took > 5*time.Second || took < -50*time.Millisecond {
			t.Errorf("%s: %v", what, took)
		}
	}
}

func TestW18QuerySize(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	a := deploy(t, h, appOf(t, h, "c-handler", func(m *manifest.Manifest) { m.MaxQueryBytes = 1000 }))
	payload := strings.Repeat("x", 1000-len("echo"))
	if got := ask(t, h, a.Address, "echo", payload); got != payload {
		t.Errorf("%d bytes came back", len(got))
	}
	_, err := query(t, h, a.Address, "echo", payload+"x")
	isFault(t, err, fault.CallerParamsTooBig)
	if a, err := h.App(t.Context(), a.Address); err != nil || a.Active != 0 || a.Metrics.Starts != 1 {
		t.Errorf("the refusal left %+v, %v", a, err)
	}
}

// TestW19ASilentGuest answers some queries never, more than may be under way at a time, and all others.
func TestW19ASilentGuest(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	const limit = 200 * time.Millisecond
	a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { m.Terms.QueryTimeout = limit }))
	before, err := strconv.Atoi(persist(t, h, a.Address, "count"))
	if err != nil {
		t.Fatal(err)
	}
	id := instanceOf(t, h, a.Address)
	var all sync.WaitGroup
	for range 5 {
		for range 20 {
			all.Go(func() {
				begin := time.Now()
				_, err := query(t, h, a.Address, "silent", "")
				isFault(t, err, fault.GuestNoReply)
				if took := time.Since(begin); took < limit || took > limit+5*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
		all.Wait()
	}
	if got, err := strconv.Atoi(persist(t, h, a.Address, "count")); err != nil || got < before+2 {
		t.Errorf("it had counted %d, and then %d", before, got) // those that it was slow to take were taken back
	}
	becomes(t, h, a.Address, "quiet", func(a inspect.App) bool { return a.Active == 0 && a.Queued == 0 })
	if now := instanceOf(t, h, a.Address); now != id {
		t.Errorf("the instance was %d, and is %d", id, now)
	}
}

// TestW19ASpinningGuest is ended when a query has waited for its time, and the next query has another instance.
func TestW19ASpinningGuest(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	for _, onDemand := range []bool{true, false} {
		a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
			m.OnDemand, m.Terms.QueryTimeout, m.Terms.Restart.MinRun = onDemand, time.Second, time.Millisecond
		}))
		before, err := strconv.Atoi(persist(t, h, a.Address, "count"))
		if err != nil {
			t.Fatal(err)
		}
		id := instanceOf(t, h, a.Address)
		// A caller who leaves ends nothing.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = h.Query(ctx, host.AppQuery{Address: a.Address, Path: "silent"})
		cancel()
		isFault(t, err, fault.CanceledDeadline)
		if got := ask(t, h, a.Address, "count", ""); got != strconv.Itoa(before+2) {
			t.Errorf("it has counted %s", got)
		}
		_, err = query(t, h, a.Address, "spin", "")
		isFault(t, err, fault.GuestNoReply)
		b := becomes(t, h, a.Address, "another instance", func(a inspect.App) bool {
			return onDemand && a.Running == 0 || len(a.Instances) == 1 && a.Instances[0].ID != id && a.Instances[0].State == "running"
		})
		if !strings.Contains(b.LastEnd, string(fault.GuestNoReply)) {
			t.Errorf("it ended since %q", b.LastEnd)
		}
		if got := ask(t, h, a.Address, "count", ""); got != "1" {
			t.Errorf("the next instance has counted %s", got)
		}
		if b, err := h.App(t.Context(), a.Address); err != nil || b.Metrics.Starts != 2 || b.Metrics.Gas < 1000 {
			t.Errorf("it is metered as %+v, %v", b.Metrics, err)
		}
	}
}

// TestRefusedRequestsAreOver has more requests refused than may be under way.
func TestRefusedRequestsAreOver(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{Apps: host.AppConfig{Requests: 20}})
	a := deploy(t, h, appOf(t, h, "c-service", lives))
	if _, err := h.StopApp(t.Context(), a.Address); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_, err := query(t, h, a.Address, "x", "")
		isFault(t, err, fault.CallerAppState)
	}
	none := strings.Repeat("ab", 32)
	for range 100 {
		_, err := query(t, h, none, "x", "")
		isFault(t, err, fault.CallerNotFound)
	}
	if _, err := h.StartApp(t.Context(), a.Address); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, h, a.Address, "count", ""); got != "1" {
		t.Errorf("it answers %s", got)
	}
}

func TestW20BackPressure(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	for reuse, places := range map[manifest.Reuse]int{manifest.Keep: 1, manifest.Reset: 64} { // that are served at a time
		t.Run(fmt.Sprint(reuse), func(t *testing.T) {
			a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
				m.Terms.QueryTimeout, m.Terms.Reuse = time.Minute, reuse
				m.Terms.Limits.Wall, m.Terms.Limits.CPU = time.Minute, time.Minute
			}))
			ask(t, h, a.Address, "x", "")
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for n := range places + 20 {
				all.Go(func() {
					path := "x"
					if n < places {
						path = "spin"
					}
					_, err := h.Query(ctx, host.AppQuery{Address: a.Address, Path: path})
					isFault(t, err, fault.CanceledCaller)
				})
				becomes(t, h, a.Address, "busier", func(a inspect.App) bool { return a.Active+a.Queued == n+1 })
				if n == 0 && reuse == manifest.Keep { // the guest has it, and takes no other
					waitFor(t, "a busy worker", func() bool { return len(busyWorkers(t, h)) == 1 })
				}
			}
			begin := time.Now()
			_, err := query(t, h, a.Address, "x", "")
			isFault(t, err, fault.BusyApp)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the refusal took %v", took)
			}
			cancel()
			all.Wait() // each has heard what became of it
			if _, err := h.StopApp(t.Context(), a.Address); err != nil {
				t.Error(err)
			}
			if got := ask(t, h, a.Address, "count", ""); got != "1" {
				t.Errorf("it answers %s", got)
			}
		})
	}
}
