package execute

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

var update = flag.Bool("update", false, "write the tables of transitions into doc.go")

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

// audit steps a core, checks after each step what must hold whatever happens, and records what it saw.
type audit struct {
	*State
	ledger
	tables *tables
	broken *error
}

func (a *audit) Step(now time.Time, m Message) (out []Effect) {
	runs, workers := a.runStates(), a.workerStates()
	idle := map[uint64]bool{}
	for _, w := range a.workers {
		idle[w.name] = w.idle()
	}
	if err := a.ledger.step(a.State, now, func() { out = a.State.Step(now, m) }); err != nil {
		*a.broken = err
	}
	ordinary, _ := a.slots()
	kept := 0
	for _, w := range a.workers {
		if w.idle() {
			kept++
		}
	}
	for _, w := range a.workers {
		if idle[w.name] && (w.closing == closedRoom || w.closing == closedCulled) && ordinary+kept < a.limits.Soft {
			*a.broken = fmt.Errorf("worker %d was closed (%s) beside a free slot: %d in use, %d idle", w.name, w.closing, ordinary, kept)
		}
	}
	a.tables.see(a.State, a.pressed(now), m, runs, workers, out)
	return out
}

// seeds is how many seeds a simulation tries: few, unless the environment asks for more.
func seeds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("TROUPE_SIM_SEEDS")); err == nil {
		return n
	}
	return few
}

// TestSimulation runs the core with models of its clients and of the processes, in random orders: processes that do not
// start, for a time or ever, die idle or are spoiled by a run; cancellations and raises that overtake; runs that are asked
// for twice; crashes of the queue before each step and each effect, answers and ticks that are late. Every run is answered
// exactly once, no worker has two runs and no run two workers, there are never more processes than allowed, nobody waits
// beside a slot, no idle worker dies beside one, workers are lent one at a time and not while somebody waits, the shares hold in each window of turns, no class is passed for long, and in
// the end nothing is left. What was seen is the table in the documentation.
func TestSimulation(t *testing.T) {
	tables := newTables()
	for _, inbox := range []int{1, 64} {
		sim.Explore(t, sim.Options{Seeds: seeds(500), Rate: 0.03}, func(w *sim.World) sim.Check { return world(w, inbox, tables) })
	}
	if os.Getenv("TROUPE_SIM_SEEDS") != "" {
		return // more seeds may see more
	}
	for _, table := range []*sim.Table{tables.runs, tables.workers} {
		if err := table.CompareDoc("doc.go", *update); err != nil {
			t.Error(err)
		}
	}
}

type process struct {
	binding        Binding
	run            uint64
	stopping, gone bool
	spoiled        bool
	lent           bool
	recalled       bool
}

