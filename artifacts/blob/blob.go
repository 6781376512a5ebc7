package blob

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

// Hash is the SHA-256 of a blob.
type Hash [sha256.Size]byte

// String returns the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// HashOf returns the hash under which bytes are stored.
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

// Keys: prefix and hash, then the number of a chunk or a name. The value of a name is the size of the blob.
const (
	prefixChunk = "bc"
	prefixName  = "bn"

	hashEnd        = len(prefixChunk) + sha256.Size
	maxName        = 128
	chunksPerWrite = 2
	maxRemove      = 1024 // keys removed at a time
	stripes        = 64
)

// Store keeps blobs.
type Store struct {
	db    *db.DB
	quota int64
	write [stripes]sync.Mutex // by the first byte of the hash: held while a blob is written; taken before mu

	mu    sync.Mutex
	blobs map[Hash]*entry
	long  map[[sha512.Size]byte]Hash // of uploaded blobs, by their SHA-512
	bytes int64                      // of all blobs, those under way among them
}

type entry struct {
	size  int64
	names map[string]struct{}
	up    *upload // nil: it was put as a whole
}

// Open reads which blobs there are in a database, and sweeps the chunks of those that nobody names. quota bounds the bytes
// of all blobs; what is there already stays, even if it is more.
//
// # Errors
//
// host.disk_io.
func Open(ctx context.Context, d *db.DB, quota int64) (*Store, error) {
	s := &Store{db: d, quota: quota, blobs: map[Hash]*entry{}, long: map[[sha512.Size]byte]Hash{}}
	err := d.Scan([]byte(prefixName), func(k, v []byte) error {
		if len(k) <= hashEnd || len(v) != 8 {
			return nil // nobody wrote this
		}
		h, size := Hash(k[len(prefixName):hashEnd]), int64(binary.BigEndian.Uint64(v))
		if s.blobs[h] == nil {
			s.blobs[h] = &entry{size: size, names: map[string]struct{}{}}
			s.bytes += size
		}
		s.blobs[h].names[string(k[hashEnd:])] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.openUploads(ctx); err != nil {
		return nil, err
	}
	var orphans []Hash
	err = d.Groups([]byte(prefixChunk), hashEnd, func(group []byte) {
		if len(group) == hashEnd && s.blobs[Hash(group[len(prefixChunk):])] == nil {
			orphans = append(orphans, Hash(group[len(prefixChunk):]))
		}
	})
	if err != nil {
		return nil, err
	}
	for _, h := range orphans {
		_ = s.removeOrphan(ctx, append([]byte(prefixChunk), h[:]...)) // what cannot be removed now is swept by the next start; until then it is only space
	}
	return s, nil
}

// Put stores bytes under a name, unless they are there: then they get the name. They are on disk when it returns.
//
// # Errors
//
// caller.quota; busy.disk_space, host.disk_full, host.disk_io; bug.protocol for a name of the wrong length.
func (s *Store) Put(ctx context.Context, b []byte, name string) (Hash, error) {
	return s.put(ctx, b, name, s.quota)
}

// PutPromised is Put for what somebody was promised already, such as the result of a run: the quota does not hold it up, but
// it counts.
//
// # Errors
//
// As Put, without caller.quota.
func (s *Store) PutPromised(ctx context.Context, b []byte, name string) (Hash, error) {
	return s.put(ctx, b, name, math.MaxInt64)
}

func (s *Store) put(ctx context.Context, b []byte, name string, quota int64) (Hash, error) {
	h := HashOf(b)
	if err := checkName("blob put", name); err != nil {
		return h, err
	}
	s.stripe(h).Lock()
	defer s.stripe(h).Unlock()
	if s.Has(h) {
		return h, s.addName(ctx, h, name)
	}
	size := int64(len(b))
	if err := s.reserve(h, size, quota); err != nil {
		return h, err
	}
	if err := s.writeChunks(ctx, h, b, nameKey(h, name)); err != nil {
		clean := context.WithoutCancel(ctx) // what is not removed now is swept by the next Open
		if s.remove(clean, [][]byte{nameKey(h, name)}) == nil {
			_ = s.removeChunks(clean, h, nil, size)
		}
		s.mu.Lock()
		s.bytes -= size
		s.mu.Unlock()
		return h, err
	}
	s.mu.Lock()
	s.blobs[h] = &entry{size: size, names: map[string]struct{}{name: {}}}
	s.mu.Unlock()
	return h, nil
}

// reserve counts the bytes of a blob that is about to be written.
func (s *Store) reserve(h Hash, size, quota int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+size > quota {
		return fault.New(fault.CallerQuota, "store", fmt.Sprintf("%d bytes beside the %d of all code, input and results", size, s.bytes), nil).
			WithHint("wait until jobs have expired, take code off the warm-up list, or raise the limit (--job-bytes)")
	}
	s.bytes += size
	return nil
}

func (s *Store) writeChunks(ctx context.Context, h Hash, b []byte, name []byte) error {
	size := binary.BigEndian.AppendUint64(nil, uint64(len(b)))
	var ops []db.Op
	n := uint32(0)
	for c := range slices.Chunk(b, db.MaxValue) {
		if len(ops) == chunksPerWrite {
			if err := s.db.Write(ctx, ops...); err != nil {
				return err
			}
			ops = ops[:0]
		}
		ops = append(ops, db.Op{Key: chunkKey(h, n), Value: c})
		n++
	}
	return s.db.Write(ctx, append(ops, db.Op{Key: name, Value: size})...)
}

// Get returns the bytes of a blob, verified. They belong to the caller.
//
// # Errors
//
// caller.not_found; host.disk_io, also for bytes that do not verify.
func (s *Store) Get(ctx context.Context, h Hash) ([]byte, error) {
	s.mu.Lock()
	e := s.blobs[h]
	s.mu.Unlock()
	if e == nil {
		return nil, notFound("blob get", h)
	}
	size := e.size
	b := make([]byte, 0, size)
	for n := uint32(0); int64(len(b)) < size; n++ {
		if err := ctx.Err(); err != nil {
			return nil, fault.From(err)
		}
		before := len(b)
		err := s.db.Get(e.up.chunk(h, n), func(v []byte) error {
			b = append(b, v...)
			return nil
		})
		switch {
		case errors.Is(err, db.ErrNotFound) && !s.is(h, e):
			return nil, notFound("blob get", h) // it lost its last name meanwhile
		case err != nil && !errors.Is(err, db.ErrNotFound):
			return nil, err
		case err != nil, len(b) == before:
			return nil, corrupt(h)
		}
	}
	if HashOf(b) != h {
		return nil, corrupt(h)
	}
	return b, nil
}

// Ref gives a blob one more name; one that it has already is fine.
//
// # Errors
//
// caller.not_found; busy.disk_space, host.disk_full, host.disk_io; bug.protocol for a name of the wrong length.
func (s *Store) Ref(ctx context.Context, h Hash, name string) error {
	if err := checkName("blob ref", name); err != nil {
		return err
	}
	s.stripe(h).Lock()
	defer s.stripe(h).Unlock()
	if !s.Has(h) {
		return notFound("blob ref", h)
	}
	return s.addName(ctx, h, name)
}

// addName writes a name. The caller holds the stripe, and the blob is there.
func (s *Store) addName(ctx context.Context, h Hash, name string) error {
	s.mu.Lock()
	e := s.blobs[h]
	_, has := e.names[name]
	s.mu.Unlock()
	if has {
		return nil
	}
	if err := s.db.Write(ctx, db.Op{Key: nameKey(h, name), Value: binary.BigEndian.AppendUint64(nil, uint64(e.size))}); err != nil {
		return err
	}
	s.mu.Lock()
	e.names[name] = struct{}{}
	s.mu.Unlock()
	return nil
}

// Unref takes a name back, and removes the blob if it was the last. A name that is not there is fine.
//
// # Errors
//
// busy.disk_space, host.disk_full, host.disk_io: the name is still there.
func (s *Store) Unref(ctx context.Context, h Hash, name string) error {
	s.stripe(h).Lock()
	defer s.stripe(h).Unlock()
	return s.unref(ctx, h, name)
}

// unref is Unref for who holds the stripe.
func (s *Store) unref(ctx context.Context, h Hash, name string) error {
	s.mu.Lock()
	e := s.blobs[h]
	has, last := false, false
	if e != nil {
		_, has = e.names[name]
		last = len(e.names) == 1
	}
	s.mu.Unlock()
	if !has {
		return nil
	}
	keys := [][]byte{nameKey(h, name)}
	if last && e.up != nil {
		keys = append(keys, uploadKey(h))
	}
	if err := s.db.Remove(ctx, keys...); err != nil {
		return err
	}
	s.mu.Lock()
	delete(e.names, name)
	if last {
		delete(s.blobs, h)
		s.bytes -= e.size
		if e.up != nil {
			delete(s.long, e.up.long)
		}
	}
	s.mu.Unlock()
	if last {
		_ = s.removeChunks(context.WithoutCancel(ctx), h, e.up, e.size) // or the next Open sweeps them
	}
	return nil
}

// Sweep takes back the names that keep does not want. It is for an owner that knows at its start what it needs; keep must
// say yes to the names of others.
//
// # Errors
//
// Those of Unref, for the first name that could not be taken back; the others were tried.
func (s *Store) Sweep(ctx context.Context, keep func(h Hash, name string) bool) error {
	type named struct {
		h    Hash
		name string
	}
	var gone []named
	s.mu.Lock()
	for h, e := range s.blobs {
		for name := range e.names {
			if !keep(h, name) {
				gone = append(gone, named{h, name})
			}
		}
	}
	s.mu.Unlock()
	var first error
	for _, g := range gone {
		if err := s.Unref(ctx, g.h, g.name); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Has says whether a blob is there.
func (s *Store) Has(h Hash) bool {
	_, ok := s.Size(h)
	return ok
}

// is says whether a blob is the one that it was: it may have gone, and come back in other chunks.
func (s *Store) is(h Hash, e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blobs[h] == e
}

// Size returns the bytes of a blob.
func (s *Store) Size(h Hash) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.blobs[h]
	if e == nil {
		return 0, false
	}
	return e.size, true
}

// Freed returns the bytes that are given back when the names go that match: none while there is another one.
func (s *Store) Freed(h Hash, match func(name string) bool) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.blobs[h]
	if e == nil {
		return 0
	}
	for name := range e.names {
		if !match(name) {
			return 0
		}
	}
	return e.size
}

// Bytes returns the bytes of all blobs.
func (s *Store) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *Store) stripe(h Hash) *sync.Mutex { return &s.write[h[0]%stripes] }

func (s *Store) removeChunks(ctx context.Context, h Hash, up *upload, size int64) error {
	keys := make([][]byte, (size+db.MaxValue-1)/db.MaxValue)
	for n := range keys {
		keys[n] = up.chunk(h, uint32(n))
	}
	return s.remove(ctx, keys)
}

// removeOrphan removes the chunks that are there of a blob whose size nobody knows.
func (s *Store) removeOrphan(ctx context.Context, prefix []byte) error {
	var keys [][]byte
	err := s.db.Scan(prefix, func(k, _ []byte) error {
		keys = append(keys, slices.Clone(k))
		return nil
	})
	return errors.Join(err, s.remove(ctx, keys))
}

func (s *Store) remove(ctx context.Context, keys [][]byte) error {
	for part := range slices.Chunk(keys, maxRemove) {
		if err := s.db.Remove(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

func chunkKey(h Hash, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(prefixChunk), h[:]...), n)
}

func nameKey(h Hash, name string) []byte {
	return append(append([]byte(prefixName), h[:]...), name...)
}

func checkName(op, name string) error {
	if name == "" || len(name) > maxName {
		return fault.New(fault.BugProtocol, op, fault.Quote(name), errors.New("the name of a blob is 1 to 128 bytes"))
	}
	return nil
}

func notFound(op string, h Hash) error { return fault.New(fault.CallerNotFound, op, h.String(), nil) }

func corrupt(h Hash) error {
	return fault.New(fault.HostDiskIO, "blob get", h.String(), errors.New("the stored bytes do not verify"))
}
