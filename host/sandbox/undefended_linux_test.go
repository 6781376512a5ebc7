//go:build undefended

package sandbox

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLayersBelowTheFilter leaves the filter of system calls out, so that the others are seen to hold by themselves.
func TestLayersBelowTheFilter(t *testing.T) {
	const eof = "\n"
	for _, row := range []struct {
		without string
		want    []string
	}{
		{Seccomp, []string{
			"inherited: " + unix.EBADF.Error() + eof, "environment: 0 entries", "own files: open /proc/self/status: " + unix.ENOENT.Error(),
			"password: open /etc/passwd: " + unix.ENOENT.Error(), "root: open /: " + unix.EACCES.Error(), "directory: mkdir /x: ",
			"user: 0", "process: 1" + eof, "mount: " + unix.EPERM.Error(), "host name: " + unix.EPERM.Error(),
			"write past the limit: " + unix.EFBIG.Error(), "descriptors: " + unix.EMFILE.Error(), "raise: " + unix.EPERM.Error(),
		}},
		{Seccomp + "," + Root, []string{"password: open /etc/passwd: " + unix.EACCES.Error()}},
		{Seccomp + "," + Landlock, []string{"password: open /etc/passwd: " + unix.ENOENT.Error(), "root: <nil>", "directory: mkdir /x: " + unix.EROFS.Error()}},
		// And without what stops it, each thing is possible.
		{Seccomp + "," + Landlock + "," + Root, []string{"password: <nil>"}},
		{Seccomp + "," + Files, []string{"inherited: <nil>"}},
		{Seccomp + "," + Rlimits, []string{"descriptors: <nil>", "write past the limit: <nil>"}},
		{Seccomp + "," + Caps + "," + Landlock, []string{"mount: <nil>", "host name: <nil>"}},
	} {
		if hasCgo() && (strings.Contains(row.without, Caps) || !strings.Contains(row.without, Landlock)) {
			continue
		}
		got, err := start(t, "look", best(t), nil, Without+row.without)
		if err != nil {
			t.Errorf("%s: %v\n%s", row.without, err, got)
		}
		for _, want := range row.want {
			if !strings.Contains(got, want) {
				t.Errorf("without %s: no %q in\n%s", row.without, want, got)
			}
		}
	}
}

// TestUndefendedIsNotSilent: what is left out is a gap, and each layer can be left out by itself.
func TestUndefendedIsNotSilent(t *testing.T) {
	for _, layer := range all() {
		if layer == UserNS { // without it, nobody but root has a right to the others
			continue
		}
		got, err := start(t, "nothing", best(t).Without(layer), nil, Without+layer)
		if err != nil || !strings.Contains(got, "gap "+layer+": left out") || strings.Contains(strings.SplitN(got, "\n", 2)[0], " "+layer+" ") {
			t.Errorf("%s: %v\n%s", layer, err, got)
		}
	}
	if got, err := start(t, "sealed exec memory", best(t), nil, Without+NoExec); err != nil || !strings.Contains(got, "not sealed: left out") {
		t.Errorf("%v\n%s", err, got)
	}
}
