package follow

import (
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
)

const (
	maxPage        = 1000
	maxShownTicket = 16
)

// list shows a page of demands.
func (s *State) list(m List) Page {
	if m.Limit <= 0 || m.Limit > maxPage {
		m.Limit = maxPage
	}
	ids := make([]string, 0, len(s.apps)+len(s.vms))
	for addr := range s.apps {
		ids = append(ids, "app/"+addr.String())
	}
	for id := range s.vms {
		ids = append(ids, "request/"+id)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id <= m.After })
	slices.Sort(ids)
	var p Page
	for i, id := range ids[:min(len(ids), m.Limit)] {
		p.Demands = append(p.Demands, s.show(id))
		if i+1 == m.Limit && len(ids) > m.Limit {
			p.Next = id
		}
	}
	return p
}

func (s *State) show(id string) inspect.Demand {
	if number, ok := strings.CutPrefix(id, "request/"); ok {
		v := s.vms[number]
		d := inspect.Demand{
			ID: id, Kind: "request", State: v.state, Reason: v.reason, Since: v.since, Job: v.job(), IP: v.ip, Tries: v.tries, NextAt: v.next,
		}
		if v.req != nil {
			d.Owner = v.req.Owner
		}
		if d.IP == "" {
			d.IP = v.kept.IP
		}
		return d
	}
	addr, _ := manifest.ParseAddress(strings.TrimPrefix(id, "app/"))
	a := s.apps[addr]
	d := inspect.Demand{
		ID: id, Kind: "ticket", State: a.state, Reason: a.reason, Since: a.since, App: addr.String(), ByHand: a.there && !a.mine, Balance: a.paid.String(),
		Tries: a.tries, NextAt: a.next,
	}
	switch {
	case a.bench:
		d.Kind = "bench"
	case len(a.tickets) == 0:
		d.Kind = "leftover"
	}
	if a.there {
		d.Session = manifest.Address(a.session).String()
	}
	for _, t := range a.tickets[:min(len(a.tickets), maxShownTicket)] {
		d.Tickets = append(d.Tickets, t.id)
	}
	return d
}

// status shows how far it is.
func (s *State) status() inspect.Follower {
	f := inspect.Follower{
		State: phaseNames[s.phase], Reason: s.reason, Since: s.since, Head: s.head.Height, Finalized: s.final, Forks: s.forks,
		Tickets: len(s.tickets), Unseen: s.unseen, Requests: len(s.vms), Apps: map[string]int{}, Reads: s.asked, Waiting: len(s.queue),
	}
	if !s.genesis.IsZero() {
		f.Genesis = s.genesis.String()
	}
	if s.bench != (manifest.Address{}) {
		f.Bench = s.bench.String()
	}
	for _, a := range s.apps {
		f.Apps[a.state]++
	}
	return f
}
