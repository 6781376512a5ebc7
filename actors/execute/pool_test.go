package execute

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// job is a run of a binding of its own tenant.
func job(id uint64, p run.Priority, app byte) Job {
	return Job{Run: id, Priority: p, Binding: Binding{Tenant: p.String(), Key: artifacts.Key{app}}}
}

// starts checks which runs have started since the last call.
func (b *bench) starts(what string, want ...uint64) {
	b.t.Helper()
	if d := cmp.Diff(want, b.started); d != "" {
		b.t.Errorf("%s: starts (-want +got)\n%s", what, d)
	}
	b.started = nil
}

// on returns the worker that has a run.
func (b *bench) on(run uint64) uint64 {
	b.t.Helper()
	for w, r := range b.running {
		if r == run {
			return w
		}
	}
	b.t.Fatalf("run %d is on no worker: %v", run, b.running)
	return 0
}

// TestOnlyCriticalRunsStartAboveSoft fills soft, then hard.
func TestOnlyCriticalRunsStartAboveSoft(t *testing.T) {
	b := newBench(t, Limits{Soft: 2, Hard: 4})
	for id := range uint64(3) {
		b.enqueue(job(1+id, run.High, 1))
	}
	b.starts("soft is full", 1, 2)
	for id := range uint64(3) {
		b.enqueue(job(10+id, run.Critical, 2))
	}
	b.starts("hard is full", 10, 11)
}

// TestHardIsSustainedWhileCriticalRunsWait lets workers above soft finish, with and without critical work.
func TestHardIsSustainedWhileCriticalRunsWait(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 3})
	b.enqueue(job(1, run.Normal, 1))
	for id := range uint64(6) {
		b.enqueue(job(10+id, run.Critical, 2))
	}
	b.starts("hard is full", 1, 10, 11)
	for id := range uint64(4) { // whichever finishes takes the next
		b.finish(b.on(10 + id))
		b.starts("the next critical run", 12+id)
		if len(b.closing) > 0 || len(b.bound) != 3 {
			t.Fatalf("%d workers, closing %v, while critical runs wait", len(b.bound), b.closing)
		}
	}
	b.finish(b.on(14))
	b.finish(b.on(15))
	if len(b.closing) != 2 {
		t.Errorf("closing %v: idle workers above soft are culled", b.closing)
	}
	b.settle()
	if d := cmp.Diff([]Gone{{Worker: 2, Reason: "culled"}, {Worker: 3, Reason: "culled"}}, b.gone); d != "" {
		t.Error(d)
	}
	b.finish(b.on(1))
	if len(b.closing) != 0 || len(b.bound) != 1 {
		t.Errorf("%d workers, closing %v: a worker within soft stays", len(b.bound), b.closing)
	}
}

// TestCriticalRunAboveSoftWaitsForItsTurn ends an ordinary run beside a critical one above soft: the slot goes to the
// critical one, since nobody else waits, and who comes later waits until fewer than soft are there.
func TestCriticalRunAboveSoftWaitsForItsTurn(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 2})
	b.enqueue(job(1, run.Normal, 1))
	b.enqueue(job(2, run.Critical, 2))
	b.starts("both", 1, 2)
	b.finish(b.on(1))
	b.enqueue(job(3, run.Normal, 1))
	b.settle()
	b.starts("one is there")
	b.finish(b.on(2))
	b.settle()
	b.starts("none is there", 3)
}

// TestCriticalArrivalsDoNotStarve sends critical runs one at a time, each before the last has ended.
func TestCriticalArrivalsDoNotStarve(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 2})
	for id := range uint64(100) {
		b.enqueue(job(1+id, run.Normal, 1))
	}
	normal := 0
	for id := range uint64(400) {
		b.enqueue(job(1000+id, run.Critical, 2))
		b.finish(b.oldest())
		b.settle()
	}
	for _, id := range b.started {
		if id < 1000 {
			normal++
		}
	}
	if normal < 40 {
		t.Errorf("%d normal runs in %d starts", normal, len(b.started))
	}
}

