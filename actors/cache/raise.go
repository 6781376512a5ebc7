package cache

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// by names who asks.
func (a *ask) by() string { return cmp.Or(a.By, a.Kind.String()+" of "+a.Tenant) }

// raise lifts a request and what it waits for. It may have overtaken the request.
func (s *State) raise(now time.Time, m Raise) []Effect {
	a := s.asks[m.ID]
	switch {
	case a == nil && !m.again:
		m.again = true
		return []Effect{Requeue{m}}
	case a == nil || m.Priority <= a.Priority || m.Priority > run.Critical:
		return nil
	}
	a.Priority, a.By = m.Priority, cmp.Or(m.By, a.By)
	if a.entry != nil {
		return []Effect{RaiseExecute{Run: a.ID, Priority: a.Priority}}
	}
	e := s.entries[a.Key]
	if e == nil || e.state != artifacts.Preparing || e.storing || !e.escalate(now, a.Priority, a.by()) {
		return nil // its next step takes the priority along
	}
	return []Effect{RaisePrepare{Job: e.gen, Priority: e.priority, Budget: e.budget, By: a.by()}}
}

// depart takes a request back. It may have overtaken the request.
func (s *State) depart(now time.Time, m Depart) []Effect {
	a := s.asks[m.ID]
	switch {
	case a == nil && !m.again:
		m.again = true
		return []Effect{Requeue{m}}
	case a == nil: // an earlier incarnation may have started it
		return []Effect{CancelExecute{Run: m.ID}}
	case a.entry != nil:
		a.departed = true
		return []Effect{CancelExecute{Run: a.ID}} // its answer answers the request
	}
	return s.withdraw(now, a, fault.New(fault.CanceledCaller, "cache", "", nil))
}

// withdraw answers a request that waits, and ends what nobody else waits for.
func (s *State) withdraw(now time.Time, a *ask, why *fault.Error) []Effect {
	out := s.fail(a, why)
	e := s.entries[a.Key]
	if e == nil {
		return out
	}
	gone := func(w *ask) bool { return w == a }
	e.toJudge = slices.DeleteFunc(e.toJudge, gone)
	e.waiting = slices.DeleteFunc(e.waiting, gone)
	return append(out, s.unwanted(now, e)...)
}
