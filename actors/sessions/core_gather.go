package sessions

import (
	"cmp"
	"maps"
	"slices"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// what is asked of all apps.
type what uint8

const (
	viewed  what = 1 + iota // what operators see of it
	totals                  // its metrics, when they are written
	drained                 // that nothing runs any more, and all is written
)

// gather is an answer that apps have a part in.
type gather struct {
	number  uint64
	what    what
	missing map[manifest.Address]bool
	order   []*entry
	parts   map[manifest.Address]told
	sync    uint64 // the Sync that it waits for; 0: the next one
	err     error
	done    func(g *gather)
	fail    func(error)
}

func (s *State) gatherings() []uint64 { return slices.Sorted(maps.Keys(s.gathers)) }

// gatherFrom asks apps. done is called when all have answered, or are gone.
func (s *State) gatherFrom(w what, from []*entry, done func(*gather), fail func(error)) {
	s.gathered++
	g := &gather{number: s.gathered, what: w, missing: map[manifest.Address]bool{}, order: from, parts: map[manifest.Address]told{}, done: done, fail: fail}
	s.gathers[g.number] = g
	for _, e := range from {
		switch {
		case e.actor && e.phase != closing:
			g.missing[e.rec.Address] = true
			s.emit(ToApp{e.rec.Address, e.gen, tell{g.number, w}, true})
		case e.phase == lost:
			g.missing[e.rec.Address] = true // its next actor is asked
		}
	}
	s.complete(g)
}

func (s *State) told(m told) {
	g := s.gathers[m.gather]
	if g == nil || !g.missing[m.from.address] || s.from(m.from) == nil {
		return
	}
	delete(g.missing, m.from.address)
	g.parts[m.from.address] = m
	if m.err != nil {
		g.err = m.err
	}
	s.complete(g)
}

// skip has nobody wait for an app that is gone or down.
func (s *State) skip(a manifest.Address) {
	for _, n := range s.gatherings() {
		if g := s.gathers[n]; g.missing[a] {
			delete(g.missing, a)
			s.complete(g)
		}
	}
}

func (s *State) complete(g *gather) {
	if len(g.missing) > 0 {
		return
	}
	delete(s.gathers, g.number)
	switch {
	case g.err != nil && g.what != drained:
		g.fail(g.err)
	case g.what == viewed:
		g.done(g)
	default:
		s.syncWait = append(s.syncWait, g)
	}
}

func (s *State) finishGather(g *gather)          { g.done(g) }
func (s *State) failGather(g *gather, err error) { g.fail(err) }

// maxPage bounds a page of a list.
const maxPage = 1000

func (s *State) list(m List) {
	if len(s.gathers)+len(s.syncWait) >= s.limits.Gathers {
		s.emit(answer[Page]{to: m.Reply, err: busy("list")})
		return
	}
	limit := min(max(m.Limit, 1), maxPage)
	at, found := slices.BinarySearchFunc(s.order, m.After, func(e *entry, n uint64) int { return cmp.Compare(e.rec.Sequence, n) })
	if found {
		at++
	}
	var from []*entry
	var next uint64
	for _, e := range s.order[at:] {
		if e.phase == 0 || e.phase == saving || e.phase == ghost || e.saveErr != nil || m.Tenant != "" && e.rec.Tenant != m.Tenant {
			continue
		}
		if len(from) == limit {
			next = from[limit-1].rec.Sequence
			break
		}
		from = append(from, e)
	}
	s.gatherFrom(viewed, from, func(g *gather) {
		p := Page{Next: next}
		for _, e := range g.order {
			if part, ok := g.parts[e.rec.Address]; ok {
				p.Apps = append(p.Apps, part.view)
			} else if e.phase != 0 {
				p.Apps = append(p.Apps, e.stub())
			}
		}
		s.emit(answer[Page]{to: m.Reply, r: p})
	}, m.Reply.Fail)
}

// stub is what is known of an app whose actor is down.
func (e *entry) stub() inspect.App {
	v := inspect.App{Address: e.rec.Address.String(), Session: hexOf(e.rec.Session), Label: e.m.Label, Tenant: e.rec.Tenant, Version: e.m.Version,
		CodeHash: e.m.CodeHash, Entry: e.rec.Entry.String(), Reuse: e.rec.Reuse.String(), OnDemand: e.m.OnDemand, Resizable: e.m.Resizable,
		Bench: e.rec.Bench, State: "failed", Reason: "its actor is down", Wanted: e.rec.Wanted, Deployed: e.rec.Deployed, Sequence: e.rec.Sequence}
	if e.phase >= emptying {
		v.State, v.Reason = "stopped", "it is removed"
	}
	return v
}

func (s *State) report(m Report) {
	fail := func(err error) { s.emit(answer[[]ReportPage]{to: m.Reply, err: err}) }
	switch {
	case s.session == nil || s.opens != nil:
		fail(noSession())
		return
	case len(s.gathers)+len(s.syncWait) >= s.limits.Gathers:
		fail(busy("report"))
		return
	}
	var from []*entry
	if m.Addresses == nil {
		for _, e := range s.order {
			if reportable(e) {
				from = append(from, e)
			}
		}
	}
	seen := map[manifest.Address]bool{}
	for _, a := range m.Addresses {
		e := s.apps[a]
		if e == nil || !reportable(e) {
			fail(fault.New(fault.CallerNotFound, "report", a.String(), nil))
			return
		}
		if !seen[a] {
			from = append(from, e)
		}
		seen[a] = true
	}
	slices.SortFunc(from, func(a, b *entry) int { return cmp.Compare(a.rec.Sequence, b.rec.Sequence) })
	s.gatherFrom(totals, from, func(g *gather) { s.issue(m.Reply, g) }, m.Reply.Fail)
}

func reportable(e *entry) bool {
	return e.phase == live || e.phase == emptying || e.phase == lost || e.phase == broken
}

// issue makes pages of totals, and has a token for each.
func (s *State) issue(to kernel.Reply[[]ReportPage], g *gather) {
	if s.session == nil {
		s.emit(answer[[]ReportPage]{to: to, err: noSession()})
		return
	}
	pages := []ReportPage{{}}
	for _, e := range g.order {
		part, ok := g.parts[e.rec.Address]
		if !ok {
			if e.phase == broken || e.phase == lost { // its totals are not lost, and a report without them would say so
				s.emit(answer[[]ReportPage]{to: to, err: fault.New(fault.HostGaveUp, "report", e.rec.Address.String(), nil)})
				return
			}
			continue
		}
		if p := &pages[len(pages)-1]; len(p.Apps) < meter.MaxApps {
			p.Apps = append(p.Apps, part.metrics)
		} else {
			pages = append(pages, ReportPage{Apps: []meter.Metrics{part.metrics}})
		}
	}
	s.ticket.wait = append(s.ticket.wait, claim{n: len(pages), fail: func(err error) { s.emit(answer[[]ReportPage]{to: to, err: err}) },
		give: func(first uint64) {
			for i := range pages {
				pages[i].Token = meter.Token{SN: first + uint64(i), Session: s.session.ID}
			}
			s.emit(Issue{to, pages})
		}})
}

func (s *State) drain(m Drain) {
	s.draining = true
	s.line = nil
	for _, e := range s.order {
		e.inLine = false
	}
	s.gatherFrom(drained, s.liveOnes(), func(*gather) { s.emit(answer[struct{}]{to: m.Reply}) }, func(err error) {
		s.emit(answer[struct{}]{to: m.Reply, err: err})
	})
}

func (s *State) liveOnes() (out []*entry) {
	for _, e := range s.order {
		if e.phase != 0 {
			out = append(out, e)
		}
	}
	return out
}

func (s *State) removeAll(m RemoveAll) {
	left, gone := 1, 0
	var first error
	end := func() {
		if left--; left > 0 {
			return
		}
		s.emit(answer[int]{m.Reply, gone, first})
	}
	for _, e := range s.liveOnes() {
		left++
		s.remove(e.rec.Address, func(_ meter.Metrics, err error) {
			switch {
			case err == nil:
				gone++
			case first == nil && fault.CodeOf(err) != fault.CallerNotFound:
				first = err
			}
			end()
		}, m.Reply.Fail)
	}
	end()
}
