package cache

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// retry says whether a failed preparation is worth another try for this request.
func (s *State) retry(now time.Time, e *entry, a *ask) bool {
	if deserves(e.failure.Fault, hadBudget(e.failure), a.Budget) && e.failure.CPU < a.Budget.CPU {
		return true
	}
	at, again := s.retryAt(e)
	return again && a.Kind != Precheck && !now.Before(at)
}

// retryAt says when a preparation that failed may be tried again.
func (s *State) retryAt(e *entry) (at time.Time, again bool) {
	if e.state != artifacts.Failed || e.fault.Class == fault.Guest || s.limits.Retries >= 0 && e.failure.Count > s.limits.Retries {
		return time.Time{}, false
	}
	return e.failure.At.Add(s.limits.Cooldown), true
}

// prepare begins a new generation for those who wait: at the highest of their priorities, under the largest of their budgets.
func (s *State) prepare(now time.Time, waiting ...*ask) []Effect {
	s.gen++
	first := waiting[0]
	e := s.entries[first.Key]
	if e == nil {
		e = &entry{key: first.Key, code: first.Code}
		s.entries[first.Key] = e
	}
	e.state, e.gen, e.waiting, e.lastNeeded, e.well = artifacts.Preparing, s.gen, waiting, now, false
	e.preparation = preparation{cause: first.Cause, tenant: first.Tenant, options: first.Options, verdictOnly: true}
	for _, w := range waiting {
		w.awaits(now, waitsPreparation, false)
		e.verdictOnly = e.verdictOnly && w.Kind == Precheck
		e.priority, e.budget = max(e.priority, w.Priority), widest(e.budget, w.Budget)
	}
	if e.fault != nil && e.fault.Class == fault.Suspect && !deserves(e.failure.Fault, hadBudget(e.failure), e.budget) {
		e.failures = e.failure.Count
	}
	e.newMarks()
	s.jobs[e.gen] = e
	return []Effect{StartPrepare{Gen: e.gen, Job: e.job()}}
}

func (e *entry) job() prepare.Job {
	return prepare.Job{ID: e.gen, Key: e.key, Code: e.code, Tenant: e.tenant, Priority: e.priority, Budget: e.budget, Options: e.options, VerdictOnly: e.verdictOnly, Marks: slices.Clone(e.marks),
		Cause: e.cause}
}

// Current returns a job as it stands now: a prepare queue that was restarted is asked for that.
func (s *State) Current(j prepare.Job) prepare.Job {
	if e := s.jobs[j.ID]; e != nil && e.gen == j.ID {
		return e.job()
	}
	return j
}

// join adds a waiter to the one preparation of its artifact. Who has more extends it, who has less marks it, and who has no
// more than was used by the newest mark is answered: its own mark may be gone.
func (s *State) join(now time.Time, e *entry, a *ask) []Effect {
	e.waiting = append(e.waiting, a)
	a.awaits(now, waitsPreparation, false)
	if e.storing { // it has ended
		a.awaits(now, waitsStore, false)
		return nil
	}
	if late := s.overdrawn(now, e, e.used, nil); len(late) > 0 {
		return late
	}
	raised := e.escalate(now, a.Priority, a.by())
	wider := widest(e.budget, a.Budget)
	extended := wider != e.budget
	if extended {
		e.budget = wider
	}
	marks := e.newMarks()
	if !raised && !extended && len(marks) == 0 {
		return nil
	}
	return []Effect{RaisePrepare{Job: e.gen, Priority: e.priority, Budget: e.budget, Marks: marks, By: a.by()}}
}

// escalate lifts the priority of a preparation and records it. As there are four priorities, it has three records at most.
func (e *entry) escalate(now time.Time, to run.Priority, by string) bool {
	if to <= e.priority || to > run.Critical {
		return false
	}
	e.escalations = append(e.escalations, inspect.Escalation{At: now, From: e.priority.String(), To: to.String(), By: by})
	e.priority = to
	return true
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
	for _, a := range e.waiting {
		if at := m.outcome.Started; !at.IsZero() {
			a.awaits(at, waitsPreparation, true)
		}
		a.awaits(now, waitsStore, false)
	}
	if m.outcome.Fault != nil {
		return s.prepareFailed(now, e, m.outcome)
	}
	// The wall time is a net against what hangs, and this has ended.
	out := s.overdrawn(now, e, prepare.Budget{CPU: m.outcome.CPU, MemoryBytes: m.outcome.PeakRSS}, nil)
	m.outcome.Meta.PrepareMemory = e.budget.MemoryBytes
	e.meta, e.storing, e.triedAt = light(m.outcome.Meta), true, now
	s.load(e, m.outcome.Meta.Module)
	size := e.meta.Bytes()
	full := size > s.limits.Policy.LimitBytes
	if !full { // else nothing that could be removed would make room
		var freed []Effect
		freed, full = s.prune(now, size)
		out = append(out, freed...)
	}
	if !full {
		e.reserved = size
	}
	return append(out, StorePut{Gen: e.gen, Meta: m.outcome.Meta, Ticket: m.outcome.Ticket, MemoryOnly: full})
}

// prepareFailed judges each who waits by its own budget. Those who deserved more share another preparation: they are left
// only if a limit was reached just before its extension came.
func (s *State) prepareFailed(now time.Time, e *entry, o prepare.Outcome) []Effect {
	f := o.Fault
	out := s.overdrawn(now, e, prepare.Budget{CPU: o.CPU, MemoryBytes: o.PeakRSS}, f)
	had := cmp.Or(o.Budget, e.budget) // an extension may have come too late
	waiting := e.waiting
	e.waiting = nil
	verdict := f.Class == fault.Guest || f.Class == fault.Suspect
	if verdict {
		failure := artifacts.Failure{Code: e.code, Fault: f.Code, Message: f.Subject, Cause: cause(f), Count: e.failures + 1, At: now,
			CPU: max(o.CPU, e.failure.CPU), Budget: had.CPU, Wall: had.Wall, MemoryBytes: had.MemoryBytes}
		out = append(out, s.remember(e, f, failure)...)
	} else {
		out = append(out, s.abandon(now, e)...)
	}
	var more []*ask
	for _, a := range waiting {
		switch {
		case deserves(f.Code, had, a.Budget):
			more = append(more, a)
		case verdict:
			out = append(out, s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: artifacts.Meta{Key: e.key, Code: e.code, PrepareCPU: o.CPU}})...)
		default:
			out = append(out, s.fail(a, f)...)
		}
	}
	if len(more) > 0 {
		out = append(out, s.prepare(now, more...)...)
	}
	return out
}

// remember makes a failure what is known of the code, also after a restart.
func (s *State) remember(e *entry, f *fault.Error, failure artifacts.Failure) []Effect {
	e.state, e.fault, e.failure = artifacts.Failed, f, failure
	return append([]Effect{StoreFailure{Key: e.key, Failure: failure}}, s.forget()...)
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
	return s.remove(because("failures", failed[:len(failed)-s.limits.Failures]...), nil)
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
		return s.remove(because("unstored", e), nil) // memory let go of it
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
