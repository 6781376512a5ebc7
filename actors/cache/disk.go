package cache

import (
	"bytes"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
)

// held says whether an entry must stay.
func (s *State) held(e *entry) bool {
	return e.inUse > 0 || e.storing || e.describing || s.pinned(e.key)
}

// pinned says whether an artifact is pinned, or will be.
func (s *State) pinned(k artifacts.Key) bool {
	return len(s.pins[k]) > 0 || slices.ContainsFunc(s.pinning, func(p Pin) bool { return p.Key == k && !p.Off })
}

// total returns the bytes that count against the size limit: what is on disk, whether the table still has it or not.
func (s *State) total() int64 {
	var n int64
	for _, e := range s.entries {
		n += e.bytes
	}
	for _, e := range s.leaving {
		n += e.bytes
	}
	return n
}

// because notes why entries leave.
func because(why string, list ...*entry) []*entry {
	for _, e := range list {
		e.why = why
	}
	return list
}

// remove takes entries from the table at once, and from the disk as soon as the store gets to it. What the store could not
// remove comes back.
func (s *State) remove(list []*entry, then func(*Delete)) []Effect {
	var out []Effect
	var d Delete
	for _, e := range list {
		delete(s.entries, e.key)
		s.unload(e)
		e.storing, e.reserved, e.stuck = false, 0, false // a write that is under way ends as an orphan
		if e.state == artifacts.Prepared {
			out = append(out, Release{Key: e.key})
		}
		if old := s.leaving[e.key]; old != nil && old != e {
			e.bytes = max(e.bytes, old.bytes)
		}
		s.leaving[e.key] = e
		d.Gone = append(d.Gone, Gone{Key: e.key, Gen: e.gen, Bytes: e.bytes, Why: e.why})
	}
	if then != nil {
		then(&d)
	}
	return append(out, d)
}

// deleted takes the end of a removal.
func (s *State) deleted(m deleted) []Effect {
	for _, g := range m.gone {
		e := s.leaving[g.Key]
		if e == nil || e.gen != g.Gen {
			continue
		}
		if !slices.Contains(m.kept, g.Key) || e.bytes == 0 {
			delete(s.leaving, g.Key)
		} else if s.entries[g.Key] == nil && e.state == artifacts.Prepared {
			delete(s.leaving, g.Key)
			s.entries[g.Key] = e
		} else {
			e.stuck = true
		}
	}
	switch {
	case m.evict:
		return []Effect{Done{To: m.evicted, Err: m.err}}
	case m.prune:
		m.report.KeptBytes = s.total()
		return []Effect{HasPruned{To: m.pruned, Pruned: m.report, Err: m.err}}
	}
	return nil
}

// choose returns what the policy removes so that room bytes more fit, and whether what is held leaves no room for them.
func (s *State) choose(now time.Time, room int64) (remove []*entry, over bool) {
	var list []artifacts.PruneEntry
	for _, e := range s.sorted() {
		if e.state == artifacts.Prepared || e.state == artifacts.Failed && e.bytes > 0 { // the second: too large under the limits of today
			list = append(list, artifacts.PruneEntry{Key: e.key, Bytes: e.bytes, LastNeeded: e.lastNeeded, Held: s.held(e)})
		}
	}
	var taken int64 // by what is not in the list
	for _, e := range s.entries {
		taken += e.reserved
	}
	for _, e := range s.leaving {
		if e.stuck {
			taken += e.bytes
		}
	}
	p := s.limits.Policy
	p.LimitBytes -= taken + room
	keys, over := p.Prune(now, list)
	if over && room > 0 { // whatever went, there would be no room
		p.LimitBytes += room
		keys, _ = p.Prune(now, list)
	}
	for _, k := range keys {
		e := s.entries[k]
		if e.why = "size"; now.Sub(e.lastNeeded) >= p.Age {
			e.why = "age"
		}
		remove = append(remove, e)
	}
	return remove, over
}

