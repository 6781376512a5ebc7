package pool

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// counted is a writer that knows how often it was called.
type counted struct {
	bytes.Buffer
	calls int
}

func (c *counted) Write(p []byte) (int, error) {
	c.calls++
	return c.Buffer.Write(p)
}

func TestSmallWritesAreGathered(t *testing.T) {
	for what, code := range map[string][]byte{
		"writes":           writer(200_000, false, [2]int{1, 1}),
		"pieces of writes": writer(50, false, [2]int{1, 4000}),
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, "")
			b := r.prepared(t, code)
			var got counted
			o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdout: &got}))
			if !alive || o.Fault != nil || o.Delivered != 200_000 || got.String() != strings.Repeat("a", 200_000) {
				t.Errorf("%v, alive %v, delivered %d, got %d bytes", o.Fault, alive, o.Delivered, got.Len())
			}
			if got.calls > 10_000 {
				t.Errorf("%d calls of the writer", got.calls)
			}
			o, alive = r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{OutputBytes: 100_001}, RunIO{}))
			if wantFault(t, o.Fault, fault.GuestOutputLimit); !alive || len(o.Stdout) != 100_001 {
				t.Errorf("alive %v, %d bytes up to the limit", alive, len(o.Stdout))
			}
		})
	}
}

// TestStreamsKeepTheirOrder: an honest worker stays within what the host allows, whatever its guest does.
func TestStreamsKeepTheirOrder(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, writer(4000, false, [2]int{1, 3}, [2]int{2, 1}, [2]int{1, 1}, [2]int{2, 2}))
	var got counted
	o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdout: &got, Stderr: &got}))
	if !alive || o.Fault != nil || o.Delivered != 4000*7 || got.String() != strings.Repeat("aaababb", 4000) {
		t.Errorf("%v, alive %v, delivered %d, got %d bytes", o.Fault, alive, o.Delivered, got.Len())
	}
}

// seen is a writer that tells of its first call.
type seen func()

func (s seen) Write(p []byte) (int, error) { s(); return len(p), nil }

// TestOutputDoesNotWaitForTheGuest: what was written arrives while the guest computes, without an end of line.
func TestOutputDoesNotWaitForTheGuest(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, writer(1, true, [2]int{1, 5}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o, _ := r.worker(t, b).Run(ctx, r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdout: seen(cancel)}))
	if wantFault(t, o.Fault, fault.CanceledCaller); o.Delivered != 5 {
		t.Errorf("delivered %d", o.Delivered)
	}
}
