package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

func budget(cpu, wall time.Duration, mib int64) prepare.Budget {
	return prepare.Budget{CPU: cpu, Wall: wall, MemoryBytes: mib << 20}
}

// passes tells the cache what the newest preparation has used.
func (b *bench) passes(used prepare.Budget) {
	b.t.Helper()
	j := b.jobs[len(b.jobs)-1]
	b.step(passed{key: j.Job.Key, gen: j.Gen, used: used})
}

// TestBar03OneCompileForAnyMix has many ask for one new module, in all kinds and orders, with budgets and priorities of
// their own. There is one preparation, and each gets its answer.
func TestBar03OneCompileForAnyMix(t *testing.T) {
	const n = 24
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := newBench(t, Limits{})
		kinds := map[uint64]Kind{}
		budgets := map[uint64]prepare.Budget{}
		ran := 0
		need, at := 100*time.Second, r.IntN(n) // who has enough comes at any time, and the strict ones are not all gone by then
		used := time.Duration(0)
		for id := range uint64(n) {
			kinds[id] = Kind(1 + r.IntN(3))
			cpu := time.Duration(50+r.IntN(100)) * time.Second
			if int(id) == at {
				cpu = 2 * need
			}
			budgets[id] = budget(cpu, time.Hour, 1024)
			b.ask(Request{ID: id, Kind: kinds[id], Budget: budgets[id], Priority: run.Priority(1 + r.IntN(4))})
			if int(id) >= at && used < 90*time.Second {
				used += 2 * time.Second
				b.passes(prepare.Budget{CPU: used})
			}
		}
		b.prepared(prepare.Outcome{CPU: need})
		for id := range uint64(n) {
			if kinds[id] == Execute && budgets[id].CPU > need {
				b.executed(id, run.Outcome{})
				ran++
			}
		}
		if len(b.jobs) != 1 || len(b.canceled) != 0 || len(b.runs) != ran {
			t.Fatalf("seed %d: %d preparations, %d canceled, %d runs of %d", seed, len(b.jobs), len(b.canceled), len(b.runs), ran)
		}
		for id := range uint64(n) {
			want := fault.Code("")
			if budgets[id].CPU <= need {
				want = fault.GuestPrepareCPU
			}
			b.wantFault(id, want)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestBudgetsGrowAndMarkInEitherOrder(t *testing.T) {
	small, large := budget(time.Minute, 10*time.Minute, 100), budget(2*time.Minute, 5*time.Minute, 200)
	both := budget(2*time.Minute, 10*time.Minute, 200)
	for _, order := range [][]prepare.Budget{{small, large}, {large, small}} {
		b := newBench(t, Limits{})
		b.ask(Request{ID: 1, Kind: Precheck, Budget: order[0]})
		b.ask(Request{ID: 2, Kind: Execute, Budget: order[1]})
		b.ask(Request{ID: 3, Kind: HeadsUp, Budget: order[0]})
		want := []RaisePrepare{{Job: 1, Priority: run.Normal, Budget: both, Marks: order, By: "execute of "}}
		if d := cmp.Diff(want, b.raised); d != "" || len(b.jobs) != 1 || b.jobs[0].Job.Budget != order[0] {
			t.Errorf("started %+v, raised (-want +got)\n%s", b.jobs[0].Job, d)
		}
		now := b.s.Current(b.jobs[0].Job)
		if now.Budget != both || !slices.Equal(now.Marks, order) {
			t.Errorf("a queue that restarts is asked for %+v", now)
		}
	}
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Execute, Budget: both})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: budget(both.CPU, both.Wall, 1)}) // nothing that a mark could tell
	b.ask(Request{ID: 3, Kind: Precheck, Budget: both})
	if len(b.raised) != 0 {
		t.Errorf("raised %+v", b.raised)
	}
}

