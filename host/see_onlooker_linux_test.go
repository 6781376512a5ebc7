package host_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
)

// TestLooksLeaveNoTrace asks a host for all that consoles show, time and again: flight recorders and totals of its actors stay what they were,
// and nobody has been busy.
func TestLooksLeaveNoTrace(t *testing.T) {
	h := start(t, host.Config{})
	look := func() {
		t.Helper()
		seen, err := h.Inspect(t.Context())
		if err != nil || slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" }) {
			t.Fatal(seen.Health, err)
		}
		if _, err := h.Guests(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Workers(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Jobs(t.Context(), host.JobFilter{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Warmed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Session(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Explain(t.Context(), "troupe/cache"); err != nil {
			t.Fatal(err)
		}
	}
	show := func() (all []inspect.ActorDetail) {
		t.Helper()
		for _, path := range []string{"troupe/cache", "troupe/prepare", "troupe/execute", "troupe/jobs", "troupe/sessions"} {
			a, err := h.Actor(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if path == "troupe/jobs" { // it looks at its clock each second
				a.Flights = slices.DeleteFunc(a.Flights, func(f inspect.Flight) bool { return f.Type == "jobs.tick" })
				a.Accepted, a.Handled, a.Since, a.Handler = 0, 0, time.Time{}, inspect.Timing{}
				for i := range a.Flights {
					a.Flights[i].Seq = 0
				}
			}
			all = append(all, inspect.ActorDetail{Flights: a.Flights, Actor: inspect.Actor{Path: path, Accepted: a.Accepted, Handled: a.Handled, Since: a.Since, Handler: a.Handler}})
		}
		return all
	}
	quiet := func() bool {
		return !slices.ContainsFunc(show(), func(a inspect.ActorDetail) bool { return a.Accepted != a.Handled })
	}
	waitFor(t, "what a start sets off", func() bool {
		before := show()
		look()
		return quiet() && cmp.Equal(before, show())
	})
	before := show()
	for range 100 {
		look()
	}
	if diff := cmp.Diff(before, show()); diff != "" {
		t.Errorf("looks are seen:\n%s", diff)
	}
}
