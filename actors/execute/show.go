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
		state := "idle"
		switch {
		case w.closing != "":
			state = "closing"
		case !w.up:
			state = "starting"
		case w.run != nil:
			state = "busy"
		}
		if w.run != nil {
			q.Running++
		}
		ws = append(ws, inspect.Worker{ID: kernel.Numbered("worker", w.name), Kind: "execute", PID: w.pid, State: state,
			Tenant: w.binding.Tenant, Artifact: w.binding.Key.String(), Runs: w.runs, Since: w.since, Sandbox: w.sandbox})
	}
	return Snapshot{Queue: q, Workers: ws}
}
