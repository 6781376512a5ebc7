package jobs

import (
	"context"
	"sync"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// Config is what the actor needs.
type Config struct {
	Limits
	Journal Journal
	Runner  Runner
	Cache   kernel.Ref[cache.Message]
	// Paused says which pauses the host holds; it is called when an incarnation begins. Nil: none, ever.
	Paused func() Pause
	// Stuck is told why what was settled cannot be written, and nil when it can again. It must not block.
	Stuck func(why *fault.Error)
}

// Spawn starts the jobs actor.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	sh := &shell{cfg: cfg, runs: map[uint64]struct{}{}}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:     "jobs",
		Mailbox:  8192,
		Requests: 2*NewState(cfg.Limits).limits.Active + 16, // each is a job under way
		Tasks:    1 << 20,                                   // each is a write of the core's, or belongs to a job under way
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			// What an earlier incarnation began has nobody to come to.
			for _, run := range sh.takeOver(c.Incarnation()) {
				sh.depart(run)
				sh.close(c, run)
			}
			sh.load(c)
			if cfg.Paused != nil {
				if p := cfg.Paused(); p.Paused || p.Held {
					_ = c.Self().Control(p)
				}
			}
			core := kernel.RunCore(NewState(cfg.Limits), sh.do)
			return kernel.HandlerFunc[Message](func(c *kernel.Ctx[Message], m Message) {
				switch p := m.(type) {
				case done:
					return
				case Pause: // whichever comes last says what holds now
					if cfg.Paused != nil {
						held := cfg.Paused()
						held.Reply = p.Reply
						m = held
					}
				}
				core.Receive(c, m)
			})
		},
	})
}

// done is the end of what nobody waits for.
type done struct{}

func (done) jobsMessage() {}

// shell carries out effects. It outlives incarnations.
type shell struct {
	cfg    Config
	writes sync.WaitGroup // on their way to the disk

	mu          sync.Mutex
	incarnation uint64
	runs        map[uint64]struct{} // opened and not closed
}

// takeOver returns what earlier incarnations have opened; what they open from now on is closed at once.
func (sh *shell) takeOver(incarnation uint64) []uint64 {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.incarnation = incarnation
	var runs []uint64
	for run := range sh.runs {
		runs = append(runs, run)
	}
	clear(sh.runs)
	return runs
}

func (sh *shell) opened(incarnation, run uint64) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if incarnation == sh.incarnation {
		sh.runs[run] = struct{}{}
	}
	return incarnation == sh.incarnation
}

func (sh *shell) depart(run uint64) {
	_ = sh.cfg.Cache.Control(cache.Depart{ID: run}) // a stopped cache has answered
}

func (sh *shell) close(c *kernel.Ctx[Message], run uint64) {
	sh.mu.Lock()
	delete(sh.runs, run)
	sh.mu.Unlock()
	c.Go(func(context.Context) Message {
		sh.cfg.Runner.Close(run)
		return done{}
	})
}

// load reads the journal when all that was to be written is.
func (sh *shell) load(c *kernel.Ctx[Message]) {
	c.Go(func(ctx context.Context) Message {
		sh.writes.Wait()
		records, kept, err := sh.cfg.Journal.Load(ctx)
		if err != nil {
			c.Log().Error().Err(err).Msg("the jobs could not be read; it is tried again")
		}
		return loaded{records, kept, err}
	})
}

// write runs a change of the disk beside the actor. What was begun is ended, whatever happens to the actor.
func (sh *shell) write(c *kernel.Ctx[Message], op func(context.Context) Message) {
	sh.writes.Add(1)
	c.Go(func(ctx context.Context) Message {
		defer sh.writes.Done()
		return op(context.WithoutCancel(ctx))
	})
}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case Load:
		sh.load(c)
	case Write:
		defer c.Because(c.Because(causeOf(e.Record.Cause)))
		sh.write(c, func(ctx context.Context) Message {
			over, err := sh.cfg.Journal.Write(ctx, e.Record, e.Body, e.Out)
			return wrote{id: e.Record.ID, over: over, err: err}
		})
	case Erase:
		sh.write(c, func(ctx context.Context) Message { return erased{ids: e.IDs, err: sh.cfg.Journal.Erase(ctx, e.IDs)} })
	case SaveClock:
		sh.write(c, func(ctx context.Context) Message {
			if err := sh.cfg.Journal.SaveClock(ctx, e.Kept); err != nil {
				c.Log().Warn().Err(err).Msg("the clock of the jobs could not be saved")
			}
			return done{}
		})
	case Open: // the end of another may have made room for it
		defer c.Because(c.Because(causeOf(e.Record.Cause)))
		incarnation := c.Incarnation()
		c.Go(func(ctx context.Context) Message {
			r, err := sh.cfg.Runner.Open(ctx, e.Record, e.WithCode)
			if err == nil && !sh.opened(incarnation, r.ID) {
				sh.cfg.Runner.Close(r.ID)
			}
			return opened{id: e.Record.ID, request: r, err: err}
		})
	case Start:
		defer c.Because(c.Because(e.Request.Cause))
		self, id, request := c.Self(), e.ID, e.Request.ID
		e.Request.Left = kernel.ReplyFunc(func(t run.Trail, _ error) { _ = self.Control(trailed{id: id, run: request, trail: t}) })
		kernel.Request(c, sh.cfg.Cache,
			func(r kernel.Reply[cache.Answer]) cache.Message { return cache.Ask{Request: e.Request, Reply: r} },
			func(a cache.Answer, err error) Message {
				return ended{id: e.ID, run: e.Request.ID, answer: a, err: err}
			})
	case Close:
		sh.close(c, e.Run)
	case Depart:
		sh.depart(e.Run)
	case RaiseRun:
		_ = sh.cfg.Cache.From(c).Control(cache.Raise{ID: e.Run, Priority: e.Priority, By: e.By})
	case Wake:
		c.After(e.After, tick{})
	case Stuck:
		if e.Why != nil {
			c.Log().Warn().Err(e.Why).Msg("a change of a job could not be written; it is tried again")
		}
		sh.cfg.Stuck(e.Why)
	case Refuse:
		if m, ok := e.Message.(interface{ Failed(error) }); ok {
			m.Failed(e.Err)
		}
	case Requeue:
		c.Requeue(e.Message)
	case Reply:
		give(e.To, e.Job, e.Err)
	case Listed:
		give(e.To, e.Page, e.Err)
	case Counted:
		e.To.Answer(e.States)
	case Revoked:
		give(e.To, e.N, e.Err)
	case Drained:
		e.To.Answer(struct{}{})
	case Done:
		e.To.Answer(struct{}{})
	case Shown:
		e.To.Answer(e.Queue)
	case Flown:
		e.To.Answer(e.Flights)
	case HasTraced:
		give(e.To, e.Traced, e.Err)
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "jobs", "", nil)).Msg("an effect without a hand")
	}
}

// causeOf is the cause in a record, or the zero Cause if there is none.
func causeOf(text string) kernel.Cause {
	if text == "" {
		return kernel.Cause{}
	}
	cause, _ := kernel.ParseCause(text) // one that is damaged is none
	return cause
}

func give[R any](to kernel.Reply[R], r R, err error) {
	if err != nil {
		to.Fail(err)
		return
	}
	to.Answer(r)
}
