package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// Config is what a store needs.
type Config struct {
	Cache       *db.DB          // artifacts
	State       *db.DB          // pins
	HostKey     []byte          // keys the MAC
	Build       artifacts.Build // artifacts of another one are misses
	MemoryBytes int64           // sealed files kept ready
}

// Key prefixes in the database "cache". A chunk is named by the id of its write, so that a second write of an artifact
// never mixes with the first.
const (
	prefixRecord  = 'm' // key -> MAC, record
	prefixChunk   = 'c' // id, part, number -> bytes
	prefixFailure = 'f' // key -> failure
	prefixTouch   = 't' // key -> when it was needed last
	prefixPin     = 'p' // in "state": key, tenant -> nothing

	maxTouches    = 256      // remembered before they are written
	compactAfter  = 8 << 20 // bytes deleted before the database is asked to give them back
	maxRecord     = 1 << 20  // bytes
	chunksPerStep = db.MaxWrite/db.MaxValue - 1
)

// Store keeps artifacts.
type Store struct {
	cfg Config

	write   sync.Mutex // held by operations that write
	deleted int64      // bytes since the last compaction

	mu      sync.Mutex
	memory  lru
	touches map[artifacts.Key]time.Time
	entries map[artifacts.Key]int64 // bytes of what is on disk
}

// record is what stands behind the MAC.
type record struct {
	ID   [8]byte        `json:"id"`
	Meta artifacts.Meta `json:"meta"`
}

// Open starts a store. Index must be called before anything else: it sweeps what cannot be used.
func Open(cfg Config) *Store {
	return &Store{cfg: cfg, memory: lru{max: cfg.MemoryBytes}, touches: map[artifacts.Key]time.Time{}, entries: map[artifacts.Key]int64{}}
}

// Entry is one entry of the index.
type Entry struct {
	Key        artifacts.Key
	Meta       artifacts.Meta
	Failure    *artifacts.Failure // for a failed preparation, in place of Meta
	LastNeeded time.Time
	Pins       []string
}

