package execute

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

const limit = 10 * time.Second // of endless runs, which end there

func endless() *port {
	return &port{run: func(ctx context.Context, w *proc, _ Job) (run.Outcome, bool) {
		select {
		case <-time.After(limit):
		case <-ctx.Done():
		}
		w.die()
		return run.Outcome{Fault: fault.New(fault.GuestCPULimit, "fake", "", nil)}, false
	}}
}

// TestEndlessRunsEndInRounds gives workers more runs than they can take that last until their limit. None stalls.
func TestEndlessRunsEndInRounds(t *testing.T) {
	for _, row := range []struct {
		name                    string
		runs, bindings, workers int
		rounds                  int // at least; one more at most
	}{
		{"two in parallel", 2, 1, 2, 1},
		{"nine on five", 9, 1, 5, 2},
		{"six of two bindings on two", 6, 2, 2, 3},
		{"one hundred on four", 100, 7, 4, 25},
	} {
		t.Run(row.name, func(t *testing.T) {
			onStage(t, Limits{Soft: row.workers}, endless(), func(t *testing.T, s *stage) {
				for n := range row.runs {
					s.enqueue(Job{Run: uint64(1 + n), Binding: binding(byte(n % row.bindings))})
				}
				pass(time.Duration(row.rounds+1) * (limit + burial))
				s.mu.Lock()
				defer s.mu.Unlock()
				if len(s.answers) != row.runs {
					t.Fatalf("%d of %d runs have ended", len(s.answers), row.runs)
				}
				last := time.Duration(0)
				for id, a := range s.answers {
					if last = max(last, a.At); a.Code != fault.GuestCPULimit {
						t.Errorf("run %d: %v", id, a.Code)
					}
				}
				if least := time.Duration(row.rounds) * limit; last < least {
					t.Errorf("the last ended after %v, in less than %v", last, least)
				}
			})
		})
	}
}

// TestRunsOfOneBindingShareAProcess runs ten on one worker, one after the other.
func TestRunsOfOneBindingShareAProcess(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		want := map[uint64]answer{}
		for id := uint64(1); id <= 10; id++ {
			s.enqueue(Job{Run: id, Binding: binding(1)})
			want[id] = answer{At: time.Duration(id) * time.Second}
		}
		pass(10 * time.Second)
		s.want(want)
		if started, _, _ := s.port.count(); started != 1 {
			t.Errorf("%d processes for one binding", started)
		}
	})
}

// TestStaleRunsAreDropped parks ten runs that nobody needs after two seconds and one that somebody does.
func TestStaleRunsAreDropped(t *testing.T) {
	onStage(t, Limits{Soft: 1}, endless(), func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 100, Binding: binding(1)})
		want := map[uint64]answer{100: {Code: fault.GuestCPULimit, At: limit}, 50: {Code: fault.GuestCPULimit, At: 2*limit + burial}}
		for id := uint64(1); id <= 10; id++ {
			s.enqueue(Job{Run: id, Binding: binding(1), Deadline: time.Now().Add(2 * time.Second)})
			want[id] = answer{Code: fault.CanceledDeadline, At: 2 * time.Second}
		}
		s.enqueue(Job{Run: 50, Binding: binding(1)})
		pass(time.Minute)
		s.want(want)
		if started, _, _ := s.port.count(); started != 2 {
			t.Errorf("%d processes", started)
		}
	})
}

// TestNothingStartsAfterItsDeadline asks too late, and frees a slot too late, while the tick is still on its way.
func TestNothingStartsAfterItsDeadline(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Queue: 1})
	late := func(id uint64, after time.Duration) Job {
		j := job(id, run.Normal, 1)
		j.Deadline = b.now.Add(after)
		return j
	}
	b.enqueue(late(1, 0))
	b.starts("too late from the start")
	b.enqueue(late(2, time.Second))
	b.enqueue(late(3, time.Second))
	b.enqueue(Job{Run: 4, Priority: run.Normal, Binding: Binding{Tenant: "other"}, Deadline: b.now})
	b.now = b.now.Add(time.Second)
	b.finish(b.on(2))
	b.starts("a slot, at the deadline", 2)
	for id, want := range map[uint64]fault.Code{1: fault.CanceledDeadline, 3: fault.CanceledDeadline, 4: fault.CanceledDeadline} {
		if got := fault.CodeOf(b.answers[id]); got != want {
			t.Errorf("run %d: %v, want %s", id, b.answers[id], want)
		}
	}
	b.step(tick{})
	b.enqueue(late(5, time.Second))
	b.starts("in time", 5)
}