func TestEachIsJudgedWhenItsBudgetPasses(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: budget(time.Minute, time.Hour, 1)})
	b.ask(Request{ID: 2, Kind: Execute, Budget: budget(6*time.Minute, 10*time.Minute, 1)})
	b.ask(Request{ID: 3, Kind: HeadsUp, Budget: budget(6*time.Minute, time.Hour, 1)})
	b.passes(budget(time.Minute-1, time.Minute, 0))
	if len(b.done) != 0 {
		t.Fatalf("answered %v before any budget is used up", b.done)
	}
	b.passes(budget(time.Minute, 2*time.Minute, 0))
	b.wantFault(1, fault.GuestPrepareCPU)
	b.passes(budget(2*time.Minute, 10*time.Minute, 0))
	b.wantFault(2, fault.SuspectPrepareWall)
	if len(b.done) != 2 || len(b.canceled) != 0 || len(b.jobs) != 1 {
		t.Fatalf("answered %v, canceled %v, %d preparations", b.done, b.canceled, len(b.jobs))
	}
	b.prepared(prepare.Outcome{CPU: 3 * time.Minute})
	b.wantFault(3, "")
	b.ask(Request{ID: 4, Kind: Precheck, Budget: budget(2*time.Minute, time.Hour, 1)})
	b.wantFault(4, fault.GuestPrepareCPU) // from the record
	b.ask(Request{ID: 5, Kind: Precheck, Budget: budget(4*time.Minute, time.Second, 1)})
	b.wantFault(5, "") // that it took long then says nothing
	if len(b.jobs) != 1 {
		t.Errorf("%d preparations", len(b.jobs))
	}
}

func TestWhatNobodyWaitsForIsCanceledAndRemembered(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: budget(time.Minute, time.Hour, 1)})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: budget(2*time.Minute, time.Hour, 1)})
	b.ask(Request{ID: 3, Kind: Execute, Budget: budget(6*time.Minute, time.Hour, 1)})
	b.passes(budget(time.Minute, 0, 0))
	b.step(Depart{ID: 3})
	if len(b.canceled) != 0 {
		t.Fatal("somebody waits")
	}
	b.passes(budget(2*time.Minute, 0, 0))
	b.wantFault(2, fault.GuestPrepareCPU)
	if len(b.canceled) != 1 || len(b.stored) != 1 || b.stored[0].Budget != 2*time.Minute || b.stored[0].CPU != 2*time.Minute {
		t.Fatalf("canceled %v, remembered %+v", b.canceled, b.stored)
	}
	b.ask(Request{ID: 4, Kind: Precheck, Budget: budget(2*time.Minute, 2*time.Hour, 1)})
	b.wantFault(4, fault.GuestPrepareCPU)
	if len(b.jobs) != 1 {
		t.Error("no more than was judged, and it was prepared again")
	}
	b.ask(Request{ID: 5, Kind: Precheck, Budget: budget(3*time.Minute, time.Hour, 1)})
	if len(b.jobs) != 2 || b.done[5] != 0 {
		t.Error("more than was judged, and it was answered from the record")
	}
	b.prepared(prepare.Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil)})
	if f := b.s.entries[key].failure; len(b.stored) != 1 || f != b.stored[0] {
		t.Errorf("what was learned before was learned again: %+v", b.stored)
	}
}

// TestADepartureLeavesWhatWasLearned has the last who waits leave after a stricter one was judged.
func TestADepartureLeavesWhatWasLearned(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 2, Kind: Execute, Budget: loose})
	b.passes(budget(time.Minute, 0, 0))
	b.step(Depart{ID: 2})
	b.ask(Request{ID: 3, Kind: Precheck, Budget: strict})
	b.wantFault(3, fault.GuestPrepareCPU)
	if len(b.canceled) != 1 || len(b.jobs) != 1 {
		t.Errorf("canceled %v, %d preparations", b.canceled, len(b.jobs))
	}
	b = newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 2, Kind: Execute, Budget: loose})
	b.passes(budget(time.Minute, 0, 0))
	b.prepared(prepare.Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil), CPU: 2 * time.Minute})
	b.ask(Request{ID: 3, Kind: Precheck, Budget: strict})
	b.wantFault(3, fault.GuestPrepareCPU)
	if !errors.Is(b.err[2], fault.HostSpawnFailed) {
		t.Errorf("a fault of the host: %v", b.err[2])
	}
}

