package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/governance"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
)

// FuzzDecodeTx: what decodes has one spelling, and all else is a fault of who sent it.
func FuzzDecodeTx(f *testing.F) {
	f.Add((&Tx{Scheme: Sr25519, Nonce: 1, Call: []byte{0, 0, 0}}).Encode())
	f.Add([]byte{TxVersion})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := DecodeTx(b)
		if err != nil {
			if !errors.Is(err, fault.CallerTx) {
				t.Error(err)
			}
			return
		}
		if again := tx.Encode(); !bytes.Equal(again, b) {
			t.Errorf("%x is encoded as %x", b, again)
		}
		if tx.Digest([32]byte{1}) != digest([32]byte{1}, b) {
			t.Error("two things to sign")
		}
		tx.verify(tx.Digest([32]byte{1}))
	})
}

// FuzzDecodeCall: what decodes goes through JSON and back to the same bytes.
func FuzzDecodeCall(f *testing.F) {
	for _, p := range standard().pallets {
		for _, c := range p.Calls {
			f.Add(encodeCall(p.Index, c.Index, c.New()))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxTxBytes {
			return
		}
		p, name, args, err := DecodeCall(b)
		if err != nil {
			if !errors.Is(err, fault.CallerTxCall) {
				t.Error(err)
			}
			return
		}
		_, _, call, err := standard().decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := encodeCall(b[0], b[1], call); !bytes.Equal(again, b) {
			t.Fatalf("%s.%s: %x is encoded as %x", p, name, b, again)
		}
		again, err := EncodeCall(p, name, args)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s.%s %s: %x became %x, %v", p, name, args, b, again, err)
		}
	})
}

// FuzzEncodeCall: whatever stands in JSON, it is a call or a fault.
func FuzzEncodeCall(f *testing.F) {
	calls := Calls()
	for i := range calls {
		f.Add(uint(i), []byte(`{"dest":"00","value":"1"}`))
	}
	f.Fuzz(func(t *testing.T, which uint, args []byte) {
		c := calls[which%uint(len(calls))]
		b, err := EncodeCall(c.Pallet, c.Name, json.RawMessage(args))
		if err != nil {
			if !errors.Is(err, fault.CallerTxCall) {
				t.Error(err)
			}
			return
		}
		if p, name, _, err := DecodeCall(b); err != nil && len(b) <= MaxTxBytes || err == nil && (p != c.Pallet || name != c.Name) {
			t.Errorf("%s.%s %s: %x, %v", c.Pallet, c.Name, args, b, err)
		}
	})
}

// FuzzGenesis: a document is a genesis or a fault, and its canonical form is one more spelling of it.
func FuzzGenesis(f *testing.F) {
	doc, err := testGenesisDoc()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc)
	f.Add([]byte(`{"name":"n","pallets":{"PhalaRegistry":{"max_age_ms":1e3}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		g, err := ParseGenesis(doc)
		if err != nil {
			if !errors.Is(err, fault.CallerConfig) {
				t.Error(err)
			}
			return
		}
		canonical, err := g.Encode()
		if err != nil {
			t.Fatal(err)
		}
		one, err := g.Hash()
		if err != nil {
			t.Fatal(err)
		}
		if two, err := GenesisHash(canonical); err != nil || one != two {
			t.Errorf("%s has the hash %s, and %s has %s (%v)", doc, one, canonical, two, err)
		}
	})
}

// FuzzBlock executes blocks of garbage: of the bytes as they are, and of calls that are signed. Two ledgers agree on each.
func FuzzBlock(f *testing.F) {
	f.Add([]byte{40, 0, 1, 2, 3}, []byte{1})
	for _, p := range standard().pallets {
		for _, c := range p.Calls {
			f.Add(encodeCall(p.Index, c.Index, c.New()), []byte{TxVersion, 1})
		}
	}
	f.Fuzz(func(t *testing.T, call, garbage []byte) {
		if len(call) > MaxTxBytes-256 {
			return
		}
		a, b := begin(t, testGenesis()), begin(t, testGenesis())
		root := encodeCall(60, 0, &governance.Sudo{Call: call})
		block := machine.Block{Height: 1, Time: a.Head().Time, Txs: [][]byte{garbage, a.sign(key(1), 0, call), a.sign(key(1), 1, root), a.sign(key(2), 0, call), garbage}}
		one, err := a.FinalizeBlock(block)
		if err != nil {
			t.Fatal(err)
		}
		two, err := b.FinalizeBlock(block)
		if err != nil {
			t.Fatal(err)
		}
		if one.AppHash != two.AppHash {
			t.Fatal("two states")
		}
		if diff := cmp.Diff(events(one), events(two)); diff != "" {
			t.Fatal(diff)
		}
		a.commit(one)
		if _, err := VerifyState(a.mem); err != nil {
			t.Fatal(err)
		}
	})
}
