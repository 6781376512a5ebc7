package host_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// busyWorkers are the processes that run guests.
func busyWorkers(t testing.TB, h *host.Host) (pids []int) {
	t.Helper()
	in, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range in.Workers {
		if w.Kind == "execute" && w.State == "busy" {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

// instanceOf is the only instance of an app.
func instanceOf(t testing.TB, h *host.Host, address string) uint64 {
	t.Helper()
	a := becomes(t, h, address, "running", runs(1))
	return a.Instances[0].ID
}

func TestW10LongRunning(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	a := deploy(t, h, appOf(t, h, "c-service", lives))
	if a.Running != 1 || a.Wanted != 1 {
		t.Errorf("after the deployment %d of %d run", a.Running, a.Wanted)
	}
	becomes(t, h, a.Address, "running", runs(1))
	ask(t, h, a.Address, "count", "")
	if a, err := h.StopApp(t.Context(), a.Address); err != nil || a.Running != 0 || a.State != "stopped" || len(a.Instances) != 0 {
		t.Errorf("stopped it is %+v, %v", a, err)
	}
	if pids := busyWorkers(t, h); len(pids) != 0 {
		t.Errorf("workers %v are busy with a stopped app", pids)
	}
	_, err := query(t, h, a.Address, "count", "")
	isFault(t, err, fault.CallerAppState)
	if a, err := h.StartApp(t.Context(), a.Address); err != nil || a.Running != 1 {
		t.Errorf("started it is %+v, %v", a, err)
	}
	if got := ask(t, h, a.Address, "count", ""); got != "1" {
		t.Errorf("the new instance has counted %s", got)
	}
	if a, _ := h.App(t.Context(), a.Address); a.Metrics.Starts != 2 {
		t.Errorf("%d starts", a.Metrics.Starts)
	}
}

func TestW11OnDemand(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { m.Terms.IdleTimeout = 200 * time.Millisecond }))
	if a.Running != 0 || a.State != "idle" {
		t.Errorf("deployed, %d run, and it is %s", a.Running, a.State)
	}
	_, err := h.StartApp(t.Context(), a.Address)
	isFault(t, err, fault.CallerAppState)
	_, err = h.ResizeApp(t.Context(), a.Address, 1)
	isFault(t, err, fault.CallerAppState)
	for range 2 {
		if got := ask(t, h, a.Address, "count", ""); got != "1" {
			t.Errorf("the instance has counted %s", got)
		}
		b := becomes(t, h, a.Address, "idle", func(a inspect.App) bool { return a.State == "idle" && a.Running == 0 && len(a.Instances) == 0 })
		if !strings.Contains(b.LastEnd, "idle") {
			t.Errorf("it ended since %q", b.LastEnd)
		}
	}
	if pids := busyWorkers(t, h); len(pids) != 0 {
		t.Errorf("workers %v are busy with an idle app", pids)
	}
}

func TestW12AnInstanceForEachQuery(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{ExecuteWorkers: 4})
	a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
		m.Terms.Reuse, m.Terms.QueryTimeout = manifest.Reset, time.Second
	}))
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			_, err := query(t, h, a.Address, "spin", "")
			isFault(t, err, fault.GuestNoReply)
		})
	}
	becomes(t, h, a.Address, "busy with both", func(a inspect.App) bool { return a.Active == 2 && len(busyWorkers(t, h)) == 2 })
	both.Wait()
	becomes(t, h, a.Address, "idle", func(a inspect.App) bool {
		return a.Active == 0 && a.State == "idle" && a.Metrics.Starts == 2 && len(busyWorkers(t, h)) == 0
	})
	if got := ask(t, h, a.Address, "count", ""); got != "1" {
		t.Errorf("a fresh instance has counted %s", got)
	}
}