// prune makes room for as many bytes.
func (s *State) prune(now time.Time, room int64) (out []Effect, over bool) {
	list, over := s.choose(now, room)
	if len(list) > 0 {
		out = s.remove(list, nil)
	}
	return out, over
}

// pruneNow prunes for the pruner or an operator. What could not be removed before is tried again, and so is what could not
// be written.
func (s *State) pruneNow(now time.Time, m Prune) []Effect {
	list, over := s.choose(now, 0)
	report := Pruned{Removed: len(list), OverLimit: over}
	for _, e := range list {
		report.RemovedBytes += e.bytes
	}
	for k, e := range s.leaving {
		if c := s.entries[k]; e.stuck && (c == nil || c.state == artifacts.Failed) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	out := s.persistAll(now, false)
	if len(list) == 0 {
		report.KeptBytes = s.total()
		return append(out, HasPruned{To: m.Reply, Pruned: report})
	}
	return append(out, s.remove(list, func(d *Delete) { d.Prune, d.Report, d.Pruned = true, report, m.Reply })...)
}

// persist tries to write an artifact that is served from memory only.
func (s *State) persist(now time.Time, e *entry) []Effect {
	size := e.meta.Bytes()
	if !s.unstored(e) || now.Sub(e.triedAt) < s.limits.Persist || size > s.limits.Policy.LimitBytes {
		return nil
	}
	e.triedAt = now
	e.storing = true // held from here on
	out, over := s.prune(now, size)
	if e.storing = !over; over {
		return out
	}
	e.reserved = size
	return append(out, StoreAgain{Key: e.key, Gen: e.gen})
}

// unstored says whether an artifact is served from memory, and could be written.
func (s *State) unstored(e *entry) bool {
	return e.state == artifacts.Prepared && e.bytes == 0 && !e.storing
}

// persistAll writes what is served from memory only as far as there is room, and makes room for no more than one. at once:
// whatever was tried when.
func (s *State) persistAll(now time.Time, atOnce bool) []Effect {
	var list []*entry
	for _, e := range s.sorted() {
		if s.unstored(e) && (atOnce || now.Sub(e.triedAt) >= s.limits.Persist) {
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b *entry) int { return b.lastNeeded.Compare(a.lastNeeded) })
	free := s.limits.Policy.LimitBytes - s.total()
	for _, e := range s.entries {
		free -= e.reserved
	}
	var out []Effect
	for _, e := range list {
		size := e.meta.Bytes()
		if size > free {
			e.triedAt = time.Time{}
			return append(out, s.persist(now, e)...)
		}
		free -= size
		e.triedAt, e.storing, e.reserved = now, true, size
		out = append(out, StoreAgain{Key: e.key, Gen: e.gen})
	}
	return out
}

// boundUnstored drops the least recently needed of what is in memory only, over the limit.
func (s *State) boundUnstored() []Effect {
	n := 0
	var list []*entry
	for _, e := range s.sorted() {
		if e.state == artifacts.Prepared && e.bytes == 0 {
			if n++; !s.held(e) {
				list = append(list, e)
			}
		}
	}
	over := min(n-s.limits.Unstored, len(list))
	if over <= 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b *entry) int { return a.lastNeeded.Compare(b.lastNeeded) })
	return s.remove(because("unstored", list[:over]...), nil)
}

// verified takes the end of a Verify: the store has dropped what is bad.
func (s *State) verified(m verified) []Effect {
	out := []Effect{Done{To: m.reply, Err: m.err}}
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || e.state != artifacts.Prepared {
		return out
	}
	if code := fault.CodeOf(m.err); code == fault.HostArtifactCorrupt || code == fault.HostArtifactMissing {
		e.bytes = 0
		if e.inUse == 0 && !e.storing && !e.describing { // a pin stays, for the next generation
			out = append(out, s.remove(because("corrupt", e), nil)...)
		}
	}
	return out
}
