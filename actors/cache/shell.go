package cache

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
)

// Config is what the actor needs.
type Config struct {
	Limits
	PruneEvery time.Duration
	Mailbox    int // requests that may wait to be looked at; default 1024
	Store      Store
	Prepare    kernel.Ref[prepare.Message]
	Execute    kernel.Ref[execute.Message]
}

// Spawn starts the cache actor and its pruner.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	if cfg.Mailbox == 0 {
		cfg.Mailbox = 1024
	}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:     "cache",
		Mailbox:  cfg.Mailbox,
		Requests: 1 << 16, // each belongs to an unanswered Ask, of which the queues below admit fewer
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			sh := &shell{cfg: cfg}
			sh.store(c, func(ctx context.Context) Message {
				entries, err := cfg.Store.Index(ctx)
				return indexed{entries, err}
			})
			if err := spawnPruner(c, cfg.PruneEvery); err != nil {
				c.Log().Error().Err(err).Msg("the pruner could not be started")
			}
			sh.core = kernel.RunCore(NewState(cfg.Limits), sh.do)
			return sh
		},
	})
}

// Receive implements kernel.Handler.
func (sh *shell) Receive(c *kernel.Ctx[Message], m Message) {
	switch m := m.(type) {
	case storeDone:
		sh.next(c)
		if m.then != nil {
			sh.core.Receive(c, m.then)
		}
	case indexed:
		sh.next(c)
		if m.err != nil {
			c.Log().Error().Err(m.err).Msg("the artifact index could not be read; the cache starts empty")
		}
		sh.core.Receive(c, m)
	default:
		sh.core.Receive(c, m)
	}
}

// Stopping carries out what was acknowledged and waits its turn: a removal that an operator was told of happens.
func (sh *shell) Stopping(*kernel.Ctx[Message]) {
	for _, op := range sh.queue {
		if f, ok := op(context.Background()).(interface{ Failed(error) }); ok {
			f.Failed(fault.New(fault.CanceledStopped, "cache", "", nil))
		}
	}
	sh.queue = nil
}

// storeDone is the end of a store operation, with the message that it leads to, if any.
type storeDone struct{ then Message }

func (storeDone) cacheMessage() {}

// Failed passes the news on to whoever waits.
func (m storeDone) Failed(err error) {
	if f, ok := m.then.(interface{ Failed(error) }); ok {
		f.Failed(err)
	}
}

type shell struct {
	cfg   Config
	core  kernel.Handler[Message]
	busy  bool // a store operation is under way
	queue []func(context.Context) Message
}

// store runs an operation beside the actor, after those before it.
func (sh *shell) store(c *kernel.Ctx[Message], op func(context.Context) Message) {
	if sh.busy {
		sh.queue = append(sh.queue, op)
		return
	}
	sh.busy = true
	c.Go(func(ctx context.Context) Message { return op(context.WithoutCancel(ctx)) }) // what was begun is ended
}

func (sh *shell) next(c *kernel.Ctx[Message]) {
	sh.busy = false
	if len(sh.queue) > 0 {
		op := sh.queue[0]
		sh.queue = sh.queue[1:]
		sh.store(c, op)
	}
}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case StartPrepare:
		kernel.Request(c, sh.cfg.Prepare,
			func(r kernel.Reply[prepare.Outcome]) prepare.Message { return prepare.Enqueue{Job: e.Job, Reply: r} },
			func(o prepare.Outcome, err error) Message {
				return prepared{key: e.Job.Key, gen: e.Gen, outcome: o, err: err}
			})
	case RaisePrepare:
		_ = sh.cfg.Prepare.Control(prepare.Raise{Job: e.Job, Priority: e.Priority})
	case CancelPrepare:
		_ = sh.cfg.Prepare.Control(prepare.Cancel{Job: e.Job})
	case StartExecute:
		kernel.Request(c, sh.cfg.Execute,
			func(r kernel.Reply[run.Outcome]) execute.Message { return execute.Enqueue{Job: e.Job, Reply: r} },
			func(o run.Outcome, err error) Message { return executed{id: e.Job.Run, outcome: o, err: err} })
	case CancelExecute:
		_ = sh.cfg.Execute.Control(execute.Cancel{Run: e.Run})
	case Release:
		_ = sh.cfg.Execute.Control(execute.Release{Key: e.Key})
	case Reply:
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(e.Answer)
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
		if e.Pruned.OverLimit {
			c.Log().Warn().Int64("bytes", e.Pruned.KeptBytes).Msg("what is pinned or in use exceeds the cache limit; new artifacts are kept in memory only")
		}
		e.To.Answer(e.Pruned)
	default:
		sh.doStore(c, e)
	}
}

// doStore carries out the effects that go to the store.
func (sh *shell) doStore(c *kernel.Ctx[Message], e Effect) {
	st := sh.cfg.Store
	switch e := e.(type) {
	case StorePut:
		sh.store(c, func(ctx context.Context) Message {
			onDisk, err := st.Put(ctx, e.Meta, e.Ticket, e.MemoryOnly)
			return storeDone{stored{key: e.Meta.Key, gen: e.Gen, disk: onDisk, err: err}}
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
			return storeDone{}
		})
	case Delete:
		sh.store(c, func(ctx context.Context) Message {
			if err := st.Delete(ctx, e.Keys); err != nil {
				c.Log().Warn().Err(err).Int("artifacts", len(e.Keys)).Msg("artifacts could not be removed")
			}
			return storeDone{}
		})
	case StartVerify:
		sh.store(c, func(ctx context.Context) Message {
			return storeDone{verified{key: e.Key, gen: e.Gen, err: st.Verify(ctx, e.Key), reply: e.Reply}}
		})
	case StartPin:
		sh.store(c, func(ctx context.Context) Message {
			return storeDone{pinned{pin: e.Pin, err: st.Pin(ctx, e.Pin.Tenant, e.Pin.Key, e.Pin.Off)}}
		})
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "cache", "", nil)).Msg("an effect without a hand")
	}
}
