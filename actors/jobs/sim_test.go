package jobs

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
)

var update = flag.Bool("update", false, "rewrite the table in doc.go")

// TestSimulation runs the core of the jobs with models of the disk and of the cache, in random orders: with failing writes,
// also of the kind that is on disk all the same, with refused and failing runs, with a clock that jumps by an hour, with
// crashes of the actor between any two effects, and with hosts that are killed, which loses what was not synced. No job that
// was acknowledged is lost, each is settled once on disk and is seen to be so only then, a key names one job, nobody waits
// for ever, no job runs twice at a time or again after its end, and in the end nothing is left.
func TestSimulation(t *testing.T) {
	seeds := 10_000
	if n, err := strconv.Atoi(os.Getenv("TROUPE_SIM_SEEDS")); err == nil {
		seeds = n
	}
	for _, inbox := range []int{1, 64} {
		sim.Explore(t, sim.Options{Seeds: seeds / 2, Rate: 0.04}, func(w *sim.World) sim.Check { return newWorld(w, inbox, nil).check() })
	}
}

// TestTransitions compares the table in doc.go with what the core does in the simulation.
func TestTransitions(t *testing.T) {
	table := sim.NewTable("Job")
	for seed := range uint64(400) {
		if r := sim.Run(seed, sim.Options{Rate: 0.04}, func(w *sim.World) sim.Check { return newWorld(w, 64, table).check() }); r.Err != nil {
			t.Fatal(r)
		}
	}
	if err := table.CompareDoc("doc.go", *update); err != nil {
		t.Error(err)
	}
}

type world struct {
	w     *sim.World
	table *sim.Table
	err   error

	core        *State // of the incarnation that lives
	incarnation int
	skew        time.Duration // of the clock
	ids         int
	pause       Pause // by the operator; it outlives the actor

	disk     map[string]Record
	pending  []*pendingWrite
	clock    time.Duration
	acked    map[string]bool
	settled  map[string]Record // ever, on disk
	keys     map[string]string // acknowledged
	open     map[uint64]string // runs that were opened
	active   map[string]uint64 // jobs that the cache runs
	runs     uint64
	verdicts map[string]int // the incarnation in which a job had its verdict
	asked    int
	answered int
}

// pendingWrite is a write that the disk has not ended.
type pendingWrite struct {
	apply func()
	ended bool
	fail  error
}

func (x *world) violation(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

// box boots each incarnation as the shell does, and looks at what the core does with its jobs.
type box struct {
	x      *world
	s      *State
	booted bool
}

func (b *box) Step(now time.Time, in Message) []Effect {
	var out []Effect
	if !b.booted {
		b.booted = true
		out = append(out, Load{})
	}
	before := map[string]phase{}
	for id, j := range b.s.jobs {
		before[id] = j.phase
	}
	effects := sim.Step(b.x.w, "jobs", sim.Core[Message, Effect](b.s), now.Add(b.x.skew), in)
	if b.x.table != nil {
		b.note(in, before, effects)
	}
	return append(out, effects...)
}

func (b *box) note(in Message, before map[string]phase, effects []Effect) {
	with := map[string][]string{}
	add := func(id string, e Effect) {
		with[id] = append(with[id], strings.TrimPrefix(fmt.Sprintf("%T", e), "jobs."))
	}
	of := func(run uint64) string {
		return b.x.open[run]
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Write:
			add(e.Record.ID, e)
		case Open:
			add(e.Record.ID, e)
		case Start:
			add(e.ID, e)
		case Close:
			add(of(e.Run), e)
		case Depart:
			add(of(e.Run), e)
		case RaiseRun:
			add(of(e.Run), e)
		case Erase:
			for _, id := range e.IDs {
				add(id, e)
			}
		}
	}
	event := strings.TrimPrefix(fmt.Sprintf("%T", in), "jobs.")
	switch m := in.(type) {
	case wrote:
		if m.err != nil {
			event += " err"
		}
	case opened:
		if m.err != nil {
			event += " err"
		}
	case ended:
		if m.err != nil {
			event += " err"
		}
	case erased:
		if m.err != nil {
			event += " err"
		}
	}
	for id, was := range before {
		next := phase(0)
		if j := b.s.jobs[id]; j != nil {
			next = j.phase
		}
		if next != was || len(with[id]) > 0 {
			b.x.table.Saw(was.String(), event, next.String(), with[id]...)
		}
	}
	for id, j := range b.s.jobs {
		if _, known := before[id]; !known {
			b.x.table.Saw("-", event, j.phase.String(), with[id]...)
		}
	}
}

