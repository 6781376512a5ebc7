package cache

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

// seeds is how many seeds a simulation tries: n, or what TROUPE_SIM_SEEDS says.
func seeds(t *testing.T, n int) int {
	t.Helper()
	v := os.Getenv("TROUPE_SIM_SEEDS")
	if v == "" {
		return n
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSimulation runs the core of the cache with models of the store and of both queues, in random orders, with failing
// preparations, runs, writes and removals, with operators, departures, raises and revocations, with crashes at every step and
// every effect, and with inboxes of one. Everything gets one answer, by its own budget; a generation is prepared once, and
// one of an artifact at a time; priorities never fall; what is revoked does not start; the disk is never over its limit; and
// in the end the table accounts for each byte on it.
func TestSimulation(t *testing.T) {
	for _, o := range []struct {
		inbox int
		rate  float64
	}{{1, 0.1}, {64, 0.03}} {
		sim.Explore(t, sim.Options{Seeds: seeds(t, 2000), Rate: o.rate}, func(w *sim.World) sim.Check { return newWorld(w, o.inbox).check() })
	}
}

// TestBar03InSimulation has many ask for one new module while nothing fails and nobody leaves. There is one preparation,
// but for those that ended at the budget of everyone who waited by then.
func TestBar03InSimulation(t *testing.T) {
	single := 0
	sim.Explore(t, sim.Options{Seeds: seeds(t, 2000)}, func(w *sim.World) sim.Check {
		x := newWorld(w, 64)
		x.calm = true
		c := x.check()
		end := c.AtEnd
		c.AtEnd = func() error {
			if x.compiler.started > 1+x.canceled+x.compiler.limited {
				return fmt.Errorf("%d preparations, %d of them at a limit, %d canceled", x.compiler.started, x.compiler.limited, x.canceled)
			}
			if x.compiler.started == 1 {
				single++
			}
			return end()
		}
		return c
	})
	if single < seeds(t, 2000)/10 {
		t.Errorf("in %d seeds only there was one preparation for all", single)
	}
}

// client asks again and again, for one of three codes and in one of three ways.
type client struct{ left int }

type turn struct{}

func (c *client) Step(time.Time, any) []any {
	if c.left == 0 {
		return nil
	}
	c.left--
	return []any{turn{}}
}

// booting is a core whose index is there before its first message.
type booting struct {
	w *sim.World
	*State
	index func() indexed
	table *sim.Table // what is seen goes there, if there is one
}

func (b booting) Step(now time.Time, in Message) []Effect {
	var out []Effect
	if b.loading {
		out = sim.Step(b.w, "cache", sim.Core[Message, Effect](b.State), now, Message(b.index()))
	}
	return append(out, b.observed(now, in)...)
}

const clients, each = 3, 10

// world is a cache among its models.
type world struct {
	w        *sim.World
	calm     bool // one module, no faults, nobody leaves or revokes
	disk     *disk
	compiler *compiler
	runner   *runner
	core     *State
	revoked  *revocations
	table    *sim.Table
	requests map[uint64]Request
	counted  map[string]int // runs that counted against code, by key, of this incarnation

	id, incarnations  uint64
	answered, revokes int
	canceled          int
	err               error
}

func (x *world) broken(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

func newWorld(w *sim.World, inbox int) *world {
	x := &world{w: w, requests: map[uint64]Request{}, revoked: newRevocations(), counted: map[string]int{},
		disk: &disk{w: w, artifacts: map[artifacts.Key]int64{}, memory: map[artifacts.Key]bool{}, pins: map[artifacts.Key][]string{},
			failures: map[artifacts.Key]artifacts.Failure{}, metas: map[artifacts.Key]artifacts.Meta{}}}
	x.compiler = newCompiler(w, x.broken)
	x.runner = &runner{broken: x.broken}
	sim.Add(w, "cache", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] {
			x.incarnations++
			x.runner.jobs, x.runner.canceled = map[uint64]*execute.Job{}, map[uint64]bool{}
			clear(x.counted)
			x.core = NewState(Limits{Policy: artifacts.PrunePolicy{LimitBytes: limit, Age: time.Hour}, Unstored: 1, Descriptions: 200,
				Persist: 5 * time.Millisecond, Cooldown: 20 * time.Millisecond, Retries: 2, QuarantineAfter: 2, Quarantine: 20 * time.Millisecond}, x.incarnations)
			x.core.revoked = x.revoked
			return booting{w: w, State: x.core, index: x.disk.index, table: x.table}
		},
		Do: x.do, Crashes: true, Inbox: inbox, // at a rate of 0 nothing crashes
		Faults: func(e Effect) sim.Kind {
			switch e.(type) {
			case StartPrepare, StorePut, StoreAgain, StoreFailure, StartExecute, Delete, StartVerify, StartPin, Describe:
				return sim.Fail | sim.Crash
			}
			return sim.Crash
		},
	})
	for n := range clients {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: each} }, Inbox: 1,
			Do: func(s *sim.Shell, _ any) { x.act(s) },
		})
		_ = w.Send("", name, turn{})
	}
	return x
}

