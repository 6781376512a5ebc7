package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/governance"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// probe is a call that does what a test wants.
type probe struct {
	Do uint8 `json:"do"`
}

var kept = state.NewMap[uint8, uint64]("Probe", "Kept")

// What a probe does.
const (
	doKeep        = iota // remembers that it ran
	doFail               // and fails
	doPanic              // and panics
	doFault              // and fails as the node does
	doRoot               // if it is Root
	doWithin             // and has another fail within it, and remembers that it went on
	doLarge              // and writes too much
	doLargeWithin        // and has another do that
)

func (p *probe) Run(c *pallet.Context) error {
	n, _ := kept.Get(c.Store, p.Do)
	kept.Put(c.Store, p.Do, n+1)
	c.Emit("Probe", "Ran", p.Do)
	switch p.Do {
	case doFail:
		return pallet.Fail("Probe", "Failed", "as asked")
	case doPanic:
		panic("as asked")
	case doFault:
		return fault.New(fault.HostDiskIO, "probe", "", nil)
	case doRoot:
		return c.EnsureRoot()
	case doWithin:
		if err := c.Dispatch(c.Origin, []byte{200, 0, doFail}); !errors.Is(err, pallet.Fail("Probe", "Failed", "")) {
			return fmt.Errorf("within: %w", err)
		}
	}
	switch p.Do {
	case doLarge:
		c.Put(kept.Key(doLarge), make([]byte, state.MaxValueBytes+1))
	case doLargeWithin:
		if err := c.Dispatch(c.Origin, do(doLarge)); !errors.Is(err, pallet.Fail("System", "TooLarge", "")) {
			return fmt.Errorf("within: %w", err)
		}
	}
	return nil
}

func probes() []pallet.Pallet {
	return append(Pallets(), pallet.Pallet{Name: "Probe", Index: 200,
		Calls: []pallet.Info{{Index: 0, Name: "do", New: func() pallet.Call { return new(probe) }}},
		Views: []pallet.View{
			{Name: "write", Run: func(c *pallet.Context, _ json.RawMessage) (any, error) {
				kept.Put(c.Store, 99, 1)
				return c.Height, nil
			}},
			{Name: "panic", Run: func(*pallet.Context, json.RawMessage) (any, error) { panic("as asked") }},
			{Name: "none", Run: func(*pallet.Context, json.RawMessage) (any, error) {
				return nil, pallet.Fail("Probe", "NotFound", "")
			}},
			{Name: "bad", Run: func(*pallet.Context, json.RawMessage) (any, error) { return nil, pallet.Fail("Probe", "Bad", "") }},
		}})
}

func do(n byte) []byte { return []byte{200, 0, n} }

func (c *chain) sudo(nonce uint64, call []byte) []byte {
	return c.sign(key(1), nonce, c.call("Sudo", "sudo", fmt.Sprintf(`{"call":"0x%x"}`, call)))
}

func events(res *machine.Result) (all []string) {
	for _, e := range res.Events {
		fields, err := json.Marshal(e.Fields)
		if err != nil {
			panic(err)
		}
		all = append(all, fmt.Sprintf("%d %s.%s %s", e.Tx, e.Pallet, e.Name, fields))
	}
	return all
}

// TestFailedCall: what a failed call wrote and emitted is undone, and its nonce is used.
func TestFailedCall(t *testing.T) {
	c := begin(t, testGenesis(), probes()...)
	res := c.block(c.sign(key(1), 0, do(doFail)), c.sign(key(1), 1, do(doKeep)), c.sign(key(1), 2, do(doWithin)), c.sign(key(1), 3, do(doRoot)),
		c.sign(key(1), 4, do(doLarge)), c.sign(key(1), 5, do(doLargeWithin)))
	var failed []string
	for _, r := range res.Txs {
		if r.Invalid != nil {
			t.Error(r.Invalid)
		}
		failed = append(failed, fmt.Sprint(r.Error))
	}
	if diff := cmp.Diff([]string{"Probe.Failed: as asked", "<nil>", "<nil>", "System.BadOrigin",
		"System.TooLarge: what it writes is more than the chain keeps under one key", "<nil>"}, failed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1 Probe.Ran 0", "2 Probe.Ran 5", "5 Probe.Ran 7"}, events(res)); diff != "" {
		t.Error(diff)
	}
	s := state.NewStore(c.mem)
	for n, want := range map[uint8]uint64{doFail: 0, doKeep: 1, doWithin: 1, doRoot: 0, doLarge: 0, doLargeWithin: 1} {
		if got, _ := kept.Get(s, n); got != want {
			t.Errorf("call %d ran %d times, want %d", n, got, want)
		}
	}
	if n := c.info(account(key(1))).Nonce; n != 6 {
		t.Errorf("nonce %d", n)
	}
}

