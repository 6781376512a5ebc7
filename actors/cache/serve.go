package cache

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// serve leads a request on from a prepared artifact.
func (s *State) serve(now time.Time, e *entry, a *ask) []Effect {
	e.lastNeeded = now
	switch {
	case a.Kind == HeadsUp:
		return s.answer(a, Answer{Meta: e.meta})
	case a.Kind == Precheck && e.exceeds(a.Budget) != nil:
		return s.answer(a, Answer{Outcome: run.Outcome{Fault: e.exceeds(a.Budget)}, Meta: e.full()})
	case e.module == nil:
		e.toJudge = append(e.toJudge, a)
		a.awaits(now, "the description of artifact", false)
		return s.describe(e)
	}
	if f := judge(*e.module, &a.Request); f != nil || a.Kind != Execute {
		return s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: e.full(), Stored: e.bytes > 0})
	}
	if f := s.quarantined(now, a); f != nil && a.attempts == 1 {
		return s.refuse(a, f)
	}
	a.entry = e
	e.inUse++
	a.trail = a.trail.Add(run.Step{Stage: run.Queued, At: now, Waits: "its turn among the runs that wait", Owner: "execute"})
	return []Effect{StartExecute{Left: a.Left != (kernel.Reply[run.Trail]{}), Job: execute.Job{
		Run:   a.ID,
		Slice: a.Slice, Binding: execute.Binding{Tenant: a.Tenant, App: a.App, Key: a.Key, MemoryBytes: a.Limits.MemoryBytes, Isolation: max(a.Isolation, run.Reset)},
		Entry: a.Entry, Limits: a.Limits, Imports: a.Imports, Determinism: a.Determinism, Priority: a.Priority, Deadline: a.Deadline, Lend: a.Lend, Cause: a.Cause,
	}}}
}

// tried takes up a request whose first attempt passed by. It is past every limit, since it ran.
func (s *State) tried(now time.Time, a *ask) []Effect {
	o := a.Tried.Outcome
	e := s.entries[a.Key]
	there := e != nil && e.state == artifacts.Prepared
	a.hit = true
	switch {
	case !there && a.NoCode: // it could not be had again
		if f := o.Fault; f.Class != fault.Guest && f.Class != fault.Suspect {
			return s.fail(a, f)
		}
		return s.answer(a, Answer{Outcome: o, Meta: artifacts.Meta{Key: a.Key, Code: a.Code}})
	case !there: // it has gone meanwhile
		e = &entry{key: a.Key, code: a.Code, state: artifacts.Prepared, meta: artifacts.Meta{Key: a.Key, Code: a.Code}}
	}
	e.lastNeeded = now
	s.asks[a.ID] = a
	a.entry = e
	e.inUse++
	return append([]Effect{Touch{Key: e.key}}, s.executed(now, executed{id: a.ID, outcome: o})...)
}

// used takes note of runs that passed by.
func (s *State) used(now time.Time, m Used) []Effect {
	if m.OK {
		s.forgive(m.Key, m.Tenant)
	}
	e := s.entries[m.Key]
	if e == nil || e.state != artifacts.Prepared {
		return nil
	}
	e.lastNeeded = now
	e.well = e.well || m.Well
	return append([]Effect{Touch{Key: e.key}}, s.persist(now, e)...)
}

// exceeds says which limit of b the preparation of an artifact would have reached, by its record.
func (e *entry) exceeds(b prepare.Budget) *fault.Error {
	return over(b, prepare.Budget{CPU: e.meta.PrepareCPU, MemoryBytes: e.meta.PeakRSS}, prepare.Budget{MemoryBytes: e.meta.PrepareMemory})
}

// lead leads a request on from whatever is there by now.
func (s *State) lead(now time.Time, a *ask) []Effect {
	e := s.entries[a.Key]
	switch {
	case e == nil:
		return s.prepare(now, a)
	case e.state == artifacts.Preparing:
		return s.join(now, e, a)
	case e.state == artifacts.Failed && s.retry(now, e, a):
		return s.prepare(now, a)
	case e.state == artifacts.Failed:
		return s.answerFailed(e, a)
	}
	return s.serve(now, e, a)
}

