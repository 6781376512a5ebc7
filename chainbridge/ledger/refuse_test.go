package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// signEd signs with ed25519.
func signEd(c *chain, seed byte, nonce uint64, call []byte) []byte {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	t := &Tx{Scheme: Ed25519, Account: pallet.Account(private.Public().(ed25519.PublicKey)), Nonce: nonce, Call: call}
	sum := t.Digest(c.Head().Genesis)
	copy(t.Signature[:], ed25519.Sign(private, sum[:]))
	return t.Encode()
}

// everything is the whole state but for what each block changes by itself.
func everything(src state.Source) map[string]string {
	all := map[string]string{}
	err := src.Scan(nil, nil, func(key, value []byte) bool {
		all[string(key)] = string(value)
		return true
	})
	if err != nil {
		panic(err)
	}
	delete(all, string(number.Key()))
	delete(all, string(timestamp.Key()))
	delete(all, string(state.AccumulatorKey()))
	return all
}

// TestR9Refusals: transactions that are forged, replayed, out of order, too large, cut or too late are refused with the reason, by
// CheckTx and in a block, and the state is what it was.
func TestR9Refusals(t *testing.T) {
	g := testGenesis()
	c := begin(t, g)
	other := begin(t, Genesis{Name: "another chain", Balances: g.Balances})
	alice, bob := key(1), key(2)
	to := account(key(9))
	used := c.transfer(alice, 0, to, 1)
	c.block(used, c.transfer(alice, 1, to, 1))
	good := c.transfer(alice, 2, to, 1)
	call := c.call("Balances", "transfer_allow_death", fmt.Sprintf(`{"dest":"%s","value":"1"}`, to))
	change := func(f func(tx *Tx)) []byte {
		tx, err := DecodeTx(good)
		if err != nil {
			t.Fatal(err)
		}
		f(tx)
		return tx.Encode()
	}
	until := func(height uint64, call []byte) []byte { return SignTx(alice, c.Head().Genesis, 2, height, call) }
	big := c.call("System", "remark", fmt.Sprintf(`{"remark":"%s"}`, pallet.Bytes(make([]byte, accounts.MaxRemarkBytes))))
	for _, row := range []struct {
		name string
		tx   []byte
		want fault.Code
		late bool // CheckTx lets it wait, the block does not
	}{
		{"R9 forged: another's account", change(func(tx *Tx) { tx.Account = account(bob) }), fault.CallerTx, false},
		{"R9 forged: another amount", change(func(tx *Tx) { tx.Call[len(tx.Call)-16] = 9 }), fault.CallerTx, false},
		{"R9 forged: another nonce", change(func(tx *Tx) { tx.Nonce = 3 }), fault.CallerTx, false},
		{"R9 forged: valid for longer", change(func(tx *Tx) { tx.ValidUntil = 1 << 40 }), fault.CallerTx, false},
		{"R9 forged: no signature", change(func(tx *Tx) { tx.Signature = [64]byte{} }), fault.CallerTx, false},
		{"R9 forged: a bit of the signature", change(func(tx *Tx) { tx.Signature[5] ^= 1 }), fault.CallerTx, false},
		{"R9 forged: without the mark", change(func(tx *Tx) { tx.Signature[63] &= 0x7f }), fault.CallerTx, false},
		{"R9 forged: the other scheme", change(func(tx *Tx) { tx.Scheme = Ed25519 }), fault.CallerTx, false},
		{"R9 forged: a scheme that is none", change(func(tx *Tx) { tx.Scheme = 2 }), fault.CallerTx, false},
		{"R9 forged: a key that is no point", change(func(tx *Tx) { tx.Account = pallet.Account{31: 0xff} }), fault.CallerTx, false},
		{"R9 forged: the neutral key", change(func(tx *Tx) { tx.Account = pallet.Account{} }), fault.CallerTx, false},
		{"R9 replayed: the same", used, fault.CallerTxNonce, false},
		{"R9 replayed: from another chain", SignTx(alice, other.Head().Genesis, 2, 0, call), fault.CallerTx, false},
		{"R9 replayed: signed anew", c.transfer(alice, 1, to, 1), fault.CallerTxNonce, false},
		{"R9 out of order: a nonce ahead", c.transfer(alice, 3, to, 1), fault.CallerTxNonce, true},
		{"R9 out of order: the last nonce", c.transfer(alice, 1<<64-1, to, 1), fault.CallerTxNonce, true},
		{"R9 late: until the head", until(1, call), fault.CallerTxExpired, false},
		{"R9 oversized", append(bytes.Clone(good), make([]byte, MaxTxBytes)...), fault.CallerTx, false},
		{"R9 oversized: a remark", until(0, append(bytes.Clone(big), 0)), fault.CallerTxCall, false},
		{"R9 truncated: nothing", nil, fault.CallerTx, false},
		{"R9 truncated: half", good[:len(good)/2], fault.CallerTx, false},
		{"R9 truncated: the last byte", good[:len(good)-1], fault.CallerTx, false},
		{"R9 truncated: a byte more", append(bytes.Clone(good), 0), fault.CallerTx, false},
		{"another version", append([]byte{2}, good[1:]...), fault.CallerTx, false},
		{"no call", until(0, nil), fault.CallerTxCall, false},
		{"a call of no pallet", until(0, []byte{250, 0}), fault.CallerTxCall, false},
		{"a call that the pallet lacks", until(0, []byte{40, 250}), fault.CallerTxCall, false},
		{"a call with arguments missing", until(0, call[:len(call)-1]), fault.CallerTxCall, false},
		{"a call with arguments too many", until(0, append(bytes.Clone(call), 1)), fault.CallerTxCall, false},
	} {
		before := everything(c.mem)
		if _, err := c.CheckTx(row.tx); !errors.Is(err, row.want) != row.late {
			t.Errorf("%s: CheckTx says %v, want %s", row.name, err, row.want)
		}
		res := c.block(row.tx)
		r := res.Txs[0]
		if !errors.Is(r.Invalid, row.want) || r.Error != nil {
			t.Errorf("%s: in a block it is %v, %v; want %s", row.name, r.Invalid, r.Error, row.want)
		}
		if f := fault.From(r.Invalid); f.Err == nil && f.Hint == "" {
			t.Errorf("%s: no reason: %v", row.name, f)
		}
		if diff := cmp.Diff(before, everything(c.mem)); diff != "" || len(res.Events) > 0 {
			t.Errorf("%s: it did something: %s %v", row.name, diff, res.Events)
		}
	}
	if _, err := c.CheckTx(good); err != nil {
		t.Fatal(err)
	}
	// Twice in one block: once.
	if res := c.block(good, good); res.Txs[0].Invalid != nil || !errors.Is(res.Txs[1].Invalid, fault.CallerTxNonce) {
		t.Errorf("%v, then %v", res.Txs[0].Invalid, res.Txs[1].Invalid)
	}
	if got := c.info(account(alice)); got != (accounts.Info{Nonce: 3, Free: pallet.Units(997)}) {
		t.Errorf("in the end %v", got)
	}
}

