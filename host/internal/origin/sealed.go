package origin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
)

const (
	opOpen     = "open a sealed query"
	infoQuery  = "troupe sealed query 1"
	infoReply  = "troupe sealed reply 1"
	nonceBytes = 12
)

// Open opens a query that was sealed to the worker's key k; public is what its sender sent along. sig is the signature, nil if there
// is none; Verify it. seal seals the reply.
//
// # Errors
//
// caller.sealed_query: it was sealed to another key, or changed on the way, or is no query.
func (v *Verifier) Open(k *meter.Key, sealed []byte, public [32]byte) (q Query, sig []byte, seal func(reply []byte) []byte, err error) {
	there, back, err := ways(k, public, public, k.Public())
	if err != nil {
		return q, nil, nil, fault.New(fault.CallerSealed, opOpen, "", err)
	}
	plain, err := open(there, sealed, nil)
	if err != nil {
		return q, nil, nil, fault.New(fault.CallerSealed, opOpen, "", err)
	}
	q, sig, err = decodeSealed(plain)
	if err != nil {
		return q, nil, nil, err
	}
	about := blake2b.Sum256(sealed)
	return q, sig, func(reply []byte) []byte { return sealWith(back, reply, about[:]) }, nil
}

// SealQuery seals a query and its signature, which may be nil, to a worker. public is sent along; open opens the reply. A nil source
// of random bytes is that of the machine.
//
// # Errors
//
// caller.sealed_query: worker is no public key, or the path is too long. open: it is not the reply to this query.
func SealQuery(worker [32]byte, q Query, sig []byte, random io.Reader) (public [32]byte, sealed []byte, openReply func([]byte) ([]byte, error), err error) {
	if random == nil {
		random = rand.Reader
	}
	if len(q.Path) > MaxPath || len(sig) > MaxSignature {
		return public, nil, nil, fault.New(fault.CallerSealed, "seal a query", "", errTooLarge)
	}
	k, err := meter.NewKey(random)
	if err != nil {
		return public, nil, nil, err
	}
	public = k.Public()
	there, back, err := ways(k, worker, public, worker)
	if err != nil {
		return public, nil, nil, fault.New(fault.CallerSealed, "seal a query", "", err)
	}
	sealed = sealWith(there, encodeSealed(q, sig), nil)
	about := blake2b.Sum256(sealed)
	return public, sealed, func(reply []byte) ([]byte, error) {
		plain, err := open(back, reply, about[:])
		if err != nil {
			return nil, fault.New(fault.CallerSealed, "open a sealed reply", "", err)
		}
		return plain, nil
	}, nil
}

// ways returns the ciphers of both directions.
func ways(k *meter.Key, other, sender, worker [32]byte) (there, back cipher.AEAD, err error) {
	secret, err := k.Agree(other)
	if err != nil {
		return nil, nil, err
	}
	salt := append(append([]byte{}, sender[:]...), worker[:]...)
	var out [2]cipher.AEAD
	for i, info := range []string{infoQuery, infoReply} {
		key, err := hkdf.Key(sha256.New, secret[:], salt, info, 32)
		if err != nil {
			return nil, nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, nil, err
		}
		if out[i], err = cipher.NewGCM(block); err != nil {
			return nil, nil, err
		}
	}
	return out[0], out[1], nil
}

func sealWith(aead cipher.AEAD, plain, about []byte) []byte {
	out := make([]byte, nonceBytes, nonceBytes+len(plain)+aead.Overhead())
	_, _ = rand.Read(out) // it never fails
	return aead.Seal(out, out, plain, about)
}

var errSealed = errors.New("it was sealed to another key, or changed on the way")

func open(aead cipher.AEAD, sealed, about []byte) ([]byte, error) {
	if len(sealed) < nonceBytes {
		return nil, errSealed
	}
	plain, err := aead.Open(nil, sealed[:nonceBytes], sealed[nonceBytes:], about)
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func encodeSealed(q Query, sig []byte) []byte {
	var e scale.Encoder
	e.Raw(q.Address[:])
	e.String(q.Path)
	e.Bytes(q.Payload)
	e.Option(sig != nil)
	if sig != nil {
		e.Bytes(sig)
	}
	return e.Encoded()
}

func decodeSealed(b []byte) (q Query, sig []byte, err error) {
	d := scale.NewDecoder(b)
	d.Fixed(q.Address[:])
	q.Path = d.String(MaxPath)
	q.Payload = d.Bytes(d.Rest())
	if d.Option() {
		if sig = d.Bytes(MaxSignature); sig == nil {
			sig = []byte{} // there is one, and it is not valid
		}
	}
	if err := d.End(); err != nil {
		return Query{}, nil, fault.New(fault.CallerSealed, opOpen, "", err)
	}
	return q, sig, nil
}
