package kernel

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// Config describes a System.
type Config struct {
	// Name is the first element of every actor path and the log field "host". Default "troupe". Unique within Shared.
	Name string
	// Log receives the records of the kernel and of the actors. Default: silent.
	Log zerolog.Logger
	// Shared lets several Systems of one process share one registry, which costs about 3 MB. Default: a private one.
	Shared *Shared
	// Recorder is given the steps of all cores. Default: nobody is.
	Recorder Recorder
}

// Shared is the part of a System that several may share.
type Shared struct {
	actors *actor.ActorSystem
}

// NewShared makes a handle for several Systems. log receives what the library under the kernel has to say.
func NewShared(log zerolog.Logger) *Shared {
	return &Shared{actors: actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(bridge{log: log}) }),
	)}
}

// System is one tree of actors.
type System struct {
	name     string
	log      zerolog.Logger
	actors   *actor.ActorSystem
	root     *actor.PID
	pool     *pool
	recorder Recorder
	bugs     atomic.Uint64
	failed   chan struct{}
	ended    chan struct{} // closed at the end of Stop
	epoch    time.Time     // stamps count from it
	skew     atomic.Int64  // by how much the wall clock was set since
	causes   uint64        // the random half of new causes
	caused   atomic.Uint64

	tracers atomic.Pointer[[]*tracer] // nil: nobody traces
	letters letters

	mu      sync.Mutex
	table   map[string]node // by path
	roots   []*base         // in order of start
	order   []node          // the table by path, nil after a change; never changed in place
	graves  ring[*grave]    // of actors that have ended, oldest first
	gaveUp  []inspect.Actor // what was given up, for Inspect
	stopped bool            // no more root actors
	err     error           // the first give-up
	stopErr error           // valid once ended is closed
}

// node is an actor whatever its message type.
type node interface {
	core() *base
	PostSystemMessage(any)
	wakeAndUnlock()
	look(a *inspect.Actor, all bool)                        // lanes and timers, under base.mu
	waiting(f func(e envelope, t reflect.Type) (more bool)) // what waits, in the order of the lanes, under base.mu
}

const (
	defaultName     = "troupe"
	maxGaveUp       = 64
	maxStack        = 8 << 10
	defaultDeadline = 10 * time.Second
)

// New makes a System without actors.
//
// # Errors
//   - caller.invalid_config: the name is not usable
//   - caller.conflict: the name is taken in cfg.Shared
func New(cfg Config) (*System, error) {
	cfg.Name = cmp.Or(cfg.Name, defaultName)
	if !validName(cfg.Name) {
		return nil, fault.New(fault.CallerConfig, "kernel", fault.Quote(cfg.Name), errBadName)
	}
	if cfg.Shared == nil {
		cfg.Shared = NewShared(cfg.Log.With().Str("host", cfg.Name).Logger())
	}
	s := &System{
		name:     cfg.Name,
		log:      cfg.Log.With().Str("host", cfg.Name).Logger(),
		actors:   cfg.Shared.actors,
		pool:     &pool{},
		recorder: cfg.Recorder,
		failed:   make(chan struct{}),
		ended:    make(chan struct{}),
		table:    make(map[string]node),
		epoch:    time.Now(),
		causes:   rand.Uint64(),
	}
	var free bool
	if s.root, free = s.actors.ProcessRegistry.Add(rootProcess{s}, cfg.Name); !free {
		return nil, fault.New(fault.CallerConflict, "kernel", cfg.Name, errNameTaken)
	}
	return s, nil
}

// Failed is closed when an actor was given up; Err then says which.
func (s *System) Failed() <-chan struct{} { return s.failed }

// Err returns the first give-up, or nil.
func (s *System) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Bugs counts the bugs that were contained: panics, replies answered twice.
func (s *System) Bugs() uint64 { return s.bugs.Load() }