func world(w *sim.World, inbox int, tables *tables) sim.Check {
	const clients, each = 8, 10
	var broken error
	var core *audit
	procs := map[uint64]*process{}
	answered := map[uint64]int{} // by run
	replied := map[kernel.Reply[run.Outcome]]bool{}
	untick := func() {}
	ms := func(most int) time.Duration { return time.Duration(1+w.Rand().IntN(most)) * time.Millisecond }
	limits := Limits{Queue: 1 + w.Rand().IntN(8), Soft: 1 + w.Rand().IntN(3), Idle: ms(200), SpawnWait: ms(800)}
	limits.Hard = limits.Soft + w.Rand().IntN(3)
	steady := w.Rand().IntN(2) == 0 // each client keeps to its priority
	outage := w.Rand().IntN(4) * 25 // percent of the starts that fail while it lasts
	lends := w.Rand().IntN(4) > 0
	outageEnds := w.Now().Add(ms(3000))
	var pausedSince time.Time // by the operator; it outlives the queue
	purged := 0
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
		p := procs[worker]
		for n, o := range procs {
			if o.run == j.Run && !o.gone {
				broken = fmt.Errorf("run %d is on worker %d and on %d", j.Run, n, worker)
			}
		}
		if p.run != 0 || p.stopping || p.spoiled || p.lent || p.binding != j.Binding {
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
			m := finished{Worker: worker, Run: j.Run, Alive: s.Rand().IntN(8) > 0}
			if s.Rand().IntN(8) == 0 {
				exit(s, worker, s.Rand().IntN(2) == 0) // of itself, idle or not
			}
			p.spoiled = !m.Alive
			return m
		})
	}
	start := func(s *sim.Shell, e StartWorker) {
		p := &process{binding: e.Job.Binding}
		procs[e.Worker] = p
		fails := s.Err() != nil || s.Now().Before(outageEnds) && s.Rand().IntN(100) < outage
		s.Go(soon(s, 30), func() any {
			switch {
			case p.gone:
				return nil
			case fails:
				exit(s, e.Worker, false)
				p.stopping = true
				f := fault.New(fault.HostSpawnFailed, "", "", nil)
				if s.Rand().IntN(10) == 0 {
					f = fault.New(fault.SuspectArtifact, "", "", nil)
				}
				return unstarted{Worker: e.Worker, Fault: f}
			case s.Rand().IntN(30) == 0:
				exit(s, e.Worker, true)
				return nil
			}
			if !p.stopping {
				begin(s, e.Worker, e.Job)
			}
			return ready{Worker: e.Worker, PID: 1, ID: fmt.Sprint("p", e.Worker)}
		})
	}
	back := func(s *sim.Shell, worker uint64) { // the leases do not hear of the end of a process
		p := procs[worker]
		s.Go(soon(s, 20), func() any {
			if !p.lent {
				return nil
			}
			p.lent = false
			m := returned{Worker: worker, Returned: Returned{Runs: s.Rand().Uint64N(3), Alive: p.recalled && !p.gone && s.Rand().IntN(8) > 0}}
			if m.Runs > 0 {
				m.LastUsed = s.Now()
			}
			p.spoiled = !m.Alive
			return m
		})
	}
	do := func(s *sim.Shell, e Effect) {
		switch e := e.(type) {
		case StartWorker:
			start(s, e)
		case RunOn:
			begin(s, e.Worker, e.Job)
		case Grant:
			p := procs[e.Worker]
			if p.lent || p.run != 0 || p.stopping || p.spoiled || p.binding != e.Binding || !lends {
				broken = fmt.Errorf("worker %d is lent: %+v", e.Worker, *p)
			}
			p.lent, p.recalled = true, false
			switch s.Rand().IntN(16) {
			case 0: // a ride spoils it
				back(s, e.Worker)
			case 1:
				exit(s, e.Worker, s.Rand().IntN(2) == 0)
			}
		case Revoke:
			p := procs[e.Worker]
			if p.recalled {
				broken = fmt.Errorf("worker %d is asked back twice", e.Worker)
			}
			p.recalled = true
			back(s, e.Worker)
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
		case Done:
			e.Reply.Answer(struct{}{})
		case Purged:
			purged += e.N
		case TickAt:
			untick()
			untick = s.After(e.At.Sub(s.Now()), tick{})
		}
	}
	sim.Add(w, "execute", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] { // the processes of the earlier incarnation are dead
			clear(procs)
			untick = func() {}
			core = &audit{State: NewState(limits), tables: tables, broken: &broken}
			core.lends = lends
			if !pausedSince.IsZero() { // the shell tells it before all else
				core.State.Step(w.Now(), Pause{Since: pausedSince})
			}
			return core
		},
		Do: do, Crashes: true, Inbox: inbox,
		Faults: func(e Effect) sim.Kind {
			switch e.(type) {
			case StartWorker:
				return sim.Fail | sim.Crash
			case TickAt, Answer: // the others are carried out in their order
				return sim.Delay | sim.Crash
			}
			return sim.Crash
		},
	})
	id := uint64(0)
	operated := w.Rand().IntN(3) == 0
	// operate is what an operator does now and then: the queue is resumed for sure.
	operate := func(s *sim.Shell) {
		switch s.Rand().IntN(8) {
		case 0:
			_ = s.Control("execute", Purge{})
		case 1, 2, 3:
			_ = s.Control("execute", Recycle{Process: fmt.Sprint("p", s.Rand().Uint64N(core.last+1))})
		case 4:
			pausedSince = s.Now()
			_ = s.Control("execute", Pause{Since: pausedSince})
			s.Go(soon(s, 60), func() any {
				pausedSince = time.Time{}
				_ = s.Control("execute", Pause{Off: true})
				return nil
			})
		}
	}
	for n := range clients {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: each} },
			Do: func(s *sim.Shell, _ any) {
				id++
				j := Job{Run: id, Lend: s.Rand().IntN(4) > 0, Binding: Binding{Tenant: name[:len(name)-s.Rand().IntN(2)], Key: artifacts.Key{byte(1 + s.Rand().IntN(2))}},
					Priority: run.Priority(1 + s.Rand().IntN(4))}
				if steady {
					j.Priority = run.Priority(1 + n%4)
				}
				if s.Rand().IntN(50) == 0 {
					j.Priority = run.Critical + 1
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
				if operated {
					operate(s)
				}
				switch s.Rand().IntN(8) {
				case 0:
					_ = s.Control("execute", Cancel{Run: j.Run})
				case 1:
					_ = s.Control("execute", Release{Key: j.Binding.Key})
				case 2, 3, 4:
					_ = s.Control("execute", Raise{Run: 1 + s.Rand().Uint64N(id), Priority: run.Priority(1 + s.Rand().IntN(5))})
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
			for n, p := range procs {
				if p.lent {
					return fmt.Errorf("worker %d is lent still", n)
				}
			}
			if len(answered) != clients*each {
				return fmt.Errorf("%d of %d runs were answered", len(answered), clients*each)
			}
			if len(core.items) != 0 || core.parked() != 0 || len(core.workers) != 0 || len(core.droughts) != 0 {
				return fmt.Errorf("left: %d runs, %d parked, %d workers, %d droughts", len(core.items), core.parked(), len(core.workers), len(core.droughts))
			}
			return nil
		},
	}
}

