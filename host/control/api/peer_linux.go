package api

import (
	"net"

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
	return Peer{UID: int(cred.Uid), PID: int(cred.Pid)}, nil
}
