package cache

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Config is what the actor needs.
type Config struct {
	Limits
	PruneEvery time.Duration
	Mailbox    int // messages that may wait in the work lane; default 1024
	Store      Store
	Prepare    kernel.Ref[prepare.Message]
	Execute    kernel.Ref[execute.Message]
	Observe    Observer // nil: nobody is told

	// Paused says whether the host holds a pause of the prepare queue. It is called when an incarnation begins. Nil: never.
	Paused func() bool

	// Forget is called when an artifact is given up, or for one tenant only if one is named, and before anybody is answered for
	// that: no further run of it passes by. It must not block. Nil: none does.
	Forget func(key artifacts.Key, tenant string)
}

// Spawn starts the cache actor and its pruner.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	var last chan struct{}      // closed when the newest store operation has ended; it outlives incarnations
	revoked := newRevocations() // these do, too
	limits := NewState(cfg.Limits, 1).limits
	if cfg.Observe == nil {
		cfg.Observe = unobserved{}
	}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:     "cache",
		Mailbox:  cmp.Or(cfg.Mailbox, 1024),
		Requests: limits.Requests + 2*limits.Preparing, // each belongs to an unanswered Ask or to a job
		Tasks:    1 << 20,                              // each is a store operation of an Ask, a job or an operator
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			state := NewState(cfg.Limits, c.Incarnation())
			state.revoked = revoked
			sh := &shell{cfg: cfg, state: state, last: &last}
			// What an earlier incarnation asked for has nobody to come to. What it made is there when the index is read.
			self, number := c.Self().From(c), c.Incarnation()
			if cfg.Paused != nil && cfg.Paused() {
				_ = self.Control(Pause{})
			}
			_ = cfg.Prepare.From(c).Control(prepare.CancelAll{Reply: kernel.ReplyFunc(func(struct{}, error) { _ = self.Control(alone{number}) })})
			if err := spawnPruner(c, cfg.PruneEvery); err != nil {
				c.Log().Error().Err(err).Msg("the pruner could not be started")
			}
			core := kernel.RunCore(state, sh.do)
			return kernel.HandlerFunc[Message](func(c *kernel.Ctx[Message], m Message) {
				switch m := m.(type) {
				case alone:
					if m.incarnation == number {
						sh.index(c)
					}
					return
				case Pause: // whichever comes last says what holds now
					if cfg.Paused != nil {
						core.Receive(c, Pause{Off: !cfg.Paused()})
						return
					}
				case indexed:
					if m.err != nil {
						c.Log().Error().Err(m.err).Msg("the artifact index could not be read; the cache starts empty")
					}
				}
				core.Receive(c, m)
			})
		},
	})
}

type shell struct {
	cfg   Config
	state *State // for what it is asked again
	last  *chan struct{}
}

// done is the end of a store operation that nobody waits for.
type done struct{}

func (done) cacheMessage() {}

// alone says that the prepare queue holds nothing of an earlier incarnation any more. Sent by: prepare's answer.
type alone struct{ incarnation uint64 }

func (alone) cacheMessage() {}

// store runs an operation beside the actor, after those before it, whichever incarnation began them. The actor has not
// stopped before it has ended: what was acknowledged happens.
func (sh *shell) store(c *kernel.Ctx[Message], op func(context.Context) Message) {
	before, ended := *sh.last, make(chan struct{})
	c.Go(func(ctx context.Context) Message {
		defer close(ended)
		if before != nil {
			<-before
		}
		return op(context.WithoutCancel(ctx)) // what was begun is ended
	})
	*sh.last = ended
}

func (sh *shell) index(c *kernel.Ctx[Message]) {
	sh.store(c, func(ctx context.Context) Message {
		entries, err := sh.cfg.Store.Index(ctx)
		return indexed{entries, err}
	})
}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case StartPrepare:
		defer c.Because(c.Because(e.Job.Cause))
		self := c.Self().From(c)
		passed := func(used prepare.Budget) { _ = self.Control(passed{key: e.Job.Key, gen: e.Gen, used: used}) }
		kernel.Request(c, sh.cfg.Prepare,
			func(r kernel.Reply[prepare.Outcome]) prepare.Message {
				return prepare.Enqueue{Job: sh.state.Current(e.Job), Reply: r, Passed: passed}
			},
			func(o prepare.Outcome, err error) Message {
				return prepared{key: e.Job.Key, gen: e.Gen, outcome: o, err: err}
			})
	case RaisePrepare:
		_ = sh.cfg.Prepare.From(c).Control(prepare.Raise{Job: e.Job, Priority: e.Priority, Budget: e.Budget, Marks: e.Marks, By: e.By})
	case CancelPrepare:
		_ = sh.cfg.Prepare.From(c).Control(prepare.Cancel{Job: e.Job})
	case StartExecute: // what it waited for may have been begun by another
		defer c.Because(c.Because(e.Job.Cause))
		var left kernel.Reply[run.Trail]
		if self, id := c.Self(), e.Job.Run; e.Left {
			left = kernel.ReplyFunc(func(t run.Trail, _ error) { _ = self.Control(trailed{id: id, trail: t}) })
		}
		kernel.Request(c, sh.cfg.Execute,
			func(r kernel.Reply[run.Outcome]) execute.Message {
				return execute.Enqueue{Job: e.Job, Reply: r, Left: left}
			},
			func(o run.Outcome, err error) Message { return executed{id: e.Job.Run, outcome: o, err: err} })
	case RaiseExecute:
		_ = sh.cfg.Execute.From(c).Control(execute.Raise{Run: e.Run, Priority: e.Priority})
	case CancelExecute:
		_ = sh.cfg.Execute.From(c).Control(execute.Cancel{Run: e.Run})
	case Release:
		if sh.cfg.Forget != nil {
			sh.cfg.Forget(e.Key, e.Tenant)
		}
		_ = sh.cfg.Execute.From(c).Control(execute.Release{Key: e.Key, Tenant: e.Tenant})
	case Retried:
		sh.cfg.Observe.Retried(e.Fault)
	case Quarantined:
		sh.cfg.Observe.Quarantined()
	case Reply:
		sh.answered(e)
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(e.Answer)
	case Left:
		e.To.Answer(e.Trail)
	case Stand:
		e.To.Answer(e.Standings)
	case HasRevoked:
		e.To.Answer(e.N)
	case Requeue:
		c.Requeue(e.Message)
	case Accept:
		e.To.Answer(struct{}{})
	case Listed:
		e.To.Answer(e.Artifacts)
	case Shown:
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(e.Detail)
	case Done:
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(struct{}{})
	case HasPruned:
		sh.cfg.Store.SetOverLimit(e.Pruned.OverLimit)
		if e.Pruned.OverLimit {
			c.Log().Warn().Int64("bytes", e.Pruned.KeptBytes).Msg("what is pinned or in use exceeds the cache limit; new artifacts are kept in memory only")
		}
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(e.Pruned)
	default:
		sh.doStore(c, e)
	}
}

