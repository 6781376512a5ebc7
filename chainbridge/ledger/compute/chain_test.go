package compute_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/compute"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// memory is a committed state.
type memory map[string][]byte

func (m memory) Get(key []byte) ([]byte, error) { return m[string(key)], nil }

func (m memory) Scan(prefix, after []byte, use func(key, value []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(k, string(prefix)) && (after == nil || k > string(after)) && !use([]byte(k), m[k]) {
			break
		}
	}
	return nil
}

// chain runs the pallets of compute as the ledger does, one block at a time.
type chain struct {
	t       testing.TB
	pallets []pallet.Pallet
	state   memory
	store   *state.Store
	height  uint64
	events  []pallet.Event // since the last look
}

func newChain(t testing.TB, genesis map[string]string) *chain {
	c := &chain{t: t, pallets: append(accounts.Pallets(), compute.Pallets()...), state: memory{}}
	c.store = state.NewStore(c.state)
	for _, p := range c.pallets {
		if p.Genesis == nil {
			continue
		}
		var config json.RawMessage
		if g, ok := genesis[p.Name]; ok {
			config = json.RawMessage(g)
		}
		if err := p.Genesis(c.context(pallet.Origin{}), config); err != nil {
			t.Fatalf("genesis of %s: %v", p.Name, err)
		}
	}
	c.commit()
	c.begin()
	return c
}

func (c *chain) context(o pallet.Origin) *pallet.Context {
	return &pallet.Context{Store: c.store, Height: c.height, Time: c.height * 6000, Genesis: pallet.Hash{1}, Origin: o, Events: &c.events}
}

func (c *chain) commit() {
	if err := c.store.Err(); err != nil {
		c.t.Fatal(err)
	}
	for _, ch := range c.store.Changes() {
		if len(ch.New) > 192<<10 {
			c.t.Fatalf("a value of %d bytes at %x", len(ch.New), ch.Key)
		}
		if ch.New == nil {
			delete(c.state, string(ch.Key))
		} else {
			c.state[string(ch.Key)] = bytes.Clone(ch.New)
		}
	}
	c.store = state.NewStore(c.state)
}

func (c *chain) begin() {
	c.height++
	for _, p := range c.pallets {
		if p.Begin != nil {
			if err := p.Begin(c.context(pallet.Origin{})); err != nil {
				c.t.Fatalf("block %d begins: %v", c.height, err)
			}
		}
	}
}

// next ends n blocks, and begins the next one.
func (c *chain) next(n uint64) {
	for range n {
		for _, p := range c.pallets {
			if p.End != nil {
				if err := p.End(c.context(pallet.Origin{})); err != nil {
					c.t.Fatalf("block %d ends: %v", c.height, err)
				}
			}
		}
		c.commit()
		c.begin()
	}
}

// until goes on until a height.
func (c *chain) until(height uint64) { c.next(height - c.height) }

func (c *chain) as(o pallet.Origin, call pallet.Call) error {
	mark, events := c.store.Mark(), len(c.events)
	err := call.Run(c.context(o))
	var e *pallet.Error
	if err != nil {
		if !errors.As(err, &e) {
			c.t.Fatalf("%T fails with a fault of the node: %v", call, err)
		}
		known := e.Is(pallet.BadOrigin)
		for _, p := range c.pallets {
			known = known || p.Name == e.Pallet && slices.Contains(p.Errors, e.Name)
		}
		if !known {
			c.t.Fatalf("%T fails with %v, which its pallet does not list", call, err)
		}
		c.store.Revert(mark)
		c.events = c.events[:events]
		return err
	}
	for _, ev := range c.events[events:] {
		known := false
		for _, p := range c.pallets {
			known = known || p.Name == ev.Pallet && slices.Contains(p.Events, ev.Name)
		}
		if !known {
			c.t.Fatalf("%T emits %s.%s, which its pallet does not list", call, ev.Pallet, ev.Name)
		}
	}
	return nil
}

