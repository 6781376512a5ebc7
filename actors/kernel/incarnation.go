package kernel

import (
	"context"
	"errors"
	"reflect"
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
	c.enter(starting, time.Now())
	c.nextRestart = time.Time{}
	inc := &Ctx[M]{cell: c, number: c.number}
	c.mu.Unlock()
	inc.ctx, inc.cancel = context.WithCancelCause(c.base.ctx)
	c.c = inc
	if c.handler = c.opt.New(inc); c.handler == nil {
		panic(errors.New("Options.New returned no handler"))
	}
	c.mu.Lock()
	c.enter(running, time.Now())
	c.mu.Unlock()
}

// deliver handles what next put into cur.
func (c *cell[M]) deliver() {
	if c.cur.answer != nil {
		var m M
		var ok bool
		if m, ok = c.cur.answer.take(c.c); ok {
			c.cur.m, c.cur.taken = m, true
			c.mu.Lock()
			c.handling = reflect.TypeOf(m)
			c.mu.Unlock()
		}
	}
	if c.cur.taken {
		if c.cur.loan != nil {
			c.cur.loan.lend(&c.lent)
		}
		c.handler.Receive(c.c, c.cur.m)
	}
	c.cur = item[M]{}
	c.mu.Lock()
	c.handled++
	c.mu.Unlock()
}

// failed ends the incarnation after a panic; the supervisor decides what comes next.
func (c *cell[M]) failed(r any, stack []byte) {
	if cr, ok := r.(*crash); ok {
		stack = cr.stack
	}
	err := panicFault(c.path, r)
	c.base.sys.bug(c.path, "actor panicked", err, stack)
	c.mu.Lock()
	c.lastFault = err
	c.mu.Unlock()
	if c.cur.taken {
		c.refuse(c.cur, err)
	}
	c.cur = item[M]{}
	for _, child := range slices.Clone(c.childPIDs()) {
		c.actx.Stop(child)
	}
	c.end(err)
	if !c.policy.Temporary { // else stop answers them
		for _, l := range c.lent.takeAll() {
			l.lender.lost()
		}
	}
	c.invoker.EscalateFailure(&failure{&c.base}, nil)
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
	c.control, c.answers, c.work = ring[item[M]]{}, ring[answer[M]]{}, ring[item[M]]{}
	c.mu.Unlock()
	for control.n > 0 {
		c.refuse(control.pop(), err)
	}
	for answers.n > 0 {
		answers.pop().drop(&c.base, err)
	}
	for work.n > 0 {
		c.refuse(work.pop(), err)
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
	for t := range inc.timers {
		t.timer.Stop()
	}
	if h, ok := c.handler.(interface{ Stopping(*Ctx[M]) }); ok {
		c.base.sys.contain(c.path, "Stopping", func() { h.Stopping(inc) })
	}
	c.c, c.handler = nil, nil
}

// refuse answers an accepted message that will not be handled.
func (c *cell[M]) refuse(it item[M], err error) {
	c.failMessage(it.m, err)
	if it.loan != nil {
		it.loan.lender.refuse(err)
	}
}
