package host

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/internal/lanes"
	"github.com/troupehost/troupe/host/internal/pool"
)

// silentAfter is how long an actor may take to say how it stands. It is asked on its control lane, so that only a handler that takes
// longer keeps it from that.
const silentAfter = time.Second

// onlooker is an actor for those who ask how it stands: that they did shows nowhere.
func onlooker[M any](r kernel.Ref[M]) kernel.Bound[M] { return r.From(kernel.Onlooker()) }

// asked is a question to an actor that is under way: on the control lane, which no full mailbox and no pause closes.
func asked[M, R any](h *Host, to kernel.Bound[M], build func(kernel.Reply[R]) M) (wait func(context.Context) (R, error)) {
	type answer struct {
		r   R
		err error
	}
	got := make(chan answer, 1)
	if err := to.Control(build(kernel.ReplyFunc(func(r R, err error) { got <- answer{r, err} }))); err != nil {
		return func(context.Context) (none R, _ error) { return none, err }
	}
	return func(ctx context.Context) (none R, _ error) {
		select {
		case a := <-got:
			return a.r, a.err
		case <-ctx.Done():
			return none, fault.From(context.Cause(ctx))
		case <-h.done:
			return none, fault.New(fault.CallerClosed, "host", h.cfg.Name, h.err)
		}
	}
}

// parts gathers what actors say. Those that do not answer in time are left out, and named.
type parts struct {
	ctx    context.Context
	silent []string
	err    error // of the caller, or of the host
}

func take[R any](p *parts, name string, wait func(context.Context) (R, error)) R {
	r, err := wait(p.ctx)
	switch {
	case err == nil:
	case fault.CodeOf(err) == fault.CallerClosed:
		p.err = err
	default:
		p.silent = append(p.silent, name)
	}
	return r
}

// health says who did not answer.
func (p *parts) health(now time.Time) []inspect.Health {
	if len(p.silent) == 0 {
		return nil
	}
	return []inspect.Health{{Code: "inspect.partial", Level: "warning", Since: now, Message: "these did not say how they stand: " + strings.Join(p.silent, ", "),
		Hint: "'troupe actor show' says what they are doing"}}
}

// seen is how the host stands, by all who know a part of it, at one moment or shortly after one another.
type seen struct {
	at       time.Time
	prepare  inspect.Queue
	execute  execute.Snapshot
	jobs     inspect.Queue
	asks     []cache.Standing
	flights  []jobs.Flight
	rides    []pool.Ride
	waiting  []lanes.Waiting
	workers  []inspect.Worker
	parted   map[uint64]string // workers by job of the prepare queue
	jobOf    map[uint64]*jobs.Flight
	instance map[uint64]uint64 // by run
}

// see asks all who know of runs and workers.
func (h *Host) see(ctx context.Context) (*seen, error) {
	s := &seen{at: time.Now()}
	asks := asked(h, onlooker(h.cache), func(r kernel.Reply[[]cache.Standing]) cache.Message { return cache.Underway{Reply: r} })
	flights := asked(h, onlooker(h.jobs), func(r kernel.Reply[[]jobs.Flight]) jobs.Message { return jobs.Underway{Reply: r} })
	q := h.askQueues()
	within, cancel := context.WithTimeout(ctx, silentAfter)
	defer cancel()
	p := &parts{ctx: within}
	s.asks, s.flights = take(p, "cache", asks), take(p, "jobs", flights)
	s.prepare, s.execute, s.jobs = q.take(p)
	if ctx.Err() != nil {
		return nil, fault.From(context.Cause(ctx))
	}
	s.look(h)
	return s, p.err
}

// look fills in what is known without a question.
func (s *seen) look(h *Host) {
	s.rides, s.waiting, s.parted = h.pool.Rides(), h.lanes.Waiting(), h.pool.Preparing()
	s.instance = h.apps.instanceRuns()
	s.jobOf = make(map[uint64]*jobs.Flight, len(s.flights))
	for n := range s.flights {
		s.jobOf[s.flights[n].Run] = &s.flights[n]
	}
	h.showPreparing(&s.prepare, s.parted)
	s.workers = h.showWorkers(s)
}

// askedQueues are the questions to the three queues.
type askedQueues struct {
	prepare func(context.Context) (inspect.Queue, error)
	execute func(context.Context) (execute.Snapshot, error)
	jobs    func(context.Context) (inspect.Queue, error)
}

func (h *Host) askQueues() askedQueues {
	return askedQueues{
		prepare: asked(h, onlooker(h.prepare), func(r kernel.Reply[inspect.Queue]) prepare.Message { return prepare.Inspect{Reply: r} }),
		execute: asked(h, onlooker(h.execute), func(r kernel.Reply[execute.Snapshot]) execute.Message { return execute.Inspect{Reply: r} }),
		jobs:    asked(h, onlooker(h.jobs), func(r kernel.Reply[inspect.Queue]) jobs.Message { return jobs.Inspect{Reply: r} }),
	}
}

func (q askedQueues) take(p *parts) (inspect.Queue, execute.Snapshot, inspect.Queue) {
	return take(p, queuePrepare, q.prepare), take(p, queueExecute, q.execute), take(p, queueJobs, q.jobs)
}

// showPreparing names processes and actors of the preparations that run.
func (h *Host) showPreparing(q *inspect.Queue, workers map[uint64]string) {
	for n := range q.Preparations {
		p := &q.Preparations[n]
		p.Worker = workers[p.Job]
		if p.Actor != "" {
			p.Actor = h.actorPath(p.Actor)
		}
	}
}

// actorPath is the whole path of an actor below the root.
func (h *Host) actorPath(below string) string {
	return strings.TrimSuffix(h.execute.Path(), queueExecute) + below
}

// lastOf returns the last step of a trail, and when it began.
func lastOf(t run.Trail, otherwise run.Step) run.Step {
	if len(t) == 0 {
		return otherwise
	}
	return t[len(t)-1]
}

// standing finds where a run stands in the execute queue.
func (s *seen) standing(id uint64) *execute.Standing {
	n, ok := slices.BinarySearchFunc(s.execute.Runs, id, func(st execute.Standing, id uint64) int {
		switch {
		case st.Run < id:
			return -1
		case st.Run > id:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &s.execute.Runs[n]
}
