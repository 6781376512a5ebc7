package cache

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// deserves says whether a failure under one budget says nothing about a larger one.
func deserves(code fault.Code, had, b prepare.Budget) bool {
	return code == fault.GuestPrepareCPU && b.CPU > had.CPU || code == fault.SuspectPrepareWall && b.Wall > had.Wall
}

// retry says whether a failed preparation is worth another try for this request.
func (s *State) retry(now time.Time, e *entry, a *ask) bool {
	if deserves(e.failure.Fault, prepare.Budget{CPU: e.failure.Budget, Wall: e.failure.Wall}, a.Budget) {
		return true
	}
	return e.fault.Class != fault.Guest && a.Kind != Precheck && e.failure.Count <= s.limits.Retries && now.Sub(e.failure.At) >= s.limits.Cooldown
}

// prepare begins a new generation with a as its first waiter.
func (s *State) prepare(now time.Time, a *ask) []Effect {
	s.gen++
	e := s.entries[a.Key]
	if e == nil {
		e = &entry{key: a.Key, code: a.Code}
		s.entries[a.Key] = e
	}
	e.state, e.gen, e.waiting, e.priority, e.budget, e.lastNeeded = artifacts.Preparing, s.gen, []*ask{a}, a.Priority, a.Budget, now
	s.jobs[e.gen] = e
	return []Effect{StartPrepare{Gen: e.gen, Job: prepare.Job{ID: e.gen, Key: a.Key, Code: a.Code, Tenant: a.Tenant, Priority: a.Priority, Budget: a.Budget}}}
}

// join adds a waiter to the one preparation of its artifact.
func (s *State) join(e *entry, a *ask) []Effect {
	e.waiting = append(e.waiting, a)
	if a.Priority <= e.priority {
		return nil
	}
	e.priority = a.Priority
	return []Effect{RaisePrepare{Job: e.gen, Priority: a.Priority}}
}

// prepared takes the end of a preparation. Of an older generation only the parts are left, which nobody wants.
func (s *State) prepared(now time.Time, m prepared) []Effect {
	delete(s.jobs, m.gen)
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || e.state != artifacts.Preparing {
		if m.outcome.Ticket != 0 {
			return []Effect{Discard{Ticket: m.outcome.Ticket}}
		}
		return nil
	}
	if m.err != nil {
		m.outcome.Fault = fault.From(m.err)
	}
	if m.outcome.Fault != nil {
		return s.prepareFailed(now, e, m.outcome)
	}
	e.meta, e.storing, e.triedAt = light(m.outcome.Meta), true, now
	s.load(e, m.outcome.Meta.Module)
	var out []Effect
	size := e.meta.Bytes()
	over := size > s.limits.Policy.LimitBytes
	if !over { // else nothing that could be removed would make room
		out, over = s.prune(now, size)
	}
	if !over {
		e.reserved = size
	}
	return append(out, StorePut{Gen: e.gen, Meta: m.outcome.Meta, Ticket: m.outcome.Ticket, MemoryOnly: over})
}

func (s *State) prepareFailed(now time.Time, e *entry, o prepare.Outcome) []Effect {
	f, had := o.Fault, e.budget
	waiting := e.waiting
	e.waiting = nil
	var out []Effect
	switch f.Class {
	case fault.Guest, fault.Suspect:
		e.state, e.fault = artifacts.Failed, f
		e.failure = artifacts.Failure{Code: e.code, Fault: f.Code, Message: f.Subject, Count: e.failure.Count + 1, At: now, CPU: o.CPU,
			Budget: had.CPU, Wall: had.Wall}
		if f.Err != nil {
			e.failure.Cause = fault.Quote(f.Err.Error())
		}
		if f.Class == fault.Guest {
			out = append(out, StoreFailure{Key: e.key, Failure: e.failure})
		}
		out = append(out, s.forget()...)
	default:
		s.fallBack(e)
	}
	for _, a := range waiting {
		switch current := s.entries[a.Key]; {
		case deserves(f.Code, had, a.Budget) && current != nil && current.state == artifacts.Preparing:
			out = append(out, s.join(current, a)...)
		case deserves(f.Code, had, a.Budget):
			out = append(out, s.prepare(now, a)...)
		case f.Class == fault.Guest || f.Class == fault.Suspect:
			out = append(out, s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: artifacts.Meta{Key: e.key, Code: e.code, PrepareCPU: o.CPU}})...)
		default:
			out = append(out, s.fail(a, f)...)
		}
	}
	return out
}

// fallBack ends a preparation that came to nothing: what was known of an earlier one is still known.
func (s *State) fallBack(e *entry) {
	if e.fault == nil {
		delete(s.entries, e.key)
		return
	}
	e.state = artifacts.Failed
}

// forget drops the oldest failures over the limit.
func (s *State) forget() []Effect {
	var failed []*entry
	for _, e := range s.entries {
		if e.state == artifacts.Failed {
			failed = append(failed, e)
		}
	}
	if len(failed) <= s.limits.Failures {
		return nil
	}
	slices.SortFunc(failed, func(a, b *entry) int {
		return cmp.Or(a.failure.At.Compare(b.failure.At), bytes.Compare(a.key[:], b.key[:]))
	})
	return s.remove(failed[:len(failed)-s.limits.Failures], nil)
}

// stored takes the end of a write: the first of a generation, or another try for what was kept in memory only.
func (s *State) stored(now time.Time, m stored) []Effect {
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || !e.storing {
		return s.orphan(m)
	}
	e.storing, e.reserved = false, 0
	if m.bytes > 0 {
		e.bytes = m.bytes
		delete(s.leaving, m.key) // written over
	}
	if e.state == artifacts.Prepared {
		if m.err == nil || fault.CodeOf(m.err) != fault.HostArtifactMissing || s.held(e) {
			return nil
		}
		return s.remove([]*entry{e}, nil) // memory let go of it
	}
	waiting := e.waiting
	e.waiting = nil
	if m.err != nil {
		s.unload(e)
		delete(s.entries, e.key)
		var out []Effect
		for _, a := range waiting {
			out = append(out, s.fail(a, m.err)...)
		}
		return out
	}
	e.state, e.lastNeeded, e.failure, e.fault = artifacts.Prepared, now, artifacts.Failure{}, nil
	var out []Effect
	for _, a := range waiting {
		out = append(out, s.serve(now, e, a)...)
	}
	if s.total() > s.limits.Policy.LimitBytes {
		freed, _ := s.prune(now, 0)
		out = append(out, freed...)
	}
	return append(out, s.boundUnstored()...)
}

// orphan takes note of a write whose entry has left meanwhile; its removal is on the way.
func (s *State) orphan(m stored) []Effect {
	if e := s.leaving[m.key]; e != nil && e.gen == m.gen {
		e.bytes = max(e.bytes, m.bytes)
	}
	return nil
}
