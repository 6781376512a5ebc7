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
	q.Paused, q.PausedSince = s.paused, s.since
	var ws []inspect.Worker
	for _, w := range s.sorted() {
		if w.run != nil {
			q.Running++
		}
		ws = append(ws, inspect.Worker{ID: w.id, Kind: "execute", PID: w.pid, State: w.shown(), Tenant: w.binding.Tenant, App: w.binding.App,
			Artifact: w.binding.Key.String(), Runs: w.runs, Since: w.since, Sandbox: w.sandbox, Recycle: w.ending(), Actor: w.actor()})
	}
	return Snapshot{Queue: q, Workers: ws, Runs: s.standings()}
}

// shown is what is shown of a worker. What one that is lent does, its lease knows.
func (w *worker) shown() string {
	if w.lease != kept {
		return "idle"
	}
	return w.state()
}

// ride adds what a worker does and did while it is lent.
func (s *Snapshot) ride(worker uint64, r Rides) {
	for n := range s.Workers {
		w := &s.Workers[n]
		if kernel.Number(w.Actor) != worker {
			continue
		}
		w.Runs += r.Ended
		w.Sandbox = cmp.Or(r.Sandbox, w.Sandbox)
		if r.Last.After(w.Since) {
			w.Since = r.Last
		}
		if r.UnderWay > 0 {
			w.State = "busy"
		}
	}
	s.Queue.Running += r.UnderWay
}

// state names the state of a worker.
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
	case w.lease == lent:
		return "lent"
	case w.lease == recalled:
		return "recalled"
	}
	return "idle"
}