func TestWhatTheCodeDidBeatsTheMachine(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: HeadsUp, Budget: budget(time.Hour, time.Minute, 1)})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: budget(time.Minute, time.Hour, 1)})
	b.passes(budget(time.Second, time.Minute, 0))
	b.passes(budget(time.Minute, 2*time.Minute, 0))
	b.wantFault(1, fault.SuspectPrepareWall)
	b.wantFault(2, fault.GuestPrepareCPU)
	if f := b.stored[0]; f.Fault != fault.GuestPrepareCPU || f.Budget != time.Minute || len(b.stored) != 1 {
		t.Errorf("remembered %+v", b.stored)
	}
}

func TestAFailureIsJudgedByEachBudget(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 2, Kind: Execute, Budget: loose})
	b.prepared(prepare.Outcome{CPU: 2 * time.Minute, Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)}) // the mark did not come
	b.wantFault(1, fault.GuestPrepareCPU)
	b.wantFault(2, fault.SuspectPrepareDied)
	b.ask(Request{ID: 3, Kind: Precheck, Budget: strict})
	b.wantFault(3, fault.GuestPrepareCPU)
	b.ask(Request{ID: 4, Kind: Precheck, Budget: loose})
	b.wantFault(4, fault.SuspectPrepareDied)
}

// TestAnExtensionThatCameTooLate is the one case in which a second preparation is right: a limit was reached before the
// queue heard of the larger budget. What was in force is told by what was used.
func TestAnExtensionThatCameTooLate(t *testing.T) {
	ask := func() *bench {
		b := newBench(t, Limits{})
		b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
		b.ask(Request{ID: 2, Kind: Execute, Budget: loose})
		b.ask(Request{ID: 3, Kind: HeadsUp, Budget: loose, Priority: run.High})
		return b
	}
	b := ask()
	b.prepared(prepare.Outcome{CPU: strict.CPU - time.Millisecond, Budget: strict, Fault: fault.New(fault.GuestPrepareCPU, "", "", nil)})
	b.wantFault(1, fault.GuestPrepareCPU)
	if len(b.done) != 1 || len(b.jobs) != 2 || b.jobs[1].Job.Budget != loose || b.jobs[1].Job.Priority != run.High {
		t.Errorf("answered %v, preparations %+v", b.done, b.jobs)
	}
	b = ask()
	b.prepared(prepare.Outcome{CPU: loose.CPU - time.Millisecond, Budget: loose, Fault: fault.New(fault.GuestPrepareCPU, "", "", nil)})
	for id := uint64(1); id <= 3; id++ {
		b.wantFault(id, fault.GuestPrepareCPU)
	}
	if len(b.jobs) != 1 || b.stored[0].Budget != loose.CPU {
		t.Errorf("%d preparations, remembered %+v", len(b.jobs), b.stored)
	}
}

func TestMemoryIsABudgetToo(t *testing.T) {
	b := newBench(t, Limits{})
	little, much := budget(time.Minute, time.Hour, 100), budget(time.Minute, time.Hour, 1000)
	b.ask(Request{ID: 1, Kind: Precheck, Budget: little})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: much})
	b.prepared(prepare.Outcome{PeakRSS: 200 << 20, CPU: time.Second})
	b.wantFault(1, fault.GuestPrepareMemory)
	b.wantFault(2, "")
	b.s.entries[key].meta.PeakRSS = 1001 << 20 // what the system counts besides
	b.ask(Request{ID: 3, Kind: Precheck, Budget: much})
	b.wantFault(3, "")
	b.ask(Request{ID: 4, Kind: Precheck, Budget: little})
	b.wantFault(4, fault.GuestPrepareMemory)

	b = newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: little})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestPrepareMemory, "", "", nil)})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: little})
	b.wantFault(2, fault.GuestPrepareMemory)
	b.ask(Request{ID: 3, Kind: Precheck, Budget: much})
	if len(b.jobs) != 2 {
		t.Error("a larger budget was answered from the record")
	}
}

func TestLateMarksMeanNothing(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	j := b.jobs[0]
	b.step(Depart{ID: 1})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: strict})
	b.step(passed{key: key, gen: j.Gen, used: loose})
	b.step(passed{key: artifacts.Key{9}, gen: j.Gen, used: loose})
	j = b.jobs[1]
	b.step(prepared{key: key, gen: j.Gen, outcome: made(key)})
	b.step(passed{key: key, gen: j.Gen, used: loose})
	if b.done[2] != 0 {
		t.Error("an artifact that is there was judged by a late mark")
	}
	b.step(stored{key: key, gen: j.Gen, bytes: 60})
	b.wantFault(2, "")
}

