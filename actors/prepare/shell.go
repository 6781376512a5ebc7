package prepare

import (
	"cmp"
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// Config is what the actor needs.
type Config struct {
	Limits
	Preparer Preparer
	Observe  Observer // nil: nobody is told

	// Paused says since when the host holds a pause of the queue; zero: it does not. It is called when an incarnation begins. Nil: never.
	Paused func() time.Time

	Mailbox int // messages that may wait. Default: Limits.Queue, at least 256
}

// Spawn starts the prepare actor.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	if cfg.Observe == nil {
		cfg.Observe = unobserved{}
	}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:    "prepare",
		Mailbox: cmp.Or(cfg.Mailbox, max(cfg.Queue, 256)),
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			sh := &shell{cfg: cfg, workers: map[uint64]kernel.Ref[workerMessage]{}}
			core := kernel.RunCore(NewState(cfg.Limits), sh.do)
			if cfg.Paused != nil {
				if since := cfg.Paused(); !since.IsZero() {
					_ = c.Self().Control(Pause{Since: since})
				}
			}
			return kernel.HandlerFunc[Message](func(c *kernel.Ctx[Message], m Message) {
				switch e := m.(type) {
				case exited:
					delete(sh.workers, e.Worker)
				case Pause: // whichever comes last says what holds now
					if cfg.Paused != nil {
						e.Since = cfg.Paused()
						e.Off = e.Since.IsZero()
						m = e
					}
				}
				core.Receive(c, m)
			})
		},
		OnExit: func(path string, err error) Message {
			killed := fault.CodeOf(err) == fault.CanceledRevoked
			return exited{Worker: kernel.Number(path), Failed: err != nil && !killed, Killed: killed}
		},
	})
}

type shell struct {
	cfg     Config
	workers map[uint64]kernel.Ref[workerMessage]
}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case StartWorker:
		sh.cfg.Observe.Queued(e.Job.Priority, e.Waited)
		sh.start(c, e)
	case StopWorker:
		sh.workers[e.Worker].Stop()
	case Raised:
		sh.cfg.Observe.Raised(e.From, e.To)
	case Answer:
		sh.ended(e)
		if e.Err != nil {
			e.Reply.Fail(e.Err)
			return
		}
		e.Reply.Answer(e.Outcome)
	case Steer:
		how := sh.cfg.Preparer.Steer(e.Job, e.Steering)
		_ = c.Self().From(c).Control(steered{Worker: e.Worker, Turn: e.Turn, How: how})
	case Tell:
		e.Passed(e.Used)
	case Discard:
		sh.cfg.Preparer.Discard(e.Ticket)
	case Requeue:
		c.Requeue(e.Message)
	case AllCanceled:
		e.Reply.Answer(struct{}{})
	case Done:
		e.Reply.Answer(struct{}{})
	case Purged:
		e.Reply.Answer(e.N)
	case Show:
		e.Reply.Answer(e.Queue)
	case WakeAfter:
		c.After(e.Delay, wake{})
	}
}

// ended tells of the end of a job that was accepted.
func (sh *shell) ended(e Answer) {
	if e.Priority == 0 {
		return
	}
	if e.Err != nil {
		e.Outcome.Fault = fault.From(e.Err)
	}
	sh.cfg.Observe.Ended(e.Priority, e.Outcome)
}

// unobserved tells nobody.
type unobserved struct{}

func (unobserved) Queued(run.Priority, time.Duration) {}
func (unobserved) Ended(run.Priority, Outcome)        {}
func (unobserved) Raised(_, _ run.Priority)           {}

// workerMessage is what a worker actor receives: the result of its one job.
type workerMessage struct{ ended }

// start spawns the actor that owns one worker process: it lives as long as the process, and the process dies with it.
func (sh *shell) start(c *kernel.Ctx[Message], e StartWorker) {
	defer c.Because(c.Because(e.Job.Cause)) // it may have waited for the end of another
	self := c.Self()
	ref, err := kernel.Spawn(c, kernel.Options[workerMessage]{
		Name:     kernel.Numbered("worker", e.Worker),
		Kind:     "prepare worker",
		Killable: true,
		New: func(w *kernel.Ctx[workerMessage]) kernel.Handler[workerMessage] {
			w.Log().Debug().Uint64("job", e.Job.ID).Str("code_hash", e.Job.Code.String()).Stringer("priority", e.Job.Priority).Msg("preparing")
			w.Go(func(ctx context.Context) workerMessage {
				self := self.From(kernel.OriginOf(ctx))
				o := sh.cfg.Preparer.Prepare(ctx, e.Job, func(used Budget) { _ = self.Control(passed{Worker: e.Worker, Used: used}) })
				return workerMessage{ended{Worker: e.Worker, Outcome: o, discard: sh.cfg.Preparer.Discard}}
			})
			return kernel.HandlerFunc[workerMessage](func(w *kernel.Ctx[workerMessage], m workerMessage) {
				_ = self.From(w).Control(m.ended)
				w.Stop()
			})
		},
		Restart: kernel.Policy{Temporary: true},
	})
	if err != nil {
		_ = self.From(c).Control(exited{Worker: e.Worker, Failed: true})
		return
	}
	sh.workers[e.Worker] = ref
}
