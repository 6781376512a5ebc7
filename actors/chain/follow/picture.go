package follow

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// picture is what the chain demands, as far as it was read, and what is to be read.
type picture struct {
	reads    map[Read]*question // wanted, or under way
	queue    []Read             // wanted, in order
	flying   int
	readAt   time.Time // nothing is asked before; zero: now
	readBad  int       // failed in a row
	readSeq  uint64
	asked    uint64 // ever
	pages    int    // reads of pages that are wanted or under way
	sweepSeq uint64 // of the read that began the newest sweep
	sweeping bool
	paging   bool // the tickets of a sweep are being read
	again    bool // another sweep is wanted
	unread   map[ReadKind]bool
	whole    bool

	doubt    map[Read]bool // reads of what a fork may have undone
	doubting bool          // what is marked is of that kind

	tickets  map[uint64]*ticket // that this worker may serve
	accounts map[chain.Hash]uint64
	lists    map[uint64]bool
	gone     map[uint64]uint64     // while pages are read: tickets that are none of ours, by the read that said so
	moved    map[chain.Hash]uint64 // while tickets are read: accounts whose balance changed, by the newest read before
	unknown  []chain.Hash          // accounts of the block in hand that may be those of tickets that are being read
	unseen   uint64                // beyond the limit
	bench    manifest.Address      // zero: none
	benchCID string
}

type question struct {
	flying, again bool
	seq           uint64
	tries         int
	next          time.Time
}

// ticket is a ticket that this worker may serve.
type ticket struct {
	id      uint64
	address manifest.Address
	cid     string
	any     bool
	list    uint64
	account chain.Hash
	balance meter.Uint128
	debt    meter.Uint128 // to this worker
	closing bool
	ended   bool   // this worker is none of its list any more: what is not paid yet can be settled, and no more
	seq     uint64 // of the read that said so
}

// pays says whether there is something to pay with.
func (t *ticket) pays() bool {
	least := meter.Uint128{Lo: dust}
	return !t.closing && !t.ended && t.balance.Cmp(least) > 0 && t.balance.Cmp(t.debt) > 0
}

// sweep has everything read, also what was read before.
func (s *State) sweep() {
	if s.sweeping {
		s.again = true
		return
	}
	s.sweeping, s.paging = true, false
	s.sweepSeq = s.readSeq + 1
	s.unseen = 0
	if s.unread == nil {
		s.unread = map[ReadKind]bool{ReadWorker: true, ReadTickets: true, ReadBench: true}
		if !s.cfg.NoRequests {
			s.unread[ReadRequests] = true
		}
	}
	s.mark(Read{Kind: ReadWorker}) // its answer has the tickets read
	s.mark(Read{Kind: ReadBench})
	if !s.cfg.NoRequests {
		s.mark(Read{Kind: ReadRequests})
	}
}

// forgetPicture begins anew: it is another chain.
func (s *State) forgetPicture() {
	for _, id := range sorted(s.tickets) {
		s.drop(id, 0)
	}
	clear(s.lists)
	clear(s.gone)
	clear(s.moved)
	for r, q := range s.reads {
		if q.flying {
			q.again = true // its answer is of another chain, or not: it is asked again
		} else {
			delete(s.reads, r)
		}
	}
	clear(s.doubt)
	s.queue = nil
	s.pages = 0
	for r := range s.reads {
		if r.Kind == ReadTickets || r.Kind == ReadList {
			s.pages++
		}
	}
	s.sweeping, s.paging, s.again, s.unread, s.whole = false, false, false, nil, false
	s.bench, s.benchCID = manifest.Address{}, ""
	s.recent = nil
	s.planned = false
	// Their numbers may be those of other requests now. What was made for them is deleted.
	for _, v := range slices.Clone(s.vmOrder) {
		if v.kept.Genesis == s.genesis && v.hasKept {
			continue
		}
		delete(s.vms, v.id)
		if v.hasKept {
			v.id = v.kept.Genesis.String()[:16] + "/" + v.kept.Request
			v.miner, v.deletion, v.sides, v.req, v.absent = nil, nil, nil, nil, 1
			s.vms[v.id] = v
		}
	}
	s.sortVMs()
}

// mark has something read, once more if it is being read.
func (s *State) mark(r Read) {
	if s.doubting {
		s.doubt[r] = true
	}
	if known := s.reads[r]; known != nil {
		known.again = known.flying
		return
	}
	s.reads[r] = &question{}
	s.queue = append(s.queue, r)
	if r.Kind == ReadTickets || r.Kind == ReadList {
		s.pages++
	}
}