// Index returns what can be served, and sweeps the rest: artifacts of another build, damaged records, and chunks of
// writes that never ended.
func (s *Store) Index(ctx context.Context) ([]Entry, error) {
	s.write.Lock()
	defer s.write.Unlock()
	needed, err := s.scanTouches()
	if err != nil {
		return nil, err
	}
	pins, err := s.scanPins()
	if err != nil {
		return nil, err
	}
	var out []Entry
	var drop [][]byte
	live := map[[8]byte]bool{}
	sizes := map[artifacts.Key]int64{}
	err = s.cfg.Cache.Scan([]byte{prefixRecord}, true, func(k, v []byte) error {
		key, ok := keyOf(k)
		r, err := s.open(key, v)
		if !ok || err != nil || r.Meta.Build != s.cfg.Build {
			drop = append(drop, slices.Clone(k))
			return nil
		}
		live[r.ID] = true
		sizes[key] = r.Meta.Bytes()
		e := Entry{Key: key, Meta: r.Meta, LastNeeded: needed[key], Pins: pins[key]}
		if e.LastNeeded.IsZero() {
			e.LastNeeded = r.Meta.PreparedAt
		}
		out = append(out, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.cfg.Cache.Scan([]byte{prefixFailure}, true, func(k, v []byte) error {
		key, ok := keyOf(k)
		var f artifacts.Failure
		if !ok || json.Unmarshal(v, &f) != nil {
			drop = append(drop, slices.Clone(k))
			return nil
		}
		out = append(out, Entry{Key: key, Failure: &f, LastNeeded: f.At})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.cfg.Cache.Scan([]byte{prefixChunk}, false, func(k, _ []byte) error {
		if len(k) < 9 || !live[[8]byte(k[1:9])] {
			drop = append(drop, slices.Clone(k))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.entries = sizes
	s.mu.Unlock()
	// What cannot be swept now is swept at the next start; until then it is only space.
	_ = s.removeKeys(ctx, drop)
	return out, nil
}

func (s *Store) scanTouches() (map[artifacts.Key]time.Time, error) {
	needed := map[artifacts.Key]time.Time{}
	err := s.cfg.Cache.Scan([]byte{prefixTouch}, true, func(k, v []byte) error {
		if key, ok := keyOf(k); ok && len(v) == 8 {
			needed[key] = time.Unix(0, int64(binary.BigEndian.Uint64(v)))
		}
		return nil
	})
	return needed, err
}

func (s *Store) scanPins() (map[artifacts.Key][]string, error) {
	pins := map[artifacts.Key][]string{}
	err := s.cfg.State.Scan([]byte{prefixPin}, false, func(k, _ []byte) error {
		if len(k) > 33 {
			key := artifacts.Key(k[1:33])
			pins[key] = append(pins[key], string(k[33:]))
		}
		return nil
	})
	return pins, err
}

// Put stores an artifact and keeps it ready in memory. The parts stay the caller's. On an error nothing is on disk, and
// the artifact is served from memory as long as it stays there.
func (s *Store) Put(ctx context.Context, m artifacts.Meta, parts map[string]*sealed.File, memoryOnly bool) error {
	s.write.Lock()
	defer s.write.Unlock()
	for _, p := range m.Parts {
		if f := parts[p.Name]; f == nil || f.Size() != p.Bytes {
			return fault.New(fault.BugProtocol, "store put", p.Name, errors.New("a part is missing or has another size"))
		}
	}
	s.mu.Lock()
	s.memory.add(m, parts)
	s.mu.Unlock()
	if memoryOnly {
		return nil
	}
	r := record{Meta: m}
	_, _ = rand.Read(r.ID[:])
	if err := s.putChunks(ctx, r, parts); err != nil {
		_ = s.removeChunks(ctx, r)
		return err
	}
	body, err := json.Marshal(r)
	if err != nil || len(body) > maxRecord {
		return fault.New(fault.BugProtocol, "store put", m.Key.String(), err)
	}
	err = s.cfg.Cache.Write(ctx,
		db.Op{Key: name(prefixRecord, m.Key), Value: append(s.mac(m.Key, body), body...)},
		db.Op{Key: name(prefixTouch, m.Key), Value: stamp(m.PreparedAt)},
		db.Op{Key: name(prefixFailure, m.Key), Delete: true})
	if err != nil {
		_ = s.removeChunks(ctx, r)
		return err
	}
	s.mu.Lock()
	s.entries[m.Key] = m.Bytes()
	s.mu.Unlock()
	return nil
}

func (s *Store) putChunks(ctx context.Context, r record, parts map[string]*sealed.File) error {
	var ops []db.Op
	flush := func() error {
		err := s.cfg.Cache.Write(ctx, ops...)
		ops = ops[:0]
		return err
	}
	for n, p := range r.Meta.Parts {
		for at := int64(0); at < p.Bytes; at += db.MaxValue {
			b := make([]byte, min(db.MaxValue, p.Bytes-at))
			if _, err := parts[p.Name].ReadAt(b, at); err != nil {
				return fault.New(fault.HostMemory, "store put", p.Name, err)
			}
			ops = append(ops, db.Op{Key: chunk(r.ID, n, at/db.MaxValue), Value: b})
			if len(ops) >= chunksPerStep {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// Handle is an artifact in use.
type Handle struct {
	Meta  artifacts.Meta
	parts map[string]*sealed.File
}

// Part returns a part; it stays the handle's.
func (h *Handle) Part(name string) *sealed.File { return h.parts[name] }

// Close gives the artifact back.
func (h *Handle) Close() {
	for _, f := range h.parts {
		f.Release()
	}
	h.parts = nil
}

// Get returns an artifact, verified.
//
// # Errors
//
// host.artifact_missing, host.artifact_corrupt, host.disk_io, host.out_of_memory.
func (s *Store) Get(ctx context.Context, key artifacts.Key) (*Handle, error) {
	if h := s.resident(key); h != nil {
		return h, nil
	}
	meta, parts, err := s.read(ctx, key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.memory.add(meta, parts)
	s.mu.Unlock()
	return &Handle{Meta: meta, parts: parts}, nil
}

func (s *Store) resident(key artifacts.Key) *Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.get(key)
}

// read materialises an artifact from disk and verifies it.
func (s *Store) read(ctx context.Context, key artifacts.Key) (artifacts.Meta, map[string]*sealed.File, error) {
	r, err := s.record(key)
	if err != nil {
		return artifacts.Meta{}, nil, err
	}
	parts := map[string]*sealed.File{}
	for n, p := range r.Meta.Parts {
		f, err := s.readPart(ctx, key, r.ID, n, p)
		if err != nil {
			(&Handle{parts: parts}).Close()
			return artifacts.Meta{}, nil, err
		}
		parts[p.Name] = f
	}
	return r.Meta, parts, nil
}

func (s *Store) record(key artifacts.Key) (record, error) {
	var r record
	err := s.cfg.Cache.Get(name(prefixRecord, key), func(v []byte) (err error) {
		r, err = s.open(key, v)
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return r, missing(key, nil)
	case errors.Is(err, fault.HostDiskIO): // a checksum of the database
		return r, corrupt(key, err)
	case err != nil:
		return r, err
	case r.Meta.Build != s.cfg.Build:
		return r, missing(key, errors.New("made by another build"))
	}
	return r, nil
}

func (s *Store) readPart(ctx context.Context, key artifacts.Key, id [8]byte, n int, p artifacts.Part) (*sealed.File, error) {
	sum := sha256.New()
	f, err := sealed.Create("troupe-"+p.Name, func(w *os.File) error {
		out := io.MultiWriter(w, sum)
		for at := int64(0); at < p.Bytes; at += db.MaxValue {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := s.cfg.Cache.Get(chunk(id, n, at/db.MaxValue), func(v []byte) error {
				if int64(len(v)) != min(db.MaxValue, p.Bytes-at) {
					return corrupt(key, errors.New("a chunk has another length"))
				}
				_, err := out.Write(v)
				return err
			})
			if errors.Is(err, db.ErrNotFound) || errors.Is(err, fault.HostDiskIO) {
				return corrupt(key, err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if [32]byte(sum.Sum(nil)) != p.SHA256 {
		f.Release()
		return nil, corrupt(key, errors.New("digest of part "+p.Name))
	}
	return f, nil
}

// open checks the MAC of a record and decodes it.
func (s *Store) open(key artifacts.Key, v []byte) (record, error) {
	var r record
	if len(v) < sha256.Size || !hmac.Equal(v[:sha256.Size], s.mac(key, v[sha256.Size:])) {
		return r, corrupt(key, errors.New("MAC of the record"))
	}
	if err := json.Unmarshal(v[sha256.Size:], &r); err != nil {
		return r, corrupt(key, err)
	}
	r.Meta.Key = key
	return r, nil
}

func (s *Store) mac(key artifacts.Key, body []byte) []byte {
	h := hmac.New(sha256.New, s.cfg.HostKey)
	h.Write([]byte("troupe artifact record v1"))
	h.Write(key[:])
	h.Write(body)
	return h.Sum(nil)
}

// Verify reads an artifact from disk and checks all of it, whatever is in memory.
func (s *Store) Verify(ctx context.Context, key artifacts.Key) error {
	_, parts, err := s.read(ctx, key)
	(&Handle{parts: parts}).Close()
	return err
}

// PutFailure remembers a failed preparation.
func (s *Store) PutFailure(ctx context.Context, key artifacts.Key, f artifacts.Failure) error {
	s.write.Lock()
	defer s.write.Unlock()
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return s.cfg.Cache.Write(ctx, db.Op{Key: name(prefixFailure, key), Value: b})
}

// Delete removes artifacts and failures. The record goes first: what is left after a crash is swept at the next start.
func (s *Store) Delete(ctx context.Context, keys ...artifacts.Key) error {
	s.write.Lock()
	defer s.write.Unlock()
	var errs []error
	for _, key := range keys {
		s.mu.Lock()
		s.memory.drop(key)
		delete(s.touches, key)
		delete(s.entries, key)
		s.mu.Unlock()
		r, err := s.record(key)
		errs = append(errs, s.cfg.Cache.Remove(ctx, name(prefixRecord, key), name(prefixFailure, key), name(prefixTouch, key)))
		if err == nil {
			errs = append(errs, s.removeChunks(ctx, r))
		}
	}
	if s.deleted >= compactAfter {
		s.deleted = 0
		errs = append(errs, s.cfg.Cache.Compact())
		// A compaction leaves buffers of several tables behind. Without this the heap follows the write rate.
		debug.FreeOSMemory()
	}
	return errors.Join(errs...)
}

func (s *Store) removeChunks(ctx context.Context, r record) error {
	var keys [][]byte
	for n, p := range r.Meta.Parts {
		for at := int64(0); at < p.Bytes; at += db.MaxValue {
			keys = append(keys, chunk(r.ID, n, at/db.MaxValue))
		}
	}
	s.deleted += r.Meta.Bytes()
	return s.removeKeys(ctx, keys)
}

func (s *Store) removeKeys(ctx context.Context, keys [][]byte) error {
	for part := range slices.Chunk(keys, 1024) {
		if err := s.cfg.Cache.Remove(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// Touch remembers that an artifact was needed. It is written later, since losing it costs nothing but order.
func (s *Store) Touch(key artifacts.Key, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.touches) < maxTouches || !s.touches[key].IsZero() {
		s.touches[key] = now
	}
}

// Flush writes what Touch remembered.
func (s *Store) Flush(ctx context.Context) error {
	s.mu.Lock()
	ops := make([]db.Op, 0, len(s.touches))
	for k, t := range s.touches {
		if _, onDisk := s.entries[k]; onDisk {
			ops = append(ops, db.Op{Key: name(prefixTouch, k), Value: stamp(t)})
		}
	}
	clear(s.touches)
	s.mu.Unlock()
	if len(ops) == 0 {
		return nil
	}
	return s.cfg.Cache.Write(ctx, ops...)
}

// Pin keeps a pin of a tenant, or removes it. It is on disk when Pin returns.
func (s *Store) Pin(ctx context.Context, tenant string, key artifacts.Key, off bool) error {
	k := append(name(prefixPin, key), tenant...)
	if off {
		return s.cfg.State.Remove(ctx, k)
	}
	return s.cfg.State.Write(ctx, db.Op{Key: k, Value: []byte{1}})
}

// Stats returns what the store holds.
func (s *Store) Stats() inspect.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := inspect.Store{Entries: len(s.entries), MemoryBytes: s.memory.size}
	for _, n := range s.entries {
		st.Bytes += n
	}
	return st
}

// Close writes what is remembered and gives up the files in memory.
func (s *Store) Close(ctx context.Context) error {
	err := s.Flush(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.clear()
	return err
}

func missing(key artifacts.Key, why error) error {
	return fault.New(fault.HostArtifactMissing, "store get", key.String(), why)
}

func corrupt(key artifacts.Key, why error) error {
	return fault.New(fault.HostArtifactCorrupt, "store get", key.String(), why)
}

func name(prefix byte, key artifacts.Key) []byte { return append([]byte{prefix}, key[:]...) }

func keyOf(name []byte) (artifacts.Key, bool) {
	if len(name) != 33 {
		return artifacts.Key{}, false
	}
	return artifacts.Key(name[1:]), true
}

func chunk(id [8]byte, part int, n int64) []byte {
	k := append([]byte{prefixChunk}, id[:]...)
	k = append(k, byte(part))
	return binary.BigEndian.AppendUint32(k, uint32(n))
}

func stamp(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())) }
