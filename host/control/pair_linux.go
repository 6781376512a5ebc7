package control

import (
	"context"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// Pair returns a listener without a name and the only way to reach it, so that a host and its client in one process
// speak the same protocol as over a socket, credentials included.
func Pair() (net.Listener, func(context.Context) (net.Conn, error)) {
	p := &pair{conns: make(chan net.Conn), done: make(chan struct{})}
	return p, p.dial
}

type pair struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pair) dial(ctx context.Context) (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fault.New(fault.HostSpawnFailed, "socket pair", "", err).WithHint("check the limit on open files")
	}
	near, err := connOf(fds[0])
	far, err2 := connOf(fds[1])
	if err != nil || err2 != nil {
		return nil, fault.New(fault.BugUnexpected, "socket pair", "", err)
	}
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	_, _ = near.Close(), far.Close()
	return nil, err
}

func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close() // FileConn works on a copy
	return net.FileConn(f)
}

// Accept implements net.Listener.
func (p *pair) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pair) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr implements net.Listener.
func (p *pair) Addr() net.Addr { return &net.UnixAddr{Name: "@inside", Net: "unix"} }
