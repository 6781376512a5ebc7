package compute_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// whole is the whole ledger, with transactions.
type whole struct {
	*ledger.Ledger
	t      testing.TB
	mem    *state.Memory
	nonces map[*meter.Key]uint64
}

func (w *whole) commit(res *machine.Result) {
	w.t.Helper()
	w.mem.Apply(res.Changes)
	if err := w.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *whole) tx(k *meter.Key, p, call, args string) []byte {
	w.t.Helper()
	b, err := ledger.EncodeCall(p, call, json.RawMessage(args))
	if err != nil {
		w.t.Fatal(err)
	}
	n := w.nonces[k]
	w.nonces[k]++
	return ledger.SignTx(k, w.Head().Genesis, n, 0, b)
}

func (w *whole) block(txs ...[]byte) *machine.Result {
	w.t.Helper()
	h := w.Head()
	res, err := w.FinalizeBlock(machine.Block{Height: h.Height + 1, Time: h.Time + 6000, Txs: txs})
	if err != nil {
		w.t.Fatal(err)
	}
	w.commit(res)
	return res
}

// good expects all transactions of a block to succeed.
func (w *whole) good(txs ...[]byte) {
	w.t.Helper()
	for i, r := range w.block(txs...).Txs {
		if r.Invalid != nil || r.Error != nil {
			w.t.Fatalf("transaction %d: %v %v", i, r.Invalid, r.Error)
		}
	}
}

func (w *whole) status() (s string) {
	w.t.Helper()
	b, err := w.Query("Compute/request", json.RawMessage(`{"request_id":"0"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	var r struct{ Status string }
	if err := json.Unmarshal(b, &r); err != nil {
		w.t.Fatal(err)
	}
	return r.Status
}

// A request on the whole ledger: arguments in JSON, transactions that are signed, and the same transaction twice.
func TestS74ReplayOfATransaction(t *testing.T) {
	user, miner := meter.KeyFromSeed([meter.SeedBytes]byte{1}), meter.KeyFromSeed([meter.SeedBytes]byte{2})
	buyer, node := pallet.Account(user.Public()), pallet.Account(miner.Public()).String()
	offer := plans.AddNewPlan{PlanName: "small", PlanTechnicalDescription: `{"cpu_cores":1}`, Price: pallet.Units(3)}
	g := ledger.Genesis{
		Name:     "compute",
		Balances: map[pallet.Account]pallet.Balance{buyer: pallet.Units(100_000)},
		Pallets: map[string]json.RawMessage{
			"PalletIp":    json.RawMessage(`{"vm":["127.0.0.2"]}`),
			"Marketplace": json.RawMessage(`{"plans":[` + string(marshal(t, offer)) + `],"images":[{"os_name":"app","url":"sha256:00"}]}`),
		},
	}
	doc, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{t: t, mem: state.NewMemory(), nonces: map[*meter.Key]uint64{}}
	if w.Ledger, err = ledger.New(w.mem); err != nil {
		t.Fatal(err)
	}
	res, err := w.InitChain(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.commit(res)
	roomy := machineWithRoom()
	of := `{"node_id":"` + node + `","request_id":"0"`
	w.good(
		w.tx(miner, "Registration", "register_node_with_coldkey", `{"node_type":"ComputeMiner","node_id":"`+node+`","pay_in_credits":false,"ipfs_node_id":null}`),
		w.tx(miner, "ExecutionUnit", "put_node_specs", `{"node_id":"`+node+`","system_info":`+string(marshal(t, roomy))+`,"signature":"","node_type":"ComputeMiner"}`),
		w.tx(user, "Credits", "convert_to_credits", `{"amount":"50000"}`),
		w.tx(user, "Marketplace", "purchase_plan", `{"plan_id":"`+plans.PlanID(&offer).String()+`","selected_image_name":"app"}`),
	)
	for w.Head().Height < requests.PlaceBlocks {
		w.block()
	}
	if s := w.status(); s != "InProgress" {
		t.Fatal(s)
	}
	w.good(w.tx(miner, "Compute", "update_miner_compute_request", of+`,"job_id":"job","ip":"127.0.0.2"}`))
	w.good(w.tx(miner, "Compute", "mark_compute_request_fulfilled", of+`}`))
	plan := `{"plan_id":"` + plans.PlanID(&offer).String() + `"}`
	w.good(w.tx(user, "Compute", "request_compute_stop", plan))
	stop := w.tx(miner, "Compute", "mark_miner_compute_stop_request_fulfilled", of+`,"signature":null}`)
	w.good(stop)
	w.good(w.tx(user, "Compute", "request_compute_boot", plan))
	w.good(w.tx(miner, "Compute", "submit_compute_boot_request_fulfillment", of+`,"signature":""}`))
	w.good(w.tx(user, "Compute", "request_compute_stop", plan))
	if r := w.block(stop).Txs[0]; !errors.Is(r.Invalid, fault.CallerTxNonce) {
		t.Errorf("the same transaction again: %v %v", r.Invalid, r.Error)
	}
	if _, err := w.CheckTx(stop); !errors.Is(err, fault.CallerTxNonce) {
		t.Errorf("the same transaction again may wait: %v", err)
	}
	if s := w.status(); s != "Running" {
		t.Error(s)
	}
	forged := w.tx(user, "Compute", "mark_miner_compute_stop_request_fulfilled", of+`,"signature":null}`)
	if r := w.block(forged).Txs[0]; !errors.Is(r.Error, pallet.Fail("Compute", "InvalidSignature", "")) {
		t.Errorf("signed by the user: %v %v", r.Invalid, r.Error)
	}
}
