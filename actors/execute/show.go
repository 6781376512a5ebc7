package execute

import (
	"cmp"
	"slices"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

func (s *State) sorted() []*worker {
	out := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *worker) int { return cmp.Compare(a.name, b.name) })
	return out
}

func (s *State) show() Snapshot {
	q := inspect.Queue{Name: "execute", Cap: s.limits.Queue, Parked: map[string]int{}, Workers: len(s.workers),
		Soft: s.limits.Soft, Hard: s.limits.Hard, Refused: s.refused}
	for p := run.Background; p <= run.Critical; p++ {
		q.Parked[p.String()] = s.classes[p].n
	}
	for _, i := range s.claims {
		q.Parked[i.Priority.String()]++
	}
	s.each(func(i *item) {
		if q.OldestAt.IsZero() || i.since.Before(q.OldestAt) {
			q.OldestAt = i.since
		}
	})
	var ws []inspect.Worker
	for _, w := range s.sorted() {
		if w.run != nil {
			q.Running++
		}
		ws = append(ws, inspect.Worker{ID: kernel.Numbered("worker", w.name), Kind: "execute", PID: w.pid, State: w.state(),
			Tenant: w.binding.Tenant, Artifact: w.binding.Key.String(), Runs: w.runs, Since: w.since, Sandbox: w.sandbox})
	}
	return Snapshot{Queue: q, Workers: ws}
}

// state is what is shown of a worker.
func (w *worker) state() string {
	switch {
	case w.closing != "" && w.run != nil:
		return "stopping"
	case w.closing != "":
		return "closing"
	case !w.up:
		return "starting"
	case w.run != nil:
		return "busy"
	}
	return "idle"
}
