package host

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// leavingCaller is the context of somebody who is there when asked first, and then gone.
type leavingCaller struct {
	context.Context
	asked int
}

func (c *leavingCaller) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (c *leavingCaller) Err() error {
	if c.asked++; c.asked == 1 {
		return nil
	}
	return context.Canceled
}

// TestW42UseIsCountedOnce: what was used is counted once, whether or not who passed it on waited for that.
func TestW42UseIsCountedOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	h, err := Start(ctx, Config{DataDir: t.TempDir(), BallastBytes: NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if _, err := h.OpenSession(ctx, SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "c-handler.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.PutBlob(ctx, "", bytes.NewReader(code))
	if err != nil {
		t.Fatal(err)
	}
	m := manifest.Manifest{Version: 2, CodeHash: b.Hash, OnDemand: true, Terms: &manifest.Terms{}}
	a, err := h.Deploy(ctx, DeployRequest{Manifest: m.Encode()})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 100
	left := 0
	guest := &appMeter{a: h.apps, app: m.Address()}
	for range rounds {
		guest.Add(meter.Use{Tip: 1})
		if guest.Commit(&leavingCaller{Context: ctx}) != nil {
			left++
		}
		guest.Add(meter.Use{Tip: 10})
		if err := guest.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if h.apps.use(&leavingCaller{Context: ctx}, m.Address(), meter.Use{Tip: 100}) != nil {
			left++
		}
	}
	if rest, told := guest.take(); rest != (meter.Use{}) || told.Tip != 11*rounds {
		t.Errorf("%+v is left, %+v was told", rest, told)
	}
	if left < rounds {
		t.Errorf("only %d of %d have left", left, 2*rounds)
	}
	const want = 111 * rounds
	for got := uint64(0); got != want; {
		shown, err := h.App(ctx, a.Address)
		if err != nil || shown.Metrics.Tip > want || shown.Metrics.Tip < 11*rounds {
			t.Fatalf("%+v, want a tip of %d, %v", shown.Metrics, want, err)
		}
		if got = shown.Metrics.Tip; got != want {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("a tip of %d, want %d", got, want)
			}
		}
	}
	if n, err := h.RemoveApp(ctx, a.Address); err != nil || n.Tip != want {
		t.Errorf("%+v, %v", n, err)
	}
}
