package host

// To be replaced by the real ones.

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

var errNotYet = fault.New(fault.HostUnsupported, "not yet", "", nil)

func (h *Host) Explain(ctx context.Context, id string) (r0 inspect.Explanation, err error) {
	err = errNotYet
	return
}
func (h *Host) AppHistory(ctx context.Context, address string) (r0 []AppSample, r1 time.Duration, err error) {
	err = errNotYet
	return
}