// tables are the transitions that runs and workers were seen to make.
type tables struct{ runs, workers *sim.Table }

func newTables() *tables {
	return &tables{runs: sim.NewTable("Run"), workers: sim.NewTable("Worker")}
}

type runState struct {
	state  string
	worker uint64
	reply  kernel.Reply[run.Outcome]
}

func (s *State) runStates() map[uint64]runState {
	out := map[uint64]runState{}
	for _, i := range s.items {
		out[i.Run] = runState{state: "parked", reply: i.reply}
	}
	for _, i := range s.claims {
		out[i.Run] = runState{state: "claimed", reply: i.reply}
	}
	for _, w := range s.workers {
		if w.run != nil {
			out[w.run.Run] = runState{state: w.state(), worker: w.name, reply: w.run.reply}
		}
	}
	return out
}

func (s *State) workerStates() map[uint64]string {
	out := map[uint64]string{}
	for _, w := range s.workers {
		out[w.name] = w.state()
	}
	return out
}

// see records what a step did to each run and worker that it addressed or changed.
func (t *tables) see(s *State, pressed bool, m Message, runs map[uint64]runState, workers map[uint64]string, out []Effect) {
	event, run, worker := "", uint64(0), uint64(0)
	switch m := m.(type) {
	case Enqueue:
		event, run = "Enqueue", m.Job.Run
	case Cancel:
		event, run = "Cancel", m.Run
	case Raise:
		event, run = "Raise", m.Run
	case ready:
		event, worker = "ready", m.Worker
	case unstarted:
		event, worker = "unstarted", m.Worker
	case finished:
		event, run, worker = "finished", m.Run, m.Worker
	case returned:
		event, worker = "returned", m.Worker
	case exited:
		event, worker = "exited", m.Worker
	case tick:
		event = "tick"
	case Release:
		event = "Release"
	case Pause:
		event = "Pause"
		if m.Off {
			event = "resume"
		}
	case Purge:
		event = "Purge"
	case Recycle:
		event = "Recycle"
	}
	for id, r := range runs {
		if worker != 0 && r.worker == worker {
			run = id
		}
		if event == "Cancel" && run == id {
			worker = r.worker
		}
	}
	after := s.runStates()
	ids := slices.Collect(maps.Keys(runs))
	for id := range after {
		if _, old := runs[id]; !old {
			ids = append(ids, id)
		}
	}
	if run != 0 && !slices.Contains(ids, run) {
		ids = append(ids, run)
	}
	for _, id := range ids {
		from, to := runs[id], after[id]
		if id != run && from.state == to.state {
			continue
		}
		e, effects := event, effectsOn(out, id, from, to, m)
		switch {
		case id == run:
		case to.state == "" && slices.Contains(effects, fmt.Sprintf("Answer(%s)", fault.BusyQueueFull)):
			e = "gives way"
		case event == "Purge" && to.state == "":
			e = "Purge"
		case event == "Pause" && to.state == "parked":
			e = "Pause"
		case to.state == "": // the tick itself may be on its way
			e = "tick"
		case from.state == "claimed" && to.state == "parked":
			e = "drought"
		case from.state == "claimed":
			e = "room"
		default:
			e = "its turn"
		}
		t.runs.Saw(name(from.state), e, name(to.state), effects...)
	}
	now := s.workerStates()
	for _, w := range slices.Compact(slices.Sorted(func(yield func(uint64) bool) {
		for w := range workers {
			if !yield(w) {
				return
			}
		}
		for w := range now {
			if !yield(w) {
				return
			}
		}
	})) {
		from, to := workers[w], now[w]
		if w != worker && from == to {
			continue
		}
		e := event
		switch {
		case w == worker:
		case from == "":
			e = "a run"
		case event == "Recycle" && to == "closing":
			e = "Recycle"
		case event == "Pause" && to == "recalled":
			e = "Pause"
		case event == "Recycle" && to == "recalled":
			e = "Recycle"
		case to == "closing" && s.workers[w].closing != closedStopped:
			e = map[string]string{closedIdle: "idle time", closedRoom: "room", closedCulled: "above soft"}[s.workers[w].closing]
		case to == "lent":
			e = "nobody waits"
		case to == "recalled" && pressed:
			e = "a backlog"
		case to == "recalled" && event != "Release":
			e = "idle time"
		case from == "idle" && event != "Release":
			e = "a run"
		}
		var effects []string
		for _, x := range out {
			switch x := x.(type) {
			case StartWorker:
				if x.Worker == w {
					effects = append(effects, "StartWorker")
				}
			case RunOn:
				if x.Worker == w {
					effects = append(effects, "RunOn")
				}
			case StopWorker:
				if x.Worker == w {
					effects = append(effects, "StopWorker")
				}
			case Grant:
				if x.Worker == w {
					effects = append(effects, "Grant")
				}
			case Revoke:
				if x.Worker == w {
					effects = append(effects, "Revoke")
				}
			case Gone:
				if x.Worker == w {
					effects = append(effects, "Gone")
				}
			}
		}
		t.workers.Saw(name(from), e, name(to), effects...)
	}
}

