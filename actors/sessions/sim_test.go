package sessions

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// TestSimulation runs the cores of the sessions actor and of its apps with models of the store and of the guests, in random
// orders: with failing writes, with guests that end by themselves, do not listen or take their time, with crashes of any of
// the actors between any two effects. There are never more instances than slots, everybody is answered, numbers of tokens
// rise and are on disk before they are given out, totals never fall, hold each use that was acknowledged, and none twice, a
// deployment that was acknowledged is on disk and one that is removed is not, and in the end nothing is left.
func TestSimulation(t *testing.T) {
	sim.Explore(t, sim.Options{Seeds: 4000, Rate: 0.02, MaxSteps: 60_000, Horizon: 10 * time.Minute}, func(w *sim.World) sim.Check { return newWorld(w).check() })
}

const (
	simSlots = 3
	trouble  = 15 * time.Second // faults are injected
	quiet    = 30 * time.Second // the last client is done by then
)

type world struct {
	w   *sim.World
	err error

	core        *State
	incarnation uint64
	actors      []*actor
	session     *WorkerSession // on disk
	apps        map[manifest.Address]Record
	writes      int // under way
	written     map[uint64]bool
	dirty       bool
	live        map[uint64]*guest
	timers      map[*sim.Shell]func()
	manifests   []*manifest.Manifest

	sent      map[manifest.Address]uint64 // tips
	acked     map[[32]byte]uint64         // tips, by app session
	ups       map[[32]byte]uint64         // starts
	issued    map[[32]byte]uint64         // the last number, by worker session
	keys, ids uint64
	entered   map[uint64]manifest.Address
	turns     int
	began     time.Time
	asked     int
	answered  int
	drained   bool
	emptied   bool
}

// actor is the actor of an app.
type actor struct {
	x       *world
	setup   Setup
	parent  uint64 // incarnation
	core    *app
	doing   []Effect
	born    bool
	dead    bool
	failure error
	writes  int
	kills   map[uint64]*guest
}

// guest is an instance.
type guest struct {
	actor *actor
	id    uint64
	over  bool
}

func (x *world) violation(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

func (a *actor) name() string {
	return fmt.Sprintf("%.8s-%d", nameOf(a.setup.Record.Address)[4:], a.setup.Gen)
}

// Step is the core of the actor while it lives, and refuses everything afterwards.
func (a *actor) Step(now time.Time, in appMessage) []Effect {
	if a.dead {
		return []Effect{Refuse{in, fault.New(fault.CanceledStopped, "actor", a.name(), nil)}}
	}
	if u, ok := in.(Use); ok && a.x.written[u.Key] {
		return []Effect{answer[struct{}]{to: u.Reply}}
	}
	a.doing = sim.Step(a.x.w, a.name(), sim.Core[appMessage, Effect](a.core), now, in)
	return a.doing
}

// die does what the kernel and the shell do when an actor ends: what it runs ends first.
func (a *actor) die(why error) {
	if a.dead {
		return
	}
	a.dead, a.failure = true, why
	err := fault.New(fault.CanceledStopped, "actor", a.name(), nil)
	for _, e := range a.doing {
		if g, ok := e.(giver); ok {
			g.fail(err)
		}
	}
	for _, fail := range a.core.outstanding() {
		fail(err)
	}
	for _, id := range slices.Sorted(maps.Keys(a.kills)) {
		a.x.end(a.kills[id], nil, time.Duration(a.x.w.Rand().IntN(50))*time.Millisecond, Ended{})
	}
	a.bury()
}

func (a *actor) bury() {
	a.x.w.At(time.Millisecond, func() {
		if len(a.kills) > 0 || a.writes > 0 {
			a.bury()
			return
		}
		a.x.actors = slices.DeleteFunc(a.x.actors, func(o *actor) bool { return o == a })
		if a.parent == a.x.incarnation {
			_ = a.x.w.Send("", "sessions", exitedOf{exited{nameOf(a.setup.Record.Address), a.failure}, a.parent})
		}
	})
}

func newWorld(w *sim.World) *world {
	x := &world{w: w, began: w.Now(), apps: map[manifest.Address]Record{}, written: map[uint64]bool{}, live: map[uint64]*guest{}, timers: map[*sim.Shell]func(){},
		sent: map[manifest.Address]uint64{}, acked: map[[32]byte]uint64{}, ups: map[[32]byte]uint64{}, issued: map[[32]byte]uint64{}, entered: map[uint64]manifest.Address{}}
	for n, change := range []func(*manifest.Manifest){
		nil, resizable, onDemand,
		func(m *manifest.Manifest) { m.OnDemand, m.Terms.Reuse, m.Terms.Queue = true, manifest.Reset, 2 },
		func(m *manifest.Manifest) {
			m.Terms.Entry = manifest.Command
			m.Terms.Schedule = manifest.Schedule{Start: time.Second, Period: 2 * time.Second, Repeats: 4, Duration: 3 * time.Second}
		},
		func(m *manifest.Manifest) { m.Terms.Restart = manifest.Restart{Max: 3, MinRun: 2 * time.Second} },
	} {
		m := appOf(fmt.Sprint("sim", n), change)
		m.Terms.QueryTimeout, m.Terms.IdleTimeout = 3*time.Second, 2*time.Second
		x.manifests = append(x.manifests, m)
	}
	sim.Add(w, "sessions", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] {
			x.incarnation++
			for _, a := range slices.Clone(x.actors) {
				a.die(nil)
			}
			x.core = NewState(Limits{Slots: simSlots, Active: 2, Requests: 6, Gathers: 4}, true, x.incarnation<<40)
			w.At(0, func() { _ = w.Send("", "sessions", tick{}) })
			return &boot{x: x, core: x.core}
		},
		Faults: func(e Effect) sim.Kind {
			switch e := e.(type) {
			case SaveSession, SaveApp, EraseApp, Sync, Reload:
				return x.faults(sim.Fail | sim.Crash)
			case Load, WakeAt, Requeue: // a Leave in hand is lost with its actor: see doc.go
				return 0
			case ToApp:
				if _, leaves := e.Message.(Leave); leaves {
					return 0
				}
			}
			return x.faults(sim.Crash)
		},
		Do: x.do,
	})
	for n := range clients {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: turns} },
			Do: func(s *sim.Shell, e any) {
				if e == any(turn{}) {
					x.turn(s)
					return
				}
				s.Go(time.Duration(s.Rand().IntN(2000))*time.Millisecond, func() any { return turn{} })
			},
		})
		_ = w.Send("", name, nil)
	}
	sim.Add(w, "closer", sim.Node[any, any]{
		New: func() sim.Core[any, any] { return relay{} },
		Do:  func(s *sim.Shell, _ any) { x.finish(s) },
	})
	x.close()
	return x
}

