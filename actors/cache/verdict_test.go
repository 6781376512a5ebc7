package cache

import "testing"

// TestNothingRunsForAVerdict: code that nobody wants to run is prepared without its snapshot.
func TestNothingRunsForAVerdict(t *testing.T) {
	for _, row := range []struct {
		kind Kind
		want bool
	}{{Precheck, true}, {Execute, false}, {HeadsUp, false}} {
		b := newBench(t, Limits{})
		b.ask(Request{ID: 1, Kind: row.kind, Budget: loose})
		b.ask(Request{ID: 2, Kind: Precheck, Budget: loose})
		if len(b.jobs) != 1 || b.jobs[0].Job.VerdictOnly != row.want {
			t.Errorf("kind %d: %+v", row.kind, b.jobs)
		}
		if got := b.s.Current(b.jobs[0].Job); got.VerdictOnly != row.want {
			t.Errorf("kind %d, asked again: %+v", row.kind, got)
		}
	}
}
