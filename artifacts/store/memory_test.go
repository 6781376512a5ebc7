package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
)

// TestADescriptionComesFromMemoryOrDisk describes an artifact that is only in memory, one that is only on disk, and ones
// that are damaged or not there.
func TestADescriptionComesFromMemoryOrDisk(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 1<<30)
	defer s.shut(t)
	for n := range uint64(4) {
		m, files := sealedFiles(t, n, 1000)
		m.Module = artifacts.Module{Imports: []artifacts.Import{{Module: "env", Name: "f", Kind: "func"}},
			Exports: []artifacts.Export{{Name: fmt.Sprint("export", n), Kind: "func", Type: "()"}}, MemoryPages: uint32(n)}
		memoryOnly := n == 0
		if _, err := s.Put(t.Context(), m, files, memoryOnly); err != nil {
			t.Fatal(err)
		}
		release(files)
		if !memoryOnly {
			s.memory.drop(m.Key)
		}
		got, err := s.Describe(t.Context(), m.Key)
		if diff := cmp.Diff(m, got); err != nil || diff != "" {
			t.Errorf("artifact %d: %v\n%s", n, err, diff)
		}
	}
	r, err := s.record(keyN(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Cache.Write(t.Context(), db.Op{Key: chunk(r.ID, 0, 0), Value: bytes.Repeat([]byte("x"), int(r.Description.Bytes))},
		db.Op{Key: name(prefixRecord, keyN(3)), Value: s.seal(prefixRecord, keyN(4), r)}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{2, 3} { // a forged description, and the record of another artifact
		if _, err := s.Describe(t.Context(), keyN(n)); !errors.Is(err, fault.HostArtifactCorrupt) {
			t.Errorf("artifact %d: %v", n, err)
		}
	}
	if st := s.Stats(); st.Entries != 1 {
		t.Errorf("the damaged ones count: %+v", st)
	}
	for n, want := range map[uint64]int{2: 0, 3: 0, 1: 1, 9: 0} {
		switch m, err := s.Describe(t.Context(), keyN(n)); {
		case want == 1 && err != nil:
			t.Errorf("artifact %d: %v", n, err)
		case want == 0 && (!errors.Is(err, fault.HostArtifactMissing) || !m.Key.IsZero()):
			t.Errorf("artifact %d: %+v, %v", n, m, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Describe(ctx, keyN(1)); !errors.Is(err, fault.CanceledCaller) {
		t.Errorf("a caller who left: %v", err)
	}
	if _, err := s.Describe(t.Context(), keyN(1)); err != nil { // which dropped nothing
		t.Error(err)
	}
}

func TestMemoryIsBoundedByBytes(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 2_500_000)
	defer s.shut(t)
	for n := range uint64(6) {
		if _, err := put(s.Store, n, 1_000_000); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats().MemoryBytes; got > 2_500_000 {
			t.Errorf("%d bytes in memory", got)
		}
	}
	h, err := s.Get(t.Context(), func() artifacts.Key { m, _ := artifact(5, 1); return m.Key }())
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(4) { // push it out of memory while it is in use
		if err := check(s.Store, n, 1_000_000); err != nil {
			t.Fatal(err)
		}
	}
	got, err := io.ReadAll(h.Part(artifacts.PartCode).Section(0, 1_000_000))
	if err != nil || !bytes.Equal(got, content(1_000_005, 1_000_000)) {
		t.Errorf("a file in use went away: %v", err)
	}
	h.Close()
}

// TestMemoryCountsPages keeps artifacts whose files are shorter than a page.
func TestMemoryCountsPages(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 10*pageBytes)
	defer s.shut(t)
	for n := range uint64(20) {
		if _, err := put(s.Store, n, 5000); err != nil { // 2 pages and 1
			t.Fatal(err)
		}
	}
	if got := s.Stats().MemoryBytes; got != 9*pageBytes || s.memory.order.Len() != 3 {
		t.Errorf("%d bytes are counted for %d artifacts", got, s.memory.order.Len())
	}
}
