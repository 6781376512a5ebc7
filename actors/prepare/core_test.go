package prepare

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// bench drives a core and plays its shell.
type bench struct {
	t         *testing.T
	s         *State
	now       time.Time
	started   []uint64 // jobs in the order of their start
	worker    map[uint64]uint64
	stopped   map[uint64]bool
	outcome   map[uint64]Outcome
	behind    []Message
	discarded []uint64
	err       map[uint64]error
	steered   map[uint64]Steering // the last of each job
	steers    int
	turn      map[uint64]uint64
	passed    map[uint64][]Budget
	how       string // what the steered processes answer
}

func newBench(t *testing.T, l Limits) *bench {
	return &bench{t: t, s: NewState(l), now: time.Unix(1_000_000, 0), worker: map[uint64]uint64{}, stopped: map[uint64]bool{},
		outcome: map[uint64]Outcome{}, err: map[uint64]error{}, steered: map[uint64]Steering{}, turn: map[uint64]uint64{},
		passed: map[uint64][]Budget{}, how: "nice"}
}

func (b *bench) step(m Message) {
	b.t.Helper()
	var news []Message
	for _, e := range b.s.Step(b.now, m) {
		switch e := e.(type) {
		case Steer:
			b.steers++
			b.steered[e.Job], b.turn[e.Job] = e.Steering, e.Turn
			news = append(news, steered{Worker: e.Worker, Turn: e.Turn, How: b.how})
		case Tell:
			e.Passed(e.Used)
		case StartWorker:
			b.started = append(b.started, e.Job.ID)
			b.worker[e.Job.ID] = e.Worker
		case StopWorker:
			b.stopped[e.Worker] = true
		case Discard:
			b.discarded = append(b.discarded, e.Ticket)
		case Requeue:
			b.behind = append(b.behind, e.Message)
		case Answer:
			if e.Err != nil {
				e.Reply.Fail(e.Err)
			} else {
				e.Reply.Answer(e.Outcome)
			}
		}
	}
	for _, m := range news {
		b.step(m)
	}
}

func (b *bench) enqueue(id uint64, p run.Priority) {
	b.t.Helper()
	told := func(used Budget) { b.passed[id] = append(b.passed[id], used) }
	b.step(Enqueue{Job: Job{ID: id, Priority: p, Budget: Budget{CPU: time.Minute}}, Passed: told, Reply: kernel.ReplyFunc(func(o Outcome, err error) {
		if _, twice := b.outcome[id]; twice {
			b.t.Fatalf("job %d answered twice", id)
		}
		b.outcome[id], b.err[id] = o, err
	})})
}

func (b *bench) end(id uint64, f *fault.Error) {
	b.t.Helper()
	b.step(ended{Worker: b.worker[id], Outcome: Outcome{Fault: f}})
}

func TestPriorityOrderAndRaise(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 1})
	b.enqueue(1, run.Normal)
	b.enqueue(2, run.Background)
	b.enqueue(3, run.Normal)
	b.enqueue(4, run.Normal)
	b.step(Raise{Job: 4, Priority: run.Critical})
	b.step(Raise{Job: 4, Priority: run.Background}) // never lowers
	for range 4 {
		b.end(b.started[len(b.started)-1], nil)
	}
	if d := cmp.Diff([]uint64{1, 4, 3, 2}, b.started); d != "" {
		t.Error(d)
	}
}

func TestHardCapacityOnlyWhileCriticalWaits(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 3})
	for id := uint64(1); id <= 3; id++ {
		b.enqueue(id, run.High)
	}
	if len(b.started) != 1 {
		t.Fatalf("%d run without a critical job", len(b.started))
	}
	for id := uint64(11); id <= 14; id++ {
		b.enqueue(id, run.Critical)
	}
	if d := cmp.Diff([]uint64{1, 11, 12}, b.started); d != "" {
		t.Error(d)
	}
	b.end(1, nil)
	if got := b.started[len(b.started)-1]; got != 13 {
		t.Errorf("%d started in the free slot, want 13: hard capacity is sustained", got)
	}
}

