package host

// To be replaced by the real ones.

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

var errNotYet = fault.New(fault.HostUnsupported, "not yet", "", nil)

func (h *Host) AppHistory(ctx context.Context, address string) (r0 []AppSample, r1 time.Duration, err error) {
	err = errNotYet
	return
}
