package cache

import (
	"errors"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// bench drives a core and plays its shell.
type bench struct {
	t        *testing.T
	s        *State
	now      time.Time
	jobs     []StartPrepare
	canceled []uint64
	raised   []RaisePrepare
	lifted   []RaiseExecute
	stopped  []uint64 // runs
	stored   []artifacts.Failure
	runs     []execute.Job
	puts     []StorePut
	deleted  []artifacts.Key
	answer   map[uint64]Answer
	err      map[uint64]error
	done     map[uint64]int
	ops      []error // of operator verbs
	pruned   Pruned
	accepted int
	again    []StoreAgain
	modules  map[artifacts.Key]artifacts.Module // what Describe finds; the default is module
	describe func(Describe) error
	hold     bool      // effects on the store wait in held
	held     []Message // their ends
	storeErr error     // of removals and pins
}

func newBench(t *testing.T, l Limits, entries ...Entry) *bench {
	b := idle(t, l)
	for i := range entries {
		if entries[i].LastNeeded.IsZero() {
			entries[i].LastNeeded = b.now
		}
	}
	b.step(indexed{entries: entries})
	return b
}

func idle(t *testing.T, l Limits) *bench {
	return &bench{t: t, s: NewState(l, 1), now: time.Unix(1_000_000, 0), answer: map[uint64]Answer{}, err: map[uint64]error{}, done: map[uint64]int{}}
}

// ends is the end of an effect on the store: at once, unless the bench holds such ends.
func (b *bench) ends(m Message) {
	b.t.Helper()
	if b.hold {
		b.held = append(b.held, m)
		return
	}
	b.step(m)
}

// release lets everything end that was held.
func (b *bench) release() {
	b.t.Helper()
	b.hold = false
	for len(b.held) > 0 {
		m := b.held[0]
		b.held = b.held[1:]
		b.step(m)
	}
}

func (b *bench) step(m Message) {
	b.t.Helper()
	for _, e := range b.s.Step(b.now, m) {
		switch e := e.(type) {
		case StartPrepare:
			b.jobs = append(b.jobs, e)
		case CancelPrepare:
			b.canceled = append(b.canceled, e.Job)
		case RaisePrepare:
			b.raised = append(b.raised, e)
		case RaiseExecute:
			b.lifted = append(b.lifted, e)
		case CancelExecute:
			b.stopped = append(b.stopped, e.Run)
		case HasRevoked:
			e.To.Answer(e.N)
		case StartExecute:
			b.runs = append(b.runs, e.Job)
		case StorePut:
			b.puts = append(b.puts, e)
		case StoreFailure:
			b.stored = append(b.stored, e.Failure)
		case Delete:
			for _, g := range e.Gone {
				b.deleted = append(b.deleted, g.Key)
			}
			var kept []artifacts.Key
			if b.storeErr != nil {
				kept = b.deleted[len(b.deleted)-len(e.Gone):]
			}
			b.ends(deleted{gone: e.Gone, kept: kept, err: b.storeErr, evict: e.Evict, evicted: e.Evicted, prune: e.Prune, report: e.Report, pruned: e.Pruned})
		case Requeue:
			b.step(e.Message)
		case Accept:
			b.accepted++
		case StoreAgain:
			b.again = append(b.again, e)
		case Describe:
			m, ok := b.modules[e.Key]
			if !ok {
				m = module
			}
			d := described{key: e.Key, gen: e.Gen, meta: artifacts.Meta{Key: e.Key, Module: m}}
			if b.describe != nil {
				d.err = b.describe(e)
			}
			b.ends(d)
		case Reply:
			if e.Err != nil {
				e.To.Fail(e.Err)
			} else {
				e.To.Answer(e.Answer)
			}
		case StartPin:
			b.ends(pinned{pin: e.Pin, err: b.storeErr})
		case Done:
			b.ops = append(b.ops, e.Err)
		case HasPruned:
			b.pruned = e.Pruned
			b.ops = append(b.ops, e.Err)
		}
	}
}

var (
	key    = artifacts.Key{1}
	strict = prepare.Budget{CPU: time.Minute, Wall: 4 * time.Minute, MemoryBytes: 1 << 30}
	loose  = prepare.Budget{CPU: 6 * time.Minute, Wall: 24 * time.Minute, MemoryBytes: 1 << 30}
	module = artifacts.Module{Exports: []artifacts.Export{{Name: "run", Kind: "func", Type: "() -> (i32)"}}}
)

func (b *bench) ask(r Request) {
	b.t.Helper()
	if r.Key == (artifacts.Key{}) {
		r.Key = key
	}
	if r.Kind == Execute {
		r.Entry = run.Entry{Mode: run.Invoke, Name: "run"}
	}
	r.Limits = run.Limits{}.WithDefaults()
	if r.Priority == 0 {
		r.Priority = run.Normal
	}
	if r.Budget == (prepare.Budget{}) {
		r.Budget = loose
	}
	b.step(Ask{Request: r, Reply: kernel.ReplyFunc(func(a Answer, err error) {
		b.done[r.ID]++
		b.answer[r.ID], b.err[r.ID] = a, err
	})})
}

// prepared ends the newest preparation, and stores its artifact.
func (b *bench) prepared(o prepare.Outcome) {
	b.t.Helper()
	j := b.jobs[len(b.jobs)-1]
	o.Meta.Key, o.Meta.PrepareCPU, o.Meta.PreparedAt = j.Job.Key, o.CPU, b.now
	if o.Fault == nil {
		o.Meta.Module = module
		o.Meta.Parts = []artifacts.Part{{Name: "code", Bytes: 60}}
	}
	b.step(prepared{key: j.Job.Key, gen: j.Gen, outcome: o})
	if o.Fault == nil {
		b.step(stored{key: j.Job.Key, gen: j.Gen, bytes: 60})
	}
}

func (b *bench) executed(id uint64, o run.Outcome) {
	b.t.Helper()
	b.step(executed{id: id, outcome: o})
}

func (b *bench) wantFault(id uint64, want fault.Code) {
	b.t.Helper()
	got := fault.Code("")
	if f := b.answer[id].Outcome.Fault; f != nil {
		got = f.Code
	}
	if b.done[id] != 1 || b.err[id] != nil || got != want {
		b.t.Errorf("request %d: answered %d times, fault %q, error %v; want fault %q", id, b.done[id], got, b.err[id], want)
	}
}

func TestOnePreparationForAllWhoAsk(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: HeadsUp, Priority: run.Background})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 3, Kind: Execute, Priority: run.Critical})
	b.ask(Request{ID: 4, Kind: Execute})
	if len(b.jobs) != 1 || len(b.raised) != 2 || b.raised[1].Priority != run.Critical {
		t.Fatalf("%d preparations, raised %v", len(b.jobs), b.raised)
	}
	b.prepared(prepare.Outcome{CPU: 2 * time.Minute})
	b.wantFault(1, "")
	b.wantFault(2, fault.GuestPrepareCPU) // its budget was a minute; the others had more, and it is still one compile
	if len(b.runs) != 2 {
		t.Fatalf("%d runs", len(b.runs))
	}
	for _, r := range b.runs {
		b.executed(r.Run, run.Outcome{})
		b.wantFault(r.Run, "")
		if b.answer[r.Run].Hit || b.answer[r.Run].Attempts != 1 {
			t.Errorf("answer %+v", b.answer[r.Run])
		}
	}
	b.ask(Request{ID: 5, Kind: Execute})
	b.executed(5, run.Outcome{})
	if !b.answer[5].Hit || len(b.jobs) != 1 {
		t.Error("known code was prepared again")
	}
}

