package jobs

import (
	"errors"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// watch answers at once, or when there is more to see.
func (s *State) watch(now time.Time, m Watch) []Effect {
	j := s.visible(m.ID)
	switch {
	case j == nil, j.phase == settled, len(j.Events) > m.Seen:
		return []Effect{s.reply(now, m.Reply, j, m.ID)}
	case len(s.watches) >= s.limits.Watchers:
		return []Effect{Reply{To: m.Reply, Err: busy("watch")}}
	}
	s.watches[m.Watcher] = &watch{job: j, seen: m.Seen, to: m.Reply}
	j.watchers = append(j.watchers, m.Watcher)
	return nil
}

func (s *State) unwatch(m Unwatch) []Effect {
	w := s.watches[m.Watcher]
	if w == nil {
		if m.again {
			return nil
		}
		m.again = true
		return []Effect{Requeue{m}}
	}
	s.dropWatch(m.Watcher, w)
	return []Effect{Reply{To: w.to, Err: fault.New(fault.CanceledCaller, "watch", w.job.ID, nil)}}
}

func (s *State) dropWatch(id uint64, w *watch) {
	delete(s.watches, id)
	kept := w.job.watchers[:0]
	for _, o := range w.job.watchers {
		if o != id {
			kept = append(kept, o)
		}
	}
	w.job.watchers = kept
}

// tell answers those who have not seen what a job is now.
func (s *State) tell(now time.Time, j *job) []Effect {
	var out []Effect
	for _, id := range append([]uint64(nil), j.watchers...) {
		w := s.watches[id]
		if j.phase == settled || j.phase == leaving || len(j.Events) > w.seen {
			s.dropWatch(id, w)
			out = append(out, s.reply(now, w.to, s.visible(j.ID), j.ID))
		}
	}
	return out
}

// event records what happened to a job.
func (s *State) event(now time.Time, j *job, e Event) {
	if (e.What == Started || e.What == Requeued) && len(j.Events) >= maxSteps {
		return
	}
	e.At = s.stamp(now)
	j.Events = append(j.Events, e)
}

var errSettled = errors.New("the job is settled")

// unsettled returns a job that can still be changed, or the answer that it cannot.
func (s *State) unsettled(id string) (*job, error) {
	j := s.visible(id)
	switch {
	case j == nil:
		return nil, fault.New(fault.CallerNotFound, "job", fault.Quote(id), nil)
	case j.phase == settled, j.phase == settling && j.Ending == "":
		return nil, fault.New(fault.CallerConflict, "job", id, errSettled).WithHint("look at its receipt")
	}
	return j, nil
}

func (s *State) cancel(now time.Time, m Cancel) []Effect {
	j, err := s.unsettled(m.ID)
	if err != nil {
		return []Effect{Reply{To: m.Reply, Err: err}}
	}
	out := s.finish(now, j, fault.CanceledCaller, m.By)
	if !j.lined && !j.writing && !j.failed { // somebody wished it before
		return append(out, s.reply(now, m.Reply, j, j.ID))
	}
	j.waiting = append(j.waiting, waiter{version: j.version, to: m.Reply})
	return out
}

// finish has a job end with a fault, for somebody who wants it to. The first wish counts.
func (s *State) finish(now time.Time, j *job, code fault.Code, by string) []Effect {
	if j.Ending != "" {
		return nil
	}
	j.Ending = code
	s.event(now, j, Event{What: CancelRequested, By: by})
	switch j.phase {
	case queued, delayed:
		return s.settle(now, j, nil, endingFault(j))
	case running:
		s.change(j)
		return append([]Effect{Depart{j.run}}, s.tell(now, j)...)
	}
	s.change(j) // it is accepted or opened first
	return s.tell(now, j)
}

func endingFault(j *job) *fault.Error {
	if j.Ending == fault.CanceledRevoked {
		return fault.New(fault.CanceledRevoked, "job", j.ID, nil)
	}
	by := byHost
	for _, e := range j.Events {
		if e.What == CancelRequested {
			by = e.By
		}
	}
	return fault.New(j.Ending, "job", j.ID, errors.New("canceled by "+by))
}

func (s *State) raise(now time.Time, m Raise) []Effect {
	j, err := s.unsettled(m.ID)
	switch {
	case err != nil:
	case j.Ending != "" || j.phase == settling:
		err = fault.New(fault.CallerConflict, "job", m.ID, errors.New("the job is about to end"))
	case m.Priority <= j.Priority || m.Priority > run.Critical:
		err = fault.New(fault.CallerConflict, "job", m.ID, errors.New("its priority is "+j.Priority.String()+" already, and a priority only rises"))
	}
	if err != nil {
		return []Effect{Reply{To: m.Reply, Err: err}}
	}
	s.event(now, j, Event{What: Raised, From: j.Priority, To: m.Priority, By: m.By})
	if j.slot {
		s.slots[j.Priority]--
		s.slots[m.Priority]++
	}
	s.opens[j.Priority]--
	s.opens[m.Priority]++
	j.Priority = m.Priority
	s.change(j)
	j.waiting = append(j.waiting, waiter{version: j.version, to: m.Reply})
	var out []Effect
	switch j.phase {
	case queued:
		s.queues[j.Priority].push(j.ID, j)
	case running:
		out = append(out, RaiseRun{Run: j.run, Priority: j.Priority, By: m.By})
	}
	return append(out, s.tell(now, j)...)
}

func (s *State) revoke(now time.Time, m Revoke) []Effect {
	tag := [2]string{m.Tenant, m.Tag}
	if m.Tag == "" {
		return []Effect{Revoked{To: m.Reply}}
	}
	if !s.tags[tag] {
		s.tags[tag] = true
		s.tagOrder = append(s.tagOrder, tag)
		if len(s.tagOrder) > s.limits.Tags {
			delete(s.tags, s.tagOrder[0])
			s.tagOrder = s.tagOrder[1:]
		}
	}
	var out []Effect
	g := &group{to: m.Reply}
	for _, j := range s.order {
		if j.Tenant != m.Tenant || j.Validity != m.Tag || j.phase >= settling || j.Ending != "" {
			continue
		}
		out = append(out, s.finish(now, j, fault.CanceledRevoked, byHost)...)
		j.waiting = append(j.waiting, waiter{version: j.version, group: g})
		g.n++
		g.open++
	}
	if g.n == 0 {
		out = append(out, Revoked{To: m.Reply})
	}
	return out
}
