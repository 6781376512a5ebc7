package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

type pair struct{ key, value []byte }

func pairs(n int) (all []pair) {
	for i := range n {
		all = append(all, pair{fmt.Appendf(nil, "key %d", i), fmt.Appendf(nil, "value %d", i*i)})
	}
	return all
}

// TestAccumulator: neither the order nor what was there in between matters, and all else does.
func TestAccumulator(t *testing.T) {
	all := pairs(50)
	var want Accumulator
	for _, p := range all {
		want.Add(p.key, p.value)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		mixed := slices.Clone(all)
		r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		var got, half Accumulator
		for i, p := range mixed {
			got.Add(p.key, []byte("before"))
			if i%2 == 0 {
				half.Add(p.key, p.value)
			}
		}
		for i, p := range mixed {
			got.Remove(p.key, []byte("before"))
			if i%2 != 0 {
				got.Add(p.key, p.value)
			}
		}
		got.Merge(&half)
		if got != want || got.Sum() != want.Sum() {
			t.Error("another order, another sum")
		}
	}
	sums := map[[32]byte]string{want.Sum(): "all"}
	for name, change := range map[string]func(a *Accumulator){
		"one less":           func(a *Accumulator) { a.Remove(all[0].key, all[0].value) },
		"one more":           func(a *Accumulator) { a.Add([]byte("more"), nil) },
		"one twice":          func(a *Accumulator) { a.Add(all[0].key, all[0].value) },
		"another value":      func(a *Accumulator) { a.Remove(all[0].key, all[0].value); a.Add(all[0].key, []byte("x")) },
		"another boundary":   func(a *Accumulator) { a.Add([]byte("mor"), []byte("e")) },
		"a key with a value": func(a *Accumulator) { a.Add([]byte("more"), []byte{0}) },
	} {
		a := want
		change(&a)
		if other, known := sums[a.Sum()]; known {
			t.Errorf("%s and %s are the same", name, other)
		}
		sums[a.Sum()] = name
	}
	if back, err := DecodeAccumulator(want.Encode()); err != nil || *back != want {
		t.Error("it comes back as another", err)
	}
	if _, err := DecodeAccumulator(want.Encode()[1:]); !errors.Is(err, fault.HostChainCorrupt) {
		t.Error(err)
	}
}

// TestAccumulatorGolden holds the commitment: chains that exist have it in their blocks. The values were computed
// by another implementation of BLAKE2.
func TestAccumulatorGolden(t *testing.T) {
	var a Accumulator
	empty := a.Sum()
	a.Add([]byte("key"), []byte("value"))
	one := a.Sum()
	for name, c := range map[string]struct {
		sum  [32]byte
		want string
	}{
		"nothing": {empty, "200823e5158b3774c11b5c61850ada762f8264144a9bebec3ebac5a2adde67b8"},
		"one":     {one, "7ab5ff93a1fb01b880cffd5eff353248e4af6ca708ac62c265544e5e018e4da0"},
	} {
		if got := hex.EncodeToString(c.sum[:]); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestCount: the scan of a state finds the sum that changes have made, and misses itself only.
func TestCount(t *testing.T) {
	m := NewMemory()
	var sum Accumulator
	r := rand.New(rand.NewPCG(3, 4))
	m1 := NewMap[uint64, string]("Test", "Map")
	for round := range 30 {
		s := NewStore(m)
		for range 200 {
			if k := r.Uint64N(500); r.IntN(3) == 0 {
				m1.Delete(s, k)
			} else {
				m1.Put(s, k, fmt.Sprint(round))
			}
		}
		changes := s.Changes()
		sum.Apply(changes)
		m.Apply(append(changes, Change{Key: AccumulatorKey(), New: sum.Encode()}))
		if got, err := Count(m); err != nil || *got != sum {
			t.Fatalf("round %d: another sum, %v", round, err)
		}
	}
	if m.Len() < 100 {
		t.Errorf("%d keys", m.Len())
	}
}

func BenchmarkAccumulatorAdd(b *testing.B) {
	var a Accumulator
	key, value := make([]byte, 80), make([]byte, 24)
	for b.Loop() {
		a.Add(key, value)
	}
}
