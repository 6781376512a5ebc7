package market_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/market"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const tokens = 1_000_000_000_000 // units

// circle is a whole chain, with all pallets.
type circle struct {
	*ledger.Ledger
	t       *testing.T
	mem     *state.Memory
	genesis pallet.Hash
	nonces  map[[32]byte]uint64
	blocks  []machine.Block
	events  []machine.Event // since begin
}

func start(t *testing.T, doc []byte) *circle {
	t.Helper()
	c := &circle{t: t, mem: state.NewMemory(), nonces: map[[32]byte]uint64{}}
	var err error
	if c.Ledger, err = ledger.New(c.mem); err != nil {
		t.Fatal(err)
	}
	if c.genesis, err = ledger.GenesisHash(doc); err != nil {
		t.Fatal(err)
	}
	res, err := c.InitChain(doc)
	if err != nil {
		t.Fatal(err)
	}
	c.commit(res)
	return c
}

func (c *circle) commit(res *machine.Result) {
	c.t.Helper()
	c.mem.Apply(res.Changes)
	if err := c.Commit(); err != nil {
		c.t.Fatal(err)
	}
}

// run executes a block on it.
func (c *circle) run(b machine.Block) *machine.Result {
	c.t.Helper()
	res, err := c.FinalizeBlock(b)
	if err != nil {
		c.t.Fatal(err)
	}
	c.commit(res)
	c.blocks, c.events = append(c.blocks, b), append(c.events, res.Events...)
	return res
}

// send has a call of its own block, 10 s after the one before, which must succeed.
func (c *circle) send(k *meter.Key, name, call string, args any) {
	c.t.Helper()
	b := c.encode(name, call, args)
	tx := ledger.SignTx(k, c.genesis, c.nonces[k.Public()], 0, b)
	c.nonces[k.Public()]++
	res := c.run(c.next(tx))
	if r := res.Txs[0]; r.Invalid != nil || r.Error != nil {
		c.t.Fatalf("%s.%s: %v %v", name, call, r.Invalid, r.Error)
	}
}

func (c *circle) next(txs ...[]byte) machine.Block {
	h := c.Head()
	return machine.Block{Height: h.Height + 1, Time: h.Time + 10_000, Txs: txs}
}