func signed(who pallet.Account) pallet.Origin {
	return pallet.Origin{Kind: pallet.Signed, Account: who}
}

var root = pallet.Origin{Kind: pallet.Root}

// do expects a call to succeed.
func (c *chain) do(o pallet.Origin, call pallet.Call) {
	c.t.Helper()
	if err := c.as(o, call); err != nil {
		c.t.Fatalf("%T: %v", call, err)
	}
}

// refuse expects a call to fail with "Pallet.Error", and to change nothing.
func (c *chain) refuse(o pallet.Origin, call pallet.Call, want string) {
	c.t.Helper()
	before := len(c.store.Changes())
	err := c.as(o, call)
	p, name, _ := strings.Cut(want, ".")
	if !errors.Is(err, pallet.Fail(p, name, "")) {
		c.t.Fatalf("%T: got %v, want %s", call, err, want)
	}
	if n := len(c.store.Changes()); n != before {
		c.t.Fatalf("%T failed and changed %d keys", call, n-before)
	}
}

// seen returns the names of the events since the last look, those of the pallets that are named, or of all.
func (c *chain) seen(of ...string) []string {
	var names []string
	for _, e := range c.events {
		if len(of) == 0 || slices.Contains(of, e.Pallet) {
			names = append(names, e.Pallet+"."+e.Name)
		}
	}
	c.events = nil
	return names
}

func (c *chain) count(name string) (n int) {
	for _, e := range c.events {
		if e.Pallet+"."+e.Name == name {
			n++
		}
	}
	return n
}

// event expects an event since the last look, and returns its fields in JSON.
func (c *chain) event(name string) map[string]any {
	c.t.Helper()
	for _, e := range c.events {
		if e.Pallet+"."+e.Name == name {
			b, err := json.Marshal(e.Fields)
			if err != nil {
				c.t.Fatal(err)
			}
			var m map[string]any
			if err := json.Unmarshal(b, &m); err != nil {
				c.t.Fatal(err)
			}
			return m
		}
	}
	c.t.Fatalf("no %s among %v", name, c.seen())
	return nil
}

// ask asks a view, and returns its answer in JSON.
func (c *chain) ask(view, params string) any {
	c.t.Helper()
	p, name, _ := strings.Cut(view, "/")
	for _, q := range c.pallets {
		for _, v := range q.Views {
			if q.Name != p || v.Name != name {
				continue
			}
			answer, err := v.Run(c.context(pallet.Origin{}), json.RawMessage(params))
			if err != nil {
				c.t.Fatalf("%s: %v", view, err)
			}
			b, err := json.Marshal(answer)
			if err != nil {
				c.t.Fatal(err)
			}
			var out any
			if err := json.Unmarshal(b, &out); err != nil {
				c.t.Fatal(err)
			}
			return out
		}
	}
	c.t.Fatalf("no view %s", view)
	return nil
}

// at returns a part of an answer: names of fields, and places in lists.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func same(t testing.TB, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func account(n byte) pallet.Account { return pallet.Account{n, 0xaa} }

func rid(n uint64) requests.ID { return requests.ID{Lo: n} }

// The actors of most tests.
var (
	alice, bob, mallory = account(1), account(2), account(3)
	miner1, miner2      = account(11), account(12)
)

const description = `{"cpu_cores":2,"ram_gb":4,"storage_gb":10,"inbound_bandwidth":100,"outbound_bandwidth":100,"gpu":false,"gpu_type":"","is_sev_enabled":false}`

func plan(n int, description string) *plans.AddNewPlan {
	return &plans.AddNewPlan{PlanName: fmt.Sprintf("plan %d", n), PlanTechnicalDescription: description, Price: pallet.Units(2), Name: "small"}
}

var plan1, plan2 = plans.PlanID(plan(1, description)), plans.PlanID(plan(2, description))

