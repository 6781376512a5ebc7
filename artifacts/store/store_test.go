package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/sealed"
)

var testBuild = artifacts.Build{Engine: "engine 1", Format: 1, CPU: "cpu"}

// opened is a store on a directory of its own.
type opened struct {
	*Store
	dir *db.Dir
}

func (o opened) shut(t testing.TB) {
	t.Helper()
	if err := errors.Join(o.Store.Close(context.Background()), o.dir.Close()); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string, build artifacts.Build, memory int64) (opened, []Entry) {
	t.Helper()
	o, entries, err := tryOpen(path, build, memory)
	if err != nil {
		t.Fatal(err)
	}
	return o, entries
}

func tryOpen(path string, build artifacts.Build, memory int64) (opened, []Entry, error) {
	return openOn(path, build, memory, db.FS{})
}

func openOn(path string, build artifacts.Build, memory int64, fs db.FS) (opened, []Entry, error) {
	d, err := db.OpenDir(db.DirConfig{Path: path, Owner: db.Owner{PID: os.Getpid(), Kind: "test"}, FS: fs, Log: zerolog.Nop()})
	if err != nil {
		return opened{}, nil, err
	}
	s := Open(Config{Cache: d.Cache, State: d.State, HostKey: d.HostKey, Build: build, MemoryBytes: memory})
	entries, err := s.Index(context.Background())
	if err != nil {
		_ = d.Close()
		return opened{}, nil, err
	}
	return opened{s, d}, entries, nil
}

// content returns the bytes of artifact n, which are the same in every process.
func content(n uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))).Read(b) // never fails
	return b
}

func artifact(n uint64, size int) (artifacts.Meta, map[string][]byte) {
	parts := map[string][]byte{artifacts.PartModule: content(n, size/10+1), artifacts.PartCode: content(n+1_000_000, size)}
	m := artifacts.Meta{Key: artifacts.Key(sha256.Sum256(fmt.Append(nil, n))), Build: testBuild, PreparedAt: time.Unix(int64(n), 0)}
	for _, name := range []string{artifacts.PartModule, artifacts.PartCode} {
		m.Parts = append(m.Parts, artifacts.Part{Name: name, Bytes: int64(len(parts[name])), SHA256: sha256.Sum256(parts[name])})
	}
	return m, parts
}

// sealedFiles makes the files of artifact n; they are the caller's.
func sealedFiles(t testing.TB, n uint64, size int) (artifacts.Meta, map[string]*sealed.File) {
	t.Helper()
	m, files, err := trySealedFiles(n, size)
	if err != nil {
		t.Fatal(err)
	}
	return m, files
}

func trySealedFiles(n uint64, size int) (artifacts.Meta, map[string]*sealed.File, error) {
	m, parts := artifact(n, size)
	files := map[string]*sealed.File{}
	for name, b := range parts {
		f, err := sealed.FromBytes(name, b)
		if err != nil {
			release(files)
			return m, nil, err
		}
		files[name] = f
	}
	return m, files, nil
}

func put(s *Store, n uint64, size int) (artifacts.Key, error) {
	m, files, err := trySealedFiles(n, size)
	if err != nil {
		return m.Key, err
	}
	defer release(files)
	_, err = s.Put(context.Background(), m, files, false)
	return m.Key, err
}

// check gets artifact n: it must be right, or missing or corrupt by name.
func check(s *Store, n uint64, size int) error {
	m, parts := artifact(n, size)
	h, err := s.Get(context.Background(), m.Key)
	if err != nil {
		return err
	}
	defer h.Close()
	for name, want := range parts {
		got, err := io.ReadAll(h.Part(name).Section(0, h.Part(name).Size()))
		if err != nil || !bytes.Equal(got, want) {
			panic(fmt.Sprintf("artifact %d part %s has wrong bytes (%v)", n, name, err))
		}
	}
	return nil
}

func TestArtifactsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 1<<30)
	for n := range uint64(5) {
		if _, err := put(s.Store, n, 700_000); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := artifact(9, 10)
	if err := s.PutFailure(t.Context(), m.Key, artifacts.Failure{Fault: fault.GuestInvalid, Message: "no", Count: 1}); err != nil {
		t.Fatal(err)
	}
	k, _ := artifact(2, 1)
	if err := s.Pin(t.Context(), "alice", k.Key, false); err != nil {
		t.Fatal(err)
	}
	s.shut(t)

	s, entries := open(t, dir, testBuild, 1<<30)
	defer s.shut(t)
	if len(entries) != 6 {
		t.Fatalf("%d entries, want 5 artifacts and a failure", len(entries))
	}
	for _, e := range entries {
		switch {
		case e.Key == m.Key && (e.Failure == nil || e.Failure.Message != "no"):
			t.Errorf("the failure came back as %+v", e)
		case e.Key == k.Key && (len(e.Pins) != 1 || e.Pins[0] != "alice"):
			t.Errorf("pins %v", e.Pins)
		}
	}
	for n := range uint64(5) {
		if err := check(s.Store, n, 700_000); err != nil {
			t.Errorf("artifact %d: %v", n, err)
		}
	}
}

