package origin

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// DefaultLifetime is that of signatures whose sender names none.
const DefaultLifetime = time.Minute

// Signer signs queries and certificates in one of the nine ways.
type Signer struct {
	kind    Type
	account [32]byte
	ed      ed25519.PrivateKey
	sr      *meter.Key
	secp    *secp256k1.PrivateKey
}

// NewSigner returns a signer of a type. secret has 32 bytes: the seed of an Ed25519 or Sr25519 key, or the number that is a
// secp256k1 key.
//
// # Errors
//
// caller.invalid_request: there is no such type, or the secret is no secret.
func NewSigner(t Type, secret []byte) (*Signer, error) {
	if len(secret) != 32 || t > EvmEcdsaWrapBytes {
		return nil, fault.New(fault.CallerInvalid, "sign", t.String(), errSecret)
	}
	s := &Signer{kind: t}
	switch t {
	case Ed25519, Ed25519WrapBytes:
		s.ed = ed25519.NewKeyFromSeed(secret)
		copy(s.account[:], s.ed.Public().(ed25519.PublicKey))
	case Sr25519, Sr25519WrapBytes:
		s.sr = meter.KeyFromSeed([32]byte(secret))
		s.account = s.sr.Public()
	default:
		var n secp256k1.ModNScalar
		if n.SetByteSlice(secret) || n.IsZero() {
			return nil, fault.New(fault.CallerInvalid, "sign", t.String(), errSecret)
		}
		s.secp = secp256k1.NewPrivateKey(&n)
		s.account = secpAccount(t, s.secp.PubKey())
	}
	return s, nil
}

var errSecret = errors.New("the secret must be 32 bytes that are a key of a known type")

// Account returns the account of the key.
func (s *Signer) Account() [32]byte { return s.account }

// Type returns how it signs.
func (s *Signer) Type() Type { return s.kind }

func (s *Signer) prove(st statement) Proof {
	m := s.kind.signed(st)
	p := Proof{Type: s.kind}
	switch {
	case s.ed != nil:
		p.Key, p.Signature = s.account[:], ed25519.Sign(s.ed, m)
	case s.sr != nil:
		sig := s.sr.Sign(m)
		p.Key, p.Signature = s.account[:], sig[:]
	default:
		c := ecdsa.SignCompact(s.secp, m, true)
		v := c[0] - 27 - 4
		if s.kind >= Eip712 {
			v += 27
		}
		p.Signature = append(c[1:], v)
	}
	return p
}

// Certify issues a certificate and returns the chain that ends with it. by is the chain that gives the signer its right, nil if
// it is the account itself. Nothing is checked but the bounds: whether it holds is for who verifies it.
//
// # Errors
//
// caller.invalid_request: the chain or one of the lists of the certificate is too long.
func (s *Signer) Certify(by []Link, c Certificate) ([]Link, error) {
	long := len(by) >= MaxChain || len(c.Apps) > MaxScopes || len(c.Paths) > MaxScopes
	for _, p := range c.Paths {
		long = long || len(p) > MaxPath
	}
	if long {
		return nil, fault.New(fault.CallerInvalid, "certify", "", errTooLarge)
	}
	l := Link{Certificate: c, Proof: s.prove(issued{c, idOf(by)})}
	return append(append([]Link{}, by...), l), nil
}

// Sign returns what is sent along with a query. Of the terms it fills in what is missing: Signed, by the time of the machine, an
// Expiry of DefaultLifetime after it, a random Nonce, and the account: the signer's own, which a query by a certificate has to name.
//
// # Errors
//
// caller.invalid_request: the nonce, the path or the chain does not fit, or the account is missing beside a chain.
func Sign(s *Signer, q Query, t Terms, chain []Link) ([]byte, error) {
	if t.Signed.IsZero() {
		t.Signed = time.Now()
	}
	if t.Expiry.IsZero() {
		t.Expiry = t.Signed.Add(DefaultLifetime)
	}
	if t.Nonce == nil {
		t.Nonce = make([]byte, MinNonce)
		if _, err := io.ReadFull(rand.Reader, t.Nonce); err != nil {
			return nil, err
		}
	}
	if t.Account == [32]byte{} && len(chain) == 0 {
		t.Account = s.account
	}
	switch {
	case len(t.Nonce) < MinNonce || len(t.Nonce) > MaxNonce:
		return nil, fault.New(fault.CallerInvalid, "sign", "", errors.New("the nonce must have 16 to 32 bytes"))
	case len(chain) > MaxChain || len(q.Path) > MaxPath:
		return nil, fault.New(fault.CallerInvalid, "sign", "", errTooLarge)
	case t.Account == [32]byte{}:
		return nil, fault.New(fault.CallerInvalid, "sign", "", errors.New("a query by a certificate has to name the account"))
	}
	b := signature{t, chain, s.prove(newSignedQuery(t, q, chain))}.encode()
	if len(b) > MaxSignature {
		return nil, fault.New(fault.CallerInvalid, "sign", "", errTooLarge)
	}
	return b, nil
}
