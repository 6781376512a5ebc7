package execute

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

func paused() *fault.Error {
	return fault.New(fault.BusyPaused, "execute", "", nil).WithRetryAfter(time.Second)
}

// pause has nothing accepted or started from now on, or again. Runs that have a slot and no worker yet are parked.
func (s *State) pause(now time.Time, m Pause) []Effect {
	if s.paused = !m.Off; m.Off {
		s.since = time.Time{}
		s.each(func(i *item) { i.waitTurn(now) })
		return []Effect{Done{Reply: m.Reply}}
	}
	if s.since = m.Since; s.since.IsZero() {
		s.since = now
	}
	claims := s.claims
	s.claims = nil
	for _, i := range slices.Backward(claims) {
		s.repark(now, i)
	}
	s.each(func(i *item) {
		i.trail = i.trail.Add(run.Step{Stage: run.Queued, At: now, Waits: "the execute queue to be resumed", Owner: "execute"})
	})
	return []Effect{Done{Reply: m.Reply}}
}

// purge answers what is parked.
func (s *State) purge(m Purge) []Effect {
	var all []*item
	s.each(func(i *item) { all = append(all, i) })
	slices.SortFunc(all, func(a, b *item) int { return cmp.Compare(a.Run, b.Run) })
	out := make([]Effect, 0, len(all)+1)
	for _, i := range all {
		out = append(out, s.drop(i, Answer{Err: fault.New(fault.CanceledStopped, "execute", "an operator purged the queue", nil)}))
	}
	return append(out, Purged{Reply: m.Reply, N: len(all)})
}

// recycle closes a worker now, or once it has no run.
func (s *State) recycle(now time.Time, m Recycle) []Effect {
	var w *worker
	for _, o := range s.workers {
		if o.id == m.Process && m.Process != "" {
			w = o
		}
	}
	if w == nil {
		return []Effect{Done{Reply: m.Reply, Err: fault.New(fault.CallerNotFound, "worker", fault.Quote(m.Process), nil)}}
	}
	out := []Effect{Done{Reply: m.Reply}}
	switch {
	case w.closing != "":
		return out
	case w.idle():
		return append(out, s.close(now, w, closedRecycled))
	case w.lease == lent:
		out = append(out, w.revoke())
	}
	w.leaves, w.recycle = true, true
	return out
}

// leaving says why a worker that leaves is closed.
func (w *worker) leaving() string {
	if w.recycle {
		return closedRecycled
	}
	return closedStopped
}

// ending says in words why a worker ends, or will when it has no run; "" if it does not.
func (w *worker) ending() string {
	switch {
	case w.closing == closedRecycled || w.recycle:
		return "an operator wants it so, or its life is over"
	case w.closing != "":
		return w.closing
	case w.leaves:
		return "its artifact is given up"
	}
	return ""
}

// actor is the path of the actor of a worker below that of the queue.
func (w *worker) actor() string { return "execute/" + kernel.Numbered("worker", w.name) }

// waitTurn notes that a run waits for its turn.
func (i *item) waitTurn(now time.Time) {
	i.trail = i.trail.Add(run.Step{Stage: run.Queued, At: now, Waits: "its turn among the runs that wait", Owner: "execute"})
}

// runs notes that a worker has a run.
func (i *item) runs(now time.Time, w *worker) {
	i.trail = i.trail.Add(run.Step{Stage: run.Running, At: now, Owner: cmp.Or(w.id, w.actor()), Works: true})
}

// ended returns the trail of a run that is answered with an outcome. answered is when its worker has answered, if it did.
func (i *item) ended(now, answered time.Time) run.Trail {
	if !answered.IsZero() {
		if answered.After(now) {
			answered = now
		}
		i.trail = i.trail.Add(run.Step{Stage: run.ResultRead, At: answered, Works: true})
	}
	return i.trail.Add(run.Step{Stage: run.Judged, At: now})
}

// standings says where all runs stand, in the order of their ids.
func (s *State) standings() []Standing {
	out := make([]Standing, 0, len(s.items))
	at := make(map[uint64]*worker, len(s.workers))
	for _, w := range s.workers {
		if w.run != nil {
			at[w.run.Run] = w
		}
	}
	for _, i := range s.items {
		st := Standing{Run: i.Run, Trail: slices.Clone(i.trail)}
		if w := at[i.Run]; w != nil {
			st.Process = w.id
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b Standing) int { return cmp.Compare(a.Run, b.Run) })
	return out
}
