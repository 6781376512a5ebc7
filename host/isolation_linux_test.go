package host_test

import (
	"testing"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestIsolationIsPartOfTheRun: a process for each run, where it is asked for, beside one that serves the others.
func TestIsolationIsPartOfTheRun(t *testing.T) {
	h := start(t, host.Config{SpareWorkers: 1})
	shared := host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}
	single := shared
	single.Isolation = run.Process
	first := execute(t, h, shared)
	for range 3 {
		a, b := execute(t, h, shared), execute(t, h, single)
		if a.Verdict != "ok" || b.Verdict != "ok" || string(a.Result) != string(b.Result) || *a.GasUsed != *b.GasUsed {
			t.Errorf("they differ: %+v and %+v", a, b)
		}
		if a.Params != first.Params || b.Params == first.Params || a.Artifact != b.Artifact {
			t.Errorf("params %s and %s, artifacts %s and %s", a.Params, b.Params, a.Artifact, b.Artifact)
		}
	}
	waitFor(t, "the ends of the processes", func() bool {
		return scrape(t, h)[`troupe_execute_workers_closed_total{reason="used"}`] == 3
	})
	got := scrape(t, h)
	if n := got[`troupe_execute_workers_closed_total{reason="spoiled"}`] + got[`troupe_execute_workers_closed_total{reason="died"}`]; n != 0 {
		t.Errorf("%v workers ended otherwise", n)
	}
	if r, err := h.Execute(t.Context(), host.Request{Code: shared.Code, Entry: shared.Entry, Isolation: run.Process + 1}); err == nil {
		t.Errorf("an isolation that does not exist: %+v", r)
	}
}
