package host

import (
	"testing"

	"github.com/troupehost/troupe/actors/run"
)

// TestGasIsEqualWhateverRanBefore: three runs on a cold and on warm workers, over a restart, take the same gas; with exactly that as
// the limit they end well, and with less they are out of gas, which a job's receipt says too.
func TestGasIsEqualWhateverRanBefore(t *testing.T) {
	dir := t.TempDir()
	req := Request{Code: guestFile(t, "hash-puzzle"), Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "4"}}}
	var used, initial int64
	for restart := range 2 {
		h, err := Start(t.Context(), Config{DataDir: dir, BallastBytes: NoLimit})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			r, err := h.Execute(t.Context(), req)
			if err != nil || r.Verdict != "ok" || r.GasUsed == nil || r.InitGas == nil || *r.GasUsed == 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			if restart+n == 0 {
				used, initial = *r.GasUsed, *r.InitGas
			}
			if *r.GasUsed != used || *r.InitGas != initial {
				t.Errorf("start %d, run %d: %d and %d, at first %d and %d", restart, n, *r.GasUsed, *r.InitGas, used, initial)
			}
		}
		for limit, want := range map[int64]string{used: "", used - 1: "guest.gas_limit", 1: "guest.gas_limit"} {
			r := req
			r.Limits.Gas = limit
			got, err := h.Execute(t.Context(), r)
			if err != nil || got.Fault != want || got.GasUsed == nil || *got.GasUsed != limit {
				t.Errorf("limit %d of %d: %q, %v", limit, used, got.Fault, err)
			}
			j, err := h.Submit(t.Context(), JobRequest{Request: r})
			if err != nil {
				t.Fatal(err)
			}
			for seen := 0; j.State != run.JobSettled; seen = len(j.Events) {
				if j, err = h.WatchJob(t.Context(), j.ID, seen); err != nil {
					t.Fatal(err)
				}
			}
			if p := j.Receipt; p == nil || p.Fault != want || p.GasUsed == nil || *p.GasUsed != limit || p.GasTable == "" || p.Clock != "deterministic" {
				t.Errorf("job with limit %d: %+v", limit, p)
			}
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