// act is one turn of a client.
func (x *world) act(s *sim.Shell) {
	x.id++
	r := Request{ID: x.id, Kind: Kind(max(1, s.Rand().IntN(6)-2)), Key: artifacts.Key{byte(max(0, s.Rand().IntN(6)-3))}, Tenant: string(rune('a' + s.Rand().IntN(2))),
		Priority: run.Priority(1 + s.Rand().IntN(4)), Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{}.WithDefaults()}
	cpu := time.Duration([]int{3, 10, 20, 50, 50, 50}[s.Rand().IntN(6)]) * time.Millisecond
	r.Budget = prepare.Budget{CPU: cpu, Wall: time.Duration(2+s.Rand().IntN(6)) * cpu, MemoryBytes: 1}
	if s.Rand().IntN(3) == 0 {
		r.Validity = strconv.Itoa(int(x.id) / 4)
	}
	if x.calm {
		r.Key, r.Kind, r.Budget.Wall = artifacts.Key{1}, Kind(2+s.Rand().IntN(2)), time.Hour
	} else if s.Rand().IntN(3) == 0 {
		operator(s, r.Key, &x.answered)
		return
	}
	x.requests[r.ID] = r
	if !x.calm && s.Rand().IntN(8) == 0 {
		r.Again = true
		x.requests[r.ID] = r
	}
	leaves := !x.calm && s.Rand().IntN(4) == 0
	raised := s.Rand().IntN(4) == 0
	sim.Request(s, "cache",
		func(answer func(Answer, error)) any { return Ask{Request: r, Reply: kernel.ReplyFunc(answer)} },
		func(a Answer, err error) any { x.judge(r, a, err); return turn{} })
	if leaves {
		_ = s.Control("cache", Depart{ID: r.ID})
	}
	if raised {
		_ = s.Control("cache", Raise{ID: r.ID, Priority: run.Priority(1 + s.Rand().IntN(4))})
	}
	if !x.calm && s.Rand().IntN(8) == 0 {
		switch s.Rand().IntN(3) {
		case 0:
			_ = s.Control("cache", Lift{Key: r.Key, Priority: run.Priority(s.Rand().IntN(5)), By: "an operator"})
		case 1:
			_ = s.Control("cache", Pause{})
			s.Go(5*time.Millisecond, func() any { _ = s.Control("cache", Pause{Off: true}); return nil })
		case 2:
			_ = s.Send("cache", Underway{Reply: kernel.ReplyFunc(func([]Standing, error) {})})
		}
	}
	if !x.calm && s.Rand().IntN(8) == 0 {
		x.revokes++
		tenant, tag := "a", strconv.Itoa(int(x.id)/4)
		_ = s.Control("cache", Revoke{Tenant: tenant, Tag: tag, Reply: kernel.ReplyFunc(func(int, error) { x.revokes-- })})
	}
}

// judge checks an answer against what its request asked for.
func (x *world) judge(r Request, a Answer, err error) {
	x.answered++
	need, code := x.compiler.need[r.Key], fault.Code("")
	if a.Outcome.Fault != nil {
		code = a.Outcome.Fault.Code
	}
	switch {
	case err != nil:
		if errors.Is(err, fault.CanceledRevoked) && !x.revoked.has(r.Tenant, r.Validity) {
			x.broken("request %d was revoked by nobody", r.ID)
		}
	case code == fault.GuestPrepareCPU && need < r.Budget.CPU:
		x.broken("request %d: %v of CPU time would have been enough", r.ID, r.Budget.CPU)
	case code == fault.SuspectPrepareWall && x.compiler.maxWall[r.Key] < r.Budget.Wall:
		x.broken("request %d: no preparation took %v", r.ID, r.Budget.Wall)
	case code == "" && r.Kind == Precheck && need >= r.Budget.CPU:
		x.broken("request %d: a precheck with %v passed what needs %v", r.ID, r.Budget.CPU, need)
	case a.Counted && !a.Repeated, a.Repeated && (a.Attempts != 2 || a.Outcome.Fault.Class != fault.Suspect):
		x.broken("request %d: %+v", r.ID, a)
	}
}

