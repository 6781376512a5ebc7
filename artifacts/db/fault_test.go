package db

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// TestEachWriteMayFail is R3 of the test programme on a seam: each thing that the package writes fails in each way, with
// an error that names what is the matter, and works again once the disk does.
func TestEachWriteMayFail(t *testing.T) {
	for _, row := range []struct {
		errno syscall.Errno
		file  fault.Code // of files in the directory
		write fault.Code // of commits
	}{
		{syscall.ENOSPC, fault.HostDiskFull, fault.HostDiskFull},
		{syscall.EDQUOT, fault.HostDiskFull, fault.HostDiskFull},
		{syscall.EIO, fault.HostDiskIO, fault.HostDiskIO},
		{syscall.EROFS, fault.HostDataDir, fault.HostDataDir},
		{syscall.EACCES, fault.HostDataDir, fault.HostDataDir},
	} {
		t.Run(row.errno.Error(), func(t *testing.T) {
			var broken string
			fails := func(path string) error {
				if broken != "" && filepath.Base(path) == broken {
					return &fs.PathError{Op: "write", Path: path, Err: row.errno}
				}
				return nil
			}
			cfg := DirConfig{Path: t.TempDir(), BallastBytes: 2 << 20, FS: FS{
				Free: func(string) (int64, error) { return 1 << 40, nil },
				WriteFile: func(path string, b []byte) error {
					if err := fails(path); err != nil {
						return err
					}
					return writeFile(path, b)
				},
				Allocate: func(path string, n int64) error {
					if err := fails(path); err != nil {
						return err
					}
					return allocate(path, n)
				},
				Commit: func(path string, commit func() error) error {
					if err := fails(path); err != nil {
						return fmt.Errorf("as Badger wraps it: %v", err)
					}
					return commit()
				},
			}}
			for _, broken = range []string{versionFile, keyFile} {
				if _, err := OpenDir(cfg); !errors.Is(err, row.file) {
					t.Errorf("%s: %v, want %s", broken, err, row.file)
				}
			}
			broken = ballastFile
			if d := openDir(t, cfg); d.Space.Status().BallastBytes != 0 || d.Space.Status().BallastWanted != 2<<20 {
				t.Errorf("no ballast: %+v", d.Space.Status())
			} else if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			broken = ""
			d := openDir(t, cfg)
			defer d.Close()
			for _, b := range []*DB{d.Cache, d.State} {
				broken = filepath.Base(b.path)
				if err := b.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("v")}); !errors.Is(err, row.write) {
					t.Errorf("write to %s: %v, want %s", broken, err, row.write)
				}
				if err := b.Remove(t.Context(), []byte("k")); !errors.Is(err, row.write) {
					t.Errorf("removal from %s: %v, want %s", broken, err, row.write)
				}
				broken = ""
				if err := b.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("v")}); err != nil {
					t.Errorf("write after recovery: %v", err)
				}
			}
		})
	}
}

