package market

import (
	"encoding/hex"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

var largest = pallet.Balance{Hi: math.MaxUint64, Lo: math.MaxUint64}

// nine has every price set, each to another prime.
func nine() Prices {
	return Prices{price(2), price(3), price(5), price(7), price(11), price(13), price(17), price(19), price(23)}
}

func TestW56SettleFormula(t *testing.T) {
	m := meter.Metrics{
		RunningTimeMS: 61_999, Gas: 20, NetworkIngress: 31, NetworkEgress: 42, StorageRead: 53, StorageWrite: 64,
		StorageUsed: pallet.Units(7_999_999_999), MemoryUsed: pallet.Units(8_000_000), Tip: 10, Starts: 1,
	}
	for _, tc := range []struct {
		name   string
		prices Prices
		m      meter.Metrics
		want   string
	}{
		{"all nine", nine(), m, "2547"}, // 2·61 + 3·20 + 5·31 + 7·42 + 11·53 + 13·64 + 17·7 + 19·8 + 23·10
		{"no price", Prices{}, m, "0"},
		{"seconds are whole", Prices{GeneralFeePerSecond: price(1)}, meter.Metrics{RunningTimeMS: 999}, "0"},
		{"the second is over", Prices{GeneralFeePerSecond: price(1)}, meter.Metrics{RunningTimeMS: 1000}, "1"},
		{"MB·s are whole", Prices{Storage: price(1)}, meter.Metrics{StorageUsed: pallet.Units(1_999_999_999)}, "1"},
		{"KB·s are whole", Prices{Memory: price(1)}, meter.Metrics{MemoryUsed: pallet.Units(1_999_999)}, "1"},
		{"128 bits of memory", Prices{Memory: price(1)}, meter.Metrics{MemoryUsed: largest}, "340282366920938463463374607431768"},
		{"a product saturates", Prices{Tip: &largest}, meter.Metrics{Tip: 2}, largest.String()},
		{"the sum saturates", Prices{Tip: &largest, Gas: price(1)}, meter.Metrics{Tip: 1, Gas: 1}, largest.String()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.prices.Cost(tc.m).String(); got != tc.want {
				t.Errorf("cost %s, want %s", got, tc.want)
			}
		})
	}

	t.Run("settled", func(t *testing.T) {
		w := newWorld(t)
		k := key(1)
		w.fund(owner, 10_001)
		w.worker(k, Prices{})
		n := w.ticket(w.list(nine(), k), appA, 10_000, Prices{})
		m.Address, m.Session = appA, [32]byte{1}
		w.mine(1)
		w.took()
		w.report(k, m, n)
		got := w.saw("Settled")[0].Fields
		want := Settled{n, id(k), pallet.Units(2547), id(k), pallet.Units(2547), appA}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if w.free(id(k)) != 2547 || w.balance(n) != 10_000-2547 {
			t.Errorf("the worker has %d, the ticket %d", w.free(id(k)), w.balance(n))
		}
	})

	t.Run("saturated", func(t *testing.T) {
		w := newWorld(t)
		k := key(1)
		w.fund(owner, 1001)
		w.worker(k, Prices{})
		n := w.ticket(w.list(Prices{Tip: &largest}, k), appA, 1000, Prices{})
		w.report(k, tips(appA, 1, 1), n)
		w.report(k, tips(appA, 1, math.MaxUint64), n)
		if row := w.row(n, k); w.free(id(k)) != 1000 || row.TotalPaid != pallet.Units(1000) || row.Debt.Hi != math.MaxUint64 {
			t.Errorf("paid %d, %+v", w.free(id(k)), row)
		}
	})
}

