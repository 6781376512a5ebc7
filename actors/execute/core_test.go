package execute

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

var epoch = time.Unix(1_000_000, 0)

// bench drives a core and plays its shell: it knows which worker runs what, and checks what must always hold.
type bench struct {
	t       *testing.T
	s       *State
	now     time.Time
	answers map[uint64]error // by run; nil for an outcome
	bound   map[uint64]Binding
	running map[uint64]uint64 // worker -> run
	closing map[uint64]bool
	started []uint64 // runs in the order of their start
	behind  []Message
	gone    []Gone
	lent    map[uint64]bool // true: it is wanted back
	grants  int
	dry     bool                  // new processes are not there at once, or never
	around  func(do func()) error // nil: checks the invariants
}

func newBench(t *testing.T, l Limits) *bench {
	return &bench{t: t, s: NewState(l), now: epoch, answers: map[uint64]error{}, bound: map[uint64]Binding{},
		running: map[uint64]uint64{}, closing: map[uint64]bool{}, lent: map[uint64]bool{}}
}

// newLender is a bench whose core lends its workers.
func newLender(t *testing.T, l Limits) *bench {
	b := newBench(t, l)
	b.s.lends = true
	return b
}

func (b *bench) step(m Message) {
	b.t.Helper()
	var out []Effect
	do := func() { out = b.s.Step(b.now, m) }
	if b.around == nil {
		b.around = func(do func()) error { do(); return b.s.wrong(b.now) }
	}
	if err := b.around(do); err != nil {
		b.t.Fatalf("after %T: %v", m, err)
	}
	var fresh []uint64
	for _, e := range out {
		switch e := e.(type) {
		case StartWorker:
			if b.bound[e.Worker] != (Binding{}) {
				b.t.Fatalf("worker %d started twice", e.Worker)
			}
			b.bound[e.Worker] = e.Job.Binding
			fresh = append(fresh, e.Worker)
			b.begin(e.Worker, e.Job)
		case RunOn:
			if b.bound[e.Worker] != e.Job.Binding {
				b.t.Fatalf("worker %d of %+v got a run of %+v", e.Worker, b.bound[e.Worker], e.Job.Binding)
			}
			b.begin(e.Worker, e.Job)
		case StopWorker:
			b.closing[e.Worker] = true
		case Requeue:
			b.behind = append(b.behind, e.Message)
		case Answer:
			if e.Err != nil {
				e.Reply.Fail(e.Err)
			} else {
				e.Reply.Answer(e.Outcome)
			}
		case Grant:
			if _, twice := b.lent[e.Worker]; twice || b.bound[e.Worker] != e.Binding || b.closing[e.Worker] || b.running[e.Worker] != 0 {
				b.t.Fatalf("worker %d of %+v is lent: %+v", e.Worker, b.bound[e.Worker], e)
			}
			b.lent[e.Worker] = false
			b.grants++
		case Revoke:
			if again, is := b.lent[e.Worker]; !is || again {
				b.t.Fatalf("worker %d is asked back: %v", e.Worker, b.lent)
			}
			b.lent[e.Worker] = true
		case Gone:
			b.gone = append(b.gone, e)
		case Done:
			if e.Err != nil {
				e.Reply.Fail(e.Err)
			} else {
				e.Reply.Answer(struct{}{})
			}
		case Purged:
			e.Reply.Answer(e.N)
		}
	}
	for _, w := range fresh {
		if !b.dry {
			b.step(ready{Worker: w, PID: 1})
		}
	}
}

// any returns one of the workers, 0 if there is none.
func (b *bench) any(r *rand.Rand, of any) uint64 {
	var all []uint64
	switch of := of.(type) {
	case map[uint64]uint64:
		all = slices.Sorted(maps.Keys(of))
	case map[uint64]bool:
		all = slices.Sorted(maps.Keys(of))
	}
	if len(all) == 0 {
		return 0
	}
	return all[r.IntN(len(all))]
}

// begin gives a worker a run. A new process is there at once.
func (b *bench) begin(worker uint64, j Job) {
	if r, busy := b.running[worker]; busy {
		b.t.Fatalf("worker %d got run %d while it runs %d", worker, j.Run, r)
	}
	if _, is := b.lent[worker]; is || b.closing[worker] {
		b.t.Fatalf("worker %d got run %d while it closes or is lent", worker, j.Run)
	}
	b.running[worker] = j.Run
	b.started = append(b.started, j.Run)
}

func (b *bench) enqueue(j Job) {
	b.t.Helper()
	id := j.Run
	b.step(Enqueue{Job: j, Reply: kernel.ReplyFunc(func(_ run.Outcome, err error) {
		if _, twice := b.answers[id]; twice {
			b.t.Fatalf("run %d answered twice", id)
		}
		b.answers[id] = err
	})})
}

