package host_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	chains "github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/chainbridge/devchain"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/host"
)

// chainRig is a chain with its owner and with somebody who pays, and a directory from which hosts fetch.
type chainRig struct {
	t           testing.TB
	c           *devchain.Chain
	dir, source string
	genesis     []byte
	root, alice *meter.Key
	block       time.Duration
	keys        atomic.Uint64
}

// chainBlock is the time between blocks of most tests.
const chainBlock = 50 * time.Millisecond

// newChainRig opens a new chain. pallets is what its genesis tells them.
func newChainRig(t testing.TB, name string, block time.Duration, pallets map[string]string) *chainRig {
	t.Helper()
	r := &chainRig{t: t, dir: t.TempDir(), source: t.TempDir(), block: block, root: meter.KeyFromSeed([32]byte{1}), alice: meter.KeyFromSeed([32]byte{2})}
	root, rich := pallet.Account(r.root.Public()), pallet.Balance{}
	if err := rich.UnmarshalText([]byte("1000000000000000000")); err != nil {
		t.Fatal(err)
	}
	g := ledger.Genesis{Name: name, TimeMS: uint64(time.Now().UnixMilli()), Sudo: &root, Balances: map[pallet.Account]pallet.Balance{root: rich, r.alice.Public(): rich},
		Pallets: map[string]json.RawMessage{"Wapod": json.RawMessage(`{"closing_window":20}`)}}
	for name, config := range pallets {
		g.Pallets[name] = json.RawMessage(config)
	}
	var err error
	if r.genesis, err = g.Encode(); err != nil {
		t.Fatal(err)
	}
	r.begin()
	t.Cleanup(func() { r.shut() })
	return r
}

func (r *chainRig) begin() {
	r.t.Helper()
	var err error
	if r.c, err = devchain.Open(r.t.Context(), devchain.Config{Dir: r.dir, Genesis: r.genesis, BlockTime: r.block}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *chainRig) shut() {
	r.t.Helper()
	if err := r.c.Close(); err != nil {
		r.t.Error(err)
	}
}

// config is that of a host at the chain.
func (r *chainRig) config(p chains.Port) host.Config {
	return host.Config{PrepareWorkers: 1, PrepareWorkersCritical: 1, ExecuteWorkers: 2, ExecuteWorkersCritical: 2, SpareWorkers: host.NoLimit, StopTimeout: 2 * time.Second, Chain: host.ChainConfig{
		Port: p, ReportEvery: time.Hour, MetricsEvery: time.Second, Description: "a worker of tests", Prices: &meter.Prices{}, Sources: r.source,
	}}
}

// host starts one at the chain.
func (r *chainRig) host(change func(*host.Config)) *host.Host {
	r.t.Helper()
	cfg := r.config(r.c)
	if change != nil {
		change(&cfg)
	}
	return start(r.t, cfg)
}

// until asks until the answer is yes. It fails with what was said last.
func (r *chainRig) until(what string, ask func() (bool, string)) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		yes, last := ask()
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("waited 30 s for %s: %s", what, last)
		}
	}
}

