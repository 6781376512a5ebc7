package ingress

import (
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/meter"
)

// What events cost besides their bytes, in bytes of the network.
const (
	AcceptBytes    = 128  // ingress of an HTTP request
	ShutdownBytes  = 128  // egress of any event
	TLSAcceptBytes = 1024 // of a TLS connection, ingress and egress each
)

// Long streams are committed after as many bytes or as much time.
const (
	commitBytes = 1 << 20
	commitEvery = time.Second
)

// traffic is bytes that were not committed yet.
type traffic struct{ in, out atomic.Uint64 }

// take returns what was not taken yet.
func (t *traffic) take() meter.Use {
	return meter.Use{Ingress: t.in.Swap(0), Egress: t.out.Swap(0)}
}

func (t *traffic) pending() uint64 { return t.in.Load() + t.out.Load() }
