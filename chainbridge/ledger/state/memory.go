package state

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a Source that is kept in memory: for replays and tests. Any goroutine may use it; who reads while Apply runs may see a part
// of what it applies.
type Memory struct {
	mu    sync.RWMutex
	items map[string]*bucket // by the first itemBytes of the key
}

// bucket holds the keys of an item. sorted is nil after a key came or went.
type bucket struct {
	values map[string][]byte
	sorted []string
}

// NewMemory returns an empty one.
func NewMemory() *Memory { return &Memory{items: map[string]*bucket{}} }

// Get implements Source.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if b := m.items[string(key[:min(len(key), itemBytes)])]; b != nil {
		return b.values[string(key)], nil
	}
	return nil, nil
}

// Len returns how many keys there are.
func (m *Memory) Len() (n int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, b := range m.items {
		n += len(b.values)
	}
	return n
}

// Apply makes changes.
func (m *Memory) Apply(changes []Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range changes {
		name := item(c.Key)
		b := m.items[name]
		if b == nil {
			b = &bucket{values: map[string][]byte{}}
			m.items[name] = b
		}
		if c.New == nil {
			delete(b.values, string(c.Key))
			b.sorted = nil
			continue
		}
		if _, known := b.values[string(c.Key)]; !known {
			b.sorted = nil
		}
		b.values[string(c.Key)] = c.New
	}
}

// Scan implements Source. The keys are those of the time when it reaches their item.
func (m *Memory) Scan(prefix, after []byte, use func(key, value []byte) bool) error {
	for _, name := range m.names(string(prefix)) {
		for _, key := range m.keys(name) {
			if !strings.HasPrefix(key, string(prefix)) || after != nil && key <= string(after) {
				continue
			}
			if v, _ := m.Get([]byte(key)); v != nil && !use([]byte(key), v) {
				return nil
			}
		}
	}
	return nil
}

// names returns the items that can have keys of the prefix.
func (m *Memory) names(prefix string) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(prefix) >= itemBytes {
		return []string{prefix[:itemBytes]}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.items)), func(name string) bool {
		n := min(len(prefix), len(name))
		return name[:n] != prefix[:n]
	})
}

func (m *Memory) keys(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.items[name]
	if b == nil {
		return nil
	}
	if b.sorted == nil {
		b.sorted = slices.Sorted(maps.Keys(b.values))
	}
	return b.sorted
}
