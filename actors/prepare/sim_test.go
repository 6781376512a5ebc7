package prepare

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
)

// client asks for one job after the other.
type client struct{ left int }

type turn struct{}

func (c *client) Step(_ time.Time, in any) []any {
	if _, ok := in.(turn); !ok || c.left == 0 {
		return nil
	}
	c.left--
	return []any{turn{}}
}

// audit steps a core and checks after each step what must hold whatever happens.
type audit struct {
	*State
	flying map[uint64]bool // tickets on their way to the core
	broken *error
}

func (a *audit) Step(now time.Time, m Message) []Effect {
	if e, ok := m.(ended); ok {
		delete(a.flying, e.Outcome.Ticket)
	}
	out := a.State.Step(now, m)
	for _, e := range out {
		e, ok := e.(StartWorker)
		if ok && e.Job.Priority < run.Critical && len(a.running) > a.limits.Soft && a.jobs[e.Job.ID] != nil {
			*a.broken = fmt.Errorf("%d jobs run, soft limit %d, and a %s one starts", len(a.running), a.limits.Soft, e.Job.Priority)
		}
	}
	if j := a.next(now); j != nil && a.room(now, j) {
		*a.broken = fmt.Errorf("job %d waits beside a free slot", j.ID)
	}
	for n, j := range a.running {
		if j.worker != n || !j.answered && a.jobs[j.ID] != j {
			*a.broken = fmt.Errorf("worker %d and its job %d differ", n, j.ID)
		}
	}
	return out
}

// TestSimulation runs the core with models of its clients and of the processes, in random orders: processes that do not
// start, die, or succeed though they were told to stop; cancellations and lifts that overtake; jobs that are asked for
// twice; caches that begin anew; crashes of the queue. Every job is answered exactly once, there are never more processes
// than allowed, no job waits beside a slot that it may have, and in the end no slot and no ticket is left.
func TestSimulation(t *testing.T) {
	for _, inbox := range []int{1, 64} {
		sim.Explore(t, sim.Options{Seeds: 300, Rate: 0.05}, func(w *sim.World) sim.Check { return world(w, inbox) })
	}
}

type process struct {
	job           uint64
	stopped, gone bool
}

func world(w *sim.World, inbox int) sim.Check {
	const clients, each = 8, 10
	var broken error
	var core *audit
	procs := map[uint64]*process{}
	held, flying := map[uint64]bool{}, map[uint64]bool{} // tickets
	answered := map[uint64]int{}                         // by job
	replied := map[kernel.Reply[Outcome]]bool{}
	ticket := uint64(0)
	limits := Limits{Queue: 1 + w.Rand().IntN(8), Soft: 1 + w.Rand().IntN(3)}
	limits.Hard = limits.Soft + w.Rand().IntN(3)

	start := func(s *sim.Shell, e StartWorker) {
		p, fails := &process{job: e.Job.ID}, s.Err() != nil || s.Rand().IntN(6) == 0
		for n, o := range procs {
			if o.job == p.job && !o.gone && !o.stopped {
				broken = fmt.Errorf("job %d is on worker %d and on %d", p.job, n, e.Worker)
			}
		}
		procs[e.Worker] = p
		s.Go(time.Duration(s.Rand().IntN(40))*time.Millisecond, func() any {
			if p.gone {
				return nil
			}
			p.gone = true
			switch {
			case fails:
				return ended{Worker: e.Worker, Outcome: Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil)}}
			case s.Rand().IntN(10) == 0:
				return exited{Worker: e.Worker, Failed: true}
			}
			ticket++
			held[ticket], flying[ticket] = true, true
			return ended{Worker: e.Worker, Outcome: Outcome{Ticket: ticket}}
		})
	}
	do := func(s *sim.Shell, e Effect) {
		switch e := e.(type) {
		case StartWorker:
			start(s, e)
		case StopWorker:
			p := procs[e.Worker]
			p.stopped = true
			s.Go(time.Duration(s.Rand().IntN(20))*time.Millisecond, func() any {
				if p.gone {
					return nil
				}
				p.gone = true
				return exited{Worker: e.Worker}
			})
		case Discard:
			if !held[e.Ticket] {
				broken = fmt.Errorf("ticket %d is discarded and nobody's", e.Ticket)
			}
			delete(held, e.Ticket)
		case Answer:
			if replied[e.Reply] {
				broken = fmt.Errorf("answered twice: %v %v", e.Outcome, e.Err)
			}
			delete(held, e.Outcome.Ticket) // whatever becomes of it, it is the asker's
			if replied[e.Reply] = true; e.Err != nil {
				e.Reply.Fail(e.Err)
			} else {
				e.Reply.Answer(e.Outcome)
			}
		case Requeue:
			s.Requeue(e.Message)
		case WakeAfter:
			s.After(e.Delay, wake{})
		}
	}
	sim.Add(w, "prepare", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] { // the processes of the earlier incarnation are dead
			clear(procs)
			for t := range flying { // the kernel fails the news, which discards its ticket
				delete(held, t)
			}
			clear(flying)
			core = &audit{State: NewState(limits), flying: flying, broken: &broken}
			return core
		},
		Do: do, Crashes: true, Inbox: inbox,
		Faults: func(e Effect) sim.Kind {
			if _, ok := e.(StartWorker); ok {
				return sim.Fail
			}
			return 0
		},
	})
	id := uint64(0)
	for n := range clients {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: each} },
			Do: func(s *sim.Shell, _ any) {
				id++
				j := Job{ID: id, Priority: run.Priority(1 + s.Rand().IntN(4))}
				for range 1 + s.Rand().IntN(8)/7 { // now and then twice: then one answer is enough
					sim.Request(s, "prepare",
						func(answer func(Outcome, error)) any { return Enqueue{Job: j, Reply: kernel.ReplyFunc(answer)} },
						func(Outcome, error) any {
							if answered[j.ID]++; answered[j.ID] == 1 {
								return turn{}
							}
							return nil
						})
				}
				switch s.Rand().IntN(16) {
				case 0, 1, 2:
					_ = s.Control("prepare", Cancel{Job: j.ID})
				case 3, 4, 5:
					_ = s.Control("prepare", Raise{Job: j.ID, Priority: run.Priority(1 + s.Rand().IntN(4))})
				case 6:
					_ = s.Control("prepare", CancelAll{})
				}
			},
		})
		_ = w.Send("", name, turn{})
	}
	return sim.Check{
		Always: func() error {
			live := 0
			for _, p := range procs {
				if !p.gone {
					live++
				}
			}
			if live > limits.Hard {
				return fmt.Errorf("%d processes, limit %d", live, limits.Hard)
			}
			return broken
		},
		AtEnd: func() error {
			if len(answered) != clients*each {
				return fmt.Errorf("%d of %d jobs were answered", len(answered), clients*each)
			}
			if len(core.jobs) != 0 || core.numParked() != 0 || len(core.running) != 0 || len(held) != 0 {
				return fmt.Errorf("left: %d jobs, %d parked, %d running, %d tickets", len(core.jobs), core.numParked(), len(core.running), len(held))
			}
			return nil
		},
	}
}
