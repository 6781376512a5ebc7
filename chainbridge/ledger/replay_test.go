package ledger

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/governance"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// basic are the pallets that the golden hashes are made of.
func basic() []pallet.Pallet {
	return slices.Concat(accounts.Pallets(), []pallet.Pallet{governance.Pallet()})
}

// TestGoldenAppHash: the same blocks make the same state on each machine and in each release. Signatures differ each time, and are not
// in it.
func TestGoldenAppHash(t *testing.T) {
	c := begin(t, testGenesis(), basic()...)
	got := []string{c.Head().AppHash.String()}
	for n := range uint64(3) {
		c.block(c.transfer(key(1), n, account(key(byte(5+n))), 10+n), c.sign(key(9), n, c.call("System", "remark", `{"remark":"0x00"}`)))
		got = append(got, c.Head().AppHash.String())
	}
	if diff := cmp.Diff([]string{
		"efa4ed550eb73523255591e2cb8b9bab74026783012fd40314c274a4a65e4f32",
		"9d0d7bddd71b4edc585ba15c36b566ae615762b51815a866b547c6b86e264467",
		"0812e4004fdb76ddab0d9e6bf798d8e9381e8f70571ac4d42b3c36086c0f2920",
		"4032eb55ad2065609e4b39e91685f8e9f7314dc24d1b117addfac728bdc5326e",
	}, got); diff != "" {
		t.Error(diff)
	}
	if h := c.Head().Genesis.String(); h != "4a2662f072ff97c50beac4cbc3bc0eeeb16f224695a898add77318b5b9e21947" {
		t.Error(h)
	}
}

// TestRestart: a ledger that is made on a state goes on from there, to the same hash.
func TestRestart(t *testing.T) {
	a, b := begin(t, testGenesis()), begin(t, testGenesis())
	for n := range uint64(5) {
		tx := a.transfer(key(1), n, account(key(2)), 1)
		a.block(tx)
		again, err := New(b.mem)
		if err != nil {
			t.Fatal(err)
		}
		b.Ledger = again
		b.block(tx)
		if diff := cmp.Diff(a.Head(), b.Head()); diff != "" {
			t.Fatal(diff)
		}
	}
	if diff := cmp.Diff(everything(a.mem), everything(b.mem)); diff != "" {
		t.Error(diff)
	}
}

// TestRetry: a block that was executed and not committed is executed again, or another in its place.
func TestRetry(t *testing.T) {
	c := begin(t, testGenesis())
	tx := c.transfer(key(1), 0, account(key(2)), 1)
	h := c.Head()
	first, err := c.FinalizeBlock(machine.Block{Height: 1, Time: h.Time, Txs: [][]byte{tx}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinalizeBlock(machine.Block{Height: 1, Time: h.Time}); err != nil {
		t.Fatal(err)
	}
	again, err := c.FinalizeBlock(machine.Block{Height: 1, Time: h.Time, Txs: [][]byte{tx}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	c.commit(again)
	if _, err := VerifyState(c.mem); err != nil {
		t.Error(err)
	}
}

// TestVerifyState: a key that came, went or changed without a block is found.
func TestVerifyState(t *testing.T) {
	c := begin(t, testGenesis())
	c.block(c.transfer(key(1), 0, account(key(3)), 1))
	if h, err := VerifyState(c.mem); err != nil || h != c.Head() {
		t.Fatal(h, err)
	}
	total := state.Prefix("Balances", "TotalIssuance")
	for name, change := range map[string]state.Change{
		"another total":  {Key: total, New: make([]byte, 16)},
		"no total":       {Key: total},
		"a key more":     {Key: append(slices.Clone(total), 1), New: []byte{1}},
		"half a sum":     {Key: state.AccumulatorKey(), New: []byte{1}},
		"another sum":    {Key: state.AccumulatorKey(), New: make([]byte, state.AccumulatorBytes)},
		"no sum":         {Key: state.AccumulatorKey()},
		"no genesis":     {Key: genesisHash.Key()},
		"half a genesis": {Key: genesisHash.Key(), New: []byte{1}},
	} {
		was, err := c.mem.Get(change.Key)
		if err != nil {
			t.Fatal(err)
		}
		c.mem.Apply([]state.Change{change})
		if h, err := VerifyState(c.mem); !errors.Is(err, fault.HostChainCorrupt) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
		c.mem.Apply([]state.Change{{Key: change.Key, New: was}})
	}
	if _, err := VerifyState(c.mem); err != nil {
		t.Error(err)
	}
}

// TestManyAtOnce: checks and queries go on while blocks are executed and committed, and each account's nonce is never behind what a
// query has shown.
func TestManyAtOnce(t *testing.T) {
	c := begin(t, testGenesis())
	const blocks = 50
	var txs [][]byte
	for n := range uint64(blocks) {
		txs = append(txs, c.transfer(key(1), n, account(key(2)), 1))
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			last := uint64(0)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if info, err := c.CheckTx(txs[i%blocks]); err == nil && (info.Next < last || info.Next > info.Nonce) || err != nil && !errors.Is(err, fault.CallerTxNonce) {
					t.Errorf("%+v, %v", info, err)
					return
				}
				b, err := c.Query("System/account", json.RawMessage(`{"account":"`+account(key(1)).String()+`"}`))
				var shown accounts.Shown
				if err != nil || json.Unmarshal(b, &shown) != nil || shown.Nonce < last || shown.Free != pallet.Units(1000-shown.Nonce) {
					t.Errorf("%s, %v; nonce %d before", b, err, last)
					return
				}
				last = shown.Nonce
			}
		})
	}
	for _, tx := range txs {
		if r := c.block(tx).Txs[0]; r.Invalid != nil || r.Error != nil {
			t.Errorf("%+v", r)
		}
	}
	close(stop)
	all.Wait()
}
