package ledger

import (
	"crypto/ed25519"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// For a key of small order anybody finds a signature. The ledger takes none, be it ever so right.
func TestNobodySpeaksForSmallOrder(t *testing.T) {
	l, err := New(state.NewMemory())
	if err != nil {
		t.Fatal(err)
	}
	res, err := l.InitChain([]byte(`{"name":"x","time_ms":1}`))
	if err != nil {
		t.Fatal(err)
	}
	l.src.(*state.Memory).Apply(res.Changes)
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	call, err := EncodeCall("System", "remark", []byte(`{"remark":"0x00"}`))
	if err != nil {
		t.Fatal(err)
	}
	genesis := l.Head().Genesis
	for n, key := range low {
		forged := 0
		for _, sign := range []byte{0, 0x80} {
			key := key
			key[31] |= sign
			for nonce := range uint64(100) {
				tx := Tx{Scheme: Ed25519, Account: key, Nonce: nonce, Call: call}
				sum := tx.Digest(genesis)
				for _, r := range low {
					for _, rSign := range []byte{0, 0x80} {
						copy(tx.Signature[:], r[:]) // and s = 0
						tx.Signature[31] |= rSign
						if !ed25519.Verify(key[:], sum[:], tx.Signature[:]) {
							continue
						}
						forged++
						if _, err := l.CheckTx(tx.Encode()); fault.CodeOf(err) != fault.CallerTx {
							t.Fatalf("key %x: %v", key, err)
						}
						if _, refused := l.readAll(genesis, [][]byte{tx.Encode()}); fault.CodeOf(refused[0]) != fault.CallerTx {
							t.Fatalf("key %x in a block: %v", key, refused[0])
						}
					}
				}
			}
		}
		if forged == 0 {
			t.Errorf("key %d of the list is none for which anybody signs", n)
		}
	}
	// The other scheme has one such key, by itself and in a batch.
	var sig [64]byte
	sig[63] = 0x80
	one := meter.Signed{Message: []byte("m"), Signature: sig[:]}
	if meter.Verify(pallet.Account{}, one.Message, sig[:]) || meter.VerifyAll([]meter.Signed{one, one})[0] {
		t.Error("anybody signs for the account of zeros")
	}
}
