package host

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/internal/lanes"
)

// nothing is a worker whose runs take no time.
type nothing struct {
	execute.Worker
	out run.Outcome
}

func (n *nothing) Ride(context.Context, execute.Job, execute.IO) (run.Outcome, bool) {
	return n.out, true
}

func echo(tb testing.TB) []byte {
	tb.Helper()
	code, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "echo.wasm"))
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

// besideRide is a started host that lends a worker which does nothing, and a request that rides on it.
func besideRide(tb testing.TB) (*Host, Request) {
	tb.Helper()
	h, err := Start(context.Background(), Config{DataDir: tb.TempDir(), BallastBytes: NoLimit})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close() })
	r := Request{CodeHash: artifacts.HashCode(echo(tb)).String(), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: make([]byte, 512)}
	t, err := h.termsOf(&r, r.CodeHash)
	if err != nil {
		tb.Fatal(err)
	}
	gas := int64(7)
	w := &nothing{out: run.Outcome{Sandbox: "s", Result: r.Input, Stdout: []byte{}, Stderr: []byte{},
		Usage: run.Usage{CPU: 3000, Wall: 5000, GasUsed: &gas, InitGas: &gas, MemoryPeakBytes: &gas}}}
	h.lanes.Grant(w, t.job.Binding, func(execute.Returned) {})
	h.lanes.Prove(t.job.Binding, lanes.Call{Mode: run.Bytes, Name: "echo"}, 0, h.lanes.Mark())
	return h, r
}

// BenchmarkBesideRide is what Execute costs beside the ride.
func BenchmarkBesideRide(b *testing.B) {
	h, r := besideRide(b)
	b.ReportAllocs()
	for b.Loop() {
		if receipt, err := h.Execute(context.Background(), r); err != nil || receipt.Verdict != "ok" {
			b.Fatal(receipt, err)
		}
	}
}