func TestPrioritiesRiseAndSayWhy(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: HeadsUp, Priority: run.Background, Tenant: "a"})
	b.now = b.now.Add(time.Second)
	b.ask(Request{ID: 2, Kind: Precheck, Tenant: "b"})
	b.ask(Request{ID: 3, Kind: HeadsUp, Priority: run.Background, Tenant: "c"}) // it lowers nothing
	b.step(Raise{ID: 1, Priority: run.Normal, By: "nobody"})
	b.step(Raise{ID: 3, Priority: run.High, By: "job 7"})
	b.ask(Request{ID: 4, Kind: Execute, Priority: run.Critical, Tenant: "d", By: "dispute"})
	b.step(Raise{ID: 2, Priority: run.Critical + 1})
	want := []inspect.Escalation{
		{At: b.now, From: "background", To: "normal", By: "precheck of b"},
		{At: b.now, From: "normal", To: "high", By: "job 7"},
		{At: b.now, From: "high", To: "critical", By: "dispute"},
	}
	if d := cmp.Diff(want, b.s.list()[0].Escalations); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	var got []string
	for _, r := range b.raised {
		got = append(got, fmt.Sprint(r.Priority, " by ", r.By))
	}
	if d := cmp.Diff([]string{"normal by precheck of b", "high by job 7", "critical by dispute"}, got); d != "" {
		t.Errorf("told the queue (-want +got)\n%s", d)
	}
	b.prepared(prepare.Outcome{})
	if p := b.runs[0].Priority; p != run.Critical {
		t.Errorf("runs at %s", p)
	}
}

func TestRaiseFollowsARequest(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.hold = true // it waits for the description
	b.ask(Request{ID: 1, Kind: Execute})
	b.step(Raise{ID: 1, Priority: run.High})
	b.release()
	if b.runs[0].Priority != run.High {
		t.Errorf("after the description: %s", b.runs[0].Priority)
	}
	b.step(Raise{ID: 1, Priority: run.Critical})
	b.step(Raise{ID: 1, Priority: run.Normal})
	if d := cmp.Diff([]RaiseExecute{{Run: 1, Priority: run.Critical}}, b.lifted); d != "" {
		t.Errorf("in the execute queue (-want +got)\n%s", d)
	}
	b.executed(1, run.Outcome{Fault: fault.New(fault.HostArtifactCorrupt, "", "", nil)})
	if p := b.jobs[0].Job.Priority; p != run.Critical {
		t.Errorf("prepared again at %s", p)
	}

	out := b.s.Step(b.now, Raise{ID: 9, Priority: run.High}) // it overtook its request
	q, ok := out[0].(Requeue)
	if !ok {
		t.Fatalf("%+v", out)
	}
	b.ask(Request{ID: 9, Kind: HeadsUp, Key: artifacts.Key{9}, Priority: run.Background})
	b.step(q.Message)
	if r := b.raised[len(b.raised)-1]; r.Priority != run.High {
		t.Errorf("%+v", r)
	}
	if out := b.s.Step(b.now, Raise{ID: 10, again: true, Priority: run.High}); len(out) != 0 {
		t.Errorf("a request that has ended: %+v", out)
	}
}

// TestPreparingAgainTakesTheHighestPriority has a damaged artifact be prepared anew for one who is patient and one who is not.
func TestPreparingAgainTakesTheHighestPriority(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.describe = func(Describe) error { return fault.New(fault.HostArtifactCorrupt, "", "", nil) }
	b.hold = true
	b.ask(Request{ID: 1, Kind: Precheck, Priority: run.Background, Budget: strict})
	b.ask(Request{ID: 2, Kind: Execute, Priority: run.Critical, Budget: loose})
	b.release()
	j := b.jobs[0].Job
	if j.Priority != run.Critical || j.Budget != loose || len(b.raised) != 0 || len(b.jobs) != 1 {
		t.Errorf("%d preparations, %+v, raised %+v", len(b.jobs), j, b.raised)
	}
}

