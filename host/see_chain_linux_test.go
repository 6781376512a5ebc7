package host_test

import (
	"slices"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
)

func warnsOf(t *testing.T, h *host.Host, code string) bool {
	t.Helper()
	i, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(i.Health, func(w inspect.Health) bool { return w.Code == code })
}

// TestAPausedChainStaysPaused pauses before the worker is registered, over a restart, and has it go on.
func TestAPausedChainStaysPaused(t *testing.T) {
	r := newChainRig(t, "paused", chainBlock, nil)
	dir := t.TempDir()
	h, err := host.Start(t.Context(), func() host.Config {
		c := r.config(r.c)
		c.DataDir, c.BallastBytes = dir, host.NoLimit
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PauseChain(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Something waits to be sent by then, and blocks go by.
	waits := func(h *host.Host) {
		t.Helper()
		var head uint64
		r.until("a call that waits, and blocks that are read", func() (bool, string) {
			v := r.view(h)
			if head == 0 {
				head = v.Chain.Head
			}
			return v.Chain.Paused && v.Chain.Outbox["waiting"]+v.Chain.Outbox["signed"] > 0 && v.Chain.Head > head+10, chainText(v)
		})
		if v := r.view(h); v.Reporter.Registered || !warnsOf(t, h, "chain.paused") {
			t.Errorf("%s", chainText(v))
		}
	}
	waits(h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = r.host(func(c *host.Config) { c.DataDir, c.BallastBytes = dir, host.NoLimit })
	waits(h)
	for range 2 {
		if err := h.ResumeChain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.ready(h)
	if warnsOf(t, h, "chain.paused") {
		t.Error("the warning stays")
	}
}

func TestWithoutAChainNothingIsPaused(t *testing.T) {
	h := start(t, host.Config{})
	if err := h.PauseChain(t.Context()); fault.CodeOf(err) != fault.CallerNotFound {
		t.Error(err)
	}
}