// TestArithmetic compares prices and shares with a second implementation in numbers of any size.
func TestArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	limit.Sub(limit, big.NewInt(1))
	number := func() pallet.Balance { // of any length
		b := pallet.Balance{Hi: r.Uint64(), Lo: r.Uint64()}
		for range r.IntN(128) {
			b = pallet.Balance{Hi: b.Hi >> 1, Lo: b.Lo>>1 | b.Hi<<63}
		}
		return b
	}
	wide := func(b pallet.Balance) *big.Int {
		n := new(big.Int).Lsh(new(big.Int).SetUint64(b.Hi), 64)
		return n.Or(n, new(big.Int).SetUint64(b.Lo))
	}
	for range 20_000 {
		m := meter.Metrics{
			RunningTimeMS: number().Lo, Gas: number().Lo, NetworkIngress: number().Lo, NetworkEgress: number().Lo, StorageRead: number().Lo,
			StorageWrite: number().Lo, StorageUsed: number(), MemoryUsed: number(), Tip: number().Lo,
		}
		var p Prices
		want := new(big.Int)
		for i, units := range []pallet.Balance{
			{Lo: m.RunningTimeMS}, {Lo: m.Gas}, {Lo: m.NetworkIngress}, {Lo: m.NetworkEgress}, {Lo: m.StorageRead}, {Lo: m.StorageWrite},
			m.StorageUsed, m.MemoryUsed, {Lo: m.Tip},
		} {
			if r.IntN(3) == 0 {
				continue
			}
			each := number()
			*p.each()[i] = &each
			q := wide(units)
			if by := map[int]int64{0: 1e3, 6: 1e9, 7: 1e6}[i]; by > 0 {
				q.Quo(q, big.NewInt(by))
			}
			want.Add(want, q.Mul(q, wide(each)))
		}
		if want.Cmp(limit) > 0 {
			want = limit
		}
		got := p.Cost(m)
		if wide(got).Cmp(want) != 0 {
			t.Fatalf("%+v at %+v costs %s, want %s", m, p, got, want)
		}
		for of := 1; of <= 3; of++ {
			sum, least, most := new(big.Int), limit, new(big.Int)
			for place := range of {
				part := wide(share(got, place, of))
				sum.Add(sum, part)
				if least.Cmp(part) > 0 {
					least = part
				}
				if most.Cmp(part) < 0 {
					most = part
				}
			}
			if sum.Cmp(want) != 0 || most.Sub(most, least).Cmp(big.NewInt(1)) > 0 {
				t.Fatalf("%d parts of %s are not even", of, got)
			}
		}
	}
}

func TestMetricsPayload(t *testing.T) {
	fill := func(b byte) (h [32]byte) {
		for i := range h {
			h[i] = b
		}
		return h
	}
	m := meter.Metrics{Address: fill(2), Session: fill(1), RunningTimeMS: 60000, Gas: 20, NetworkIngress: 1, NetworkEgress: 2, Tip: 10, Starts: 1}
	payload, err := meter.EncodeReport(meter.Token{SN: 1, Session: fill(1), Nonce: fill(3)}, []meter.Metrics{m})
	if err != nil {
		t.Fatal(err)
	}
	if sum := blake2b.Sum256(meter.Message(meter.MetricsReport, payload)); len(payload) != 234 || hex.EncodeToString(sum[:]) != "2962683facd022c540bf3307ce12955c96e0b47257c1f677410953c7c23d022a" {
		t.Errorf("%d bytes, %x", len(payload), sum)
	}
}

// market1 is a world with a worker on a list where each unit of tip costs 1.
func market1(t testing.TB) (w *world, k *meter.Key, list uint64) {
	w, k = newWorld(t), key(1)
	w.fund(owner, 1_000_000)
	w.worker(k, Prices{})
	return w, k, w.list(Prices{Tip: price(1)}, k)
}

