package state

import (
	"bytes"
	"slices"
	"strings"
)

// Source is the committed state.
type Source interface {
	// Get returns the value of a key, nil if there is none: an empty value is not nil. The caller must not change it.
	Get(key []byte) ([]byte, error)
	// Scan calls use with the keys under a prefix that are greater than after (nil: all), in order, until use says no.
	Scan(prefix, after []byte, use func(key, value []byte) bool) error
}

// Change is what a block did to a key.
type Change struct {
	Key      []byte
	Old, New []byte // nil: there was or is none
}

// Bounds of what a Store takes: a chain must be able to keep it.
const (
	MaxKeyBytes   = 1 << 10
	MaxValueBytes = 192 << 10
)

// itemBytes is how much of each key names its item.
const itemBytes = 32

type entry struct{ old, now []byte }

type undo struct {
	key  string
	prev []byte
	was  bool // there was an entry
}

// Store is the state as a block changes it.
type Store struct {
	base  Source
	items map[string]map[string]*entry // by the first itemBytes of the key
	log   []undo
	large int // the place in the log of the first change that is too large, from 1 on; 0: none is
	err   error
}

// NewStore returns a view of the committed state.
func NewStore(base Source) *Store {
	return &Store{base: base, items: map[string]map[string]*entry{}}
}

// Err returns the first failure of the Source.
func (s *Store) Err() error { return s.err }

// Fail remembers a failure: the block must not be committed.
func (s *Store) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func item(key []byte) string { return string(key[:min(len(key), itemBytes)]) }

func (s *Store) entry(key []byte) *entry {
	return s.items[string(key[:min(len(key), itemBytes)])][string(key)]
}

// Get returns the value of a key, nil if there is none. The caller must not change it.
func (s *Store) Get(key []byte) []byte {
	if e := s.entry(key); e != nil {
		return e.now
	}
	return s.committed(key)
}

func (s *Store) committed(key []byte) []byte {
	v, err := s.base.Get(key)
	if err != nil {
		s.Fail(err)
		return nil
	}
	return v
}

// Put sets the value of a key, which then belongs to the Store; nil removes the key. What is above the bounds is taken, and makes
// TooLarge say so.
func (s *Store) Put(key, value []byte) {
	in := s.items[item(key)]
	if in == nil {
		in = map[string]*entry{}
		s.items[item(key)] = in
	}
	e := in[string(key)]
	if e == nil {
		e = &entry{old: s.committed(key)}
		in[string(key)] = e
		s.log = append(s.log, undo{key: string(key)})
	} else {
		s.log = append(s.log, undo{key: string(key), prev: e.now, was: true})
	}
	e.now = value
	if s.large == 0 && (len(key) > MaxKeyBytes || len(value) > MaxValueBytes) {
		s.large = len(s.log)
	}
}

// TooLarge says whether something that was put, and was not undone, is above the bounds.
func (s *Store) TooLarge() bool { return s.large > 0 }

// Mark returns a point to which Revert can go back.
func (s *Store) Mark() int { return len(s.log) }

// Revert undoes what was done since Mark returned mark.
func (s *Store) Revert(mark int) {
	for _, u := range slices.Backward(s.log[mark:]) {
		in := s.items[item([]byte(u.key))]
		if u.was {
			in[u.key].now = u.prev
		} else {
			delete(in, u.key)
		}
	}
	s.log = s.log[:mark]
	if s.large > mark {
		s.large = 0
	}
}

// Each calls use with the keys under a prefix of at least an item that are greater than after (nil: all), in order, until use says
// no. use must not change the Store.
func (s *Store) Each(prefix, after []byte, use func(key, value []byte) bool) {
	var changed []string
	for k := range s.items[item(prefix)] {
		if strings.HasPrefix(k, string(prefix)) && (after == nil || k > string(after)) {
			changed = append(changed, k)
		}
	}
	slices.Sort(changed)
	in, more := s.items[item(prefix)], true
	until := func(key string) { // the changed ones below it
		for more && len(changed) > 0 && (key == "" || changed[0] < key) {
			if v := in[changed[0]].now; v != nil {
				more = use([]byte(changed[0]), v)
			}
			changed = changed[1:]
		}
	}
	err := s.base.Scan(prefix, after, func(key, value []byte) bool {
		until(string(key))
		if more && len(changed) > 0 && changed[0] == string(key) {
			if v := in[changed[0]].now; v != nil {
				more = use(key, v)
			}
			changed = changed[1:]
		} else if more {
			more = use(key, value)
		}
		return more
	})
	if err != nil {
		s.Fail(err)
		return
	}
	until("")
}

// Changes returns what differs from the committed state, in the order of the keys.
func (s *Store) Changes() []Change {
	var all []Change
	for _, in := range s.items {
		for k, e := range in {
			if !bytes.Equal(e.old, e.now) || (e.old == nil) != (e.now == nil) {
				all = append(all, Change{Key: []byte(k), Old: e.old, New: e.now})
			}
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return all
}
