package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
)

// brittle is a file system whose commits fail once so many of them have been made.
type brittle struct {
	left int
	only string // fails; default: both databases
}

func (b *brittle) fs() db.FS {
	return db.FS{Commit: func(path string, commit func() error) error {
		if b.only != "" && filepath.Base(path) != b.only {
			return commit()
		}
		if b.left == 0 {
			return fmt.Errorf("as Badger wraps it: %v", syscall.EIO)
		}
		b.left--
		return commit()
	}}
}

// TestADeleteThatBreaksOffSaysWhatIsLeft deletes three batches, of which the disk takes one.
func TestADeleteThatBreaksOffSaysWhatIsLeft(t *testing.T) {
	dir := t.TempDir()
	disk := &brittle{left: -1}
	s, _, err := openOn(dir, testBuild, 1<<20, disk.fs())
	if err != nil {
		t.Fatal(err)
	}
	const artifactsOf, batch = 20, maxRemove / 3
	var keys []artifacts.Key
	var size int64
	for n := range uint64(2*batch + 30) {
		m, _ := artifact(n, 1)
		m.Parts = nil
		if n < batch-artifactsOf/2 || n >= batch+artifactsOf/2 { // the artifacts lie on both sides of the border
			if n%50 == 0 {
				if err := s.PutFailure(t.Context(), m.Key, artifacts.Failure{Fault: fault.GuestInvalid}); err != nil {
					t.Fatal(err)
				}
			}
		} else if size, err = s.Put(t.Context(), m, nil, false); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, m.Key)
	}
	memoryOnly, _ := artifact(9999, 1)
	memoryOnly.Parts = nil
	if _, err := s.Put(t.Context(), memoryOnly, nil, true); err != nil {
		t.Fatal(err)
	}
	keys = append(keys, memoryOnly.Key)

	disk.left = 1
	err = s.Delete(t.Context(), keys...)
	kept, ok := errors.AsType[*KeptError](err)
	if !ok || !errors.Is(err, fault.HostDiskIO) {
		t.Fatalf("a delete that broke off: %v", err)
	}
	var want []artifacts.Key
	for n := batch; n < 2*batch+30; n++ {
		if n < batch+artifactsOf/2 || n%50 == 0 {
			want = append(want, keys[n])
		}
	}
	if diff := cmp.Diff(want, kept.Keys); diff != "" {
		t.Errorf("kept:\n%s", diff)
	}
	if st := s.Stats(); st.Entries != artifactsOf/2 || st.Bytes < (size-5)*artifactsOf/2 || st.Bytes > (size+5)*artifactsOf/2 || st.MemoryBytes != 0 {
		t.Errorf("of %d artifacts of %d bytes half are left, stats %+v", artifactsOf, size, st)
	}
	for n, key := range keys {
		_, err := s.Describe(t.Context(), key)
		if there := n >= batch && n < batch+artifactsOf/2; there && err != nil || !there && !errors.Is(err, fault.HostArtifactMissing) {
			t.Errorf("artifact %d: %v", n, err)
		}
	}
	if err := s.Delete(t.Context(), memoryOnly.Key); err != nil { // nothing of it is on disk
		t.Errorf("what is in memory only: %v", err)
	}

	disk.left = -1
	counted := s.Stats()
	s.shut(t)
	s, entries := open(t, dir, testBuild, 0)
	defer s.shut(t)
	var got []artifacts.Key
	for _, e := range entries {
		got = append(got, e.Key)
	}
	slices.SortFunc(got, func(a, b artifacts.Key) int { return slices.Index(keys, a) - slices.Index(keys, b) })
	if diff := cmp.Diff(want, got); diff != "" || s.Stats().Bytes != counted.Bytes {
		t.Errorf("after a restart %+v, before %+v\n%s", s.Stats(), counted, diff)
	}
	if err := s.Delete(context.Background(), keys...); err != nil || s.Stats().Bytes != 0 || s.Stats().Entries != 0 {
		t.Errorf("the second delete: %v, %+v", err, s.Stats())
	}
}

// TestDamageThatCannotBeRemovedCounts damages an artifact on a disk that is not written any more.
func TestDamageThatCannotBeRemovedCounts(t *testing.T) {
	disk := &brittle{left: -1}
	s, _, err := openOn(t.TempDir(), testBuild, 0, disk.fs())
	if err != nil {
		t.Fatal(err)
	}
	defer s.shut(t)
	key, err := put(s.Store, 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.record(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Cache.Write(t.Context(), db.Op{Key: chunk(r.ID, 1, 0), Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	disk.left = 0
	if err := s.Verify(t.Context(), key); !errors.Is(err, fault.HostArtifactCorrupt) || s.Stats().Entries != 1 {
		t.Errorf("it stays on disk: %v, %+v", err, s.Stats())
	}
	disk.left = -1
	if err := s.Verify(t.Context(), key); !errors.Is(err, fault.HostArtifactCorrupt) || s.Stats().Entries != 0 {
		t.Errorf("it goes: %v, %+v", err, s.Stats())
	}
}
