package prepare

import (
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/record"
	"github.com/troupehost/troupe/actors/sim"
)

// TestRecordedRunsReplay records the simulation and steps the core with that again: it does the same, to the byte.
func TestRecordedRunsReplay(t *testing.T) {
	for seed := range uint64(20) {
		rec := record.New(64<<20, record.NewTypes(Recorded()))
		o := sim.Options{Rate: 0.03}
		o.Record = func(path string, incarnation uint64, core any, now time.Time, in any) func(any) {
			if a, ok := core.(*audit); ok {
				core = a.State
			}
			return rec.Step(path, incarnation, core, now, in)
		}
		if r := sim.Run(seed, o, func(w *sim.World) sim.Check { return world(w, 64, sim.NewTable("Job")) }); r.Err != nil {
			t.Fatal(r)
		}
		rep, err := rec.Prove()
		if err != nil || rep.Steps == 0 || len(rep.Differences) > 0 || len(rep.Skipped) > 0 {
			t.Fatalf("seed %d: %d segments, %d steps, %v, %v", seed, rep.Segments, rep.Steps, rep.Differences, err)
		}
		if u := rec.Unknown(); len(u) > 0 {
			t.Fatalf("types that Recorded leaves out: %v", u)
		}
	}
}
