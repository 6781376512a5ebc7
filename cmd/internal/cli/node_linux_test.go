package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
