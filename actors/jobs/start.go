package jobs

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// reserve is how many of the slots are kept for each priority: who comes with a higher one finds a slot however many wait
// with a lower one, and the execute queue sees all priorities that have a backlog, so that its shares hold.
func (s *State) reserve() int { return max(s.limits.Active/8, 1) }

// room says whether a job of a priority may start: it fits into what is reserved for it, or into what the others leave.
func (s *State) room(p run.Priority) bool {
	switch {
	case len(s.flight) >= 2*s.limits.Active: // raised jobs take their slots along
		return false
	case s.slots[p] < s.reserve():
		return true
	}
	taken := 0
	for o := run.Background; o <= run.Critical; o++ {
		taken += s.slots[o]
		if o != p {
			taken += max(s.reserve()-s.slots[o], 0)
		}
	}
	return taken < s.limits.Active
}

// startJobs begins what may be under way, the highest priority first, within one the oldest first.
func (s *State) startJobs(now time.Time) []Effect {
	if s.loading || s.draining || s.limits.Hold || s.paused || s.held {
		return nil
	}
	var out []Effect
	for p := run.Critical; p >= run.Background; p-- {
		q := &s.queues[p]
		for i, ok := q.first(); ok && s.room(p); i, ok = q.first() {
			q.pop()
			if j := i.job; j.phase == queued && j.Priority == p {
				out = append(out, s.start(now, j)...)
			}
		}
	}
	return out
}

func (s *State) start(now time.Time, j *job) []Effect {
	j.phase, j.slot, j.started, j.startAt = opening, true, false, s.clock
	s.slots[j.Priority]++
	s.flight = append(s.flight, j)
	j.State = run.JobRunning
	j.Starts++
	s.event(now, j, Event{What: Started, By: byHost})
	j.Started = s.newest
	j.Trail = j.Trail.Add(run.Step{Stage: run.Admitted, At: s.newest.Time(), Waits: "its input to be read", Owner: "jobs"})
	return append([]Effect{Open{Record: j.Record, WithCode: j.withCode}}, s.tell(now, j)...)
}

// leaveFlight gives a slot back.
func (s *State) leaveFlight(j *job) {
	if !j.slot {
		return
	}
	j.slot = false
	s.slots[j.Priority]--
	s.flight = slices.DeleteFunc(s.flight, func(o *job) bool { return o == j })
}

func (s *State) opened(now time.Time, m opened) []Effect {
	j := s.jobs[m.id]
	switch {
	case m.err != nil:
		return s.stumbled(now, j, m.err)
	case j.Ending != "":
		return append(s.settle(now, j, nil, endingFault(j)), Close{m.request.ID})
	}
	r := m.request
	j.phase, j.run = running, r.ID
	r.Priority = j.Priority
	if j.startBy > 0 {
		r.Deadline = now.Add(j.startBy - s.clock)
	}
	return []Effect{Start{ID: j.ID, Request: r}}
}

func (s *State) ended(now time.Time, m ended) []Effect {
	j := s.jobs[m.id]
	var out []Effect
	if m.err == nil {
		j.Trail = joined(j.Trail, m.answer.Trail)
		m.answer.Trail = nil
		out = s.settle(now, j, &m.answer, m.answer.Outcome.Fault)
	} else {
		out = s.stumbled(now, j, m.err)
	}
	return append(out, Close{m.run})
}

// stumbled decides about a job that has no verdict.
func (s *State) stumbled(now time.Time, j *job, err error) []Effect {
	f := fault.From(err)
	switch {
	case j.Ending != "":
		return s.settle(now, j, nil, endingFault(j))
	case f.Class == fault.Guest, f.Class == fault.Suspect:
		return s.settle(now, j, &cache.Answer{Outcome: run.Outcome{Fault: f}, Attempts: 1}, f)
	case f.Class == fault.Busy, f.Code == fault.CanceledStopped, f.Code == fault.CallerClosed, f.Code == fault.HostGaveUp:
		return s.requeue(now, j, f)
	case f.Code == fault.CallerNotFound && !j.withCode:
		j.withCode, j.phase = true, opening
		return []Effect{Open{Record: j.Record, WithCode: true}}
	case f.Class == fault.Caller, f.Code == fault.CanceledDeadline, f.Code == fault.CanceledRevoked:
		return s.settle(now, j, nil, f)
	}
	if j.tries++; int(j.tries) > s.limits.Retries {
		return s.settle(now, j, nil, f)
	}
	return s.requeue(now, j, f)
}

// requeue has a job tried again after a while.
func (s *State) requeue(now time.Time, j *job, f *fault.Error) []Effect {
	s.leaveFlight(j)
	j.State = run.JobQueued
	s.event(now, j, Event{What: Requeued, By: byHost})
	j.Trail = j.Trail.Add(run.Step{Stage: run.Admitted, At: s.newest.Time(), Waits: "its next try, after " + string(f.Code), Owner: "jobs"})
	delay := min(max(minDelay<<min(j.delays, 7), f.RetryAfter), maxDelay)
	j.delays = min(j.delays+1, 7)
	j.phase, j.due = delayed, s.clock+delay
	s.waiting.push(j.due, j)
	return s.tell(now, j)
}
