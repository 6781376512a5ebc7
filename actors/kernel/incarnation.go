package kernel

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupehost/troupe/actors/fault"
)

// Receive is the library's Actor: its lifecycle, and turns for our messages.
func (c *cell[M]) Receive(actx actor.Context) {
	switch m := actx.Message().(type) {
	case *turn:
		c.deliver()
	case *actor.Started:
		c.start(actx)
	case *actor.Stopping:
		c.stop()
	case *actor.Terminated:
		c.base.sys.terminated(m.Who.Id)
	}
}

func (c *cell[M]) start(actx actor.Context) {
	c.actx = actx
	c.mu.Lock()
	c.number++
	c.enter(starting)
	c.nextRestart, c.byHand = time.Time{}, false
	inc := &Ctx[M]{cell: c, number: c.number, cause: c.lastCause}
	if c.number > 1 || inc.cause.IsZero() {
		inc.cause = c.sys.NewCause()
	}
	c.shown = inc
	c.requests.Store(0)
	c.tasks.Store(0)
	c.mu.Unlock()
	inc.ctx, inc.cancel = context.WithCancelCause(c.base.ctx)
	c.c = inc
	if c.handler = c.opt.New(inc); c.handler == nil {
		panic(errors.New("Options.New returned no handler"))
	}
	c.mu.Lock()
	c.enter(running)
	risen := c.risen
	c.risen = nil
	c.mu.Unlock()
	if risen != nil {
		close(risen)
	}
}

// deliver handles what next put into cur.
func (c *cell[M]) deliver() {
	c.c.cause = c.cur.cause
	if c.answer != nil {
		m, ok := c.answer.take(c.c)
		c.cur.m, c.taken = m, ok
		c.mu.Lock()
		if ok {
			c.hand.typ = typeOf(m)
		} else { // nothing comes of it
			c.hand = hand{}
			c.handled++
		}
		c.mu.Unlock()
	}
	if c.taken {
		if c.cur.loan != nil {
			c.cur.loan.lend(&c.lent)
		}
		c.handler.Receive(c.c, c.cur.m)
	}
	c.empty()
}

// empty lets go of what was in hand.
func (c *cell[M]) empty() { c.cur, c.answer, c.taken = item[M]{}, nil, false }

// failed ends the incarnation after a panic; the supervisor decides what comes next.
func (c *cell[M]) failed(r any, stack []byte) {
	if cr, ok := r.(*crash); ok {
		stack = cr.stack
	}
	err := panicFault(c.path, r)
	c.base.sys.bug(c.path, "actor panicked", err, stack)
	c.mu.Lock()
	c.lastFault, c.lastWords = err, fault.Quote(err.Error())
	if c.hand.typ != nil {
		c.finish(c.sys.clock(), err)
	} else {
		c.record(flight{what: panicked, err: err, ended: c.sys.clock()})
	}
	c.mu.Unlock()
	if c.taken {
		c.refuse(c.cur, panicked, err)
	}
	c.empty()
	c.fell(err)
	c.invoker.EscalateFailure(&failure{&c.base}, nil)
}

// fell ends an incarnation that another one follows: what it had accepted is sent to that once more.
func (c *cell[M]) fell(err error) {
	for _, child := range slices.Clone(c.childPIDs()) {
		c.actx.Stop(child)
	}
	c.end(err)
	if !c.policy.Temporary { // else stop answers them
		for _, l := range c.lent.takeAll() {
			l.lender.lost()
		}
	}
}

func (c *cell[M]) childPIDs() []*actor.PID {
	if c.actx == nil {
		return nil
	}
	return c.actx.Children()
}

// stop ends the actor in order: the library stops the children when it returns.
func (c *cell[M]) stop() {
	err := c.stopFault()
	c.end(err)
	c.mu.Lock()
	control, answers, work := c.control, c.answers, c.work
	c.control, c.answers, c.work, c.quiet = ring[item[M]]{}, ring[arrival[M]]{}, ring[item[M]]{}, [laneWork + 1]int{}
	c.mu.Unlock()
	for control.n > 0 {
		c.refuse(control.pop(), undelivered, err)
	}
	for answers.n > 0 {
		answers.pop().answer.drop(&c.base, err)
	}
	for work.n > 0 {
		c.refuse(work.pop(), undelivered, err)
	}
	for _, l := range c.lent.takeAll() {
		l.lender.refuse(err)
	}
}

// end ends the incarnation, if there is one: context first, so that its tasks return, then its hook.
func (c *cell[M]) end(cause error) {
	inc := c.c
	if inc == nil {
		return
	}
	inc.ended.Store(true)
	inc.cancel(fault.New(fault.CanceledStopped, "actor", c.path, cause))
	c.mu.Lock()
	timers := inc.timers
	inc.timers = nil
	c.mu.Unlock()
	for t := range timers {
		t.timer.Stop()
	}
	if h, ok := c.handler.(interface{ Stopping(*Ctx[M]) }); ok {
		c.base.sys.contain(c.path, "Stopping", func() { h.Stopping(inc) })
	}
	c.c, c.handler = nil, nil
}

// refuse answers an accepted message that will not be handled, and keeps it as a dead letter.
func (c *cell[M]) refuse(it item[M], w what, err error) {
	told := c.fail(it, w, err)
	c.bury(it, fault.From(err), !told && it.loan == nil)
}

// fail answers a message that will not be handled, and reports whether somebody was told. One that was panicked on is on record already.
func (c *cell[M]) fail(it item[M], w what, err error) (told bool) {
	e := fault.From(err)
	c.mu.Lock()
	if w == panicked { // also of an Onlooker
		c.count(e)
	} else {
		c.lose(w, it.envelope, typeOf(it.m), e)
	}
	c.mu.Unlock()
	told = c.failMessage(it.m, err)
	if it.loan != nil {
		it.loan.lender.refuse(err)
	}
	return told
}
