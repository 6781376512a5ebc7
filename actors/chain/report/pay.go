package report

import (
	"bytes"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
)

// payments is what apps were paid.
type payments struct {
	max  int
	apps map[ID]*earned
	of   map[uint64]ID // by ticket
}

type earned struct {
	tickets []uint64
	paid    meter.Uint128
	debt    map[uint64]meter.Uint128 // by ticket
	height  uint64
	at      time.Time
}

func newPayments(limit int) payments {
	return payments{max: limit, apps: map[ID]*earned{}, of: map[uint64]ID{}}
}

// claim remembers whose tickets they are.
func (p *payments) claim(claims map[ID][]uint64) {
	for app, tickets := range claims {
		e := p.app(app)
		for _, t := range e.tickets {
			if !slices.Contains(tickets, t) {
				delete(e.debt, t)
				delete(p.of, t)
			}
		}
		e.tickets = tickets
		for _, t := range tickets {
			p.of[t] = app
		}
	}
}

// app returns what an app has, which takes the place of the one whose payment is the oldest.
func (p *payments) app(id ID) *earned {
	if e := p.apps[id]; e != nil {
		return e
	}
	if len(p.apps) >= p.max {
		var oldest ID
		var least *earned
		for id, e := range p.apps {
			if least == nil || e.height < least.height || e.height == least.height && bytes.Compare(id[:], oldest[:]) < 0 {
				oldest, least = id, e
			}
		}
		for _, t := range least.tickets {
			delete(p.of, t)
		}
		delete(p.apps, oldest)
	}
	e := &earned{debt: map[uint64]meter.Uint128{}}
	p.apps[id] = e
	return e
}

// add counts the payments of a block.
func (p *payments) add(now time.Time, m block) []Effect {
	var dry []ID
	for _, y := range m.pays {
		app := y.app
		if app.IsZero() {
			var known bool
			if app, known = p.of[y.ticket]; !known {
				continue
			}
		}
		e := p.app(app)
		if !slices.Contains(e.tickets, y.ticket) && len(e.tickets) < maxTickets {
			e.tickets = append(slices.Clone(e.tickets), y.ticket)
			p.of[y.ticket] = app
		}
		e.paid = e.paid.Plus(y.paid)
		e.height, e.at = m.Height, now
		if !y.dry {
			delete(e.debt, y.ticket)
			continue
		}
		if len(e.debt) < maxTickets || slices.Contains(e.tickets, y.ticket) {
			e.debt[y.ticket] = y.debt
		}
		if !slices.Contains(dry, app) {
			dry = append(dry, app)
		}
	}
	var out []Effect
	for _, app := range dry {
		if e := p.apps[app]; e != nil && e.unpaid() {
			out = append(out, Tell{App: app, Tickets: slices.Clone(e.tickets), Why: "its tickets cannot pay what it uses"})
		}
	}
	return out
}

// maxTickets is how many tickets of an app a report may claim.
const maxTickets = 3

// unpaid says whether no ticket of the app pays.
func (e *earned) unpaid() bool { return len(e.tickets) > 0 && len(e.debt) >= len(e.tickets) }

// unpaidApps counts them.
func (p *payments) unpaidApps() (n int) {
	for _, e := range p.apps {
		if e.unpaid() {
			n++
		}
	}
	return n
}

// list returns apps in the order of their addresses.
func (p *payments) list(after string, limit int) (page Pages) {
	ids := make([]ID, 0, len(p.apps))
	for id := range p.apps {
		if id.String() > after {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	limit = min(max(limit, 1), maxPage)
	for _, id := range ids {
		if len(page.Apps) == limit {
			page.Next = page.Apps[limit-1].Address
			break
		}
		e := p.apps[id]
		var debt meter.Uint128
		for _, d := range e.debt {
			debt = debt.Plus(d)
		}
		page.Apps = append(page.Apps, inspect.Pay{Address: id.String(), Tickets: e.tickets, Paid: e.paid.String(), Debt: debt.String(),
			Unpaid: e.unpaid(), Height: e.height, At: e.at})
	}
	return page
}
