package jobs

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

const (
	waitsSlot  = "a slot among the jobs under way"
	byOperator = "an operator"
)

// count takes a job into account that is not settled, or not any more.
func (s *State) count(j *job, n int) {
	s.open += n
	s.opens[j.Priority] += n
}

// pause has no job begin from now on, or lets them again.
func (s *State) pause(m Pause) []Effect {
	s.paused, s.held, s.since = m.Paused, m.Held, time.Time{}
	if s.paused {
		s.since = m.Since
	}
	return []Effect{Done{To: m.Reply}}
}

// purge settles what is queued.
func (s *State) purge(now time.Time, m Purge) []Effect {
	var out []Effect
	g := &group{to: m.Reply}
	for _, j := range s.order {
		if j.phase != queued && j.phase != delayed || j.Ending != "" {
			continue
		}
		out = append(out, s.finish(now, j, fault.CanceledStopped, byOperator)...)
		j.waiting = append(j.waiting, waiter{version: j.version, group: g})
		g.n++
		g.open++
	}
	if g.n == 0 {
		out = append(out, Revoked{To: m.Reply})
	}
	return out
}

// queue shows the jobs that are not settled.
func (s *State) queue() inspect.Queue {
	q := inspect.Queue{Name: "jobs", Cap: s.limits.Queue, Parked: map[string]int{}, Running: len(s.flight), Soft: s.limits.Active, Hard: 2 * s.limits.Active,
		Refused: s.refused, Paused: s.paused, PausedSince: s.since}
	for p := run.Background; p <= run.Critical; p++ {
		q.Parked[p.String()] = s.opens[p] - s.slots[p]
		heap := &s.queues[p]
		for i, ok := heap.first(); ok; i, ok = heap.first() {
			if j := i.job; j.phase == queued && j.Priority == p {
				if at := j.Submitted.Time(); q.OldestAt.IsZero() || at.Before(q.OldestAt) {
					q.OldestAt = at
				}
				break
			}
			heap.pop() // it waits elsewhere, or not any more
		}
	}
	return q
}

func (s *State) flights() []Flight {
	out := make([]Flight, 0, len(s.flight))
	for _, j := range s.flight {
		f := Flight{ID: j.ID, Cause: j.Cause, Tenant: j.Tenant, Code: j.Code, Priority: j.Priority, Trail: slices.Clone(j.Trail)}
		if j.phase == running {
			f.Run = j.run
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Flight) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (s *State) trace(m Trace) Effect {
	j := s.visible(m.ID)
	if j == nil {
		return HasTraced{To: m.Reply, Err: fault.New(fault.CallerNotFound, "job", fault.Quote(m.ID), nil)}
	}
	t := Traced{State: j.State, Cause: j.Cause, Trail: slices.Clone(j.Trail)}
	if j.phase == running {
		t.Run = j.run
	}
	if last := len(t.Trail) - 1; last >= 0 && t.Trail[last].Waits == waitsSlot && (s.paused || s.held) {
		t.Trail[last].Waits, t.Trail[last].Owner = "the jobs to be resumed", "jobs"
		if s.held {
			t.Trail[last].Waits, t.Trail[last].Owner = "the execute queue to be resumed", "execute"
		}
	}
	return HasTraced{To: m.Reply, Traced: t}
}

// awaitsSlot notes that a job waits for its turn to begin.
func (s *State) awaitsSlot(now time.Time, j *job) {
	j.Trail = j.Trail.Add(run.Step{Stage: run.Admitted, At: StampOf(now).Time(), Waits: waitsSlot, Owner: "jobs"})
}

// joined returns the trail of a job with that of its request behind it, which begins anew: that it is admitted is no news.
func joined(t, request run.Trail) run.Trail {
	for _, s := range request {
		if s.Stage != run.Admitted {
			s.At = s.At.Round(0).UTC()
			t = t.Add(s)
		}
	}
	return t
}

// finished returns the trail of a job that was settled then. Its times lie between its ends, whatever the clock did meanwhile.
func finished(t run.Trail, at time.Time) run.Trail {
	t = slices.Clone(t)
	for n := range t {
		if t[n].At.After(at) {
			t[n].At = at
		}
	}
	if n := len(t); n == 0 || t[n-1].Stage != run.Judged {
		t = t.Add(run.Step{Stage: run.Judged, At: at})
	}
	return t.Add(run.Step{Stage: run.Delivered, At: at})
}