const (
	clients = 4
	turns   = 12
)

// close ends the world when the clients have done what they do.
func (x *world) close() {
	x.w.At(time.Second, func() {
		if x.turns < clients*turns || x.asked > x.answered || len(x.entered) > 0 || x.w.Now().Sub(x.began) < quiet {
			x.close()
			return
		}
		_ = x.w.Send("", "closer", turn{})
	})
}

func (x *world) faults(k sim.Kind) sim.Kind {
	if x.w.Now().Sub(x.began) > trouble {
		return 0
	}
	return k
}

// exitedOf is the end of a child of one incarnation, of which no other hears.
type exitedOf struct {
	exited
	parent uint64
}

// boot has each incarnation load first.
type boot struct {
	x      *world
	core   *State
	booted bool
}

func (b *boot) Step(now time.Time, in Message) (out []Effect) {
	if !b.booted {
		b.booted = true
		out = append(out, Load{})
	}
	if m, ok := in.(exitedOf); ok {
		if m.parent != b.x.incarnation {
			return out
		}
		in = m.exited
	}
	if m, ok := in.(OpenSession); ok {
		b.x.keys++
		m.cnonce = [32]byte{byte(b.x.keys), byte(b.x.keys >> 8), 1}
		in = m
	}
	return append(out, sim.Step(b.x.w, "sessions", sim.Core[Message, Effect](b.core), now, in)...)
}

type relay struct{}

func (relay) Step(_ time.Time, m any) []any {
	if m == nil {
		return nil
	}
	return []any{m}
}

// client does one thing after the other.
type client struct{ left int }
type turn struct{}
type pause struct{}

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

// write ends after a while, whether or not its actor lives. A failed one may be there all the same if it may lie.
func (x *world) write(s *sim.Shell, a *actor, lies bool, apply func(), back func(error) any) {
	fail := s.Err()
	lie := lies && s.Rand().IntN(2) == 0
	x.writes++
	if a != nil {
		a.writes++
	}
	d := time.Duration(1+s.Rand().IntN(30)) * time.Millisecond
	ended := false
	end := func() {
		if ended {
			return
		}
		ended = true
		x.writes--
		if a != nil {
			a.writes--
		}
		if fail == nil || lie {
			apply()
		}
	}
	x.w.At(d, end)
	s.Go(d, func() any { end(); return back(fail) })
}

