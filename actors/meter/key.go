package meter

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"io"

	"github.com/ChainSafe/go-schnorrkel"
	"github.com/gtank/ristretto255"

	"github.com/troupehost/troupe/actors/fault"
)

// signingContext is that of Substrate.
const signingContext = "substrate"

// Sizes of keys.
const (
	SeedBytes      = 32
	SignatureBytes = 64
)

// Key is a pair of keys of sr25519. It prints as its public half.
type Key struct {
	seed   [SeedBytes]byte
	secret *schnorrkel.SecretKey
	public [32]byte
	scalar *ristretto255.Scalar // of secret; nobody changes it
	nonce  [32]byte             // the other half of what Secret returns
}

// NewKey makes a key of 32 bytes of random, which must be a source fit for keys.
func NewKey(random io.Reader) (*Key, error) {
	var seed [SeedBytes]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fault.New(fault.HostKey, "make key", "", err)
	}
	return KeyFromSeed(seed), nil
}

// KeyFromSeed returns the key of a seed, which Substrate calls a mini secret.
func KeyFromSeed(seed [SeedBytes]byte) *Key {
	mini, err := schnorrkel.NewMiniSecretKeyFromRaw(seed)
	if err != nil {
		panic(err) // every 32 bytes are a seed
	}
	secret := mini.ExpandEd25519()
	public, err := secret.Public()
	if err != nil {
		panic(err) // what ExpandEd25519 returns is below 2^252 and so a scalar
	}
	k := &Key{seed: seed, secret: secret, public: public.Encode(), scalar: ristretto255.NewScalar()}
	both := k.Secret()
	if err := k.scalar.Decode(both[:32]); err != nil {
		panic(err) // as above
	}
	copy(k.nonce[:], both[32:])
	return k
}

// Public returns the public key.
func (k *Key) Public() [32]byte { return k.public }

// Seed returns what KeyFromSeed takes.
func (k *Key) Seed() [SeedBytes]byte { return k.seed }

// Secret returns the secret scalar and the secret nonce, as the original gives derived keys to guests.
func (k *Key) Secret() [64]byte {
	scalar := k.secret.Encode()
	hash := sha512.Sum512(k.seed[:])
	return [64]byte(append(scalar[:], hash[32:]...))
}

// Derive goes down a path of hard junctions. Keys below tell nothing about those above.
func (k *Key) Derive(path ...[32]byte) *Key {
	for _, junction := range path {
		mini, _, err := k.secret.HardDeriveMiniSecretKey(nil, junction)
		if err != nil {
			panic(err) // as in KeyFromSeed
		}
		k = KeyFromSeed(mini.Encode())
	}
	return k
}

// Sign signs a message. The signature differs each time: its nonce is made of 32 bytes of the system's source of randomness, and of
// the key and the message as well, so that a source that repeats itself tells no secret.
//
// It is written out since the library's Sign computes the public key anew, which is half of the time.
func (k *Key) Sign(msg []byte) [SignatureBytes]byte {
	var fresh [32]byte
	_, _ = rand.Read(fresh[:]) // it never fails
	h := sha512.New()
	_, _ = h.Write(k.nonce[:])
	_, _ = h.Write(fresh[:])
	_, _ = h.Write(msg)
	r := ristretto255.NewScalar().FromUniformBytes(h.Sum(nil))
	var sig [SignatureBytes]byte
	point := ristretto255.NewElement().ScalarBaseMult(r).Encode(sig[:0])
	c := challenge(k.public[:], msg, point)
	c.Multiply(c, k.scalar).Add(c, r).Encode(sig[:32])
	sig[63] |= 0x80 // the mark of schnorrkel
	return sig
}

// String returns the public key in hex, so that a key that is printed tells no secret.
func (k *Key) String() string { return fmt.Sprintf("%x", k.public) }

// Format keeps every verb from the fields.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// challenge returns the scalar that binds a signature to its message, key and point.
func challenge(public, msg, point []byte) *ristretto255.Scalar {
	t := schnorrkel.NewSigningContext([]byte(signingContext), msg)
	t.AppendMessage([]byte("proto-name"), []byte("Schnorr-sig"))
	t.AppendMessage([]byte("sign:pk"), public)
	t.AppendMessage([]byte("sign:R"), point)
	return ristretto255.NewScalar().FromUniformBytes(t.ExtractBytes([]byte("sign:c"), 64))
}

// Verify says whether sig is a signature of msg by the owner of the public key. Nothing makes it panic.
//
// It is written out since the library decodes the signature's point, and encodes what it has just decoded: each is a root of a field
// element. Here the point that should be there is encoded, and its one spelling is compared.
func Verify(public [32]byte, msg, sig []byte) bool {
	key, s, ok := decodeHalf(public, sig)
	if !ok {
		return false
	}
	c := challenge(public[:], msg, sig[:32])
	var spelled [32]byte
	point := ristretto255.NewElement().VarTimeDoubleScalarBaseMult(c, key.Negate(key), s).Encode(spelled[:0])
	return bytes.Equal(point, sig[:32])
}

// decodeHalf returns the key and the scalar of a signature, if it can be one.
func decodeHalf(public [32]byte, sig []byte) (key *ristretto255.Element, s *ristretto255.Scalar, ok bool) {
	if len(sig) != SignatureBytes || sig[63]&0x80 == 0 || public == [32]byte{} { // zeros are the neutral element, which is no key
		return nil, nil, false
	}
	key, s = ristretto255.NewElement(), ristretto255.NewScalar()
	half := [32]byte(sig[32:])
	half[31] &= 0x7f
	return key, s, key.Decode(public[:]) == nil && s.Decode(half[:]) == nil
}