// TestSudo: the key has calls run as Root, nobody else does, and the power can be handed on.
func TestSudo(t *testing.T) {
	c := begin(t, testGenesis(), probes()...)
	alice, bob := key(1), key(2)
	nested := do(doRoot)
	for range maxDepth {
		nested = c.call("Sudo", "sudo", fmt.Sprintf(`{"call":"0x%x"}`, nested))
	}
	res := c.block(
		c.sudo(0, do(doRoot)), c.sudo(1, do(doFail)), c.sudo(2, []byte{250, 0}), c.sudo(3, nested),
		c.sign(bob, 0, c.call("Sudo", "sudo", `{"call":"0x00"}`)),
		c.sign(bob, 1, c.call("Sudo", "set_key", fmt.Sprintf(`{"new":"%s"}`, account(bob)))),
		c.sign(alice, 4, c.call("Sudo", "set_key", fmt.Sprintf(`{"new":"%s"}`, account(bob)))),
		c.sudo(5, do(doRoot)),
	)
	for i, want := range []string{"<nil>", "<nil>", "<nil>", "<nil>", "Sudo.RequireSudo", "Sudo.RequireSudo", "<nil>", "Sudo.RequireSudo"} {
		if got := fmt.Sprint(res.Txs[i].Error); got != want || res.Txs[i].Invalid != nil {
			t.Errorf("transaction %d: %s, want %s; %v", i, got, want, res.Txs[i].Invalid)
		}
	}
	got := events(res)
	if len(got) != 6 || got[0] != "0 Probe.Ran 4" || got[1] != `0 Sudo.Sudid {"result":null}` || got[2] != `1 Sudo.Sudid {"result":"Probe.Failed: as asked"}` ||
		!strings.Contains(got[3], "System.NoCall") || got[4] != `3 Sudo.Sudid {"result":"System.BadOrigin"}` || !strings.Contains(got[5], "KeyChanged") {
		t.Errorf("%q", got)
	}
	if who, ok := governance.Key(state.NewStore(c.mem)); !ok || who != account(bob) {
		t.Error(who)
	}
}

// TestDepth: calls within calls have an end.
func TestDepth(t *testing.T) {
	var deepest int
	nested := pallet.Pallet{Name: "Nest", Index: 201, Calls: []pallet.Info{{Index: 0, Name: "nest", New: func() pallet.Call { return &nest{&deepest} }}}}
	c := begin(t, testGenesis(), append(Pallets(), nested)...)
	r := c.block(c.sign(key(1), 0, []byte{201, 0})).Txs[0]
	if !errors.Is(r.Error, pallet.Fail("System", "TooDeep", "")) || deepest != maxDepth {
		t.Errorf("%v, %d deep", r.Error, deepest)
	}
}

// nest calls itself.
type nest struct {
	Ran *int `scale:"-"`
}

func (n *nest) Run(c *pallet.Context) error {
	*n.Ran++
	return c.Dispatch(c.Origin, []byte{201, 0})
}

// TestBugsStopTheBlock: a panic and a fault of the node stop the block, nothing of it stays, and the chain goes on without them.
func TestBugsStopTheBlock(t *testing.T) {
	c := begin(t, testGenesis(), probes()...)
	for n, want := range map[byte]fault.Code{doPanic: fault.BugPanic, doFault: fault.HostDiskIO} {
		before := everything(c.mem)
		h := c.Head()
		res, err := c.FinalizeBlock(machine.Block{Height: h.Height + 1, Time: h.Time, Txs: [][]byte{c.sign(key(1), 0, do(doKeep)), c.sign(key(1), 1, do(n))}})
		if !errors.Is(err, want) || res != nil {
			t.Errorf("%v, want %s", err, want)
		}
		if err := c.Commit(); !errors.Is(err, fault.BugProtocol) {
			t.Error(err)
		}
		if diff := cmp.Diff(before, everything(c.mem)); diff != "" {
			t.Error(diff)
		}
	}
	if r := c.block(c.sign(key(1), 0, do(doKeep))).Txs[0]; r.Invalid != nil || r.Error != nil {
		t.Errorf("%+v", r)
	}
}

// TestViews: a view sees the head, what it writes is lost, and its failures are faults.
func TestViews(t *testing.T) {
	c := begin(t, testGenesis(), probes()...)
	c.block()
	before := everything(c.mem)
	if got, err := c.Query("Probe/write", nil); err != nil || string(got) != "1" {
		t.Error(string(got), err)
	}
	if diff := cmp.Diff(before, everything(c.mem)); diff != "" {
		t.Error(diff)
	}
	for view, want := range map[string]fault.Code{"panic": fault.BugPanic, "none": fault.CallerNotFound, "bad": fault.CallerInvalid} {
		if _, err := c.Query("Probe/"+view, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", view, err)
		}
	}
}

