package execute

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// lease says who has a worker that has no run.
type lease uint8

const (
	kept     lease = iota // the queue
	lent                  // the leases
	recalled              // the leases, until its rides have ended
)

// lendOut lends what idles while nobody waits, and asks everything back as soon as somebody does. It also says what room
// there is.
func (s *State) lendOut(now time.Time) []Effect {
	if !s.lends {
		return nil
	}
	pressed := s.pressed(now)
	var these []*worker
	for _, w := range s.workers {
		if pressed && w.lease == lent || !pressed && s.lendable(now, w) {
			these = append(these, w)
		}
	}
	slices.SortFunc(these, func(a, b *worker) int { return cmp.Compare(a.name, b.name) })
	var out []Effect
	for _, w := range these {
		if pressed {
			out = append(out, w.revoke())
			continue
		}
		w.lease = lent
		out = append(out, Grant{Worker: w.name, Binding: w.binding})
	}
	ordinary, _ := s.slots()
	if room := max(0, s.limits.Soft-ordinary); room != s.room {
		s.room = room
		out = append(out, Room{Slots: room})
	}
	return out
}

// pressed reports whether a run waits for a slot, or for more than the one above soft that it has, or whether nothing is to run. Runs that wait out a
// drought need no slot meanwhile.
func (s *State) pressed(now time.Time) bool {
	if s.paused || len(s.claims) > 0 {
		return true
	}
	for p := range s.classes {
		if s.classes[p].n > 0 && s.backlog(run.Priority(p), now) { //nolint:gosec // an index of classes
			return true
		}
	}
	_, above := s.slots()
	return above > 0
}

// lendable reports whether a worker may be lent: one that idled its time is closed at the next tick.
func (s *State) lendable(now time.Time, w *worker) bool {
	return w.idle() && w.up && w.lend && now.Sub(w.since) < s.limits.Idle
}

func (w *worker) revoke() Effect {
	w.lease = recalled
	return Revoke{Worker: w.name}
}

// returned takes a worker back.
func (s *State) returned(now time.Time, m returned) []Effect {
	w := s.workers[m.Worker]
	if w == nil || w.lease == kept {
		return nil
	}
	w.lease = kept
	w.runs += m.Runs
	w.sandbox = cmp.Or(m.Sandbox, w.sandbox)
	if m.LastUsed.After(w.since) {
		w.since = m.LastUsed
	}
	switch {
	case !m.Alive:
		return []Effect{s.close(now, w, cmp.Or(m.Retired, closedSpoiled))}
	case w.leaves:
		return []Effect{s.close(now, w, w.leaving())}
	}
	return nil
}

// release closes the idle workers of an artifact.
func (s *State) release(now time.Time, m Release) []Effect {
	var out []Effect
	for _, w := range s.sorted() {
		switch {
		case w.binding.Key != m.Key || m.Tenant != "" && w.binding.Tenant != m.Tenant:
		case w.idle():
			out = append(out, s.close(now, w, closedStopped))
		case w.lease == lent:
			w.leaves = true
			out = append(out, w.revoke())
		case w.lease == recalled:
			w.leaves = true
		}
	}
	return out
}
