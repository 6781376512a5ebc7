package cache

import (
	"bytes"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
)

// operate answers operators.
func (s *State) operate(in Message) []Effect {
	switch m := in.(type) {
	case List:
		list := make([]inspect.Artifact, 0, len(s.entries))
		for _, e := range s.sorted() {
			list = append(list, e.show())
		}
		return []Effect{Listed{To: m.Reply, Artifacts: list}}
	case Show:
		e := s.entries[m.Key]
		if e == nil {
			return []Effect{Shown{To: m.Reply, Err: notFound(m.Key)}}
		}
		return []Effect{Shown{To: m.Reply, Detail: Detail{Artifact: e.show(), Meta: e.meta}}}
	case Verify:
		e := s.entries[m.Key]
		if e == nil || e.state != artifacts.Prepared {
			return []Effect{Done{To: m.Reply, Err: notFound(m.Key)}}
		}
		return []Effect{StartVerify{Key: m.Key, Gen: e.gen, Reply: m.Reply}}
	case verified:
		return s.verified(m)
	case Pin:
		return s.pin(m)
	case pinned:
		return s.pinned(m)
	case Evict:
		return s.evict(m)
	}
	return nil
}

func notFound(k artifacts.Key) *fault.Error {
	return fault.New(fault.CallerNotFound, "artifact", k.String(), nil).WithHint("'troupe artifact list' shows what is there")
}

func (s *State) verified(m verified) []Effect {
	out := []Effect{Done{To: m.reply, Err: m.err}}
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || e.inUse > 0 {
		return out
	}
	if code := fault.CodeOf(m.err); code == fault.HostArtifactCorrupt || code == fault.HostArtifactMissing {
		delete(s.entries, m.key)
		out = append(out, Delete{Keys: []artifacts.Key{m.key}}, Release{Key: m.key})
	}
	return out
}

func (s *State) pin(m Pin) []Effect {
	e := s.entries[m.Key]
	if e == nil || e.state != artifacts.Prepared {
		return []Effect{Done{To: m.Reply, Err: notFound(m.Key)}}
	}
	if !m.Off && !slices.Contains(e.pins, m.Tenant) {
		n := 0
		for _, o := range s.entries {
			if slices.Contains(o.pins, m.Tenant) {
				n++
			}
		}
		if n >= s.limits.Pins {
			return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerQuota, "pin", fault.Quote(m.Tenant), nil)}}
		}
	}
	return []Effect{StartPin{Pin: m}}
}

// pinned takes effect when the pin is on disk.
func (s *State) pinned(m pinned) []Effect {
	if e := s.entries[m.pin.Key]; e != nil && m.err == nil {
		e.pins = slices.DeleteFunc(e.pins, func(t string) bool { return t == m.pin.Tenant })
		if !m.pin.Off {
			e.pins = append(e.pins, m.pin.Tenant)
		}
	}
	return []Effect{Done{To: m.pin.Reply, Err: m.err}}
}

func (s *State) evict(m Evict) []Effect {
	e := s.entries[m.Key]
	switch {
	case e == nil:
		return []Effect{Done{To: m.Reply, Err: notFound(m.Key)}}
	case e.state == artifacts.Preparing || e.inUse > 0:
		return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerConflict, "evict", "in use", nil)}}
	case len(e.pins) > 0:
		return []Effect{Done{To: m.Reply, Err: fault.New(fault.CallerConflict, "evict", "pinned", nil).WithHint("unpin it first")}}
	}
	delete(s.entries, m.Key)
	return []Effect{Delete{Keys: []artifacts.Key{m.Key}}, Release{Key: m.Key}, Done{To: m.Reply}}
}

// prune removes what the policy chooses.
func (s *State) prune(now time.Time, m Prune) []Effect {
	var list []artifacts.PruneEntry
	for _, e := range s.sorted() {
		if e.state == artifacts.Prepared {
			size := e.meta.Bytes()
			if !e.disk {
				size = 0 // takes no room on disk, and none is gained by its end
			}
			list = append(list, artifacts.PruneEntry{Key: e.key, Bytes: size, LastNeeded: e.lastNeeded, Held: e.inUse > 0 || len(e.pins) > 0})
		}
	}
	remove, over := s.limits.Policy.Prune(now, list)
	s.over = over
	var out []Effect
	p := Pruned{Removed: len(remove), OverLimit: over}
	for _, k := range remove {
		p.RemovedBytes += s.entries[k].meta.Bytes()
		delete(s.entries, k)
		out = append(out, Release{Key: k})
	}
	if len(remove) > 0 {
		out = append(out, Delete{Keys: remove})
	}
	p.KeptBytes = s.total()
	return append(out, HasPruned{To: m.Reply, Pruned: p})
}

func (s *State) sorted() []*entry {
	out := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	return out
}

func (e *entry) show() inspect.Artifact {
	a := inspect.Artifact{
		Key: e.key.String(), CodeHash: e.code.String(), State: e.state.String(), Generation: e.gen, Bytes: e.meta.Bytes(), Stored: e.disk,
		Waiting: len(e.waiting), InUse: e.inUse, Pins: slices.Clone(e.pins), PreparedAt: e.meta.PreparedAt, LastNeeded: e.lastNeeded,
		PrepareCPU: e.meta.PrepareCPU.Microseconds(), Failures: e.failure.Count,
	}
	if e.state == artifacts.Preparing {
		a.Priority = e.priority.String()
	}
	if e.state == artifacts.Failed {
		a.Fault, a.Message = string(e.failure.Fault), e.failure.Message
	}
	return a
}
