package origin

import (
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/sha3"

	"github.com/troupehost/troupe/actors/meter"
)

// Type is how something was signed.
type Type uint8

// The types, with the numbers of the original worker.
const (
	Ed25519 Type = iota
	Sr25519
	Ecdsa
	Ed25519WrapBytes
	Sr25519WrapBytes
	EcdsaWrapBytes
	Eip712
	EvmEcdsa
	EvmEcdsaWrapBytes
)

var typeNames = [...]string{"ed25519", "sr25519", "ecdsa", "ed25519-wrapped", "sr25519-wrapped", "ecdsa-wrapped", "eip712", "evm", "evm-wrapped"}

// String returns the name of a type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type(" + strconv.Itoa(int(t)) + ")"
}

// ParseType reads what String prints.
func ParseType(s string) (Type, bool) {
	for i, n := range typeNames {
		if n == s {
			return Type(i), true
		}
	}
	return 0, false
}

// Proof is that someone signed a statement.
type Proof struct {
	Type      Type
	Key       []byte // public key, if the signature does not tell it
	Signature []byte
}

const evmSuffix = "@evm_address"

// signed returns the bytes that a type signs, or their digest if it signs one.
func (t Type) signed(s statement) []byte {
	if t == Eip712 {
		d := s.typed()
		return d[:]
	}
	m := s.message()
	switch t {
	case Ed25519WrapBytes, Sr25519WrapBytes, EcdsaWrapBytes, EvmEcdsaWrapBytes:
		m = append(append([]byte("<Bytes>"), m...), "</Bytes>"...)
	}
	switch t {
	case Ecdsa, EcdsaWrapBytes:
		d := blake2b.Sum256(m)
		return d[:]
	case EvmEcdsa, EvmEcdsaWrapBytes:
		d := keccak([]byte("\x19Ethereum Signed Message:\n"+strconv.Itoa(len(m))), m)
		return d[:]
	}
	return m
}

// account returns whose proof of a statement this is. false: nobody's.
func (p Proof) account(s statement) (account [32]byte, ok bool) {
	switch p.Type {
	case Ed25519, Ed25519WrapBytes, Sr25519, Sr25519WrapBytes:
		if len(p.Key) != 32 || len(p.Signature) != 64 {
			return account, false
		}
		account = [32]byte(p.Key)
		if weak(account) {
			return account, false
		}
		m := p.Type.signed(s)
		if p.Type == Ed25519 || p.Type == Ed25519WrapBytes {
			return account, ed25519.Verify(p.Key, m, p.Signature)
		}
		return account, meter.Verify(account, m, p.Signature)
	case Ecdsa, EcdsaWrapBytes, Eip712, EvmEcdsa, EvmEcdsaWrapBytes:
		if len(p.Key) != 0 || len(p.Signature) != 65 {
			return account, false
		}
		public, ok := recoverKey(p.Signature, p.Type.signed(s))
		if !ok {
			return account, false
		}
		return secpAccount(p.Type, public), true
	}
	return account, false
}

// weakKeys are the points of small order, which have no secret: anybody can make signatures that fit them.
var weakKeys = func() (out [][32]byte) {
	for _, h := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		b, _ := hex.DecodeString(h)
		out = append(out, [32]byte(b))
	}
	return out
}()

func weak(key [32]byte) bool {
	key[31] &= 0x7f // the sign
	return slices.Contains(weakKeys, key)
}

func secpAccount(t Type, public *secp256k1.PublicKey) (account [32]byte) {
	if t == Ecdsa || t == EcdsaWrapBytes {
		return blake2b.Sum256(public.SerializeCompressed())
	}
	digest := keccak(public.SerializeUncompressed()[1:])
	copy(account[:], digest[12:])
	copy(account[20:], evmSuffix)
	return account
}

// recoverKey returns the key that signed a digest. sig is r, s and which of the keys it is.
func recoverKey(sig, digest []byte) (*secp256k1.PublicKey, bool) {
	which := sig[64]
	if which >= 27 {
		which -= 27
	}
	if which > 1 {
		return nil, false
	}
	var s secp256k1.ModNScalar
	if s.SetByteSlice(sig[32:64]) || s.IsOverHalfOrder() {
		return nil, false
	}
	compact := append([]byte{27 + 4 + which}, sig[:64]...)
	public, _, err := ecdsa.RecoverCompact(compact, digest)
	return public, err == nil
}

func keccak(parts ...[]byte) (out [32]byte) {
	h := sha3.NewLegacyKeccak256()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(out[:0])
	return out
}
