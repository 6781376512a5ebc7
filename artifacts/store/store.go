package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/db/failpoint"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// Config is what a store needs.
type Config struct {
	Cache       *db.DB          // artifacts
	State       *db.DB          // pins
	HostKey     []byte          // keys the MACs
	Build       artifacts.Build // artifacts of another one are misses
	MemoryBytes int64           // sealed files kept ready, in whole pages
	MaxFiles    int             // of them, since each takes a descriptor; 0: no limit
	MaxFailures int             // failures remembered, the oldest go; default 4096
}

// Key prefixes in the database "cache", in this order: what is written together lies together, and chunks of a newer
// write come after all older ones, so that compaction hardly ever rewrites an artifact and a drop touches few tables.
const (
	prefixChunk   = 'c' // write, part, number -> bytes
	prefixFailure = 'f' // artifact key -> sealed failure
	prefixRecord  = 'm' // artifact key -> sealed record
	prefixTouch   = 't' // artifact key -> when it was needed last
	prefixPin     = 'p' // in "state": artifact key, tenant -> nothing

	maxTouches     = 256      // remembered before they are written
	dropAfter      = 16 << 20 // bytes deleted before the database is asked to give them back
	maxDrop        = 256      // writes dropped at a time
	maxRemove      = 1024     // keys removed at a time
	maxDescription = 16 << 20 // bytes
	chunksPerWrite = 2
	maxFailures    = 4096
)

// Store keeps artifacts.
type Store struct {
	cfg     Config
	keyName []byte // names the host key in each sealed value

	write     sync.Mutex // held by operations that write; taken before mu
	unindexed error      // why Index has not succeeded; nil once it has
	nextID    uint64
	garbage   []uint64 // writes whose chunks nobody needs
	wasted    int64    // bytes in them
	failures  map[artifacts.Key]time.Time
	buf       []byte // chunks on their way to the database

	mu      sync.Mutex
	memory  lru
	reading map[artifacts.Key]chan struct{} // closed when the read that is under way ends
	touches map[artifacts.Key]time.Time
	entries map[artifacts.Key]int64 // bytes of what is on disk
	bytes   int64                   // the sum
}

// Open starts a store. Index must be called before anything else: it sweeps what cannot be used, and lets Put write.
func Open(cfg Config) *Store {
	if cfg.MaxFailures == 0 {
		cfg.MaxFailures = maxFailures
	}
	s := &Store{cfg: cfg, unindexed: errors.New("it was not read"), failures: map[artifacts.Key]time.Time{}, buf: make([]byte, chunksPerWrite*db.MaxValue),
		reading: map[artifacts.Key]chan struct{}{}, touches: map[artifacts.Key]time.Time{}, entries: map[artifacts.Key]int64{}}
	s.keyName = s.mac(0, artifacts.Key{}, nil)[:macAt]
	s.memory.max, s.memory.maxFiles = cfg.MemoryBytes, cfg.MaxFiles
	return s
}

// Put stores an artifact and keeps it ready in memory, and returns the bytes that it takes on disk: its parts, its
// description and its record. The parts stay the caller's. On an error nothing is on disk, and the artifact is served
// from memory as long as it stays there; so it is, without an error, with memoryOnly.
//
// # Errors
//
// busy.disk_space when the disk allows no more, host.disk_* (host.disk_io as long as Index has not succeeded),
// host.out_of_memory.
func (s *Store) Put(ctx context.Context, m artifacts.Meta, parts map[string]*sealed.File, memoryOnly bool) (stored int64, err error) {
	for _, p := range m.Parts {
		if f := parts[p.Name]; f == nil || f.Size() != p.Bytes {
			return 0, fault.New(fault.BugProtocol, "store put", p.Name, errors.New("a part is missing or has another size"))
		}
	}
	s.mu.Lock()
	s.memory.add(m, parts)
	s.mu.Unlock()
	if memoryOnly {
		return 0, nil
	}
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.indexed("store put", m.Key); err != nil {
		return 0, err
	}
	old, oldErr := s.record(m.Key)
	r, err := s.putParts(ctx, m, parts)
	failpoint.Hit("put.parts", "store")
	if err == nil {
		value := s.seal(prefixRecord, m.Key, r)
		stored = r.bytes() + int64(len(value))
		err = s.cfg.Cache.Write(ctx,
			db.Op{Key: name(prefixRecord, m.Key), Value: value},
			db.Op{Key: name(prefixTouch, m.Key), Value: stamp(m.PreparedAt)},
			db.Op{Key: name(prefixFailure, m.Key), Delete: true})
	}
	if err != nil {
		s.waste(r)
		return 0, err
	}
	delete(s.failures, m.Key)
	if oldErr == nil {
		s.waste(old)
	}
	s.mu.Lock()
	s.bytes += stored - s.entries[m.Key]
	s.entries[m.Key] = stored
	s.mu.Unlock()
	if s.wasted >= dropAfter {
		_ = s.collect() // the artifact is stored; Flush tries again
	}
	return stored, nil
}

