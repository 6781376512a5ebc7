package kernel

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

type state uint8

const (
	starting state = 1 + iota
	running
	backoff
	stopping
	gaveUp
	pausing // these are told by flight recorders only
	resuming
	replaced
)

var states = [...]string{"", "starting", "running", "backoff", "stopping", "gave_up", "paused", "resumed", "restarted"}

// base is what the kernel knows of an actor whatever its message type.
type base struct {
	sys         *System
	self        node
	parent      *base // nil for a root actor
	id          *ident
	path        string
	kind        string
	app         string
	killable    bool
	policy      Policy
	stopTimeout time.Duration
	ctx         context.Context // parent of the contexts of all incarnations
	kill        context.CancelCauseFunc
	exit        func(path string, err error, cause Cause)
	done        chan struct{} // closed when the actor has ended; root actors only
	live        atomic.Int64  // the actor's own life, its children and its tasks
	lent        loans         // requests that were delivered and are not answered
	requests    atomic.Int32  // of the incarnation that are out
	tasks       atomic.Int32  // of the incarnation that run
	logger      atomic.Pointer[zerolog.Logger]

	mu          sync.Mutex // guards what follows and the lanes of the cell
	state       state
	since       int64  // of state, or of being idle
	busy        bool   // a run is scheduled or under way
	worked      bool   // in that run: it was not for an Onlooker alone
	suspended   bool   // between a failure and the restart
	closed      bool   // stopping or stopped: nothing is accepted
	number      uint64 // of the incarnation
	hand        hand
	book        *book // nil before the first message
	paused      bool  // the work lane waits
	level       *leveled
	accepted    uint64
	handled     uint64
	refused     uint64
	restarts    []time.Time // within the window
	restart     *time.Timer
	nextRestart time.Time
	children    int  // that have not ended
	due         bool // a restart waits for them to end
	byHand      bool // it was asked for: it waits as long as they take
	lastFault   error
	lastWords   string // lastFault as it is shown
	killed      bool
	risen       chan struct{} // set by who asked for a restart; closed when the next incarnation runs
	ended       bool          // and what is recorded now belongs to its grave
	exitErr     error         // why the actor ended, nil after an orderly stop
	lastCause   Cause         // of the message that was handled last; before the first one, of what has the actor spawned
}

func (b *base) init(self node, at place, name, kind string, policy Policy, stopTimeout time.Duration) {
	b.sys, b.self, b.parent, b.exit = at.sys, self, at.parent, at.exit
	b.path, b.kind, b.policy, b.stopTimeout = at.path+"/"+name, kind, policy, stopTimeout
	b.id = &ident{b.path, kind}
	b.ctx, b.lastCause = at.ctx, at.cause
	if at.parent == nil {
		b.ctx, b.kill = context.WithCancelCause(at.ctx)
		b.done = make(chan struct{})
	}
	b.live.Store(1)
	b.enter(starting)
}

func (b *base) core() *base { return b }

// enter changes the state; mu is held, or nobody else knows b yet.
func (b *base) enter(s state) {
	if b.state != gaveUp { // remains visible while the actor is taken down
		b.state, b.since = s, b.sys.clock()
		b.become(s, b.since)
	}
}

// hand is the message that is handled now, or is about to be made of an answer. typ is nil if there is none.
type hand struct {
	envelope
	typ   reflect.Type
	began int64
}

// quietFor is how long a question of an Onlooker may be in hand and not be shown.
const quietFor = time.Second

// shows reports whether there is a message in hand that is shown.
func (h *hand) shows(now int64) bool {
	return h.typ != nil && (!h.quiet || now-h.began >= int64(quietFor))
}

func (b *base) hold() { b.live.Add(1) }

// release ends one of the lives of b. With the last one the name is free and the parent is told.
func (b *base) release() {
	if b.live.Add(-1) != 0 {
		return
	}
	last := &grave{}
	b.sys.snapshot(&last.actor, b.self, false)
	b.mu.Lock()
	err, failed, cause := b.exitErr, b.state == gaveUp, b.lastCause
	last.book, last.died = b.book, last.actor.At
	b.book, b.ended = nil, true
	if b.killed && err == nil {
		err = fault.New(fault.CanceledRevoked, "actor", b.path, errKilled)
	}
	b.level.end()
	risen := b.risen
	b.risen = nil
	b.mu.Unlock()
	b.sys.leave(b, last, failed)
	if risen != nil {
		close(risen)
	}
	if b.exit != nil {
		b.exit(b.path, err, cause)
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
		if b.restart != nil {
			b.restart.Stop()
		}
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

// failMessage answers a message that will not be handled, if it bears a reply, and reports whether it does.
func (b *base) failMessage(m any, err error) bool {
	f, ok := m.(interface{ Failed(error) })
	if ok {
		b.sys.contain(b.path, "Failed", func() { f.Failed(err) })
	}
	return ok
}
