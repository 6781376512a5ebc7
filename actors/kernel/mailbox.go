package kernel

import (
	"math"
	"reflect"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupehost/troupe/actors/fault"
)

// retryAfter is what a refused sender is told. The kernel cannot know better; queues that can, refuse before the mailbox does.
const retryAfter = 100 * time.Millisecond

// item is one accepted message.
type item[M any] struct {
	envelope
	m    M
	loan *loan // the request that m is part of, if any
}

// answer is what arrives in a reserved slot: the answer to a request, the result of a task, a timer, the end of a child.
type answer[M any] interface {
	take(c *Ctx[M]) (m M, ok bool) // on the actor; ok = false: nothing to handle
	drop(b *base, err error)       // the actor stops first
	origin() Origin
	about() reflect.Type // the message, or what it will be made of
}

// arrival is an answer that waits.
type arrival[M any] struct {
	answer answer[M]
	at     int64
}

func (a *arrival[M]) envelope() envelope {
	o := a.answer.origin()
	return envelope{cause: o.cause, from: o.from, at: a.at, lane: laneAnswers}
}

// turn tells the library to let the actor handle what its mailbox put into cell.cur. Typed messages never pass through
// the library, which would box each of them.
type turn struct{}

// cell is an actor: the library's Mailbox and Actor in one, with the lanes of its mailbox.
type cell[M any] struct {
	base
	opt     Options[M]
	invoker actor.MessageInvoker
	dispat  actor.Dispatcher
	runs    func()
	shown   *Ctx[M] // the incarnation for those who look; guarded by base.mu

	// The lanes, guarded by base.mu.
	system  ring[any]
	control ring[item[M]]
	answers ring[arrival[M]]
	work    ring[item[M]]
	quiet   [laneWork + 1]int // messages of Onlookers that wait, by lane

	// Touched by the actor only.
	cur     item[M]
	answer  answer[M] // cur.m is to be taken from it
	taken   bool      // cur.m is valid
	sys1    any       // the lifecycle message in hand
	actx    actor.Context
	c       *Ctx[M] // the incarnation, nil between two
	handler Handler[M]
}

// seal makes the envelope of a message that is sent now. mu is not held.
func (b *base) seal(o Origin, l lane) envelope {
	if o.cause.IsZero() {
		o.cause = b.sys.NewCause()
	}
	return envelope{cause: o.cause, from: o.from, at: b.sys.clock(), lane: l, quiet: o.quiet}
}

// stamp tells sending and acceptance apart while somebody traces. mu is held.
func (b *base) stamp(e *envelope) {
	if b.sys.tracers.Load() != nil {
		now := b.sys.clock()
		e.lag, e.at = uint32(min(now-e.at, math.MaxUint32)), now
	}
}

// typeOf is the dynamic type of m.
func typeOf[M any](m M) reflect.Type {
	if t := reflect.TypeOf(m); t != nil {
		return t
	}
	return reflect.TypeFor[M]()
}

// post accepts m or refuses it, and answers it if it is refused.
func (c *cell[M]) post(m M, l *loan, o Origin, to lane) error {
	it := item[M]{envelope: c.seal(o, to), m: m, loan: l}
	c.mu.Lock()
	c.stamp(&it.envelope)
	var err *fault.Error
	switch {
	case c.closed:
		err = c.gone()
	case to == laneControl:
		c.control.push(it)
	case c.work.n >= c.opt.Mailbox:
		if !it.quiet {
			c.refused++
		}
		err = fault.New(fault.BusyQueueFull, "send to", c.path, nil).WithRetryAfter(retryAfter)
	default:
		c.work.push(it)
	}
	if err != nil {
		c.lose(refusal, it.envelope, typeOf(m), err)
		c.mu.Unlock()
		c.bury(it, err, false) // the sender is told
		c.failMessage(m, err)
		return err
	}
	if it.quiet {
		c.quiet[to]++
	} else {
		c.accepted++
	}
	c.wakeAndUnlock()
	return nil
}

// postBehind accepts m behind the work that waits, whatever the limit of the lane.
func (c *cell[M]) postBehind(m M, o Origin) {
	it := item[M]{envelope: c.seal(o, laneWork), m: m}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.refuse(it, undelivered, c.stopFault())
		return
	}
	c.work.push(it)
	c.accepted++
	c.wakeAndUnlock()
}

func (c *cell[M]) postAnswer(a answer[M]) {
	now := c.sys.clock()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		a.drop(&c.base, c.stopFault())
		return
	}
	c.answers.push(arrival[M]{a, now})
	c.accepted++
	c.wakeAndUnlock()
}

// PostSystemMessage is part of the library's Mailbox.
func (c *cell[M]) PostSystemMessage(m any) {
	c.mu.Lock()
	c.system.push(m)
	c.wakeAndUnlock()
}

