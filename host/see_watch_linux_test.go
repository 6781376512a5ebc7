package host_test

import (
	"context"
	"testing"
	"time"

	"github.com/troupehost/troupe/host"
)

// TestRatesAreThereWhileSomebodyWatches waits for the first rates, and sees none before and after.
func TestRatesAreThereWhileSomebodyWatches(t *testing.T) {
	h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	rated := func() (n int) {
		i, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range i.Actors {
			if a.Rates != nil {
				n++
			}
		}
		return n
	}
	if n := rated(); n != 0 {
		t.Errorf("%d actors have rates, and nobody watches", n)
	}
	done := h.Watched()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for rated() == 0 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("no rates after 20 s")
		}
	}
	done()
	if n := rated(); n != 0 {
		t.Errorf("%d actors have rates when the last one has left", n)
	}
}