// finish ends the run of a worker; the process lives on.
func (b *bench) finish(worker uint64) {
	b.t.Helper()
	id := b.running[worker]
	delete(b.running, worker)
	b.step(finished{Worker: worker, Run: id, Alive: true})
}

// giveBack ends a lease.
func (b *bench) giveBack(worker uint64, r Returned) {
	b.t.Helper()
	delete(b.lent, worker)
	b.step(returned{Worker: worker, Returned: r})
}

func (b *bench) exit(worker uint64) {
	b.t.Helper()
	defer delete(b.lent, worker) // what is under way is asked back
	delete(b.running, worker)
	delete(b.bound, worker)
	delete(b.closing, worker)
	b.step(exited{Worker: worker})
}

func binding(n byte) Binding {
	return Binding{Tenant: fmt.Sprint("tenant", n%2), Key: artifacts.Key{n}}
}

// TestTenantsAndAppsTakeTurns gives one tenant a long backlog of two apps, and another one a single run.
func TestTenantsAndAppsTakeTurns(t *testing.T) {
	b := newBench(t, Limits{Soft: 4})
	hold := Binding{Tenant: "hold", Key: artifacts.Key{9}}
	for n := range uint64(4) {
		b.enqueue(Job{Run: 1000 + n, Binding: hold, Priority: run.Normal})
	}
	greedy := func(key byte) Binding { return Binding{Tenant: "greedy", Key: artifacts.Key{key}} }
	for n := range uint64(10) {
		b.enqueue(Job{Run: 1 + n, Binding: greedy(1), Priority: run.Normal})
	}
	b.enqueue(Job{Run: 50, Binding: greedy(2), Priority: run.Normal})
	b.enqueue(Job{Run: 60, Binding: Binding{Tenant: "modest", Key: artifacts.Key{3}}, Priority: run.Normal})
	b.started = nil
	for n := 0; n < 4; n++ { // free one slot after the other
		for w := uint64(1); w <= b.s.last; w++ {
			if r, ok := b.running[w]; ok && r >= 1000 {
				b.finish(w)
				break
			}
		}
		for w := range b.closing {
			b.exit(w)
			break
		}
	}
	seen := map[uint64]bool{}
	for _, r := range b.started[:min(4, len(b.started))] {
		seen[r] = true
	}
	if !seen[60] || !seen[50] {
		t.Errorf("starts %v: the modest tenant (60) and the other app (50) must be among the first", b.started)
	}
}

func TestFullQueueDeadlineAndCancel(t *testing.T) {
	b := newBench(t, Limits{Queue: 2, Soft: 1})
	job := func(id uint64) Job { return Job{Run: id, Binding: binding(1), Priority: run.Normal} }
	b.enqueue(job(1))
	late := job(2)
	late.Deadline = b.now.Add(time.Second)
	b.enqueue(late)
	b.enqueue(job(3))
	b.enqueue(job(4))
	var f *fault.Error
	if !errors.As(b.answers[4], &f) || f.Code != fault.BusyQueueFull || f.RetryAfter <= 0 {
		t.Errorf("over the queue: %v", b.answers[4])
	}
	b.now = b.now.Add(time.Second)
	b.step(tick{})
	if !errors.Is(b.answers[2], fault.CanceledDeadline) {
		t.Errorf("after its deadline: %v", b.answers[2])
	}
	b.step(Cancel{Run: 3})
	if !errors.Is(b.answers[3], fault.CanceledCaller) {
		t.Errorf("canceled while parked: %v", b.answers[3])
	}
	b.step(Cancel{Run: 1})
	if _, early := b.answers[1]; early || !b.closing[1] {
		t.Errorf("canceled while running: answered %v before its process ended", early)
	}
	b.exit(1)
	if !errors.Is(b.answers[1], fault.CanceledCaller) {
		t.Errorf("canceled while running: %v", b.answers[1])
	}
}

func TestUnknownPriorityIsRefused(t *testing.T) {
	b := newBench(t, Limits{})
	b.enqueue(Job{Run: 1, Binding: binding(1)})
	b.enqueue(Job{Run: 2, Binding: binding(1), Priority: run.Critical + 1})
	for id := uint64(1); id <= 2; id++ {
		if err := b.answers[id]; !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("run %d: %v", id, err)
		}
	}
}

