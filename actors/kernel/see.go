package kernel

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

const (
	maxGraves  = 256  // of dead actors that are remembered
	maxWaiting = 1000 // messages of a mailbox that are listed
	maxRows    = 100_000
)

// grave is what is left of an actor.
type grave struct {
	actor inspect.Actor
	book  *book
	died  time.Time
}

// Inspect returns all actors by path. It reads what their mailboxes published and disturbs none of them.
func (s *System) Inspect() []inspect.Actor { return s.AppendInspect(nil) }

// AppendInspect is Inspect into a buffer that is used again: what dst[:cap(dst)] refers to is overwritten. Of an actor it
// tells those lanes in which something waits.
func (s *System) AppendInspect(dst []inspect.Actor) []inspect.Actor {
	s.mu.Lock()
	if s.order == nil {
		s.order = make([]node, 0, len(s.table))
		for _, n := range s.table {
			s.order = append(s.order, n)
		}
		slices.SortFunc(s.order, func(a, b node) int { return strings.Compare(a.core().path, b.core().path) })
	}
	order, gaveUp := s.order, slices.Clone(s.gaveUp)
	s.mu.Unlock()
	now, from := time.Now(), len(dst)
	s.tune(now)
	dst = slices.Grow(dst, len(order)+len(gaveUp))
	for _, n := range order {
		dst = dst[:len(dst)+1]
		s.fill(&dst[len(dst)-1], n, false, now)
	}
	for _, a := range gaveUp {
		i, _ := slices.BinarySearchFunc(dst[from:], a.Path, func(a inspect.Actor, path string) int { return cmp.Compare(a.Path, path) })
		dst = slices.Insert(dst, from+i, a)
	}
	return dst
}

// Detail returns an actor with what its flight recorder holds, newest last. Of one that has ended it is what was seen last.
//
// # Errors
//   - caller.not_found: there is none, and none is remembered
func (s *System) Detail(path string) (inspect.ActorDetail, error) {
	s.mu.Lock()
	n, alive := s.table[path]
	var dead *grave
	for i := s.graves.n - 1; i >= 0 && !alive && dead == nil; i-- {
		if g := *s.graves.at(i); g.actor.Path == path {
			dead = g
		}
	}
	s.mu.Unlock()
	d := inspect.ActorDetail{Flights: []inspect.Flight{}}
	switch {
	case alive:
		s.snapshot(&d.Actor, n, true)
		var fs []flight
		var first uint64
		b := n.core()
		b.mu.Lock()
		b.book.each(func(seq uint64, f *flight) {
			if len(fs) == 0 {
				first = seq
			}
			fs = append(fs, *f)
		})
		b.mu.Unlock()
		for i := range fs {
			d.Flights = append(d.Flights, s.flightOf(first+uint64(i), &fs[i]))
		}
	case dead != nil:
		d.Actor, d.Dead, d.DiedAt = dead.actor, true, dead.died
		dead.book.each(func(seq uint64, f *flight) { d.Flights = append(d.Flights, s.flightOf(seq, f)) })
	default:
		return d, fault.New(fault.CallerNotFound, "actor", fault.Quote(path), nil)
	}
	return d, nil
}

func (s *System) flightOf(seq uint64, f *flight) inspect.Flight {
	out := inspect.Flight{Seq: seq, At: s.wall(f.ended), What: whats[f.what], Fault: words(f.err)}
	if f.what == changed {
		out.State = states[f.state]
		return out
	}
	if f.typ == nil { // New panicked
		return out
	}
	out.Type, out.Lane, out.Cause = f.typ.String(), lanes[f.lane], f.cause.String()
	if f.began != 0 {
		out.WaitMicros, out.TookMicros = max(0, f.began-f.at)/1000, (f.ended-f.began)/1000
	}
	return out
}

func words(err *fault.Error) string {
	if err == nil {
		return ""
	}
	return string(err.Code) + ": " + fault.Quote(err.Error())
}

// Mailbox returns the headers of what waits in a mailbox, lane by lane, at most 1000 of them. Contents are not shown.
//
// # Errors
//   - caller.not_found: there is no such actor
func (s *System) Mailbox(path string) ([]inspect.Letter, error) {
	n, err := s.find(path, 0, "mailbox")
	if err != nil {
		return nil, err
	}
	type header struct {
		envelope
		typ reflect.Type
	}
	var hs []header
	b := n.core()
	b.mu.Lock()
	n.waiting(func(e envelope, t reflect.Type) bool {
		hs = append(hs, header{e, t})
		return len(hs) < maxWaiting
	})
	b.mu.Unlock()
	out := make([]inspect.Letter, 0, len(hs))
	for _, h := range hs {
		out = append(out, inspect.Letter{At: s.wall(h.at), Actor: path, Type: h.typ.String(), Lane: lanes[h.lane], Cause: h.cause.String()})
	}
	return out, nil
}

