package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// MaxSocketPath bounds the path of a Unix socket, in bytes, on all systems alike.
const MaxSocketPath = 104

const probeTimeout = time.Second

// Listen makes a Unix socket that only its user may open. A socket that is there already is replaced only if nobody
// answers on it, and anything that is not a socket is left alone.
func Listen(path string) (net.Listener, error) { return ListenGroup(path, 0) }

// ListenGroup lets the members of a group open it too, unless gid is 0. What they may do is for Options.Group.
func ListenGroup(path string, gid int) (net.Listener, error) {
	if path == "" || len(path) > MaxSocketPath {
		return nil, fault.New(fault.CallerConfig, "listen", path, nil).WithHint("the path of a socket must have 1 to " + strconv.Itoa(MaxSocketPath) + " bytes")
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, taken(path)
	case err != nil:
		return nil, fault.New(fault.HostDataDir, "listen", path, err)
	}
	// Until this holds, a stranger who connects is turned away by his credentials.
	mode := fs.FileMode(0o600)
	if gid != 0 {
		err, mode = os.Chown(path, -1, gid), 0o660
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		_ = l.Close()
		return nil, fault.New(fault.HostDataDir, "listen", path, err)
	}
	return l, nil
}

func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.HostDataDir, "listen", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fault.New(fault.CallerConflict, "listen", path, nil).WithHint("this is not a socket: move it away or choose another path")
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return taken(path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.HostDataDir, "listen", path, err)
	}
	return nil
}

func taken(path string) error {
	return fault.New(fault.CallerConflict, "listen", path, nil).WithHint("another host answers on this socket")
}
