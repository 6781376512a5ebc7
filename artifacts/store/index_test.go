package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
)

func keyN(n uint64) artifacts.Key { m, _ := artifact(n, 1); return m.Key }

// keysUnder returns the keys that a database has under a prefix.
func keysUnder(t *testing.T, d *db.DB, prefix byte) (out []string) {
	t.Helper()
	if err := d.Scan([]byte{prefix}, func(k, _ []byte) error { out = append(out, string(k[1:])); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAnUpgradeLeavesNothingBehind opens a directory with another build: nothing of the old artifacts is left, and a pin
// of an artifact that damage took stays.
func TestAnUpgradeLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	for n := range uint64(50) {
		m, _ := artifact(n, 1)
		m.Parts = nil
		if _, err := s.Put(t.Context(), m, nil, false); err != nil {
			t.Fatal(err)
		}
		s.Touch(m.Key, time.Unix(1000, 0))
	}
	for n, tenants := range map[uint64][]string{1: {"alice", "bob"}, 2: {"alice"}, 3: {"carol"}, 90: {"alice"}} {
		for _, tenant := range tenants {
			if err := s.Pin(t.Context(), tenant, keyN(n), false); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A crash between two writes, and damage: a touch of no key, a record that does not verify.
	if err := s.dir.Cache.Write(t.Context(), db.Op{Key: []byte{prefixTouch, 1}, Value: []byte("x")},
		db.Op{Key: name(prefixRecord, keyN(3)), Value: s.seal(prefixRecord, keyN(4), record{ID: 1})}); err != nil {
		t.Fatal(err)
	}
	s.shut(t)

	other := testBuild
	other.Engine = "engine 2"
	s, entries := open(t, dir, other, 0)
	defer s.shut(t)
	want := []Entry{{Key: keyN(3), Pins: []string{"carol"}, Absent: true}, {Key: keyN(90), Pins: []string{"alice"}, Absent: true}}
	byPin := func(a, b Entry) int { return -strings.Compare(a.Pins[0], b.Pins[0]) }
	slices.SortFunc(entries, byPin)
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
	for _, prefix := range []byte{prefixTouch, prefixRecord, prefixChunk, prefixFailure} {
		if left := keysUnder(t, s.dir.Cache, prefix); len(left) > 0 {
			t.Errorf("%d keys are left under %c", len(left), prefix)
		}
	}
	if left := keysUnder(t, s.dir.State, prefixPin); len(left) != 2 {
		t.Errorf("pins %q", left)
	}
	if err := s.Pin(t.Context(), "carol", keyN(3), true); err != nil {
		t.Fatal(err)
	}
	if entries, err := s.Index(t.Context()); err != nil || len(entries) != 1 || entries[0].Key != keyN(90) {
		t.Errorf("after the pin was taken off: %+v, %v", entries, err)
	}
}

// TestTheIndexHasNoLists compares what Index and Describe say of one artifact.
func TestTheIndexHasNoLists(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	m, _ := artifact(1, 1)
	m.Parts = nil
	m.Module = artifacts.Module{Imports: []artifacts.Import{{Module: "env", Name: "f"}}, Exports: []artifacts.Export{{Name: "run"}},
		MemoryPages: 7, MemoryMax: 9, HasStart: true, WasmBytes: 11, NumFunctions: 13, CodeBytes: 17, DataBytes: 19, TableElements: 23}
	if _, err := s.Put(t.Context(), m, nil, false); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	s, entries := open(t, dir, testBuild, 0)
	defer s.shut(t)
	if got, err := s.Describe(t.Context(), m.Key); err != nil || cmp.Diff(m, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(m, got))
	}
	m.Module.Imports, m.Module.Exports = nil, nil
	if len(entries) != 1 || cmp.Diff(m, entries[0].Meta) != "" {
		t.Errorf("%d entries\n%s", len(entries), cmp.Diff(m, entries[0].Meta))
	}
}

// TestTouchesOfWhatIsGoneGo removes records as a crash of an older version could.
func TestTouchesOfWhatIsGoneGo(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, dir, testBuild, 0)
	for n := range uint64(2) {
		if _, err := put(s.Store, n, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.dir.Cache.Remove(t.Context(), name(prefixRecord, keyN(1))); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	s, _ = open(t, dir, testBuild, 0)
	defer s.shut(t)
	if left := keysUnder(t, s.dir.Cache, prefixTouch); len(left) != 1 || left[0] != string(name(0, keyN(0))[1:]) {
		t.Errorf("%d touches are left", len(left))
	}
}

// TestAPinnedFailureIsOneEntry loses a pinned artifact that then cannot be prepared again.
func TestAPinnedFailureIsOneEntry(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 0)
	defer s.shut(t)
	if err := s.Pin(t.Context(), "alice", keyN(1), false); err != nil {
		t.Fatal(err)
	}
	if err := s.PutFailure(t.Context(), keyN(1), artifacts.Failure{Fault: fault.GuestInvalid}); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Index(t.Context())
	if err != nil || len(entries) != 1 || entries[0].Failure == nil || entries[0].Absent || len(entries[0].Pins) != 1 {
		t.Errorf("%+v, %v", entries, err)
	}
}

// TestRecordsStayUntilTheirPinsAreGone breaks the state database during the sweep after an upgrade.
func TestRecordsStayUntilTheirPinsAreGone(t *testing.T) {
	disk := &brittle{left: -1, only: "state"}
	s, _, err := openOn(t.TempDir(), testBuild, 0, disk.fs())
	if err != nil {
		t.Fatal(err)
	}
	defer s.shut(t)
	if _, err := put(s.Store, 1, 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.Pin(t.Context(), "alice", keyN(1), false); err != nil {
		t.Fatal(err)
	}
	s.cfg.Build.CPU = "another"
	for _, left := range []int{0, -1} {
		disk.left = left
		if entries, err := s.Index(t.Context()); err != nil || len(entries) != 0 {
			t.Errorf("%+v, %v", entries, err)
		}
		pins, records := keysUnder(t, s.dir.State, prefixPin), keysUnder(t, s.dir.Cache, prefixRecord)
		if want := 1 + left; len(pins) != want || len(records) != want {
			t.Errorf("%d pins and %d records are left, want %d", len(pins), len(records), want)
		}
	}
}

// TestNothingIsWrittenBeforeTheIndexIsRead damages the pins under an open database, so that the first Index fails, and
// then repairs them.
func TestNothingIsWrittenBeforeTheIndexIsRead(t *testing.T) {
	dir := t.TempDir()
	old, _ := open(t, dir, testBuild, 0)
	for n := range uint64(3) {
		if _, err := put(old.Store, n, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Pin(t.Context(), "alice", keyN(1), false); err != nil {
		t.Fatal(err)
	}
	want := old.Stats()
	old.shut(t)
	d, err := db.OpenDir(db.DirConfig{Path: dir, Owner: db.Owner{PID: os.Getpid(), Kind: "test"}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	s := opened{Open(Config{Cache: d.Cache, State: d.State, HostKey: d.HostKey, Build: testBuild}), d}
	defer s.shut(t)
	repair := spoil(t, filepath.Join(dir, "state"))
	if _, err := s.Index(t.Context()); !errors.Is(err, fault.HostDiskIO) {
		t.Fatalf("the index of damaged pins: %v", err)
	}
	if got := s.Stats(); got.Entries != want.Entries || got.Bytes != want.Bytes {
		t.Errorf("what is on disk does not count: %+v, want %+v", got, want)
	}
	on := func() int {
		return len(keysUnder(t, d.Cache, prefixChunk)) + len(keysUnder(t, d.Cache, prefixRecord)) + len(keysUnder(t, d.Cache, prefixFailure))
	}
	before := on()
	if _, err := put(s.Store, 9, 1000); !errors.Is(err, fault.HostDiskIO) {
		t.Errorf("put: %v", err)
	}
	if err := s.PutFailure(t.Context(), keyN(8), artifacts.Failure{Fault: fault.GuestInvalid}); !errors.Is(err, fault.HostDiskIO) {
		t.Errorf("put failure: %v", err)
	}
	if on() != before {
		t.Errorf("%d keys on disk, want %d", on(), before)
	}
	if err := check(s.Store, 9, 1000); err != nil { // from memory
		t.Error(err)
	}
	repair()
	if entries, err := s.Index(t.Context()); err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	spoil(t, filepath.Join(dir, "state"))
	if _, err := s.Index(t.Context()); !errors.Is(err, fault.HostDiskIO) {
		t.Fatalf("the index of damaged pins: %v", err)
	}
	if _, err := put(s.Store, 9, 1000); err != nil { // all is known from before
		t.Error(err)
	}
	for _, n := range []uint64{0, 1, 2, 9} {
		if err := s.Verify(t.Context(), keyN(n)); err != nil {
			t.Errorf("artifact %d: %v", n, err)
		}
	}
}

// spoil damages the tables of a database where they are.
func spoil(t *testing.T, dir string) (repair func()) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no table in %s: %v", dir, err)
	}
	whole := map[string][]byte{}
	overwrite := func(path string, b []byte) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole[path] = b
		bad := slices.Clone(b)
		for i := range bad[:len(bad)/2] {
			bad[i] ^= 0xff
		}
		overwrite(path, bad)
	}
	return func() {
		for path, b := range whole {
			overwrite(path, b)
		}
	}
}
