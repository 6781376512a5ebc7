package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
)

// warmed waits until everything on the warm-up list is prepared, and returns it.
func warmed(t *testing.T, h *host.Host, want int) []inspect.Warm {
	t.Helper()
	var list []inspect.Warm
	ready := func() bool {
		var err error
		if list, err = h.Warmed(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(list) == want && !slices.ContainsFunc(list, func(w inspect.Warm) bool { return w.State != artifacts.Prepared.String() })
	}
	if !eventually(t, ready) {
		t.Fatalf("the warm-up list is %+v", list)
	}
	return list
}

// TestWarmCodeIsPreparedBeforeItIsNeeded takes the artifacts away between two starts, as another engine would.
func TestWarmCodeIsPreparedBeforeItIsNeeded(t *testing.T) {
	cfg := host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit}
	h, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, err := h.Warm(t.Context(), host.CodeRequest{Code: guest(t, "hash-puzzle")})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := h.Warm(t.Context(), host.CodeRequest{CodeHash: w.CodeHash}); err != nil || again.Since != w.Since {
		t.Errorf("once more: %+v, %v", again, err)
	}
	warmed(t, h, 1)
	if again, err := h.Warm(t.Context(), host.CodeRequest{CodeHash: w.CodeHash}); err != nil || again.State != artifacts.Prepared.String() {
		t.Errorf("once it is prepared: %+v, %v", again, err)
	}
	if err := h.Evict(t.Context(), w.Artifact); !errors.Is(err, fault.CallerConflict) && !eventually(t, func() bool {
		return errors.Is(h.Evict(t.Context(), w.Artifact), fault.CallerConflict)
	}) {
		t.Errorf("a warm artifact was evicted: %v", err)
	}
	if err := h.Unpin(t.Context(), "warm:default", w.Artifact); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("the pin of the list was taken off: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(cfg.DataDir, "cache")); err != nil {
		t.Fatal(err)
	}

	h = start(t, cfg)
	warmed(t, h, 1)
	if r := execute(t, h, host.Request{CodeHash: w.CodeHash, Entry: invoke("run", "0", "1")}); r.Verdict != "ok" || r.Cache != "hit" {
		t.Errorf("by its hash: %s %s, cache %s", r.Verdict, r.Message, r.Cache)
	}
	if err := h.Unwarm(t.Context(), "", w.CodeHash); err != nil {
		t.Fatal(err)
	}
	if err := h.Evict(t.Context(), w.Artifact); err != nil {
		t.Errorf("code that is off the list keeps its artifact: %v", err)
	}
	if err := h.Unwarm(t.Context(), "", w.CodeHash); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("once more: %v", err)
	}
}

// TestWarmCodeThatCannotBePrepared stays on the list, and the host says so until it is taken off.
func TestWarmCodeThatCannotBePrepared(t *testing.T) {
	h := start(t, host.Config{MaxPins: 1})
	w, err := h.Warm(t.Context(), host.CodeRequest{Code: guest(t, "not-wasm")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Warm(t.Context(), host.CodeRequest{Code: guest(t, "echo")}); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("one too many: %v", err)
	}
	warning := func() bool {
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(s.Health, func(c inspect.Health) bool { return c.Code == "warm.failed" })
	}
	if !eventually(t, warning) {
		t.Fatal("nobody is told")
	}
	if err := h.Unwarm(t.Context(), "", w.CodeHash); err != nil {
		t.Fatal(err)
	}
	if !eventually(t, func() bool { return !warning() }) {
		t.Error("the warning stays")
	}
}