// TestNoIdleWorkerDiesBesideAFreeSlot gives a run of another binding a free slot, within soft and, to a critical one, above.
func TestNoIdleWorkerDiesBesideAFreeSlot(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	b.enqueue(job(1, run.Normal, 1))
	b.finish(1)
	b.enqueue(job(2, run.Normal, 2))
	if len(b.closing) != 0 || b.running[2] != 2 {
		t.Errorf("closing %v, running %v: a free slot was there", b.closing, b.running)
	}
	b = newBench(t, Limits{Soft: 2, Hard: 3})
	b.enqueue(job(1, run.Normal, 1))
	b.enqueue(job(2, run.Normal, 2))
	b.finish(1)
	b.enqueue(job(3, run.Critical, 3))
	if b.running[3] != 3 {
		t.Errorf("the critical run waits: %v", b.running)
	}
	if !b.closing[1] {
		t.Error("an idle worker above soft is kept")
	}
}

// TestMassDeathDoesNotStall kills all workers at once, again and again.
func TestMassDeathDoesNotStall(t *testing.T) {
	b := newBench(t, Limits{Soft: 3, Hard: 5})
	for id := range uint64(20) {
		b.enqueue(job(1+id, run.Normal, byte(id%4)))
		b.enqueue(job(100+id, run.Critical, byte(id%4)))
	}
	for round := 0; len(b.answers) < 40; round++ {
		if round > 12 {
			t.Fatalf("%d answers after %d mass deaths", len(b.answers), round)
		}
		for w := uint64(1); w <= b.s.last; w++ {
			if b.bound[w] != (Binding{}) {
				b.exit(w)
			}
		}
	}
	if len(b.bound) != 0 {
		t.Errorf("workers %v without work", b.bound)
	}
}

// TestNoResurrectionWithoutWork kills an idle worker.
func TestNoResurrectionWithoutWork(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	b.enqueue(job(1, run.Normal, 1))
	b.finish(1)
	b.exit(1)
	b.now = b.now.Add(time.Hour)
	b.step(tick{})
	if b.s.last != 1 || len(b.bound) != 0 {
		t.Errorf("%d workers were started, there are %v", b.s.last, b.bound)
	}
	if d := cmp.Diff([]Gone{{Worker: 1, Reason: "died"}}, b.gone); d != "" {
		t.Error(d)
	}
}

// unstart lets the start of the worker fail that has a run.
func (b *bench) unstart(id uint64, code fault.Code) {
	b.t.Helper()
	w := b.on(id)
	delete(b.running, w)
	b.step(unstarted{Worker: w, Fault: fault.New(code, "fake", "", nil)})
	delete(b.bound, w)
	b.step(exited{Worker: w})
}

// TestSpawnFailuresBackOff lets the process of one binding never start: its back-off doubles up to a cap, the other
// bindings go on, and after SpawnWait both of its runs have the fault.
func TestSpawnFailuresBackOff(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 2, SpawnWait: 30 * time.Second})
	b.dry = true
	b.enqueue(job(1, run.Normal, 1))
	b.now = b.now.Add(time.Second)
	first := b.now
	b.enqueue(job(2, run.Normal, 1))
	b.starts("the first attempt", 1)
	b.unstart(1, fault.HostSpawnFailed)
	b.enqueue(job(3, run.Normal, 2))
	b.starts("another binding", 3)
	b.finish(b.on(3))
	b.step(Release{Key: artifacts.Key{2}})
	b.settle()
	var waits []time.Duration
	last := first
	for _, ok := b.answers[1]; !ok && b.now.Sub(first) < time.Minute; _, ok = b.answers[1] {
		b.now = b.s.tickAt
		b.step(tick{})
		if len(b.started) > 0 {
			waits = append(waits, b.now.Sub(last))
			last = b.now
			b.starts("one at a time, in order", 1)
			b.unstart(1, fault.HostSpawnFailed)
		}
	}
	const ms = time.Millisecond
	if d := cmp.Diff([]time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms}, waits); d != "" {
		t.Errorf("back-offs\n%s", d)
	}
	if d := b.now.Sub(first); d != 30*time.Second || len(b.answers) != 3 {
		t.Errorf("%d answers after %v", len(b.answers), d)
	}
	if len(b.s.droughts) != 0 {
		t.Errorf("%d droughts are left", len(b.s.droughts))
	}
}

