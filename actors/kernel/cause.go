package kernel

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/troupehost/troupe/actors/fault"
)

// Cause says what a message belongs to in the end: the request from outside that set off what set it off. It travels with
// Ask, requests, answers, tasks and their contexts, timers, exits of children, and with what is sent through [Ref.From].
type Cause [16]byte

// String is 32 hex digits.
func (c Cause) String() string { return hex.EncodeToString(c[:]) }

// IsZero reports whether there is none.
func (c Cause) IsZero() bool { return c == Cause{} }

var errBadCause = errors.New("a cause is 32 hex digits")

// ParseCause reads what String wrote.
//
// # Errors
//   - caller.invalid_request: it is not that
func ParseCause(s string) (Cause, error) {
	var c Cause
	if b, err := hex.DecodeString(s); err != nil || copy(c[:], b) != len(c) || len(b) != len(c) {
		return Cause{}, fault.New(fault.CallerInvalid, "cause", fault.Quote(s), errBadCause)
	}
	return c, nil
}

// NewCause mints a cause for something that comes from outside: a number, and a random part of this System. The number is spread over
// all of its digits, so that the first eight tell causes apart.
func (s *System) NewCause() Cause {
	const golden = 0x9E3779B97F4A7C15 // 2^64 over the golden ratio; it is odd, so no two numbers become the same
	var c Cause
	binary.BigEndian.PutUint64(c[:8], s.causes+s.caused.Add(1)*golden)
	binary.BigEndian.PutUint64(c[8:], s.causes)
	return c
}

// ident names an actor to others, who may remember it longer than it lives.
type ident struct{ path, kind string }

func (i *ident) String() string {
	if i == nil {
		return ""
	}
	return i.path
}

// Origin is where a message comes from: the actor that sends it, and its cause. The zero Origin is outside of the actors.
type Origin struct {
	cause Cause
	from  *ident
	quiet bool
}

// Onlooker is the sender of questions of somebody who only looks. They are handled as others are, and leave no trace: flight
// recorders, totals, timings, depths, dead letters and traces do not know of them, and who has nothing else to do stays idle.
// A panic is told of all the same, and so is a handler that does not return within a second.
func Onlooker() *Origin { return &Origin{quiet: true} }

// Looking is ctx for Ask of an Onlooker. It asks on the control lane, which neither a pause nor a full mailbox closes.
func Looking(ctx context.Context) context.Context {
	o := OriginOf(ctx).origin()
	o.quiet = true
	return &originCtx{ctx, o}
}

// Cause of what is sent from there; zero: each message gets its own.
func (o *Origin) Cause() Cause {
	if o == nil {
		return Cause{}
	}
	return o.cause
}

func (o *Origin) origin() Origin {
	if o == nil {
		return Origin{}
	}
	return *o
}

// Sender is whom a message can be sent from: a *Ctx inside of its actor, an *Origin anywhere.
type Sender interface{ origin() Origin }

type originKey struct{}

// originCtx is a context with an origin. Tasks have theirs inside of them, so that it costs no allocation.
type originCtx struct {
	context.Context
	o Origin
}

// Value is part of context.Context.
func (x *originCtx) Value(key any) any {
	if key == (originKey{}) {
		return &x.o
	}
	return x.Context.Value(key)
}

// OriginOf returns the origin of what is done under ctx: that of the task that it was given to, or nil.
func OriginOf(ctx context.Context) *Origin {
	o, _ := ctx.Value(originKey{}).(*Origin)
	return o
}

// WithCause is ctx for what is done because of c.
func WithCause(ctx context.Context, c Cause) context.Context {
	o := OriginOf(ctx).origin()
	o.cause = c
	return &originCtx{ctx, o}
}

// CauseOf returns the cause of what is done under ctx, or the zero Cause.
func CauseOf(ctx context.Context) Cause { return OriginOf(ctx).Cause() }

// Bound is a Ref together with the sender of what is sent through it.
type Bound[M any] struct {
	to Ref[M]
	o  Origin
}

// From has messages carry the cause of their sender and its name. A Ref alone sends as if from outside.
func (r Ref[M]) From(s Sender) Bound[M] { return Bound[M]{r, s.origin()} }

// Send is that of the Ref.
func (b Bound[M]) Send(m M) error { return b.to.send(m, b.o, laneWork) }

// Control is that of the Ref.
func (b Bound[M]) Control(m M) error { return b.to.send(m, b.o, laneControl) }

// Cause of the message that is handled now. Like Origin, it belongs to the actor.
func (c *Ctx[M]) Cause() Cause { return c.cause }

// Outside has what follows from the message in hand begin a new cause. It is for messages that the actor made of something
// that came from outside, which has nothing to do with what the actor did when it began to listen.
func (c *Ctx[M]) Outside() { c.cause = c.cell.sys.NewCause() }

// Because has what follows from the message in hand belong to cause, and returns what it belonged to until now. A zero cause
// changes nothing. It is for work that waited in the actor until a message of somebody else's made room for it.
func (c *Ctx[M]) Because(cause Cause) (was Cause) {
	was = c.cause
	if !cause.IsZero() {
		c.cause = cause
	}
	return was
}

// Origin remembers actor and cause for a function that sends later, wherever it runs.
func (c *Ctx[M]) Origin() *Origin { return new(c.origin()) }

func (c *Ctx[M]) origin() Origin { return Origin{cause: c.cause, from: c.cell.id} }
