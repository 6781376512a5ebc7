package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// key returns a key that is the same each time.
func key(n byte) *meter.Key { return meter.KeyFromSeed([32]byte{n}) }

func account(k *meter.Key) pallet.Account { return k.Public() }

// chain is a ledger on a state in memory.
type chain struct {
	*Ledger
	t   testing.TB
	mem *state.Memory
}

func begin(t testing.TB, g Genesis, pallets ...pallet.Pallet) *chain {
	t.Helper()
	mem := state.NewMemory()
	l, err := New(mem, pallets...)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{l, t, mem}
	res, err := l.InitChain(doc)
	if err != nil {
		t.Fatal(err)
	}
	c.commit(res)
	return c
}

func (c *chain) commit(res *machine.Result) {
	c.t.Helper()
	c.mem.Apply(res.Changes)
	if err := c.Commit(); err != nil {
		c.t.Fatal(err)
	}
}

// block executes and commits a block a second later.
func (c *chain) block(txs ...[]byte) *machine.Result {
	c.t.Helper()
	h := c.Head()
	res, err := c.FinalizeBlock(machine.Block{Height: h.Height + 1, Time: h.Time + 1000, Txs: txs})
	if err != nil {
		c.t.Fatal(err)
	}
	c.commit(res)
	return res
}

func (c *chain) call(name, call, args string) []byte {
	c.t.Helper()
	b, err := c.Runtime().EncodeCall(name, call, json.RawMessage(args))
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *chain) sign(k *meter.Key, nonce uint64, call []byte) []byte {
	return SignTx(k, c.Head().Genesis, nonce, 0, call)
}

func (c *chain) transfer(k *meter.Key, nonce uint64, to pallet.Account, amount uint64) []byte {
	return c.sign(k, nonce, c.call("Balances", "transfer_allow_death", fmt.Sprintf(`{"dest":"%s","value":"%d"}`, to, amount)))
}

func (c *chain) info(who pallet.Account) accounts.Info {
	return accounts.Get(state.NewStore(c.mem), who)
}

func testGenesis() Genesis {
	root := account(key(1))
	return Genesis{Name: "test", TimeMS: 1_700_000_000_000, Sudo: &root,
		Balances: map[pallet.Account]pallet.Balance{account(key(1)): pallet.Units(1000), account(key(2)): pallet.Units(50)}}
}

func TestTransfer(t *testing.T) {
	c := begin(t, testGenesis())
	alice, bob, carol := key(1), key(2), key(3)
	tx := c.transfer(alice, 0, account(carol), 100)
	info, err := c.CheckTx(tx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(machine.TxInfo{Hash: TxHash(tx), Sender: account(alice)}, info); diff != "" {
		t.Error(diff)
	}
	res := c.block(tx, c.transfer(bob, 0, account(carol), 51), c.transfer(bob, 1, account(carol), 50))
	want := []machine.TxResult{
		{Hash: TxHash(tx), Sender: account(alice)},
		{Hash: res.Txs[1].Hash, Sender: account(bob), Error: pallet.Fail("Balances", "InsufficientBalance", "it has 50 and needs 51")},
		{Hash: res.Txs[2].Hash, Sender: account(bob), Nonce: 1},
	}
	if diff := cmp.Diff(want, res.Txs); diff != "" {
		t.Error(diff)
	}
	for k, want := range map[*meter.Key]accounts.Info{
		alice: {Nonce: 1, Free: pallet.Units(900)}, bob: {Nonce: 2}, carol: {Free: pallet.Units(150)},
	} {
		if got := c.info(account(k)); got != want {
			t.Errorf("%s has %v, want %v", k, got, want)
		}
	}
	if total := accounts.Total(state.NewStore(c.mem)); total != pallet.Units(1050) {
		t.Errorf("in all %s", total)
	}
}

func TestQuery(t *testing.T) {
	c := begin(t, testGenesis())
	for path, want := range map[string]string{
		"System/account": fmt.Sprintf(`{"account":"%s","nonce":0,"free":"50"}`, account(key(2))),
		"Balances/total": `{"total":"1050"}`,
		"Sudo/key":       fmt.Sprintf(`{"key":"%s"}`, account(key(1))),
	} {
		got, err := c.Query(path, json.RawMessage(fmt.Sprintf(`{"account":"%s"}`, account(key(2)))))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", path, got, err, want)
		}
	}
	for path, want := range map[string]fault.Code{"": fault.CallerNotFound, "System": fault.CallerNotFound, "System/none": fault.CallerNotFound,
		"System/accounts": fault.CallerInvalid} {
		if got, err := c.Query(path, json.RawMessage(`{"acount":1}`)); !errors.Is(err, want) {
			t.Errorf("%q: %s, %v; want %s", path, got, err, want)
		}
	}
}