func TestAnotherBuildIsAMiss(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 1<<30)
	if _, err := put(s.Store, 1, 1000); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	other := testBuild
	other.CPU = "another"
	s, entries := open(t, dir, other, 1<<30)
	if len(entries) != 0 {
		t.Errorf("%d entries of another build", len(entries))
	}
	if err := check(s.Store, 1, 1000); !errors.Is(err, fault.HostArtifactMissing) {
		t.Errorf("got %v", err)
	}
	s.shut(t)
}

func TestALostKeyIsAMissForAll(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 1<<30)
	if _, err := put(s.Store, 1, 1000); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	if err := os.Remove(filepath.Join(dir, "host.key")); err != nil {
		t.Fatal(err)
	}
	s, entries := open(t, dir, testBuild, 1<<30)
	defer s.shut(t)
	if len(entries) != 0 {
		t.Errorf("%d entries under a new key", len(entries))
	}
	if err := check(s.Store, 1, 1000); !errors.Is(err, fault.HostArtifactMissing) {
		t.Errorf("got %v", err)
	}
}

// TestSwappedAndForgedRecordsAreNeverServed writes what an attacker with the database could write.
func TestSwappedAndForgedRecordsAreNeverServed(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 0)
	defer s.shut(t)
	a, err := put(s.Store, 1, 300_000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := put(s.Store, 2, 300_000)
	if err != nil {
		t.Fatal(err)
	}
	s.memory.clear()
	var record []byte
	read := func(v []byte) error {
		record = bytes.Clone(v)
		return nil
	}
	if err := s.dir.Cache.Get(name(prefixRecord, a), read); err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Cache.Write(t.Context(), db.Op{Key: name(prefixRecord, b), Value: record}); err != nil {
		t.Fatal(err)
	}
	if err := check(s.Store, 2, 300_000); !errors.Is(err, fault.HostArtifactCorrupt) {
		t.Errorf("a swapped record: %v", err)
	}
	r, err := s.record(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Cache.Write(t.Context(), db.Op{Key: chunk(r.ID, 2, 0), Value: make([]byte, db.MaxValue)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), a); !errors.Is(err, fault.HostArtifactCorrupt) {
		t.Errorf("a forged chunk: %v", err)
	}
	for n := range uint64(2) { // both were dropped, and can be stored again
		if err := check(s.Store, n+1, 300_000); !errors.Is(err, fault.HostArtifactMissing) {
			t.Errorf("artifact %d was not dropped: %v", n+1, err)
		}
		if _, err := put(s.Store, n+1, 300_000); err != nil {
			t.Fatal(err)
		}
		s.memory.clear()
		if err := check(s.Store, n+1, 300_000); err != nil {
			t.Errorf("artifact %d stored again: %v", n+1, err)
		}
	}
}

// TestFailuresAreBoundedAndAuthentic stores more failures than are kept, and forges one.
func TestFailuresAreBoundedAndAuthentic(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	s.cfg.MaxFailures = 3
	for n := range uint64(5) {
		m, _ := artifact(n, 1)
		if err := s.PutFailure(t.Context(), m.Key, artifacts.Failure{Fault: fault.GuestInvalid, At: time.Unix(int64(n), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := artifact(9, 1)
	if err := s.dir.Cache.Write(t.Context(), db.Op{Key: name(prefixFailure, m.Key), Value: bytes.Repeat([]byte("x"), 100)}); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	s, entries := open(t, dir, testBuild, 0)
	defer s.shut(t)
	if len(entries) != 3 {
		t.Fatalf("%d failures, want the last 3", len(entries))
	}
	for _, e := range entries {
		if e.Failure == nil || e.Failure.At.Unix() < 2 {
			t.Errorf("kept %+v", e)
		}
	}
}

// TestUnstoredIsServedFromMemory puts one artifact into memory only.
func TestUnstoredIsServedFromMemory(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 1<<30)
	if _, err := put(s.Store, 1, 600_000); err != nil {
		t.Fatal(err)
	}
	m, files := sealedFiles(t, 2, 600_000)
	defer release(files)
	if stored, err := s.Put(t.Context(), m, files, true); err != nil || stored != 0 {
		t.Errorf("memory only: %d bytes stored, %v", stored, err)
	}
	if err := check(s.Store, 2, 600_000); err != nil {
		t.Errorf("not served from memory: %v", err)
	}
	s.shut(t)
	s, entries := open(t, dir, testBuild, 1<<30)
	defer s.shut(t)
	if len(entries) != 1 {
		t.Errorf("%d entries are on disk, want 1", len(entries))
	}
}

// TestThereIsOneAccountOfSize compares what Put, Stats and Index say of an artifact whose description is most of it, and
// what the database has.
func TestThereIsOneAccountOfSize(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	var want int64
	for n := range uint64(3) {
		m, files := sealedFiles(t, n%2, 1000) // the last one in place of the first
		for i := range 2000 * (n + 1) {
			m.Module.Exports = append(m.Module.Exports, artifacts.Export{Name: fmt.Sprint("export", i), Kind: "func"})
		}
		stored, err := s.Put(t.Context(), m, files, false)
		release(files)
		if err != nil || stored < m.Bytes()+60_000 {
			t.Fatalf("%d bytes stored, %v", stored, err)
		}
		if n > 0 {
			want += stored
		}
	}
	if st := s.Stats(); st.Entries != 2 || st.Bytes != want || st.DiskBytes < want {
		t.Errorf("want %d bytes, stats %+v", want, st)
	}
	if err := s.Flush(t.Context()); err != nil { // of the first write nothing is left
		t.Fatal(err)
	}
	var onDisk int64
	for _, prefix := range []byte{prefixChunk, prefixRecord} {
		if err := s.dir.Cache.Scan([]byte{prefix}, func(_, v []byte) error { onDisk += int64(len(v)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if onDisk != want {
		t.Errorf("%d bytes in the database, want %d", onDisk, want)
	}
	s.shut(t)
	s, entries := open(t, dir, testBuild, 0)
	defer s.shut(t)
	var got int64
	for _, e := range entries {
		got += e.Bytes
	}
	if st := s.Stats(); got != want || st.Bytes != want {
		t.Errorf("after a restart %d bytes in the index, want %d, stats %+v", got, want, st)
	}
}

// TestDeletedSpaceComesBack fills and empties the store; what it takes is seen in allocated blocks.
func TestDeletedSpaceComesBack(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 0)
	defer s.shut(t)
	var keys []artifacts.Key
	for n := range uint64(8) {
		k, err := put(s.Store, n, 4_000_000)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	full := s.Stats()
	if err := errors.Join(s.Delete(t.Context(), keys[1:]...), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	rest := s.Stats()
	if full.DiskBytes < 35_000_000 || rest.DiskBytes > 16_000_000 || rest.Entries != 1 || rest.Bytes > 5_000_000 {
		t.Errorf("before %+v, after %+v", full, rest)
	}
	s.memory.clear()
	if err := check(s.Store, 0, 4_000_000); err != nil {
		t.Errorf("the one that stays: %v", err)
	}
}

func TestTouchesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	k, err := put(s.Store, 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 0)
	s.Touch(k, at)
	s.shut(t)
	s, entries := open(t, dir, testBuild, 0)
	defer s.shut(t)
	if len(entries) != 1 || !entries[0].LastNeeded.Equal(at) {
		t.Errorf("entries %+v", entries)
	}
}

// TestADescriptionMayBeLarge stores a module with more exports than fit a value of the database.
func TestADescriptionMayBeLarge(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	m, _ := artifact(1, 1)
	m.Parts = nil
	for i := range 20_000 {
		m.Module.Exports = append(m.Module.Exports, artifacts.Export{Name: fmt.Sprint("export", i), Kind: "func", Type: "(i32) -> (i32)"})
	}
	if _, err := s.Put(t.Context(), m, nil, false); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	s, entries := open(t, dir, testBuild, 0)
	defer s.shut(t)
	if m, err := s.Describe(t.Context(), m.Key); len(entries) != 1 || err != nil || len(m.Module.Exports) != 20_000 {
		t.Errorf("%d entries, %d exports, %v", len(entries), len(m.Module.Exports), err)
	}
}

func TestDeletedIsGone(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 1<<30)
	k, err := put(s.Store, 1, 600_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Delete(t.Context(), k), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := check(s.Store, 1, 600_000); !errors.Is(err, fault.HostArtifactMissing) {
		t.Errorf("got %v", err)
	}
	n := 0
	if err := s.dir.Cache.Scan(nil, func(k, _ []byte) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("%d keys are left (%v)", n, err)
	}
	s.shut(t)
}

func TestReadersAndADeleterMeet(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 3_000_000)
	defer s.shut(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				err := check(s.Store, n%4, 400_000)
				if err != nil && !errors.Is(err, fault.HostArtifactMissing) {
					t.Errorf("get: %v", err)
					return
				}
			}
		})
	}
	for n := range uint64(24) {
		k, err := put(s.Store, n%4, 400_000)
		if err != nil {
			t.Fatal(err)
		}
		if n%3 == 0 {
			if err := s.Delete(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
}
