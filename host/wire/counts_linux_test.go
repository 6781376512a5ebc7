package wire

import (
	"errors"
	"testing"

	"github.com/troupehost/troupe/testdata/bench/gate"
)

// TestCounts holds what the frames of a small call and of its answer allocate, on both sides of a ring.
func TestCounts(t *testing.T) {
	h, w := rings(t)
	call, result, done := Call{Run: 1, InputBytes: 512, Data: make([]byte, 512)}, Result{Data: make([]byte, 512)}, Finished{Run: 1, GasUsed: 1 << 40}
	var f, g Frame
	n, _ := gate.Allocations(1000, func() {
		err := errors.Join(h.Send(&call), w.Next(&f), w.Send(&result), w.Send(&done), h.Next(&g), h.Next(&g))
		if err != nil || len(f.Call.Data) != 512 || g.Finished != done {
			t.Fatalf("%v, %+v", err, g.Finished)
		}
	})
	gate.Count(t, "wire, a small call and its answer over a ring: allocations", n)
}
