package requests

import (
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// user returns who signed, and for whom: the main account of a sub-account.
func user(c *pallet.Context) (owner, caller pallet.Account, err error) {
	caller, err = c.Signer()
	return credits.Main(c.Store, caller), caller, err
}

// RequestComputeStop asks for what runs to be stopped.
type RequestComputeStop struct {
	PlanID pallet.Hash `json:"plan_id"`
}

// Run implements pallet.Call.
func (r *RequestComputeStop) Run(c *pallet.Context) error {
	owner, caller, err := user(c)
	if err != nil {
		return err
	}
	return Stop(c, owner, caller, r.PlanID)
}

// RequestComputeBoot asks for what is stopped to run.
type RequestComputeBoot struct {
	PlanID pallet.Hash `json:"plan_id"`
}

// Run implements pallet.Call.
func (r *RequestComputeBoot) Run(c *pallet.Context) error {
	owner, caller, err := user(c)
	if err != nil {
		return err
	}
	return Boot(c, owner, caller, r.PlanID)
}

// RequestComputeReboot asks for what runs to be started anew.
type RequestComputeReboot struct {
	PlanID pallet.Hash `json:"plan_id"`
}

// Run implements pallet.Call.
func (r *RequestComputeReboot) Run(c *pallet.Context) error {
	owner, caller, err := user(c)
	if err != nil {
		return err
	}
	return power(c, owner, caller, r.PlanID, Running, RebootRequests, "ComputeRebootRequested")
}

// RequestComputeDelete asks for what a miner has to be deleted.
type RequestComputeDelete struct {
	PlanID pallet.Hash `json:"plan_id"`
}

// Run implements pallet.Call.
func (r *RequestComputeDelete) Run(c *pallet.Context) error {
	owner, caller, err := user(c)
	if err != nil {
		return err
	}
	req, ok := Find(c.Store, owner, r.PlanID)
	switch {
	case !ok:
		return fail("ComputeRequestNotFound", "")
	case req.Status == Pending:
		return status(req, "on a miner: cancel it")
	}
	return remove(c, req, caller)
}

// RequestComputeResize asks for more storage.
type RequestComputeResize struct {
	PlanID      pallet.Hash `json:"plan_id"`
	ResizeToGbs uint32      `json:"resize_to_gbs"`
}

// Run implements pallet.Call.
func (r *RequestComputeResize) Run(c *pallet.Context) error {
	owner, caller, err := user(c)
	if err != nil {
		return err
	}
	req, ok := Find(c.Store, owner, r.PlanID)
	switch {
	case !ok:
		return fail("ComputeRequestNotFound", "")
	case req.Status != Running && req.Status != Stopped:
		return status(req, "Running or Stopped")
	case r.ResizeToGbs == 0:
		return fail("InvalidRequest", "to nothing")
	}
	_, e, _ := get(c.Store, req.RequestID)
	if _, open := resizing(c.Store, e.Node, req.RequestID); open {
		return fail("ComputeResizeRequestAlreadyExists", "the miner has not fulfilled it")
	}
	m, _ := onMiner(c.Store, e.Node, req.RequestID)
	all, _ := ResizeRequests.Get(c.Store, e.Node)
	ResizeRequests.Put(c.Store, e.Node, append(all, ResizeRequest{SideRequest{
		MinerNodeID: e.Node, JobID: m.JobID, RequestID: req.RequestID, UserID: owner, PlanID: r.PlanID, CreatedAt: c.Height,
	}, r.ResizeToGbs}))
	c.Emit(name, "ComputeResizeRequested", ComputeResizeRequested{Requested{r.PlanID, owner, caller, e.Node, req.RequestID}, r.ResizeToGbs})
	return nil
}

// ForceRequestComputeDelete ends the request of an account, by governance.
type ForceRequestComputeDelete struct {
	PlanID    pallet.Hash    `json:"plan_id"`
	AccountID pallet.Account `json:"account_id"`
}

// Run implements pallet.Call.
func (r *ForceRequestComputeDelete) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return End(c, r.AccountID, r.AccountID, r.PlanID)
}

// CancelComputeRequest takes back a request that waits for a miner.
type CancelComputeRequest struct {
	RequestID ID `json:"request_id"`
}

// Run implements pallet.Call.
func (r *CancelComputeRequest) Run(c *pallet.Context) error {
	owner, caller, err := user(c)
	if err != nil {
		return err
	}
	req, _, ok := get(c.Store, r.RequestID)
	if !ok || req.Owner != owner {
		return fail("ComputeRequestNotFound", "")
	}
	return cancel(c, req, caller)
}
