package devchain

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// source is the committed state. While a block is written it still is that of the block before: what the block changes is
// answered from what it was.
type source struct {
	db    *db.DB
	cache *values

	// view is held by all who read, but for the sequencer; it changes the state under the lock for writing. So nobody sees
	// half a block, and nobody brings into the cache what is old.
	view sync.RWMutex
	// writing is held while a block is written.
	writing sync.Mutex

	mu     sync.RWMutex
	before map[string][]byte // of the block that is being written; nil: none is
}

var errStop = errors.New("enough")

// Get implements state.Source.
func (s *source) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	v, ok := s.before[string(key)]
	s.mu.RUnlock()
	if ok {
		return v, nil
	}
	if v, ok = s.cache.get(key); ok {
		return v, nil
	}
	err := s.db.Get(stateKey(key), func(b []byte) error {
		v = append(make([]byte, 0, len(b)), b...)
		return nil
	})
	if errors.Is(err, db.ErrNotFound) {
		v, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	// Between the look at before and here the sequencer may have begun to write: then v may be new already.
	s.mu.RLock()
	defer s.mu.RUnlock()
	if old, ok := s.before[string(key)]; ok {
		return old, nil
	}
	s.cache.put(string(key), v)
	return v, nil
}

// Scan implements state.Source.
func (s *source) Scan(prefix, after []byte, use func(key, value []byte) bool) error {
	type pair struct {
		key   string
		value []byte
	}
	// What is being written is looked at twice: a write that began in between has changed what is read.
	for {
		olds := s.olds(prefix, after)
		var got []pair
		took, rest := 0, false
		const page = 256
		err := s.db.ScanAfter(stateKey(prefix), stateAfter(after), func(k, v []byte) error {
			if took == page {
				rest = true
				return errStop
			}
			took++
			got = append(got, pair{string(k[len(statePrefix):]), append(make([]byte, 0, len(v)), v...)})
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		if again := s.olds(prefix, after); len(again) != len(olds) {
			continue
		}
		last := ""
		if len(got) > 0 {
			last = got[len(got)-1].key
		}
		merged := got[:0:0]
		for _, p := range got {
			if _, ok := olds[p.key]; !ok {
				merged = append(merged, p)
			}
		}
		for k, v := range olds {
			if v != nil && (!rest || k <= last) {
				merged = append(merged, pair{k, v})
			}
		}
		slices.SortFunc(merged, func(a, b pair) int { return strings.Compare(a.key, b.key) })
		for _, p := range merged {
			if !use([]byte(p.key), p.value) {
				return nil
			}
		}
		if !rest {
			return nil
		}
		after = []byte(last)
	}
}

// olds returns what the block that is being written changes under a prefix behind a key, as it was.
func (s *source) olds(prefix, after []byte) map[string][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var some map[string][]byte
	for k, v := range s.before {
		if strings.HasPrefix(k, string(prefix)) && (after == nil || k > string(after)) {
			if some == nil {
				some = map[string][]byte{}
			}
			some[k] = v
		}
	}
	return some
}

// begin keeps what a block changes as it was.
func (s *source) begin(changes []state.Change) {
	before := make(map[string][]byte, len(changes))
	for _, c := range changes {
		before[string(c.Key)] = c.Old
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// end makes what a block changed the state. The caller holds view.
func (s *source) end(changes []state.Change) {
	for _, c := range changes {
		s.cache.put(string(c.Key), c.New)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = nil
}

// giveUp forgets a block that was not written.
func (s *source) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = nil
}

// values keeps the values that were used last, as many bytes as it may. A key without a value has one: nil.
type values struct {
	mu    sync.Mutex
	max   int64
	bytes int64
	at    map[string]*kept
	ring  kept // next: the newest; prev: the oldest
}

type kept struct {
	key        string
	value      []byte
	next, prev *kept
}

// keptBytes is about what a kept value takes beside its bytes.
const keptBytes = 128

func newValues(max int64) *values {
	v := &values{max: max, at: map[string]*kept{}}
	v.ring.next, v.ring.prev = &v.ring, &v.ring
	return v
}

func (k *kept) size() int64 { return int64(len(k.key)+len(k.value)) + keptBytes }

func (v *values) unlink(k *kept) { k.prev.next, k.next.prev = k.next, k.prev }

func (v *values) front(k *kept) {
	k.next, k.prev = v.ring.next, &v.ring
	k.next.prev, v.ring.next = k, k
}

func (v *values) get(key []byte) ([]byte, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.at[string(key)]
	if k == nil {
		return nil, false
	}
	v.unlink(k)
	v.front(k)
	return k.value, true
}

func (v *values) put(key string, value []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	k := v.at[key]
	if k != nil {
		v.unlink(k)
		v.bytes -= k.size()
		k.value = value
	} else {
		k = &kept{key: key, value: value}
		v.at[key] = k
	}
	v.front(k)
	for v.bytes += k.size(); v.bytes > v.max && v.ring.prev != &v.ring; {
		old := v.ring.prev
		v.unlink(old)
		delete(v.at, old.key)
		v.bytes -= old.size()
	}
}
