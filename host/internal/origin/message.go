package origin

import (
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/artifacts/scale"
)

// Bounds of signatures.
const (
	MaxLifetime  = 10 * time.Minute
	MaxSkew      = 5 * time.Second // that a signature may be from the future
	MinNonce     = 16
	MaxNonce     = 32
	MaxChain     = 4
	MaxScopes    = 64   // apps, and paths, of a certificate
	MaxPath      = 4096 // bytes
	MaxSignature = 64 << 10
)

const (
	domain  = "troupe/query"
	version = 1
)

// The tags of messages.
const (
	tagCertificate = 0
	tagAccount     = 1
	tagDelegate    = 2
)

// Query is what is signed.
type Query struct {
	Address manifest.Address
	Path    string
	Payload []byte
}

// Terms are what a signature holds for, besides its query.
type Terms struct {
	Worker  [32]byte
	Signed  time.Time // whole milliseconds, as is Expiry
	Expiry  time.Time
	Nonce   []byte
	Account [32]byte // that the query speaks for
}

// Certificate lets the key of an account sign for another account.
type Certificate struct {
	Delegate    [32]byte // account of the key
	Expiry      time.Time
	Delegations uint8 // certificates that may follow
	Apps        []manifest.Address
	Paths       []string
}

// Link is a certificate with the proof that its issuer gave it.
type Link struct {
	Certificate
	Proof Proof
}

// signature is what is sent along with a query.
type signature struct {
	Terms
	Chain []Link
	Proof Proof
}

// statement is what a key signs: a query or a certificate.
type statement interface {
	message() []byte
	typed() [32]byte // the digest of EIP-712
}

// signedQuery is the statement of a query.
type signedQuery struct {
	Terms
	Query
	payload     [32]byte // its b2
	delegated   bool
	certificate [32]byte // id of the last one
}

func newSignedQuery(t Terms, q Query, chain []Link) signedQuery {
	s := signedQuery{Terms: t, Query: q, payload: blake2b.Sum256(q.Payload)}
	if len(chain) > 0 {
		s.delegated, s.certificate = true, idOf(chain)
	}
	return s
}

func (s signedQuery) message() []byte {
	e := opening(tagAccount)
	if s.delegated {
		e = opening(tagDelegate)
	}
	s.Terms.encode(e)
	if s.delegated {
		e.Raw(s.certificate[:])
	}
	e.Raw(s.Address[:])
	e.String(s.Path)
	e.Raw(s.payload[:])
	return e.Encoded()
}

// issued is the statement of a certificate.
type issued struct {
	Certificate
	parent [32]byte
}

func (c issued) message() []byte {
	e := opening(tagCertificate)
	e.Raw(c.parent[:])
	c.Certificate.encode(e)
	return e.Encoded()
}

// idOf returns the id of the last certificate of a chain, zero if it is empty.
func idOf(chain []Link) (id [32]byte) {
	for _, l := range chain {
		id = blake2b.Sum256(issued{l.Certificate, id}.message())
	}
	return id
}

func opening(tag uint8) *scale.Encoder {
	e := &scale.Encoder{}
	e.Raw([]byte(domain))
	e.U8(version)
	e.U8(tag)
	return e
}

func (t Terms) encode(e *scale.Encoder) {
	e.Raw(t.Worker[:])
	e.U64(millis(t.Signed))
	e.U64(millis(t.Expiry))
	e.Bytes(t.Nonce)
	e.Raw(t.Account[:])
}

func (c Certificate) encode(e *scale.Encoder) {
	e.Raw(c.Delegate[:])
	e.U64(millis(c.Expiry))
	e.U8(c.Delegations)
	e.Len(len(c.Apps))
	for _, a := range c.Apps {
		e.Raw(a[:])
	}
	e.Strings(c.Paths)
}

func (p Proof) encode(e *scale.Encoder) {
	e.U8(uint8(p.Type))
	e.Bytes(p.Key)
	e.Bytes(p.Signature)
}

func (s signature) encode() []byte {
	e := &scale.Encoder{}
	e.U8(version)
	s.Terms.encode(e)
	encodeChain(e, s.Chain)
	s.Proof.encode(e)
	return e.Encoded()
}

func encodeChain(e *scale.Encoder, chain []Link) {
	e.Len(len(chain))
	for _, l := range chain {
		l.Certificate.encode(e)
		l.Proof.encode(e)
	}
}

func decodeSignature(b []byte) (s signature, err error) {
	if len(b) > MaxSignature {
		return s, fault.New(fault.CallerSignature, opVerify, "", errTooLarge)
	}
	d := scale.NewDecoder(b)
	if v := d.U8(); v != version && d.Err() == nil {
		d.Fail("a version that is not known here")
	}
	d.Fixed(s.Worker[:])
	s.Signed, s.Expiry = moment(d), moment(d)
	s.Nonce = d.Bytes(MaxNonce)
	if len(s.Nonce) < MinNonce {
		d.Fail("a nonce that is too short")
	}
	d.Fixed(s.Account[:])
	s.Chain = decodeChain(d)
	s.Proof = decodeProof(d)
	if err := d.End(); err != nil {
		return signature{}, fault.New(fault.CallerSignature, opVerify, "", err)
	}
	return s, nil
}

func decodeChain(d *scale.Decoder) (chain []Link) {
	for range d.Len(MaxChain, 32+8+1+1+1+3) {
		var l Link
		d.Fixed(l.Delegate[:])
		l.Expiry = moment(d)
		l.Delegations = d.U8()
		for range d.Len(MaxScopes, 32) {
			var a manifest.Address
			d.Fixed(a[:])
			l.Apps = append(l.Apps, a)
		}
		l.Paths = d.Strings(MaxScopes, MaxPath)
		l.Proof = decodeProof(d)
		if d.Err() != nil {
			return nil
		}
		chain = append(chain, l)
	}
	return chain
}

func decodeProof(d *scale.Decoder) Proof {
	return Proof{Type: Type(d.Enum(uint8(EvmEcdsaWrapBytes))), Key: d.Bytes(32), Signature: d.Bytes(65)}
}

// maxMillis is about the year 10000: a time beyond it does not have to be told apart from any other.
const maxMillis = 253_402_300_800_000

func millis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }

func moment(d *scale.Decoder) time.Time {
	ms := d.U64()
	if ms > maxMillis {
		d.Fail("a time that is too late")
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// EncodeChain returns the certificates of a chain as they are kept and handed on; it begins with their number.
func EncodeChain(chain []Link) []byte {
	e := &scale.Encoder{}
	encodeChain(e, chain)
	return e.Encoded()
}

// DecodeChain reads what EncodeChain wrote. It verifies nothing.
//
// # Errors
//
// caller.signature_invalid.
func DecodeChain(b []byte) ([]Link, error) {
	if len(b) > MaxSignature {
		return nil, fault.New(fault.CallerSignature, "read certificates", "", errTooLarge)
	}
	d := scale.NewDecoder(b)
	chain := decodeChain(d)
	if err := d.End(); err != nil {
		return nil, fault.New(fault.CallerSignature, "read certificates", "", err)
	}
	return chain, nil
}
