package kernel

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

var errTooManyTasks = errors.New("more tasks and timers than Options.Tasks")

// crash is a panic of a task, on its way to the actor that it fails.
type crash struct {
	value any
	stack []byte
}

// Go runs f beside the actor. Its result comes back as a message that is never refused; it is dropped, and answered if it
// bears a reply, when the incarnation ends first. f must return soon after its context ends: the actor has not stopped
// before f returns. A panic in f fails the incarnation. Nothing runs if the incarnation has ended already.
func (c *Ctx[M]) Go(f func(ctx context.Context) M) {
	if c.ended.Load() {
		return
	}
	c.reserve()
	c.tasks++
	c.cell.hold()
	go (&task[M]{c: c}).run(f)
}

func (c *Ctx[M]) reserve() {
	if c.tasks+len(c.timers) >= c.cell.opt.Tasks {
		panic(fault.New(fault.BugProtocol, "actor", c.cell.path, errTooManyTasks))
	}
}

type task[M any] struct {
	c     *Ctx[M]
	m     M
	crash *crash
}

func (t *task[M]) run(f func(context.Context) M) {
	defer t.c.cell.release()
	finished := false
	defer func() {
		if !finished {
			r := recover()
			if r == nil {
				r = errGoexit
			}
			t.crash = &crash{value: r, stack: debug.Stack()}
		}
		t.c.cell.postAnswer(t)
	}()
	t.m = f(t.c.ctx)
	finished = true
}

func (t *task[M]) take(c *Ctx[M]) (m M, ok bool) {
	if c != t.c {
		t.drop(&t.c.cell.base, fault.New(fault.CanceledStopped, "actor", t.c.cell.path, nil))
		return m, false
	}
	c.tasks--
	if t.crash != nil {
		panic(t.crash)
	}
	return t.m, true
}

func (t *task[M]) drop(b *base, err error) {
	if t.crash != nil {
		b.sys.bug(b.path, "task panicked", panicFault(b.path, t.crash), t.crash.stack)
		return
	}
	b.failMessage(t.m, err)
}

// After delivers m in d, unless the incarnation ends or cancel is called first. After cancel m is not delivered any more,
// even if its time has come. cancel belongs to the actor, like After.
func (c *Ctx[M]) After(d time.Duration, m M) (cancel func()) {
	if c.ended.Load() {
		return func() {}
	}
	c.reserve()
	t := &timer[M]{c: c, m: m}
	if c.timers == nil {
		c.timers = make(map[*timer[M]]struct{})
	}
	c.timers[t] = struct{}{}
	t.timer = time.AfterFunc(d, func() { c.cell.postAnswer(t) })
	return t.cancel
}

type timer[M any] struct {
	c     *Ctx[M]
	m     M
	timer *time.Timer
}

func (t *timer[M]) cancel() {
	t.timer.Stop()
	delete(t.c.timers, t)
}

func (t *timer[M]) take(c *Ctx[M]) (m M, ok bool) {
	if _, armed := t.c.timers[t]; !armed || c != t.c {
		return m, false
	}
	delete(c.timers, t)
	return t.m, true
}

func (t *timer[M]) drop(*base, error) {}

// exit is the end of a child.
type exit[M any] struct {
	c    *Ctx[M]
	path string
	err  error
}

func (e *exit[M]) take(c *Ctx[M]) (m M, ok bool) {
	if c != e.c {
		return m, false
	}
	return c.cell.opt.OnExit(e.path, e.err), true
}

func (e *exit[M]) drop(*base, error) {}