// ask begins as many reads as may be under way.
func (s *State) ask() {
	if s.readAt.After(s.now) {
		return
	}
	s.readAt = time.Time{}
	for n := len(s.queue); n > 0 && s.flying < maxReads; n-- {
		r := s.queue[0]
		s.queue = s.queue[1:]
		q := s.reads[r]
		if q.next.After(s.now) {
			s.queue = append(s.queue, r)
			if s.readAt.IsZero() || q.next.Before(s.readAt) {
				s.readAt = q.next
			}
			continue
		}
		s.readSeq++
		s.asked++
		s.flying++
		q.flying, q.again, q.seq = true, false, s.readSeq
		s.emit(Ask{r})
	}
	if s.flying > 0 {
		s.readAt = time.Time{}
	}
}

func (s *State) answered(m answered) {
	r := s.reads[m.read]
	if r == nil || !r.flying {
		return
	}
	r.flying = false
	s.flying--
	if m.err != nil {
		s.notRead(m.read, r, m.err)
		return
	}
	s.readBad = 0
	r.tries = 0
	again, seq := r.again, r.seq
	delete(s.reads, m.read)
	s.doubting = s.doubt[m.read] // and so is what its answer has read
	defer func() { s.doubting = false }()
	delete(s.doubt, m.read)
	page := m.read.Kind == ReadTickets || m.read.Kind == ReadList
	if page {
		s.pages--
	}
	if again {
		// What it says may be older than what has happened since, and is said again.
		s.mark(m.read)
		if page {
			return
		}
	}
	s.take(m.read, m.value, seq, again)
	if s.pages == 0 {
		clear(s.gone)
	}
	if len(s.reads) == 0 {
		clear(s.moved)
	}
}

// notRead has a question asked again. A chain that does not answer is left alone for a while; a question that has no answer waits by
// itself.
func (s *State) notRead(read Read, r *question, err error) {
	s.queue = append(s.queue, read)
	if f := fault.From(err); f.Class == fault.Busy || f.Class == fault.Canceled {
		s.readAt = s.now.Add(backoff(s.readBad, chainRetry, maxChainWait))
		s.readBad++
		s.reason = words(err)
		return
	}
	r.tries++
	r.next = s.now.Add(backoff(r.tries, chainRetry, maxChainWait))
	if r.tries > 5 && (read.Kind == ReadTicket || read.Kind == ReadRequest) {
		// It cannot be read; it is asked for again when something happens to it.
		s.queue = s.queue[:len(s.queue)-1]
		delete(s.reads, read)
		delete(s.doubt, read)
	}
}

// take takes in what was read.
func (s *State) take(read Read, value any, seq uint64, stale bool) {
	switch v := value.(type) {
	case ticketPage:
		for _, raw := range v.Items {
			var t ticketView
			if json.Unmarshal(raw, &t) == nil { // one that cannot be read hides no other
				s.put(&t, seq)
			}
		}
		if next := string(v.Next); next != "" && next != "null" && next != read.After {
			s.mark(Read{Kind: read.Kind, ID: read.ID, After: next})
		} else if read.Kind == ReadTickets {
			s.swept()
		}
	case *ticketView:
		if v == nil {
			s.drop(read.ID, seq)
		} else {
			s.put(v, seq)
		}
	case workerView:
		s.member(v.Lists)
	case benchView:
		s.setBench(v)
	case requestsView:
		if !stale {
			s.setRequests(v, seq)
		}
		delete(s.unread, ReadRequests)
	case *requestView:
		if vm := s.vms[read.Name]; vm != nil && v != nil {
			vm.req = v
			vm.next = time.Time{}
		} else if vm != nil {
			vm.reason, vm.next = "the chain does not have the request any more", s.now.Add(s.cfg.RetryMin)
		}
	case poolsView:
		s.pool, s.poolSeq = v.VM, seq
	}
	s.checkWhole()
}

// swept is the end of reading all tickets.
func (s *State) swept() {
	if !s.sweeping {
		return
	}
	s.sweeping = false
	delete(s.unread, ReadTickets)
	for _, id := range sorted(s.tickets) {
		if s.tickets[id].seq < s.sweepSeq { // it was not among them
			s.mark(Read{Kind: ReadTicket, ID: id})
		}
	}
	if s.again {
		s.again = false
		s.sweep()
	}
}

func (s *State) checkWhole() {
	if s.unread == nil || len(s.unread) > 0 || s.phase != looking {
		return
	}
	if !s.whole {
		// What nobody wants was not wanted by the newest block at most, of which the picture may be.
		for _, a := range s.apps {
			a.unwanted = 0
		}
		s.planned = false
	}
	s.whole = true
	s.to(following, "")
}