// TestSlowSyncHoldsNobodyElseUp holds a commit to one database while the other one is written and both are read.
func TestSlowSyncHoldsNobodyElseUp(t *testing.T) {
	var slow atomic.Bool
	entered, leave := make(chan struct{}), make(chan struct{})
	d := openDir(t, DirConfig{Path: t.TempDir(), FS: FS{Commit: func(path string, commit func() error) error {
		err := commit()
		if slow.Load() && filepath.Base(path) == cacheDir {
			close(entered)
			<-leave
		}
		return err
	}}})
	defer d.Close()
	one := Op{Key: []byte("k"), Value: []byte("v")}
	if err := d.Cache.Write(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	done := make(chan error)
	go func() { done <- d.Cache.Write(t.Context(), one) }()
	<-entered
	if err := d.State.Write(t.Context(), one); err != nil {
		t.Error(err)
	}
	for _, b := range []*DB{d.Cache, d.State} {
		if err := b.Get([]byte("k"), func([]byte) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWhatACrashLeavesIsNoDamage leaves half a table that no manifest names, a log whose last record asks for 4 GiB, and
// a log that was made and nothing more.
func TestWhatACrashLeavesIsNoDamage(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path})
	for i := range 10 {
		if err := d.State.Write(t.Context(), Op{Key: []byte{byte(i)}, Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(crashed, stateDir, "000077.sst"), []byte("half a table"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, logHeader - 1, logHeader, 4096} {
		if err := os.WriteFile(filepath.Join(crashed, stateDir, fmt.Sprintf("%05d.mem", 100+size)), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := filepath.Glob(filepath.Join(crashed, stateDir, "*.mem"))
	if err != nil || len(logs) != 6 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(b, "\x00"))
	huge := binary.AppendUvarint(binary.AppendUvarint([]byte{0x40, 0}, 20), 0xffff_fff0)
	copy(b[end:], append(huge, 0, 1, 2, 3))
	if err := os.WriteFile(logs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := trimLog(logs[0]); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(logs[0]); err != nil || st.Size() > int64(end) {
		t.Errorf("the log was not cut at %d: %d bytes", end, st.Size())
	}
	d = openDir(t, DirConfig{Path: crashed})
	defer d.Close()
	for i := range 10 {
		if err := d.State.Get([]byte{byte(i)}, func([]byte) error { return nil }); err != nil {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

// TestALostManifestIsDamage: Badger would delete all tables that no manifest names.
func TestALostManifestIsDamage(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path})
	if err := d.State.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(path, stateDir, "MANIFEST")
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(DirConfig{Path: path}); !errors.Is(err, fault.HostDataDirCorrupt) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(manifest, b, 0o600); err != nil { // what the hint asks for
		t.Fatal(err)
	}
	d = openDir(t, DirConfig{Path: path})
	defer d.Close()
	if err := d.State.Get([]byte("k"), func([]byte) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestACutManifestIsDamage cuts the manifest of a database that was closed in order. Badger takes that for what a crash
// left, and deletes the tables that are not named any more.
func TestACutManifestIsDamage(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path})
	if err := d.State.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(path, stateDir, "MANIFEST")
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{16, len(b) - 1} {
		if err := os.WriteFile(manifest, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDir(DirConfig{Path: path}); !errors.Is(err, fault.HostDataDirCorrupt) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	if err := os.WriteFile(manifest, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // after an orderly stop, and after a crash that left no mark
		d = openDir(t, DirConfig{Path: path})
		if err := d.State.Get([]byte("k"), func([]byte) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(path, stateDir, markFile)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestADamagedTableOfTheCacheCostsOnlyItself flips a byte in one of several tables, and takes a second one away.
func TestADamagedTableOfTheCacheCostsOnlyItself(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path})
	const keys = 80
	value := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, MaxValue) }
	for n := range keys {
		if err := d.Cache.Write(t.Context(), Op{Key: []byte{byte(n)}, Value: value(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(path, cacheDir, "*.sst"))
	if err != nil || len(tables) < 4 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	b, err := os.ReadFile(tables[1])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.WriteFile(tables[1], b, 0o600), os.Remove(tables[2])); err != nil {
		t.Fatal(err)
	}
	for _, notes := range []int{1, 0} { // the second start has nothing to say
		d = openDir(t, DirConfig{Path: path})
		if len(d.Notes) != notes {
			t.Errorf("notes %v, want %d", d.Notes, notes)
		}
		there := 0
		for n := range keys {
			err := d.Cache.Get([]byte{byte(n)}, func(v []byte) error {
				if !bytes.Equal(v, value(n)) {
					return errors.New("wrong bytes")
				}
				there++
				return nil
			})
			if err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("key %d: %v", n, err)
			}
		}
		if there < keys/4 || there >= keys {
			t.Errorf("%d of %d keys are there, want most", there, keys)
		}
		if err := d.Cache.Write(t.Context(), Op{Key: []byte("new"), Value: []byte("v")}); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamageUnderAnOpenDatabase flips a byte of a table that Badger has mapped, and then takes the table away under it,
// which makes a read a fault of the hardware.
func TestDamageUnderAnOpenDatabase(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, DirConfig{Path: path})
	value := bytes.Repeat([]byte("troupe"), 10_000)
	if err := d.Cache.Write(t.Context(), Op{Key: []byte("k"), Value: value}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, DirConfig{Path: path})
	tables, err := filepath.Glob(filepath.Join(path, cacheDir, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	f, err := os.OpenFile(tables[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 5000); err != nil {
		t.Fatal(err)
	}
	get := func() error { return d.Cache.Get([]byte("k"), func([]byte) error { return nil }) }
	if err := get(); !errors.Is(err, fault.HostDiskIO) && !errors.Is(err, ErrNotFound) { // Badger may hide why
		t.Errorf("read of a flipped byte: %v", err)
	}
	if err := errors.Join(f.Truncate(1), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := get(); !errors.Is(err, fault.HostDiskIO) {
		t.Errorf("read of what is not there: %v", err)
	}
	if err := d.Cache.Write(t.Context(), Op{Key: []byte("l")}); !errors.Is(err, fault.HostDiskIO) || d.Cache.Failed() == nil {
		t.Errorf("write after damage was seen: %v", err)
	}
	if err := d.State.Write(t.Context(), Op{Key: []byte("l")}); err != nil {
		t.Errorf("the other database: %v", err)
	}
	_ = d.Close()
	d = openDir(t, DirConfig{Path: path})
	defer d.Close()
	if err := d.Cache.Write(t.Context(), Op{Key: []byte("l")}); err != nil || len(d.Notes) != 1 {
		t.Errorf("after a restart: %v, notes %v", err, d.Notes)
	}
}

func TestDropGivesSpaceBackAndKeepsTheRest(t *testing.T) {
	d := openDir(t, DirConfig{Path: t.TempDir()})
	defer d.Close()
	key := func(group, n int) []byte { return fmt.Appendf(nil, "%c%04d", 'a'+group, n) }
	for group := range 4 {
		for n := range 40 {
			if err := d.Cache.Write(t.Context(), Op{Key: key(group, n), Value: bytes.Repeat([]byte{byte(n)}, MaxValue)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := d.Cache.DiskBytes()
	if err := d.Cache.Drop([]byte("a"), []byte("c"), []byte("d")); err != nil {
		t.Fatal(err)
	}
	if after := d.Cache.DiskBytes(); after > before/2 {
		t.Errorf("%d bytes on disk, %d before", after, before)
	}
	var groups []string
	if err := d.Cache.Groups(nil, 1, func(g []byte) { groups = append(groups, string(g)) }); err != nil || strings.Join(groups, "") != "b" {
		t.Errorf("groups %v, %v", groups, err)
	}
	n := 0
	err := d.Cache.Scan([]byte("b"), func(k, v []byte) error {
		if !bytes.Equal(k, key(1, n)) || !bytes.Equal(v, bytes.Repeat([]byte{byte(n)}, MaxValue)) {
			t.Errorf("key %s", k)
		}
		n++
		return nil
	})
	if err != nil || n != 40 {
		t.Errorf("%d of the rest, %v", n, err)
	}
}

func TestTooLargeAWriteIsABug(t *testing.T) {
	d := openDir(t, DirConfig{Path: t.TempDir()})
	defer d.Close()
	part := Op{Key: []byte("k"), Value: make([]byte, MaxValue)}
	for _, ops := range [][]Op{{{Key: []byte("k"), Value: make([]byte, MaxValue+1)}}, {part, part, part}} {
		if err := d.Cache.Write(t.Context(), ops...); !errors.Is(err, fault.Bug) {
			t.Errorf("got %v", err)
		}
	}
	if err := d.Cache.Write(t.Context(), part, part); err != nil {
		t.Error(err)
	}
}

// TestMigration leads a directory of version 1 over two steps, of which the second one fails once.
func TestMigration(t *testing.T) {
	if FormatVersion != len(migrations())+1 {
		t.Errorf("format %d with %d migrations", FormatVersion, len(migrations()))
	}
	cfg := DirConfig{Path: t.TempDir(), FS: FS{}.withDefaults()}
	old := filepath.Join(cfg.Path, stateDir, "data")
	if err := errors.Join(os.MkdirAll(filepath.Dir(old), 0o700), os.WriteFile(old, []byte("v1"), 0o600), os.WriteFile(filepath.Join(cfg.Path, keyFile), []byte("k"), 0o600),
		os.Mkdir(filepath.Join(cfg.Path, "accounts"), 0o700), os.WriteFile(filepath.Join(cfg.Path, "accounts", "root.key"), []byte("a"), 0o600)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	steps := []func(string) error{
		func(string) error { return os.WriteFile(old, []byte("v2"), 0o600) },
		func(string) error {
			err := broken
			broken = nil
			return err
		},
	}
	if err := migrate(cfg, 1, steps); err == nil {
		t.Error("a failed step was passed over")
	}
	if _, err := os.Stat(filepath.Join(cfg.Path, versionFile)); err == nil {
		t.Error("the version was written before all steps were done")
	}
	if b, err := os.ReadFile(filepath.Join(cfg.Path, "before-version-3", stateDir, "data")); err != nil || string(b) != "v1" {
		t.Errorf("the copy has %q, %v", b, err)
	}
	if err := migrate(cfg, 1, steps); err != nil {
		t.Fatal(err)
	}
	// The copy is of before the first try, and is a data directory of its own.
	for name, want := range map[string]string{stateDir + "/data": "v1", versionFile: "1\n", keyFile: "k", "accounts/root.key": "a"} {
		path := filepath.Join(cfg.Path, "before-version-3", name)
		b, err := os.ReadFile(path)
		if err != nil || string(b) != want {
			t.Errorf("%s of the copy is %q, %v", name, b, err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s of the copy: %v, %v", name, st.Mode(), err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(cfg.Path, versionFile)); err != nil || string(b) != "3\n" {
		t.Errorf("version %q, %v", b, err)
	}
}

func TestADeadOwnerIsNone(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, lockFile), []byte(`{"pid":1,"kind":"serve"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, ok := ReadOwner(path); ok {
		t.Errorf("owner %+v", o)
	}
}

func TestHostKeyStaysUntilItIsLost(t *testing.T) {
	path := t.TempDir()
	key := func() []byte {
		d := openDir(t, DirConfig{Path: path})
		defer d.Close()
		return d.HostKey
	}
	first := key()
	if len(first) != 32 || !bytes.Equal(first, key()) {
		t.Error("the key did not stay")
	}
	file := filepath.Join(path, keyFile)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if err := os.Truncate(file, 31); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, key()) {
		t.Error("a damaged key came back")
	}
}