func (x *world) do(s *sim.Shell, e Effect) {
	switch e := e.(type) {
	case StartPrepare:
		x.compiler.start(s, e)
	case RaisePrepare:
		x.compiler.raise(e)
	case CancelPrepare:
		x.canceled++
		x.compiler.cancel(e.Job)
	case StartExecute:
		if r := x.requests[e.Job.Run]; x.revoked.has(r.Tenant, r.Validity) {
			x.broken("run %d begins, and is revoked", r.ID)
		} else if e.Job.Priority < r.Priority {
			x.broken("run %d begins at %s, not %s", r.ID, e.Job.Priority, r.Priority)
		}
		x.runner.start(s, e)
	case RaiseExecute:
		x.runner.raise(e)
	case CancelExecute:
		x.runner.canceled[e.Run] = true
	case Requeue:
		s.Requeue(e.Message)
	case Reply:
		x.count(e)
		settle(e.To, e.Answer, e.Err)
	case HasRevoked:
		settle(e.To, e.N, nil)
	case Done:
		settle(e.To, struct{}{}, e.Err)
	case HasPruned:
		settle(e.To, e.Pruned, e.Err)
	case Stand:
		settle(e.To, e.Standings, nil)
	case Shown:
		var err error
		if e.Err != nil {
			err = e.Err
		}
		settle(e.To, e.Detail, err)
	default:
		x.disk.perform(s, e)
	}
}

// count follows what counts against code: nobody is refused without that.
func (x *world) count(e Reply) {
	f := e.Answer.Outcome.Fault
	k := string(e.Answer.Meta.Key[:])
	switch {
	case e.Err != nil:
	case e.Answer.Counted:
		x.counted[k]++
	case f != nil && f.Code == fault.GuestQuarantined && x.counted[k] < 2:
		x.broken("artifact %x is in quarantine after %d runs that counted", k[:1], x.counted[k])
	}
}

func (x *world) check() sim.Check {
	return sim.Check{
		Always: func() error {
			if n := x.disk.bytes(); n > limit && !x.disk.stuck {
				x.broken("%d bytes on disk", n)
			}
			if x.err != nil {
				return x.err
			}
			return consistent(x.core)
		},
		AtEnd: func() error {
			if x.answered != clients*each || x.revokes != 0 {
				return fmt.Errorf("%d of %d requests were answered, %d revocations were not", x.answered, clients*each, x.revokes)
			}
			if x.core.loading {
				return nil
			}
			return errors.Join(x.err, x.atRest())
		},
	}
}

// atRest compares the table with the disk when nothing is under way.
func (x *world) atRest() error {
	core, d := x.core, x.disk
	for k, b := range d.artifacts {
		if e := core.entries[k]; (e == nil || e.bytes != b) && core.leaving[k] == nil {
			return fmt.Errorf("artifact %x is on disk, and the table does not know it", k[:1])
		}
	}
	if n, want := core.total(), d.bytes(); n != want && !d.stuck {
		return fmt.Errorf("the table counts %d bytes, the disk has %d", n, want)
	}
	for k, tenants := range d.pins {
		if len(core.pins[k]) != len(tenants) {
			return fmt.Errorf("pins of %x: %v in the table, %v on disk", k[:1], core.pins[k], tenants)
		}
	}
	var described int64
	for k, e := range core.entries {
		if e.storing || e.describing || e.reserved != 0 || e.inUse != 0 || len(e.waiting)+len(e.toJudge)+len(e.toShow) > 0 {
			return fmt.Errorf("artifact %x is not at rest: %+v", k[:1], e)
		}
		if e.module != nil {
			described += weight(*e.module)
		}
	}
	if described != core.described {
		return fmt.Errorf("%d bytes of descriptions are counted, there are %d", core.described, described)
	}
	if len(core.asks)+len(core.pinning)+len(core.jobs) > 0 {
		return fmt.Errorf("%d asks, %d pins, %d jobs are left", len(core.asks), len(core.pinning), len(core.jobs))
	}
	return nil
}