// TestLastMoment: a transaction is valid in the block that it names, and a remark may be as long as its bound.
func TestLastMoment(t *testing.T) {
	c := begin(t, testGenesis())
	call := c.call("System", "remark", fmt.Sprintf(`{"remark":"%s"}`, pallet.Bytes(make([]byte, accounts.MaxRemarkBytes))))
	tx := SignTx(key(1), c.Head().Genesis, 0, 1, call)
	if _, err := c.CheckTx(tx); err != nil {
		t.Fatal(err)
	}
	if r := c.block(tx).Txs[0]; r.Invalid != nil || r.Error != nil {
		t.Errorf("%+v", r)
	}
}

// TestBothSchemes: accounts of both kinds of keys pay, and neither kind of signature is taken for the other.
func TestBothSchemes(t *testing.T) {
	c := begin(t, testGenesis())
	ed := pallet.Account(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)).Public().(ed25519.PublicKey))
	pay := c.call("Balances", "transfer_keep_alive", fmt.Sprintf(`{"dest":"%s","value":"5"}`, account(key(2))))
	tx := signEd(c, 7, 0, pay)
	if _, err := c.CheckTx(tx); err != nil {
		t.Fatal(err)
	}
	res := c.block(c.transfer(key(1), 0, ed, 10), tx)
	for _, r := range res.Txs {
		if r.Invalid != nil || r.Error != nil {
			t.Errorf("%+v", r)
		}
	}
	if got := c.info(ed); got != (accounts.Info{Nonce: 1, Free: pallet.Units(5)}) {
		t.Error(got)
	}
}

// TestVerifiedOnce: what CheckTx has verified is not verified in a block, and what is not right is never remembered.
func TestVerifiedOnce(t *testing.T) {
	c := begin(t, testGenesis())
	good, bad := c.transfer(key(1), 0, account(key(2)), 1), c.transfer(key(1), 0, account(key(2)), 2)
	bad[len(bad)-1] ^= 1
	for _, tx := range [][]byte{good, bad} {
		_, _ = c.CheckTx(tx)
	}
	if !c.verified.has(TxHash(good)) || c.verified.has(TxHash(bad)) {
		t.Error("not what was verified")
	}
	c.verified.add(TxHash(bad)) // the only way to see that the block does not look again
	if res := c.block(bad); res.Txs[0].Invalid != nil {
		t.Error(res.Txs[0].Invalid)
	}
}

