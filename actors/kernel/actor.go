package kernel

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

// Handler is one incarnation of an actor. If it has a method Stopping(*Ctx[M]), that is called once when the incarnation
// ends, orderly or not, after its context was canceled; a panic there is contained.
type Handler[M any] interface {
	Receive(c *Ctx[M], m M)
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc[M any] func(c *Ctx[M], m M)

// Receive calls f.
func (f HandlerFunc[M]) Receive(c *Ctx[M], m M) { f(c, m) }

// Core is a pure decision core: no I/O, clock, random, log or goroutine.
type Core[M, E any] interface {
	Step(now time.Time, in M) []E
}

// RunCore is the thin shell around a pure core: it steps the core with each message and carries out its effects in order.
func RunCore[M, E any](core Core[M, E], do func(c *Ctx[M], e E)) Handler[M] {
	return HandlerFunc[M](func(c *Ctx[M], m M) {
		for _, e := range StepCore(c, core, m) {
			do(c, e)
		}
	})
}

// Recorder is given what cores are stepped with, and with what result.
type Recorder interface {
	// Step is called before a core is stepped; the function that it returns, after that, unless the core panics. Both are called in
	// the actor, and must not wait.
	Step(path string, incarnation uint64, core any, now time.Time, in any) (done func(effects any))
}

// StepCore steps a core with a message. It is for shells that cannot be of RunCore: recordings see the cores of both.
func StepCore[M, E any](c *Ctx[M], core Core[M, E], m M) []E {
	now := c.Now()
	r := c.cell.sys.recorder
	if r == nil {
		return core.Step(now, m)
	}
	done := r.Step(c.cell.path, c.number, core, now, m)
	out := core.Step(now, m)
	done(out)
	return out
}

// Options describe an actor.
type Options[M any] struct {
	// Name is the last element of the path: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'.
	Name string
	// Kind is shown to operators. Default: Name.
	Kind string
	// App is the address of the app that the actor is for, if it is for one. It is shown to operators.
	App string
	// Killable allows operators to end this one actor (System.Kill). Its parent is told, and goes on without it.
	Killable bool
	// New makes the Handler of each incarnation, in the actor. It is not called before the name is known to be free.
	New func(c *Ctx[M]) Handler[M]
	// Mailbox is how many messages may wait in the work lane. Default 256.
	Mailbox int
	// Requests is how many requests may be out at a time. Default 1024. One more is answered busy.queue_full.
	Requests int
	// Tasks is how many tasks of Go and timers of After may be out at a time. Default 4096. One more is a bug.
	Tasks int
	// Restart says how often and how soon the actor is restarted after a panic.
	Restart Policy
	// StopTimeout is how long System.Stop waits for this actor with its children, if it is a root actor, and how long a
	// restart waits for the children of the incarnation that failed, before the actor is given up. Default 10 s.
	StopTimeout time.Duration
	// OnExit, if set, makes a message of the end of a child: err is nil after an orderly stop, else why it was given up.
	// The name of the child is free when the message arrives. Children of an earlier incarnation are not reported.
	OnExit func(path string, err error) M
}

const (
	defaultMailbox  = 256
	defaultRequests = 1024
	defaultTasks    = 4096
	maxName         = 64
)

var (
	errBadName   = errors.New("a name is 1 to 64 letters, digits, dots, dashes or underscores")
	errNameTaken = errors.New("the name is taken")
	errNoNew     = errors.New("Options.New is missing")
)

func validName(s string) bool {
	for _, r := range []byte(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// Numbered is a name for one of many children of a kind, e.g. "worker-3".
func Numbered(kind string, n uint64) string { return kind + "-" + strconv.FormatUint(n, 10) }

// Number returns n from a path that ends in a name of Numbered, and 0 from any other.
func Number(path string) uint64 {
	n, _ := strconv.ParseUint(path[strings.LastIndexByte(path, '-')+1:], 10, 64)
	return n
}

// Parent is what an actor can be spawned under: a *System, or from inside an actor its *Ctx.
type Parent interface {
	adopt() (place, error)
}

// place is where a new actor goes.
type place struct {
	sys    *System
	parent *base // nil for a root actor
	path   string
	ctx    context.Context
	cause  Cause // of what has it spawned
	exit   func(path string, err error, cause Cause)
	spawn  func(name string, p *actor.Props) error
}

func (s *System) adopt() (place, error) {
	return place{sys: s, path: s.name, ctx: context.Background(), spawn: func(name string, p *actor.Props) error {
		_, err := actor.DefaultSpawner(s.actors, s.name+"/"+name, p, rootContext{s.actors.Root, s.root})
		return err
	}}, nil
}

func (c *Ctx[M]) adopt() (place, error) {
	if c.ended.Load() {
		return place{}, fault.New(fault.CallerClosed, "spawn under", c.cell.path, nil)
	}
	p := place{sys: c.cell.sys, parent: &c.cell.base, path: c.cell.path, ctx: c.ctx, cause: c.cause}
	p.spawn = func(name string, props *actor.Props) error {
		_, err := c.cell.actx.SpawnNamed(props, name)
		return err
	}
	if c.cell.opt.OnExit != nil {
		p.exit = func(path string, err error, cause Cause) {
			c.cell.postAnswer(&exit[M]{c: c, path: path, err: err, cause: cause})
		}
	}
	return p, nil
}

// Spawn starts an actor under parent. It returns before Options.New was called; messages may be sent at once.
//
// # Errors
//   - caller.invalid_config: the options are not valid
//   - caller.conflict: the parent has an actor of this name, or one that has not ended yet
//   - caller.host_closed: the parent has stopped
func Spawn[M any](parent Parent, o Options[M]) (Ref[M], error) {
	if !validName(o.Name) {
		return Ref[M]{}, fault.New(fault.CallerConfig, "spawn", fault.Quote(o.Name), errBadName)
	}
	if o.New == nil {
		return Ref[M]{}, fault.New(fault.CallerConfig, "spawn", o.Name, errNoNew)
	}
	at, err := parent.adopt()
	if err != nil {
		return Ref[M]{}, err
	}
	o.Kind = cmp.Or(o.Kind, o.Name)
	o.Mailbox = cmp.Or(max(o.Mailbox, 0), defaultMailbox)
	o.Requests = cmp.Or(max(o.Requests, 0), defaultRequests)
	o.Tasks = cmp.Or(max(o.Tasks, 0), defaultTasks)
	o.Restart = o.Restart.withDefaults()

	c := &cell[M]{opt: o}
	c.base.init(c, at, o.Name, o.Kind, o.Restart, cmp.Or(max(o.StopTimeout, 0), defaultDeadline))
	c.app, c.killable = o.App, o.Killable
	c.runs = c.run // one method value for all runs
	if err := at.sys.enter(c); err != nil {
		return Ref[M]{}, err
	}
	props := actor.PropsFromProducer(func() actor.Actor { return c },
		actor.WithMailbox(func() actor.Mailbox { return c }),
		actor.WithDispatcher(at.sys.pool),
		actor.WithSupervisor(supervisor{}))
	if at.parent != nil {
		at.parent.gainChild()
	}
	if err := at.spawn(o.Name, props); err != nil {
		c.exit = nil
		c.release()
		return Ref[M]{}, fault.New(fault.CallerConflict, "spawn", c.path, err)
	}
	return Ref[M]{c}, nil
}

// Ref is the address of an actor. It stays valid over restarts. The zero Ref belongs to no actor and refuses everything.
type Ref[M any] struct{ cell *cell[M] }

// Send puts m into the work lane.
//
// # Errors
//   - busy.queue_full: the mailbox is full
//   - caller.host_closed: the actor has stopped
func (r Ref[M]) Send(m M) error { return r.send(m, Origin{}, laneWork) }

// Control puts m into the control lane, which overtakes the others and is refused only by a stopped actor
// (caller.host_closed). It is for what ends or reorders work, not for work.
func (r Ref[M]) Control(m M) error { return r.send(m, Origin{}, laneControl) }

func (r Ref[M]) send(m M, o Origin, to lane) error {
	if r.cell == nil {
		return nowhere(m)
	}
	return r.cell.post(m, nil, o, to)
}

func nowhere(m any) error {
	err := fault.New(fault.CallerClosed, "send to", "no actor", nil)
	if f, ok := m.(interface{ Failed(error) }); ok {
		f.Failed(err)
	}
	return err
}

// Stop asks the actor to stop; it overtakes all messages. It returns at once.
func (r Ref[M]) Stop() {
	if r.cell != nil {
		r.cell.PostSystemMessage(&actor.Stop{})
	}
}

// Path is the unique name of the actor, e.g. "troupe/execute/worker-3".
func (r Ref[M]) Path() string {
	if r.cell == nil {
		return ""
	}
	return r.cell.path
}

// Ctx is the view that one incarnation has of its surroundings.
type Ctx[M any] struct {
	cell   *cell[M]
	number uint64
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  atomic.Bool
	cause  Cause                  // touched by the actor only
	timers map[*timer[M]]struct{} // guarded by base.mu
}

// Context ends with the incarnation.
func (c *Ctx[M]) Context() context.Context { return c.ctx }

// Self is the address of the actor.
func (c *Ctx[M]) Self() Ref[M] { return Ref[M]{c.cell} }

// Incarnation counts from 1.
func (c *Ctx[M]) Incarnation() uint64 { return c.number }

// Now is the time that a core may be stepped with.
func (c *Ctx[M]) Now() time.Time { return time.Now() }

// Requeue puts a message of the control lane behind everything that waits in the work lane, even if that is full. It is for
// a control message that overtook the work which it is about: the second time around, what is still unknown has ended.
func (c *Ctx[M]) Requeue(m M) {
	if c.ended.Load() {
		c.cell.failMessage(m, fault.New(fault.CanceledStopped, "actor", c.cell.path, nil))
		return
	}
	c.cell.postBehind(m, c.origin())
}

// Stop stops the actor after the message it handles now.
func (c *Ctx[M]) Stop() {
	if !c.ended.Load() {
		c.Self().Stop()
	}
}

// Log carries the fields host and actor.
func (c *Ctx[M]) Log() *zerolog.Logger {
	if l := c.cell.logger.Load(); l != nil {
		return l
	}
	l := c.cell.sys.log.With().Str("actor", c.cell.path).Logger()
	if c.cell.logger.CompareAndSwap(nil, &l) {
		return &l
	}
	return c.cell.logger.Load()
}