func (x *world) put(r Record) {
	if old, ok := x.apps[r.Address]; ok && old.Session == r.Session {
		o, n := old.State.Totals, r.State.Totals
		if n.Tip < o.Tip || n.RunningTimeMS < o.RunningTimeMS || n.Starts < o.Starts {
			x.violation("totals fall from %+v to %+v", o, n)
		}
	}
	if t := r.State.Totals; t.Tip > x.sent[r.Address] || t.Starts > x.ups[r.Session] {
		x.violation("%d tips of %d, %d starts of %d", t.Tip, x.sent[r.Address], t.Starts, x.ups[r.Session])
	}
	x.apps[r.Address] = r
}

func (x *world) do(s *sim.Shell, e Effect) {
	switch e := e.(type) {
	case Load:
		if x.writes > 0 || slices.ContainsFunc(x.actors, func(a *actor) bool { return a.parent != x.incarnation }) {
			s.Go(5*time.Millisecond, func() any { x.do(s, e); return tick{} })
			return
		}
		s.Go(time.Millisecond, func() any {
			saved := Saved{Session: x.session}
			for _, r := range x.apps {
				saved.Apps = append(saved.Apps, r)
			}
			return loaded{saved: saved}
		})
	case SaveSession:
		x.write(s, nil, true, func() {
			if x.session != nil && x.session.ID == e.Session.ID && e.Session.SN < x.session.SN {
				x.violation("the number on disk falls from %d to %d", x.session.SN, e.Session.SN)
			}
			x.session = &e.Session
		}, func(err error) any { return savedSession{err} })
	case SaveApp:
		x.write(s, nil, true, func() { x.put(e.Record) }, func(err error) any { return savedApp{e.Record.Address, e.Gen, err} })
	case EraseApp:
		x.write(s, nil, true, func() { delete(x.apps, e.Address) }, func(err error) any { return erased{e.Address, err} })
	case Reload:
		err := s.Err()
		s.Go(time.Millisecond, func() any {
			r, ok := x.apps[e.Address]
			return reloaded{e.Address, e.Gen, r, ok, err}
		})
	case SpawnApp:
		x.spawn(s, e)
	case StopActor:
		if a := x.actor(e.Gen); a != nil {
			a.die(nil)
		}
	case ToApp:
		a := x.actor(e.Gen)
		switch {
		case a == nil || a.dead:
			refuse(Refuse{e.Message, fault.New(fault.CanceledStopped, "", "", nil)})
		case e.Control:
			_ = s.Control(a.name(), e.Message)
		default:
			_ = s.Send(a.name(), e.Message)
		}
	case Sync:
		x.dirty = false
		x.write(s, nil, false, func() {}, func(err error) any { return synced{e.Number, err} })
	case Issue:
		for _, p := range e.Pages {
			x.issue(p.Token)
			for _, m := range p.Apps {
				if r, ok := x.apps[m.Address]; ok && r.Session == m.Session && r.State.Totals.RunningTimeMS < m.RunningTimeMS {
					x.violation("told %d ms, on disk %d", m.RunningTimeMS, r.State.Totals.RunningTimeMS)
				}
			}
		}
		e.To.Answer(e.Pages)
	case IssueToken:
		x.issue(e.Token)
		e.To.Answer(e.Token)
	case Refuse:
		refuse(e)
	case Requeue:
		s.Requeue(e.Message)
	case WakeAt:
		x.wake(s, e)
	case giver:
		e.give()
	}
}

// wake has one timer for each incarnation, as the shell does.
func (x *world) wake(s *sim.Shell, e WakeAt) {
	if stop := x.timers[s]; stop != nil {
		stop()
	}
	if !e.At.IsZero() {
		x.timers[s] = s.After(max(0, e.At.Sub(s.Now())), tick{})
	}
}

func (x *world) issue(t meter.Token) {
	if t.SN <= x.issued[t.Session] {
		x.violation("token %d after %d", t.SN, x.issued[t.Session])
	}
	if x.session == nil || x.session.ID != t.Session || x.session.SN < t.SN {
		x.violation("token %d is not on disk: %+v", t.SN, x.session)
	}
	x.issued[t.Session] = t.SN
}

func (x *world) actor(gen uint64) *actor {
	for _, a := range x.actors {
		if a.setup.Gen == gen {
			return a
		}
	}
	return nil
}