func TestW13TheBenchmarkYields(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{Apps: host.AppConfig{Slots: 2}})
	paid := deploy(t, h, appOf(t, h, "c-service", lives))
	before := instanceOf(t, h, paid.Address)
	bench, err := h.Deploy(t.Context(), host.DeployRequest{Bench: true, Manifest: appOf(t, h, "c-service", func(m *manifest.Manifest) {
		lives(m)
		m.Label, m.Resizable = "benchmark", true
	}).Encode()})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := h.SetBench(t.Context(), bench.Address, 2); err != nil || s.Bench != bench.Address {
		t.Fatal(s, err)
	}
	old := becomes(t, h, bench.Address, "running in what is left", runs(1)).Instances[0].ID
	other := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { m.Label, m.Terms.IdleTimeout = "on demand", 300*time.Millisecond }))
	if got := ask(t, h, other.Address, "x", "hello"); got != "hello" {
		t.Errorf("it answers %q", got)
	}
	if b, err := h.App(t.Context(), bench.Address); err != nil || b.Running != 0 || !strings.Contains(b.LastEnd, "made room") {
		t.Errorf("the benchmark has %d instances, and %q, %v", b.Running, b.LastEnd, err)
	}
	if now := instanceOf(t, h, paid.Address); now != before {
		t.Errorf("the paid app was instance %d, and is %d", before, now)
	}
	// When nobody wants the slot any more, it is the benchmark's again.
	if now := becomes(t, h, bench.Address, "running again", runs(1)).Instances[0].ID; now == old {
		t.Error("the benchmark was never ended")
	}
}

func TestW14Resize(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{Apps: host.AppConfig{Slots: 4}})
	a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { lives(m); m.Resizable = true }))
	for _, c := range []struct{ want, have uint32 }{{3, 3}, {9, 4}, {1, 1}} {
		if a, err := h.ResizeApp(t.Context(), a.Address, c.want); err != nil || a.Running != c.have || a.Wanted != c.want {
			t.Errorf("resized to %d: %d of %d, %v", c.want, a.Running, a.Wanted, err)
		}
		becomes(t, h, a.Address, "as large", runs(int(c.have)))
	}
	fixed := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { lives(m); m.Label = "fixed" }))
	id := instanceOf(t, h, fixed.Address)
	_, err := h.ResizeApp(t.Context(), fixed.Address, 2)
	isFault(t, err, fault.CallerAppState)
	if b, err := h.App(t.Context(), fixed.Address); err != nil || b.Wanted != 1 || instanceOf(t, h, fixed.Address) != id {
		t.Errorf("the refusal left %+v, %v", b, err)
	}
	if b, err := h.ResizeApp(t.Context(), fixed.Address, 0); err != nil || b.Running != 0 || b.State != "stopped" {
		t.Errorf("resized to nothing it is %+v, %v", b, err)
	}
}

// TestW15Restart has instances that end by themselves: a run that was long enough is repeated, a short one is not.
func TestW15Restart(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	spins := func(label string, minRun time.Duration) *manifest.Manifest {
		return appOf(t, h, "loop", func(m *manifest.Manifest) {
			lives(m)
			m.Label, m.Terms.Restart.MinRun = label, minRun
			m.Terms.Limits = manifest.Limits{CPU: 200 * time.Millisecond, Wall: time.Minute}
		})
	}
	long := deploy(t, h, spins("long", 50*time.Millisecond))
	a := becomes(t, h, long.Address, "restarted", func(a inspect.App) bool { return a.Metrics.Starts >= 3 && a.Restarts >= 2 })
	if a.Metrics.Starts != a.Restarts+1 && a.Metrics.Starts != a.Restarts || !strings.Contains(a.LastEnd, "cpu time") { // it ends, and then begins
		t.Errorf("%d starts, %d restarts, ended since %q", a.Metrics.Starts, a.Restarts, a.LastEnd)
	}
	if _, err := h.StopApp(t.Context(), long.Address); err != nil {
		t.Fatal(err)
	}
	short := deploy(t, h, spins("short", 10*time.Second))
	a = becomes(t, h, short.Address, "failed", func(a inspect.App) bool { return a.State == "failed" })
	if a.Metrics.Starts != 1 || a.Restarts != 0 || a.Running != 0 || !strings.Contains(a.Reason, "cpu time") {
		t.Errorf("%d starts, %d restarts, %d run, %q", a.Metrics.Starts, a.Restarts, a.Running, a.Reason)
	}
	if a, err := h.StartApp(t.Context(), short.Address); err != nil || a.Running != 1 {
		t.Errorf("started again it is %+v, %v", a, err)
	}
	becomes(t, h, short.Address, "failed again", func(a inspect.App) bool { return a.State == "failed" && a.Metrics.Starts == 2 })
}