// indexed returns why nothing may be written, nil if it may. The caller holds write.
func (s *Store) indexed(op string, key artifacts.Key) error {
	if s.unindexed == nil {
		return nil
	}
	return fault.New(fault.HostDiskIO, op, key.String(), fmt.Errorf("the index could not be read: %w", s.unindexed)).
		WithHint("nothing is stored until the index has been read; check the disk, then restart the host")
}

// Get returns an artifact, verified. A damaged one is dropped.
//
// # Errors
//
// host.artifact_missing, host.artifact_corrupt, host.out_of_memory.
func (s *Store) Get(ctx context.Context, key artifacts.Key) (*Handle, error) {
	for {
		s.mu.Lock()
		if h := s.memory.get(s, key); h != nil {
			s.mu.Unlock()
			return h, nil
		}
		underWay := s.reading[key]
		if underWay == nil {
			underWay = make(chan struct{})
			s.reading[key] = underWay
			s.mu.Unlock()
			return s.load(ctx, key, underWay)
		}
		s.mu.Unlock()
		select {
		case <-underWay: // its reader put it into memory, or this one finds out why not
		case <-ctx.Done():
			return nil, fault.From(ctx.Err())
		}
	}
}

// Describe returns the whole description of an artifact, verified: from memory if the artifact is there, else from disk. A
// damaged one is dropped.
//
// # Errors
//
// host.artifact_missing, host.artifact_corrupt.
func (s *Store) Describe(ctx context.Context, key artifacts.Key) (artifacts.Meta, error) {
	s.mu.Lock()
	m, ok := s.memory.meta(key)
	s.mu.Unlock()
	if ok {
		return m, nil
	}
	r, err := s.record(key)
	if err == nil {
		m, err = s.describe(ctx, key, r)
	}
	if errors.Is(err, fault.HostArtifactCorrupt) {
		err = s.forget(key, r.ID, err)
	}
	if err != nil {
		return artifacts.Meta{}, err
	}
	return m, nil
}

// load reads an artifact into memory; nobody else reads it meanwhile.
func (s *Store) load(ctx context.Context, key artifacts.Key, underWay chan struct{}) (h *Handle, err error) {
	id, meta, parts, err := s.read(ctx, key)
	s.mu.Lock()
	if err == nil {
		s.memory.add(meta, parts)
		h = s.memory.get(s, key)
	}
	delete(s.reading, key)
	close(underWay)
	s.mu.Unlock()
	release(parts)
	if errors.Is(err, fault.HostArtifactCorrupt) {
		return nil, s.forget(key, id, err)
	}
	return h, err
}

// forget drops an artifact of which the write id did not verify. Was it deleted or written again meanwhile, it is only
// missing.
func (s *Store) forget(key artifacts.Key, id uint64, why error) error {
	s.write.Lock()
	defer s.write.Unlock()
	r, err := s.record(key)
	if errors.Is(err, fault.HostArtifactMissing) || err == nil && r.ID != id {
		return missing(key, why)
	}
	// A database that is not written any more keeps the record, which counts; what it says is still never served.
	if s.cfg.Cache.Remove(context.Background(), name(prefixRecord, key), name(prefixTouch, key)) == nil {
		s.waste(r)
		s.unlist(key)
	}
	return why
}

func (s *Store) unlist(key artifacts.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= s.entries[key]
	delete(s.entries, key)
	delete(s.touches, key)
}

// Verify reads an artifact from disk and checks all of it, whatever is in memory. A damaged one is dropped.
func (s *Store) Verify(ctx context.Context, key artifacts.Key) error {
	id, _, parts, err := s.read(ctx, key)
	release(parts)
	if errors.Is(err, fault.HostArtifactCorrupt) {
		return s.forget(key, id, err)
	}
	return err
}

