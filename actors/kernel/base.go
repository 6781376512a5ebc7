package kernel

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

type state uint8

const (
	starting state = 1 + iota
	running
	backoff
	stopping
	gaveUp
)

// base is what the kernel knows of an actor whatever its message type.
type base struct {
	sys         *System
	self        node
	parent      *base // nil for a root actor
	path        string
	kind        string
	policy      Policy
	stopTimeout time.Duration
	ctx         context.Context // parent of the contexts of all incarnations
	kill        context.CancelCauseFunc
	exit        func(path string, err error)
	done        chan struct{} // closed when the actor has ended; root actors only
	live        atomic.Int64  // the actor's own life, its children and its tasks
	lent        loans         // requests that were delivered and are not answered

	mu          sync.Mutex // guards what follows and the lanes of the cell
	state       state
	since       time.Time // of state, or of being idle
	busy        bool      // a run is scheduled or under way
	suspended   bool      // between a failure and the restart
	closed      bool      // stopping or stopped: nothing is accepted
	number      uint64    // of the incarnation
	handling    reflect.Type
	handlingAt  time.Time
	accepted    uint64
	handled     uint64
	refused     uint64
	restarts    []time.Time // within the window
	restart     *time.Timer
	nextRestart time.Time
	children    int  // that have not ended
	due         bool // a restart waits for them to end
	lastFault   error
	exitErr     error // why the actor ended, nil after an orderly stop
}

func (b *base) init(self node, at place, name, kind string, policy Policy, stopTimeout time.Duration) {
	b.sys, b.self, b.parent, b.exit = at.sys, self, at.parent, at.exit
	b.path, b.kind, b.policy, b.stopTimeout = at.path+"/"+name, kind, policy, stopTimeout
	b.ctx = at.ctx
	if at.parent == nil {
		b.ctx, b.kill = context.WithCancelCause(at.ctx)
		b.done = make(chan struct{})
	}
	b.live.Store(1)
	b.enter(starting, time.Now())
}

func (b *base) core() *base { return b }

// enter changes the state; mu is held, or nobody else knows b yet.
func (b *base) enter(s state, now time.Time) {
	if b.state != gaveUp { // remains visible while the actor is taken down
		b.state, b.since = s, now
	}
}

func (b *base) hold() { b.live.Add(1) }

// release ends one of the lives of b. With the last one the name is free and the parent is told.
func (b *base) release() {
	if b.live.Add(-1) != 0 {
		return
	}
	b.mu.Lock()
	err, failed := b.exitErr, b.state == gaveUp
	b.mu.Unlock()
	var last *inspect.Actor
	if failed {
		a := snapshot(b.self)
		last = &a
	}
	b.sys.leave(b, last)
	if b.exit != nil {
		b.exit(b.path, err)
	}
	if b.done != nil {
		b.kill(nil)
		close(b.done)
	}
	if b.parent != nil {
		b.parent.lostChild()
	}
}

func (b *base) gainChild() {
	b.hold()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.children++
}

func (b *base) lostChild() {
	b.mu.Lock()
	b.children--
	due := b.due && b.children == 0
	if due {
		b.due = false
		b.restart.Stop()
	}
	b.mu.Unlock()
	if due {
		b.self.PostSystemMessage(&actor.Restart{})
	}
	b.release()
}

// stopFault answers what waits in an actor that stops. mu is not held.
func (b *base) stopFault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.exitErr == nil {
		return fault.New(fault.CanceledStopped, "actor", b.path, nil)
	}
	return b.gone()
}

// gone answers what is sent to an actor that has stopped. mu is held.
func (b *base) gone() *fault.Error {
	switch {
	case b.exitErr == nil:
		return fault.New(fault.CallerClosed, "send to", b.path, nil)
	case b.policy.Temporary:
		return fault.New(fault.BugNoAnswer, "actor", b.path, b.exitErr)
	}
	return fault.From(b.exitErr)
}

// failMessage answers a message that will not be handled, if it bears a reply.
func (b *base) failMessage(m any, err error) {
	if f, ok := m.(interface{ Failed(error) }); ok {
		b.sys.contain(b.path, "Failed", func() { f.Failed(err) })
	}
}

func snapshot(n node) inspect.Actor {
	b := n.core()
	b.mu.Lock()
	defer b.mu.Unlock()
	a := inspect.Actor{
		Path: b.path, Kind: b.kind, Incarnation: b.number, Since: b.since,
		Accepted: b.accepted, Handled: b.handled, Refused: b.refused,
		Restarts: len(b.policy.recent(b.restarts, time.Now())), MaxRestarts: b.policy.MaxRestarts,
	}
	a.Depth, a.Cap, a.OldestSince = n.lanes()
	if b.handling != nil {
		a.Handling, a.HandledAt = b.handling.String(), b.handlingAt
	}
	if b.lastFault != nil {
		a.LastFault = fault.Quote(b.lastFault.Error())
	}
	switch {
	case b.state == starting:
		a.State = "starting"
	case b.state == backoff:
		a.State, a.NextRestart = "backoff", b.nextRestart
	case b.state == stopping:
		a.State = "stopping"
	case b.state == gaveUp:
		a.State = "gave_up"
	case b.handling != nil:
		a.State, a.Since = "busy", b.handlingAt
	default:
		a.State = "idle"
	}
	return a
}
