package cli

import (
	"context"
	"net"

	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
)

var _ control.Host = (*bundle.Offline)(nil)

// serveBundle serves a bundle as the host that it is of. dial connects to it until stop is called.
func serveBundle(b *api.Bundle, opts control.Options) (dial func(context.Context) (net.Conn, error), stop func()) {
	listener, dial := control.Pair()
	server := control.New(bundle.Host(b), opts)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return dial, func() {
		_ = server.Close()
		<-ended
	}
}
