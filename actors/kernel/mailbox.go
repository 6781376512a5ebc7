package kernel

import (
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
	m      M
	loan   *loan     // the request that m is part of, if any
	at     time.Time // of acceptance
	answer answer[M] // set in place of m by the answer lane
	taken  bool      // m is valid
}

// answer is what arrives in a reserved slot: the answer to a request, the result of a task, a timer, the end of a child.
type answer[M any] interface {
	take(c *Ctx[M]) (m M, ok bool) // on the actor; ok = false: nothing to handle
	drop(b *base, err error)       // the actor stops first
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

	// The lanes, guarded by base.mu.
	system  ring[any]
	control ring[item[M]]
	answers ring[answer[M]]
	work    ring[item[M]]

	// Touched by the actor only.
	cur     item[M]
	sys1    any // the lifecycle message in hand
	actx    actor.Context
	c       *Ctx[M] // the incarnation, nil between two
	handler Handler[M]
}

// post accepts m or refuses it, and answers it if it is refused.
func (c *cell[M]) post(m M, l *loan, control bool) error {
	now := time.Now()
	c.mu.Lock()
	var err *fault.Error
	switch {
	case c.closed:
		err = c.gone()
	case control:
		c.control.push(item[M]{m: m, loan: l, at: now, taken: true})
	case c.work.n >= c.opt.Mailbox:
		c.refused++
		err = fault.New(fault.BusyQueueFull, "send to", c.path, nil).WithRetryAfter(retryAfter)
	default:
		c.work.push(item[M]{m: m, loan: l, at: now, taken: true})
	}
	if err != nil {
		c.mu.Unlock()
		c.failMessage(m, err)
		return err
	}
	c.accepted++
	c.wakeAndUnlock()
	return nil
}

// postBehind accepts m behind the work that waits, whatever the limit of the lane.
func (c *cell[M]) postBehind(m M) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.failMessage(m, c.stopFault())
		return
	}
	c.work.push(item[M]{m: m, at: time.Now(), taken: true})
	c.accepted++
	c.wakeAndUnlock()
}

func (c *cell[M]) postAnswer(a answer[M]) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		a.drop(&c.base, c.stopFault())
		return
	}
	c.answers.push(a)
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

func (c *cell[M]) lanes() (depth, capacity int, oldest time.Time) {
	for _, lane := range []*ring[item[M]]{&c.control, &c.work} {
		if lane.n > 0 {
			if at := lane.front().at; oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	return c.control.n + c.work.n, c.opt.Mailbox, oldest
}

// wakeAndUnlock schedules a run if there is something to do and none is under way.
func (c *cell[M]) wakeAndUnlock() {
	wake := !c.busy && c.dispat != nil && (c.system.n > 0 || !c.suspended)
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
	laneUser
)

// next takes the next thing to do in hand, or ends the run.
func (c *cell[M]) next() lane {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.system.n > 0:
		c.sys1 = c.system.pop()
		c.handling = nil
		return laneSystem
	case c.suspended || c.closed:
	case c.control.n > 0:
		c.cur = c.control.pop()
	case c.answers.n > 0:
		c.cur.answer = c.answers.pop()
	case c.work.n > 0:
		c.cur = c.work.pop()
	}
	switch {
	case c.cur.taken:
		c.handling, c.handlingAt = reflect.TypeOf(c.cur.m), now
	case c.cur.answer != nil:
		c.handling, c.handlingAt = reflect.TypeFor[M](), now // what it is shows when it is taken
	default:
		c.busy, c.handling = false, nil
		if c.state == running {
			c.since = now
		}
		return laneNone
	}
	return laneUser
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
	if l == laneUser {
		c.invoker.InvokeUserMessage((*turn)(nil))
	} else {
		c.lifecycle()
	}
	finished = true
}

// lifecycle passes a lifecycle message to the library, except those that would bring a stopping actor back to life.
func (c *cell[M]) lifecycle() {
	m := c.sys1
	c.sys1 = nil
	c.mu.Lock()
	drop := false
	switch m.(type) {
	case *actor.SuspendMailbox:
		c.suspended = true
	case *actor.ResumeMailbox:
		c.suspended = false
	case *actor.Stop:
		c.closed = true
		c.enter(stopping, time.Now())
		if c.restart != nil {
			c.restart.Stop()
		}
	case *actor.Restart: // its children keep their names until they have ended, and the next incarnation may want them
		c.due = !c.closed && c.children > 0
		drop = c.closed || c.due
		if c.due {
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

func (r *ring[T]) front() *T { return &r.buf[r.head] }

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