// TestAccountPages: all accounts come, once each, in pages.
func TestAccountPages(t *testing.T) {
	g := Genesis{Name: "many", Balances: map[pallet.Account]pallet.Balance{}}
	for i := range 250 {
		g.Balances[pallet.Account{byte(i), 1}] = pallet.Units(uint64(i + 1))
	}
	c := begin(t, g)
	seen := map[pallet.Account]bool{}
	var after *pallet.Account
	pages := 0
	for {
		params, err := json.Marshal(pallet.Page[pallet.Account]{After: after, Limit: 60})
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Query("System/accounts", params)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Items []accounts.Shown
			Next  *pallet.Account
		}
		if err := json.Unmarshal(b, &page); err != nil {
			t.Fatal(err)
		}
		for _, i := range page.Items {
			if seen[i.Account] || i.Free != pallet.Units(uint64(i.Account[0])+1) {
				t.Errorf("%+v", i)
			}
			seen[i.Account] = true
		}
		pages++
		if after = page.Next; after == nil {
			break
		}
	}
	if len(seen) != 250 || pages != 5 {
		t.Errorf("%d accounts on %d pages", len(seen), pages)
	}
	if b, err := c.Query("System/accounts", json.RawMessage(`{"limit":1000000}`)); err != nil || strings.Count(string(b), `"nonce"`) != pallet.MaxPage {
		t.Error("more than a page", err)
	}
}

// TestCallsAndBack: each call that there is goes from JSON to bytes and back, and what is no call says why.
func TestCallsAndBack(t *testing.T) {
	call, err := EncodeCall("Balances", "transfer_all", json.RawMessage(`{"dest":"`+strings.Repeat("07", 32)+`","keep_alive":true}`))
	if err != nil || hex.EncodeToString(call) != "2804"+strings.Repeat("07", 32)+"01" {
		t.Errorf("%x, %v", call, err)
	}
	p, name, args, err := DecodeCall(call)
	if err != nil || p != "Balances" || name != "transfer_all" || string(args) != `{"dest":"`+strings.Repeat("07", 32)+`","keep_alive":true}` {
		t.Error(p, name, string(args), err)
	}
	for _, c := range [][3]string{
		{"None", "x", "{}"}, {"Balances", "x", "{}"}, {"System", "remark", ""}, {"System", "remark", "[]"}, {"System", "remark", `{"remark":"0x","more":1}`},
		{"System", "remark", `{"remark":1}`}, {"System", "remark", `{"remark":"0xz"}`}, {"System", "remark", `{"Remark":"0x"}`},
		{"System", "remark", `{"remark":"0x` + strings.Repeat("00", accounts.MaxRemarkBytes+1) + `"}`},
		{"Balances", "transfer_all", `{"dest":"00","keep_alive":true}`}, {"Balances", "transfer_allow_death", `{"dest":"` + strings.Repeat("07", 32) + `","value":"-1"}`},
	} {
		if b, err := EncodeCall(c[0], c[1], json.RawMessage(c[2])); !errors.Is(err, fault.CallerTxCall) {
			t.Errorf("%.99v: %x, %v", c, b, err)
		}
	}
}

// TestMetadata: the names and types of arguments are those that EncodeCall takes.
func TestMetadata(t *testing.T) {
	for _, c := range Calls() {
		if c.Pallet == "Balances" && c.Name == "transfer_keep_alive" {
			want := CallInfo{"Balances", 40, "transfer_keep_alive", 3, []Arg{{"dest", "AccountId"}, {"value", "u128"}}}
			if diff := cmp.Diff(want, c); diff != "" {
				t.Error(diff)
			}
		}
		for _, a := range c.Args {
			if a.Name == "" || a.Type == "" || strings.ToLower(a.Name) != a.Name {
				t.Errorf("%s.%s has the argument %+v", c.Pallet, c.Name, a)
			}
		}
	}
	if n := len(Metadata()); n != len(Pallets()) {
		t.Errorf("%d pallets", n)
	}
}

// TestEveryCallThroughJSON: whatever a call's arguments are, they are the same after they were JSON.
func TestEveryCallThroughJSON(t *testing.T) {
	w := newCrowd(3)
	w.query = func(string, string) map[string]any { return nil }
	for _, p := range standard().pallets {
		for _, info := range p.Calls {
			name := p.Name + "." + info.Name
			for range 40 {
				call := info.New()
				w.call(name, call)
				b := encodeCall(p.Index, info.Index, call)
				pallet, callName, args, err := DecodeCall(b)
				if err != nil { // above a bound
					if !errors.Is(err, fault.CallerTxCall) {
						t.Fatal(err)
					}
					continue
				}
				again, err := EncodeCall(pallet, callName, args)
				if err != nil || !bytes.Equal(b, again) {
					t.Fatalf("%s %s: %x became %x, %v", name, args, b, again, err)
				}
			}
		}
	}
}
