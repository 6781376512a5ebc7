package state

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

// twox128 is two seeded xxHash64, as Substrate names pallets and items.
func twox128(s string) []byte {
	var b []byte
	for seed := range uint64(2) {
		d := xxhash.NewWithSeed(seed)
		_, _ = d.WriteString(s)
		b = binary.LittleEndian.AppendUint64(b, d.Sum64())
	}
	return b
}

// Prefix returns the first 32 bytes of all keys of an item.
func Prefix(pallet, item string) []byte { return append(twox128(pallet), twox128(item)...) }

// concat appends the 16-byte BLAKE2b of an encoded key, and the key.
func concat(prefix, key []byte) []byte {
	h, err := blake2b.New(16, nil)
	if err != nil {
		panic(err) // 16 is a size
	}
	_, _ = h.Write(key)
	return append(h.Sum(append([]byte(nil), prefix...)), key...)
}

// hashBytes is how much of a key comes before each of its parts.
const hashBytes = 16

func read[V any](s *Store, key []byte) (v V, ok bool) {
	b := s.Get(key)
	if b == nil {
		return v, false
	}
	return parse[V](s, key, b), true
}

// write returns what Put keeps: an empty value is a value, and a pointer is an option.
func write[V any](v V) []byte {
	if b := scale.Marshal(&v); b != nil {
		return b
	}
	return []byte{}
}

func parse[V any](s *Store, key, b []byte) (v V) {
	if err := scale.Unmarshal(b, &v); err != nil {
		s.Fail(fault.New(fault.HostChainCorrupt, "state", fmt.Sprintf("%x", key), err))
	}
	return v
}

// Item is one value.
type Item[V any] struct{ key []byte }

// NewItem names a value.
func NewItem[V any](pallet, name string) Item[V] { return Item[V]{Prefix(pallet, name)} }

// Key returns the key of the value.
func (i Item[V]) Key() []byte { return i.key }

// Get returns the value, and whether there is one.
func (i Item[V]) Get(s *Store) (V, bool) { return read[V](s, i.key) }

// Put sets the value.
func (i Item[V]) Put(s *Store, v V) { s.Put(i.key, write(v)) }

// Delete removes the value.
func (i Item[V]) Delete(s *Store) { s.Put(i.key, nil) }

// Map is a value for each key.
type Map[K, V any] struct{ prefix []byte }

// NewMap names a map.
func NewMap[K, V any](pallet, name string) Map[K, V] { return Map[K, V]{Prefix(pallet, name)} }

// Prefix returns what all keys of the map begin with.
func (m Map[K, V]) Prefix() []byte { return m.prefix }

// Key returns the key of a value.
func (m Map[K, V]) Key(k K) []byte { return concat(m.prefix, scale.Marshal(&k)) }

// Get returns the value of k, and whether there is one.
func (m Map[K, V]) Get(s *Store, k K) (V, bool) { return read[V](s, m.Key(k)) }

// Has says whether there is a value for k.
func (m Map[K, V]) Has(s *Store, k K) bool { return s.Get(m.Key(k)) != nil }

// Put sets the value of k.
func (m Map[K, V]) Put(s *Store, k K, v V) { s.Put(m.Key(k), write(v)) }

// Delete removes the value of k.
func (m Map[K, V]) Delete(s *Store, k K) { s.Put(m.Key(k), nil) }

// Each calls use with the values in the order of their keys' hashes, those behind after (nil: all), until use says no. use must not
// change the Store.
func (m Map[K, V]) Each(s *Store, after *K, use func(K, V) bool) {
	var from []byte
	if after != nil {
		from = m.Key(*after)
	}
	s.Each(m.prefix, from, func(key, value []byte) bool {
		return use(parse[K](s, key, key[len(m.prefix)+hashBytes:]), parse[V](s, key, value))
	})
}

// Double is a value for each pair of keys.
type Double[A, B, V any] struct{ prefix []byte }

// NewDouble names a map of pairs.
func NewDouble[A, B, V any](pallet, name string) Double[A, B, V] {
	return Double[A, B, V]{Prefix(pallet, name)}
}

// Key returns the key of a value.
func (m Double[A, B, V]) Key(a A, b B) []byte {
	return concat(concat(m.prefix, scale.Marshal(&a)), scale.Marshal(&b))
}

// Get returns the value of the pair, and whether there is one.
func (m Double[A, B, V]) Get(s *Store, a A, b B) (V, bool) { return read[V](s, m.Key(a, b)) }

// Has says whether there is a value for the pair.
func (m Double[A, B, V]) Has(s *Store, a A, b B) bool { return s.Get(m.Key(a, b)) != nil }

// Put sets the value of the pair.
func (m Double[A, B, V]) Put(s *Store, a A, b B, v V) { s.Put(m.Key(a, b), write(v)) }

// Delete removes the value of the pair.
func (m Double[A, B, V]) Delete(s *Store, a A, b B) { s.Put(m.Key(a, b), nil) }

// Each calls use with the values of all pairs that begin with a, in the order of the hashes of their second keys, those behind after
// (nil: all), until use says no. use must not change the Store.
func (m Double[A, B, V]) Each(s *Store, a A, after *B, use func(B, V) bool) {
	prefix := concat(m.prefix, scale.Marshal(&a))
	var from []byte
	if after != nil {
		from = m.Key(a, *after)
	}
	s.Each(prefix, from, func(key, value []byte) bool {
		return use(parse[B](s, key, key[len(prefix)+hashBytes:]), parse[V](s, key, value))
	})
}