// TestRunThatIsAskedForAgainStartsOnce sends a parked and a running run a second time.
func TestRunThatIsAskedForAgainStartsOnce(t *testing.T) {
	b := newBench(t, Limits{Queue: 1, Soft: 1})
	got := map[string]int{}
	for _, asker := range []string{"old", "new"} {
		for id := uint64(1); id <= 2; id++ {
			b.step(Enqueue{Job: Job{Run: id, Binding: binding(1), Priority: run.Normal},
				Reply: kernel.ReplyFunc(func(run.Outcome, error) { got[fmt.Sprint(asker, id)]++ })})
		}
	}
	b.finish(1)
	b.finish(1)
	if d := cmp.Diff(map[string]int{"new1": 1, "new2": 1}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]uint64{1, 2}, b.started); d != "" {
		t.Error(d)
	}
}

// TestCancelThatOvertakesWaitsBehindTheWork cancels a run that arrives later, and one that has ended.
func TestCancelThatOvertakesWaitsBehindTheWork(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.step(Cancel{Run: 1})
	b.step(Cancel{Run: 2})
	b.enqueue(Job{Run: 1, Binding: binding(1), Priority: run.Normal})
	if len(b.behind) != 2 {
		t.Fatalf("%d messages went behind the work", len(b.behind))
	}
	b.step(b.behind[0])
	b.step(b.behind[1])
	if !b.closing[1] || len(b.behind) != 2 {
		t.Errorf("closing %v, %d messages behind the work", b.closing, len(b.behind))
	}
}

func TestIdleWorkersGoForRoomAndAfterAWhile(t *testing.T) {
	b := newBench(t, Limits{Soft: 2, Idle: time.Minute})
	for n := byte(1); n <= 2; n++ {
		b.enqueue(Job{Run: uint64(n), Binding: binding(n), Priority: run.Normal})
	}
	b.finish(1)
	b.now = b.now.Add(time.Second)
	b.finish(2)
	b.enqueue(Job{Run: 3, Binding: binding(3), Priority: run.Normal})
	if !b.closing[1] || b.closing[2] {
		t.Errorf("closing %v, want only worker 1, which idled longest", b.closing)
	}
	b.exit(1)
	if b.running[3] != 3 {
		t.Errorf("run 3 did not start in the room: %v", b.running)
	}
	b.finish(3)
	b.now = b.now.Add(time.Minute)
	b.step(tick{})
	if !b.closing[2] || !b.closing[3] {
		t.Errorf("closing %v after the idle time", b.closing)
	}
}

func TestWorkerThatDiesBeforeItsRunIsSuspect(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.enqueue(Job{Run: 1, Binding: binding(1), Priority: run.Normal})
	b.finish(1)
	var got run.Outcome
	b.step(Enqueue{Job: Job{Run: 2, Binding: binding(1), Priority: run.Normal},
		Reply: kernel.ReplyFunc(func(o run.Outcome, _ error) { got = o })})
	b.exit(1)
	if got.Fault == nil || got.Fault.Code != fault.SuspectWorkerDied {
		t.Errorf("outcome %+v", got)
	}
}

// TestRandomSchedules throws everything at the core at random: every run is answered exactly once, no worker is shared or
// doubly used, and nothing is left.
func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := newBench(t, Limits{Queue: 1 + r.IntN(8), Soft: 1 + r.IntN(4), Idle: time.Second})
		asked := uint64(0)
		act := func(enqueue bool) {
			switch n := r.IntN(10); {
			case n < 4 && enqueue:
				asked++
				j := Job{Run: asked, Binding: binding(byte(r.IntN(4))), Priority: run.Priority(1 + r.IntN(4))}
				if r.IntN(3) == 0 {
					j.Deadline = b.now.Add(time.Duration(r.IntN(3)) * time.Second)
				}
				b.enqueue(j)
			case n < 6:
				for w := range b.running {
					if !b.closing[w] {
						b.finish(w)
						break
					}
				}
			case n == 6:
				b.step(Cancel{Run: 1 + r.Uint64N(asked+1)})
			case n == 7:
				b.now = b.now.Add(time.Duration(r.IntN(1500)) * time.Millisecond)
				b.step(tick{})
			case n == 8:
				for w := range b.closing {
					b.exit(w)
					break
				}
			default:
				for w := range b.bound {
					if r.IntN(5) == 0 {
						b.exit(w)
					}
					break
				}
			}
		}
		for range 200 {
			act(true)
		}
		for range 400 {
			act(false)
		}
		if len(b.answers) != int(asked) {
			t.Fatalf("seed %d: %d answers for %d runs; parked %d, running %v", seed, len(b.answers), asked, b.s.parked(), b.running)
		}
		if len(b.s.items) != 0 {
			t.Fatalf("seed %d: %d runs are left", seed, len(b.s.items))
		}
	}
}
