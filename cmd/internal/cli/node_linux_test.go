package cli

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
)

// Whoever finds no host is told to start one only where it could be started.
func TestNoHostOnARefusedDirectory(t *testing.T) {
	file := wasmFile(t)
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		dir  string
		want int
		say  string
	}{
		"a file":               {file, exitHost, "code:  host.data_dir_unwritable\nhint:  make it a directory"},
		"below a file":         {filepath.Join(file, "data"), exitHost, "code:  host.data_dir_unwritable\nhint:  make it a directory"},
		"writable by others":   {open, exitHost, "code:  host.data_dir_untrusted\nhint:  make the directory"},
		"one that can be made": {filepath.Join(t.TempDir(), "data"), exitUnreachable, "hint:  start one with 'troupe serve"},
		"one that can be used": {t.TempDir(), exitUnreachable, "hint:  start one with 'troupe serve"},
	} {
		for _, args := range [][]string{{"status"}, {"status", "--wait", "20ms"}, {"artifact", "prepare", "--no-wait", file}} {
			c := newConsole(t, &fakeHost{})
			if code := c.main(append(args, "--data-dir", tt.dir)); code != tt.want || !strings.Contains(c.err.String(), tt.say) {
				t.Errorf("%s, %s: exit code %d\n%s", name, args, code, c.err.String())
			}
		}
	}
}

// A directory that is closed to this user is the same fault for every verb; one that is read-only for all is the host's.
func TestDeniedDirectory(t *testing.T) {
	file := wasmFile(t)
	for cause, tt := range map[error]struct {
		want int
		say  string
	}{
		syscall.EACCES: {exitDenied, "error: open /d: not allowed: permission denied\ncode:  caller.denied\nhint:  this user may not enter the data directory"},
		syscall.EROFS:  {exitHost, "code:  host.data_dir_unwritable\nhint:  make it a directory"},
	} {
		for _, args := range [][]string{{"run", file}, {"artifact", "prepare", file}, {"artifact", "list"}, {"serve"}} {
			c := newConsole(t, &fakeHost{})
			c.start = func(context.Context, host.Config) (running, error) {
				return nil, fault.New(fault.HostDataDir, "open", "/d", &fs.PathError{Op: "open", Path: "/d", Err: cause})
			}
			if code := c.main(append(args, "--data-dir", "/d")); code != tt.want || !strings.Contains(c.err.String(), tt.say) {
				t.Errorf("%s, %v: exit code %d\n%s", args, cause, code, c.err.String())
			}
		}
	}
}