// PostUserMessage is part of the library's Mailbox. Nobody has the PID of an actor, so nobody can send through it.
func (c *cell[M]) PostUserMessage(m any) {
	c.sys.bug(c.path, "message past the mailbox", fault.New(fault.BugProtocol, "send", reflect.TypeOf(m).String(), nil), nil)
}

// RegisterHandlers is part of the library's Mailbox.
func (c *cell[M]) RegisterHandlers(i actor.MessageInvoker, d actor.Dispatcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invoker, c.dispat = i, d
}

// Start is part of the library's Mailbox: the first lifecycle message has started it already.
func (c *cell[M]) Start() {}

// UserMessageCount is part of the library's Mailbox.
func (c *cell[M]) UserMessageCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.control.n + c.answers.n + c.work.n
}

// wakeAndUnlock schedules a run if there is something to do and none is under way.
func (c *cell[M]) wakeAndUnlock() {
	wake := !c.busy && c.dispat != nil && (c.system.n > 0 || !c.suspended && (!c.paused || c.control.n+c.answers.n > 0))
	c.busy = c.busy || wake
	c.mu.Unlock()
	if wake {
		c.dispat.Schedule(c.runs)
	}
}

type lane uint8

const (
	laneNone lane = iota
	laneSystem
	laneControl
	laneAnswers
	laneWork
)

var lanes = [...]string{"", "system", "control", "answers", "work"}

// next takes the next thing to do in hand, or ends the run. It is also where what was in hand before is booked.
func (c *cell[M]) next() lane {
	now := c.sys.clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(now, nil)
	l := laneNone
	switch {
	case c.system.n > 0:
		c.sys1, c.worked = c.system.pop(), true
		return laneSystem
	case c.suspended || c.closed:
	case c.control.n > 0:
		c.cur, c.taken, l = c.control.pop(), true, laneControl
	case c.answers.n > 0:
		a := c.answers.pop()
		c.answer, l = a.answer, laneAnswers
		c.cur.envelope = a.envelope()
	case c.work.n > 0 && !c.paused:
		c.cur, c.taken, l = c.work.pop(), true, laneWork
	}
	switch l {
	case laneNone:
		if c.worked && c.state == running {
			c.since = now
		}
		c.busy, c.worked = false, false
		return laneNone
	case laneAnswers:
		c.hand.typ = c.answer.about()
	default:
		c.hand.typ = typeOf(c.cur.m)
	}
	c.hand.envelope, c.hand.began = c.cur.envelope, now
	if c.cur.quiet {
		c.quiet[l]--
	} else {
		c.worked, c.lastCause = true, c.cur.cause
	}
	return l
}

func (c *cell[M]) run() {
	for i := 0; ; i++ {
		if i == throughput {
			i = 0
			runtime.Gosched()
		}
		l := c.next()
		if l == laneNone {
			return
		}
		c.process(l)
	}
}

// process is the one place where panics of actors are recovered.
func (c *cell[M]) process(l lane) {
	finished := false
	defer func() {
		if finished {
			return
		}
		r := recover()
		if r == nil { // runtime.Goexit: this goroutine is lost, the actor is not
			defer c.dispat.Schedule(c.runs)
			r = errGoexit
		}
		c.failed(r, debug.Stack())
	}()
	if l == laneSystem {
		c.lifecycle()
	} else {
		c.invoker.InvokeUserMessage((*turn)(nil))
	}
	finished = true
}

// lifecycle passes a lifecycle message to the library, except those that would bring a stopping actor back to life.
func (c *cell[M]) lifecycle() {
	m := c.sys1
	c.sys1 = nil
	if _, ok := m.(*again); ok {
		c.replace()
		return
	}
	c.mu.Lock()
	drop := false
	switch m.(type) {
	case *actor.SuspendMailbox:
		c.suspended = true
	case *actor.ResumeMailbox:
		c.suspended = false
	case *actor.Stop:
		c.closed = true
		c.enter(stopping)
		if c.restart != nil {
			c.restart.Stop()
		}
	case *actor.Restart: // its children keep their names until they have ended, and the next incarnation may want them
		c.due = !c.closed && c.children > 0
		drop = c.closed || c.due || c.c != nil // that one was replaced by hand meanwhile
		if c.due && !c.byHand {
			c.restart = time.AfterFunc(c.stopTimeout, c.overdue)
		}
	}
	c.mu.Unlock()
	switch m.(type) {
	case *actor.SuspendMailbox, *actor.ResumeMailbox:
		return
	}
	if !drop {
		c.invoker.InvokeSystemMessage(m)
	}
}

// ring is a queue that grows with its content and allocates nothing once it has grown.
type ring[T any] struct {
	buf     []T
	head, n int
}

func (r *ring[T]) front() *T { return r.at(0) }

func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		buf := make([]T, max(4, 2*r.n))
		k := copy(buf, r.buf[r.head:])
		copy(buf[k:], r.buf[:r.head])
		r.buf, r.head = buf, 0
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = v
	r.n++
}

func (r *ring[T]) pop() T {
	var zero T
	v := r.buf[r.head]
	r.buf[r.head] = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return v
}