// member takes in which lists have this worker.
func (s *State) member(lists []uint64) {
	now := make(map[uint64]bool, len(lists))
	for _, l := range lists {
		now[l] = true
		if !s.lists[l] && (!s.sweeping || s.paging) {
			s.mark(Read{Kind: ReadList, ID: l})
		}
	}
	s.lists = now
	for _, id := range sorted(s.tickets) {
		switch t := s.tickets[id]; {
		case t.any:
		case now[t.list] && t.ended:
			s.mark(Read{Kind: ReadTicket, ID: id})
		case !now[t.list]:
			s.end(t)
		}
	}
	delete(s.unread, ReadWorker)
	if s.sweeping && !s.paging {
		s.paging = true
		s.mark(Read{Kind: ReadTickets})
	}
}

// put takes in a ticket.
func (s *State) put(v *ticketView, seq uint64) {
	old := s.tickets[v.ID]
	if old != nil && old.seq > seq || s.gone[v.ID] > seq {
		return // a newer read said otherwise
	}
	ended := !v.Workers.Any && !s.lists[v.Workers.List]
	if v.System || v.Address == (manifest.Address{}) || ended && old == nil {
		s.drop(v.ID, seq)
		return
	}
	if old == nil && len(s.tickets) >= s.cfg.MaxTickets {
		s.unseen++
		return
	}
	t := &ticket{
		id: v.ID, address: v.Address, cid: clip(string(v.ManifestCID)), any: v.Workers.Any, list: v.Workers.List, account: v.Account,
		balance: v.Balance, closing: v.ClosingAt != nil, ended: ended, seq: seq,
	}
	for _, w := range v.State {
		if w.Worker == s.cfg.Worker {
			t.debt = w.Debt
		}
	}
	if newest, ok := s.moved[t.account]; ok && seq <= newest { // its balance may be that of before
		s.mark(Read{Kind: ReadTicket, ID: t.id})
	}
	if old != nil && old.address == t.address {
		same := *old
		same.seq = seq
		if same == *t {
			old.seq = seq
			return
		}
		*old = *t
	} else {
		if old != nil {
			s.drop(t.id, seq)
		}
		s.tickets[t.id] = t
		a := s.appOf(t.address)
		at, _ := slices.BinarySearchFunc(a.tickets, t.id, func(t *ticket, id uint64) int { return cmp.Compare(t.id, id) })
		a.tickets = slices.Insert(a.tickets, at, t)
		if !a.refusedUntil.IsZero() {
			a.refusedUntil, a.next = time.Time{}, time.Time{}
		}
	}
	s.accounts[t.account] = t.id
	s.planned = false
}

// end keeps a ticket that this worker may not serve any more for the final report of its app, if there is something to report.
func (s *State) end(t *ticket) {
	if a := s.apps[t.address]; a == nil || !a.there || !a.mine {
		s.drop(t.id, t.seq)
		return
	}
	t.ended = true
	s.planned = false
}

// left forgets the tickets that an app had kept for its final report.
func (s *State) left(a *app) {
	for _, t := range slices.Clone(a.tickets) {
		if t.ended {
			s.drop(t.id, 0)
		}
	}
}

// drop forgets a ticket.
func (s *State) drop(id, seq uint64) {
	if s.pages > 0 && seq > 0 {
		s.gone[id] = seq
	}
	t := s.tickets[id]
	if t == nil || t.seq > seq && seq > 0 {
		return
	}
	delete(s.tickets, id)
	if s.accounts[t.account] == id {
		delete(s.accounts, t.account)
	}
	if a := s.apps[t.address]; a != nil {
		a.tickets = slices.DeleteFunc(a.tickets, func(o *ticket) bool { return o == t })
	}
	s.planned = false
}

func (s *State) setBench(v benchView) {
	s.bench, s.benchCID = manifest.Address{}, ""
	if v.Recommended != nil {
		for _, a := range v.Apps {
			if a.Address == *v.Recommended {
				s.bench, s.benchCID = a.Address, clip(string(a.ManifestCID))
			}
		}
	}
	delete(s.unread, ReadBench)
	s.planned = false
}

// clip bounds what the chain says and others made.
func clip(t string) string {
	if len(t) > manifest.MaxCIDBytes {
		return t[:manifest.MaxCIDBytes]
	}
	return t
}

// sorted returns the keys of a map in order: what follows from them is the same each time.
func sorted[K uint64 | string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
