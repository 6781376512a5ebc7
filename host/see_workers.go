package host

import (
	"context"
	"strings"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// Workers returns all worker processes, with what each does and uses now, and what confines it. Ids are those of processes,
// "execute-12" or "prepare-3": unique in the life of the host.
func (h *Host) Workers(ctx context.Context) ([]inspect.Worker, error) {
	s, err := h.see(ctx)
	if err != nil {
		return nil, err
	}
	return s.workers, nil
}

// showWorkers joins what the pool, the queues and the rings know of workers.
func (h *Host) showWorkers(s *seen) []inspect.Worker {
	queued := make(map[string]*inspect.Worker, len(s.execute.Workers))
	for n := range s.execute.Workers {
		if w := &s.execute.Workers[n]; w.ID != "" {
			queued[w.ID] = w
		}
	}
	preparing := make(map[string]*inspect.Preparation, len(s.parted))
	for n := range s.prepare.Preparations {
		if p := &s.prepare.Preparations[n]; p.Worker != "" {
			preparing[p.Worker] = p
		}
	}
	out := h.pool.Look()
	at := make(map[string]*inspect.Worker, len(out))
	for n := range out {
		w := &out[n]
		at[w.ID] = w
		if q := queued[w.ID]; q != nil {
			w.App, w.Recycle, w.Actor = q.App, q.Recycle, h.actorPath(q.Actor)
		}
		if p := preparing[w.ID]; p != nil {
			w.Job, w.Actor = preparationID(p.Job), p.Actor
		}
	}
	for n := range s.rides {
		r := &s.rides[n]
		if w := at[r.Worker]; w != nil && r.Runs {
			w.Job, w.App = s.guestID(r.Job.Run), r.Job.Binding.App
		}
	}
	return out
}

// KillWorker kills a worker process. What it ran ends as it does when a worker dies of itself: it is suspect, and repeated once if
// nothing of it was seen yet.
//
// # Errors
//
// caller.not_found.
func (h *Host) KillWorker(_ context.Context, id string) error {
	err := h.pool.Kill(id)
	h.log.Info().Str("worker", id).AnErr("err", err).Msg("a worker was killed for an operator")
	return err
}

// RecycleWorker ends a worker as soon as it is idle. A prepare worker ends after its one job in any case.
//
// # Errors
//
// caller.not_found; caller.conflict for one that belongs to an instance of an app.
func (h *Host) RecycleWorker(ctx context.Context, id string) error {
	was, err := h.pool.Retire(id)
	if was || err != nil || strings.HasPrefix(id, queuePrepare+"-") {
		return err
	}
	_, err = control(ctx, h, h.execute, func(r kernel.Reply[struct{}]) execute.Message { return execute.Recycle{Process: id, Reply: r} })
	if fault.CodeOf(err) == fault.CallerNotFound { // it is there, and not of the queue
		return fault.New(fault.CallerConflict, "worker", fault.Quote(id), nil).WithHint("it belongs to an instance of an app, or starts: restart the app")
	}
	return err
}