// client does one thing after the other, each when the one before is answered.
type client struct{ left int }
type turn struct{}  // something is done now
type pause struct{} // or later

func (c *client) Step(_ time.Time, m any) []any {
	switch {
	case m == any(turn{}):
		return []any{turn{}}
	case c.left == 0:
		return nil
	}
	c.left--
	return []any{pause{}}
}

// engine is the cache: it runs what it is asked, for a while, and ends it when its caller departs.
type engine struct{}
type askRun struct {
	id     string
	r      cache.Request
	answer func(cache.Answer, error)
}
type departRun struct{ run uint64 }
type endRun struct{ ask askRun }

func (engine) Step(_ time.Time, m any) []any { return []any{m} }

const (
	simActive = 8
	trouble   = 10 * time.Second // faults are injected
)

func newWorld(w *sim.World, inbox int, table *sim.Table) *world {
	x := &world{w: w, table: table, disk: map[string]Record{}, acked: map[string]bool{}, settled: map[string]Record{}, keys: map[string]string{},
		open: map[uint64]string{}, active: map[string]uint64{}, verdicts: map[string]int{}}
	began := w.Now()
	sim.Add(w, "jobs", sim.Node[Message, Effect]{
		Inbox: inbox,
		New: func() sim.Core[Message, Effect] {
			x.incarnation++
			for _, run := range slices.Sorted(maps.Keys(x.open)) { // as the shell does
				x.depart(run)
				delete(x.open, run)
			}
			x.core = NewState(Limits{Queue: 6, Settled: 8, Active: simActive, Keep: 5 * time.Second, Retries: 2, Watchers: 64, Tags: 2, Writes: 3})
			w.At(0, func() { _ = w.Send("", "jobs", tick{}) })
			x.core.pause(x.pause) // the shell tells it before all else
			return &box{x: x, s: x.core}
		},
		Faults: func(e Effect) sim.Kind {
			if w.Now().Sub(began) > trouble {
				return 0 // all must end well without another crash that would clean up
			}
			switch e.(type) {
			case Write, Erase, Open:
				return sim.Fail | sim.Crash
			case Wake, Load:
				return 0
			}
			return sim.Crash
		},
		Do: x.do,
	})
	runs := map[uint64]askRun{}
	sim.Add(w, "cache", sim.Node[any, any]{
		New: func() sim.Core[any, any] {
			clear(runs)
			clear(x.active)
			return engine{}
		},
		Do: func(s *sim.Shell, e any) {
			switch m := e.(type) {
			case askRun:
				if other := x.active[m.id]; other != 0 && x.open[other] != "" {
					x.violation("%s runs twice at a time", m.id)
				}
				if s.Rand().IntN(5) == 0 {
					m.answer(cache.Answer{}, busy("cache"))
					return
				}
				x.active[m.id] = m.r.ID
				runs[m.r.ID] = m
				s.Go(time.Duration(s.Rand().IntN(3000))*time.Millisecond, func() any { return endRun{m} })
			case departRun:
				if a, ok := runs[m.run]; ok {
					delete(runs, m.run)
					delete(x.active, a.id)
					a.answer(cache.Answer{}, fault.New(fault.CanceledCaller, "", "", nil))
				}
			case endRun:
				if _, ok := runs[m.ask.r.ID]; !ok {
					return
				}
				delete(runs, m.ask.r.ID)
				delete(x.active, m.ask.id)
				x.end(s, m.ask)
			}
		},
	})
	for n := range 4 {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: 8} },
			Do: func(s *sim.Shell, e any) {
				if e == any(turn{}) {
					x.turn(s)
					return
				}
				s.Go(time.Duration(s.Rand().IntN(1000))*time.Millisecond, func() any { return turn{} })
			},
		})
		_ = w.Send("", name, nil)
	}
	for range w.Rand().IntN(3) {
		w.At(time.Duration(w.Rand().IntN(8000))*time.Millisecond, x.kill)
	}
	for range w.Rand().IntN(3) {
		w.At(time.Duration(w.Rand().IntN(8000))*time.Millisecond, func() {
			x.skew += time.Duration(w.Rand().IntN(3)-1) * time.Hour
		})
	}
	return x
}