// Cause returns what flight recorders, those of the dead too, hold of one cause, and what waits or is handled because of it,
// in the order in which it was sent. It is at most 100,000 rows.
func (s *System) Cause(c Cause) []inspect.Trace {
	type row struct {
		id *ident
		f  flight
	}
	var rows []row
	s.mu.Lock()
	nodes := make([]node, 0, len(s.table))
	for _, n := range s.table {
		nodes = append(nodes, n)
	}
	for i := range s.graves.n {
		g := *s.graves.at(i)
		id := &ident{path: g.actor.Path, kind: g.actor.Kind}
		g.book.each(func(_ uint64, f *flight) {
			if f.cause == c && f.typ != nil {
				rows = append(rows, row{id, *f})
			}
		})
	}
	s.mu.Unlock()
	for _, n := range nodes {
		b := n.core()
		b.mu.Lock()
		b.book.each(func(_ uint64, f *flight) {
			if f.cause == c && f.typ != nil {
				rows = append(rows, row{b.id, *f})
			}
		})
		if b.hand.shows(s.clock()) && b.hand.cause == c {
			rows = append(rows, row{b.id, flight{envelope: b.hand.envelope, typ: b.hand.typ, began: b.hand.began}})
		}
		n.waiting(func(e envelope, t reflect.Type) bool {
			if e.cause == c {
				rows = append(rows, row{b.id, flight{envelope: e, typ: t}})
			}
			return len(rows) < maxRows
		})
		b.mu.Unlock()
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.f.at-int64(a.f.lag), b.f.at-int64(b.f.lag)), cmp.Compare(a.f.began, b.f.began))
	})
	rows = rows[:min(len(rows), maxRows)]
	out := make([]inspect.Trace, 0, len(rows))
	for i := range rows {
		t := s.traceOf(rows[i].id, &rows[i].f)
		t.Seq = uint64(i)
		out = append(out, t)
	}
	return out
}

// snapshot fills a from an actor.
func (s *System) snapshot(a *inspect.Actor, n node, all bool) {
	now := time.Now()
	s.tune(now)
	s.fill(a, n, all, now)
}

func (s *System) fill(a *inspect.Actor, n node, all bool, now time.Time) {
	b := n.core()
	b.mu.Lock()
	defer b.mu.Unlock()
	*a = inspect.Actor{
		Path: b.path, Kind: b.kind, App: b.app, Incarnation: b.number, Since: s.wall(b.since),
		Accepted: b.accepted, Handled: b.handled, Refused: b.refused, MaxRestarts: b.policy.MaxRestarts,
		LastFault: b.lastWords, Paused: b.paused, LogLevel: b.level.String(), Handler: b.book.timing(),
		Requests: int(b.requests.Load()), Tasks: int(b.tasks.Load()), Children: b.children, At: now,
		Lanes: a.Lanes[:0],
	}
	if len(b.restarts) > 0 {
		a.Restarts = len(b.policy.recent(b.restarts, now))
	}
	if b.book != nil && len(b.book.dropped) > 0 {
		a.Dropped = make(map[string]uint64, len(b.book.dropped))
		for code, n := range b.book.dropped {
			a.Dropped[string(code)] = n
		}
	}
	n.look(a, all)
	if len(a.Lanes) == 0 {
		a.Lanes = nil
	}
	busy := b.hand.shows(int64(now.Sub(s.epoch)))
	if busy {
		a.Handling, a.HandledAt = b.hand.typ.String(), s.wall(b.hand.began)
	}
	switch {
	case b.state == starting:
		a.State = "starting"
	case b.state == backoff:
		a.State, a.NextRestart = "backoff", b.nextRestart
	case b.state == stopping:
		a.State = "stopping"
	case b.state == gaveUp:
		a.State = "gave_up"
	case busy:
		a.State, a.Since = "busy", a.HandledAt
	default:
		a.State = "idle"
	}
}

func (c *cell[M]) look(a *inspect.Actor, all bool) {
	control, work := c.control.n-c.quiet[laneControl], c.work.n-c.quiet[laneWork]
	a.Depth, a.Cap = control+work, c.opt.Mailbox
	var oldest int64
	add := func(l lane, depth, capacity int, at int64) {
		if depth > 0 || all {
			a.Lanes = append(a.Lanes, inspect.Lane{Name: lanes[l], Depth: depth, Cap: capacity, OldestSince: c.sys.wall(at)})
		}
		if at != 0 && (oldest == 0 || at < oldest) && l != laneAnswers {
			oldest = at
		}
	}
	add(laneSystem, c.system.n, 0, 0)
	add(laneControl, control, 0, oldestOf(&c.control, control))
	var at int64
	if c.answers.n > 0 {
		at = c.answers.front().at
	}
	add(laneAnswers, c.answers.n, 0, at)
	add(laneWork, work, c.opt.Mailbox, oldestOf(&c.work, work))
	a.OldestSince = c.sys.wall(oldest)
	if c.shown != nil && len(c.shown.timers) > 0 {
		var next int64
		for t := range c.shown.timers {
			if next == 0 || t.at < next {
				next = t.at
			}
		}
		a.Timers, a.NextTimer = len(c.shown.timers), c.sys.wall(next)
	}
}

// oldestOf is when the oldest of those messages of a lane came that are shown, of which there are n.
func oldestOf[M any](lane *ring[item[M]], n int) int64 {
	for i := 0; n > 0; i++ {
		if it := lane.at(i); !it.quiet {
			return it.at
		}
	}
	return 0
}

func (c *cell[M]) waiting(f func(e envelope, t reflect.Type) bool) {
	for i := range c.system.n {
		if !f(envelope{lane: laneSystem}, reflect.TypeOf(*c.system.at(i))) {
			return
		}
	}
	for i := range c.control.n {
		if it := c.control.at(i); !it.quiet && !f(it.envelope, typeOf(it.m)) {
			return
		}
	}
	for i := range c.answers.n {
		if a := c.answers.at(i); !f(a.envelope(), a.answer.about()) {
			return
		}
	}
	for i := range c.work.n {
		if it := c.work.at(i); !it.quiet && !f(it.envelope, typeOf(it.m)) {
			return
		}
	}
}
