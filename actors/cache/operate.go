package cache

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
)

// operate answers operators.
func (s *State) operate(in Message) []Effect {
	switch m := in.(type) {
	case List:
		return []Effect{Listed{To: m.Reply, Artifacts: s.list()}}
	case Show:
		return s.showOne(m)
	case Verify:
		return s.verify(m)
	case verified:
		return s.verified(m)
	case Pin:
		return s.pin(m)
	case pinned:
		return s.hasPinned(m)
	case Evict:
		return s.evict(m)
	}
	return nil
}

func (s *State) list() []inspect.Artifact {
	out := make([]inspect.Artifact, 0, len(s.entries))
	for _, e := range s.sorted() {
		out = append(out, s.show(e))
	}
	for k := range s.pins {
		if s.entries[k] == nil {
			out = append(out, s.show(&entry{key: k, state: artifacts.Absent}))
		}
	}
	slices.SortFunc(out, func(a, b inspect.Artifact) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

func (s *State) showOne(m Show) []Effect {
	e := s.entries[m.Key]
	switch {
	case e == nil && len(s.pins[m.Key]) > 0:
		return []Effect{Shown{To: m.Reply, Detail: Detail{Artifact: s.show(&entry{key: m.Key, state: artifacts.Absent})}}}
	case e == nil:
		return []Effect{Shown{To: m.Reply, Err: notFound(m.Key)}}
	case e.state == artifacts.Prepared && e.module == nil:
		e.toShow = append(e.toShow, m.Reply)
		return s.describe(e)
	}
	return []Effect{Shown{To: m.Reply, Detail: Detail{Artifact: s.show(e), Meta: e.full()}}}
}

func notFound(k artifacts.Key) *fault.Error {
	return fault.New(fault.CallerNotFound, "artifact", k.String(), nil).WithHint("'troupe artifact list' shows what is there")
}

func notReady(op string, e *entry) *fault.Error {
	why := "it is being prepared"
	if e.state == artifacts.Failed {
		why = "its preparation failed"
	}
	return fault.New(fault.CallerConflict, op, why, nil).WithHint("'troupe artifact show' says more")
}

func (s *State) verify(m Verify) []Effect {
	e := s.entries[m.Key]
	switch {
	case e == nil:
		return []Effect{Done{To: m.Reply, Err: notFound(m.Key)}}
	case e.state != artifacts.Prepared:
		return []Effect{Done{To: m.Reply, Err: notReady("verify", e)}}
	case e.bytes == 0:
		return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerConflict, "verify", "it is kept in memory only", nil).
			WithHint("'troupe status' says why it could not be stored")}}
	}
	return []Effect{StartVerify{Key: m.Key, Gen: e.gen, Reply: m.Reply}}
}

// pin reserves the pin, so that the quota holds and nothing removes the artifact, while the pin is on its way to the disk.
func (s *State) pin(m Pin) []Effect {
	e := s.entries[m.Key]
	has := slices.Contains(s.pins[m.Key], m.Tenant)
	switch {
	case m.Off && (has || s.onTheWay(m.Key, m.Tenant)):
	case e == nil:
		return []Effect{Done{To: m.Reply, Err: notFound(m.Key)}}
	case m.Off:
		return []Effect{Done{To: m.Reply}}
	case e.state != artifacts.Prepared:
		return []Effect{Done{To: m.Reply, Err: notReady("pin", e)}}
	case !has && s.pinsOf(m.Tenant) >= s.limits.Pins && !s.onTheWay(m.Key, m.Tenant):
		return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerQuota, "pin", fault.Quote(m.Tenant), nil)}}
	}
	s.pinning = append(s.pinning, m)
	return []Effect{StartPin{Pin: m}}
}

func (s *State) onTheWay(k artifacts.Key, tenant string) bool {
	return slices.ContainsFunc(s.pinning, func(p Pin) bool { return p.Key == k && p.Tenant == tenant && !p.Off })
}

// pinsOf counts the artifacts that a tenant has pinned, or is about to.
func (s *State) pinsOf(tenant string) int {
	n := 0
	for _, tenants := range s.pins {
		if slices.Contains(tenants, tenant) {
			n++
		}
	}
	for i, p := range s.pinning {
		again := slices.ContainsFunc(s.pinning[:i], func(o Pin) bool { return o.Key == p.Key && o.Tenant == tenant && !o.Off })
		if p.Tenant == tenant && !p.Off && !again && !slices.Contains(s.pins[p.Key], tenant) {
			n++
		}
	}
	return n
}

// hasPinned takes effect when the pin is on disk, or gone from there.
func (s *State) hasPinned(m pinned) []Effect {
	if i := slices.IndexFunc(s.pinning, func(p Pin) bool { return p.Key == m.pin.Key && p.Tenant == m.pin.Tenant && p.Off == m.pin.Off }); i >= 0 {
		s.pinning = slices.Delete(s.pinning, i, i+1)
	}
	if m.err == nil {
		tenants := slices.DeleteFunc(slices.Clone(s.pins[m.pin.Key]), func(t string) bool { return t == m.pin.Tenant })
		if !m.pin.Off {
			tenants = append(tenants, m.pin.Tenant)
		}
		if s.pins[m.pin.Key] = tenants; len(tenants) == 0 {
			delete(s.pins, m.pin.Key)
		}
	}
	return []Effect{Done{To: m.pin.Reply, Err: m.err}}
}

func (s *State) evict(m Evict) []Effect {
	e := s.entries[m.Key]
	switch {
	case e == nil && s.suspicion[m.Key] != nil: // its quarantine outlives the artifact
		delete(s.suspicion, m.Key)
		return []Effect{Done{To: m.Reply}}
	case e == nil && s.pinned(m.Key):
		return []Effect{Done{To: m.Reply, Err: notFound(m.Key).WithHint("only its pin is left: unpin it")}}
	case e == nil:
		return []Effect{Done{To: m.Reply, Err: notFound(m.Key)}}
	case e.state == artifacts.Preparing || e.inUse > 0 || e.storing || e.describing:
		return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerConflict, "evict", "in use", nil)}}
	case s.pinned(m.Key):
		return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerConflict, "evict", "pinned", nil).WithHint("unpin it first")}}
	}
	delete(s.suspicion, m.Key)
	return s.remove(because("operator", e), func(d *Delete) { d.Evict, d.Evicted = true, m.Reply })
}

func (s *State) sorted() []*entry {
	out := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	return out
}

func (s *State) show(e *entry) inspect.Artifact {
	a := inspect.Artifact{
		Key: e.key.String(), CodeHash: e.code.String(), State: e.state.String(), Generation: e.gen, Bytes: cmp.Or(e.bytes, e.meta.Bytes()), Stored: e.bytes > 0,
		Waiting: len(e.waiting) + len(e.toJudge), InUse: e.inUse, Pins: slices.Clone(s.pins[e.key]), PreparedAt: e.meta.PreparedAt, LastNeeded: e.lastNeeded,
		PrepareCPU: e.meta.PrepareCPU.Microseconds(), Failures: e.failure.Count,
	}
	a.Escalations = slices.Clone(e.escalations)
	switch e.state {
	case artifacts.Preparing:
		a.Priority = e.priority.String()
	case artifacts.Failed:
		a.Fault, a.Message = string(e.failure.Fault), e.fault.Error()
		a.RetryAt, _ = s.retryAt(e)
	case artifacts.Prepared:
		a.RetryAt = s.quarantineEnds(e.key)
	}
	return a
}