func TestLimitsSayWhatWasUsed(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.prepared(prepare.Outcome{CPU: strict.CPU, Fault: fault.New(fault.GuestPrepareCPU, "prepare", "", errors.New("what the pool saw"))})
	if got := b.answer[1].Outcome.Fault.Error(); !strings.HasSuffix(got, "what the pool saw") {
		t.Errorf("%q", got)
	}
	b = newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 2, Kind: Precheck, Budget: loose})
	b.passes(strict)
	b.step(Depart{ID: 2})
	if got := b.answer[1].Outcome.Fault.Error(); !strings.HasSuffix(got, "used 1m0s of 1m0s") || !strings.HasSuffix(b.stored[0].Cause, "used 1m0s of 1m0s") {
		t.Errorf("%q, stored %q", got, b.stored[0].Cause)
	}
}

// TestMoreOfOneIsNotMoreOfAll has a request that has more wall time, and less CPU time than was used.
func TestMoreOfOneIsNotMoreOfAll(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: budget(time.Minute, time.Minute, 1)})
	b.prepared(prepare.Outcome{CPU: 50 * time.Second, Wall: time.Minute, Fault: fault.New(fault.SuspectPrepareWall, "", "", nil)})
	b.wantFault(1, fault.SuspectPrepareWall)
	b.ask(Request{ID: 2, Kind: Precheck, Budget: budget(40*time.Second, time.Hour, 1)})
	b.wantFault(2, fault.GuestPrepareCPU)
	b.ask(Request{ID: 3, Kind: Precheck, Budget: budget(time.Minute, time.Hour, 1)})
	if len(b.jobs) != 2 {
		t.Errorf("%d preparations", len(b.jobs))
	}
}

// TestWhoComesAfterItsMarkIsAnsweredAtOnce has a request join whose budget is used up, at a mark that was told before.
func TestWhoComesAfterItsMarkIsAnsweredAtOnce(t *testing.T) {
	b := newBench(t, Limits{})
	b.ask(Request{ID: 1, Kind: Precheck, Budget: strict})
	b.ask(Request{ID: 2, Kind: Execute, Budget: loose})
	b.passes(strict)
	raised := len(b.raised)
	b.ask(Request{ID: 3, Kind: Precheck, Budget: strict, Priority: run.Critical})
	b.wantFault(3, fault.GuestPrepareCPU)
	if len(b.raised) != raised || b.done[2] != 0 {
		t.Errorf("raised %+v, answered %v", b.raised, b.done)
	}
	b.prepared(prepare.Outcome{CPU: 2 * time.Minute})
	b.executed(2, run.Outcome{})
	b.wantFault(2, "")
	b.step(Evict{Key: key})
	b.ask(Request{ID: 4, Kind: Precheck, Budget: strict})
	if len(b.jobs) != 2 || b.done[4] != 0 {
		t.Error("a mark of an older generation was believed")
	}
}

func TestEachPreparationBeginsAnew(t *testing.T) {
	b := newBench(t, Limits{Cooldown: time.Minute})
	b.ask(Request{ID: 1, Kind: HeadsUp, Priority: run.Background, Budget: loose})
	b.ask(Request{ID: 2, Kind: Precheck, Priority: run.Critical, Budget: strict})
	b.passes(strict)
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil), CPU: strict.CPU - 1})
	b.now = b.now.Add(time.Minute)
	b.ask(Request{ID: 3, Kind: HeadsUp, Tenant: "c", Budget: prepare.Budget{CPU: time.Minute}})
	want := prepare.Job{ID: 2, Key: key, Tenant: "c", Priority: run.Normal, Budget: prepare.Budget{CPU: time.Minute, Wall: 4 * time.Minute}}
	if len(b.jobs) != 2 || b.done[3] != 0 {
		t.Fatalf("%d preparations, answered %v", len(b.jobs), b.done)
	}
	if d := cmp.Diff(want, b.jobs[1].Job, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if e := b.s.list()[0].Escalations; len(e) != 0 {
		t.Errorf("%+v", e)
	}
	b.ask(Request{ID: 4, Kind: Precheck, Budget: strict})
	if b.done[4] != 0 {
		t.Error("judged by what an older generation used")
	}
}
