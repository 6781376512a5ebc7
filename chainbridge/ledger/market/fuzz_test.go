package market

import (
	"errors"
	"testing"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// hostile runs a call with bytes that anybody may have sent: it fails by a name of some pallet, or does what it may, and makes no money.
func hostile(t *testing.T, w *world, o pallet.Origin, call pallet.Call) error {
	total := accounts.Total(w.Store)
	err := w.do(o, call)
	var named *pallet.Error
	if err != nil && !errors.As(err, &named) {
		t.Fatal(err)
	}
	w.mine(1)
	if accounts.Total(w.Store) != total {
		t.Fatal("it made money")
	}
	return err
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(describe(f, key(1), nine(), "text").Signed))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		w := newWorld(t)
		w.ok(registerWorker(w.Context, key(1)))
		_ = hostile(t, w, by(stranger), &WorkerDescriptionSet{b})
	})
}

func FuzzSession(f *testing.F) {
	f.Add([]byte(openSession(f, key(1), pallet.Hash{1}, nil, recipient[:]).Signed))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			return
		}
		w := newWorld(t)
		w.ok(registerWorker(w.Context, key(1)))
		_ = hostile(t, w, by(stranger), &WorkerSessionUpdate{b})
	})
}

func FuzzScore(f *testing.F) {
	w, k := scoring(f)
	f.Add([]byte(w.score(k, 500, 1000, nil)), true)
	f.Add([]byte(w.score(k, 500, 1000, nil)), false)
	f.Fuzz(func(t *testing.T, b []byte, initial bool) {
		if len(b) > 1024 {
			return
		}
		w, _ := scoring(t)
		_ = hostile(t, w, by(stranger), &BenchmarkScoreSubmit{AsInitScore: initial, Signed: b})
	})
}

// FuzzSettle signs what is fuzzed, so that it gets beyond the signature: the numbers and claims of a hostile worker.
func FuzzSettle(f *testing.F) {
	f.Add([]byte{0}, uint64(1), uint64(10), uint64(0), uint64(0))
	f.Add([]byte{0, 1, 2, 7}, uint64(0), uint64(1<<63), uint64(1<<40), uint64(3))
	f.Fuzz(func(t *testing.T, claims []byte, sn, tip, running, second uint64) {
		w, k, list := market1(t)
		for range 3 {
			w.ticket(list, appA, 100, Prices{})
		}
		before := w.free(id(k))
		in, _ := sessions.Get(w.Store, id(k))
		for _, m := range []meter.Metrics{
			{Address: appA, Session: [32]byte{1}, RunningTimeMS: running, Tip: tip, Starts: second, MemoryUsed: pallet.Balance{Hi: tip, Lo: running}},
			{Address: appA, Session: [32]byte{byte(second)}, RunningTimeMS: running, Tip: second, Starts: tip},
		} {
			var list []Claim
			for i := 0; i < len(claims) && i < 64; i += 3 {
				c := Claim{Address: appA}
				for _, n := range claims[i:min(i+3, len(claims))] {
					c.Tickets = append(c.Tickets, uint64(n))
				}
				list = append(list, c)
				if len(list) == 1 {
					continue
				}
				list[len(list)-1].Address[1] = byte(i)
			}
			_ = hostile(t, w, by(stranger), signReport(t, k, meter.Token{SN: sn, Session: in.SessionID}, []meter.Metrics{m}, list...))
			sn++
		}
		if w.free(id(k))-before > 300 {
			t.Fatalf("paid %d of 300", w.free(id(k))-before)
		}
	})
}

func FuzzReport(f *testing.F) {
	w, k, _ := market1(f)
	f.Add([]byte(signReport(f, k, w.token(k), []meter.Metrics{tips(appA, 1, 1)}).Signed))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 16384 {
			return
		}
		w, _, _ := market1(t)
		_ = hostile(t, w, by(stranger), &TicketSettle{Signed: b})
	})
}

func FuzzConsent(f *testing.F) {
	sig := key(1).Sign(ConsentMessage(pallet.Hash{9}, 0, id(key(1)), 0))
	f.Add(uint64(0), uint64(0), sig[:])
	f.Fuzz(func(t *testing.T, list, invitation uint64, b []byte) {
		if len(b) > 128 {
			return
		}
		w := newWorld(t)
		w.worker(key(1), Prices{})
		w.must(by(owner), &WorkerListCreate{"", Prices{}, []pallet.Account{id(key(1))}})
		err := hostile(t, w, by(stranger), &WorkerListConsent{list, id(key(1)), invitation, (*pallet.Bytes)(&b)})
		if err == nil && !meter.Verify(id(key(1)), ConsentMessage(w.Genesis, list, id(key(1)), invitation), b) {
			t.Fatal("a worker joined without its signature")
		}
	})
}

// FuzzCalls decodes arguments of every call from the same bytes, and runs what decodes.
func FuzzCalls(f *testing.F) {
	for i, c := range []pallet.Call{
		&WorkerListCreate{"text", nine(), []pallet.Account{owner}}, &WorkerListAddWorkers{1, []pallet.Account{owner}}, &WorkerListRemoveWorker{1, owner},
		&TicketCreate{pallet.Units(5), appA, "QmA", 0, nine()}, &TicketClose{1}, &BenchmarkAppAdd{appA, "QmA", Ratio{1, 2}}, &BenchmarkAppRemove{appA},
	} {
		f.Add(uint8(i), scale.Marshal(c))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		w, k, list := market1(t)
		w.ticket(list, appA, 100, Prices{})
		calls := w.p.Calls
		for _, o := range []pallet.Origin{root, by(owner), by(id(k)), {}} {
			run := calls[int(which)%len(calls)].New()
			if scale.Unmarshal(b, run) != nil {
				return
			}
			_ = hostile(t, w, o, run)
		}
	})
}
