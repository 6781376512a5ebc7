//go:build !linux

package control

import (
	"context"
	"net"

	"github.com/troupehost/troupe/actors/fault"
)

// Pair is only implemented on Linux, where hosts run.
func Pair() (net.Listener, func(context.Context) (net.Conn, error)) {
	return closed{}, func(context.Context) (net.Conn, error) {
		return nil, fault.New(fault.HostUnsupported, "socket pair", "", nil)
	}
}

type closed struct{}

func (closed) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (closed) Close() error              { return nil }
func (closed) Addr() net.Addr            { return &net.UnixAddr{Name: "@inside", Net: "unix"} }