func (x *world) spawn(s *sim.Shell, e SpawnApp) {
	a := &actor{x: x, setup: e.Setup, parent: x.incarnation, kills: map[uint64]*guest{}}
	for _, o := range x.actors {
		if o.setup.Record.Address == e.Setup.Record.Address {
			x.violation("two actors of %s", e.Setup.Record.Address)
		}
	}
	x.actors = append(x.actors, a)
	sim.Add(x.w, a.name(), sim.Node[appMessage, Effect]{
		New: func() sim.Core[appMessage, Effect] {
			if a.born { // the kernel does not start it again
				a.die(errors.New("it crashed"))
				return a
			}
			a.born = true
			a.core = newApp(x.w.Now(), Limits{Slots: simSlots, Active: 2}, e.Setup)
			return a
		},
		Faults: func(e Effect) sim.Kind {
			switch e.(type) {
			case Note, Save:
				return x.faults(sim.Fail | sim.Crash)
			case Refuse, Requeue:
				return 0
			}
			return x.faults(sim.Crash)
		},
		Do: a.do,
	})
	_ = s.Send(a.name(), e.Begin)
}

func (a *actor) do(s *sim.Shell, e Effect) {
	x := a.x
	if !a.dead && len(a.doing) > 0 {
		a.doing = a.doing[1:]
	}
	rec := a.setup.Record
	switch e := e.(type) {
	case Prepare:
		s.Go(time.Duration(s.Rand().IntN(500))*time.Millisecond, func() any { return prepared{e.Priority, nil} })
	case Run:
		x.run(s, a, e.Launch)
	case StopGuest:
		if g := a.kills[e.Instance]; g != nil && s.Rand().IntN(3) > 0 {
			x.end(g, s, time.Duration(s.Rand().IntN(200))*time.Millisecond, Ended{Stopped: true})
		}
	case Kill:
		if g := a.kills[e.Instance]; g != nil {
			x.end(g, s, time.Duration(s.Rand().IntN(50))*time.Millisecond, Ended{Stopped: true})
		}
	case Note:
		x.write(s, a, false, func() {
			if r, ok := x.apps[rec.Address]; ok {
				r.State = e.State
				x.put(r)
			}
			x.keep(e.Keys)
			if !x.dirty {
				x.dirty = true
				_ = x.w.Send("", "sessions", dirtied{})
			}
		}, func(err error) any { return noted{err} })
	case Save:
		x.write(s, a, false, func() { x.put(e.Record); x.keep(e.Keys) }, func(err error) any { return noted{err} })
	case Tell:
		_ = s.Control("sessions", e.Message)
	case Refuse:
		refuse(e)
	case Requeue:
		s.Requeue(e.Message)
	case WakeAt:
		x.wake(s, e)
	case giver:
		e.give()
	}
}

func (x *world) keep(keys []uint64) {
	for _, k := range keys {
		x.written[k] = true
	}
}

// run is the life of a guest.
func (x *world) run(s *sim.Shell, a *actor, l Launch) {
	g := &guest{actor: a, id: l.Instance}
	if x.live[l.Instance] != nil {
		x.violation("instance %d twice", l.Instance)
	}
	a.kills[l.Instance], x.live[l.Instance] = g, g
	if len(x.live) > simSlots {
		x.violation("%d instances", len(x.live))
	}
	r := s.Rand()
	session := l.App.Session
	x.w.At(time.Duration(r.IntN(300))*time.Millisecond, func() {
		if !g.over && !a.dead {
			x.ups[session]++
			_ = s.Control(a.name(), up{l.Instance})
		}
	})
	var how Ended
	switch r.IntN(4) {
	case 0:
		how.Outcome = run.Outcome{Fault: fault.New(fault.GuestTrap, "", "", nil)}
	case 1:
		how.Outcome = run.Outcome{Fault: fault.New(fault.HostSpawnFailed, "", "", nil)}
	}
	if r.IntN(2) == 0 {
		x.end(g, s, time.Duration(r.IntN(6000))*time.Millisecond, how)
	}
}

// end ends a guest in d, unless it has ended by then.
func (x *world) end(g *guest, s *sim.Shell, d time.Duration, how Ended) {
	x.w.At(d, func() {
		if g.over {
			return
		}
		g.over = true
		delete(x.live, g.id)
		delete(g.actor.kills, g.id)
		if s != nil {
			s.Go(0, func() any { return ended{g.id, how} })
		}
	})
}