// answered tells of the answer to a request.
func (sh *shell) answered(e Reply) {
	if e.Err != nil {
		sh.cfg.Observe.Answered(e.Kind, fault.From(e.Err))
		return
	}
	sh.cfg.Observe.Asked(e.Kind, e.Answer.Hit)
	sh.cfg.Observe.Answered(e.Kind, e.Answer.Outcome.Fault)
}

// removed tells of what was removed; what was kept comes back to the table.
func (sh *shell) removed(gone []Gone, kept []artifacts.Key) {
	for _, g := range gone {
		if !slices.Contains(kept, g.Key) {
			sh.cfg.Observe.Removed(g.Why, 1, g.Bytes)
		}
	}
}

// unobserved tells nobody.
type unobserved struct{}

func (unobserved) Asked(Kind, bool)            {}
func (unobserved) Answered(Kind, *fault.Error) {}
func (unobserved) Removed(string, int, int64)  {}
func (unobserved) Retried(*fault.Error)        {}
func (unobserved) Quarantined()                {}

// doStore carries out the effects that go to the store.
func (sh *shell) doStore(c *kernel.Ctx[Message], e Effect) {
	st := sh.cfg.Store
	switch e := e.(type) {
	case StorePut:
		sh.store(c, func(ctx context.Context) Message {
			if e.MemoryOnly {
				st.SetOverLimit(true)
			}
			n, err := st.Put(ctx, e.Meta, e.Ticket, e.MemoryOnly)
			return stored{key: e.Meta.Key, gen: e.Gen, bytes: n, err: err}
		})
	case StoreAgain:
		sh.store(c, func(ctx context.Context) Message {
			n, err := st.PutAgain(ctx, e.Key)
			return stored{key: e.Key, gen: e.Gen, bytes: n, err: err}
		})
	case Describe:
		c.Go(func(ctx context.Context) Message { // it changes nothing, so it waits for nothing
			m, err := st.Describe(ctx, e.Key)
			return described{key: e.Key, gen: e.Gen, meta: m, err: err}
		})
	case Discard:
		st.Discard(e.Ticket)
	case Touch:
		st.Touch(e.Key, c.Now())
	case StoreFailure:
		sh.store(c, func(ctx context.Context) Message {
			if err := st.PutFailure(ctx, e.Key, e.Failure); err != nil {
				c.Log().Warn().Err(err).Msg("a failed preparation could not be stored")
			}
			return done{}
		})
	case Delete:
		sh.store(c, func(ctx context.Context) Message {
			keys := make([]artifacts.Key, len(e.Gone))
			for n, g := range e.Gone {
				keys[n] = g.Key
			}
			kept, err := st.Delete(ctx, keys)
			sh.removed(e.Gone, kept)
			if err != nil {
				c.Log().Warn().Err(err).Int("artifacts", len(kept)).Msg("artifacts could not be removed; it is tried again when the cache is pruned")
			}
			return deleted{gone: e.Gone, kept: kept, err: err, evict: e.Evict, evicted: e.Evicted, prune: e.Prune, report: e.Report, pruned: e.Pruned}
		})
	case StartVerify:
		sh.store(c, func(ctx context.Context) Message {
			return verified{key: e.Key, gen: e.Gen, err: st.Verify(ctx, e.Key), reply: e.Reply}
		})
	case StartPin:
		sh.store(c, func(ctx context.Context) Message {
			return pinned{pin: e.Pin, err: st.Pin(ctx, e.Pin.Tenant, e.Pin.Key, e.Pin.Off)}
		})
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "cache", "", nil)).Msg("an effect without a hand")
	}
}
