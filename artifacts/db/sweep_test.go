package db

import (
	"os"
	"path/filepath"
	"testing"
)

// TestUnfinishedFilesAreSwept leaves what a kill leaves between a small file's bytes and its name.
func TestUnfinishedFilesAreSwept(t *testing.T) {
	path := t.TempDir()
	if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	gone := []string{".VERSION-1", ".host.key-22", "state/.CLOSED-3", "cache/.CLOSED-4"}
	stays := []string{".note-1", "VERSION-1", "host.key", "state/CLOSED-1"}
	for _, name := range append(gone, stays...) {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	if err := openDir(t, DirConfig{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range stays {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			t.Errorf("%s was swept: %v", name, err)
		}
	}
}