// TestCriticalBackOffOpensNothingAndFindsItsSlot lets a critical job wait for its next try beside a background backlog.
func TestCriticalBackOffOpensNothingAndFindsItsSlot(t *testing.T) {
	for _, l := range []Limits{{Soft: 1, Hard: 1}, {Soft: 1, Hard: 2}, {Soft: 2, Hard: 2}, {Soft: 2, Hard: 4}} {
		b := newBench(t, l)
		b.enqueue(1, run.Critical)
		for id := uint64(11); id <= 20; id++ {
			b.enqueue(id, run.Background)
		}
		b.end(1, fault.New(fault.HostSpawnFailed, "", "", nil))
		if n, most := len(b.s.running), min(l.Soft, l.Hard-1); n != most {
			t.Errorf("%+v: %d background jobs run beside the back-off, want %d", l, n, most)
		}
		b.now = b.now.Add(spawnBackoff)
		b.step(wake{})
		if last := b.started[len(b.started)-1]; last != 1 {
			t.Errorf("%+v: the critical job found no slot: started %v", l, b.started)
		}
		b.end(1, nil)
		if n := len(b.s.running); n != l.Soft {
			t.Errorf("%+v: %d background jobs run after it", l, n)
		}
	}
}

// TestSpawnFailuresBackOffAndEnd lets no process start: the tries become rarer, and at the deadline the job is answered.
func TestSpawnFailuresBackOffAndEnd(t *testing.T) {
	const wait = 20 * time.Second
	b := newBench(t, Limits{Soft: 1, SpawnWait: wait})
	begin := b.now
	var tries []time.Duration
	b.enqueue(1, run.Normal)
	for len(b.outcome) == 0 && len(tries) < 100 {
		if len(b.started) > len(tries) {
			tries = append(tries, b.now.Sub(begin))
			b.end(1, fault.New(fault.HostSpawnFailed, "", "", nil))
			b.step(wake{}) // too early: nothing happens
		}
		b.now = b.now.Add(spawnBackoff)
		b.step(wake{})
	}
	ms := time.Millisecond
	if d := cmp.Diff([]time.Duration{0, 200 * ms, 600 * ms, 1400 * ms, 3000 * ms, 6200 * ms, 11200 * ms, 16200 * ms}, tries); d != "" {
		t.Error(d)
	}
	if f := b.outcome[1].Fault; f == nil || f.Code != fault.HostSpawnFailed || b.now.Sub(begin) != wait {
		t.Errorf("outcome %+v after %v", b.outcome[1], b.now.Sub(begin))
	}
}

// TestSpawnDeadlineIsNoQueueLimit: a job whose process could not be started once waits for a slot as long as it must, and
// is answered by the next failure after its deadline.
func TestSpawnDeadlineIsNoQueueLimit(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.enqueue(1, run.Normal)
	b.enqueue(2, run.Normal)
	b.end(1, fault.New(fault.HostSpawnFailed, "", "", nil)) // job 2 takes the slot
	b.now = b.now.Add(time.Hour)
	b.step(wake{})
	if len(b.outcome) != 0 {
		t.Fatalf("answered %v while it waits for a slot", b.outcome)
	}
	b.end(2, nil)
	b.end(1, fault.New(fault.HostSpawnFailed, "", "", nil))
	if f := b.outcome[1].Fault; f == nil || f.Code != fault.HostSpawnFailed || len(b.started) != 3 {
		t.Errorf("outcome %+v, started %v", b.outcome[1], b.started)
	}
}

func TestUnknownPriorityIsRefused(t *testing.T) {
	b := newBench(t, Limits{})
	b.enqueue(1, 0)
	b.enqueue(2, run.Critical+1)
	for id := uint64(1); id <= 2; id++ {
		if err := b.err[id]; !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("job %d: %v", id, err)
		}
	}
}

