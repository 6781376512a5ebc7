package market

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// model is what the market must not exceed, counted apart from it.
type model struct {
	deposits map[uint64]uint64                         // into each ticket
	paid     map[uint64]uint64                         // out of each ticket, to workers
	earned   map[pallet.Account]map[pallet.Hash]uint64 // by worker and app
	used     map[pallet.Account]map[pallet.Hash]uint64 // the tips that were ever reported, of all sessions
	tip      map[pallet.Account]map[pallet.Hash]uint64 // of the current session
	session  map[pallet.Account]map[pallet.Hash]byte
}

func nested[V any](keys []*meter.Key) map[pallet.Account]map[pallet.Hash]V {
	m := map[pallet.Account]map[pallet.Hash]V{}
	for _, k := range keys {
		m[id(k)] = map[pallet.Hash]V{}
	}
	return m
}

// play makes random operations and returns the state that they lead to.
func play(t *testing.T, seed uint64, ops int) [32]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	owners := []pallet.Account{owner, {'p'}, {'q'}}
	keys := []*meter.Key{key(1), key(2), key(3), key(4)}
	addresses := []pallet.Hash{appA, appB, {'c'}}
	m := model{map[uint64]uint64{}, map[uint64]uint64{}, nested[uint64](keys), nested[uint64](keys), nested[uint64](keys), nested[byte](keys)}
	for _, o := range owners {
		w.fund(o, 200_000)
	}
	for _, k := range keys {
		w.worker(k, Prices{})
	}
	w.must(root, &BenchmarkAppAdd{addresses[2], "QmB", Ratio{1, 1}})
	total := accounts.Total(w.Store)
	some := func(n uint64) uint64 { return r.Uint64N(n) }
	pick := func() *meter.Key { return keys[some(uint64(len(keys)))] }
	anyone := func() pallet.Account { return owners[some(uint64(len(owners)))] }
	anyTicket := func() uint64 {
		n, _ := nextTicket.Get(w.Store)
		return n - min(n, some(12))
	}
	anyList := func() uint64 {
		n, _ := nextList.Get(w.Store)
		return some(n + 1)
	}
	lists := 0
	for op := range ops {
		k, o := pick(), anyone()
		switch some(20) {
		case 0:
			if lists < 20 {
				_ = w.do(by(o), &WorkerListCreate{"", Prices{Tip: price(1)}, []pallet.Account{id(k)}})
				lists++
			}
		case 1:
			_ = w.do(by(o), &WorkerListAddWorkers{anyList(), []pallet.Account{id(k), id(pick())}})
		case 2, 3, 4:
			l := anyList()
			n, _ := invitations.Get(w.Store, l, id(k))
			_ = w.do(by(id(k)), &WorkerListConsent{List: l, Worker: id(k), Invitation: n})
		case 5:
			if some(4) == 0 {
				_ = w.do(by(o), &WorkerListRemoveWorker{anyList(), id(k)})
			}
		case 6, 7:
			n, _ := nextTicket.Get(w.Store)
			deposit := some(3000)
			if w.do(by(o), &TicketCreate{pallet.Units(deposit), addresses[some(3)], "", anyList(), Prices{}}) == nil {
				m.deposits[n] += deposit
			}
		case 8:
			n, more := anyTicket(), some(500)
			if tickets.Has(w.Store, n) && accounts.Transfer(w.As(by(o)), o, TicketAccount(n), pallet.Units(more), true) == nil {
				m.deposits[n] += more
			}
		case 9:
			_ = w.do(by(o), &TicketClose{anyTicket()})
		case 10:
			if some(8) == 0 {
				in, _ := sessions.Get(w.Store, id(k))
				w.session(k, id(k), in.LastNonce[:])
			}
		case 11:
			w.mine(some(3))
		default:
			m.settle(t, w, r, k, addresses, anyTicket)
		}
		for _, e := range *w.Events {
			if s, ok := e.Fields.(Settled); ok {
				m.paid[s.TicketID] += s.Payout.Lo
				m.earned[s.Worker][s.Address] += s.Payout.Lo
			}
		}
		*w.Events = nil
		if op%100 == 0 {
			m.check(t, w, keys, addresses)
		}
		if accounts.Total(w.Store) != total {
			t.Fatal("the sum of all balances changed")
		}
	}
	// All money is somewhere: with the owners, the workers, or in tickets.
	n, _ := nextTicket.Get(w.Store)
	sum := uint64(0)
	for _, o := range owners {
		sum += w.free(o)
	}
	for _, k := range keys {
		sum += w.free(id(k))
	}
	paid := uint64(0)
	for i := range n {
		sum += w.balance(i)
		paid += m.paid[i]
	}
	if sum != total.Lo || paid == 0 || n == 0 {
		t.Fatalf("%d of %d is somewhere; %d tickets paid %d", sum, total.Lo, n, paid)
	}
	m.check(t, w, keys, addresses)
	w.mem.Apply(w.Changes())
	var e scale.Encoder
	_ = w.mem.Scan(nil, nil, func(key, value []byte) bool { e.Bytes(key); e.Bytes(value); return true })
	t.Logf("%d tickets, %d paid", n, paid)
	return blake2b.Sum256(e.Encoded())
}