// Stop stops the root actors, the last started first, and waits for each until its StopTimeout or ctx ends. A root that is
// late has its context canceled and is left behind. Later calls wait for the first.
//
// # Errors
//   - bug.no_answer: an actor did not stop in time (joined, one per actor)
func (s *System) Stop(ctx context.Context) error {
	s.mu.Lock()
	again := s.stopped
	s.stopped = true
	roots := slices.Clone(s.roots)
	s.mu.Unlock()
	if again {
		select {
		case <-s.ended:
			return s.stopErr
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
	var errs []error
	for _, b := range slices.Backward(roots) {
		if err := s.stopRoot(ctx, b); err != nil {
			errs = append(errs, err)
		}
	}
	s.actors.ProcessRegistry.Remove(s.root)
	s.pool.close()
	s.stopErr = errors.Join(errs...)
	close(s.ended)
	return s.stopErr
}

func (s *System) stopRoot(ctx context.Context, b *base) error {
	ctx, cancel := context.WithTimeout(ctx, b.stopTimeout)
	defer cancel()
	b.self.PostSystemMessage(&actor.Stop{})
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
	}
	b.kill(fault.New(fault.CanceledStopped, "", "", nil))
	s.log.Error().Str("actor", b.path).Msg("actor did not stop in time")
	return fault.New(fault.BugNoAnswer, "stop", b.path, ctx.Err())
}

// enter reserves a path for an actor that is about to start.
func (s *System) enter(n node) error {
	b := n.core()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped && b.parent == nil {
		return fault.New(fault.CallerClosed, "spawn", b.path, nil)
	}
	if _, taken := s.table[b.path]; taken {
		return fault.New(fault.CallerConflict, "spawn", b.path, errNameTaken)
	}
	s.table[b.path], s.order = n, nil
	s.gaveUp = slices.DeleteFunc(s.gaveUp, func(a inspect.Actor) bool { return a.Path == b.path })
	if b.parent == nil {
		s.roots = append(s.roots, b)
	}
	return nil
}

// leave frees the path of an actor that has ended.
func (s *System) leave(b *base, last *grave, gaveUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.table, b.path)
	s.order = nil
	if s.graves.n == maxGraves {
		s.graves.pop()
	}
	s.graves.push(last)
	if b.parent == nil {
		s.roots = slices.DeleteFunc(s.roots, func(r *base) bool { return r == b })
	}
	if gaveUp && len(s.gaveUp) < maxGaveUp {
		s.gaveUp = append(s.gaveUp, last.actor)
	}
}

// terminated releases the hold that an actor's own life has on it, once its parent took note of its end.
func (s *System) terminated(path string) {
	s.mu.Lock()
	n, ok := s.table[path]
	s.mu.Unlock()
	if ok {
		n.core().release()
	}
}

func (s *System) giveUp(b *base, err error) {
	s.log.Error().Str("actor", b.path).Str("error", fault.Quote(err.Error())).Msg("actor given up: the host is failing")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.failed)
	}
}

// bug logs and counts a contained bug.
func (s *System) bug(path, what string, err error, stack []byte) {
	s.bugs.Add(1)
	ev := s.log.Error().Str("actor", path).Str("error", fault.Quote(err.Error()))
	if len(stack) > 0 {
		ev = ev.Bytes("stack", stack[:min(len(stack), maxStack)])
	}
	ev.Msg(what)
}

// contain runs a hook of an actor whose panic must not reach the kernel.
func (s *System) contain(path, hook string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			s.bug(path, hook+" panicked", panicFault(path, r), debug.Stack())
		}
	}()
	f()
}

// rootProcess is the parent of the root actors: it has no mailbox and no state, it only passes their failures to their
// policies. The library's own guardians live for ever; this one leaves with its System.
type rootProcess struct{ s *System }

func (r rootProcess) SendUserMessage(*actor.PID, any) {}

func (r rootProcess) SendSystemMessage(_ *actor.PID, m any) {
	switch m := m.(type) {
	case *actor.Failure:
		supervise(m.Reason)
	case *actor.Terminated:
		r.s.terminated(m.Who.Id)
	}
}

func (r rootProcess) Stop(*actor.PID) {}

// rootContext makes rootProcess the parent of what is spawned through it.
type rootContext struct {
	actor.SpawnerContext
	pid *actor.PID
}

func (r rootContext) Self() *actor.PID { return r.pid }
