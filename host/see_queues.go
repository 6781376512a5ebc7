package host

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
)

// The queues that operators know by name.
const (
	queuePrepare = "prepare"
	queueExecute = "execute"
	queueJobs    = "jobs"
)

// queuePaused is the warning that stands as long as a queue is paused.
const queuePaused = "queue.paused"

// pauses are held by the host, so that they outlive incarnations of the actors. Each actor is told that there is a change and asks
// what holds then, so that the order of the news does not matter.
type pauses struct {
	mu                     sync.Mutex // while actors are told
	prepare, execute, jobs pausedSince
}

// pausedSince is since when something is paused, in nanoseconds since 1970; 0: it is not.
type pausedSince struct{ at atomic.Int64 }

func (p *pausedSince) holds() bool { return p.at.Load() != 0 }

func (p *pausedSince) since() time.Time {
	if at := p.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// forJobs is what the jobs are told: they do not begin while their runs would be refused.
func (p *pauses) forJobs() jobs.Pause {
	return jobs.Pause{Paused: p.jobs.holds(), Held: p.execute.holds(), Since: p.jobs.since()}
}

func (p *pauses) of(name string) *pausedSince {
	switch name {
	case queuePrepare:
		return &p.prepare
	case queueExecute:
		return &p.execute
	case queueJobs:
		return &p.jobs
	}
	return nil
}

func noQueue(name string) *fault.Error {
	return fault.New(fault.CallerNotFound, "queue", fault.Quote(name), nil).WithHint("the queues are prepare, execute and jobs")
}

// PauseQueue has a queue accept and start nothing new: what comes is refused with busy.paused, leases of the execute queue are asked
// back, and what runs goes on. Durable jobs are accepted and journalled all the same, and do not begin while they or the execute
// queue are paused. A queue that is paused already stays so.
//
// # Errors
//
// caller.not_found.
func (h *Host) PauseQueue(ctx context.Context, name string) error { return h.setPause(ctx, name, true) }

// ResumeQueue has a queue accept and start again.
//
// # Errors
//
// caller.not_found.
func (h *Host) ResumeQueue(ctx context.Context, name string) error {
	return h.setPause(ctx, name, false)
}

func (h *Host) setPause(ctx context.Context, name string, on bool) error {
	p := h.pauses.of(name)
	if p == nil {
		return noQueue(name)
	}
	h.pauses.mu.Lock()
	defer h.pauses.mu.Unlock()
	switch {
	case on == p.holds():
	case on:
		p.at.Store(time.Now().UnixNano())
	default:
		p.at.Store(0)
	}
	h.showPauses()
	h.log.Info().Str("queue", name).Bool("paused", on).Msg("a queue was paused or resumed")
	var err error
	switch name {
	case queuePrepare:
		_ = h.cache.Control(cache.Pause{Off: !on}) // before the queue: what is announced is refused in time
		_, err = control(ctx, h, h.prepare, func(r kernel.Reply[struct{}]) prepare.Message { return prepare.Pause{Off: !on, Reply: r} })
	case queueExecute:
		if _, err = h.tellJobs(ctx); err == nil {
			_, err = control(ctx, h, h.execute, func(r kernel.Reply[struct{}]) execute.Message { return execute.Pause{Off: !on, Reply: r} })
		}
	case queueJobs:
		_, err = h.tellJobs(ctx)
	}
	return err
}

func (h *Host) tellJobs(ctx context.Context) (struct{}, error) {
	return control(ctx, h, h.jobs, func(r kernel.Reply[struct{}]) jobs.Message {
		p := h.pauses.forJobs()
		p.Reply = r
		return p
	})
}

// showPauses keeps the warning as it should be.
func (h *Host) showPauses() {
	var names []string
	for _, name := range [...]string{queuePrepare, queueExecute, queueJobs} {
		if h.pauses.of(name).holds() {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		h.health.clear(queuePaused)
		return
	}
	h.health.set(queuePaused, "an operator has paused: "+strings.Join(names, ", "), "'troupe queue resume' has it go on")
}

// takesRuns refuses a run while the execute queue is paused.
func (h *Host) takesRuns() error {
	if !h.pauses.execute.holds() {
		return nil
	}
	return fault.New(fault.BusyPaused, queueExecute, "", nil).WithRetryAfter(time.Second)
}

// PurgeQueue answers all that waits in a queue with canceled.host_stopped, and returns how many these were. Jobs that wait to begin
// are settled so, on disk; a job whose run waits in the prepare or execute queue goes back to where it waits to begin.
//
// # Errors
//
// caller.not_found, busy.disk_space, host.disk_full, host.disk_io.
func (h *Host) PurgeQueue(ctx context.Context, name string) (n int, err error) {
	switch name {
	case queuePrepare:
		n, err = control(ctx, h, h.prepare, func(r kernel.Reply[int]) prepare.Message { return prepare.Purge{Reply: r} })
	case queueExecute:
		n, err = control(ctx, h, h.execute, func(r kernel.Reply[int]) execute.Message { return execute.Purge{Reply: r} })
	case queueJobs:
		n, err = control(ctx, h, h.jobs, func(r kernel.Reply[int]) jobs.Message { return jobs.Purge{Reply: r} })
	default:
		return 0, noQueue(name)
	}
	h.log.Info().Str("queue", name).Int("purged", n).AnErr("err", err).Msg("a queue was purged")
	return n, err
}