func TestW57FirstReport(t *testing.T) {
	t.Run("a ticket that is older pays from 0", func(t *testing.T) {
		w, k, list := market1(t)
		n := w.ticket(list, appA, 1000, Prices{})
		w.mine(100)
		m := tips(appA, 1, 70)
		m.RunningTimeMS = 99 * blockMS
		w.report(k, m, n)
		if w.free(id(k)) != 70 {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
	t.Run("one that is younger, as the running time shows", func(t *testing.T) {
		w, k, list := market1(t)
		w.mine(100)
		n := w.ticket(list, appA, 1000, Prices{})
		w.mine(1)
		m := tips(appA, 1, 70)
		m.RunningTimeMS = 100 * blockMS
		w.report(k, m, n)
		if row := w.row(n, k); w.free(id(k)) != 0 || row.CurrentSessionID != m.Session {
			t.Errorf("paid %d, %+v", w.free(id(k)), row)
		}
		w.mine(1)
		m.Tip = 75
		w.report(k, m, n)
		if w.free(id(k)) != 5 {
			t.Errorf("paid %d behind the baseline", w.free(id(k)))
		}
	})
	t.Run("eight instances for as long as the ticket exists", func(t *testing.T) {
		w, k, list := market1(t)
		n := w.ticket(list, appA, 1000, Prices{})
		w.mine(100)
		m := tips(appA, 1, 70)
		m.RunningTimeMS, m.Starts = 8*100*blockMS, 8
		w.report(k, m, n)
		if w.free(id(k)) != 70 {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
	t.Run("one that is younger, as a report without it shows", func(t *testing.T) {
		w, k, list := market1(t)
		w.must(by(stranger), signReport(t, k, w.token(k), []meter.Metrics{tips(appA, 1, 40)}))
		w.mine(1)
		n := w.ticket(list, appA, 1000, Prices{})
		w.mine(1)
		w.report(k, tips(appA, 1, 70), n)
		w.report(k, tips(appA, 1, 71), n)
		if w.free(id(k)) != 1 {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
	t.Run("a worker that joined later", func(t *testing.T) {
		w, k, _ := market1(t)
		list := w.list(Prices{Tip: price(1)})
		n := w.ticket(list, appA, 1000, Prices{})
		w.mine(100)
		w.must(by(owner), &WorkerListAddWorkers{list, []pallet.Account{id(k)}})
		invitation, _ := invitations.Get(w.Store, list, id(k))
		w.must(by(id(k)), &WorkerListConsent{List: list, Worker: id(k), Invitation: invitation})
		m := tips(appA, 1, 70)
		m.RunningTimeMS = 90 * blockMS
		w.report(k, m, n)
		m.Tip = 71
		w.report(k, m, n)
		if w.free(id(k)) != 1 {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
	t.Run("a worker that joined between two reports", func(t *testing.T) {
		w, k, _ := market1(t)
		list := w.list(Prices{Tip: price(1)})
		n := w.ticket(list, appA, 1000, Prices{})
		w.must(by(stranger), signReport(t, k, w.token(k), []meter.Metrics{tips(appA, 1, 10)}))
		w.mine(1)
		w.must(by(owner), &WorkerListAddWorkers{list, []pallet.Account{id(k)}})
		invitation, _ := invitations.Get(w.Store, list, id(k))
		w.must(by(id(k)), &WorkerListConsent{List: list, Worker: id(k), Invitation: invitation})
		w.report(k, tips(appA, 1, 70), n)
		w.report(k, tips(appA, 1, 71), n)
		if w.free(id(k)) != 1 {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
	t.Run("a report without the ticket loses nothing", func(t *testing.T) {
		w, k, list := market1(t)
		n := w.ticket(list, appA, 1000, Prices{})
		w.report(k, tips(appA, 1, 10), n)
		w.must(by(stranger), signReport(t, k, w.token(k), []meter.Metrics{tips(appA, 1, 40)}))
		w.report(k, tips(appA, 1, 70), n)
		if w.free(id(k)) != 70 {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
}

func TestW58Replays(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 1000, Prices{})
	claims := Claim{appA, []uint64{n}}
	in, _ := sessions.Get(w.Store, id(k))
	send := func(sn uint64, session [32]byte, tip uint64) *TicketSettle {
		return signReport(t, k, meter.Token{SN: sn, Session: session}, []meter.Metrics{tips(appA, 1, tip)}, claims)
	}
	first := send(5, in.SessionID, 10)
	w.must(by(stranger), first)
	w.wants("OutdatedMessage", by(stranger), first)
	w.wants("OutdatedMessage", by(stranger), send(5, in.SessionID, 20))
	w.wants("OutdatedMessage", by(stranger), send(4, in.SessionID, 20))
	w.wants("SessionMismatch", by(stranger), send(6, [32]byte{1}, 20))
	w.must(by(stranger), send(6, in.SessionID, 20))
	if w.free(id(k)) != 20 {
		t.Errorf("paid %d", w.free(id(k)))
	}

	flipped := send(7, in.SessionID, 30)
	flipped.Signed[20] ^= 1
	w.wants("SignatureVerificationFailed", by(stranger), flipped)
	cut := send(7, in.SessionID, 30)
	cut.Signed = cut.Signed[:50]
	w.wants("InvalidParameter", by(stranger), cut)
	other := key(2)
	w.wants("InvalidWorkerPubkey", by(stranger), signReport(t, other, meter.Token{SN: 9}, nil))
	w.ok(registerWorker(w.Context, other))
	w.wants("SessionMismatch", by(stranger), signReport(t, other, meter.Token{SN: 9}, nil)) // it has none at all
	description := describe(t, k, Prices{}, "")
	w.wants("InvalidParameter", by(stranger), &TicketSettle{Signed: description.Signed})
}

func TestW59BadClaims(t *testing.T) {
	w, k, list := market1(t)
	good, gone := w.ticket(list, appA, 1000, Prices{}), w.ticket(list, appA, 1000, Prices{})
	foreign, outside := w.ticket(list, appB, 1000, Prices{}), w.ticket(w.list(Prices{Tip: price(1)}), appB, 1000, Prices{})
	w.must(by(owner), &TicketClose{gone})
	w.mine(closing + 1)
	w.took()
	apps := []meter.Metrics{tips(appA, 1, 10), tips(appB, 2, 20)}
	w.must(by(stranger), signReport(t, k, w.token(k), apps,
		Claim{appB, []uint64{outside}}, Claim{appA, []uint64{99, gone, good}}, Claim{pallet.Hash{'c'}, []uint64{foreign}}))
	got := []any{}
	for _, e := range w.saw("ClaimIgnored", "ClaimIgnored", "Settled", "ClaimIgnored", "ClaimIgnored") {
		if i, ok := e.Fields.(ClaimIgnored); ok {
			got = append(got, i)
		}
	}
	want := []any{
		ClaimIgnored{gone, id(k), appA, IgnoredTicketNotFound},
		ClaimIgnored{99, id(k), appA, IgnoredTicketNotFound},
		ClaimIgnored{outside, id(k), appB, IgnoredNotAllowed},
		ClaimIgnored{foreign, id(k), pallet.Hash{'c'}, IgnoredNotReported},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.report(k, tips(appA, 1, 15), foreign, good) // the ticket of another app
	w.saw("ClaimIgnored", "Settled")
	if w.free(id(k)) != 15 || w.balance(foreign) != 1000 || w.balance(outside) != 1000 {
		t.Errorf("paid %d", w.free(id(k)))
	}

	// What has no clear meaning is refused as a whole.
	two := []meter.Metrics{tips(appA, 1, 20), tips(appA, 1, 30)}
	w.wants("InvalidParameter", by(stranger), signReport(t, k, w.token(k), two))
	one := []meter.Metrics{tips(appA, 1, 20)}
	w.wants("InvalidParameter", by(stranger), signReport(t, k, w.token(k), one, Claim{appA, []uint64{good}}, Claim{appA, nil}))
	w.wants("InvalidParameter", by(stranger), signReport(t, k, w.token(k), one, Claim{appA, []uint64{good, good}}))
}

func TestW60PoorTicket(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 100, Prices{})
	w.report(k, tips(appA, 1, 60), n)
	w.took()
	w.report(k, tips(appA, 1, 150), n)
	events := w.saw("Settled", "SettleFailed", "TicketExhausted")
	want := []any{
		Settled{n, id(k), pallet.Units(40), id(k), pallet.Units(150), appA},
		SettleFailed{n, id(k), pallet.Units(50), pallet.Units(150), appA},
		TicketExhausted{n, id(k), pallet.Units(50), appA},
	}
	if diff := cmp.Diff(want, []any{events[0].Fields, events[1].Fields, events[2].Fields}); diff != "" {
		t.Error(diff)
	}
	var page struct{ Items []debtView }
	w.view("debts", `{"worker":"`+id(k).String()+`"}`, &page)
	if diff := cmp.Diff([]debtView{{n, pallet.Units(50)}}, page.Items); diff != "" {
		t.Error(diff)
	}
	w.report(k, tips(appA, 1, 160), n) // it goes on, for nothing so far
	w.saw("SettleFailed", "TicketExhausted")
	if row := w.row(n, k); row.Debt != pallet.Units(60) || row.TotalPaid != pallet.Units(100) {
		t.Errorf("%+v", row)
	}
	// More money pays the debt first.
	w.ok(accounts.Transfer(w.Context, owner, TicketAccount(n), pallet.Units(75), true))
	w.report(k, tips(appA, 1, 170), n)
	w.saw("Settled")
	if row := w.row(n, k); !row.Debt.IsZero() || row.TotalPaid != pallet.Units(170) || w.balance(n) != 5 {
		t.Errorf("%+v, ticket %d", row, w.balance(n))
	}
	w.view("debts", `{"worker":"`+id(k).String()+`"}`, &page)
	if len(page.Items) != 0 {
		t.Errorf("debts %+v", page.Items)
	}
	w.report(k, tips(appA, 1, 175), n) // to the last unit: no debt, and nothing left
	w.saw("Settled", "TicketExhausted")
}

func TestW61TwoTickets(t *testing.T) {
	for _, tc := range []struct {
		name     string
		deposits []uint64
		prices   []uint64
		tips     []uint64
		want     []uint64 // paid
		debts    []uint64
	}{
		{"one cost, the odd unit to the oldest", []uint64{1000, 1000}, []uint64{1, 1}, []uint64{101}, []uint64{51, 50}, []uint64{0, 0}},
		{"three tickets", []uint64{1000, 1000, 1000}, []uint64{1, 1, 1}, []uint64{101}, []uint64{34, 34, 33}, []uint64{0, 0, 0}},
		{"two reports", []uint64{1000, 1000}, []uint64{1, 1}, []uint64{101, 202}, []uint64{102, 100}, []uint64{0, 0}},
		{"each half at its own price", []uint64{1000, 1000}, []uint64{1, 3}, []uint64{100}, []uint64{50, 150}, []uint64{0, 0}},
		{"who has nothing takes no share", []uint64{0, 1000}, []uint64{1, 1}, []uint64{100}, []uint64{0, 100}, []uint64{0, 0}},
		{"who has too little owes the rest of its own", []uint64{30, 1000}, []uint64{1, 1}, []uint64{100}, []uint64{30, 50}, []uint64{20, 0}},
		{"nobody has anything", []uint64{0, 0}, []uint64{1, 1}, []uint64{101}, []uint64{0, 0}, []uint64{51, 50}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, k, list := market1(t)
			var ids []uint64
			for i, d := range tc.deposits {
				ids = append([]uint64{w.ticket(list, appA, d, Prices{Tip: price(tc.prices[i])})}, ids...) // claimed the youngest first
			}
			for _, n := range tc.tips {
				w.report(k, tips(appA, 1, n), ids...)
			}
			var paid, debts []uint64
			sum := uint64(0)
			for i := range tc.deposits {
				row := w.row(uint64(i), k)
				paid, debts = append(paid, row.TotalPaid.Lo), append(debts, row.Debt.Lo)
				sum += row.TotalPaid.Lo
			}
			if diff := cmp.Diff(tc.want, paid); diff != "" {
				t.Error("paid", diff)
			}
			if diff := cmp.Diff(tc.debts, debts); diff != "" {
				t.Error("debts", diff)
			}
			if w.free(id(k)) != sum {
				t.Errorf("the worker has %d of %d", w.free(id(k)), sum)
			}
		})
	}
	t.Run("claimed by turns", func(t *testing.T) {
		w, k, list := market1(t)
		a, b := w.ticket(list, appA, 1000, Prices{}), w.ticket(list, appA, 1000, Prices{})
		w.report(k, tips(appA, 1, 10), a)
		w.report(k, tips(appA, 1, 30), b)
		w.report(k, tips(appA, 1, 60), a)
		if w.free(id(k)) != 60 || w.row(a, k).TotalPaid != pallet.Units(40) || w.row(b, k).TotalPaid != pallet.Units(20) {
			t.Errorf("paid %d", w.free(id(k)))
		}
	})
	t.Run("a second ticket pays from where it came", func(t *testing.T) {
		w, k, list := market1(t)
		a := w.ticket(list, appA, 1000, Prices{})
		w.report(k, tips(appA, 1, 10), a)
		w.mine(1)
		b := w.ticket(list, appA, 1000, Prices{})
		w.report(k, tips(appA, 1, 30), a, b) // b has not seen all of these 20
		w.report(k, tips(appA, 1, 40), a, b)
		if w.row(a, k).TotalPaid != pallet.Units(35) || w.row(b, k).TotalPaid != pallet.Units(5) {
			t.Errorf("paid %v and %v", w.row(a, k).TotalPaid, w.row(b, k).TotalPaid)
		}
	})
}

func TestW62SessionChange(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 1000, Prices{})
	w.report(k, tips(appA, 1, 100), n)
	w.report(k, tips(appA, 2, 30), n) // the app was removed and deployed again
	want := Settlement{CurrentSessionID: pallet.Hash{2}, CurrentSessionPaid: pallet.Units(30), TotalPaid: pallet.Units(130)}
	if diff := cmp.Diff(want, w.row(n, k)); diff != "" {
		t.Error(diff)
	}
	// The worker opens a new session of its own: reports go on from 1, and apps as they are.
	in, _ := sessions.Get(w.Store, id(k))
	w.session(k, recipient, in.LastNonce[:])
	w.report(k, tips(appA, 2, 37), n)
	if w.free(id(k)) != 130 || w.free(recipient) != 7 {
		t.Errorf("paid %d and %d", w.free(id(k)), w.free(recipient))
	}
}

func TestMetricsThatFall(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 1000, Prices{})
	w.report(k, tips(appA, 1, 100), n)
	w.took()
	lower := tips(appA, 1, 90)
	w.report(k, lower, n)
	if got := w.saw("ClaimIgnored")[0].Fields; got != (ClaimIgnored{n, id(k), appA, IgnoredMetricsFell}) {
		t.Errorf("%+v", got)
	}
	// Nothing is charged twice on the way back.
	w.report(k, tips(appA, 1, 100), n)
	w.report(k, tips(appA, 1, 101), n)
	if w.free(id(k)) != 101 {
		t.Errorf("paid %d", w.free(id(k)))
	}
	// Each of the others is watched, too.
	base := meter.Metrics{
		Address: appB, Session: [32]byte{1}, RunningTimeMS: 5, Gas: 5, NetworkIngress: 5, NetworkEgress: 5, StorageRead: 5, StorageWrite: 5,
		StorageUsed: pallet.Units(5), MemoryUsed: pallet.Units(5), Tip: 5, Starts: 5,
	}
	for name, change := range map[string]func(*meter.Metrics){
		"running time": func(m *meter.Metrics) { m.RunningTimeMS-- }, "gas": func(m *meter.Metrics) { m.Gas-- },
		"ingress": func(m *meter.Metrics) { m.NetworkIngress-- }, "egress": func(m *meter.Metrics) { m.NetworkEgress-- },
		"read": func(m *meter.Metrics) { m.StorageRead-- }, "write": func(m *meter.Metrics) { m.StorageWrite-- },
		"storage": func(m *meter.Metrics) { m.StorageUsed.Lo-- }, "memory": func(m *meter.Metrics) { m.MemoryUsed.Lo-- },
		"tip": func(m *meter.Metrics) { m.Tip-- }, "starts": func(m *meter.Metrics) { m.Starts-- },
	} {
		if m := base; !func() bool { change(&m); return fell(base, m) }() || fell(m, base) || fell(base, base) {
			t.Errorf("a fall of %s is not seen", name)
		}
	}
}