// TestEveryClassRuns adds a run of each.
func TestEveryClassRuns(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		want := map[uint64]answer{}
		for p := run.Background; p <= run.Critical; p++ {
			s.enqueue(Job{Run: uint64(p), Binding: binding(1), Priority: p})
		}
		// Background came first; the others start in the order of the cycle of their set.
		for n, p := range []run.Priority{run.Background, run.Critical, run.High, run.Normal} {
			want[uint64(p)] = answer{At: time.Duration(n+1) * time.Second}
		}
		pass(time.Minute)
		s.want(want)
	})
}

// notes is an Observer that writes down what it is told.
type notes struct {
	got     []string
	spawned int
	closed  map[string]int
}

func (n *notes) Queued(p run.Priority, wait time.Duration) {
	n.got = append(n.got, fmt.Sprint("queued ", p, " ", wait))
}

func (n *notes) Ended(p run.Priority, o run.Outcome) {
	code := fault.Code("ok")
	if o.Fault != nil {
		code = o.Fault.Code
	}
	n.got = append(n.got, fmt.Sprint("ended ", p, " ", string(code)))
}

func (n *notes) Spawned() { n.spawned++ }

func (n *notes) Closed(reason string) { n.closed[reason]++ }

// TestObserverHearsOfEverythingOnce takes workers through all reasons to close, and runs through several ends.
func TestObserverHearsOfEverythingOnce(t *testing.T) {
	n := &notes{closed: map[string]int{}}
	var last atomic.Pointer[proc]
	starts := 0
	p := &port{watch: n}
	p.start = func(context.Context) error {
		if starts++; starts == 1 {
			return fault.New(fault.HostSpawnFailed, "fake", "", nil)
		}
		return nil
	}
	p.run = func(ctx context.Context, w *proc, j Job) (run.Outcome, bool) {
		last.Store(w)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		return run.Outcome{}, j.Run != 2
	}
	onStage(t, Limits{Queue: 1, Soft: 1, Hard: 2, Idle: time.Minute}, p, func(t *testing.T, s *stage) {
		at := func(d time.Duration, j Job) {
			pass(d)
			s.enqueue(j)
		}
		at(0, Job{Run: 1, Binding: binding(1)})              // its first start fails
		at(10*time.Second, Job{Run: 2, Binding: binding(2)}) // makes room, then spoils its worker
		at(10*time.Second, Job{Run: 3, Binding: binding(3)})
		s.enqueue(Job{Run: 4, Binding: binding(3), Deadline: time.Now().Add(time.Second / 2)})
		s.enqueue(Job{Run: 5, Binding: binding(3)}) // refused
		pass(5 * time.Second)
		last.Load().die()
		at(10*time.Second, Job{Run: 6, Binding: binding(4)})
		pass(time.Second / 2)
		s.control(Cancel{Run: 6})
		at(10*time.Second, Job{Run: 7, Binding: binding(5), Priority: run.High})
		at(100*time.Millisecond, Job{Run: 8, Binding: binding(5), Priority: run.Critical}) // above soft
		pass(2 * time.Minute)
		at(0, Job{Run: 9, Binding: binding(5)})
		pass(2 * time.Second)
	})
	want := []string{"queued normal 100ms", "ended normal ok", "queued normal 3s", "ended normal ok", "queued normal 0s",
		"ended normal canceled.deadline", "ended normal ok", "queued normal 0s", "ended normal canceled.caller_left",
		"queued high 0s", "queued critical 0s", "ended high ok", "ended critical ok", "queued normal 0s", "ended normal ok"}
	if d := cmp.Diff(want, n.got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff(map[string]int{"room": 1, "spoiled": 1, "died": 1, "stopped": 2, "culled": 1, "idle": 1}, n.closed); d != "" || n.spawned != 7 {
		t.Errorf("%d processes; closed (-want +got)\n%s", n.spawned, d)
	}
}
