package kernel

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Ask sends a request from outside of the actors and waits for the answer or for ctx. build makes the message around the
// reply; it is called on this goroutine, a second time if the asked actor restarts before it answers. When ctx ends first
// the request is abandoned and its answer, if one comes, ignored: send a message on the control lane to withdraw the work.
//
// # Errors
//   - busy.queue_full, caller.host_closed: refused
//   - canceled.caller_left, canceled.deadline: ctx ended
//   - canceled.host_stopped, host.actor_gave_up: the actor ended first
//   - bug.panic: the actor panicked on the request
//   - bug.no_answer: the actor restarted twice
//   - what the actor failed the reply with
func Ask[M, R any](ctx context.Context, to Ref[M], build func(Reply[R]) M) (R, error) {
	return askUntil(ctx, to, build, nil, 0)
}

// AskWithdrawing is Ask for work that must not outlive its asker: when ctx ends first, withdraw is sent on the control lane,
// which may overtake the request (Ctx.Requeue), and the answer is awaited for up to grace more. An answer without an error
// still counts then; else the error is that of ctx. A request whose actor restarts after the withdrawal is not sent again.
func AskWithdrawing[M, R any](ctx context.Context, to Ref[M], build func(Reply[R]) M, withdraw M, grace time.Duration) (R, error) {
	return askUntil(ctx, to, build, func() { _ = to.From(OriginOf(ctx)).Control(withdraw) }, grace) // a stopped actor has answered
}

// askUntil asks; when ctx ends it calls withdraw, if any, and waits for up to grace.
func askUntil[M, R any](ctx context.Context, to Ref[M], build func(Reply[R]) M, withdraw func(), grace time.Duration) (R, error) {
	var none R
	if to.cell == nil {
		return none, fault.New(fault.CallerClosed, "ask", "no actor", nil)
	}
	if ctx.Err() != nil {
		return none, canceled(ctx, to.cell.path)
	}
	p := &promise[R]{ready: make(chan struct{}, maxAttempts)} // one wake per attempt: waking never blocks
	p.init(&to.cell.base, func() { p.ready <- struct{}{} })
	o := OriginOf(ctx).origin()
	if o.cause.IsZero() {
		o.cause = p.sys.NewCause()
	}
	by := laneWork
	if o.quiet {
		by = laneControl
	}
	leave := func() (R, error) {
		if withdraw != nil {
			withdraw()
			t := time.NewTimer(grace)
			defer t.Stop()
			select {
			case <-p.ready:
				if r, err, again := p.poll(); err == nil && !again {
					return r, nil
				}
			case <-t.C:
			}
		}
		p.abandon()
		return none, canceled(ctx, to.cell.path)
	}
	for {
		if err := to.cell.post(build(p.reply()), &p.loan, o, by); err != nil {
			p.refuse(err) // unless its Failed method has answered already
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			return leave()
		}
		r, err, again := p.poll()
		if !again {
			return r, err
		}
		if ctx.Err() != nil { // the actor restarted, and may have begun before
			grace = 0
			return leave()
		}
	}
}

func canceled(ctx context.Context, path string) error {
	if e, ok := errors.AsType[*fault.Error](context.Cause(ctx)); ok {
		return e
	}
	e := fault.From(ctx.Err())
	return fault.New(e.Code, "ask", path, context.Cause(ctx))
}

// Request sends a request from actor to actor. It does not wait: back makes a message of the answer, which arrives in a slot
// that was reserved for it. build and back run on the asking actor, build a second time if the asked actor restarts before
// it answers. Each request ends in exactly one call of back, unless the asking incarnation ends first; the errors are those
// of Ask, and busy.queue_full also stands for too many requests being out (Options.Requests).
func Request[M, N, R any](c *Ctx[M], to Ref[N], build func(Reply[R]) N, back func(R, error) M) {
	if c.ended.Load() {
		return
	}
	q := &request[M, N, R]{from: c, to: to, build: build, back: back, cause: c.cause}
	q.promise.init(&c.cell.base, q.arrived)
	out := int(c.cell.requests.Add(1))
	switch {
	case to.cell == nil:
		q.refuse(fault.New(fault.CallerClosed, "request to", "no actor", nil))
	case out > c.cell.opt.Requests:
		q.refuse(fault.New(fault.BusyQueueFull, "request from", c.cell.path, errTooManyRequests).WithRetryAfter(retryAfter))
	default:
		q.path = to.cell.path
		q.send()
	}
}

var errTooManyRequests = errors.New("too many requests are out")

type request[M, N, R any] struct {
	promise[R]
	from  *Ctx[M]
	to    Ref[N]
	build func(Reply[R]) N
	back  func(R, error) M
	cause Cause
}

func (q *request[M, N, R]) send() {
	if err := q.to.cell.post(q.build(q.reply()), &q.loan, Origin{cause: q.cause, from: q.from.cell.id}, laneWork); err != nil {
		q.refuse(err)
	}
}

// arrived runs on whatever goroutine has news.
func (q *request[M, N, R]) arrived() { q.from.cell.postAnswer(q) }

func (q *request[M, N, R]) take(c *Ctx[M]) (m M, ok bool) {
	if c != q.from {
		q.abandon()
		return m, false
	}
	r, err, again := q.poll()
	if again {
		q.send()
		return m, false
	}
	c.cell.requests.Add(-1)
	return q.back(r, err), true
}

func (q *request[M, N, R]) drop(*base, error) { q.abandon() }

func (q *request[M, N, R]) origin() Origin {
	if q.to.cell == nil {
		return Origin{cause: q.cause}
	}
	return Origin{cause: q.cause, from: q.to.cell.id}
}

func (q *request[M, N, R]) about() reflect.Type { return reflect.TypeFor[R]() }