// effectsOn names the effects on one run.
func effectsOn(out []Effect, id uint64, from, to runState, m Message) []string {
	var names []string
	for _, x := range out {
		switch x := x.(type) {
		case StartWorker:
			if x.Job.Run == id {
				names = append(names, "StartWorker")
			}
		case RunOn:
			if x.Job.Run == id {
				names = append(names, "RunOn")
			}
		case StopWorker:
			if x.Worker == from.worker && from.state != "" && to.state == "stopping" {
				names = append(names, "StopWorker")
			}
		case Requeue:
			if from.state == "" && to.state == "" {
				names = append(names, "Requeue")
			}
		case Answer:
			e, asked := m.(Enqueue)
			if x.Reply != from.reply && !(asked && e.Job.Run == id && x.Reply == e.Reply) || from.state == "" && !asked {
				continue
			}
			switch {
			case x.Err != nil:
				names = append(names, fmt.Sprintf("Answer(%s)", fault.CodeOf(x.Err)))
			case x.Outcome.Fault != nil:
				names = append(names, fmt.Sprintf("Answer(%s)", x.Outcome.Fault.Code))
			default:
				names = append(names, "Answer(outcome)")
			}
		}
	}
	return names
}

func name(state string) string {
	if state == "" {
		return "-"
	}
	return state
}
