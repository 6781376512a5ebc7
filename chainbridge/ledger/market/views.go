package market

import (
	"encoding/json"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

func views() []pallet.View {
	return []pallet.View{
		{Name: "ticket", Run: viewTicket},
		{Name: "tickets", Run: viewTickets},
		{Name: "balance_of_ticket", Run: viewBalance},
		{Name: "settlements", Run: viewSettlements},
		{Name: "debts", Run: viewDebts},
		{Name: "list", Run: viewList},
		{Name: "lists", Run: viewLists},
		{Name: "list_workers", Run: viewListWorkers},
		{Name: "invitation", Run: viewInvitation},
		{Name: "invitations", Run: viewInvitations},
		{Name: "worker", Run: viewWorker},
		{Name: "workers", Run: viewWorkers},
		{Name: "bench_apps", Run: viewBenchApps},
		{Name: "params", Run: viewParams},
	}
}

// maxWorkersShown bounds the workers of a ticket that are shown with it; the view settlements has all.
const maxWorkersShown = 64

// ticketView is a ticket as it is shown.
type ticketView struct {
	ID           uint64           `json:"id"`
	System       bool             `json:"system"`
	Owner        *pallet.Account  `json:"owner"`
	Workers      any              `json:"workers"`
	Address      pallet.Hash      `json:"address"`
	ManifestCID  string           `json:"manifest_cid"`
	Prices       Prices           `json:"prices"`
	Account      pallet.Account   `json:"account"`
	Balance      pallet.Balance   `json:"balance"`
	CreatedAt    uint64           `json:"created_at"`
	ClosingAt    *uint64          `json:"closing_at"`
	WorkersState []settlementView `json:"workers_state"`
}

type settlementView struct {
	Worker pallet.Account `json:"worker"`
	Settlement
}

func showTicket(s *state.Store, id uint64, t Ticket) ticketView {
	v := ticketView{
		ID: id, System: t.System, Owner: t.Owner, Workers: "any", Address: t.Address, ManifestCID: t.ManifestCID, Prices: t.Prices,
		Account: TicketAccount(id), Balance: accounts.Free(s, TicketAccount(id)), CreatedAt: t.CreatedAt, ClosingAt: t.ClosingAt,
		WorkersState: []settlementView{},
	}
	if t.Workers != nil {
		v.Workers = struct {
			List uint64 `json:"list"`
		}{*t.Workers}
	}
	settlements.Each(s, id, nil, func(w pallet.Account, row Settlement) bool {
		v.WorkersState = append(v.WorkersState, settlementView{w, row})
		return len(v.WorkersState) < maxWorkersShown
	})
	return v
}

type byID struct {
	ID uint64 `json:"id"`
}

func missing(what string) error { return fault.New(fault.CallerNotFound, what, "", nil) }

func viewTicket(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byID
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	t, ok := tickets.Get(c.Store, p.ID)
	if !ok {
		return nil, missing("ticket")
	}
	return showTicket(c.Store, p.ID, t), nil
}

func viewBalance(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byID
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	if !tickets.Has(c.Store, p.ID) {
		return nil, missing("ticket")
	}
	return accounts.Free(c.Store, TicketAccount(p.ID)), nil
}

// viewTickets walks through all tickets, or those of an owner, a list, or a worker: its lists one by one, and then what any worker
// may serve. If the ticket that the page is to come after is gone meanwhile, the tickets of a worker begin anew.
func viewTickets(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		pallet.Page[uint64]
		Owner  *pallet.Account `json:"owner"`
		Worker *pallet.Account `json:"worker"`
		List   *uint64         `json:"list"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[uint64, ticketView](p.Page)
	more := true
	add := func(id uint64, _ bool) bool {
		t, _ := tickets.Get(c.Store, id)
		more = page.Add(id, showTicket(c.Store, id, t))
		return more
	}
	switch {
	case p.Owner != nil && p.Worker == nil && p.List == nil:
		ticketsOf.Each(c.Store, *p.Owner, p.After, add)
	case p.List != nil && p.Owner == nil && p.Worker == nil:
		ticketsFor.Each(c.Store, *p.List, p.After, add)
	case p.Worker != nil && p.Owner == nil && p.List == nil:
		in, _ := listsOf.Get(c.Store, *p.Worker)
		in = append(in, anyList)
		after := p.After
		if after != nil {
			t, ok := tickets.Get(c.Store, *after)
			for ok && len(in) > 1 && in[0] != t.list() {
				in = in[1:]
			}
			if !ok || in[0] != t.list() {
				after = nil
			}
		}
		for i := 0; i < len(in) && more; i++ {
			ticketsFor.Each(c.Store, in[i], after, add)
			after = nil
		}
	case p.Worker == nil && p.Owner == nil && p.List == nil:
		tickets.Each(c.Store, p.After, func(id uint64, t Ticket) bool { return page.Add(id, showTicket(c.Store, id, t)) })
	default:
		return nil, fault.New(fault.CallerInvalid, "tickets", "", nil).WithHint("ask for those of an owner, a worker or a list")
	}
	return page, nil
}

func viewSettlements(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		pallet.Page[pallet.Account]
		ID uint64 `json:"id"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[pallet.Account, settlementView](p.Page)
	settlements.Each(c.Store, p.ID, p.After, func(w pallet.Account, row Settlement) bool {
		return page.Add(w, settlementView{w, row})
	})
	return page, nil
}

type debtView struct {
	TicketID uint64         `json:"ticket_id"`
	Debt     pallet.Balance `json:"debt"`
}

func viewDebts(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		pallet.Page[uint64]
		Worker pallet.Account `json:"worker"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[uint64, debtView](p.Page)
	debtsOf.Each(c.Store, p.Worker, p.After, func(id uint64, debt pallet.Balance) bool { return page.Add(id, debtView{id, debt}) })
	return page, nil
}

type listView struct {
	ID uint64 `json:"id"`
	List
}

func viewList(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byID
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	l, ok := lists.Get(c.Store, p.ID)
	if !ok {
		return nil, missing("list")
	}
	workers := []pallet.Account{}
	members.Each(c.Store, p.ID, nil, func(w pallet.Account, m member) bool {
		if m.Until == nil {
			workers = append(workers, w)
		}
		return len(workers) < maxWorkersShown
	})
	return struct {
		listView
		Workers []pallet.Account `json:"workers"`
	}{listView{p.ID, l}, workers}, nil
}

func viewLists(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[uint64]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[uint64, listView](p)
	lists.Each(c.Store, p.After, func(id uint64, l List) bool { return page.Add(id, listView{id, l}) })
	return page, nil
}

type memberView struct {
	Worker pallet.Account `json:"worker"`
	Until  *uint64        `json:"until"` // the last height of which reports are paid; nil while it belongs to the list
}

func viewListWorkers(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		pallet.Page[pallet.Account]
		ID uint64 `json:"id"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[pallet.Account, memberView](p.Page)
	members.Each(c.Store, p.ID, p.After, func(w pallet.Account, m member) bool { return page.Add(w, memberView{w, m.Until}) })
	return page, nil
}

func viewInvitation(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		List   uint64         `json:"list"`
		Worker pallet.Account `json:"worker"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	n, ok := invitations.Get(c.Store, p.List, p.Worker)
	if !ok {
		return nil, missing("invitation")
	}
	return struct {
		Invitation uint64 `json:"invitation"`
	}{n}, nil
}

type invitationView struct {
	List       uint64 `json:"list"`
	Invitation uint64 `json:"invitation"`
}

// viewInvitations shows what a worker may consent to.
func viewInvitations(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		pallet.Page[uint64]
		Worker pallet.Account `json:"worker"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[uint64, invitationView](p.Page)
	askedOf.Each(c.Store, p.Worker, p.After, func(list, n uint64) bool { return page.Add(list, invitationView{list, n}) })
	return page, nil
}

// workerView is a worker as the market sees it.
type workerView struct {
	Worker      pallet.Account `json:"worker"`
	Registered  bool           `json:"registered"`
	Description *string        `json:"description"`
	Prices      Prices         `json:"prices"`
	Session     *Session       `json:"session"`
	Lists       []uint64       `json:"lists"`
}

func showWorker(s *state.Store, w pallet.Account) workerView {
	v := workerView{Worker: w, Lists: []uint64{}}
	_, v.Registered = registry.Worker(s, w)
	if d, ok := described.Get(s, w); ok {
		v.Description, v.Prices = &d.Description, d.Prices
	}
	if in, ok := sessions.Get(s, w); ok {
		v.Session = &in
	}
	if in, ok := listsOf.Get(s, w); ok {
		v.Lists = in
	}
	return v
}

func viewWorker(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Worker pallet.Account `json:"worker"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	return showWorker(c.Store, p.Worker), nil // one that nobody knows is not registered
}

// viewWorkers shows the workers that have a description, which is what makes them part of the market.
func viewWorkers(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[pallet.Account]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	page := pallet.NewAnswer[pallet.Account, workerView](p)
	described.Each(c.Store, p.After, func(w pallet.Account, _ Description) bool { return page.Add(w, showWorker(c.Store, w)) })
	return page, nil
}

type benchView struct {
	Address     pallet.Hash `json:"address"`
	Ticket      uint64      `json:"ticket"`
	Numerator   uint32      `json:"numerator"`
	Denominator uint32      `json:"denominator"`
	ManifestCID string      `json:"manifest_cid"`
}

func viewBenchApps(c *pallet.Context, _ json.RawMessage) (any, error) {
	out := struct {
		Recommended *pallet.Hash `json:"recommended"`
		Apps        []benchView  `json:"apps"`
	}{Apps: []benchView{}}
	if a, ok := recommended.Get(c.Store); ok {
		out.Recommended = &a
	}
	list, _ := benchList.Get(c.Store)
	for _, address := range list {
		a, _ := benchApps.Get(c.Store, address)
		t, _ := tickets.Get(c.Store, a.Ticket)
		out.Apps = append(out.Apps, benchView{address, a.Ticket, a.ScoreRatio.Numerator, a.ScoreRatio.Denominator, t.ManifestCID})
	}
	return out, nil
}

func viewParams(c *pallet.Context, _ json.RawMessage) (any, error) {
	return Genesis{window(c.Store)}, nil
}