func (x *world) end(s *sim.Shell, m askRun) {
	r := s.Rand()
	switch r.IntN(8) {
	case 0:
		m.answer(cache.Answer{}, fault.New(fault.HostSpawnFailed, "", "", nil))
	case 1:
		m.answer(cache.Answer{}, fault.New(fault.CanceledStopped, "", "", nil))
	case 2:
		m.answer(cache.Answer{}, fault.New(fault.CallerNotFound, "", "", nil))
	case 3:
		m.answer(cache.Answer{Outcome: run.Outcome{Fault: fault.New(fault.GuestTrap, "", "", nil)}}, nil)
	default:
		m.answer(cache.Answer{}, nil)
	}
}

func (x *world) depart(run uint64) { _ = x.w.Send("", "cache", departRun{run}) }

// kill ends the host: what was not synced is on disk or not.
func (x *world) kill() {
	for _, p := range x.pending {
		if !p.ended {
			p.ended = true
			if x.w.Rand().IntN(2) == 0 {
				p.apply()
			}
		}
	}
	x.w.Crash("cache")
	x.w.Crash("jobs")
}

// write ends after a while. A failed one is on disk all the same now and then.
func (x *world) write(s *sim.Shell, apply func(), back func(error) Message) {
	p := &pendingWrite{apply: apply, fail: s.Err()}
	x.pending = append(x.pending, p)
	lie := s.Rand().IntN(2) == 0
	end := func() {
		if p.ended {
			return
		}
		p.ended = true
		if p.fail == nil || lie {
			p.apply()
		}
	}
	d := time.Duration(1+s.Rand().IntN(20)) * time.Millisecond
	x.w.At(d, end) // whether or not the actor lives
	s.Go(d, func() any { end(); return back(p.fail) })
}

func (x *world) put(r Record) {
	if old, ok := x.settled[r.ID]; ok && (r.State != run.JobSettled || r.Settled != old.Settled || r.Verdict != old.Verdict || r.Fault != old.Fault) {
		x.violation("%s was settled %v, and is written as %s %v", r.ID, old.Settled, r.State, r.Settled)
	}
	if r.State == run.JobSettled {
		x.settled[r.ID] = r
	}
	x.disk[r.ID] = r
}