// PutFailure remembers a failed preparation.
func (s *Store) PutFailure(ctx context.Context, key artifacts.Key, f artifacts.Failure) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.indexed("store failure", key); err != nil {
		return err
	}
	ops := []db.Op{{Key: name(prefixFailure, key), Value: s.seal(prefixFailure, key, f)}}
	var oldest artifacts.Key
	if _, known := s.failures[key]; !known && len(s.failures) >= s.cfg.MaxFailures {
		for k, at := range s.failures {
			if oldest.IsZero() || at.Before(s.failures[oldest]) {
				oldest = k
			}
		}
		ops = append(ops, db.Op{Key: name(prefixFailure, oldest), Delete: true})
	}
	if err := s.cfg.Cache.Write(ctx, ops...); err != nil {
		return err
	}
	delete(s.failures, oldest)
	s.failures[key] = f.At
	return nil
}

// KeptError says what Delete could not remove. All else is gone.
type KeptError struct {
	Keys []artifacts.Key
	Err  error
}

// Error names the cause and the number.
func (e *KeptError) Error() string {
	return fmt.Sprintf("%d artifacts are kept: %v", len(e.Keys), e.Err)
}

// Unwrap returns the cause.
func (e *KeptError) Unwrap() error { return e.Err }

// Delete removes artifacts and failures. The records go first; what is left after a crash is swept at the next start.
//
// # Errors
//
// A *KeptError with the keys that are still on disk, and count; the others are gone, as after a Delete of their own.
func (s *Store) Delete(ctx context.Context, keys ...artifacts.Key) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	for _, key := range keys {
		s.memory.drop(key)
	}
	s.mu.Unlock()
	for len(keys) > 0 {
		n := min(len(keys), maxRemove/3)
		if err := s.deleteBatch(ctx, keys[:n]); err != nil {
			return s.kept(keys, err)
		}
		keys = keys[n:]
	}
	if s.wasted >= dropAfter {
		_ = s.collect() // all are gone; Flush tries again
	}
	return nil
}

// deleteBatch removes all or none. The caller holds write.
func (s *Store) deleteBatch(ctx context.Context, keys []artifacts.Key) error {
	var gone []record
	var names [][]byte
	for _, key := range keys {
		if r, err := s.record(key); err == nil {
			gone = append(gone, r)
		}
		names = append(names, name(prefixRecord, key), name(prefixFailure, key), name(prefixTouch, key))
	}
	if err := s.cfg.Cache.Remove(ctx, names...); err != nil {
		return err
	}
	failpoint.Hit("delete.records", "store")
	for _, key := range keys {
		delete(s.failures, key)
		s.unlist(key)
	}
	for _, r := range gone {
		s.waste(r)
	}
	return nil
}

// kept returns the error of a Delete; that nothing was removed where nothing was is none. The caller holds write.
func (s *Store) kept(keys []artifacts.Key, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &KeptError{Err: err}
	for _, key := range keys {
		_, stored := s.entries[key]
		if _, failed := s.failures[key]; stored || failed {
			e.Keys = append(e.Keys, key)
		}
	}
	if len(e.Keys) == 0 {
		return nil
	}
	return e
}

func removeKeys(ctx context.Context, from *db.DB, keys [][]byte) error {
	for part := range slices.Chunk(keys, maxRemove) {
		if err := from.Remove(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// waste marks the chunks of a write as useless. The caller holds write.
func (s *Store) waste(r record) {
	if r.ID > 0 {
		s.garbage = append(s.garbage, r.ID)
		s.wasted += r.bytes()
	}
}

// collect has the database give the space of useless chunks back. The caller holds write.
func (s *Store) collect() error {
	for len(s.garbage) > 0 {
		n := min(len(s.garbage), maxDrop)
		prefixes := make([][]byte, n)
		for i, id := range s.garbage[:n] {
			prefixes[i] = chunks(id)
		}
		if err := s.cfg.Cache.Drop(prefixes...); err != nil {
			return err
		}
		s.garbage = slices.Delete(s.garbage, 0, n)
	}
	s.wasted = 0
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

// Flush writes what Touch remembered, and gives back the space of what was deleted.
func (s *Store) Flush(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	return errors.Join(s.flushTouches(ctx), s.collect())
}

func (s *Store) flushTouches(ctx context.Context) error {
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

// Stats returns what the store holds.
func (s *Store) Stats() inspect.Store {
	disk := s.cfg.Cache.DiskBytes()
	s.mu.Lock()
	defer s.mu.Unlock()
	return inspect.Store{Entries: len(s.entries), Bytes: s.bytes, MemoryBytes: s.memory.size, DiskBytes: disk}
}

// Close writes what is remembered and gives up the files in memory. Handles stay good until they are closed.
func (s *Store) Close(ctx context.Context) error {
	s.write.Lock()
	defer s.write.Unlock()
	err := s.flushTouches(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.clear()
	return err
}