func TestDepartures(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Execute})
	b.ask(Request{ID: 2, Kind: Precheck})
	b.step(Depart{ID: 1})
	if !errors.Is(b.err[1], fault.CanceledCaller) || len(b.canceled) != 0 {
		t.Errorf("first: %v, canceled %v", b.err[1], b.canceled)
	}
	b.step(Depart{ID: 2})
	if len(b.canceled) != 1 {
		t.Error("a preparation that nobody waits for goes on")
	}
	first := b.jobs[0]
	b.ask(Request{ID: 3, Kind: Precheck})
	b.step(prepared{key: key, gen: first.Gen, outcome: prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "", "", nil)}})
	if b.done[3] != 0 {
		t.Error("a late notice about an older generation was believed")
	}
	b.prepared(prepare.Outcome{})
	b.wantFault(3, "")
}

func TestFailuresAreRememberedByBlame(t *testing.T) {
	b := newBench(t, Limits{Cooldown: time.Minute, Retries: 2})
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "", "", nil)})
	b.now = b.now.Add(time.Hour)
	b.ask(Request{ID: 2, Kind: Execute})
	b.wantFault(2, fault.GuestInvalid)
	if len(b.jobs) != 1 || len(b.stored) != 1 {
		t.Errorf("%d preparations, %d stored failures", len(b.jobs), len(b.stored))
	}

	other := artifacts.Key{2}
	for n := range 3 { // the first and two retries
		b.ask(Request{ID: uint64(10 + n), Kind: Execute, Key: other})
		b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)})
		b.ask(Request{ID: uint64(20 + n), Kind: Execute, Key: other})
		b.wantFault(uint64(20+n), fault.SuspectPrepareDied) // not before the cool-down
		b.now = b.now.Add(time.Minute)
	}
	before := len(b.jobs)
	b.ask(Request{ID: 30, Kind: Execute, Key: other})
	if before != 4 || len(b.jobs) != before {
		t.Errorf("%d preparations, then %d", before, len(b.jobs))
	}

	third := artifacts.Key{3}
	b.ask(Request{ID: 40, Kind: Execute, Key: third})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil)})
	if !errors.Is(b.err[40], fault.HostSpawnFailed) {
		t.Errorf("a fault of the host: %v", b.err[40])
	}
	b.ask(Request{ID: 41, Kind: Execute, Key: third})
	if b.done[41] != 0 {
		t.Error("a fault of the host was remembered against the code")
	}
}

