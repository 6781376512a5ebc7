package db

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// used makes a data directory that was used and closed.
func used(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a", "data")
	if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAMadeDirectoryIsPrivate(t *testing.T) {
	old := unix.Umask(0)
	path := used(t)
	unix.Umask(old)
	for name, want := range map[string]os.FileMode{"..": 0o700, ".": 0o700, lockFile: 0o600, keyFile: 0o600, versionFile: 0o600} {
		if st, err := os.Stat(filepath.Join(path, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, st.Mode().Perm(), err, want)
		}
	}
	if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryThatOthersMayWriteIsRefused(t *testing.T) {
	for _, name := range []string{".", stateDir, cacheDir, lockFile, keyFile, versionFile} {
		path := used(t)
		file := filepath.Join(path, name)
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []os.FileMode{0o020, 0o002, 0o777} {
			if err := os.Chmod(file, st.Mode()|mode); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenDir(DirConfig{Path: path}); !errors.Is(err, fault.HostDataDirTrust) {
				t.Errorf("%s with %v: %v", name, mode, err)
			}
			if err := CheckDir(path); st.IsDir() && !errors.Is(err, fault.HostDataDirTrust) {
				t.Errorf("%s with %v: %v", name, mode, err)
			}
		}
		if err := os.Chmod(file, st.Mode()|0o055); err != nil { // others may read
			t.Fatal(err)
		}
		if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
			t.Errorf("%s is mended: %v", name, err)
		}
	}
}

func TestADirectoryOfAnotherUserIsRefused(t *testing.T) {
	for _, name := range []string{".", stateDir, cacheDir, lockFile, keyFile, versionFile} {
		path := used(t)
		if err := os.Chown(filepath.Join(path, name), 12345, -1); err != nil {
			t.Skipf("missing: CAP_CHOWN, the right to give files away (%v); run as root", err)
		}
		if _, err := OpenDir(DirConfig{Path: path}); !errors.Is(err, fault.HostDataDirTrust) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckDirTakesWhatCanBeMade(t *testing.T) {
	path := used(t)
	for _, p := range []string{path, filepath.Join(path, "not", "there")} {
		if err := CheckDir(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	pipe := filepath.Join(path, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{filepath.Join(path, lockFile), filepath.Join(path, lockFile, "below"), pipe} {
		if err := CheckDir(p); !errors.Is(err, fault.HostDataDir) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestPlantedFilesAreNotFollowed puts links to a file of the user's own, and a pipe, where the host opens files.
func TestPlantedFilesAreNotFollowed(t *testing.T) {
	precious := filepath.Join(t.TempDir(), "precious")
	content := "0123456789abcdef0123456789abcdef" // as long as a key
	if err := os.WriteFile(precious, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{lockFile, keyFile, versionFile, ballastFile} {
		for how, plant := range map[string]func(string) error{
			"a link":            func(p string) error { return os.Symlink(precious, p) },
			"a link to nowhere": func(p string) error { return os.Symlink(precious+"-not", p) },
			"a pipe":            func(p string) error { return unix.Mkfifo(p, 0o600) },
		} {
			path := used(t)
			if err := os.RemoveAll(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
			if err := plant(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
			if _, ok := ReadOwner(path); ok {
				t.Errorf("%s as %s names an owner", how, name)
			}
			d, err := OpenDir(DirConfig{Path: path, BallastBytes: 2 << 20})
			switch {
			case err == nil:
				_ = d.Close()
				if name != ballastFile {
					t.Errorf("%s as %s is accepted", how, name)
				}
			case !errors.Is(err, fault.HostDataDirTrust):
				t.Errorf("%s as %s: %v", how, name, err)
			}
		}
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != content {
		t.Errorf("the file behind the links: %q, %v", b, err)
	}
	if _, err := os.Stat(precious + "-not"); err == nil {
		t.Error("a link to nowhere made a file")
	}
}

// TestAChildDoesNotKeepTheLock: whoever has inherited the descriptor of the lock does not keep a directory that was given up.
func TestAChildDoesNotKeepTheLock(t *testing.T) {
	dir := t.TempDir()
	d, err := OpenDir(DirConfig{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(int(d.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenDir(DirConfig{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
