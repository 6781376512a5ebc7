package api

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// PeerOf asks the kernel who is at the other end of a Unix socket.
func PeerOf(c net.Conn) (Peer, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, fault.New(fault.CallerDenied, "peer credentials", "", nil).WithHint("connect through the Unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return Peer{}, fault.New(fault.CallerDenied, "peer credentials", "", err)
	}
	var cred *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, fault.New(fault.CallerDenied, "peer credentials", "", err)
	}
	if sockErr != nil {
		return Peer{}, fault.New(fault.CallerDenied, "peer credentials", "", sockErr)
	}
	p := Peer{UID: int(cred.Uid), PID: int(cred.Pid), GID: int(cred.Gid)}
	_ = raw.Control(func(fd uintptr) { p.Groups = groupsOf(fd) }) // without them, less is allowed
	return p, nil
}

// maxGroups is what Linux gives a process at most.
const maxGroups = 65536

// groupsOf asks for the further groups that the peer had when it connected; none if the kernel does not tell.
func groupsOf(fd uintptr) []int {
	ids := make([]uint32, 32)
	for {
		size := uint32(4 * len(ids))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno == unix.ERANGE && int(size) > 4*len(ids) && size <= 4*maxGroups {
			ids = make([]uint32, size/4)
			continue
		}
		if errno != 0 {
			return nil
		}
		var out []int
		for _, id := range ids[:min(int(size/4), len(ids))] {
			out = append(out, int(id))
		}
		return out
	}
}