func TestALargerBudgetIsWorthAnotherTry(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 2, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestPrepareCPU, "", "", nil), CPU: time.Minute, Budget: strict})
	b.wantFault(1, fault.GuestPrepareCPU)
	if b.done[2] != 0 || len(b.jobs) != 2 {
		t.Fatalf("who deserved more: answered %d times, %d preparations", b.done[2], len(b.jobs))
	}
	b.prepared(prepare.Outcome{CPU: 2 * time.Minute})
	b.executed(2, run.Outcome{})
	b.wantFault(2, "")
}

func TestArtifactsThatFailArePreparedAgainOnce(t *testing.T) {
	for _, code := range []fault.Code{fault.HostArtifactMissing, fault.HostArtifactCorrupt, fault.SuspectArtifact} {
		b := newBench(t, Limits{}, Entry{Key: key, Bytes: 60, Meta: artifacts.Meta{Key: key}, Pins: []string{"alice"}})
		b.ask(Request{ID: 1, Kind: Execute})
		b.ask(Request{ID: 2, Kind: Execute})
		b.executed(1, run.Outcome{Fault: fault.New(code, "", "", nil)})
		b.executed(2, run.Outcome{Fault: fault.New(code, "", "", nil)})
		if len(b.jobs) != 1 || len(b.deleted) != 1 {
			t.Fatalf("%s: %d preparations, deleted %v", code, len(b.jobs), b.deleted)
		}
		b.now = b.now.Add(time.Second)
		b.prepared(prepare.Outcome{})
		b.executed(1, run.Outcome{})
		b.executed(2, run.Outcome{Fault: fault.New(code, "", "", nil)})
		b.wantFault(1, "")
		if b.answer[1].Attempts != 2 || b.answer[1].Hit {
			t.Errorf("%s: %+v", code, b.answer[1])
		}
		if b.done[2] != 1 || len(b.jobs) != 1 {
			t.Errorf("%s: a second failure must end it: %d answers, %d preparations", code, b.done[2], len(b.jobs))
		}
		if pins := b.s.pins[key]; len(pins) != 1 {
			t.Errorf("%s: pins %v", code, pins)
		}
	}
}

