package execute

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// The back-off between two attempts to start a process.
const (
	minSpawnBackoff = 100 * time.Millisecond
	maxSpawnBackoff = 5 * time.Second
)

// slots counts the runs that have a slot, on a worker or by a claim: by their turn, and those above soft. A worker that is
// lent has an ordinary slot, whether it is used or not.
func (s *State) slots() (ordinary, above int) {
	count := func(i *item) {
		if i.above {
			above++
		} else {
			ordinary++
		}
	}
	for _, w := range s.workers {
		if w.run != nil {
			count(w.run)
		} else if w.lease != kept {
			ordinary++
		}
	}
	for _, i := range s.claims {
		count(i)
	}
	return ordinary, above
}

// schedule starts what may start: first the runs that hold a claim, then whatever has a backlog, as long as there are slots.
// Runs with a slot for which there is no room yet claim it.
func (s *State) schedule(now time.Time) []Effect {
	out := s.startClaims(now)
	for i := s.choose(now); i != nil; i = s.choose(now) {
		s.classes[i.Priority].start(i, now)
		if d := s.droughts[i.Binding]; d != nil { // no attempt follows another at once, however that ends
			d.retryAt = now.Add(d.wait)
		}
		if e := s.start(now, i); len(e) > 0 {
			out = append(out, e...)
		} else {
			s.claims = append(s.claims, i)
			i.trail = i.trail.Add(run.Step{Stage: run.Assigned, At: now, Waits: "the end of a worker that makes room for its own"})
		}
	}
	out = append(out, s.startClaims(now)...) // what got a slot above soft after them left them room
	return append(out, s.trim(now)...)
}

// choose gives a slot to a run: one of the ordinary slots by turns, or one above soft to a critical run, which is no turn. A
// critical run above soft goes on waiting for an ordinary slot: until it got its turn, its class has a backlog. So what
// runs above soft takes nothing from the others, and leaves nothing to them that critical runs would have had.
func (s *State) choose(now time.Time) *item {
	ordinary, above := s.slots()
	for ordinary < s.limits.Soft {
		p := s.turns.next(func(p run.Priority) bool { return p == run.Critical && above > 0 || s.backlog(p, now) })
		if p == 0 {
			return nil
		}
		if p != run.Critical || above == 0 {
			return s.classes[p].pick(now, s.mayStart(now), s.hasPlace)
		}
		s.firstAbove().above = false
		ordinary, above = ordinary+1, above-1
	}
	if above >= s.limits.Hard-s.limits.Soft || !s.backlog(run.Critical, now) {
		return nil
	}
	i := s.classes[run.Critical].pick(now, s.mayStart(now), s.hasPlace)
	i.above = true
	return i
}

// firstAbove returns the run that came first of those above soft.
func (s *State) firstAbove() *item {
	var first *item
	look := func(i *item) {
		if i != nil && i.above && (first == nil || i.since.Before(first.since) || i.since.Equal(first.since) && i.Run < first.Run) {
			first = i
		}
	}
	for _, w := range s.workers {
		look(w.run)
	}
	for _, i := range s.claims {
		look(i)
	}
	return first
}

// startClaims starts the runs that hold a claim, in its order, as far as there is room.
func (s *State) startClaims(now time.Time) []Effect {
	var out []Effect
	for n := 0; n < len(s.claims); {
		e := s.start(now, s.claims[n])
		if len(e) == 0 {
			n++
			continue
		}
		s.claims = slices.Delete(s.claims, n, n+1)
		out = append(out, e...)
	}
	return out
}

// trim closes idle workers, the one that idled longest first, until there is room for all that have a slot, and not more of
// them than soft. A worker that closes already is room enough for one claim.
func (s *State) trim(now time.Time) []Effect {
	var out []Effect
	ordinary, _ := s.slots()
	why := closedCulled
	if len(s.claims) > 0 {
		why = closedRoom
	}
	idle := 0
	for _, w := range s.workers {
		if w.idle() {
			idle++
		}
	}
	for ; idle > 0 && ordinary+idle > s.limits.Soft; idle-- {
		out = append(out, s.close(now, s.longestIdle(), why))
	}
	return out
}

// backlog reports whether a class has a run that may start now.
func (s *State) backlog(p run.Priority, now time.Time) bool {
	return !s.paused && s.classes[p].n > 0 && (len(s.droughts) == 0 || s.classes[p].first(s.mayStart(now)) != nil)
}

// mayStart reports of runs whether they need no process, or may try to start one.
func (s *State) mayStart(now time.Time) func(*item) bool {
	return func(i *item) bool {
		d := s.droughts[i.Binding]
		return d == nil || s.place(i) != nil || !d.retryAt.After(now) && !s.attempting(i.Binding)
	}
}

