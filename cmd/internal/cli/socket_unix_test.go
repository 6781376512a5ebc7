//go:build unix

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control"
)

// stranger removes a file as another user, and reports whether he could.
func stranger(t *testing.T, file string) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: CAP_SETUID, the right to be another user; run as root")
	}
	rm := exec.Command("rm", "-f", file)
	rm.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return rm.Run() == nil
}

// socketIn listens in a directory of this mode, which strangers can get to.
func socketIn(t *testing.T, mode os.FileMode) string {
	t.Helper()
	top, err := os.MkdirTemp("", "troupe-socket-") //nolint:usetesting // strangers cannot get into t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	dir := filepath.Join(top, "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{top: 0o755, dir: mode} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "s")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return path
}

// A socket is not put where others could take it away and answer in place of the host.
func TestSocketsCannotBeTakenAway(t *testing.T) {
	for mode, want := range map[os.FileMode]fault.Code{0o755: "", 0o711: "", 0o777: fault.CallerConfig, 0o775: fault.CallerConfig, 0o777 | os.ModeSticky: ""} {
		path := socketIn(t, mode)
		if err := placeSocket(path, 0); err == nil && want != "" || err != nil && fault.CodeOf(err) != want {
			t.Errorf("in a directory of mode %v: %v", mode, err)
		}
		if want == "" && stranger(t, path) {
			t.Errorf("in a directory of mode %v: it was taken away", mode)
		}
	}
}

// Members of the group of operators have to be able to enter all directories above the socket.
func TestGroupsReachTheirSocket(t *testing.T) {
	for mode, ok := range map[os.FileMode]bool{0o755: true, 0o711: true, 0o750: false, 0o700: false} {
		if err := reaches(socketIn(t, mode), 65534, "ops"); (err == nil) != ok {
			t.Errorf("a directory of mode %v: %v", mode, err)
		}
	}
	path := filepath.Join(t.TempDir(), "new", "s")
	if os.Geteuid() != 0 {
		t.Skip("missing: CAP_CHOWN, to give a directory to another group; run as root")
	}
	if err := placeSocket(path, 65534); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil || info.Mode().Perm() != 0o750 || groupOf(info) != 65534 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
