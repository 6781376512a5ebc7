package devchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

func someRecord(t testing.TB) *record {
	t.Helper()
	txs := [][]byte{{1, 2, 3}, {}, bytes.Repeat([]byte{7}, 300)}
	res := &machine.Result{AppHash: pallet.Hash{9}, Txs: []machine.TxResult{{Hash: pallet.Hash{1}, Nonce: 5}, {Error: pallet.Fail("P", "E", "why")}, {}},
		Events: []machine.Event{{Tx: -1, Event: pallet.Event{Pallet: "P", Name: "Began", Fields: struct{}{}}}, {Tx: 2, Event: pallet.Event{Pallet: "P", Name: "Set", Fields: kvEvent{"k", 1}}}}}
	r, err := newRecord(Header{Height: 7, Parent: pallet.Hash{3}, Time: 1234}, txs, res)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	r := someRecord(t)
	got, err := openRecord(r.stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, cmp.AllowUnexported(record{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	for at := range r.stored {
		if at >= 4 && at < 4+headerBytes-96 || at >= 4+headerBytes-32 && at < 4+headerBytes {
			continue // of the header, which its hash covers, and not the record
		}
		if _, err := openRecord(flipped(r.stored, at)); !errors.Is(err, errRecord) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	r := someRecord(f)
	f.Add(r.stored)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := openRecord(b); err == nil && !bytes.Equal(r.stored, b) {
			t.Error("it is not what it was made of")
		}
		// The same with roots that fit, so that the decoder is reached.
		if len(b) > 8 {
			fit := someRecord(t)
			fit.TxRoot, fit.ResultRoot = hashOf(txDomain, b[:len(b)/2]), hashOf(resultDomain, b[len(b)/2:])
			_, _ = openRecord(assemble(fit.Header, b, len(b)/2))
		}
	})
}

func FuzzWrites(f *testing.F) {
	f.Add(encodeOps([]db.Op{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("gone"), Delete: true}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ops, err := decodeOps(b)
		if err != nil {
			return
		}
		again, err := decodeOps(encodeOps(ops))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ops, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{"jsonrpc":"2.0","id":1,"method":"chain_info"}`, `[{"jsonrpc":"2.0","id":1,"method":"chain_block","params":{"height":0}}]`,
		`{"jsonrpc":"2.0","id":1,"method":"chain_submit","params":{"tx":"0x00"}}`, `{"jsonrpc":"2.0","id":1,"method":"chain_blocks","params":{"from":18446744073709551615,"limit":-1}}`,
		`{"jsonrpc":"2.0","id":1,"method":"query","params":{"path":"KV/get","params":{"key":1}}}`, `{"jsonrpc":"2.0","id":1,"method":"state_get","params":{"key":"0x"}}`} {
		f.Add(s)
	}
	c := openChain(f, kvConfig(f.TempDir()))
	h := c.Handler()
	f.Fuzz(func(t *testing.T, body string) {
		status, answer := ask(t, h, body)
		if answer != "" && !json.Valid([]byte(answer)) || status != http.StatusOK && status != http.StatusNoContent && status != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %s", status, answer)
		}
	})
}

// FuzzAnswer has a server answer whatever it likes.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"jsonrpc":"2.0","id":1,"result":{"name":"x"}}`)
	f.Add(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":{"code":"host.disk_io","retry_after_ms":9223372036854775807}}}`)
	f.Add(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m","data":{"code":"new.code"}}}`)
	f.Fuzz(func(t *testing.T, answer string) {
		var s Status
		if err := readAnswer("chain_info", []byte(answer), &s, "200 OK"); err != nil && fault.CodeOf(err) == fault.BugUnexpected {
			var a response
			if json.Unmarshal([]byte(answer), &a) != nil || a.Error == nil || a.Error.Data.Code != fault.BugUnexpected {
				t.Errorf("%q: %v", answer, err)
			}
		}
	})
}

func FuzzExport(f *testing.F) {
	c := openChain(f, kvConfig(f.TempDir()))
	var out bytes.Buffer
	if err := c.Export(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := VerifyExport(bytes.NewReader(b), hashKV); err == nil && !bytes.Equal(bytes.TrimSpace(b), bytes.TrimSpace(out.Bytes())) {
			t.Logf("another export that fits: %d bytes", len(b))
		}
	})
}
