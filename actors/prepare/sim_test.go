package prepare

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
)

var update = flag.Bool("update", false, "rewrite the table in doc.go")

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

// TestSimulation runs the core with models of its clients and of the processes, in random orders: processes that do not
// start, die, are not there yet when they are steered, or succeed though they were told to stop; cancellations and raises
// that overtake; jobs that are asked for by a name that is taken; caches that begin anew; crashes of the queue between any
// two effects. In the end no slot and no ticket is left; the rest is said by audit and world. What the core was seen to do
// is the table in its documentation.
func TestSimulation(t *testing.T) {
	table := sim.NewTable("Job")
	for n, inbox := range []int{1, 64} {
		o := sim.Options{Seeds: 5000, First: uint64(n) << 32, Rate: 0.03}
		sim.Explore(t, o, func(w *sim.World) sim.Check { return world(w, inbox, table) })
	}
	if os.Getenv("TROUPE_SIM_SEEDS") != "" {
		return // more seeds may see more, and fewer less
	}
	if err := table.CompareDoc("doc.go", *update); err != nil {
		t.Error(err)
	}
}

type process struct {
	job           uint64
	at            time.Time // from when on it can be steered
	budget        Budget
	held          bool
	stopped, gone bool
}

func world(w *sim.World, inbox int, table *sim.Table) sim.Check {
	const clients, each = 6, 8
	var broken error
	var core *audit
	procs := map[uint64]*process{}
	held, flying := map[uint64]bool{}, map[uint64]bool{} // tickets
	answered := map[uint64]int{}                         // by job
	replied := map[kernel.Reply[Outcome]]bool{}
	ticket := uint64(0)
	limits := Limits{Queue: 1 + w.Rand().IntN(8), Soft: 1 + w.Rand().IntN(3), SpawnWait: time.Duration(1+w.Rand().IntN(3000)) * time.Millisecond}
	limits.Hard = limits.Soft + w.Rand().IntN(3)
	operated := w.Rand().IntN(4) == 0
	var pausedSince time.Time        // by the operator; it outlives the queue
	unlucky := w.Rand().IntN(4) == 0 // hardly any process starts

	some := func(s *sim.Shell) Budget {
		return Budget{CPU: time.Duration(s.Rand().IntN(4)) * time.Second, Wall: time.Duration(s.Rand().IntN(4)) * time.Second, MemoryBytes: s.Rand().Int64N(4)}
	}
	start := func(s *sim.Shell, e StartWorker) {
		p, fails := &process{job: e.Job.ID, budget: e.Job.Budget}, s.Err() != nil || s.Rand().IntN(6) == 0 || unlucky && s.Rand().IntN(20) != 0
		for n, o := range procs {
			if o.job == p.job && !o.gone && !o.stopped {
				broken = fmt.Errorf("job %d is on worker %d and on %d", p.job, n, e.Worker)
			}
		}
		procs[e.Worker] = p
		length := time.Duration(s.Rand().IntN(150)) * time.Millisecond
		p.at = s.Now().Add(time.Duration(s.Rand().IntN(100)) * time.Millisecond)
		if s.Rand().IntN(4) == 0 {
			s.Go(length/2, func() any { return passed{Worker: e.Worker, Used: Budget{CPU: time.Second}} })
		}
		s.Go(length, func() any {
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
			return ended{Worker: e.Worker, Outcome: Outcome{Ticket: ticket, Budget: p.budget}, discard: func(n uint64) { delete(held, n) }}
		})
	}
	do := func(s *sim.Shell, e Effect) {
		switch e := e.(type) {
		case StartWorker:
			start(s, e)
		case Steer:
			p, how := procs[e.Worker], ""
			if s.Err() == nil && !p.gone && !p.at.After(s.Now()) {
				how = "none"
				if e.Steering.Budget.Raised(p.budget) != e.Steering.Budget {
					broken = fmt.Errorf("worker %d had %v and is lowered to %v", e.Worker, p.budget, e.Steering.Budget)
				}
				if p.budget, p.held = e.Steering.Budget, e.Steering.Held; p.held {
					how = "nice"
				}
			}
			_ = s.Control(s.Name(), steered{Worker: e.Worker, Turn: e.Turn, How: how})
		case Tell:
			e.Passed(e.Used)
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
			core = newAudit(limits, flying, &broken, table)
			if !pausedSince.IsZero() { // the shell tells it before all else
				core.State.Step(w.Now(), Pause{Since: pausedSince})
			}
			return core
		},
		Do: do, Crashes: true, Inbox: inbox,
		Faults: func(e Effect) sim.Kind {
			switch e.(type) {
			case StartWorker, Steer:
				return sim.Fail | sim.Crash
			}
			return sim.Crash
		},
	})
	id := uint64(0)
	for n := range clients {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: each} },
			Do: func(s *sim.Shell, _ any) {
				id++
				j := Job{ID: id, Priority: run.Priority(1 + s.Rand().IntN(4)), Budget: some(s), Marks: []Budget{some(s)}}
				for range 1 + s.Rand().IntN(8)/7 { // now and then two by one name: then one answer is enough
					var reply kernel.Reply[Outcome] // of the last attempt
					sim.Request(s, "prepare",
						func(answer func(Outcome, error)) any {
							reply = kernel.ReplyFunc(answer)
							mine := reply
							return Enqueue{Job: j, Reply: mine, Passed: func(Budget) {
								if replied[mine] {
									broken = fmt.Errorf("job %d passes a mark after its answer", j.ID)
								}
							}}
						},
						func(Outcome, error) any {
							if answered[j.ID]++; answered[j.ID] == 1 {
								return turn{}
							}
							return nil
						})
				}
				if operated && s.Rand().IntN(8) == 0 {
					_ = s.Control("prepare", Purge{})
				}
				if operated && s.Rand().IntN(8) == 0 {
					pausedSince = s.Now()
					_ = s.Control("prepare", Pause{Since: pausedSince})
					w.At(time.Duration(s.Rand().IntN(200))*time.Millisecond, func() {
						pausedSince = time.Time{}
						_ = s.Control("prepare", Pause{Off: true})
					})
				}
				switch s.Rand().IntN(16) {
				case 0, 1, 2:
					_ = s.Control("prepare", Cancel{Job: j.ID})
				case 3, 4, 5, 6, 7:
					raise := Raise{Job: j.ID, Priority: run.Priority(s.Rand().IntN(5)), Budget: some(s), Marks: []Budget{some(s)}, By: name}
					w.At(time.Duration(s.Rand().IntN(2)*s.Rand().IntN(100))*time.Millisecond, func() { _ = s.Control("prepare", raise) })
				case 8:
					_ = s.Control("prepare", CancelAll{})
				case 9:
					_ = s.Control("prepare", Inspect{})
				}
			},
		})
		_ = w.Send("", name, turn{})
	}
	return sim.Check{
		Always: func() error {
			live := 0
			for n, p := range procs {
				if p.gone {
					continue
				}
				live++
				// A process does what its queue last told it, unless it could not hear that yet.
				if j := core.running[n]; j != nil && !j.answered && j.how != "" && (p.held != j.held || p.budget != j.Budget) {
					return fmt.Errorf("worker %d runs held %v with %v, the queue says %v, %v", n, p.held, p.budget, j.held, j.Budget)
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
			if len(core.jobs) != 0 || core.numParked() != 0 || len(core.off) != 0 || len(core.running) != 0 || len(held) != 0 {
				return fmt.Errorf("left: %d jobs, %d parked, %d in back-off, %d running, %d tickets", len(core.jobs), core.numParked(), len(core.off), len(core.running), len(held))
			}
			return nil
		},
	}
}
