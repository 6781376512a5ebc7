package market

import (
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// TicketCreated says that there is a ticket.
type TicketCreated struct {
	ID          uint64          `json:"id"`
	Owner       *pallet.Account `json:"owner"`
	System      bool            `json:"system"`
	Address     pallet.Hash     `json:"address"`
	ManifestCID string          `json:"manifest_cid"`
	List        *uint64         `json:"list"` // nil: any worker
	Prices      Prices          `json:"prices"`
	Account     pallet.Account  `json:"account"`
	Deposit     pallet.Balance  `json:"deposit"`
}

// TicketClosing says that a ticket is paid for up to a height.
type TicketClosing struct {
	ID       uint64 `json:"id"`
	ClosesAt uint64 `json:"closes_at"`
}

// TicketClosed says that a ticket is gone.
type TicketClosed struct {
	ID     uint64         `json:"id"`
	Refund pallet.Balance `json:"refund"`
}

// anyList stands for tickets of any worker in the index by lists.
const anyList = 1<<64 - 1

func (t Ticket) list() uint64 {
	if t.Workers == nil {
		return anyList
	}
	return *t.Workers
}

// TicketCreate makes a ticket. More money is transferred to its account.
type TicketCreate struct {
	Deposit     pallet.Balance `json:"deposit"`
	Address     pallet.Hash    `json:"address"` // of the app
	ManifestCID string         `json:"manifest_cid" scale:"max=128"`
	WorkerList  uint64         `json:"worker_list"`
	Prices      Prices         `json:"prices"` // those of the list where nil; they never change
}

// Run implements pallet.Call.
func (t *TicketCreate) Run(c *pallet.Context) error {
	owner, err := c.Signer()
	if err != nil {
		return err
	}
	l, ok := lists.Get(c.Store, t.WorkerList)
	if !ok {
		return fail("WorkerListNotFound", "")
	}
	id := create(c, Ticket{Owner: &owner, Workers: &t.WorkerList, Address: t.Address, Prices: t.Prices.or(l.Prices), ManifestCID: t.ManifestCID}, t.Deposit)
	return accounts.Transfer(c, owner, TicketAccount(id), t.Deposit, true)
}

func create(c *pallet.Context, t Ticket, deposit pallet.Balance) uint64 {
	id := next(c.Store, nextTicket)
	t.CreatedAt, t.CreatedTime = c.Height, c.Time
	tickets.Put(c.Store, id, t)
	ticketsFor.Put(c.Store, t.list(), id, true)
	if t.Owner != nil {
		ticketsOf.Put(c.Store, *t.Owner, id, true)
	}
	c.Emit(name, "TicketCreated", TicketCreated{
		ID: id, Owner: t.Owner, System: t.System, Address: t.Address, ManifestCID: t.ManifestCID, List: t.Workers,
		Prices: t.Prices, Account: TicketAccount(id), Deposit: deposit,
	})
	return id
}

// TicketClose begins the end of a ticket: reports are paid for one closing window, and then the owner gets what is left.
type TicketClose struct {
	ID uint64 `json:"id"`
}

// Run implements pallet.Call.
func (t *TicketClose) Run(c *pallet.Context) error {
	signer, err := c.Signer()
	if err != nil {
		return err
	}
	ticket, ok := tickets.Get(c.Store, t.ID)
	switch {
	case !ok:
		return fail("TicketNotFound", "")
	case ticket.Owner == nil || *ticket.Owner != signer:
		return fail("NotAllowed", "the ticket is another's")
	case ticket.ClosingAt != nil:
		return fail("NotAllowed", "the ticket is closing already")
	}
	at := later(c, duty{Kind: Closing, ID: t.ID})
	ticket.ClosingAt = &at
	tickets.Put(c.Store, t.ID, ticket)
	c.Emit(name, "TicketClosing", TicketClosing{t.ID, at})
	return nil
}

// The kinds of duties.
const (
	Closing    uint8 = iota // of the ticket ID
	Membership              // of Worker in the list ID
)

// duty is what is to be done at the end of a block.
type duty struct {
	Kind   uint8
	ID     uint64
	Worker pallet.Account
}

const (
	maxDuties = 256 // of a block
	maxRows   = 64  // of a ticket in a block
)

// later puts a duty behind the closing window, and returns the height: the first one that has room.
func later(c *pallet.Context, d duty) uint64 {
	return schedule(c.Store, room, c.Height+window(c.Store), d)
}

// schedule begins where it found room last, for the same distance from the head: who closes a million tickets must not make each
// closing look at all heights that are full by then.
func schedule(s *state.Store, from state.Item[uint64], height uint64, d duty) uint64 {
	begin, _ := from.Get(s)
	for at := max(height, begin); ; at++ {
		if list, _ := due.Get(s, at); len(list) < maxDuties {
			due.Put(s, at, append(list, d))
			if at > height && at != begin {
				from.Put(s, at)
			}
			return at
		}
	}
}

// end carries out the duties of a block.
func end(c *pallet.Context) error {
	list, _ := due.Get(c.Store, c.Height)
	if len(list) == 0 {
		return nil
	}
	due.Delete(c.Store, c.Height)
	for _, d := range list {
		switch d.Kind {
		case Closing:
			finish(c, d)
		case Membership:
			if m, ok := members.Get(c.Store, d.ID, d.Worker); ok && m.Until != nil && *m.Until == c.Height {
				members.Delete(c.Store, d.ID, d.Worker)
			}
		}
	}
	return nil
}

// treasury gets what somebody paid into a ticket that nobody owns.
func treasury() pallet.Account { return accounts.Module("py/trsry") }

// finish pays a ticket's debts, gives the rest back, and removes it. One of many workers takes several blocks.
func finish(c *pallet.Context, d duty) {
	t, ok := tickets.Get(c.Store, d.ID)
	if !ok {
		return
	}
	var workers []pallet.Account
	settlements.Each(c.Store, d.ID, nil, func(w pallet.Account, _ Settlement) bool {
		workers = append(workers, w)
		return len(workers) < maxRows
	})
	for _, w := range workers {
		row, _ := settlements.Get(c.Store, d.ID, w)
		if in, ok := sessions.Get(c.Store, w); ok && !row.Debt.IsZero() {
			pay(c, claim{id: d.ID, ticket: t}, w, in.Recipient, &row, pallet.Balance{}, pallet.Balance{})
		}
		settlements.Delete(c.Store, d.ID, w)
		debtsOf.Delete(c.Store, w, d.ID)
		release(c.Store, w, t.Address)
	}
	if len(workers) == maxRows {
		schedule(c.Store, roomNext, c.Height+1, d)
		return
	}
	account := TicketAccount(d.ID)
	refund, to := accounts.Free(c.Store, account), treasury()
	if t.Owner != nil {
		to = *t.Owner
	}
	if err := accounts.Transfer(c, account, to, refund, false); err != nil {
		c.Fail(err) // it has what it has
		return
	}
	tickets.Delete(c.Store, d.ID)
	ticketsFor.Delete(c.Store, t.list(), d.ID)
	if t.Owner != nil {
		ticketsOf.Delete(c.Store, *t.Owner, d.ID)
	}
	c.Emit(name, "TicketClosed", TicketClosed{d.ID, refund})
}
