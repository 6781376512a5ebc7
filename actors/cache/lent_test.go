package cache

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// endedBy is how a first attempt ended.
func endedBy(code fault.Code, delivered int64) run.Outcome {
	return run.Outcome{Fault: fault.New(code, "run", "x", errors.New("cause")), Delivered: delivered, Sandbox: "s"}
}

// view is what can be seen of a request and its bench.
type view struct {
	Runs, Jobs, Deleted, Done    int
	Attempts                     int
	Repeated, Counted, Hit, Well bool
	Fault, Err                   string
}

func (b *bench) view(id uint64) view {
	a := b.answer[id]
	v := view{Runs: len(b.runs), Jobs: len(b.jobs), Deleted: len(b.deleted), Done: b.done[id],
		Attempts: a.Attempts, Repeated: a.Repeated, Counted: a.Counted, Hit: a.Hit}
	if e := b.s.entries[key]; e != nil {
		v.Well = e.well
	}
	if a.Outcome.Fault != nil {
		v.Fault = a.Outcome.Fault.Error()
	}
	if err := b.err[id]; err != nil {
		v.Err = err.Error()
	}
	return v
}

// TestTriedIsAFirstAttempt has a first attempt end in every way, once through the cache and once past it: what follows is
// the same, whether the artifact works for others or not.
func TestTriedIsAFirstAttempt(t *testing.T) {
	for code := range matrix {
		for _, delivered := range []int64{0, 1} {
			for _, others := range []bool{false, true} {
				for _, noCode := range []bool{false, true} {
					o := endedBy(code, delivered)
					through := newBench(t, Limits{}, one(1))
					past := newBench(t, Limits{}, one(1))
					for _, b := range []*bench{through, past} { // it is known to work
						b.ask(Request{ID: 1, Kind: Execute})
						b.executed(1, run.Outcome{})
					}
					if others {
						through.ask(Request{ID: 2, Kind: Execute})
						through.runs = through.runs[:1]
					}
					through.ask(Request{ID: 3, Kind: Execute, NoCode: noCode})
					through.executed(3, o)
					past.ask(Request{ID: 3, Kind: Execute, NoCode: noCode, Tried: &Tried{Outcome: o, Others: others}})
					past.runs = append(past.runs, past.runs[0]) // the attempt that passed by
					if d := cmp.Diff(through.view(3), past.view(3)); d != "" {
						t.Errorf("%s, delivered %d, others %v, no code %v: (-through +past)\n%s", code, delivered, others, noCode, d)
					}
					if through.done[3] > 0 {
						continue
					}
					for _, b := range []*bench{through, past} {
						if len(b.jobs) > 0 {
							b.prepared(prepare.Outcome{})
						}
						b.executed(3, endedBy(fault.SuspectWorkerDied, 0))
					}
					if d := cmp.Diff(through.view(3), past.view(3)); d != "" {
						t.Errorf("%s, then another suspicion: (-through +past)\n%s", code, d)
					}
				}
			}
		}
	}
}

// TestTriedWithoutItsArtifact has the artifact be gone when the end of the first attempt comes.
func TestTriedWithoutItsArtifact(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Execute, Tried: &Tried{Outcome: endedBy(fault.SuspectWorkerDied, 0)}})
	if len(b.jobs) != 1 || b.done[1] != 0 {
		t.Fatalf("%d preparations, answered %d times", len(b.jobs), b.done[1])
	}
	b.prepared(prepare.Outcome{})
	b.executed(1, run.Outcome{})
	b.wantFault(1, "")
	if a := b.answer[1]; a.Attempts != 2 || a.Hit {
		t.Errorf("%d attempts, hit %v", a.Attempts, a.Hit)
	}
	b = newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Execute, NoCode: true, Tried: &Tried{Outcome: endedBy(fault.SuspectWorkerDied, 0)}})
	b.wantFault(1, fault.SuspectWorkerDied)
	b.ask(Request{ID: 2, Kind: Execute, NoCode: true, Tried: &Tried{Outcome: endedBy(fault.HostArtifactCorrupt, 0)}})
	if !errors.Is(b.err[2], fault.HostArtifactCorrupt) || len(b.s.asks) != 0 {
		t.Errorf("error %v, %d requests are left", b.err[2], len(b.s.asks))
	}
}

// TestTriedPassesEveryGate has a first attempt end while the cache is full, and its code in quarantine: it has run.
func TestTriedPassesEveryGate(t *testing.T) {
	b := newBench(t, Limits{Requests: 1, QuarantineAfter: 1}, one(1))
	b.condemn(1, "a")
	b.ask(Request{ID: 2, Kind: Execute, Tenant: "b"})
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a", Tried: &Tried{Outcome: endedBy(fault.SuspectWallLimit, 0)}})
	b.wantFault(3, fault.SuspectWallLimit)
}

func TestUsedIsNeededNow(t *testing.T) {
	b := newBench(t, Limits{QuarantineAfter: 2}, one(1))
	b.condemn(1, "a")
	b.now = b.now.Add(time.Hour)
	touched := 0
	for _, e := range b.s.Step(b.now, Used{Key: key, Tenant: "b", OK: true}) {
		if e == (Touch{Key: key}) {
			touched++
		}
	}
	if at := b.s.entries[key].lastNeeded; touched != 1 || !at.Equal(b.now) {
		t.Errorf("touched %d times, needed at %v", touched, at)
	}
	if b.s.entries[key].well || len(b.s.suspicion[key]) != 1 {
		t.Errorf("well %v, suspicion %v", b.s.entries[key].well, b.s.suspicion)
	}
	b.step(Used{Key: key, Tenant: "a", Well: true})
	if !b.s.entries[key].well || len(b.s.suspicion[key]) != 1 {
		t.Errorf("well %v, suspicion %v", b.s.entries[key].well, b.s.suspicion)
	}
	b.step(Used{Key: key, Tenant: "a", OK: true, Well: true}) // a success counts anew
	b.condemn(2, "a")
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a"})
	if b.done[3] != 0 {
		t.Errorf("it is refused: %v", b.answer[3].Outcome.Fault)
	}
	b.step(Used{Key: artifacts.Key{9}, OK: true}) // nobody knows it
}

// TestQuarantineEndsLeases has leases of the tenant end, and of nobody else.
func TestQuarantineEndsLeases(t *testing.T) {
	b := newBench(t, Limits{QuarantineAfter: 1}, one(1))
	b.ask(Request{ID: 1, Kind: Execute, Tenant: "a"})
	ranInto(b, 1, fault.SuspectWorkerDied, 0)
	b.prepared(prepare.Outcome{})
	out := b.s.Step(b.now, executed{id: 1, outcome: endedBy(fault.SuspectWorkerDied, 0)})
	if !slices.Contains(out, Effect(Release{Key: key, Tenant: "a"})) {
		t.Errorf("effects %v", out)
	}
}
