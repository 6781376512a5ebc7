package host

import (
	"context"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

var errNoWarm = fault.New(fault.BugProtocol, "warm", "not there yet", nil)

// Warm puts code on the warm-up list of a tenant: its artifact is kept prepared, also over restarts and upgrades. It
// returns when that is on disk; the preparation goes on in the background. Code that is listed already stays listed.
//
// # Errors
//
// caller.invalid_request, caller.not_found, caller.quota, busy.draining, busy.disk_space.
func (h *Host) Warm(ctx context.Context, r CodeRequest) (inspect.Warm, error) {
	return inspect.Warm{}, errNoWarm
}

// Unwarm takes code off the warm-up list of a tenant. The artifact stays until it is pruned.
//
// # Errors
//
// caller.invalid_request, caller.not_found.
func (h *Host) Unwarm(ctx context.Context, tenant, codeHash string) error { return errNoWarm }

// Warmed returns the warm-up lists of all tenants.
func (h *Host) Warmed(ctx context.Context) ([]inspect.Warm, error) { return nil, errNoWarm }
