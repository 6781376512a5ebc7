package sessions

import (
	"slices"

	"github.com/troupehost/troupe/actors/fault"
)

func (s *State) wants(m wants) {
	e := s.from(m.from)
	if e == nil {
		return
	}
	e.more = max(m.more-int(e.granted-m.granted), 0) // what is on its way is not granted again
	s.queue(e)
	s.share()
	if e.more > 0 {
		s.emit(ToApp{e.rec.Address, e.gen, scarce{}, true})
	}
}

// queue puts an app where it belongs: in line if it wants a slot, behind those that came before.
func (s *State) queue(e *entry) {
	if e.more == 0 || e == s.bench {
		s.unline(e)
		return
	}
	if !e.inLine {
		e.inLine = true
		s.line = append(s.line, e)
	}
}

func (s *State) unline(e *entry) {
	if e.inLine {
		e.inLine = false
		s.line = slices.DeleteFunc(s.line, func(o *entry) bool { return o == e })
	}
}

// share gives out free slots: to those in line in turn, one each, and what nobody wants to the benchmark app. What is missing
// is taken from that.
func (s *State) share() {
	if s.draining {
		return
	}
	for s.used < s.limits.Slots && len(s.line) > 0 {
		e := s.line[0]
		s.line = s.line[1:]
		e.inLine = false
		s.give(e)
		s.queue(e)
	}
	if s.bench == nil {
		return
	}
	missing := 0
	for _, e := range s.line {
		missing += e.more
	}
	for s.bench.yields < min(missing, s.bench.held) {
		s.bench.yields++
		s.emit(ToApp{s.bench.rec.Address, s.bench.gen, yield{}, true})
	}
	for s.used < s.limits.Slots && len(s.line) == 0 && s.bench.more > 0 {
		s.give(s.bench)
	}
}

// press tells those that have slots whether others wait for them.
func (s *State) press() {
	on := !s.draining && len(s.line) > 0
	s.holders = slices.DeleteFunc(s.holders, func(e *entry) bool {
		if want := on && e.held > 0; want != e.pressed && e.actor {
			e.pressed = want
			s.emit(ToApp{e.rec.Address, e.gen, pressed{want}, true})
		}
		return e.held == 0
	})
}

func (s *State) give(e *entry) {
	s.used++
	s.ids++
	e.held++
	e.granted++
	e.more--
	if e.held == 1 {
		s.holders = append(s.holders, e)
	}
	s.emit(ToApp{e.rec.Address, e.gen, grant{s.ids}, true})
}

func (s *State) freed(m freed) {
	e := s.from(m.from)
	if e == nil {
		return
	}
	n := min(m.n, e.held)
	e.held -= n
	s.used -= n
	e.yields = max(e.yields-n, 0)
}

func (s *State) setBench(m SetBench) {
	old := s.bench
	if m.None {
		s.bench = nil
		if old == nil || old.phase != live {
			s.emit(answer[Standing]{to: m.Reply})
			return
		}
		s.emit(ToApp{old.rec.Address, old.gen, setBench{reply: m.Reply}, true})
		old.rec.Bench = false
		s.queue(old)
		return
	}
	e := s.apps[m.Address]
	switch {
	case e == nil || e.phase != live:
		s.refuse(fault.CallerNotFound, m.Address, m)
		return
	case !benchable(e.m, m.Instances):
		s.refuse(fault.CallerAppState, m.Address, m)
		return
	}
	if old != nil && old != e {
		old.rec.Bench = false
		s.bench = nil
		if old.phase == live {
			s.emit(ToApp{old.rec.Address, old.gen, setBench{}, true})
		}
		s.queue(old)
	}
	s.bench = e
	e.rec.Bench = true
	s.queue(e)
	s.emit(ToApp{e.rec.Address, e.gen, setBench{bench: true, instances: m.Instances, reply: m.Reply}, true})
}

func (s *State) enter(m Enter) {
	_, known := s.requests[m.ID]
	e := s.apps[m.Address]
	switch {
	case s.draining:
		s.emit(Refuse{m, draining()})
		return
	case e == nil || e.phase != live && e.phase != lost && e.phase != broken:
		s.refuse(fault.CallerNotFound, m.Address, m)
		return
	case !known && len(s.requests) >= s.limits.Requests:
		s.emit(Refuse{m, busy("requests")})
		return
	case !known && s.shares[m.Address] >= s.limits.Requests-len(s.requests):
		// An app has at most as many as are left for all others, so that whatever does not end leaves room for them.
		s.emit(Refuse{m, busy("requests of this app")})
		return
	}
	if !known {
		s.shares[m.Address]++
	}
	s.requests[m.ID] = m.Address
	s.toApp(m.Address, m)
}

func (s *State) leave(m Leave) {
	if _, known := s.requests[m.ID]; !known {
		if !m.again {
			m.again = true
			s.emit(Requeue{m})
		}
		return
	}
	delete(s.requests, m.ID)
	if s.shares[m.Address]--; s.shares[m.Address] == 0 {
		delete(s.shares, m.Address)
	}
	if e := s.apps[m.Address]; e != nil && e.actor {
		m.again = false
		s.emit(ToApp{m.Address, e.gen, m, true})
	}
}
