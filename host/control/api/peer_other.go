//go:build !linux

package api

import (
	"net"

	"github.com/troupehost/troupe/actors/fault"
)

// PeerOf is only implemented on Linux.
func PeerOf(net.Conn) (Peer, error) {
	return Peer{}, fault.New(fault.HostUnsupported, "peer credentials", "", nil)
}