// TestSpawnFailureLastsUntilTheDeadline ends a drought in one case, and lets the deadline pass in the other.
func TestSpawnFailureLastsUntilTheDeadline(t *testing.T) {
	for _, ends := range []bool{true, false} {
		b := newBench(t, Limits{Soft: 1, SpawnWait: time.Second})
		b.dry = true
		j := job(1, run.Normal, 1)
		j.Deadline = b.now.Add(10 * time.Second)
		b.enqueue(j)
		for len(b.answers) == 0 && b.now.Before(j.Deadline.Add(time.Second)) {
			if len(b.running) > 0 && ends && b.now.Sub(epoch) > 5*time.Second {
				w := b.on(1)
				b.step(ready{Worker: w, PID: 1})
				b.finish(w)
				break
			}
			if len(b.running) > 0 {
				b.unstart(1, fault.HostSpawnFailed)
			}
			b.now = b.s.tickAt
			b.step(tick{})
		}
		if at := b.now.Sub(epoch); !ends && at != 10*time.Second || ends && at > 10*time.Second || len(b.answers) != 1 || len(b.s.droughts) != 0 {
			t.Errorf("ends %v: answers %v after %v, %d droughts", ends, b.answers, at, len(b.s.droughts))
		}
	}
}

// TestIdleWorkerServesDuringADrought gives a run whose process cannot be started an idle worker of its binding.
func TestIdleWorkerServesDuringADrought(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	b.enqueue(job(1, run.Normal, 1))
	b.dry = true
	b.enqueue(job(2, run.Normal, 1))
	b.unstart(2, fault.HostSpawnFailed)
	b.started = nil
	b.finish(b.on(1))
	b.starts("on the idle worker, before the back-off ends", 2)
}

// TestCancelDuringAFailedStart answers the run as canceled, not with the failure.
func TestCancelDuringAFailedStart(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.dry = true
	b.enqueue(job(1, run.Normal, 1))
	b.step(Cancel{Run: 1})
	b.unstart(1, fault.HostSpawnFailed)
	if err := b.answers[1]; !errors.Is(err, fault.CanceledCaller) || len(b.s.items) != 0 {
		t.Errorf("answer %v, %d runs left", err, len(b.s.items))
	}
}

// TestRaise lifts runs in each state.
func TestRaise(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 2})
	one := func(id uint64, p run.Priority) Job { return Job{Run: id, Priority: p, Binding: binding(1)} }
	b.enqueue(one(1, run.Normal))
	for id := uint64(2); id <= 5; id++ {
		b.enqueue(one(id, run.Background))
	}
	b.enqueue(one(6, run.High))
	prio := func(id uint64) run.Priority { return b.s.items[id].Priority }
	b.step(Raise{Run: 1, Priority: run.Critical})
	if prio(1) != run.Normal {
		t.Error("a running run was changed")
	}
	b.step(Raise{Run: 2, Priority: run.High})
	b.step(Raise{Run: 3, Priority: run.Normal})
	b.step(Raise{Run: 3, Priority: run.Background})
	b.step(Raise{Run: 3, Priority: run.Critical + 1})
	if prio(2) != run.High || prio(3) != run.Normal {
		t.Errorf("priorities %v and %v", prio(2), prio(3))
	}
	b.step(Raise{Run: 99, Priority: run.High})
	if len(b.behind) != 1 {
		t.Fatal("a Raise that overtook is not put behind the work")
	}
	b.step(b.behind[0])
	if len(b.behind) != 1 {
		t.Error("it is put there again and again")
	}
	b.started = nil
	b.step(Raise{Run: 4, Priority: run.Critical})
	b.starts("a critical run has the slot above soft", 4)
	// High has 6 and, behind it though it is older, 2.
	for len(b.running) > 0 {
		b.finish(b.oldest())
		b.settle()
	}
	at := map[uint64]int{}
	for n, id := range b.started {
		at[id] = n
	}
	if at[6] > at[2] || len(at) != 4 {
		t.Errorf("starts %v: 6 was there before 2 came to its class", b.started)
	}
}

// TestRaiseOfAClaim leaves it a claim.
func TestRaiseOfAClaim(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.enqueue(job(1, run.Normal, 1))
	b.finish(1)
	b.enqueue(job(2, run.Normal, 2))
	b.step(Raise{Run: 2, Priority: run.Critical})
	if len(b.s.claims) != 1 || b.s.claims[0].Priority != run.Critical || b.s.parked() != 1 {
		t.Errorf("%d claims, %d parked", len(b.s.claims), b.s.parked())
	}
	b.settle()
	b.on(2)
}

