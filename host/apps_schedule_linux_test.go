package host_test

import (
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// scheduled deploys a counter with a schedule, and returns when its runs spoke, from the deployment on, once the schedule is over.
func scheduled(t *testing.T, h *host.Host, label string, s manifest.Schedule, complete uint64) (a inspect.App, at []time.Duration) {
	t.Helper()
	m := appOf(t, h, "counter", func(m *manifest.Manifest) {
		lives(m)
		m.Label, m.Terms.Schedule, m.Terms.Grants.KVBytes = label, s, 1<<10
	})
	a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode(), Complete: complete})
	if err != nil {
		t.Fatal(err)
	}
	deployed := a.Deployed
	a = becomes(t, h, a.Address, "over", func(a inspect.App) bool { return a.State == "stopped" })
	lines, _, err := h.AppLog(t.Context(), a.Address, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n, l := range lines {
		if want := string(rune('1' + n)); l.Text != want {
			t.Errorf("run %s said %q", want, l.Text)
		}
		at = append(at, l.At.Sub(deployed))
	}
	return a, at
}

// delays are how late the runs of a schedule are.
func delays(t *testing.T) (late []time.Duration) {
	t.Helper()
	h := appsHost(t, host.Config{})
	s := manifest.Schedule{Start: 500 * time.Millisecond, Period: 400 * time.Millisecond, Repeats: 3}
	a, at := scheduled(t, h, "three", s, 2)
	if a.Scheduled != 3 || a.Complete != 5 || a.TimedOut != 0 || a.Skipped != 0 || a.Metrics.Starts != 3 || len(at) != 3 || !strings.Contains(a.Reason, "over") {
		t.Errorf("%d runs, %d complete, %d starts, at %v: %s (%s)", a.Scheduled, a.Complete, a.Metrics.Starts, at, a.State, a.Reason)
	}
	for n, d := range at {
		late = append(late, d-s.Start-time.Duration(n)*s.Period)
	}
	return late
}

// TestS20S21S22S24Schedule has three runs at their times, which are counted from where the deployment says. The lines are held by
// the timed test.
func TestS20S21S22S24Schedule(t *testing.T) {
	t.Parallel()
	for n, d := range delays(t) {
		if d < 0 || d > 3*time.Second {
			t.Errorf("run %d is late by %v", n, d)
		}
	}
}

func TestS23OneRun(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	for label, s := range map[string]manifest.Schedule{
		"without repeats": {Start: 10 * time.Millisecond},
		"one repeat":      {Start: 10 * time.Millisecond, Repeats: 1},
		"and a period":    {Start: 10 * time.Millisecond, Repeats: 1, Period: 100 * time.Millisecond},
	} {
		if a, at := scheduled(t, h, label, s, 0); a.Scheduled != 1 || a.Complete != 1 || len(at) != 1 {
			t.Errorf("%s: %d runs, %d complete, at %v", label, a.Scheduled, a.Complete, at)
		}
	}
	m := appOf(t, h, "counter", func(m *manifest.Manifest) { lives(m); m.Terms.Schedule.Repeats = 5 })
	_, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()})
	isFault(t, err, fault.CallerManifestConflict)
	// One that cannot run is counted as begun, and not as complete.
	bad := appOf(t, h, "trap", func(m *manifest.Manifest) { lives(m); m.Terms.Schedule.Start = time.Millisecond })
	a := deploy(t, h, bad)
	a = becomes(t, h, a.Address, "over", func(a inspect.App) bool { return a.State == "stopped" })
	if a.Scheduled != 1 || a.Complete != 0 || !strings.Contains(a.LastEnd, "trap") {
		t.Errorf("%d runs, %d complete, ended since %q", a.Scheduled, a.Complete, a.LastEnd)
	}
}

func TestS25Duration(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	for _, file := range []string{"sleep", "loop"} {
		a := deploy(t, h, appOf(t, h, file, func(m *manifest.Manifest) {
			lives(m)
			m.Terms.Schedule = manifest.Schedule{Start: time.Millisecond, Period: 400 * time.Millisecond, Repeats: 2, Duration: 200 * time.Millisecond}
		}))
		a = becomes(t, h, a.Address, "over", func(a inspect.App) bool { return a.State == "stopped" && a.TimedOut == 2 })
		if a.Scheduled != 2 || a.Complete != 0 || !strings.Contains(a.LastEnd, "longer than its schedule allows") {
			t.Errorf("%s: %d runs, %d complete, ended since %q", file, a.Scheduled, a.Complete, a.LastEnd)
		}
		if pids := busyWorkers(t, h); len(pids) != 0 {
			t.Errorf("workers %v are still busy", pids)
		}
		if ms := a.Metrics.RunningTimeMS; ms < 400 || ms > 20_000 {
			t.Errorf("%s: it ran for %d ms", file, ms)
		}
	}
}
