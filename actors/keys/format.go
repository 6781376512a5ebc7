package keys

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

const (
	magic      = "troupkey"
	version    = 1
	saltBytes  = 16
	minKeyFile = 32
	maxKeyFile = 64 << 10
	maxFile    = 64 << 10
)

type kind uint8

const (
	inClear      kind = 0
	byPassphrase kind = 1
	byKeyFile    kind = 2
)

// cost is what a guess at a passphrase costs.
type cost struct {
	Passes, KiB uint32
	Lanes       uint8
}

var (
	defaultCost = cost{Passes: 3, KiB: 64 << 10, Lanes: 4} // the second choice of RFC 9106; about 0.1 s
	maxCost     = cost{Passes: 16, KiB: 1 << 20, Lanes: 16}
)

// secrets is what is stored.
type secrets struct {
	Worker, Root [32]byte // seeds
	History      []replaced
}

type replaced struct {
	Public [32]byte
	At     uint64
}

// lock is how secrets are stored, with the key that seals them.
type lock struct {
	kind kind
	cost cost
	salt [saltBytes]byte
	key  []byte
}

func newLock(u Unlock, random io.Reader, c cost) (lock, error) {
	if u.none() {
		return lock{}, nil
	}
	l := lock{kind: byKeyFile}
	if len(u.Passphrase) > 0 {
		l.kind, l.cost = byPassphrase, c
	}
	if err := fill(random, l.salt[:]); err != nil {
		return lock{}, err
	}
	l.derive(u)
	return l, nil
}

func (l *lock) derive(u Unlock) {
	if l.kind == byPassphrase {
		l.key = argon2.IDKey(u.Passphrase, l.salt[:], l.cost.Passes, l.cost.KiB, l.cost.Lanes, chacha20poly1305.KeySize)
		return
	}
	key, err := hkdf.Key(sha256.New, u.KeyFile, l.salt[:], "troupe worker key 1", chacha20poly1305.KeySize)
	if err != nil {
		panic(err) // only for lengths that this one is not
	}
	l.key = key
}

func encode(s secrets, l lock, random io.Reader) ([]byte, error) {
	var body scale.Encoder
	body.Raw(s.Worker[:])
	body.Raw(s.Root[:])
	body.Len(len(s.History))
	for _, r := range s.History {
		body.Raw(r.Public[:])
		body.U64(r.At)
	}
	out := append([]byte(magic), version, byte(l.kind))
	if l.kind == byPassphrase {
		out = binary.LittleEndian.AppendUint32(out, l.cost.Passes)
		out = binary.LittleEndian.AppendUint32(out, l.cost.KiB)
		out = append(out, l.cost.Lanes)
	}
	if l.kind == inClear {
		out = append(out, body.Encoded()...)
	} else {
		nonce := make([]byte, chacha20poly1305.NonceSizeX)
		if err := fill(random, nonce); err != nil {
			return nil, err
		}
		out = append(append(out, l.salt[:]...), nonce...)
		out = newAEAD(l.key).Seal(out, nonce, body.Encoded(), out)
	}
	sum := blake2b.Sum256(out)
	return append(out, sum[:]...), nil
}

func damaged(op, why string) error {
	return fault.New(fault.HostKey, op, "", errors.New(why)).
		WithHint("restore a backup; no new key is made while there is a damaged one")
}

const opRead = "read the worker key"

// Encrypted says whether the secrets of a store are locked. Of a store that has none they are not.
//
// # Errors
//
// host.worker_key, and those of the store.
func Encrypted(s Store) (bool, error) {
	b, err := s.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, wrap("read", err)
	case len(b) < len(magic)+2 || string(b[:len(magic)]) != magic:
		return false, fault.New(fault.HostKey, "read the worker key", "", errors.New("it is damaged"))
	}
	return kind(b[len(magic)+1]) != inClear, nil
}

// decode reads what encode wrote. The sum comes first, so that what fails after it is no accident of the disk.
func decode(b []byte, u Unlock) (secrets, lock, error) {
	fail := func(why string) (secrets, lock, error) { return secrets{}, lock{}, damaged(opRead, why) }
	head := len(magic) + 2
	if len(b) < head+blake2b.Size256 || len(b) > maxFile || string(b[:len(magic)]) != magic {
		return fail("it is damaged: this is no file of worker keys")
	}
	rest, sum := b[:len(b)-blake2b.Size256], b[len(b)-blake2b.Size256:]
	if want := blake2b.Sum256(rest); !bytes.Equal(sum, want[:]) {
		return fail("it is damaged: the sum does not fit")
	}
	if v := b[len(magic)]; v != version {
		return secrets{}, lock{}, fault.New(fault.HostKey, opRead, "", errors.New("it was written by a newer version")).WithHint("upgrade troupe")
	}
	l := lock{kind: kind(b[len(magic)+1])}
	at := head
	switch l.kind {
	case inClear:
		s, err := decodeBody(rest[at:])
		return s, l, err
	case byPassphrase:
		if len(rest) < at+9 {
			return fail("it is damaged: the header is cut")
		}
		l.cost = cost{binary.LittleEndian.Uint32(rest[at:]), binary.LittleEndian.Uint32(rest[at+4:]), rest[at+8]}
		at += 9
		if c := l.cost; c.Passes < 1 || c.Lanes < 1 || c.Passes > maxCost.Passes || c.KiB > maxCost.KiB || c.Lanes > maxCost.Lanes {
			return fail("it is damaged: no host would choose such a cost of its passphrase")
		}
	case byKeyFile:
	default:
		return fail("it is damaged: no such kind of lock")
	}
	if len(rest) < at+saltBytes+chacha20poly1305.NonceSizeX {
		return fail("it is damaged: the header is cut")
	}
	copy(l.salt[:], rest[at:])
	nonce := rest[at+saltBytes:][:chacha20poly1305.NonceSizeX]
	at += saltBytes + len(nonce)
	if l.kind == byPassphrase && len(u.Passphrase) == 0 {
		return secrets{}, lock{}, fault.New(fault.HostKey, opRead, "", errors.New("it is locked with a passphrase, and none was given"))
	}
	if l.kind == byKeyFile && len(u.KeyFile) == 0 {
		return secrets{}, lock{}, fault.New(fault.HostKey, opRead, "", errors.New("it is locked with a key file, and none was given"))
	}
	l.derive(u)
	body, err := newAEAD(l.key).Open(nil, nonce, rest[at:], rest[:at])
	if err != nil {
		return secrets{}, lock{}, fault.New(fault.HostKey, opRead, "", errors.New("the passphrase or key file is wrong"))
	}
	s, err := decodeBody(body)
	return s, l, err
}

func decodeBody(b []byte) (s secrets, err error) {
	d := scale.NewDecoder(b)
	d.Fixed(s.Worker[:])
	d.Fixed(s.Root[:])
	n := d.Len(MaxHistory, 40)
	for range n {
		var r replaced
		d.Fixed(r.Public[:])
		r.At = d.U64()
		s.History = append(s.History, r)
	}
	if d.End() != nil {
		return secrets{}, damaged(opRead, "it is damaged: the body cannot be read")
	}
	return s, nil
}
