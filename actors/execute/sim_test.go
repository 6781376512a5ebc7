package execute

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

// client asks for one run after the other.
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
	passed [run.Critical + 1]int // choices since a class was chosen, while it had a backlog
	broken *error
}

func (a *audit) Step(now time.Time, m Message) []Effect {
	var before [run.Critical + 1]int
	for p := range before {
		before[p] = a.classes[p].n
	}
	if e, ok := m.(Enqueue); ok && a.items[e.Job.Run] == nil {
		before[e.Job.Priority]++
	}
	claimed := map[uint64]bool{}
	for _, i := range a.claims {
		claimed[i.Run] = true
	}
	out := a.State.Step(now, m)
	var chosen []run.Priority
	start := func(j Job) {
		if !claimed[j.Run] {
			chosen = append(chosen, j.Priority)
		}
	}
	for _, e := range out {
		switch e := e.(type) {
		case StartWorker:
			start(e.Job)
		case RunOn:
			start(e.Job)
		}
	}
	for _, i := range a.claims {
		start(i.Job)
	}
	for _, c := range chosen {
		for p := run.Background; p <= run.Critical; p++ {
			if a.passed[p]++; p == c || before[p] == 0 || a.classes[p].n == 0 {
				a.passed[p] = 0
			}
			if limit := 24 / shares[p]; a.passed[p] > limit {
				*a.broken = fmt.Errorf("%d choices passed the class %s, limit %d", a.passed[p], p, limit)
			}
		}
	}
	idle := 0
	for _, w := range a.workers {
		if w.run == nil && !w.closing {
			idle++
		}
	}
	free := a.limits.Processes - len(a.workers)
	if n := a.parked() - len(a.claims); n > 0 && idle+free > 0 {
		*a.broken = fmt.Errorf("%d runs wait beside %d idle workers and %d free slots", n, idle, free)
	}
	if len(a.claims) > 0 && (free > 0 || len(a.claims) > a.closing()) {
		*a.broken = fmt.Errorf("%d claims, %d free slots, %d workers close", len(a.claims), free, a.closing())
	}
	return out
}

// TestSimulation runs the core with models of its clients and of the processes, in random orders: processes that do not
// start, die idle or are spoiled by a run; cancellations that overtake; runs that are asked for twice; crashes of the queue.
// Every run is answered exactly once, no worker has two runs and no run two workers, there are never more processes than
// allowed, nobody waits beside an idle worker, no class is passed for long, and in the end nothing is left.
func TestSimulation(t *testing.T) {
	for _, inbox := range []int{1, 64} {
		sim.Explore(t, sim.Options{Seeds: 300, Rate: 0.05}, func(w *sim.World) sim.Check { return world(w, inbox) })
	}
}

type process struct {
	binding        Binding
	run            uint64
	stopping, gone bool
	spoiled        bool
}

func world(w *sim.World, inbox int) sim.Check {
	const clients, each = 8, 10
	var broken error
	var core *audit
	procs := map[uint64]*process{}
	answered := map[uint64]int{} // by run
	replied := map[kernel.Reply[run.Outcome]]bool{}
	untick := func() {}
	limits := Limits{Queue: 1 + w.Rand().IntN(8), Processes: 1 + w.Rand().IntN(4), Idle: time.Duration(1+w.Rand().IntN(200)) * time.Millisecond}
	steady := w.Rand().IntN(2) == 0 // each client keeps to its priority
	soon := func(s *sim.Shell, max int) time.Duration { return time.Duration(s.Rand().IntN(max)) * time.Millisecond }

	exit := func(s *sim.Shell, worker uint64, failed bool) {
		p := procs[worker]
		s.Go(soon(s, 20), func() any {
			if p.gone {
				return nil
			}
			p.gone = true
			return exited{Worker: worker, Failed: failed}
		})
	}
	begin := func(s *sim.Shell, worker uint64, j Job) {
		p, fails := procs[worker], s.Err() != nil
		for n, o := range procs {
			if o.run == j.Run && !o.gone {
				broken = fmt.Errorf("run %d is on worker %d and on %d", j.Run, n, worker)
			}
		}
		if p.run != 0 || p.stopping || p.spoiled || p.binding != j.Binding {
			broken = fmt.Errorf("run %d on worker %d: %+v", j.Run, worker, *p)
		}
		if p.run = j.Run; p.gone { // the news of its end is on the way
			return
		}
		s.Go(soon(s, 40), func() any {
			if p.gone {
				return nil
			}
			p.run = 0
			m := finished{Worker: worker, Run: j.Run, Alive: s.Rand().IntN(8) > 0, PID: 1}
			switch {
			case fails:
				m.Alive, m.Outcome.Fault = false, fault.New(fault.HostSpawnFailed, "", "", nil)
			case s.Rand().IntN(8) == 0:
				exit(s, worker, s.Rand().IntN(2) == 0) // of itself, idle or not
			}
			p.spoiled = !m.Alive
			return m
		})
	}
	do := func(s *sim.Shell, e Effect) {
		switch e := e.(type) {
		case StartWorker:
			procs[e.Worker] = &process{binding: e.Job.Binding}
			begin(s, e.Worker, e.Job)
		case RunOn:
			begin(s, e.Worker, e.Job)
		case StopWorker:
			procs[e.Worker].stopping = true
			exit(s, e.Worker, false)
		case Answer:
			if replied[e.Reply] {
				broken = fmt.Errorf("answered twice: %v %v", e.Outcome, e.Err)
			}
			if replied[e.Reply] = true; e.Err != nil {
				e.Reply.Fail(e.Err)
			} else {
				e.Reply.Answer(e.Outcome)
			}
		case Requeue:
			s.Requeue(e.Message)
		case TickAt:
			untick()
			untick = s.After(e.At.Sub(s.Now()), tick{})
		}
	}
	sim.Add(w, "execute", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] { // the processes of the earlier incarnation are dead
			clear(procs)
			untick = func() {}
			core = &audit{State: NewState(limits), broken: &broken}
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
				j := Job{Run: id, Binding: Binding{Tenant: name[:len(name)-s.Rand().IntN(2)], Key: artifacts.Key{byte(1 + s.Rand().IntN(2))}},
					Priority: run.Priority(1 + s.Rand().IntN(4))}
				if steady {
					j.Priority = run.Priority(1 + n%4)
				}
				if s.Rand().IntN(6) == 0 {
					j.Deadline = s.Now().Add(soon(s, 100))
				}
				for range 1 + s.Rand().IntN(8)/7 { // now and then twice: then one answer is enough
					sim.Request(s, "execute",
						func(answer func(run.Outcome, error)) any { return Enqueue{Job: j, Reply: kernel.ReplyFunc(answer)} },
						func(run.Outcome, error) any {
							if answered[j.Run]++; answered[j.Run] == 1 {
								return turn{}
							}
							return nil
						})
				}
				switch s.Rand().IntN(6) {
				case 0:
					_ = s.Control("execute", Cancel{Run: j.Run})
				case 1:
					_ = s.Control("execute", Release{Key: j.Binding.Key})
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
			if live > limits.Processes {
				return fmt.Errorf("%d processes, limit %d", live, limits.Processes)
			}
			return broken
		},
		AtEnd: func() error {
			if len(answered) != clients*each {
				return fmt.Errorf("%d of %d runs were answered", len(answered), clients*each)
			}
			if len(core.items) != 0 || core.parked() != 0 || len(core.workers) != 0 {
				return fmt.Errorf("left: %d runs, %d parked, %d workers", len(core.items), core.parked(), len(core.workers))
			}
			return nil
		},
	}
}
