package kernel

import (
	"context"
	"errors"
	"reflect"
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
	c.cell.tasks.Add(1)
	c.cell.hold()
	go (&task[M]{c: c, ctx: originCtx{c.ctx, c.origin()}}).run(f)
}

func (c *Ctx[M]) reserve() { // only the actor adds timers, so it may count them alone
	if int(c.cell.tasks.Load())+len(c.timers) >= c.cell.opt.Tasks {
		panic(fault.New(fault.BugProtocol, "actor", c.cell.path, errTooManyTasks))
	}
}

type task[M any] struct {
	c     *Ctx[M]
	ctx   originCtx
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
	t.m = f(&t.ctx)
	finished = true
}

func (t *task[M]) take(c *Ctx[M]) (m M, ok bool) {
	if c != t.c {
		t.drop(&t.c.cell.base, fault.New(fault.CanceledStopped, "actor", t.c.cell.path, nil))
		return m, false
	}
	c.cell.tasks.Add(-1)
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
	// What a task found concerns the actor that began it alone, so it is no dead letter when that has ended.
	t.c.cell.fail(item[M]{envelope: t.c.cell.seal(t.origin(), laneAnswers), m: t.m}, undelivered, err)
}

func (t *task[M]) origin() Origin { return t.ctx.o }

func (t *task[M]) about() reflect.Type { return typeOf(t.m) }

// After delivers m in d, unless the incarnation ends or cancel is called first. After cancel m is not delivered any more,
// even if its time has come. cancel belongs to the actor, like After.
func (c *Ctx[M]) After(d time.Duration, m M) (cancel func()) {
	if c.ended.Load() {
		return func() {}
	}
	t := &timer[M]{c: c, m: m, cause: c.cause, at: c.cell.sys.clock() + int64(max(0, d))}
	c.reserve()
	c.cell.mu.Lock()
	defer c.cell.mu.Unlock()
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
	cause Cause
	at    int64
	timer *time.Timer
}

func (t *timer[M]) cancel() {
	t.timer.Stop()
	t.disarm()
}

// disarm reports whether it was armed.
func (t *timer[M]) disarm() bool {
	t.c.cell.mu.Lock()
	defer t.c.cell.mu.Unlock()
	_, armed := t.c.timers[t]
	delete(t.c.timers, t)
	return armed
}

func (t *timer[M]) take(c *Ctx[M]) (m M, ok bool) {
	if !t.disarm() || c != t.c {
		return m, false
	}
	return t.m, true
}

func (t *timer[M]) drop(*base, error) {}

func (t *timer[M]) origin() Origin { return Origin{cause: t.cause, from: t.c.cell.id} }

func (t *timer[M]) about() reflect.Type { return typeOf(t.m) }

// exit is the end of a child.
type exit[M any] struct {
	c     *Ctx[M]
	path  string
	err   error
	cause Cause
}

func (e *exit[M]) take(c *Ctx[M]) (m M, ok bool) {
	if c != e.c {
		return m, false
	}
	return c.cell.opt.OnExit(e.path, e.err), true
}

func (e *exit[M]) drop(*base, error) {}

func (e *exit[M]) origin() Origin { return Origin{cause: e.cause} }

func (e *exit[M]) about() reflect.Type { return reflect.TypeFor[M]() }