// TestRaiseDuringAFailedStart finds the run in its new class when it is parked again.
func TestRaiseDuringAFailedStart(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.dry = true
	b.enqueue(job(1, run.Background, 1))
	b.step(Raise{Run: 1, Priority: run.High})
	b.unstart(1, fault.HostSpawnFailed)
	if b.s.classes[run.High].n != 1 {
		t.Error("the run is not parked as high")
	}
}

// TestFullQueueIsSharedByTenants fills the queue with the runs of one tenant: others get in for its newest runs, until they
// have as many.
func TestFullQueueIsSharedByTenants(t *testing.T) {
	b := newBench(t, Limits{Queue: 6, Soft: 1})
	ask := func(id uint64, tenant string, p run.Priority) {
		b.enqueue(Job{Run: id, Priority: p, Binding: Binding{Tenant: tenant}})
	}
	ask(100, "hold", run.Normal)
	for id := uint64(1); id <= 5; id++ {
		ask(id, "greedy", run.Normal)
	}
	ask(6, "greedy", run.Background)
	for id := uint64(11); id <= 14; id++ {
		ask(id, "modest", run.Normal)
	}
	got := map[string]bool{}
	for id, err := range b.answers {
		got[fmt.Sprint(id, " ", fault.CodeOf(err))] = true
	}
	want := map[string]bool{"6 busy.queue_full": true, "5 busy.queue_full": true, "4 busy.queue_full": true, "14 busy.queue_full": true}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answers (-want +got)\n%s", d)
	}
}

// TestDroughtEndsWithTheFirstProcess holds a run of the same binding back during an attempt, and no longer.
func TestDroughtEndsWithTheFirstProcess(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	b.dry = true
	b.enqueue(job(1, run.Normal, 1))
	b.unstart(1, fault.HostSpawnFailed)
	b.enqueue(job(2, run.Normal, 1))
	b.started = nil
	b.now = b.now.Add(minSpawnBackoff)
	b.step(tick{})
	b.starts("one attempt", 1)
	b.step(ready{Worker: b.on(1), PID: 1})
	b.starts("there is a process", 2)
}

// TestOneAttemptAtATime lets each attempt for a binding take longer than its back-off, and a claim be there when the first
// one fails: no other attempt for that binding begins before.
func TestOneAttemptAtATime(t *testing.T) {
	b := newBench(t, Limits{Soft: 3, SpawnWait: time.Hour})
	b.enqueue(job(1, run.Normal, 2))
	b.step(Cancel{Run: 1}) // its process dies slowly
	b.dry = true
	for id := range uint64(5) {
		b.enqueue(job(10+id, run.Normal, 1))
	}
	b.starts("no drought yet; the third one has a claim", 1, 10, 11)
	b.unstart(10, fault.HostSpawnFailed)
	b.unstart(11, fault.HostSpawnFailed)
	b.starts("two have failed")
	for n := range 10 {
		for range 20 {
			b.now = b.now.Add(maxSpawnBackoff)
			b.step(tick{})
		}
		if len(b.started) != 1 {
			t.Fatalf("round %d: attempts for %v", n, b.started)
		}
		b.unstart(b.started[0], fault.HostSpawnFailed)
		b.started = nil
	}
}

// TestLaterRunWaitsItsOwnTime parks a run while the process of its binding cannot be started.
func TestLaterRunWaitsItsOwnTime(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, SpawnWait: time.Second})
	b.dry = true
	b.enqueue(job(1, run.Normal, 1))
	b.unstart(1, fault.HostSpawnFailed)
	at := map[uint64]time.Duration{}
	for passed := time.Duration(0); passed < 3*time.Second; passed += 50 * time.Millisecond {
		b.now = epoch.Add(passed)
		if passed == 800*time.Millisecond {
			b.enqueue(job(2, run.Normal, 1))
		}
		b.step(tick{})
		for _, id := range b.running {
			b.unstart(id, fault.HostSpawnFailed)
		}
		b.step(tick{})
		for id := range b.answers {
			if _, old := at[id]; !old {
				at[id] = passed
			}
		}
	}
	if d := cmp.Diff(map[uint64]time.Duration{1: time.Second, 2: 1800 * time.Millisecond}, at); d != "" {
		t.Error(d)
	}
}
