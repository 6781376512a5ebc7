package execute

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// Config is what the actor needs.
type Config struct {
	Limits
	Workers Workers
	Leases  Leases   // nil: no worker is lent
	Observe Observer // nil: nobody

	// Paused says since when the host holds a pause of the queue; zero: it does not. It is called when an incarnation begins. Nil: never.
	Paused func() time.Time

	Mailbox int // messages that may wait. Default: Limits.Queue, at least 256
}

// Spawn starts the execute actor.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:    "execute",
		Mailbox: cmp.Or(cfg.Mailbox, max(cfg.Queue, 256)),
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			sh := &shell{port: cfg.Workers, leases: cfg.Leases, observe: cfg.Observe, paused: cfg.Paused, number: c.Incarnation(),
				workers: map[uint64]kernel.Ref[workerMessage]{}, up: map[uint64]Worker{}, lent: map[uint64]Lease{}}
			if sh.observe == nil {
				sh.observe = nobody{}
			}
			state := NewState(cfg.Limits)
			state.lends = cfg.Leases != nil
			sh.core = kernel.RunCore(state, sh.do)
			if cfg.Paused != nil {
				if since := cfg.Paused(); !since.IsZero() {
					_ = c.Self().Control(Pause{Since: since})
				}
			}
			return sh
		},
		OnExit: func(path string, err error) Message {
			return exited{Worker: kernel.Number(path), Failed: err != nil && fault.CodeOf(err) != fault.CanceledRevoked} // killed is not failed
		},
	})
}

// IO is the input and output of one run that a caller brings itself. A nil Stdin is at its end; a nil writer means: capture.
type IO struct {
	Input          []byte // of a Bytes entry
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Calls          run.Calls // nil: the guest can ask for nothing
}

type shell struct {
	core    kernel.Handler[Message]
	port    Workers
	leases  Leases // may be nil
	observe Observer
	paused  func() time.Time
	number  uint64 // of this incarnation
	workers map[uint64]kernel.Ref[workerMessage]
	up      map[uint64]Worker // those that were observed to have a process
	lent    map[uint64]Lease
	untick  func()
}

// Receive implements kernel.Handler.
func (sh *shell) Receive(c *kernel.Ctx[Message], m Message) {
	switch m := m.(type) {
	case ready:
		sh.up[m.Worker] = m.worker
		sh.observe.Spawned()
	case Pause: // whichever comes last says what holds now
		if sh.paused != nil {
			p := m
			p.Since = sh.paused()
			p.Off = p.Since.IsZero()
			sh.core.Receive(c, p)
			return
		}
	case returned:
		if m.incarnation != sh.number { // it ended with the one that lent it
			return
		}
		delete(sh.lent, m.Worker)
	case exited:
		delete(sh.workers, m.Worker)
	}
	sh.core.Receive(c, m)
}

// Stopping is called by the kernel: the workers end with the incarnation, and nobody hears of that.
func (sh *shell) Stopping(*kernel.Ctx[Message]) {
	for _, l := range sh.lent {
		l.Revoke()
	}
	for range sh.up {
		sh.observe.Closed(closedStopped)
	}
}

// nobody is the Observer that is there if no other is.
type nobody struct{}

func (nobody) Queued(run.Priority, time.Duration) {}
func (nobody) Ended(run.Priority, run.Outcome)    {}
func (nobody) Spawned()                           {}
func (nobody) Closed(string)                      {}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case StartWorker:
		sh.start(c, e)
	case RunOn: // it may have waited for the end of another
		defer c.Because(c.Because(e.Job.Cause))
		if err := sh.workers[e.Worker].From(c).Control(runJob{e.Job}); err != nil { // it is gone: exited follows and answers
			sh.workers[e.Worker].Stop()
		}
	case StopWorker:
		sh.workers[e.Worker].Stop()
	case Answer:
		if e.Err != nil {
			e.Outcome.Fault = fault.From(e.Err)
			e.Left.Answer(e.Trail)
			e.Reply.Fail(e.Err)
		} else {
			e.Reply.Answer(e.Outcome)
		}
		if e.Priority != 0 {
			sh.observe.Ended(e.Priority, e.Outcome)
		}
	case Began:
		sh.observe.Queued(e.Priority, e.Waited)
	case Gone:
		delete(sh.up, e.Worker)
		delete(sh.lent, e.Worker)
		sh.observe.Closed(e.Reason)
	case Grant:
		sh.lend(c, e)
	case Revoke:
		if l := sh.lent[e.Worker]; l != nil {
			l.Revoke()
		}
	case Room:
		sh.leases.Room(e.Slots)
	case Requeue:
		c.Requeue(e.Message)
	case Show:
		for w, l := range sh.lent {
			e.Snapshot.ride(w, l.Rides())
		}
		e.Reply.Answer(e.Snapshot)
	case Done:
		if e.Err != nil {
			e.Reply.Fail(e.Err)
			return
		}
		e.Reply.Answer(struct{}{})
	case Purged:
		e.Reply.Answer(e.N)
	case TickAt:
		if sh.untick != nil {
			sh.untick()
		}
		sh.untick = c.After(max(0, e.At.Sub(c.Now())), tick{})
	}
}

