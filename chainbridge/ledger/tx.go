package ledger

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// TxVersion is the first byte of transactions.
const TxVersion = 1

// MaxTxBytes bounds a transaction.
const MaxTxBytes = 64 << 10

// Scheme says how a transaction is signed.
type Scheme uint8

// The schemes. They are on chain, so they begin with 0.
const (
	Ed25519 Scheme = iota
	Sr25519
)

// Tx is a transaction.
type Tx struct {
	Scheme     Scheme
	Account    pallet.Account // the signer's public key
	Nonce      uint64
	ValidUntil uint64 // the last height that may have it; 0: any
	Call       []byte // as EncodeCall returns it
	Signature  [64]byte
}

// signatureBytes is the end of a transaction, which is not signed.
const signatureBytes = 64

// Encode returns the bytes that are submitted.
func (t *Tx) Encode() []byte {
	e := scale.Encoder{}
	t.encode(&e)
	e.Raw(t.Signature[:])
	return e.Encoded()
}

func (t *Tx) encode(e *scale.Encoder) {
	e.U8(TxVersion)
	e.U8(uint8(t.Scheme))
	e.Raw(t.Account[:])
	e.U64(t.Nonce)
	e.U64(t.ValidUntil)
	e.Bytes(t.Call)
}

// DecodeTx reads what Encode returned. It verifies nothing.
//
// # Errors
//
// caller.tx_invalid.
func DecodeTx(b []byte) (*Tx, error) {
	if len(b) > MaxTxBytes {
		return nil, badTx(b, fmt.Errorf("%d bytes, above the limit of %d", len(b), MaxTxBytes))
	}
	d := scale.NewDecoder(b)
	if v := d.U8(); d.Err() == nil && v != TxVersion {
		return nil, badTx(b, fmt.Errorf("version %d is not known", v))
	}
	t := &Tx{Scheme: Scheme(d.Enum(uint8(Sr25519)))}
	d.Fixed(t.Account[:])
	t.Nonce = d.U64()
	t.ValidUntil = d.U64()
	t.Call = d.Bytes(MaxTxBytes)
	d.Fixed(t.Signature[:])
	if err := d.End(); err != nil {
		return nil, badTx(b, err)
	}
	return t, nil
}

func badTx(b []byte, err error) error {
	return fault.New(fault.CallerTx, "transaction", TxHash(b).String(), err)
}

// TxHash returns the hash by which an encoded transaction is known.
func TxHash(b []byte) pallet.Hash { return blake2b.Sum256(b) }

// txDomain keeps signatures of transactions from being anything else.
const txDomain = "troupe/tx/1"

// Digest returns what is signed: of all but the signature, for one chain.
func (t *Tx) Digest(genesis pallet.Hash) [32]byte {
	e := scale.Encoder{}
	e.Raw([]byte(txDomain))
	e.Raw(genesis[:])
	t.encode(&e)
	return blake2b.Sum256(e.Encoded())
}

// digest is Digest of an encoded transaction.
func digest(genesis pallet.Hash, encoded []byte) [32]byte {
	b := make([]byte, 0, 512)
	b = append(b, txDomain...)
	b = append(b, genesis[:]...)
	return blake2b.Sum256(append(b, encoded[:len(encoded)-signatureBytes]...))
}

// verify says whether the signature over a digest is that of the account.
func (t *Tx) verify(digest [32]byte) bool {
	if t.Scheme == Sr25519 {
		return meter.Verify(t.Account, digest[:], t.Signature[:])
	}
	return !smallOrder(t.Account) && ed25519.Verify(t.Account[:], digest[:], t.Signature[:])
}

// low has the encodings of the points of small order, the sign left out. For such a key anybody finds signatures: nobody must speak for
// the account of zeros, to which some send what is to be gone, or give a power that nobody is to have.
var low = [...][32]byte{
	{},
	{1},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39,
		0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6,
		0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	field(0xec), field(0xed), field(0xee), // -1, and 0 and 1 once more
}

// field is the encoding of a number near 2^255.
func field(lowest byte) (b [32]byte) {
	for i := range b {
		b[i] = 0xff
	}
	b[0], b[31] = lowest, 0x7f
	return b
}

func smallOrder(key [32]byte) bool {
	key[31] &= 0x7f
	return slices.Contains(low[:], key)
}

// Signer signs with sr25519, as meter.Key does.
type Signer interface {
	Public() [32]byte
	Sign(msg []byte) [64]byte
}

// SignTx returns an encoded transaction.
func SignTx(s Signer, genesis pallet.Hash, nonce, validUntil uint64, call []byte) []byte {
	t := &Tx{Scheme: Sr25519, Account: s.Public(), Nonce: nonce, ValidUntil: validUntil, Call: call}
	sum := t.Digest(genesis)
	t.Signature = s.Sign(sum[:])
	return t.Encode()
}
