package db

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// TestADowngradeIsToldWhatToDo has a directory that a later version has led up to a newer format.
func TestADowngradeIsToldWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a[b]*") // what it is called is no pattern
	cfg := DirConfig{Path: path, StateOnly: true, Version: "0.9.1-later"}
	d := openDir(t, cfg)
	if err := d.State.Write(t.Context(), Op{Key: []byte("k"), Value: []byte("before")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func() *fault.Error {
		t.Helper()
		_, err := OpenDir(DirConfig{Path: path, StateOnly: true, Version: "0.1.0"})
		if !errors.Is(err, fault.HostDataDirNewer) {
			t.Fatal(err)
		}
		return fault.From(err)
	}
	cfg.FS = FS{}.withDefaults()
	if err := migrate(cfg, FormatVersion, make([]func(string) error, 0)); err != nil {
		t.Fatal(err)
	}
	if err := migrate(cfg, FormatVersion, []func(string) error{func(string) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(path, "before-version-2")
	f := refused()
	for _, want := range []string{"0.9.1-later", "'troupe serve --data-dir " + copied + "'", "'troupe node restore FILE --data-dir DIR'"} {
		if !strings.Contains(f.Hint, want) {
			t.Errorf("the hint says nothing of %q: %s", want, f.Hint)
		}
	}
	if !strings.Contains(f.Error(), "version 0.9.1-later wrote it in format 2, and this version knows 1") {
		t.Error(f)
	}
	// What the hint says works.
	back := openDir(t, DirConfig{Path: copied, StateOnly: true})
	if err := back.State.Get([]byte("k"), func([]byte) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := back.Close(); err != nil {
		t.Error(err)
	}
	// Without a copy, and without a name that can be trusted.
	if err := errors.Join(os.RemoveAll(copied), os.WriteFile(filepath.Join(path, writerFile), []byte("\x1b[2J\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if f := refused(); strings.Contains(f.Hint, "before-version") || strings.ContainsAny(f.Error()+f.Hint, "\x1b\n") || !strings.Contains(f.Hint, "node restore") {
		t.Errorf("%s; %s", f, f.Hint)
	}
	// Who only looks changes nothing.
	if b, err := os.ReadFile(filepath.Join(path, versionFile)); string(b) != "2\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