// TestNameThatIsTaken sends other jobs by the names of a parked and of a running one.
func TestNameThatIsTaken(t *testing.T) {
	b := newBench(t, Limits{Queue: 2, Soft: 1})
	got := map[string][]error{}
	ask := func(asker string) {
		for id := uint64(1); id <= 2; id++ {
			b.step(Enqueue{Job: Job{ID: id, Priority: run.Normal}, Reply: kernel.ReplyFunc(func(_ Outcome, err error) {
				name := fmt.Sprint(asker, id)
				got[name] = append(got[name], err)
			})})
		}
	}
	ask("old")
	ask("new")
	for _, name := range []string{"old1", "old2"} {
		if errs := got[name]; len(errs) != 1 || !errors.Is(errs[0], fault.CanceledStopped) {
			t.Errorf("%s: %v", name, errs)
		}
	}
	if len(got) != 2 || len(b.started) != 1 || !b.stopped[b.worker[1]] {
		t.Errorf("answers %v, started %v, stopped %v: the old worker keeps its slot", got, b.started, b.stopped)
	}
	b.end(1, nil)
	b.end(1, nil)
	b.end(2, nil)
	for _, name := range []string{"new1", "new2"} {
		if errs := got[name]; len(errs) != 1 || errs[0] != nil {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

// TestControlThatOvertakesWaitsBehindTheWork raises and cancels jobs that arrive later, and such as have ended.
func TestControlThatOvertakesWaitsBehindTheWork(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	for id := uint64(2); id <= 4; id++ {
		b.step(Raise{Job: id, Priority: run.Critical})
		b.step(Cancel{Job: id + 1})
	}
	for id := uint64(1); id <= 3; id++ {
		b.enqueue(id, run.Normal)
	}
	behind := b.behind
	if b.behind = nil; len(behind) != 6 {
		t.Fatalf("%d messages went behind the work", len(behind))
	}
	for _, m := range behind {
		b.step(m)
	}
	b.end(1, nil)
	if d := cmp.Diff([]uint64{1, 2}, b.started); d != "" || !errors.Is(b.err[3], fault.CanceledCaller) || len(b.behind) != 0 {
		t.Errorf("started %v, answers %v, behind %v", b.started, b.err, b.behind)
	}
	if p := b.s.jobs[2].Priority; p != run.Critical {
		t.Errorf("job 2 is %s", p)
	}
}

// TestTicketThatNobodyTakesIsDiscarded lets jobs succeed just when they are given up, or after their queue has restarted.
func TestTicketThatNobodyTakesIsDiscarded(t *testing.T) {
	b := newBench(t, Limits{Soft: 3})
	for id := uint64(1); id <= 3; id++ {
		b.enqueue(id, run.Normal)
	}
	b.step(Cancel{Job: 1})
	b.step(ended{Worker: b.worker[1], Outcome: Outcome{Ticket: 11}})
	b.step(ended{Worker: b.worker[2], Outcome: Outcome{Ticket: 12}})
	b.step(CancelAll{})
	b.step(ended{Worker: b.worker[3], Outcome: Outcome{Ticket: 13}})
	b.step(ended{Worker: 99, Outcome: Outcome{Ticket: 14}})
	if d := cmp.Diff([]uint64{11, 13, 14}, b.discarded); d != "" {
		t.Error(d)
	}
	if b.outcome[2].Ticket != 12 {
		t.Errorf("the outcome of job 2 is %+v", b.outcome[2])
	}
}

func TestCancelAll(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	for id := uint64(1); id <= 4; id++ {
		b.enqueue(id, run.Normal)
	}
	b.end(1, fault.New(fault.HostSpawnFailed, "", "", nil)) // in back-off
	b.step(CancelAll{})
	for id := uint64(1); id <= 4; id++ {
		if !errors.Is(b.err[id], fault.CanceledStopped) {
			t.Errorf("job %d: %v", id, b.err[id])
		}
	}
	if !b.stopped[b.worker[2]] || !b.stopped[b.worker[3]] || b.s.numParked() != 0 {
		t.Errorf("stopped %v, %d parked", b.stopped, b.s.numParked())
	}
	delete(b.outcome, 1)
	b.enqueue(1, run.Normal)
	if len(b.started) != 3 {
		t.Error("a slot was given away before its process ended")
	}
	b.step(exited{Worker: b.worker[2]})
	if len(b.started) != 4 || b.started[3] != 1 {
		t.Errorf("started %v, want job 1 last", b.started)
	}
}

func TestCancelAndFullQueue(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Queue: 1})
	b.enqueue(1, run.Normal)
	b.enqueue(2, run.Normal)
	b.enqueue(3, run.Normal)
	var f *fault.Error
	if !errors.As(b.err[3], &f) || f.Code != fault.BusyQueueFull || f.RetryAfter <= 0 {
		t.Errorf("over the queue: %v", b.err[3])
	}
	b.step(Cancel{Job: 1})
	if !errors.Is(b.err[1], fault.CanceledCaller) || !b.stopped[b.worker[1]] {
		t.Errorf("canceled while running: %v, stopped %v", b.err[1], b.stopped)
	}
	if len(b.started) != 1 {
		t.Error("the slot was given away before its process ended")
	}
	b.step(exited{Worker: b.worker[1]})
	if b.started[len(b.started)-1] != 2 {
		t.Error("the free slot was not used")
	}
	b.step(exited{Worker: b.worker[2], Failed: true})
	if !errors.Is(b.err[2], fault.BugPanic) {
		t.Errorf("a worker actor that was given up: %v", b.err[2])
	}
}
