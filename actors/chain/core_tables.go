package chain

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// load takes over an entry that is on disk.
func (s *State) load(now time.Time, r Record) *entry {
	e := s.enter(r)
	s.next = max(s.next, r.Number+1)
	if r.Progress == Signed && r.Genesis == s.mark.Genesis {
		e.tries = 1 // perhaps
		s.hashes[e.Hash] = e
		e.lane.live = append(e.lane.live, e)
		s.fly(now, e)
		return e
	}
	s.void(e)
	s.move(now, e, waiting)
	e.lane.waiting.push(e.turn(), e)
	return e
}

// enter puts an entry into the tables.
func (s *State) enter(r Record) *entry {
	e := &entry{Record: r, lane: s.laneOf(r.Sender)}
	s.entries[r.Number] = e
	s.keys[r.Key] = e
	s.bytes += int64(r.Bytes)
	at := len(s.order)
	for at > 0 && s.order[at-1].Number > r.Number {
		at--
	}
	s.order = slices.Insert(s.order, at, e)
	return e
}

// leave takes an entry out of the tables.
func (s *State) leave(now time.Time, e *entry) {
	s.move(now, e, gone)
	delete(s.entries, e.Number)
	if s.keys[e.Key] == e {
		delete(s.keys, e.Key)
	}
	s.bytes -= int64(e.Bytes)
	s.release(e)
	if s.left++; s.left > 1024 && s.left > len(s.order)/2 {
		s.order = slices.DeleteFunc(s.order, func(o *entry) bool { return o.phase == gone })
		s.left = 0
	}
}

// move changes the phase of an entry.
func (s *State) move(now time.Time, e *entry, p phase) {
	if e.phase.flying() {
		e.lane.flight--
	}
	if p.flying() {
		e.lane.flight++
	}
	if e.phase == signing {
		s.chain.signing--
	}
	if p == signing {
		s.chain.signing++
	}
	e.phase, e.since, e.due = p, now, 0
	e.stamp++
}

// visible returns an entry that is on disk.
func (s *State) visible(key string) *entry {
	if e := s.keys[key]; e != nil && e.phase != adding {
		return e
	}
	return nil
}

// showRecord shows an entry that was found on disk, and takes it over if it is on its way: an Add that failed had kept it all the same.
func (s *State) showRecord(now time.Time, r Record) inspect.Outgoing {
	if r.Progress > Signed {
		return show(r)
	}
	if e := s.entries[r.Number]; e != nil {
		return s.show(e)
	}
	return s.show(s.load(now, r))
}

func (s *State) wait(m Wait) []Effect {
	if e := s.keys[m.Key]; e != nil {
		if s.waiters >= s.limits.Waiters {
			return []Effect{Ended{To: m.Reply, Err: full("wait")}}
		}
		s.waiters++
		e.waits = append(e.waits, waiter{id: m.Waiter, to: m.Reply})
		return nil
	}
	return []Effect{Find{Ask: m, Key: m.Key}}
}

func (s *State) unwait(m Unwait) []Effect {
	for _, e := range s.order {
		if n := slices.IndexFunc(e.waits, func(w waiter) bool { return w.id == m.Waiter }); n >= 0 {
			to := e.waits[n].to
			e.waits = slices.Delete(e.waits, n, n+1)
			s.waiters--
			return []Effect{Ended{To: to, Err: fault.New(fault.CanceledCaller, "wait", fault.Quote(e.Key), nil)}}
		}
	}
	if !m.again {
		m.again = true
		return []Effect{Requeue{m}}
	}
	return nil
}

func (s *State) found(now time.Time, m found) []Effect {
	err := m.err
	if err == nil && m.record == nil {
		err = fault.New(fault.CallerNotFound, "call", "", nil).WithHint("its key was never used, or it has left the history")
	}
	switch ask := m.ask.(type) {
	case Show:
		if e := s.visible(ask.Key); e != nil {
			return []Effect{Shown{To: ask.Reply, Call: s.show(e)}}
		}
		if err != nil {
			return []Effect{Shown{To: ask.Reply, Err: err}}
		}
		return []Effect{Shown{To: ask.Reply, Call: s.showRecord(now, *m.record)}}
	case Wait:
		switch {
		case s.keys[ask.Key] != nil:
			return s.wait(ask)
		case err != nil:
			return []Effect{Ended{To: ask.Reply, Err: err}}
		case m.record.Progress > Signed:
			return []Effect{Ended{To: ask.Reply, Outcome: m.record.outcome()}}
		case s.entries[m.record.Number] == nil:
			s.load(now, *m.record)
		}
		return s.wait(ask)
	}
	return nil
}
