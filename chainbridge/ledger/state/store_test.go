package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// TestStoreAgainstModel does random things to a Store and to a plain map.
func TestStoreAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		base, model := NewMemory(), map[string]string{}
		key := func() []byte { return fmt.Appendf(nil, "%032d/%02d", r.IntN(3), r.IntN(20)) }
		for range 20 {
			k := key()
			model[string(k)] = "committed"
			base.Apply([]Change{{Key: k, New: []byte("committed")}})
		}
		before := cloned(model)
		s := NewStore(base)
		var marks []int
		var saved []map[string]string
		for range 100 {
			switch k := key(); r.IntN(8) {
			case 0:
				marks, saved = append(marks, s.Mark()), append(saved, cloned(model))
			case 1:
				if len(marks) > 0 {
					i := r.IntN(len(marks))
					s.Revert(marks[i])
					model, marks, saved = saved[i], marks[:i], saved[:i]
				}
			case 2:
				s.Put(k, nil)
				delete(model, string(k))
			case 3:
				s.Put(k, []byte{})
				model[string(k)] = ""
			case 4:
				prefix := k[:32+r.IntN(2)]
				var after []byte
				if r.IntN(2) == 0 {
					after = key()
				}
				if diff := cmp.Diff(walkModel(model, prefix, after), walk(s, prefix, after)); diff != "" {
					t.Fatal(diff)
				}
			default:
				v := fmt.Sprint(r.IntN(3))
				s.Put(k, []byte(v))
				model[string(k)] = v
			}
			k := key()
			want, known := model[string(k)]
			if got := s.Get(k); string(got) != want || (got != nil) != known {
				t.Fatalf("%s is %q, want %q", k, got, want)
			}
		}
		changes := s.Changes()
		if !slices.IsSortedFunc(changes, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) }) {
			t.Fatal("the changes are in no order")
		}
		for _, c := range changes {
			if was, known := before[string(c.Key)]; string(c.Old) != was || (c.Old != nil) != known || bytes.Equal(c.Old, c.New) && (c.New != nil) == known {
				t.Fatalf("%s was %q, and %q is no change", c.Key, c.Old, c.New)
			}
		}
		base.Apply(changes)
		if diff := cmp.Diff(walkModel(model, nil, nil), walk(NewStore(base), nil, nil)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func cloned(m map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func walk(s *Store, prefix, after []byte) (all []string) {
	s.Each(prefix, after, func(k, v []byte) bool {
		all = append(all, string(k)+"="+string(v))
		return len(all) < 12
	})
	return all
}

func walkModel(m map[string]string, prefix, after []byte) (all []string) {
	for k, v := range m {
		if strings.HasPrefix(k, string(prefix)) && (after == nil || k > string(after)) {
			all = append(all, k+"="+v)
		}
	}
	slices.Sort(all)
	return all[:min(len(all), 12)]
}

type broken struct{ *Memory }

var errBroken = errors.New("broken")

func (broken) Get([]byte) ([]byte, error) { return nil, errBroken }

// TestStoreFailure: a Source that fails and a value that does not decode stop the block, and read as empty.
func TestStoreFailure(t *testing.T) {
	s := NewStore(broken{NewMemory()})
	if m := NewMap[uint32, string]("A", "B"); m.Has(s, 1) || !errors.Is(s.Err(), errBroken) {
		t.Error(s.Err())
	}
	base := NewMemory()
	i := NewItem[uint32]("A", "C")
	base.Apply([]Change{{Key: i.Key(), New: []byte{1, 2, 3}}})
	s = NewStore(base)
	if v, _ := i.Get(s); v != 0 || !errors.Is(s.Err(), fault.HostChainCorrupt) {
		t.Error(v, s.Err())
	}
}

// TestEmptyValues: a set of keys without values is one.
func TestEmptyValues(t *testing.T) {
	set := NewMap[uint8, struct{}]("A", "Set")
	base := NewMemory()
	s := NewStore(base)
	set.Put(s, 1, struct{}{})
	base.Apply(s.Changes())
	s = NewStore(base)
	if !set.Has(s, 1) || set.Has(s, 2) {
		t.Error("lost")
	}
	set.Delete(s, 1)
	if set.Has(s, 1) || len(s.Changes()) != 1 {
		t.Error("kept")
	}
}

// TestKeys: keys are those of Substrate.
func TestKeys(t *testing.T) {
	account := [32]byte{0xd4, 0x35, 0x93, 0xc7, 0x15, 0xfd, 0xd3, 0x1c, 0x61, 0x14, 0x1a, 0xbd, 0x04, 0xa9, 0x9f, 0xd6,
		0x82, 0x2c, 0x85, 0x58, 0x85, 0x4c, 0xcd, 0xe3, 0x9a, 0x56, 0x84, 0xe7, 0xa5, 0x6d, 0xa2, 0x7d}
	got := fmt.Sprintf("%x", NewMap[[32]byte, uint32]("System", "Account").Key(account))
	const want = "26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9" +
		"de1e86a9a8c739864cf3cc5ec2bea59fd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDouble: the pairs of one first key, in pages.
func TestDouble(t *testing.T) {
	d := NewDouble[uint8, uint16, string]("A", "Double")
	base := NewMemory()
	for i, s := 0, NewStore(base); i < 40; i++ {
		d.Put(s, uint8(i%2), uint16(i), fmt.Sprint(i))
		if i%7 == 0 {
			base.Apply(s.Changes())
			s = NewStore(base)
		} else if i == 39 {
			base.Apply(s.Changes())
		}
	}
	s := NewStore(base)
	d.Put(s, 1, 100, "new")
	d.Delete(s, 1, 3)
	seen := map[uint16]bool{}
	var after *uint16
	for page := 0; ; page++ {
		n := 0
		d.Each(s, 1, after, func(b uint16, v string) bool {
			if seen[b] || b != 100 && v != fmt.Sprint(b) {
				t.Errorf("%d: %s", b, v)
			}
			seen[b] = true
			after = &b
			n++
			return n < 6
		})
		if n < 6 {
			break
		}
	}
	if len(seen) != 20 || seen[3] || !seen[100] {
		t.Errorf("%d of 20 pairs", len(seen))
	}
}

// TestOptions: a value or key that is a pointer is an option.
func TestOptions(t *testing.T) {
	i, m := NewItem[*uint16]("A", "Option"), NewMap[*uint8, *uint16]("A", "Options")
	base := NewMemory()
	s := NewStore(base)
	n, k := uint16(0x0203), uint8(1)
	i.Put(s, &n)
	m.Put(s, nil, nil)
	m.Put(s, &k, &n)
	base.Apply(s.Changes())
	s = NewStore(base)
	if v, ok := i.Get(s); !ok || v == nil || *v != n || !bytes.Equal(s.Get(i.Key()), []byte{1, 3, 2}) {
		t.Error(v, ok)
	}
	if v, ok := m.Get(s, nil); !ok || v != nil {
		t.Error(v, ok)
	}
	if v, ok := m.Get(s, &k); !ok || v == nil || *v != n {
		t.Error(v, ok)
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
}