func (c *circle) encode(name, call string, args any) []byte {
	c.t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := ledger.EncodeCall(name, call, text)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// sudo has governance make a call.
func (c *circle) sudo(k *meter.Key, name, call string, args any) {
	c.t.Helper()
	c.send(k, "Sudo", "sudo", map[string]any{"call": pallet.Bytes(c.encode(name, call, args))})
}

func (c *circle) saw(pallet, name string) (fields []any) {
	for _, e := range c.events {
		if e.Pallet == pallet && e.Name == name {
			fields = append(fields, e.Fields)
		}
	}
	return fields
}

func (c *circle) query(path string, params, out any) {
	c.t.Helper()
	text, _ := json.Marshal(params)
	got, err := c.Query(path, text)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(got, out); err != nil {
		c.t.Fatal(err)
	}
}

func (c *circle) free(a pallet.Account) string {
	var v struct{ Free string }
	c.query("System/account", map[string]any{"account": a}, &v)
	return v.Free
}

// TestCircle goes once around on a whole chain: a worker with an attestation is scored, staked and started, answers a challenge by its
// score, and serves a ticket that is settled and closed. A replay leads to the same state.
func TestCircle(t *testing.T) {
	worker, owner, sudo, vouching := meter.KeyFromSeed([32]byte{1}), meter.KeyFromSeed([32]byte{2}), meter.KeyFromSeed([32]byte{3}), meter.KeyFromSeed([32]byte{4})
	id := func(k *meter.Key) pallet.Account { return k.Public() }
	governor, root := id(sudo), id(vouching)
	told := func(v any) json.RawMessage { b, _ := json.Marshal(v); return b }
	doc, err := (&ledger.Genesis{
		Name: "circle", TimeMS: 1_700_000_000_000, Sudo: &governor,
		Balances: map[pallet.Account]pallet.Balance{id(owner): pallet.Units(1_000_000 * tokens)},
		Pallets: map[string]json.RawMessage{
			"PhalaRegistry":    told(registry.Genesis{Root: &root, MaxAge: 60_000, Require: true}),
			"Wapod":            told(market.Genesis{ClosingWindow: 3}),
			"PhalaComputation": told(map[string]any{"subsidy": pallet.Units(1000 * tokens), "heartbeat_paused": true}),
		},
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, doc)
	now := func() uint64 { return c.next().Time }

	operator := owner.Public()
	r := meter.NewRegistration(worker.Public(), c.genesis, &operator, 0)
	c.send(owner, "PhalaRegistry", "register_worker_v2", registry.RegisterWorkerV2{Registration: r.Encode(), Attestation: &registry.Attestation{
		Provider: registry.ProviderTestRoot, Report: registry.IssueReport(vouching, r, 1, now()),
	}})
	described, _ := meter.SignDescription(worker, meter.Description{Text: "fast"})
	c.send(worker, "Wapod", "worker_description_set", market.WorkerDescriptionSet{Signed: described})
	paid := pallet.Account{'p'}
	session := meter.SessionUpdate{Session: meter.SessionID([32]byte{1}, nil), Nonce: [32]byte{1}, Recipient: paid[:]}
	opened, _ := meter.SignSessionUpdate(worker, session)
	c.send(owner, "Wapod", "worker_session_update", market.WorkerSessionUpdate{Signed: opened})

	// The benchmark, and the start.
	bench := pallet.Hash{'B'}
	c.sudo(sudo, "Wapod", "benchmark_app_set", market.BenchmarkAppSet{Address: bench, ManifestCID: "QmB", ScoreRatio: market.Ratio{Numerator: 1, Denominator: 10}})
	sn := uint64(0)
	token := func() meter.Token {
		sn++
		return meter.Token{SN: sn, Session: session.Session, Nonce: [32]byte{byte(sn)}}
	}
	score := func(gas uint64, initial bool) {
		t.Helper()
		m := meter.SignBenchScore(worker, bench, meter.BenchScore{GasPerSecond: 5000, GasConsumed: gas, Timestamp: now() / 1000, Token: token()})
		c.send(owner, "Wapod", "benchmark_score_submit", market.BenchmarkScoreSubmit{AsInitScore: initial, Signed: m.Encode()})
	}
	score(5000, true)
	c.send(owner, "PhalaStakePoolv2", "create", struct{}{})
	c.send(owner, "PhalaStakePoolv2", "add_worker", map[string]any{"pid": 0, "pubkey": id(worker)})
	stake := pallet.Units(10_000 * tokens)
	c.send(owner, "PhalaStakePoolv2", "contribute", map[string]any{"pid": 0, "amount": stake})
	c.send(owner, "PhalaStakePoolv2", "start_computing", map[string]any{"pid": 0, "worker": id(worker), "stake": stake})
	c.sudo(sudo, "PhalaComputation", "force_heartbeat", struct{}{})
	score(10_000, false) // the baseline
	score(15_000, false)
	beats := c.saw("Wapod", "HeartbeatV3")
	if len(beats) != 1 {
		t.Fatalf("%d heartbeats", len(beats))
	}
	beat, _ := beats[0].(market.HeartbeatV3)
	if beat.Iterations != 1500 || beat.PInstant != 300 || beat.Worker != id(worker) {
		t.Errorf("%+v", beat)
	}

	// The ticket.
	app := pallet.Hash{'a'}
	one := pallet.Units(1)
	c.send(owner, "Wapod", "worker_list_create", market.WorkerListCreate{Prices: market.Prices{Tip: &one}, InitWorkers: []pallet.Account{id(worker)}})
	var asked struct {
		Items []struct{ List, Invitation uint64 }
	}
	c.query("Wapod/invitations", map[string]any{"worker": id(worker)}, &asked)
	if len(asked.Items) != 1 {
		t.Fatalf("invited to %v", asked.Items)
	}
	c.send(worker, "Wapod", "worker_list_consent", market.WorkerListConsent{List: asked.Items[0].List, Worker: id(worker), Invitation: asked.Items[0].Invitation})
	before := c.free(id(owner))
	c.send(owner, "Wapod", "ticket_create", market.TicketCreate{Deposit: pallet.Units(1000), Address: app, ManifestCID: "QmA", WorkerList: asked.Items[0].List})
	ticket := uint64(1) // the benchmark's is 0
	for _, tip := range []uint64{100, 250} {
		report, err := meter.SignReport(worker, token(), []meter.Metrics{{Address: app, Session: [32]byte{7}, Tip: tip, Starts: 1}})
		if err != nil {
			t.Fatal(err)
		}
		c.send(owner, "Wapod", "ticket_settle", market.TicketSettle{Signed: report, ClaimMap: []market.Claim{{Address: app, Tickets: []uint64{ticket}}}})
	}
	c.send(owner, "Wapod", "ticket_close", market.TicketClose{ID: ticket})
	for range 3 {
		c.run(c.next())
	}
	if diff := cmp.Diff([]any{market.TicketClosed{ID: ticket, Refund: pallet.Units(750)}}, c.saw("Wapod", "TicketClosed")); diff != "" {
		t.Error(diff)
	}
	if got := c.free(paid); got != "250" {
		t.Errorf("the worker was paid %s", got)
	}
	var was, is pallet.Balance
	_, _ = was.UnmarshalText([]byte(before)), is.UnmarshalText([]byte(c.free(id(owner))))
	if spent, ok := was.Minus(is); !ok || spent != pallet.Units(250) {
		t.Errorf("the owner spent %s", spent)
	}

	again := start(t, doc)
	for _, b := range c.blocks {
		again.run(b)
	}
	if a, b := c.Head(), again.Head(); a != b {
		t.Errorf("the replay leads to %+v, not %+v", b, a)
	}
}
