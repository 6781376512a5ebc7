package market

import (
	"slices"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Settled says that a ticket has paid.
type Settled struct {
	TicketID    uint64         `json:"ticket_id"`
	Worker      pallet.Account `json:"worker"`
	Payout      pallet.Balance `json:"payout"`
	Recipient   pallet.Account `json:"recipient"`
	SessionCost pallet.Balance `json:"session_cost"` // of the app session so far, at the prices of the ticket
	Address     pallet.Hash    `json:"address"`
}

// SettleFailed says that a ticket has not paid all.
type SettleFailed struct {
	TicketID    uint64         `json:"ticket_id"`
	Worker      pallet.Account `json:"worker"`
	Payout      pallet.Balance `json:"payout"` // that is missing, which is the debt from now on
	SessionCost pallet.Balance `json:"session_cost"`
	Address     pallet.Hash    `json:"address"`
}

// TicketExhausted tells a worker to stop: the ticket has nothing.
type TicketExhausted struct {
	TicketID uint64         `json:"ticket_id"`
	Worker   pallet.Account `json:"worker"`
	Debt     pallet.Balance `json:"debt"`
	Address  pallet.Hash    `json:"address"`
}

// ClaimIgnored says why a ticket was not asked to pay.
type ClaimIgnored struct {
	TicketID uint64         `json:"ticket_id"`
	Worker   pallet.Account `json:"worker"`
	Address  pallet.Hash    `json:"address"`
	Reason   string         `json:"reason"`
}

// The reasons of ClaimIgnored.
const (
	IgnoredTicketNotFound = "TicketNotFound"
	IgnoredNotAllowed     = "NotAllowed" // the ticket is for another app, or for other workers
	IgnoredNotReported    = "NotReported"
	IgnoredMetricsFell    = "MetricsFell"
)

// TicketSettle has a worker's report paid. Anybody may bring it.
type TicketSettle struct {
	Signed   pallet.Bytes `json:"signed" scale:"max=16384"` // as meter.SignReport returns it
	ClaimMap []Claim      `json:"claim_map" scale:"max=64"`
}

// Claim names the tickets of an app.
type Claim struct {
	Address pallet.Hash `json:"address"`
	Tickets []uint64    `json:"tickets" scale:"max=3"`
}

// Run implements pallet.Call.
func (t *TicketSettle) Run(c *pallet.Context) error {
	if _, err := c.Signer(); err != nil {
		return err
	}
	r, err := meter.OpenReport(t.Signed)
	if err != nil {
		return opened(err)
	}
	worker := pallet.Account(r.Worker)
	if err := isRegistered(c.Store, worker); err != nil {
		return err
	}
	in, err := current(c.Store, worker, r.Token)
	if err != nil {
		return err
	}
	if r.Token.SN <= in.LastMetricsSN {
		return fail("OutdatedMessage", "a report that is as new was settled")
	}
	claims, err := t.claims(r.Apps)
	if err != nil {
		return err
	}
	in.LastMetricsSN, in.LastNonce = r.Token.SN, r.Token.Nonce
	sessions.Put(c.Store, worker, in)
	for _, m := range r.Apps {
		settle(c, worker, in.Recipient, m, claims[m.Address])
		delete(claims, m.Address)
	}
	for _, l := range t.ClaimMap { // in the order of the message, which is that of no Go map
		for _, id := range claims[l.Address] {
			c.Emit(name, "ClaimIgnored", ClaimIgnored{id, worker, l.Address, IgnoredNotReported})
		}
	}
	return nil
}

// claims refuses what has no clear meaning: an app or a ticket that is there twice.
func (t *TicketSettle) claims(apps []meter.Metrics) (map[[32]byte][]uint64, error) {
	reported := map[[32]byte]bool{}
	for _, m := range apps {
		if reported[m.Address] {
			return nil, fail("InvalidParameter", "an app is in the report twice")
		}
		reported[m.Address] = true
	}
	claims := map[[32]byte][]uint64{}
	for _, l := range t.ClaimMap {
		if _, twice := claims[l.Address]; twice {
			return nil, fail("InvalidParameter", "an app is in the claims twice")
		}
		ids := slices.Sorted(slices.Values(l.Tickets))
		if len(slices.Compact(slices.Clone(ids))) != len(ids) {
			return nil, fail("InvalidParameter", "a ticket is claimed twice")
		}
		claims[l.Address] = ids // the oldest first
	}
	return claims, nil
}

// app is what was settled last of an app on a worker.
type app struct {
	Last    meter.Metrics // where the next settlement begins
	Height  uint64
	Tickets uint32  // that have a Settlement with the worker
	Recent  *uint32 // its place among the recent apps; nil: it has none
}

// claim is a ticket that may be asked to pay for what a worker does since a height, and its time.
type claim struct {
	id     uint64
	ticket Ticket
	since  uint64
	time   uint64
}

// settle charges what an app has used since it was settled last.
func settle(c *pallet.Context, worker, recipient pallet.Account, m meter.Metrics, ids []uint64) {
	known, seen := apps.Get(c.Store, worker, m.Address)
	same := seen && known.Last.Session == m.Session
	ignore := func(id uint64, reason string) {
		c.Emit(name, "ClaimIgnored", ClaimIgnored{id, worker, m.Address, reason})
	}
	if same && fell(known.Last, m) {
		for _, id := range ids {
			ignore(id, IgnoredMetricsFell)
		}
		return
	}
	var valid, payers []claim
	for _, id := range ids {
		t, ok := tickets.Get(c.Store, id)
		if !ok || t.ClosingAt != nil && *t.ClosingAt < c.Height {
			ignore(id, IgnoredTicketNotFound)
			continue
		}
		in, ok := serves(c, t, worker)
		switch {
		case !ok || t.Address != m.Address:
			ignore(id, IgnoredNotAllowed)
		case t.Prices.empty(): // asks for nothing, like those of benchmark apps
		default:
			p := claim{id, t, max(t.CreatedAt, in.Since), max(t.CreatedTime, in.Time)}
			valid = append(valid, p)
			if same && p.since <= known.Height || !same && p.before(m, c.Time) {
				payers = append(payers, p)
			}
		}
	}
	begin := known.Last
	if !same {
		begin = meter.Metrics{}
	}
	for _, v := range valid {
		row, old := settlements.Get(c.Store, v.id, worker)
		if !old {
			known.Tickets++
		}
		if row.CurrentSessionID != m.Session {
			row.CurrentSessionID, row.CurrentSessionPaid = m.Session, pallet.Balance{}
		}
		settlements.Put(c.Store, v.id, worker, row)
	}
	shares := split(c.Store, payers, begin, m)
	for i, p := range payers {
		row, _ := settlements.Get(c.Store, p.id, worker)
		pay(c, p, worker, recipient, &row, shares[i], p.ticket.Prices.Cost(m))
		settlements.Put(c.Store, p.id, worker, row)
		if row.Debt.IsZero() {
			debtsOf.Delete(c.Store, worker, p.id)
		} else {
			debtsOf.Put(c.Store, worker, p.id, row.Debt)
		}
	}
	// What nobody could be asked for is not lost while a ticket that was asked before lives: the next claim has it.
	if len(valid) > 0 || known.Tickets == 0 {
		known.Last, known.Height = m, c.Height
		remember(c.Store, worker, m.Address, known)
	}
}

// fell says whether a metric is lower than it was.
func fell(before, now meter.Metrics) bool {
	return now.RunningTimeMS < before.RunningTimeMS || now.Gas < before.Gas ||
		now.NetworkIngress < before.NetworkIngress || now.NetworkEgress < before.NetworkEgress ||
		now.StorageRead < before.StorageRead || now.StorageWrite < before.StorageWrite ||
		now.StorageUsed.Cmp(before.StorageUsed) < 0 || now.MemoryUsed.Cmp(before.MemoryUsed) < 0 ||
		now.Tip < before.Tip || now.Starts < before.Starts
}

// serves says whether the reports of a worker count for a ticket, and as what it belongs to its list.
func serves(c *pallet.Context, t Ticket, worker pallet.Account) (member, bool) {
	if t.Workers == nil {
		return member{}, true
	}
	m, ok := members.Get(c.Store, *t.Workers, worker)
	return m, ok && (m.Until == nil || c.Height <= *m.Until)
}

// clockSlack is by how many milliseconds the clocks of a worker and the chain may differ.
const clockSlack = 60_000

// before says whether a ticket, and the worker's part in it, may be older than an app session of which this is the first report.
// Nobody tells when a session began; but none of its instances can have run for longer than both exist, if these were there first.
func (p claim) before(m meter.Metrics, now uint64) bool {
	exists := pallet.Units(now - min(now, p.time) + clockSlack)
	return pallet.Units(m.RunningTimeMS).Cmp(exists.Times(pallet.Units(max(m.Starts, 1)))) <= 0
}

// split returns what each of the tickets owes for the use between two reports.
func split(s *state.Store, payers []claim, begin, now meter.Metrics) []pallet.Balance {
	rich := 0
	has := make([]bool, len(payers))
	for i, p := range payers {
		if has[i] = !accounts.Free(s, TicketAccount(p.id)).IsZero(); has[i] {
			rich++
		}
	}
	shares, place, of := make([]pallet.Balance, len(payers)), 0, rich
	if rich == 0 {
		of = len(payers)
	}
	for i, p := range payers {
		if rich > 0 && !has[i] {
			continue
		}
		used, _ := p.ticket.Prices.Cost(now).Minus(p.ticket.Prices.Cost(begin)) // no metric fell
		shares[i] = share(used, place, of)
		place++
	}
	return shares
}

// pay moves what a ticket owes, with its debt, as far as it has it.
func pay(c *pallet.Context, p claim, worker, recipient pallet.Account, row *Settlement, owed, cost pallet.Balance) {
	account := TicketAccount(p.id)
	owed = owed.Plus(row.Debt)
	payout := owed
	if has := accounts.Free(c.Store, account); has.Cmp(owed) < 0 {
		payout = has
	}
	if err := accounts.Transfer(c, account, recipient, payout, false); err != nil {
		payout = pallet.Balance{}
	}
	row.Debt, _ = owed.Minus(payout)
	row.CurrentSessionPaid = row.CurrentSessionPaid.Plus(payout)
	row.TotalPaid = row.TotalPaid.Plus(payout)
	if !payout.IsZero() {
		c.Emit(name, "Settled", Settled{p.id, worker, payout, recipient, cost, p.ticket.Address})
	}
	if !row.Debt.IsZero() {
		c.Emit(name, "SettleFailed", SettleFailed{p.id, worker, row.Debt, cost, p.ticket.Address})
	}
	if accounts.Free(c.Store, account).IsZero() {
		c.Emit(name, "TicketExhausted", TicketExhausted{p.id, worker, row.Debt, p.ticket.Address})
	}
}

// maxRecent is how many apps of a worker that no ticket pays for are remembered.
const maxRecent = 256

// remember keeps what was settled of an app. An app without tickets takes the place of the oldest such one.
func remember(s *state.Store, worker pallet.Account, address pallet.Hash, a app) {
	if a.Tickets == 0 && a.Recent == nil {
		n, _ := recentCount.Get(s, worker)
		recentCount.Put(s, worker, (n+1)%maxRecent)
		if old, taken := recentApps.Get(s, worker, n); taken && old != address {
			forget(s, worker, old)
		}
		recentApps.Put(s, worker, n, address)
		a.Recent = &n
	}
	apps.Put(s, worker, address, a)
}

func forget(s *state.Store, worker pallet.Account, address pallet.Hash) {
	a, ok := apps.Get(s, worker, address)
	if !ok {
		return
	}
	if a.Recent = nil; a.Tickets > 0 {
		apps.Put(s, worker, address, a)
	} else {
		apps.Delete(s, worker, address)
	}
}

// release says that a ticket of an app is gone.
func release(s *state.Store, worker pallet.Account, address pallet.Hash) {
	a, ok := apps.Get(s, worker, address)
	if !ok {
		return
	}
	a.Tickets -= min(a.Tickets, 1)
	remember(s, worker, address, a)
}