func TestJudgeSpendsNoWorker(t *testing.T) {
	m := module
	m.Imports = []artifacts.Import{{Module: "env", Name: "x\x1b[31m", Kind: "func"}}
	m.MemoryPages = 10_000
	b := newBench(t, Limits{}, Entry{Key: key, Meta: artifacts.Meta{Key: key}, Bytes: 1})
	b.modules = map[artifacts.Key]artifacts.Module{key: m}
	b.ask(Request{ID: 1, Kind: Execute})
	b.wantFault(1, fault.GuestUnknownImport)
	b.ask(Request{ID: 2, Kind: Execute, Imports: run.TrapMissing})
	b.wantFault(2, fault.GuestMemory)
	b.ask(Request{ID: 3, Kind: Precheck})
	b.wantFault(3, fault.GuestUnknownImport)
	if len(b.runs) != 0 {
		t.Errorf("%d runs", len(b.runs))
	}
}

func TestPruneKeepsWhatIsHeld(t *testing.T) {
	entry := func(n byte, age time.Duration, pins ...string) Entry {
		k := artifacts.Key{n}
		return Entry{Key: k, LastNeeded: time.Unix(1_000_000, 0).Add(-age), Pins: pins, Bytes: 60, Meta: artifacts.Meta{Key: k}}
	}
	b := newBench(t, Limits{}, entry(1, 0), entry(2, time.Minute), entry(3, 2*time.Hour, "alice"), entry(4, 3*time.Minute))
	b.s.limits.Policy = artifacts.PrunePolicy{LimitBytes: 130, Age: time.Hour}
	b.ask(Request{ID: 1, Kind: Execute, Key: artifacts.Key{4}})
	b.step(Prune{})
	if b.pruned.Removed != 2 || b.s.entries[artifacts.Key{3}] == nil || b.s.entries[artifacts.Key{4}] == nil {
		t.Errorf("%+v, left %d", b.pruned, len(b.s.entries))
	}
	b.step(Evict{Key: artifacts.Key{4}})
	b.step(Evict{Key: artifacts.Key{3}})
	for n, err := range b.ops[1:] {
		if !errors.Is(err, fault.CallerConflict) {
			t.Errorf("evict %d: %v", n, err)
		}
	}
	b.executed(1, run.Outcome{})
	b.step(Evict{Key: artifacts.Key{4}})
	if err := b.ops[3]; err != nil {
		t.Errorf("evict after use: %v", err)
	}
}

func TestPinQuota(t *testing.T) {
	b := newBench(t, Limits{Pins: 1}, Entry{Key: key, Bytes: 1}, Entry{Key: artifacts.Key{2}, Bytes: 1})
	for _, p := range []Pin{{Key: key, Tenant: "a"}, {Key: artifacts.Key{2}, Tenant: "a"}, {Key: artifacts.Key{2}, Tenant: "b"}, {Key: key, Tenant: "a", Off: true}, {Key: artifacts.Key{2}, Tenant: "a"}} {
		b.step(p)
	}
	for n, want := range []fault.Code{"", fault.CallerQuota, "", "", ""} {
		if got := fault.CodeOf(b.ops[n]); got != want {
			t.Errorf("verb %d: %q, want %q", n, got, want)
		}
	}
}

func TestNothingIsLostBeforeTheIndex(t *testing.T) {
	b := idle(t, Limits{Requests: 1})
	b.ask(Request{ID: 1, Kind: Precheck})
	b.ask(Request{ID: 2, Kind: Precheck})
	if !errors.Is(b.err[2], fault.BusyQueueFull) {
		t.Errorf("over the limit: %v", b.err[2])
	}
	if len(b.jobs) != 0 {
		t.Fatal("prepared before the index is known")
	}
	b.step(indexed{entries: []Entry{{Key: key, Bytes: 60, Meta: artifacts.Meta{Key: key}, LastNeeded: b.now}}})
	b.wantFault(1, "")
	if !b.answer[1].Hit {
		t.Error("known code is a miss")
	}
}