func TestVerifiedIsBounded(t *testing.T) {
	v := newVerified(100)
	for i := range 1000 {
		v.add(pallet.Hash{byte(i), byte(i >> 8)})
		for k := max(0, i-49); k <= i; k++ {
			if !v.has(pallet.Hash{byte(k), byte(k >> 8)}) {
				t.Fatalf("%d is forgotten after %d", k, i)
			}
		}
		if n := len(v.young) + len(v.old); n > 100 {
			t.Fatalf("%d are remembered", n)
		}
	}
}

// TestBlockOrder: a block that does not follow the head is refused, and the next one is not.
func TestBlockOrder(t *testing.T) {
	c := begin(t, testGenesis())
	c.block()
	h := c.Head()
	for name, b := range map[string]machine.Block{
		"the same height": {Height: h.Height, Time: h.Time + 1}, "a gap": {Height: h.Height + 2, Time: h.Time + 1}, "back in time": {Height: h.Height + 1, Time: h.Time - 1},
	} {
		if _, err := c.FinalizeBlock(b); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Commit(); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("%s: Commit says %v", name, err)
		}
	}
	if res, err := c.FinalizeBlock(machine.Block{Height: h.Height + 1, Time: h.Time}); err != nil || len(res.Changes) == 0 {
		t.Error(err)
	}
}

// TestWithoutGenesis: a ledger that has not begun takes nothing.
func TestWithoutGenesis(t *testing.T) {
	c := begin(t, testGenesis())
	tx := c.transfer(key(1), 0, account(key(2)), 1)
	l, err := New(state.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.CheckTx(tx); !errors.Is(err, fault.CallerTx) {
		t.Error(err)
	}
	if _, err := l.FinalizeBlock(machine.Block{Height: 1}); !errors.Is(err, fault.BugProtocol) {
		t.Error(err)
	}
	doc, err := testGenesisDoc()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.InitChain(doc); !errors.Is(err, fault.CallerConflict) {
		t.Error(err)
	}
}

func testGenesisDoc() ([]byte, error) {
	g := testGenesis()
	return g.Encode()
}

// TestGenesisDocument: spellings of one genesis have one hash, and what cannot be is refused.
func TestGenesisDocument(t *testing.T) {
	var hashes []pallet.Hash
	for _, doc := range []string{
		`{"name":"n","time_ms":5,"balances":{},"pallets":{}}`,
		`{ "time_ms": 5, "pallets": {"Sudo":null}, "name": "\u006e" }`,
	} {
		h, err := GenesisHash([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	if len(slices.Compact(hashes)) != 1 {
		t.Error("two hashes", hashes)
	}
	for _, doc := range []string{``, `{`, `[]`, `{"name":"n"}{}`, `{"nam":"n"}`, `{"time_ms":-1}`, `{"balances":{"00":"1"}}`, `{"sudo":"xyz"}`,
		`{"pallets":{"System":{}}}`, `{"pallets":{"None":{}}}`,
		`{"balances":{"` + account(key(1)).String() + `":"340282366920938463463374607431768211455","` + account(key(2)).String() + `":"1"}}`,
		`{"balances":{"` + account(key(1)).String() + `":"340282366920938463463374607431768211456"}}`,
	} {
		l, err := New(state.NewMemory())
		if err != nil {
			t.Fatal(err)
		}
		if res, err := l.InitChain([]byte(doc)); !errors.Is(err, fault.CallerConfig) || res != nil {
			t.Errorf("%s: %v", doc, err)
		}
		if err := l.Commit(); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("%s: Commit says %v", doc, err)
		}
	}
}

// TestForgedAmongMany: in a block of many transactions that nobody has seen, those that are forged are refused, wherever they stand,
// and no others.
func TestForgedAmongMany(t *testing.T) {
	const n = 150
	g := Genesis{Name: "many", Balances: map[pallet.Account]pallet.Balance{}}
	for i := range byte(n) {
		g.Balances[account(key(i))] = pallet.Units(10)
	}
	c := begin(t, g)
	var txs [][]byte
	forged := map[int]bool{0: true, 1: true, 70: true, 149: true}
	for i := range n {
		tx := c.transfer(key(byte(i)), 0, pallet.Account{1}, 1)
		if forged[i] {
			tx[len(tx)-40-i%16] ^= 4
		}
		txs = append(txs, tx)
	}
	res := c.block(txs...)
	for i, r := range res.Txs {
		if r.Hash != TxHash(txs[i]) || errors.Is(r.Invalid, fault.CallerTx) != forged[i] || r.Error != nil {
			t.Errorf("%d: %+v", i, r)
		}
		if c.verified.has(r.Hash) == forged[i] {
			t.Errorf("%d: what is remembered is wrong", i)
		}
	}
	if free := c.info(pallet.Account{1}).Free; free != pallet.Units(uint64(n-len(forged))) {
		t.Errorf("%s arrived", free)
	}
}