func (x *world) do(s *sim.Shell, e Effect) {
	switch e := e.(type) {
	case Load:
		for _, p := range x.pending { // the shell waits for them
			if !p.ended {
				s.Go(5*time.Millisecond, func() any { x.do(s, e); return tick{} })
				return
			}
		}
		x.pending = nil
		s.Go(time.Millisecond, func() any {
			var all []Record
			for _, r := range x.disk {
				all = append(all, r)
			}
			slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
			return loaded{records: all, kept: x.clock}
		})
	case Write:
		x.judgeTrail(e.Record)
		x.write(s, func() { x.put(e.Record) }, func(err error) Message { return wrote{id: e.Record.ID, over: s.Rand().IntN(20) == 0, err: err} })
	case Erase:
		x.write(s, func() {
			for _, id := range e.IDs {
				if _, done := x.settled[id]; x.acked[id] && !done {
					x.violation("%s was acknowledged, and is erased before it is settled", id)
				}
				delete(x.disk, id)
			}
		}, func(err error) Message { return erased{ids: e.IDs, err: err} })
	case SaveClock:
		x.clock = e.Kept
	case Open:
		if x.verdicts[e.Record.ID] == x.incarnation {
			x.violation("%s is run again after its verdict", e.Record.ID)
		}
		x.runs++
		id, err := x.runs, s.Err()
		if err == nil {
			x.open[id] = e.Record.ID
		}
		s.Go(time.Millisecond, func() any { return opened{id: e.Record.ID, request: cache.Request{ID: id}, err: err} })
	case Start:
		if len(x.core.flight) > 2*simActive {
			x.violation("%d jobs are under way", len(x.core.flight))
		}
		incarnation := x.incarnation
		sim.Request(s, "cache",
			func(answer func(cache.Answer, error)) any { return askRun{e.ID, e.Request, answer} },
			func(a cache.Answer, err error) any {
				if err == nil {
					x.verdicts[e.ID] = incarnation
				}
				return ended{id: e.ID, run: e.Request.ID, answer: a, err: err}
			})
	case Close:
		delete(x.open, e.Run)
	case Depart:
		x.depart(e.Run)
	case Wake:
		s.After(e.After, tick{})
	case Requeue:
		s.Requeue(e.Message)
	case Refuse:
		e.Message.(interface{ Failed(error) }).Failed(e.Err)
	case Reply:
		if e.Err == nil && e.Job.State == run.JobSettled {
			if _, ok := x.settled[e.Job.ID]; !ok {
				x.violation("%s is shown as settled before it is on disk", e.Job.ID)
			}
		}
		give(e.To, e.Job, e.Err)
	case Listed:
		if !slices.IsSortedFunc(e.Page.Jobs, func(a, b run.Job) int { return strings.Compare(a.ID, b.ID) }) {
			x.violation("a list is not in order")
		}
		give(e.To, e.Page, e.Err)
	case Revoked:
		give(e.To, e.N, e.Err)
	case Shown:
		for p, n := range e.Queue.Parked {
			if n < 0 {
				x.violation("%d %s jobs wait", n, p)
			}
		}
		give(e.To, e.Queue, nil)
	}
}

// turn does something at random.
func (x *world) turn(s *sim.Shell) {
	r := s.Rand()
	some := func() string { return fmt.Sprintf("%026d", 1+r.IntN(max(x.ids, 1))) }
	x.asked++
	next := func(err error) any {
		x.answered++
		if err != nil && errors.Is(err, fault.Bug) && !errors.Is(err, fault.BugNoAnswer) && !errors.Is(err, fault.BugPanic) {
			x.violation("%v", err)
		}
		return nil
	}
	one := func(build func(kernel.Reply[run.Job]) Message, got func(run.Job)) {
		sim.Request(s, "jobs", func(answer func(run.Job, error)) any { return build(kernel.ReplyFunc(answer)) },
			func(j run.Job, err error) any {
				if err == nil && got != nil {
					got(j)
				}
				return next(err)
			})
	}
	switch r.IntN(12) {
	default:
		x.ids++
		q := Request{ID: fmt.Sprintf("%026d", x.ids), Tenant: "t", Priority: run.Priority(1 + r.IntN(4)), Body: &Body{}}
		if r.IntN(3) == 0 {
			q.Key, q.Keep = fmt.Sprint("key", r.IntN(2)), 20*time.Second
			q.Fingerprint[0] = byte(r.IntN(10) / 9)
		}
		if r.IntN(3) == 0 {
			q.Validity = fmt.Sprint("tag", r.IntN(3))
		}
		if r.IntN(4) == 0 {
			q.Deadline = s.Now().Add(x.skew + time.Duration(r.IntN(5))*time.Second)
		}
		one(func(to kernel.Reply[run.Job]) Message { return Submit{Request: q, Reply: to} }, func(j run.Job) { x.accepted(q, j) })
	case 0:
		id := some()
		one(func(to kernel.Reply[run.Job]) Message { return Cancel{ID: id, By: "me", Reply: to} }, func(j run.Job) {
			if d, ok := x.disk[id]; ok && d.Ending == "" && d.State != run.JobSettled {
				x.violation("the wish to cancel %s is not on disk", id)
			}
		})
	case 1:
		id, p := some(), run.Priority(1+r.IntN(4))
		one(func(to kernel.Reply[run.Job]) Message { return Raise{ID: id, Priority: p, By: "me", Reply: to} }, func(j run.Job) {
			if d, ok := x.disk[id]; ok && d.Priority < p {
				x.violation("the priority of %s is not on disk", id)
			}
		})
	case 2:
		tag := fmt.Sprint("tag", r.IntN(3))
		sim.Request(s, "jobs", func(answer func(int, error)) any {
			return Revoke{Tenant: "t", Tag: tag, Reply: kernel.ReplyFunc(answer)}
		}, func(_ int, err error) any { return next(err) })
	case 6:
		if r.IntN(4) > 0 {
			sim.Request(s, "jobs", func(answer func(inspect.Queue, error)) any {
				return Inspect{Reply: kernel.ReplyFunc(answer)}
			}, func(_ inspect.Queue, err error) any { return next(err) })
			return
		}
		sim.Request(s, "jobs", func(answer func(int, error)) any {
			return Purge{Reply: kernel.ReplyFunc(answer)}
		}, func(_ int, err error) any { return next(err) })
	case 7:
		x.pause = Pause{Paused: r.IntN(2) == 0, Held: r.IntN(2) == 0, Since: s.Now()}
		x.answered++
		_ = s.Control("jobs", x.pause)
		s.World().At(time.Duration(r.IntN(500))*time.Millisecond, func() {
			x.pause = Pause{}
			_ = s.Control("jobs", Pause{})
		})
	case 3:
		sim.Request(s, "jobs", func(answer func(Page, error)) any {
			return List{Limit: 3, Reply: kernel.ReplyFunc(answer)}
		}, func(_ Page, err error) any { return next(err) })
	case 4, 5:
		id, watcher, leaves := some(), x.runs<<32|uint64(x.asked), r.IntN(3) == 0
		one(func(to kernel.Reply[run.Job]) Message {
			return Watch{ID: id, Seen: 2 + r.IntN(2), Watcher: watcher, Reply: to}
		}, nil)
		if leaves {
			s.World().At(time.Duration(r.IntN(100))*time.Millisecond, func() { _ = s.Control("jobs", Unwatch{Watcher: watcher}) })
		}
	}
}

