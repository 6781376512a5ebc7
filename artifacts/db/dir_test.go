package db

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

func openDir(t *testing.T, cfg DirConfig) *Dir {
	t.Helper()
	cfg.Log = zerolog.Nop()
	d, err := OpenDir(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSecondOpenerIsRefusedAndToldWho(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path, Owner: Owner{PID: 42, Kind: "serve", Socket: "/run/x.sock"}})
	if _, err := OpenDir(DirConfig{Path: path}); !errors.Is(err, fault.HostDataDirLocked) {
		t.Errorf("second open: %v", err)
	}
	if o, ok := ReadOwner(path); !ok || o.PID != 42 || o.Kind != "serve" || o.Socket != "/run/x.sock" {
		t.Errorf("owner %+v, %v", o, ok)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := ReadOwner(path); ok {
		t.Error("a closed directory names an owner")
	}
	if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, versionFile), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, versionFile), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, versionFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		path string
		want fault.Code
	}{{file, fault.HostDataDir}, {newer, fault.HostDataDirNewer}, {foreign, fault.HostDataDirCorrupt}, {empty, fault.HostDataDirCorrupt}, {"/proc/nowhere", fault.HostDataDir}} {
		if _, err := OpenDir(DirConfig{Path: row.path}); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %s", row.path, err, row.want)
		}
	}
}

