package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Core is a pure decision core, the same as the kernel's.
type Core[M, E any] interface {
	Step(now time.Time, in M) []E
}

// Node describes one actor of a World.
type Node[M, E any] struct {
	// New makes the core of each incarnation.
	New func() Core[M, E]
	// Do carries out one effect. If the effect was chosen to fail, s.Err says with what.
	Do func(s *Shell, e E)
	// Faults says which faults may hit an effect. Nil: none.
	Faults func(e E) Kind
	// Crashes lets steps of this node crash.
	Crashes bool
	// Inbox is how many messages may wait in the work lane. Default 256.
	Inbox int
}

// World is one simulated run.
type World struct {
	opt   Options
	seed  uint64
	now   time.Time
	sched *rand.Rand // order and time
	model *rand.Rand // for models of the outside
	hurry bool       // timers may fire while messages wait

	nodes  map[string]*node
	order  []*node // in order of Add: maps have no order
	links  []*link
	timers timers
	seq    uint64
	posted uint64 // messages
	steps  int
	digest uint64
	err    error

	faults  faults
	trace   []string
	address *regexp.Regexp
}

const (
	maxTrace       = 2000
	defaultInbox   = 256
	restartBackoff = 100 * time.Millisecond
	stepTime       = time.Microsecond
)

type lane uint8

const (
	control lane = iota
	answers
	work
	behind // what was requeued: work that is older goes first
)

// node is an actor whatever its types.
type node struct {
	name    string
	index   int
	inbox   int
	queued  int // in the work lane
	control int
	shell   *Shell // the incarnation; nil between two
	number  uint64
	closed  bool
	start   func()
	step    func(m any)
	crashes bool
	held    []*loan
	cur     *message // being handled
}

// link is what waits from one sender to one receiver on one lane.
type link struct {
	from, to *node
	lane     lane
	queue    []message
}

type message struct {
	m    any
	seq  uint64
	loan *loan
	take func() (any, bool) // set for answers
}

// Add puts a node into w. It may be called while w runs, by a Do that starts a child.
func Add[M, E any](w *World, name string, o Node[M, E]) {
	if n := w.nodes[name]; n != nil && !n.closed {
		w.fail(fmt.Errorf("node %q added twice", name))
		return
	}
	n := &node{name: name, index: len(w.order), inbox: o.Inbox, crashes: o.Crashes}
	if n.inbox <= 0 {
		n.inbox = defaultInbox
	}
	var core Core[M, E]
	n.start = func() {
		n.number++
		n.shell = &Shell{w: w, n: n}
		core = o.New()
	}
	n.step = func(m any) {
		in, ok := m.(M)
		if !ok && m != nil {
			w.fail(fmt.Errorf("%s cannot receive a %T", name, m))
			return
		}
		s := n.shell
		for _, e := range Step(w, name, core, w.now, in) {
			kind := Kind(0)
			if o.Faults != nil {
				kind = w.faults.draw(name, fmt.Sprintf("%T", e), o.Faults(e))
			}
			if !w.perform(s, kind, e, func() { o.Do(s, e) }) {
				return
			}
		}
	}
	w.nodes[name] = n
	w.order = append(w.order, n)
	n.start()
}

// Step steps a core of a node, and has that recorded. Add calls it; the core of a node that wraps another one calls it for that.
func Step[M, E any](w *World, node string, core Core[M, E], now time.Time, in M) []E {
	if w.opt.Record == nil {
		return core.Step(now, in)
	}
	done := w.opt.Record(node, w.nodes[node].number, core, now, in)
	out := core.Step(now, in)
	done(out)
	return out
}

// perform carries out an effect under a fault and reports whether the node lives on.
func (w *World) perform(s *Shell, kind Kind, e any, do func()) bool {
	if kind != 0 {
		w.note("  %s: %v hits %T", s.n.name, kind, e)
	}
	switch kind {
	case Drop:
		return true
	case Crash:
		w.crash(s.n)
		return false
	case Delay:
		w.at(s, time.Duration(1+w.model.IntN(1000))*time.Millisecond, do)
		return true
	case Fail:
		s.err = fault.New(fault.HostDiskIO, "sim", s.n.name, errInjected)
		defer func() { s.err = nil }()
	}
	do()
	return s.alive()
}

// Now is the virtual time.
func (w *World) Now() time.Time { return w.now }

// Rand is for models of the outside; it is seeded and independent of the schedule.
func (w *World) Rand() *rand.Rand { return w.model }

// Send sends from outside of the nodes, or in the name of one.
func (w *World) Send(from, to string, m any) error {
	return w.post(w.nodes[from], to, work, message{m: m})
}

// Crash ends the incarnation of a node now, as a panic would.
func (w *World) Crash(name string) {
	if n := w.nodes[name]; n != nil {
		w.note("crash %s", name)
		w.crash(n)
	}
}

// At runs f in d of virtual time, outside of any node.
func (w *World) At(d time.Duration, f func()) { w.at(nil, d, f) }

func (w *World) at(owner *Shell, d time.Duration, f func()) *event {
	w.seq++
	e := &event{at: w.now.Add(max(d, 0)), seq: w.seq, owner: owner, f: f}
	heap.Push(&w.timers, e)
	return e
}