// settle sends a report of some apps, which now and then fall, begin anew, or are claimed wrongly.
func (m *model) settle(t *testing.T, w *world, r *rand.Rand, k *meter.Key, addresses []pallet.Hash, anyTicket func() uint64) {
	var apps []meter.Metrics
	var claims []Claim
	token := w.token(k)
	for _, a := range addresses {
		if r.Uint64N(3) == 0 {
			continue
		}
		if r.Uint64N(20) == 0 {
			m.session[id(k)][a]++
			m.tip[id(k)][a] = 0
		}
		tip := m.tip[id(k)][a] + r.Uint64N(60)
		if r.Uint64N(10) == 0 {
			tip -= min(tip, r.Uint64N(100))
		}
		if was := m.tip[id(k)][a]; tip > was {
			m.used[id(k)][a] += tip - was
			m.tip[id(k)][a] = tip
		}
		apps = append(apps, tips(a, m.session[id(k)][a]+1, tip))
		if r.Uint64N(8) > 0 {
			c := Claim{Address: a}
			for range r.Uint64N(4) {
				c.Tickets = append(c.Tickets, anyTicket())
			}
			claims = append(claims, c)
		}
	}
	call := signReport(t, k, token, apps, claims...)
	if err := w.do(by(stranger), call); err == nil && r.Uint64N(8) == 0 {
		if w.do(by(stranger), call) == nil {
			t.Fatal("the same report was settled twice")
		}
	}
}

// check compares the market with the model, and its indices with what they stand for.
func (m *model) check(t *testing.T, w *world, keys []*meter.Key, addresses []pallet.Hash) {
	t.Helper()
	for n, paid := range m.paid {
		if paid > m.deposits[n] {
			t.Fatalf("ticket %d paid %d of %d", n, paid, m.deposits[n])
		}
	}
	for _, k := range keys {
		for _, a := range addresses {
			if m.earned[id(k)][a] > m.used[id(k)][a] {
				t.Fatalf("an app used %d and was paid %d", m.used[id(k)][a], m.earned[id(k)][a])
			}
		}
	}
	count, _ := nextTicket.Get(w.Store)
	rows := nested[uint32](keys)
	for n := range count {
		ticket, alive := tickets.Get(w.Store, n)
		if ticketsFor.Has(w.Store, ticket.list(), n) != alive {
			t.Fatalf("the index by lists is wrong about ticket %d", n)
		}
		if !alive && w.balance(n) > 0 && m.deposits[n] > 0 {
			t.Fatalf("ticket %d is gone and has %d", n, w.balance(n))
		}
		settlements.Each(w.Store, n, nil, func(worker pallet.Account, row Settlement) bool {
			if !alive {
				t.Fatalf("ticket %d is gone and has a settlement", n)
			}
			rows[worker][ticket.Address]++
			if debt, _ := debtsOf.Get(w.Store, worker, n); debt != row.Debt {
				t.Fatalf("the index of debts says %s for %s", debt, row.Debt)
			}
			if row.CurrentSessionPaid.Cmp(row.TotalPaid) > 0 {
				t.Fatalf("a session was paid more than all: %+v", row)
			}
			return true
		})
	}
	for _, k := range keys {
		for _, a := range addresses {
			if got, _ := apps.Get(w.Store, id(k), a); got.Tickets != rows[id(k)][a] {
				t.Fatalf("%d tickets of an app are counted as %d", rows[id(k)][a], got.Tickets)
			}
		}
	}
}

func TestW63Conservation(t *testing.T) {
	for seed := range uint64(2) {
		first := play(t, seed, 10_000)
		if seed == 0 && play(t, seed, 10_000) != first {
			t.Error("the same operations led to another state")
		}
	}
}

func TestRecentAppsAreBounded(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 1000, Prices{})
	idle := func(a pallet.Hash) {
		w.must(by(stranger), signReport(t, k, w.token(k), []meter.Metrics{tips(a, 1, 0)}))
	}
	idle(appA) // at first without its ticket
	w.report(k, tips(appA, 1, 10), n)
	idle(appB)
	for range maxRecent { // one app takes one place, however often it is reported
		idle(pallet.Hash{'c'})
	}
	if !apps.Has(w.Store, id(k), appB) {
		t.Error("an app was forgotten for another's reports")
	}
	for i := range 2 * maxRecent {
		idle(pallet.Hash{1, byte(i), byte(i >> 8)})
	}
	count := func() (rows int) {
		apps.Each(w.Store, id(k), nil, func(pallet.Hash, app) bool { rows++; return true })
		return rows
	}
	if got := count(); got != maxRecent+1 {
		t.Errorf("%d apps are remembered", got)
	}
	w.report(k, tips(appA, 1, 30), n) // what a ticket pays for is not forgotten, however many others come
	if w.free(id(k)) != 30 {
		t.Errorf("paid %d", w.free(id(k)))
	}
	w.must(by(owner), &TicketClose{n})
	w.mine(closing + 1)
	if got := count(); got != maxRecent {
		t.Errorf("%d apps are remembered", got)
	}
	if a, ok := apps.Get(w.Store, id(k), appA); !ok || a.Tickets != 0 || a.Recent == nil {
		t.Errorf("the app without its ticket: %+v", a)
	}
}