// TestTheNameOfADirectoryIsNoPattern leaves in each what a crash leaves: a log without a byte.
func TestTheNameOfADirectoryIsNoPattern(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"a[b", "a[b]c", "a*", "a?", `a\b`} {
		path := filepath.Join(parent, name)
		if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []string{stateDir, cacheDir} {
			if err := os.WriteFile(filepath.Join(path, sub, "00009.mem"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := OpenDir(DirConfig{Path: path, Log: zerolog.Nop()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(d.Notes) > 0 {
			t.Errorf("%s: %v", name, d.Notes)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestALostManifestIsDamageUnderAnyName is the other thing that such a name must not hide.
func TestALostManifestIsDamageUnderAnyName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a[b]c")
	d := openDir(t, DirConfig{Path: path})
	if err := d.State.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(path, stateDir, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(DirConfig{Path: path, Log: zerolog.Nop()}); !errors.Is(err, fault.HostDataDirCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedStateStopsTheStartAndCacheIsRebuilt(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path})
	for _, b := range []*DB{d.State, d.Cache} {
		if err := b.Write(t.Context(), Op{Key: []byte("k"), Value: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	spoil := func(sub string) (undo func()) {
		files, err := filepath.Glob(filepath.Join(path, sub, "*.sst"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no table in %s: %v", sub, err)
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], b[:len(b)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		return func() { _ = os.WriteFile(files[0], b, 0o600) }
	}
	undo := spoil(stateDir)
	if _, err := OpenDir(DirConfig{Path: path}); !errors.Is(err, fault.HostDataDirCorrupt) {
		t.Errorf("damaged state: %v", err)
	}
	undo()
	spoil(cacheDir)
	d = openDir(t, DirConfig{Path: path})
	defer d.Close()
	if len(d.Notes) != 1 {
		t.Errorf("notes %v, want one on the dropped cache", d.Notes)
	}
	if err := d.Cache.Get([]byte("k"), func([]byte) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("the dropped cache has the key: %v", err)
	}
	if err := d.State.Get([]byte("k"), func([]byte) error { return nil }); err != nil {
		t.Errorf("state lost the key: %v", err)
	}
}

// TestSpaceGuard drives the guard with a file system whose free space the test sets.
func TestSpaceGuard(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	const reserve, size = 100 << 20, 8 << 20
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path, BallastBytes: size, ReserveBytes: reserve,
		FS: FS{Free: func(string) (int64, error) { return free.Load(), nil }}})
	defer d.Close()
	ballast := func() bool { _, err := os.Stat(filepath.Join(path, ballastFile)); return err == nil }
	write := func() error { return d.Cache.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("v")}) }

	if err := write(); err != nil || !ballast() {
		t.Fatalf("plenty of space: %v, ballast %v", err, ballast())
	}
	free.Store(reserve - 1)
	if err := write(); !errors.Is(err, fault.BusyDisk) {
		t.Errorf("below the reserve: %v", err)
	}
	if err := d.Cache.Remove(t.Context(), []byte("k")); err != nil {
		t.Errorf("removal below the reserve: %v", err)
	}
	if d.Space.Status().ShortSince.IsZero() {
		t.Error("the shortage is not reported")
	}
	free.Store(reserve/2 - 1)
	if _, err := d.Space.Poll(); err != nil || ballast() {
		t.Errorf("critical: %v, ballast kept %v", err, ballast())
	}
	free.Store(1 << 40)
	if err := write(); err != nil {
		t.Errorf("after recovery: %v", err)
	}
	if !ballast() || !d.Space.Status().ShortSince.IsZero() {
		t.Error("no ballast, or still short, after recovery")
	}
	free.Store(reserve/2 - 1)
	if err := write(); !errors.Is(err, fault.BusyDisk) {
		t.Errorf("second shortage: %v", err)
	}
}

func TestUnreadableFileSystemRefusesWrites(t *testing.T) {
	broken := atomic.Bool{}
	d := openDir(t, DirConfig{Path: t.TempDir(), FS: FS{Free: func(dir string) (int64, error) {
		if broken.Load() {
			return 0, errors.New("input/output error")
		}
		return 1 << 40, nil
	}}})
	defer d.Close()
	broken.Store(true)
	if err := d.State.Write(t.Context(), Op{Key: []byte("k")}); !errors.Is(err, fault.HostDiskIO) {
		t.Errorf("got %v", err)
	}
}

// TestAPartialBallastGrows starts on a small disk that gets larger, then refuses to give what it promises, and then gets
// full.
func TestAPartialBallastGrows(t *testing.T) {
	const reserve, size = 16 << 20, 8 << 20
	var free, limit atomic.Int64
	free.Store(24 << 20)
	limit.Store(size)
	now, tries := time.Unix(0, 0), 0
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path, BallastBytes: size, ReserveBytes: reserve, FS: FS{
		Free: func(string) (int64, error) { return free.Load(), nil },
		Allocate: func(path string, n int64) error {
			if tries++; n > limit.Load() {
				return syscall.EDQUOT
			}
			return allocate(path, n)
		},
		Now: func() time.Time { return now },
	}})
	defer d.Close()
	look := func(want int64, wantTries int) {
		t.Helper()
		if _, err := d.Space.Poll(); err != nil {
			t.Fatal(err)
		}
		if st := d.Space.Status(); st.BallastBytes != want || st.BallastWanted != size || tries != wantTries || want > 0 && blocks(filepath.Join(path, ballastFile)) < want {
			t.Errorf("after %d tries %+v, want %d after %d", tries, st, want, wantTries)
		}
	}
	look(3<<20, 1)      // an eighth of 24
	free.Store(reserve) // not enough to take more of it
	look(3<<20, 1)
	free.Store(41 << 20)
	look(5<<20+512<<10, 2) // an eighth of 41 and 3
	free.Store(42 << 20)   // too little for a step
	look(5<<20+512<<10, 2)
	limit.Store(5 << 20)
	free.Store(1 << 30)
	look(5<<20+512<<10, 3) // refused, and what is there stays
	limit.Store(size)
	look(5<<20+512<<10, 3) // not tried each time
	now = now.Add(ballastRetry)
	look(size, 4)
	free.Store(reserve/2 - 1)
	look(0, 4)
	if _, err := os.Stat(filepath.Join(path, ballastFile)); err == nil {
		t.Error("the ballast is still there on a full disk")
	}
	free.Store(20 << 20) // the next shortage would be near
	look(0, 4)
	free.Store(24 << 20) // what a start would take
	look(3<<20, 5)
}

// TestTheBallastMakesRoomToOpen starts on a disk that is full but for what the ballast takes.
func TestTheBallastMakesRoomToOpen(t *testing.T) {
	const reserve, size = 16 << 20, 8 << 20
	path := t.TempDir()
	var base atomic.Int64
	base.Store(1 << 30)
	cfg := DirConfig{Path: path, BallastBytes: size, ReserveBytes: reserve, FS: FS{Free: func(string) (int64, error) {
		free := base.Load()
		if _, err := os.Stat(filepath.Join(path, ballastFile)); err != nil {
			free += size
		}
		return free, nil
	}}}
	if err := openDir(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	base.Store(reserve/2 - 1)
	d := openDir(t, cfg)
	if st := d.Space.Status(); st.BallastBytes != 0 || st.BallastWanted != size {
		t.Errorf("the ballast was given up: %+v", st)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	base.Store(reserve/2 - 1 - size)
	if _, err := OpenDir(cfg); !errors.Is(err, fault.HostDiskFull) {
		t.Errorf("with nothing left to give up: %v", err)
	}
}

// TestADirectoryOfStateAlone has no cache, neither open nor on disk, and the same lock.
func TestADirectoryOfStateAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d := openDir(t, DirConfig{Path: path, StateOnly: true})
	for _, k := range []string{"a", "b1", "b2", "b3", "c"} {
		if err := d.State.Write(t.Context(), Op{Key: []byte(k), Value: []byte(k)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenDir(DirConfig{Path: path, StateOnly: true}); !errors.Is(err, fault.HostDataDirLocked) {
		t.Errorf("second open: %v", err)
	}
	for after, want := range map[string]string{"": "b1b2b3", "a": "b1b2b3", "b": "b1b2b3", "b1": "b2b3", "b10": "b2b3", "b3": "", "c": ""} {
		got := ""
		err := d.State.ScanAfter([]byte("b"), []byte(after), func(k, v []byte) error {
			if string(k) != string(v) {
				t.Errorf("%s has %s", k, v)
			}
			got += string(k)
			return nil
		})
		if err != nil || got != want {
			t.Errorf("after %q: %q, %v, want %q", after, got, err, want)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, cacheDir)); !errors.Is(err, os.ErrNotExist) || d.Cache != nil {
		t.Errorf("there is a cache: %v", err)
	}
}