func (w *World) post(from *node, to string, l lane, m message) error {
	n := w.nodes[to]
	var err *fault.Error
	switch {
	case n == nil || n.closed:
		err = fault.New(fault.CallerClosed, "send to", to, nil)
	case l == work && n.queued >= n.inbox:
		err = fault.New(fault.BusyQueueFull, "send to", to, nil)
	}
	if err != nil {
		w.note("  refused by %s: %T (%s)", to, m.m, err.Code)
		failMessage(m.m, err)
		return err
	}
	switch l {
	case work:
		n.queued++
	case control:
		n.control++
	}
	w.posted++
	m.seq = w.posted
	for _, k := range w.links {
		if k.from == from && k.to == n && k.lane == l {
			k.queue = append(k.queue, m)
			return nil
		}
	}
	w.links = append(w.links, &link{from: from, to: n, lane: l, queue: []message{m}})
	return nil
}

func failMessage(m any, err error) {
	if f, ok := m.(interface{ Failed(error) }); ok {
		f.Failed(err)
	}
}

// run steps until the end of the run.
func (w *World) run(check Check) error {
	for w.err == nil {
		if w.steps++; w.steps > w.opt.MaxSteps {
			return fmt.Errorf("not settled after %d steps", w.opt.MaxSteps)
		}
		if !w.next() || w.opt.Horizon > 0 && w.now.Sub(epoch()) > w.opt.Horizon {
			break
		}
		if w.err == nil && check.Always != nil {
			w.err = check.Always()
		}
	}
	if w.err == nil && check.AtEnd != nil {
		w.err = check.AtEnd()
	}
	return w.err
}

// next does one thing, chosen at random among all that could happen now.
func (w *World) next() bool {
	w.now = w.now.Add(stepTime)
	for len(w.timers) > 0 && w.timers[0].dead() {
		heap.Pop(&w.timers)
	}
	var ready []*link
	for _, l := range w.links {
		// Control overtakes: while it waits, nothing else is delivered to the node.
		if l.to.shell != nil && (l.lane == control || l.to.control == 0) && !w.waits(l) {
			ready = append(ready, l)
		}
	}
	timer := len(w.timers) > 0 && (len(ready) == 0 || !w.timers[0].at.After(w.now) && w.sched.IntN(2) == 0 || w.hurry && w.sched.IntN(16) == 0)
	switch {
	case timer:
		e := heap.Pop(&w.timers).(*event)
		if e.at.After(w.now) {
			w.now = e.at
		}
		w.mark(0, e.seq)
		w.guard("timer", e.f)
	case len(ready) > 0:
		w.deliver(ready[w.sched.IntN(len(ready))])
	default:
		return false
	}
	return true
}

// waits reports whether what was requeued has work before it.
func (w *World) waits(l *link) bool {
	return l.lane == behind && slices.ContainsFunc(w.links, func(k *link) bool {
		return k.to == l.to && k.lane == work && k.queue[0].seq < l.queue[0].seq
	})
}

func (w *World) deliver(l *link) {
	m, n := l.queue[0], l.to
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		w.links = slices.DeleteFunc(w.links, func(k *link) bool { return k == l })
	}
	switch l.lane {
	case work:
		n.queued--
	case control:
		n.control--
	}
	from := "outside"
	sender := uint64(0)
	if l.from != nil {
		from, sender = l.from.name, uint64(l.from.index)+1
	}
	w.mark(uint64(n.index)+1, sender<<8|uint64(l.lane))
	w.guard(n.name, func() {
		if m.take != nil {
			var ok bool
			if m.m, ok = m.take(); !ok {
				w.note("%s: late answer from %s dropped", n.name, from)
				return
			}
		}
		w.note("%s <- %s: %T %+v", n.name, from, m.m, m.m)
		n.cur = &m
		if m.loan != nil && !m.loan.settled {
			m.loan.holder = n
			n.held = append(n.held, m.loan)
		}
		if n.crashes && w.faults.draw(n.name, "step", Crash) == Crash {
			w.note("  %s: crash", n.name)
			w.crash(n)
			return
		}
		n.step(m.m)
	})
	n.cur = nil
}

// guard turns a panic into a failed check.
func (w *World) guard(who string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			w.fail(fmt.Errorf("%s panicked: %v", who, r))
		}
	}()
	f()
}

func (w *World) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// mark folds what happened into the digest, so that two runs can be compared without their traces.
func (w *World) mark(who, what uint64) {
	for _, v := range [...]uint64{who, what, uint64(w.now.UnixNano())} {
		w.digest = (w.digest ^ v) * 0x100000001b3
	}
}

func (w *World) note(format string, args ...any) {
	if !w.opt.Trace {
		return
	}
	if len(w.trace) >= maxTrace {
		w.trace = append(w.trace[:0], w.trace[maxTrace/10:]...)
	}
	line := fmt.Sprintf("%12v ", w.now.Sub(epoch())) + fmt.Sprintf(format, args...)
	w.trace = append(w.trace, w.address.ReplaceAllString(line, "0x…")) // addresses differ from run to run
}

func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// event is a timer of an incarnation, or of the world if it has no owner.
type event struct {
	at       time.Time
	seq      uint64
	owner    *Shell
	canceled bool
	f        func()
}

func (e *event) dead() bool { return e.canceled || e.owner != nil && !e.owner.alive() }

type timers []*event

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at.Before(t[j].at) || t[i].at.Equal(t[j].at) && t[i].seq < t[j].seq
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(*event)) }
func (t *timers) Pop() any {
	old := *t
	e := old[len(old)-1]
	*t = old[:len(old)-1]
	return e
}
