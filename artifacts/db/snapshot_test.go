package db

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func written(t *testing.T, d *DB) ([]byte, int64) {
	t.Helper()
	s, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b bytes.Buffer
	n, err := s.Write(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), n
}

func TestASnapshotFillsAnotherDatabase(t *testing.T) {
	a := openDir(t, DirConfig{Path: t.TempDir(), StateOnly: true})
	defer a.Close()
	big := bytes.Repeat([]byte("v"), MaxValue)
	for n := range 300 {
		size := n * 17
		if n%50 == 0 {
			size = len(big)
		}
		if err := a.State.Write(t.Context(), Op{Key: fmt.Appendf(nil, "key %03d", n), Value: big[:size]}, Op{Key: []byte("again"), Value: fmt.Append(nil, n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.State.Remove(t.Context(), []byte("key 007")); err != nil {
		t.Fatal(err)
	}
	want, keys := written(t, a.State)
	if keys != 300 { // one is gone, and one was written again and again
		t.Errorf("%d keys", keys)
	}
	for _, step := range []int{len(want), 1000, 13} {
		if step == 13 && testing.Short() {
			continue
		}
		path := t.TempDir()
		b := openDir(t, DirConfig{Path: path, StateOnly: true})
		l := NewLoader(t.Context(), b.State)
		for at := 0; at < len(want); at += step {
			if _, err := l.Write(want[at:min(at+step, len(want))]); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := l.Close(); err != nil || n != keys {
			t.Fatalf("%d keys, %v", n, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = openDir(t, DirConfig{Path: path, StateOnly: true})
		if got, _ := written(t, b.State); !bytes.Equal(got, want) {
			t.Errorf("%d bytes at a time: the copy has %d bytes, the first %d, and they differ", step, len(got), len(want))
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASnapshotIsOfOneMoment(t *testing.T) {
	a := openDir(t, DirConfig{Path: t.TempDir(), StateOnly: true})
	defer a.Close()
	// Each writer has two keys that always agree, and counts upwards.
	var writers sync.WaitGroup
	var counts [4]atomic.Uint64
	stop := make(chan struct{})
	for w := range counts {
		writers.Go(func() {
			for n := uint64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				v := fmt.Append(nil, n)
				if err := a.State.Note(t.Context(), Op{Key: fmt.Appendf(nil, "a%d", w), Value: v}, Op{Key: fmt.Appendf(nil, "z%d", w), Value: v}); err != nil {
					t.Error(err)
					return
				}
				counts[w].Store(n)
			}
		})
	}
	for range 20 {
		var least [len(counts)]uint64
		for w := range counts {
			least[w] = counts[w].Load()
		}
		b, _ := written(t, a.State)
		c := openDir(t, DirConfig{Path: t.TempDir(), StateOnly: true})
		l := NewLoader(t.Context(), c.State)
		_, err := l.Write(b)
		if _, err2 := l.Close(); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for w := range counts {
			var got [2]uint64
			for i, k := range []string{"a", "z"} {
				err := c.State.Get(fmt.Appendf(nil, "%s%d", k, w), func(v []byte) error { _, err := fmt.Sscan(string(v), &got[i]); return err })
				if err != nil && least[w] > 0 {
					t.Error(err)
				}
			}
			if got[0] != got[1] || got[0] < least[w] {
				t.Errorf("writer %d: %v, and %d was written before", w, got, least[w])
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	writers.Wait()
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	a := openDir(t, DirConfig{Path: t.TempDir(), StateOnly: true})
	defer a.Close()
	for n := range 50 {
		if err := a.State.Note(t.Context(), Op{Key: fmt.Appendf(nil, "key %03d", n), Value: fmt.Append(nil, n)}); err != nil {
			t.Fatal(err)
		}
	}
	whole, _ := written(t, a.State)
	b := openDir(t, DirConfig{Path: t.TempDir(), StateOnly: true})
	defer b.Close()
	load := func(p []byte) error {
		l := NewLoader(t.Context(), b.State)
		_, err := l.Write(p)
		if err == nil {
			_, err = l.Close()
		}
		return err
	}
	for cut := range whole {
		if load(whole[:cut]) == nil {
			t.Fatalf("cut at %d it is taken", cut)
		}
	}
	if load(append(bytes.Clone(whole), 0)) == nil {
		t.Error("with a byte more it is taken")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 { // what it says of lengths must not be believed
		p := bytes.Clone(whole)
		for range 1 + rnd.IntN(4) {
			p[rnd.IntN(len(p))] = byte(rnd.Uint32())
		}
		_ = load(p)
	}
}