// lend lends a worker. Its return comes as a message, whoever brings it.
func (sh *shell) lend(c *kernel.Ctx[Message], e Grant) {
	self, number := c.Self().From(c), sh.number
	back := func(r Returned) { _ = self.Control(returned{Worker: e.Worker, Returned: r, incarnation: number}) }
	sh.lent[e.Worker] = sh.leases.Grant(sh.up[e.Worker], e.Binding, back)
}

// workerMessage is what a worker actor receives.
type workerMessage interface{ workerMessage() }

type (
	runJob  struct{ job Job }
	started struct {
		worker Worker
		err    error
	}
	ran struct {
		job     Job
		outcome run.Outcome
		alive   bool
	}
	died struct{}
)

func (runJob) workerMessage()  {}
func (started) workerMessage() {}
func (ran) workerMessage()     {}
func (died) workerMessage()    {}

// workerActor drives one worker process: it gives it one run after another, and ends with it.
type workerActor struct {
	name   uint64
	parent kernel.Ref[Message]
	worker Worker
	first  Job
	busy   bool
}

func (sh *shell) start(c *kernel.Ctx[Message], e StartWorker) {
	defer c.Because(c.Because(e.Job.Cause))
	self := c.Self() // of the queue
	ref, err := kernel.Spawn(c, kernel.Options[workerMessage]{
		Name:     kernel.Numbered("worker", e.Worker),
		Kind:     "execute worker",
		Killable: true,
		New: func(w *kernel.Ctx[workerMessage]) kernel.Handler[workerMessage] {
			actor := w.Self()
			w.Go(func(ctx context.Context) workerMessage { return own(ctx, sh.port, e.Job.Binding, actor) })
			return &workerActor{name: e.Worker, parent: self, first: e.Job, busy: true}
		},
		Restart: kernel.Policy{Temporary: true},
	})
	if err != nil {
		_ = self.From(c).Control(exited{Worker: e.Worker, Failed: true})
		return
	}
	sh.workers[e.Worker] = ref
}

// own holds a process from its start until it is reaped. It is one task of the worker actor, which has not ended before it
// returns: the slot is free, and System.Stop returns, when the process is gone.
func own(ctx context.Context, port Workers, b Binding, actor kernel.Ref[workerMessage]) workerMessage {
	p, err := port.Start(ctx, b)
	if err != nil {
		return started{err: err}
	}
	self := actor.From(kernel.OriginOf(ctx))
	_ = self.Control(started{worker: p}) // refused when the actor stops: then ctx ends
	select {
	case <-p.Dead(): // the actor stops as soon as no run needs to say what it saw of that
		_ = self.Control(died{})
		<-ctx.Done()
	case <-ctx.Done():
	}
	p.Close()
	return died{}
}

// Receive implements kernel.Handler.
func (a *workerActor) Receive(c *kernel.Ctx[workerMessage], m workerMessage) {
	switch m := m.(type) {
	case started:
		if m.err != nil {
			_ = a.parent.From(c).Control(unstarted{Worker: a.name, Fault: fault.From(m.err)})
			c.Stop()
			return
		}
		a.worker = m.worker
		_ = a.parent.From(c).Control(ready{Worker: a.name, PID: a.worker.PID(), ID: a.worker.ID(), worker: a.worker})
		a.run(c, a.first)
	case runJob:
		a.run(c, m.job)
	case ran:
		a.busy = false
		alive := m.alive && !a.dead()
		_ = a.parent.From(c).Control(finished{Worker: a.name, Run: m.job.Run, Outcome: m.outcome, Alive: alive})
		if !alive {
			c.Stop()
		}
	case died:
		if !a.busy {
			c.Stop()
		}
	}
}

func (a *workerActor) run(c *kernel.Ctx[workerMessage], j Job) {
	a.busy = true
	c.Log().Debug().Uint64("job", j.Run).Stringer("artifact", j.Binding.Key).Stringer("priority", j.Priority).Msg("executing")
	w := a.worker
	c.Go(func(ctx context.Context) workerMessage {
		out, alive := w.Run(ctx, j)
		return ran{j, out, alive}
	})
}

// dead reports whether the process has ended, though its last run may not have noticed.
func (a *workerActor) dead() bool {
	select {
	case <-a.worker.Dead():
		return true
	default:
		return false
	}
}