// again drops a generation that cannot be executed, and prepares the next for all who wait. Another request may have done so
// already.
func (s *State) again(now time.Time, e *entry, waiting ...*ask) []Effect {
	var out []Effect
	if s.entries[e.key] != e {
		for _, a := range waiting {
			a.hit = false
			out = append(out, s.lead(now, a)...)
		}
		return out
	}
	waiting = append(waiting, e.toJudge...) // for a description that does not come any more
	shows := e.toShow
	e.toJudge, e.toShow, e.describing = nil, nil, false
	for _, a := range waiting {
		a.hit = false
	}
	out = append(s.remove(because("rejected", e), nil), s.prepare(now, waiting...)...)
	for _, r := range shows {
		out = append(out, Shown{To: r, Err: notFound(e.key)})
	}
	return out
}

// light is a description without the lists, which a hostile module can make long.
func light(m artifacts.Meta) artifacts.Meta {
	m.Module.Imports, m.Module.Exports = nil, nil
	return m
}

// full is the description as far as it is loaded.
func (e *entry) full() artifacts.Meta {
	m := e.meta
	if e.module != nil {
		m.Module = *e.module
	}
	return m
}

// weight is about what a description takes in memory.
func weight(m artifacts.Module) int64 {
	const each = 96
	n := int64(each)
	for _, i := range m.Imports {
		n += each + int64(len(i.Module)+len(i.Name)+len(i.Type))
	}
	for _, e := range m.Exports {
		n += each + int64(len(e.Name)+len(e.Type))
	}
	return n
}

// describe has the description of an entry loaded, once for all who wait for it.
func (s *State) describe(e *entry) []Effect {
	if e.describing {
		return nil
	}
	e.describing = true
	return []Effect{Describe{Key: e.key, Gen: e.gen}}
}

// load keeps a description, and lets go of those needed least recently when all together are too large.
func (s *State) load(e *entry, m artifacts.Module) {
	s.unload(e)
	e.module = &m
	s.described += weight(m)
	if s.described <= s.limits.Descriptions {
		return
	}
	var loaded []*entry
	for _, o := range s.entries {
		if o.module != nil && o != e && o.state == artifacts.Prepared {
			loaded = append(loaded, o)
		}
	}
	slices.SortFunc(loaded, func(a, b *entry) int {
		return cmp.Or(a.lastNeeded.Compare(b.lastNeeded), bytes.Compare(a.key[:], b.key[:]))
	})
	for _, o := range loaded {
		if s.described <= s.limits.Descriptions*3/4 { // not again for the next one
			break
		}
		s.unload(o)
	}
}

func (s *State) unload(e *entry) {
	if e.module != nil {
		s.described -= weight(*e.module)
		e.module = nil
	}
}

// takeDescription serves those who waited for a description.
func (s *State) takeDescription(now time.Time, m described) []Effect {
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || !e.describing {
		return nil
	}
	e.describing = false
	asks, shows := e.toJudge, e.toShow
	e.toJudge, e.toShow = nil, nil
	var out []Effect
	if m.err != nil {
		for _, r := range shows {
			out = append(out, Shown{To: r, Err: fault.From(m.err)})
		}
		var more []*ask
		for _, a := range asks {
			if a.attempts > 1 || remedyFor(fault.CodeOf(m.err)) != newArtifact {
				out = append(out, s.fail(a, m.err)...)
				continue
			}
			a.attempts++
			more = append(more, a)
		}
		if len(more) > 0 {
			out = append(out, Retried{Fault: fault.From(m.err)})
			out = append(out, s.again(now, e, more...)...)
		}
		return out
	}
	s.load(e, m.meta.Module)
	for _, r := range shows {
		out = append(out, Shown{To: r, Detail: Detail{Artifact: s.show(e), Meta: e.full()}})
	}
	for _, a := range asks {
		out = append(out, s.serve(now, e, a)...)
	}
	return out
}
