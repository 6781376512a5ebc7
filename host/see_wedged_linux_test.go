package host_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/bundle"
)

// TestAWedgedActorIsSeen: an actor whose handler does not return is shown with what it handles and since when, and keeps nobody from
// looking at it.
func TestAWedgedActorIsSeen(t *testing.T) {
	h := start(t, host.Config{})
	waitFor(t, "the index to be read, which lists wait for", func() bool {
		seen, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	})
	before := time.Now()
	release, err := h.Wedge()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	handles := func(a *inspect.Actor) bool {
		return a.State == "busy" && a.Handling == "cache.List" && !a.HandledAt.Before(before.Add(-time.Second))
	}
	waitFor(t, "the message to be handled", func() bool {
		d, err := h.Actor(t.Context(), "troupe/cache")
		return err == nil && handles(&d.Actor)
	})
	begin := time.Now()
	seen, err := h.Inspect(t.Context()) // it waits for a second
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("a look took %v", took)
	}
	n := slices.IndexFunc(seen.Actors, func(a inspect.Actor) bool { return a.Path == "troupe/cache" })
	if n < 0 || !handles(&seen.Actors[n]) {
		t.Errorf("%+v", seen.Actors)
	}
	n = slices.IndexFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	if n < 0 || !strings.Contains(seen.Health[n].Message, "cache") {
		t.Errorf("%+v", seen.Health)
	}
	if len(seen.Queues) != 3 {
		t.Errorf("%+v", seen.Queues)
	}
	if _, err := h.Guests(t.Context()); err != nil {
		t.Error(err)
	}
	e, err := h.Explain(t.Context(), "troupe/cache")
	if err != nil || e.Kind != "actor" || !strings.Contains(e.Summary, "cache.List") || len(e.Because) == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	release()
	waitFor(t, "the actor to go on", func() bool {
		seen, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	})
}

// TestABundleOfAWedgedHost: while an actor is wedged a bundle has it, what it handles, and all that others say.
func TestABundleOfAWedgedHost(t *testing.T) {
	h := start(t, host.Config{})
	release, err := h.Wedge()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	waitFor(t, "the message to be handled", func() bool {
		d, err := h.Actor(t.Context(), "troupe/cache")
		return err == nil && d.Handling == "cache.List"
	})
	const limit = 10 * time.Second
	begin := time.Now()
	b, _, err := bundle.Collect(t.Context(), h, bundle.Extra{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*limit {
		t.Errorf("it took %v", took)
	}
	n := slices.IndexFunc(b.Actors, func(a inspect.ActorDetail) bool { return a.Path == "troupe/cache" })
	if n < 0 || b.Actors[n].Handling != "cache.List" || len(b.Actors[n].Flights) == 0 {
		t.Errorf("%+v", b.Actors)
	}
	if !slices.ContainsFunc(b.Host.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" }) || len(b.Host.Queues) != 3 || len(b.Log) == 0 {
		t.Errorf("%+v, %d lines of log, missing %v", b.Host, len(b.Log), b.Missing)
	}
}
