package guest_test

import (
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/host/internal/calls"
)

// chain has blocks of 50 ms, whose time goes as fast as it says.
type chain struct {
	mu    sync.Mutex
	start time.Time
	speed float64
}

func (c *chain) now() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := time.Since(c.start).Truncate(50 * time.Millisecond)
	return c.start.Add(time.Duration(float64(newest) * c.speed)), true
}

// settled asks for the state until it is one of two.
func settled(t *testing.T, r *rig, good, bad string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		switch got := r.query("state", ""); got {
		case good:
			return
		case bad:
			t.Fatalf("%q", got)
		}
	}
	t.Fatalf("not %q", good)
}

const drifts = "refused: the clock and the chain's blocks differ"

// TestBenchAppScores: while clock and chain agree, it signs what it measured.
func TestBenchAppScores(t *testing.T) {
	c := &chain{start: time.Now(), speed: 1}
	r := start(t, "bench-app", calls.Config{BlockTime: c.now}, calls.AppConfig{}, "1000")
	settled(t, r, "scored", "no block time")
	got := []byte(r.query("score", ""))
	if len(got) != 97+2+64+32+32 {
		t.Fatalf("%d bytes: %q", len(got), got)
	}
	m, err := meter.OpenSignedMessage(got)
	if err != nil {
		t.Fatal(err)
	}
	// The token of the host here says 1000 more gas each time.
	if s := m.Score; s.GasConsumed != s.Token.SN*1000 || s.GasPerSecond == 0 || s.GasPerSecond > 1000 || s.Timestamp+60 < uint64(time.Now().Unix()) {
		t.Errorf("%+v", s)
	}
	if m.App != address || m.Worker != worker.Public() {
		t.Errorf("%x %x", m.App, m.Worker)
	}
	if kept := r.query("other", ""); kept != "1 scored" {
		t.Errorf("%q", kept)
	}
	r.space.mu.Lock()
	defer r.space.mu.Unlock()
	if len(r.space.keys["score"]) != len(got) {
		t.Errorf("%x is kept", r.space.keys["score"])
	}
}

// TestBenchAppRefusesDrift: a chain whose time goes faster or slower by a quarter gets no score.
func TestBenchAppRefusesDrift(t *testing.T) {
	for _, speed := range []float64{0.75, 1.25} {
		c := &chain{start: time.Now(), speed: speed}
		r := start(t, "bench-app", calls.Config{BlockTime: c.now}, calls.AppConfig{}, "1000")
		settled(t, r, drifts, "scored")
		if got := r.query("score", ""); got != "1 "+drifts {
			t.Errorf("%q", got)
		}
	}
}

// TestBenchAppWithoutChain works and claims nothing.
func TestBenchAppWithoutChain(t *testing.T) {
	r := start(t, "bench-app", calls.Config{}, calls.AppConfig{}, "100")
	settled(t, r, "no block time", "scored")
	if got := r.query("score", ""); got != "1 no block time" {
		t.Errorf("%q", got)
	}
	r.inst.Stop()
	if <-r.ended; r.out.Fault != nil {
		t.Error(r.out.Fault)
	}
}
