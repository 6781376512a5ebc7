package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/db/failpoint"
)

// Entry is one entry of the index.
type Entry struct {
	Key        artifacts.Key
	Meta       artifacts.Meta     // without the lists of imports and exports, which Describe has
	Bytes      int64              // what Put returned: parts, description and record; 0 for a failure
	Failure    *artifacts.Failure // for a failed preparation, in place of Meta
	LastNeeded time.Time
	Pins       []string
	Absent     bool // pins and nothing else: the artifact was lost to damage, or was never stored
}

// index is what Index finds.
type index struct {
	entries  []Entry
	sizes    map[artifacts.Key]int64
	live     map[uint64]bool // writes whose chunks are needed
	written  []uint64        // all writes of which there are chunks
	needed   map[artifacts.Key]time.Time
	pins     map[artifacts.Key][]string
	failures map[artifacts.Key]time.Time
	foreign  []artifacts.Key // made by another build
	unusable [][]byte
}

// Index returns what can be served, and sweeps the rest: artifacts of another build with their pins, damaged records,
// touches of what is not there, and chunks of writes that never ended. A pin whose artifact was lost otherwise stays, since
// it was somebody's wish: it holds for the artifact that is prepared next.
//
// Until it has succeeded once, Put and PutFailure write nothing: a write could take the number of one that is there, and
// the limits of size would not know of what is on disk.
func (s *Store) Index(ctx context.Context) ([]Entry, error) {
	s.write.Lock()
	defer s.write.Unlock()
	x, err := s.readIndex(ctx)
	if err != nil {
		if s.unindexed != nil {
			s.unindexed = err
		}
		return nil, err
	}
	s.unindexed, s.failures = nil, x.failures
	// What cannot be swept now is swept by a later Flush or at the next start; until then it is only space. Pins go before
	// the records that tell them from those that stay.
	if s.unpin(ctx, x) == nil {
		for _, key := range x.foreign {
			x.unusable = append(x.unusable, name(prefixRecord, key))
		}
	}
	failpoint.Hit("index.read", "store")
	_ = removeKeys(ctx, s.cfg.Cache, x.unusable)
	_ = s.collect()
	return x.withAbsent(), nil
}

// readIndex changes nothing on disk. The artifacts come first: they count whatever fails after that.
func (s *Store) readIndex(ctx context.Context) (*index, error) {
	x := &index{sizes: map[artifacts.Key]int64{}, live: map[uint64]bool{}, needed: map[artifacts.Key]time.Time{}, failures: map[artifacts.Key]time.Time{}}
	for _, read := range []func(context.Context, *index) error{s.indexChunks, s.indexArtifacts, s.indexTouches, s.indexFailures} {
		if err := read(ctx, x); err != nil {
			return nil, err
		}
	}
	var err error
	if x.pins, err = s.Pins(); err != nil {
		return nil, err
	}
	for key := range x.needed {
		if _, stored := x.sizes[key]; !stored {
			x.unusable = append(x.unusable, name(prefixTouch, key))
		}
	}
	for i := range x.entries {
		e := &x.entries[i]
		e.Pins = x.pins[e.Key]
		if at, touched := x.needed[e.Key]; touched && e.Failure == nil {
			e.LastNeeded = at
		}
	}
	return x, nil
}

// account makes what is on disk count.
func (s *Store) account(x *index) {
	s.garbage = slices.DeleteFunc(x.written, func(id uint64) bool { return x.live[id] })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, s.bytes = x.sizes, 0
	for _, n := range x.sizes {
		s.bytes += n
	}
}

func (s *Store) indexTouches(_ context.Context, x *index) error {
	return s.cfg.Cache.Scan([]byte{prefixTouch}, func(k, v []byte) error {
		key, ok := keyOf(k)
		if !ok || len(v) != 8 {
			x.unusable = append(x.unusable, slices.Clone(k))
			return nil
		}
		x.needed[key] = time.Unix(0, int64(binary.BigEndian.Uint64(v)))
		return nil
	})
}

func (s *Store) indexArtifacts(ctx context.Context, x *index) error {
	err := s.cfg.Cache.Scan([]byte{prefixRecord}, func(k, v []byte) error {
		key, ok := keyOf(k)
		r, err := s.openRecord(key, v)
		switch {
		case ok && errors.Is(err, errForeign):
			x.foreign = append(x.foreign, key)
		case !ok || err != nil:
			x.unusable = append(x.unusable, slices.Clone(k))
		default:
			x.sizes[key], x.live[r.ID] = r.bytes()+int64(len(v)), true
			s.nextID = max(s.nextID, r.ID+1) // its chunks may be lost
			x.entries = append(x.entries, Entry{Key: key, Meta: r.Meta, Bytes: x.sizes[key], LastNeeded: r.Meta.PreparedAt})
		}
		return ctx.Err()
	})
	if err != nil {
		return fault.From(err)
	}
	s.account(x)
	return nil
}

func (s *Store) indexFailures(_ context.Context, x *index) error {
	return s.cfg.Cache.Scan([]byte{prefixFailure}, func(k, v []byte) error {
		key, ok := keyOf(k)
		body, err := s.unseal(prefixFailure, key, v)
		var f artifacts.Failure
		if _, stored := x.sizes[key]; !ok || stored || err != nil || json.Unmarshal(body, &f) != nil {
			x.unusable = append(x.unusable, slices.Clone(k))
			return nil
		}
		x.entries = append(x.entries, Entry{Key: key, Failure: &f, LastNeeded: f.At})
		x.failures[key] = f.At
		return nil
	})
}

func (s *Store) indexChunks(_ context.Context, x *index) error {
	return s.cfg.Cache.Groups([]byte{prefixChunk}, 9, func(group []byte) {
		id := binary.BigEndian.Uint64(group[1:])
		s.nextID = max(s.nextID, id+1)
		x.written = append(x.written, id)
	})
}

// unpin removes the pins of what another build made: with this one the same code has another key.
func (s *Store) unpin(ctx context.Context, x *index) error {
	var names [][]byte
	for _, key := range x.foreign {
		for _, tenant := range x.pins[key] {
			names = append(names, pinName(tenant, key))
		}
		delete(x.pins, key)
	}
	return removeKeys(ctx, s.cfg.State, names)
}

// withAbsent returns the entries, and one for each artifact that is pinned and not there.
func (x *index) withAbsent() []Entry {
	have := map[artifacts.Key]bool{}
	for _, e := range x.entries {
		have[e.Key] = true
	}
	for key, tenants := range x.pins {
		if !have[key] {
			x.entries = append(x.entries, Entry{Key: key, Pins: tenants, Absent: true})
		}
	}
	return x.entries
}

// Pin keeps a pin of a tenant, or removes it. It is on disk when Pin returns.
func (s *Store) Pin(ctx context.Context, tenant string, key artifacts.Key, off bool) error {
	k := pinName(tenant, key)
	if off {
		return s.cfg.State.Remove(ctx, k)
	}
	return s.cfg.State.Write(ctx, db.Op{Key: k, Value: []byte{1}})
}

// Pins returns the tenants that pin each artifact.
func (s *Store) Pins() (map[artifacts.Key][]string, error) {
	pins := map[artifacts.Key][]string{}
	err := s.cfg.State.Scan([]byte{prefixPin}, func(k, _ []byte) error {
		if len(k) > 33 {
			key := artifacts.Key(k[1:33])
			pins[key] = append(pins[key], string(k[33:]))
		}
		return nil
	})
	return pins, err
}

func pinName(tenant string, key artifacts.Key) []byte { return append(name(prefixPin, key), tenant...) }
