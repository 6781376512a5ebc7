package requests

import (
	"slices"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

type sides = state.Map[nodes.ID, []SideRequest]

// side returns the side request that a node has still to fulfil.
func side(s *state.Store, list sides, node nodes.ID, id ID) (SideRequest, bool) {
	all, _ := list.Get(s, node)
	for _, r := range all {
		if r.RequestID == id && !r.Fulfilled {
			return r, true
		}
	}
	return SideRequest{}, false
}

// resizing is side for resizes.
func resizing(s *state.Store, node nodes.ID, id ID) (ResizeRequest, bool) {
	all, _ := ResizeRequests.Get(s, node)
	for _, r := range all {
		if r.RequestID == id && !r.Fulfilled {
			return r, true
		}
	}
	return ResizeRequest{}, false
}

// queue appends a side request.
func queue(s *state.Store, list sides, r SideRequest) {
	all, _ := list.Get(s, r.MinerNodeID)
	list.Put(s, r.MinerNodeID, append(all, r))
}

// done marks a side request as fulfilled, or removes it.
func done(s *state.Store, list sides, node nodes.ID, id ID, remove bool) {
	all, _ := list.Get(s, node)
	i := slices.IndexFunc(all, func(r SideRequest) bool { return r.RequestID == id && !r.Fulfilled })
	if i < 0 {
		return
	}
	if remove {
		all = slices.Delete(all, i, i+1)
	} else {
		all[i].Fulfilled = true
		all = trim(all, MaxDone, func(r SideRequest) bool { return r.Fulfilled })
	}
	set(s, list, node, all)
}

func set[T any](s *state.Store, list state.Map[nodes.ID, []T], node nodes.ID, all []T) {
	if len(all) == 0 {
		list.Delete(s, node)
		return
	}
	list.Put(s, node, all)
}

// forget removes all that a node was to do with a request, but to delete it.
func forget(s *state.Store, node nodes.ID, id ID) {
	for _, list := range []sides{StopRequests, BootRequests, RebootRequests} {
		if all, ok := list.Get(s, node); ok {
			set(s, list, node, slices.DeleteFunc(all, func(r SideRequest) bool { return r.RequestID == id }))
		}
	}
	if all, ok := ResizeRequests.Get(s, node); ok {
		set(s, ResizeRequests, node, slices.DeleteFunc(all, func(r ResizeRequest) bool { return r.RequestID == id }))
	}
}

// free takes a request from its node, which promised something for it.
func free(c *pallet.Context, r ComputeRequest, e entry) {
	forget(c.Store, e.Node, r.RequestID)
	promise(c.Store, e.Node, func(u *use) {
		u.Requests--
		u.CPUCores -= uint64(e.Needs.CPUCores)
		if r.Status == InProgress {
			u.RAMGb -= uint64(e.Needs.RAMGb)
			u.StorageGb -= uint64(e.Needs.StorageGb)
		}
	})
}

// lease lets the address of a request go: it rests if a job had it.
func lease(c *pallet.Context, id ID, job *string) {
	ip.Unreserve(c, holder(id))
	if job == nil {
		return
	}
	if addr, err := ip.Release(c, *job); err == nil {
		c.Emit(name, "IpReturned", VMAddress{*job, addr, id})
	}
}

// failed takes a request from its node for a reason, so that another one gets it; or nobody, if that does not help.
func failed(c *pallet.Context, r ComputeRequest, e entry, reason string) error {
	ran := r.Status == Running || r.Status == Stopped
	node := e.Node
	free(c, r, e)
	change(c.Store, node, r.RequestID, func(m *MinerComputeRequest) bool {
		m.FailReason, m.Fulfilled = &reason, false
		lease(c, r.RequestID, m.JobID)
		return true
	})
	e.Node, e.Deadline, e.Reason = "", 0, reason
	if !slices.Contains(e.Tried, node) {
		e.Tried = append(e.Tried, node)
	}
	entries.Put(c.Store, r.RequestID, e)
	hopeless := len(e.Tried) >= MaxTries || cloudInit(reason)
	c.Emit(name, "ComputeRequestFailed", ComputeRequestFailed{node, r.RequestID, r.Owner, reason, !hopeless})
	if hopeless {
		return over(c, r, Failed)
	}
	r.Status, r.IsAssigned = Pending, false
	put(c.Store, r)
	wait(c.Store, r.RequestID)
	if ran {
		return notify(c, Paused, r)
	}
	return nil
}

// Lose takes a request from a node that is not there any more.
func Lose(c *pallet.Context, owner pallet.Account, plan pallet.Hash) error {
	r, ok := Find(c.Store, owner, plan)
	if !ok {
		return nil
	}
	_, e, ok := get(c.Store, r.RequestID)
	if !ok || e.Node == "" {
		return nil
	}
	if _, there := nodes.Get(c.Store, e.Node); there {
		return nil
	}
	return failed(c, r, e, "the miner is not there any more")
}

// Serving returns the request of an account and a plan if a node runs it, or keeps it stopped. There says whether the node is
// registered still.
func Serving(s *state.Store, owner pallet.Account, plan pallet.Hash) (r ComputeRequest, there, ok bool) {
	r, ok = Find(s, owner, plan)
	if !ok || r.Status != Running && r.Status != Stopped {
		return r, false, false
	}
	_, e, ok := get(s, r.RequestID)
	_, there = nodes.Get(s, e.Node)
	return r, there, ok
}

// Stopping says whether a miner has still to stop a request.
func Stopping(s *state.Store, r ComputeRequest) bool {
	e, _ := entries.Get(s, r.RequestID)
	_, open := side(s, StopRequests, e.Node, r.RequestID)
	return open
}

// ask makes a side request of a kind, unless another one is open that does not go with it.
func ask(c *pallet.Context, list sides, r ComputeRequest, e entry) error {
	id := r.RequestID
	for _, o := range []struct {
		list sides
		err  string
	}{{StopRequests, "ComputeStopRequestAlreadyExists"}, {BootRequests, "ComputeBootRequestAlreadyExists"}, {RebootRequests, "ComputeRebootRequestAlreadyExists"}} {
		if _, open := side(c.Store, o.list, e.Node, id); open {
			return fail(o.err, "the miner has not fulfilled it")
		}
	}
	m, _ := onMiner(c.Store, e.Node, id)
	queue(c.Store, list, SideRequest{MinerNodeID: e.Node, JobID: m.JobID, RequestID: id, UserID: r.Owner, PlanID: r.PlanID, CreatedAt: c.Height})
	return nil
}

// Stop asks the miner to stop what runs.
//
// # Errors
//
// Compute.ComputeRequestNotFound, InvalidRequestStatus, ComputeStopRequestAlreadyExists.
func Stop(c *pallet.Context, owner, caller pallet.Account, plan pallet.Hash) error {
	return power(c, owner, caller, plan, Running, StopRequests, "ComputeStopRequested")
}

// Boot asks the miner to boot what is stopped.
//
// # Errors
//
// Compute.ComputeRequestNotFound, InvalidRequestStatus, ComputeBootRequestAlreadyExists.
func Boot(c *pallet.Context, owner, caller pallet.Account, plan pallet.Hash) error {
	return power(c, owner, caller, plan, Stopped, BootRequests, "ComputeBootRequested")
}

func power(c *pallet.Context, owner, caller pallet.Account, plan pallet.Hash, from Status, list sides, event string) error {
	r, ok := Find(c.Store, owner, plan)
	if !ok {
		return fail("ComputeRequestNotFound", "")
	}
	if r.Status != from {
		return status(r, from.String())
	}
	_, e, _ := get(c.Store, r.RequestID)
	if err := ask(c, list, r, e); err != nil {
		return err
	}
	c.Emit(name, event, Requested{plan, owner, caller, e.Node, r.RequestID})
	return nil
}

// End ends the request of an account and a plan: one that waits is cancelled, one on a miner is deleted.
//
// # Errors
//
// Compute.ComputeRequestNotFound, TooManyRequests.
func End(c *pallet.Context, owner, caller pallet.Account, plan pallet.Hash) error {
	r, ok := Find(c.Store, owner, plan)
	if !ok {
		return fail("ComputeRequestNotFound", "")
	}
	if r.Status == Pending {
		return cancel(c, r, caller)
	}
	return remove(c, r, caller)
}

// cancel ends a request that waits.
func cancel(c *pallet.Context, r ComputeRequest, caller pallet.Account) error {
	if r.Status != Pending {
		return status(r, "Pending")
	}
	unwait(c.Store, r.RequestID)
	if err := over(c, r, Cancelled); err != nil {
		return err
	}
	c.Emit(name, "ComputeRequestCancelled", Requested{r.PlanID, r.Owner, caller, "", r.RequestID})
	return nil
}

// remove ends a request that is on a miner, which has to delete it.
func remove(c *pallet.Context, r ComputeRequest, caller pallet.Account) error {
	_, e, _ := get(c.Store, r.RequestID)
	if e.Node == "" {
		return status(r, "on a miner")
	}
	m, _ := onMiner(c.Store, e.Node, r.RequestID)
	free(c, r, e)
	promise(c.Store, e.Node, func(u *use) { u.Requests++ }) // until it is deleted
	change(c.Store, e.Node, r.RequestID, func(*MinerComputeRequest) bool { return false })
	all, _ := ComputeRequests.Get(c.Store, r.Owner)
	all = slices.DeleteFunc(all, func(o ComputeRequest) bool { return o.RequestID == r.RequestID })
	if len(all) == 0 {
		ComputeRequests.Delete(c.Store, r.Owner)
	} else {
		ComputeRequests.Put(c.Store, r.Owner, all)
	}
	entries.Delete(c.Store, r.RequestID)
	queue(c.Store, DeletionRequests, SideRequest{
		MinerNodeID: e.Node, JobID: m.JobID, RequestID: r.RequestID, UserID: r.Owner, PlanID: r.PlanID, CreatedAt: c.Height,
	})
	expect(c.Store, c.Height+DeletionBlocks, deadline{RequestID: r.RequestID, Node: e.Node})
	c.Emit(name, "ComputeDeleteRequested", Requested{r.PlanID, r.Owner, caller, e.Node, r.RequestID})
	c.Emit(name, "ComputeRequestDeleted", ComputeRequestDeleted{r.RequestID, r.Owner})
	return notify(c, Ended, r)
}

// deleted ends a deletion request.
func deleted(c *pallet.Context, s SideRequest) error {
	done(c.Store, DeletionRequests, s.MinerNodeID, s.RequestID, true)
	promise(c.Store, s.MinerNodeID, func(u *use) { u.Requests-- })
	lease(c, s.RequestID, s.JobID)
	c.Emit(name, "ComputeDeletionRequestRemoved", OnNode{s.MinerNodeID, s.RequestID, s.UserID})
	return nil
}
