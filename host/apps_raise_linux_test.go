package host_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// prepares waits until the preparation of an app's code has a priority, and returns it.
func prepares(t testing.TB, h *host.Host, code, priority string) (a inspect.Artifact) {
	t.Helper()
	waitFor(t, "a preparation as "+priority, func() bool {
		in, err := h.Inspect(t.Context())
		if err != nil {
			return false
		}
		for _, a = range in.Artifacts {
			if "sha256:"+a.CodeHash == code && (a.State != "preparing" || a.Priority == priority) {
				return true
			}
		}
		return false
	})
	return a
}

// TestOnePreparationIsRaisedThroughAllPriorities announces an app, deploys it, asks it and has an operator raise it, while its code
// waits for its turn.
func TestOnePreparationIsRaisedThroughAllPriorities(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{PrepareWorkers: 1, PrepareWorkersCritical: 2, ExecuteWorkers: 2})
	if err := h.HeadsUp(t.Context(), host.CodeRequest{Code: guest(t, "go-app"), Priority: run.High}); err != nil { // takes seconds
		t.Fatal(err)
	}
	m := appOf(t, h, "c-service", nil)
	if err := h.Announce(t.Context(), host.DeployRequest{Manifest: m.Encode()}); err != nil {
		t.Fatal(err)
	}
	prepares(t, h, m.CodeHash, "background")
	// A benchmark, too, is prepared in the background, and stays there.
	bench := appOf(t, h, "bench-app", func(m *manifest.Manifest) { m.OnDemand = false })
	b, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: bench.Encode(), Bench: true})
	if err != nil {
		t.Fatal(err)
	}
	a := deploy(t, h, m)
	prepares(t, h, m.CodeHash, "normal")
	var asked sync.WaitGroup
	asked.Go(func() {
		if got, err := query(t, h, a.Address, "x", "hello"); err != nil || got != "hello" {
			t.Errorf("it answers %q, %v", got, err)
		}
	})
	waits := prepares(t, h, m.CodeHash, "high")
	if got := prepares(t, h, bench.CodeHash, "background"); got.State != "preparing" || len(got.Escalations) > 0 || b.Running > 1 {
		t.Errorf("the benchmark has %+v", got)
	}
	if waits.State != "preparing" {
		t.Fatalf("nothing held it back: %+v", waits)
	}
	if _, err := h.RaiseApp(t.Context(), a.Address, run.Critical); err != nil {
		t.Fatal(err)
	}
	asked.Wait()
	done := prepares(t, h, m.CodeHash, "critical")
	type step struct{ From, To, By string }
	var got []step
	for _, e := range done.Escalations {
		got = append(got, step{e.From, e.To, e.By})
	}
	by := "app " + a.Address[:12]
	if d := cmp.Diff([]step{{"background", "normal", by}, {"normal", "high", by}, {"high", "critical", by}}, got); d != "" || done.State != "prepared" {
		t.Errorf("%s: %s", done.State, d)
	}
}