// attempting reports whether a process is being started for a binding, or will be as soon as there is room for it.
func (s *State) attempting(b Binding) bool {
	for _, w := range s.workers {
		if w.binding == b && w.run != nil && !w.up {
			return true
		}
	}
	return slices.ContainsFunc(s.claims, func(i *item) bool { return i.Binding == b })
}

func (s *State) hasPlace(i *item) bool { return s.place(i) != nil }

// start starts a run on an idle worker of its binding, or on a new one if there is room for its process: below soft and
// what runs above it, for critical runs below hard. Nil: there is neither.
func (s *State) start(now time.Time, i *item) []Effect {
	if w := s.place(i); w != nil {
		w.run, w.since = i, now
		i.runs(now, w)
		return []Effect{RunOn{Worker: w.name, Job: i.Job}, Began{Priority: i.Priority, Waited: now.Sub(i.since)}}
	}
	room := s.limits.Hard
	if i.Priority < run.Critical {
		_, above := s.slots()
		room = s.limits.Soft + above
	}
	if len(s.workers) >= room {
		return nil
	}
	s.last++
	w := &worker{name: s.last, binding: i.Binding, run: i, since: now}
	s.workers[s.last] = w
	i.trail = i.trail.Add(run.Step{Stage: run.Handshake, At: now, Waits: "its worker, which starts and takes the artifact", Owner: w.actor()})
	return []Effect{StartWorker{Worker: s.last, Job: i.Job}}
}

// place returns the idle worker of the run's binding that idled least, nil if there is none.
func (s *State) place(i *item) *worker {
	var best *worker
	for _, w := range s.workers {
		if w.binding == i.Binding && w.idle() && (best == nil || w.since.After(best.since) || w.since.Equal(best.since) && w.name < best.name) {
			best = w
		}
	}
	return best
}

// longestIdle returns the worker that idled longest, nil if none is idle.
func (s *State) longestIdle() *worker {
	var best *worker
	for _, w := range s.workers {
		if w.idle() && (best == nil || w.since.Before(best.since) || w.since.Equal(best.since) && w.name < best.name) {
			best = w
		}
	}
	return best
}

// drought is the time in which no process can be started for a binding. Runs that have an idle worker go on meanwhile, and
// so do other bindings.
type drought struct {
	since   time.Time // of the first failure
	retryAt time.Time
	wait    time.Duration // the present back-off
	fault   *fault.Error  // the last failure
}

// unstarted parks a run again, before those of its binding, when no process could be started for it.
func (s *State) unstarted(now time.Time, m unstarted) []Effect {
	w := s.workers[m.Worker]
	if w == nil || w.run == nil {
		return nil
	}
	i, canceled := w.run, w.closing != ""
	w.run, w.closing = nil, closedStopped // its slot is free when it has ended
	switch {
	case canceled:
		return []Effect{s.answer(i, Answer{Err: fault.New(fault.CanceledCaller, "execute", "", nil)})}
	case m.Fault.Code != fault.HostSpawnFailed:
		return []Effect{s.answer(i, Answer{Outcome: run.Outcome{Fault: m.Fault, Trail: i.ended(now, time.Time{})}})}
	}
	d := s.droughts[i.Binding]
	if d == nil {
		d = &drought{since: now, wait: minSpawnBackoff / 2}
		s.droughts[i.Binding] = d
	}
	d.wait = min(2*d.wait, maxSpawnBackoff)
	d.retryAt, d.fault = now.Add(d.wait), m.Fault
	for n := len(s.claims) - 1; n >= 0; n-- { // these would be attempts, too
		if c := s.claims[n]; c.Binding == i.Binding {
			s.claims = slices.Delete(s.claims, n, n+1)
			s.repark(now, c)
		}
	}
	s.repark(now, i)
	return nil
}

// repark parks a run that had a slot, before those of its binding.
func (s *State) repark(now time.Time, i *item) {
	i.above = false
	i.waitTurn(now)
	s.classes[i.Priority].put(i, true)
}

// endDroughts forgets the droughts that no run waits through any more.
func (s *State) endDroughts() {
	if len(s.droughts) == 0 {
		return
	}
	needed := map[Binding]bool{}
	s.each(func(i *item) { needed[i.Binding] = true })
	for _, w := range s.workers {
		if !w.up && w.run != nil {
			needed[w.binding] = true
		}
	}
	for b := range s.droughts {
		if !needed[b] {
			delete(s.droughts, b)
		}
	}
}