func chainText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// view is what a host says of its chain.
func (r *chainRig) view(h *host.Host) inspect.ChainView {
	r.t.Helper()
	v, err := h.Chain(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// ready waits until the chain knows the worker's session and description.
func (r *chainRig) ready(h *host.Host) chains.Hash {
	r.t.Helper()
	worker := chains.Hash(workerKey(r.t, h))
	r.until("a session that both know", func() (bool, string) {
		v := r.view(h)
		w := r.worker(worker)
		return v.Reporter.Registered && v.Reporter.Session != "" && v.Reporter.Session == v.Reporter.ChainSession && w.Session != nil &&
			w.Session.ID.String() == v.Reporter.Session && w.Description != nil, chainText(v)
	})
	return worker
}

// call signs a call, and returns the events of its block.
func (r *chainRig) call(who *meter.Key, of, name string, args any) []chains.Event {
	r.t.Helper()
	events, err := r.try(who, of, name, args)
	if err != nil {
		r.t.Fatalf("%s.%s: %v", of, name, err)
	}
	return events
}

var errChainSeen = errors.New("seen")

func (r *chainRig) try(who *meter.Key, of, name string, args any) (events []chains.Event, err error) {
	r.t.Helper()
	ctx := r.t.Context()
	body, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	info, err := r.c.Info(ctx)
	if err != nil {
		return nil, err
	}
	a, err := r.c.Account(ctx, who.Public())
	if err != nil {
		return nil, err
	}
	tx, err := r.c.Sign(chains.Call{Pallet: of, Name: name, Args: body}, chains.Signing{Signer: who, Genesis: info.Genesis, Nonce: a.Nonce})
	if err != nil {
		return nil, err
	}
	if err := r.c.Submit(ctx, tx.Bytes); err != nil {
		return nil, err
	}
	err = r.c.Follow(ctx, info.Head, func(b chains.Block) error {
		for i, x := range b.Txs {
			if x.Hash != tx.Hash {
				continue
			}
			for _, e := range b.Events {
				if e.Tx == i {
					events = append(events, e)
				}
			}
			if x.Error != nil {
				return x.Error.Fault()
			}
			return errChainSeen
		}
		return nil
	})
	if errors.Is(err, errChainSeen) {
		err = nil
	}
	return events, err
}

// sudo makes a call in the name of nobody but the chain's owner.
func (r *chainRig) sudo(of, name string, args any) {
	r.t.Helper()
	body, err := json.Marshal(args)
	if err != nil {
		r.t.Fatal(err)
	}
	call, err := ledger.EncodeCall(of, name, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range r.call(r.root, "Sudo", "sudo", map[string]any{"call": pallet.Bytes(call)}) {
		var done struct{ Result *string }
		if e.Name == "Sudid" && (json.Unmarshal(e.Fields, &done) != nil || done.Result != nil) {
			r.t.Fatalf("%s.%s: %s", of, name, e.Fields)
		}
	}
}

// query asks the chain for a view.
func (r *chainRig) query(path string, params, out any) {
	r.t.Helper()
	if err := r.c.Query(r.t.Context(), path, params, out); err != nil {
		r.t.Fatalf("%s: %v", path, err)
	}
}

type chainWorkerView struct {
	Registered  bool    `json:"registered"`
	Description *string `json:"description"`
	Session     *struct {
		ID            chains.Hash `json:"session_id"`
		LastMetricsSN uint64      `json:"last_metrics_sn"`
	} `json:"session"`
}

func (r *chainRig) worker(key chains.Hash) (w chainWorkerView) {
	r.t.Helper()
	r.query("Wapod/worker", map[string]any{"worker": key}, &w)
	return w
}

type chainTicket struct {
	ID      uint64      `json:"id"`
	Account chains.Hash `json:"account"`
	Balance string      `json:"balance"`
	Workers []struct {
		Worker    chains.Hash `json:"worker"`
		Session   chains.Hash `json:"current_session_id"`
		Paid      string      `json:"paid"`
		TotalPaid string      `json:"total_paid"`
		Debt      string      `json:"debt"`
	} `json:"workers_state"`
}

func (r *chainRig) ticket(id uint64) (t chainTicket) {
	r.t.Helper()
	r.query("Wapod/ticket", map[string]any{"id": id}, &t)
	return t
}

// free is what an account has.
func (r *chainRig) free(who [32]byte) *big.Int {
	r.t.Helper()
	a, err := r.c.Account(r.t.Context(), who)
	if err != nil {
		r.t.Fatal(err)
	}
	n, ok := new(big.Int).SetString(a.Free, 10)
	if !ok {
		r.t.Fatalf("the balance of %x is %q", who, a.Free)
	}
	return n
}

// chainPrices are prices of which one is set for each pair.
func chainPrices(set ...string) map[string]any {
	p := map[string]any{}
	for _, name := range []string{"general_fee_per_second", "gas_price", "net_ingress_price", "net_egress_price", "storage_read_price", "storage_write_price", "storage_price",
		"memory_price", "tip_price"} {
		p[name] = nil
	}
	for i := 0; i < len(set); i += 2 {
		p[set[i]] = set[i+1]
	}
	return p
}

// list makes a list of workers, which join it, and returns its number.
func (r *chainRig) list(hosts ...*host.Host) (id uint64) {
	r.t.Helper()
	var workers []chains.Hash
	for _, h := range hosts {
		workers = append(workers, r.ready(h))
	}
	for _, e := range r.call(r.root, "Wapod", "worker_list_create", map[string]any{"description": "tests", "prices": chainPrices(), "init_workers": workers}) {
		if e.Name != "WorkerListCreated" {
			continue
		}
		var f struct {
			List uint64 `json:"list"`
		}
		if err := json.Unmarshal(e.Fields, &f); err != nil {
			r.t.Fatal(err)
		}
		id = f.List
	}
	for i, h := range hosts {
		var invited struct {
			Invitation uint64 `json:"invitation"`
		}
		r.query("Wapod/invitation", map[string]any{"list": id, "worker": workers[i]}, &invited)
		r.send(h, "Wapod", "worker_list_consent", map[string]any{"list": id, "worker": workers[i], "invitation": invited.Invitation})
	}
	return id
}

// send has a worker send a call.
func (r *chainRig) send(h *host.Host, of, name string, args any) {
	r.t.Helper()
	body, err := json.Marshal(args)
	if err == nil {
		_, err = h.SendToChain(r.t.Context(), fmt.Sprintf("test-%d", r.keys.Add(1)), chains.Call{Pallet: of, Name: name, Args: body})
	}
	if err != nil {
		r.t.Fatalf("%s.%s: %v", of, name, err)
	}
}

// publish puts something where hosts fetch from.
func (r *chainRig) publish(name string, b []byte) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.source, name), b, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// app publishes an app, and returns its manifest and the CID of that.
func (r *chainRig) app(file, label string, change func(*manifest.Manifest)) (m *manifest.Manifest, cid string) {
	r.t.Helper()
	code := guest(r.t, file)
	m = &manifest.Manifest{Version: manifest.Version2, CodeHash: fmt.Sprintf("sha256:%x", sha256.Sum256(code)), OnDemand: true, MaxQueryBytes: 1 << 20, Label: label,
		Terms: &manifest.Terms{QueryTimeout: time.Minute}}
	if change != nil {
		change(m)
	}
	text, err := m.JSON()
	if err != nil {
		r.t.Fatal(err)
	}
	cid = manifest.CID(text)
	r.publish(m.CodeHash, code)
	r.publish(cid, text)
	return m, cid
}

// pay makes a ticket and returns its number.
func (r *chainRig) pay(list uint64, m *manifest.Manifest, cid, deposit string, prices ...string) (id uint64) {
	r.t.Helper()
	for _, e := range r.call(r.alice, "Wapod", "ticket_create", map[string]any{
		"deposit": deposit, "address": m.Address(), "manifest_cid": cid, "worker_list": list, "prices": chainPrices(prices...),
	}) {
		var f struct {
			ID uint64 `json:"id"`
		}
		if e.Name == "TicketCreated" {
			if err := json.Unmarshal(e.Fields, &f); err != nil {
				r.t.Fatal(err)
			}
			id = f.ID
		}
	}
	return id
}

// deployed waits for an app.
func (r *chainRig) deployed(h *host.Host, m *manifest.Manifest) inspect.App {
	r.t.Helper()
	var a inspect.App
	r.until("an app to be deployed", func() (bool, string) {
		var err error
		a, err = h.App(r.t.Context(), m.Address().String())
		if err == nil {
			return true, ""
		}
		demands, _, _ := h.ChainDemands(r.t.Context(), "", 10)
		return false, fmt.Sprint(err, " ", chainText(demands))
	})
	return a
}

// removed waits for the end of an app.
func (r *chainRig) removed(h *host.Host, m *manifest.Manifest) {
	r.t.Helper()
	r.until("an app to be removed", func() (bool, string) {
		a, err := h.App(r.t.Context(), m.Address().String())
		if fault.CodeOf(err) == fault.CallerNotFound {
			return true, ""
		}
		demands, _, _ := h.ChainDemands(r.t.Context(), "", 10)
		return false, fmt.Sprint(chainText(a), " ", err, " ", chainText(demands))
	})
}

// settle has all use reported and settled.
func (r *chainRig) settle(h *host.Host) {
	r.t.Helper()
	if _, _, err := h.ReportToChain(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// metrics are the totals of an app.
func (r *chainRig) metrics(h *host.Host, m *manifest.Manifest) inspect.AppMetrics {
	r.t.Helper()
	all, err := h.AppMetrics(r.t.Context(), m.Address().String())
	if err != nil || len(all) != 1 {
		r.t.Fatalf("%d metrics, %v", len(all), err)
	}
	return all[0]
}

// chainAmount reads digits.
func chainAmount(t testing.TB, text string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		t.Fatalf("%q is no amount", text)
	}
	return n
}

// chainSettlement is one payment, or what could not be paid.
type chainSettlement struct {
	Height uint64
	Ticket uint64
	Worker chains.Hash
	Payout *big.Int
	Cost   *big.Int
	Failed bool
}

// settlements are all payments since the first block.
func (r *chainRig) settlements() (out []chainSettlement) {
	r.t.Helper()
	info, err := r.c.Info(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for height := uint64(1); height <= info.Head.Height; height++ {
		b, err := r.c.Block(height)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range b.Events {
			if e.Pallet != "Wapod" || e.Name != "Settled" && e.Name != "SettleFailed" {
				continue
			}
			var f struct {
				Ticket uint64      `json:"ticket_id"`
				Worker chains.Hash `json:"worker"`
				Payout string      `json:"payout"`
				Cost   string      `json:"session_cost"`
			}
			if err := json.Unmarshal(e.Fields, &f); err != nil {
				r.t.Fatal(err)
			}
			out = append(out, chainSettlement{height, f.Ticket, f.Worker, chainAmount(r.t, f.Payout), chainAmount(r.t, f.Cost), e.Name == "SettleFailed"})
		}
	}
	return out
}

func jsonInto(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// chainCallLine is a call that a host in another process is told to send.
type chainCallLine struct {
	Key  string
	Call chains.Call
}

func callOf(of, name string, args any) chains.Call {
	b, _ := json.Marshal(args)
	return chains.Call{Pallet: of, Name: name, Args: b}
}

func parseKey(t testing.TB, text string) (h chains.Hash) {
	t.Helper()
	if err := h.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return h
}