// accepted is the moment at which a client knows of a job.
func (x *world) accepted(q Request, j run.Job) {
	if _, onDisk := x.disk[j.ID]; !onDisk && x.settled[j.ID].ID == "" {
		x.violation("%s is acknowledged and not on disk", j.ID)
	}
	x.acked[j.ID] = true
	if q.Key == "" {
		return
	}
	k := q.Key + string(q.Fingerprint[:1])
	if old := x.keys[k]; old != "" && old != j.ID {
		if x.core.visible(old) != nil {
			x.violation("the key %s names %s and %s", q.Key, old, j.ID)
		}
	}
	x.keys[k] = j.ID
}

func (x *world) check() sim.Check {
	return sim.Check{
		Always: func() error {
			named := map[string]string{}
			for id, j := range x.core.jobs {
				if j.Key == "" || j.phase >= settled {
					continue
				}
				if other := named[j.Key]; other != "" {
					x.violation("%s and %s have the key %s", id, other, j.Key)
				}
				named[j.Key] = id
			}
			return x.err
		},
		AtEnd: func() error {
			for id := range x.acked {
				if _, ok := x.settled[id]; !ok {
					return fmt.Errorf("%s was acknowledged, and is not settled", id)
				}
			}
			s := x.core
			switch {
			case x.asked != x.answered:
				return fmt.Errorf("%d asked, %d answered", x.asked, x.answered)
			case len(x.disk) > 0:
				return fmt.Errorf("%d jobs are still on disk", len(x.disk))
			case len(s.flight)+len(s.watches)+len(s.jobs)+s.open+s.kept+s.writes+len(s.failures)+len(s.line)+len(s.erase) > 0, s.slots != [run.Critical + 1]int{}, s.opens != s.slots:
				return fmt.Errorf("left behind: %d flight %d watches %d jobs %d open %d kept %d writes, slots %v", len(s.flight), len(s.watches), len(s.jobs), s.open, s.kept, s.writes, s.slots)
			case len(x.open) > 0:
				return fmt.Errorf("%d runs are still open", len(x.open))
			}
			return nil
		},
	}
}
