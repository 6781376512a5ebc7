package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control"
)

// socketPath returns where the 'serve' of dir listens: where --socket says, or inside, unless the path is too long for a socket.
func (a *app) socketPath(dir string) (string, error) {
	if a.socket != "" {
		path, err := filepath.Abs(a.socket)
		if err != nil || len(path) > control.MaxSocketPath {
			return "", usage("--socket "+fault.Quote(a.socket), fmt.Sprintf("name an absolute path of at most %d bytes", control.MaxSocketPath))
		}
		return path, nil
	}
	inside := filepath.Join(dir, "troupe.sock")
	if len(inside) <= control.MaxSocketPath {
		return inside, nil
	}
	sum := sha256.Sum256([]byte(dir))
	name := hex.EncodeToString(sum[:8]) + ".sock"
	parent := a.getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(parent) || len(parent) > control.MaxSocketPath/2 {
		parent = filepath.Join(os.TempDir(), "troupe-"+strconv.Itoa(os.Geteuid()))
		if err := ownDirectory(parent); err != nil {
			return "", err
		}
	}
	return filepath.Join(parent, "troupe-"+name), nil
}

// ownDirectory makes a directory that nobody else may enter, in a place where others may have been first.
func ownDirectory(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fault.New(fault.HostDataDir, "socket", path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fault.New(fault.HostDataDir, "socket", path, err)
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ownedBy(info, os.Geteuid()) {
		return fault.New(fault.HostDataDir, "socket", path, nil).WithHint("this directory must be yours alone: remove it, or choose a shorter --data-dir")
	}
	return nil
}

// placeSocket makes the directory of --socket if there is none, and refuses one in which others could put a socket of theirs, or that the
// members of a group cannot enter. gid 0: there is no group. What has an access control list counts by its mode.
func placeSocket(path string, gid int) error {
	dir := filepath.Dir(path)
	err := os.Mkdir(dir, 0o700)
	if err == nil && gid != 0 {
		if err = os.Chown(dir, -1, gid); err == nil {
			err = os.Chmod(dir, 0o750)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fault.New(fault.CallerConfig, "--socket", fault.Quote(dir), reason(err)).WithHint("make this directory, or choose another --socket")
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fault.New(fault.CallerConfig, "--socket", fault.Quote(dir), reason(err))
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fault.New(fault.CallerConfig, "--socket", fault.Quote(dir), errors.New("others may write to this directory, and could answer in place of the host")).
			WithHint("chmod go-w it, or choose another --socket")
	}
	return nil
}

// reaches refuses a socket that the members of a group cannot get to.
func reaches(path string, gid int, group string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return fault.New(fault.CallerConfig, "--operator-group", fault.Quote(dir), reason(err))
		case err != nil, groupOf(info) == gid && info.Mode().Perm()&0o010 == 0, groupOf(info) != gid && info.Mode().Perm()&0o001 == 0:
			return usage("--operator-group "+fault.Quote(group)+": its members may not enter "+fault.Quote(dir)+", where the control socket is to be",
				"choose a --socket in a directory that they may enter, like one in /run")
		case dir == filepath.Dir(dir):
			return nil
		}
	}
}
