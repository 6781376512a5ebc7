package host_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// TestW75ChainStart: nobody does anything, and the worker is registered, described, and has a session that both know.
func TestW75ChainStart(t *testing.T) {
	r := newChainRig(t, "start", chainBlock, nil)
	h := r.host(nil)
	worker := r.ready(h)
	first := r.worker(worker)
	if !first.Registered || first.Description == nil {
		t.Fatalf("the chain has %+v", first)
	}
	// A session that the operator opens is one that the chain does not know: it is healed.
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	r.until("the session to be healed", func() (bool, string) {
		v := r.view(h)
		return v.Reporter.Session != first.Session.ID.String() && v.Reporter.Session == v.Reporter.ChainSession && r.worker(worker).Session.ID.String() == v.Reporter.Session, chainText(v.Reporter)
	})
	list := r.list(h)
	m, cid := r.app("c-handler", "start", nil)
	r.pay(list, m, cid, "1000000000", "gas_price", "1")
	a := r.deployed(h, m)
	if got := ask(t, h, a.Address, "echo", "hello"); got != "hello" {
		t.Errorf("the app says %q", got)
	}
}

// paidExactly says whether a ticket has paid its price for all that its app used, once.
func (r *chainRig) paidExactly(h *host.Host, m *manifest.Manifest, id uint64, price int64) {
	r.t.Helper()
	want := new(big.Int).Mul(big.NewInt(price), new(big.Int).SetUint64(r.metrics(h, m).Gas))
	ticket := r.ticket(id)
	if len(ticket.Workers) != 1 || ticket.Workers[0].Paid != want.String() || ticket.Workers[0].Debt != "0" {
		r.t.Errorf("the ticket has %+v, want %v paid", ticket, want)
	}
	sum := new(big.Int)
	for _, s := range r.settlements() {
		if s.Ticket == id && !s.Failed {
			sum.Add(sum, s.Payout)
		}
	}
	if len(ticket.Workers) == 1 && sum.String() != ticket.Workers[0].TotalPaid {
		r.t.Errorf("payments are %v, the total is %s", sum, ticket.Workers[0].TotalPaid)
	}
}

// TestW76ChainRestart: a host is restarted while an app is paid. It has the app again without an operator, what it reports is paid,
// and nothing twice: with Resume session and totals go on, without it they begin anew.
func TestW76ChainRestart(t *testing.T) {
	for _, resume := range []bool{true, false} {
		t.Run(fmt.Sprintf("resume=%v", resume), func(t *testing.T) {
			r := newChainRig(t, "restart", chainBlock, nil)
			cfg := r.config(r.c)
			cfg.DataDir, cfg.BallastBytes, cfg.Apps.Resume = t.TempDir(), host.NoLimit, resume
			h, err := host.Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			list := r.list(h)
			m, cid := r.app("c-handler", "restart", nil)
			id := r.pay(list, m, cid, "1000000000000", "gas_price", "7")
			address := r.deployed(h, m).Address
			session := r.view(h).Reporter.Session
			gas, sum := uint64(0), uint64(0)
			for round := range 3 {
				for n := range 5 {
					want := fmt.Sprint(round, n)
					if got := ask(t, h, address, "echo", want); got != want {
						t.Errorf("%q, want %q", got, want)
					}
				}
				if !resume || round != 1 { // once there is use that no report has had
					r.settle(h)
					r.paidExactly(h, m, id, 7)
				}
				now := r.metrics(h, m).Gas
				if now < 5 || resume && now < gas+5 {
					t.Errorf("the metrics do not go on: %d after %d", now, gas)
				}
				gas, sum = now, sum+now
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if h, err = host.Start(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				r.ready(h)
				r.deployed(h, m)
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				if now := r.view(h).Reporter.Session; (now == session) != resume {
					t.Errorf("the session is %s, it was %s", now, session)
				} else {
					session = now
				}
			}
			if resume {
				sum = gas
			}
			r.settle(h)
			r.paidExactly(h, m, id, 7)
			if got, want := r.ticket(id).Workers[0].TotalPaid, fmt.Sprint(7*sum); got != want {
				t.Errorf("%s is paid in all, want %s", got, want)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestW79EmptyTicket: what cannot pay is stopped after a last report, and what is due stays visible.
func TestW79EmptyTicket(t *testing.T) {
	r := newChainRig(t, "empty", chainBlock, nil)
	h := r.host(nil)
	list := r.list(h)
	m, cid := r.app("c-handler", "empty", nil)
	id := r.pay(list, m, cid, "1000", "gas_price", "100")
	address := r.deployed(h, m).Address
	for range 10 {
		ask(t, h, address, "echo", "hello")
	}
	used := r.metrics(h, m).Gas
	r.settle(h)
	r.removed(h, m)
	ticket := r.ticket(id)
	if len(ticket.Workers) != 1 || ticket.Workers[0].TotalPaid != "1000" {
		t.Fatalf("the ticket has %+v after %d units of gas", ticket, used)
	}
	if debt := chainAmount(t, ticket.Workers[0].Debt); debt.Cmp(new(big.Int).SetUint64(100*used-1000)) != 0 {
		t.Errorf("the debt is %v after %d units of gas", debt, used)
	}
	// Who pays again is served again.
	r.call(r.alice, "Balances", "transfer_keep_alive", map[string]any{"dest": ticket.Account, "value": "100000000"})
	if a := r.deployed(h, m); ask(t, h, a.Address, "echo", "again") != "again" {
		t.Error("the app does not answer again")
	}
}

// TestW81FinalReport: a ticket is closed, and what was used until then is paid in the closing window.
func TestW81FinalReport(t *testing.T) {
	r := newChainRig(t, "final", chainBlock, map[string]string{"Wapod": `{"closing_window":60}`})
	h := r.host(nil)
	list := r.list(h)
	worker := r.ready(h)
	m, cid := r.app("c-handler", "final", nil)
	id := r.pay(list, m, cid, "1000000000000", "gas_price", "3")
	address := r.deployed(h, m).Address
	before := r.free(worker)
	rich := r.free(r.alice.Public())
	for range 10 {
		ask(t, h, address, "echo", "hello")
	}
	used := r.metrics(h, m).Gas
	r.call(r.alice, "Wapod", "ticket_close", map[string]any{"id": id})
	r.removed(h, m)
	cost := new(big.Int).Mul(big.NewInt(3), new(big.Int).SetUint64(used))
	earned := func() *big.Int { return new(big.Int).Sub(r.free(worker), before) }
	if earned().Cmp(cost) != 0 {
		t.Errorf("the worker has earned %v, want %v", earned(), cost)
	}
	r.until("the refund", func() (bool, string) {
		back := new(big.Int).Sub(r.free(r.alice.Public()), rich)
		return back.Cmp(new(big.Int).Sub(big.NewInt(1_000_000_000_000), cost)) == 0, back.String()
	})
}