// machineWithRoom is what a miner with room says of itself.
func machineWithRoom() nodes.SystemInfo {
	return nodes.SystemInfo{
		MemoryMb: 64 << 10, FreeMemoryMb: 32 << 10, StorageTotalMb: 1 << 20, StorageFreeMb: 1 << 19, NetworkBandwidthMbS: 1000,
		CPUModel: "cpu", CPUCores: 16,
	}
}

func id(who pallet.Account) nodes.ID { return who.String() }

// join registers a miner that owns itself, with room.
func (c *chain) join(who pallet.Account) {
	c.t.Helper()
	c.do(signed(who), &nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: id(who)})
	c.report(who, machineWithRoom())
}

func (c *chain) report(who pallet.Account, i nodes.SystemInfo) {
	c.t.Helper()
	c.do(signed(who), &nodes.PutNodeSpecs{NodeID: id(who), SystemInfo: i, NodeType: nodes.ComputeMiner})
}

// alive lets miners say that they are, and goes on.
func (c *chain) alive(blocks uint64, who ...pallet.Account) {
	c.t.Helper()
	for blocks > 0 {
		for _, w := range who {
			c.do(signed(w), &nodes.UpdateBlockTime{NodeID: id(w)})
		}
		n := min(blocks, 400)
		c.next(n)
		blocks -= n
	}
}

// market is a chain with two plans, an image, addresses, and credits for alice and bob.
func market(t testing.TB) *chain {
	c := newChain(t, map[string]string{
		"Credits":  `{"free":{"` + alice.String() + `":"1000000","` + bob.String() + `":"1000000"}}`,
		"PalletIp": `{"vm":["127.0.0.2","127.0.0.3","127.0.0.4"]}`,
	})
	c.do(root, plan(1, description))
	c.do(root, plan(2, description))
	c.do(root, &plans.SetOSDiskImageURL{OSName: "ubuntu", URL: "sha256:00"})
	c.events = nil
	return c
}

func (c *chain) buy(who pallet.Account, p pallet.Hash) {
	c.t.Helper()
	c.do(signed(who), &plans.PurchasePlan{PlanID: p, SelectedImageName: "ubuntu"})
}

// assign gives a request to a miner.
func (c *chain) assign(who pallet.Account, n uint64, owner pallet.Account, p pallet.Hash) {
	c.t.Helper()
	c.do(signed(who), &requests.SubmitComputeRequestAssignment{MinerNodeID: id(who), PlanID: p, RequestID: rid(n), Owner: owner})
}

// reserved returns the address that is reserved for a request.
func (c *chain) reserved(n uint64) string {
	s, _ := at(c.ask("Compute/request", fmt.Sprintf(`{"request_id":"%d"}`, n)), "ip_reserved").(string)
	return s
}

func job(n uint64) string { return fmt.Sprintf("job%d-a-b", n) }

// serve has a miner run a request that it was given.
func (c *chain) serve(who pallet.Account, n uint64) {
	c.t.Helper()
	c.do(signed(who), &requests.UpdateMinerComputeRequest{NodeID: id(who), RequestID: rid(n), JobID: job(n), IP: c.reserved(n)})
	c.do(signed(who), &requests.MarkComputeRequestFulfilled{NodeID: id(who), RequestID: rid(n)})
}

// running is a market with a request 0 of alice that miner1 runs.
func running(t testing.TB) *chain {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.serve(miner1, 0)
	c.next(1)
	c.events = nil
	return c
}

func (c *chain) status(n uint64) string {
	c.t.Helper()
	s, _ := at(c.ask("Compute/request", fmt.Sprintf(`{"request_id":"%d"}`, n)), "status").(string)
	return s
}

// waitsFor returns what a request waits for.
func (c *chain) waitsFor(n uint64) string {
	c.t.Helper()
	s, _ := at(c.ask("Compute/request", fmt.Sprintf(`{"request_id":"%d"}`, n)), "waiting_for").(string)
	return s
}

func (c *chain) pools() ip.Pools { return ip.All(c.context(pallet.Origin{})) }

func (c *chain) free(who pallet.Account) uint64 { return credits.Free(c.store, who).Lo }
