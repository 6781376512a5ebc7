package requests

import (
	"strings"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// cloudInit says whether a miner failed because the request itself is wrong, so that no other miner can help.
func cloudInit(reason string) bool { return strings.Contains(reason, "No Cloud-Init CID provided") }

// signed lets the owner of a node pass, with a signature over the call, the node and the request if there is one.
func signed(c *pallet.Context, node nodes.ID, id ID, sig *nodes.MultiSignature, call string) (nodes.NodeInfo, error) {
	payload := func() []byte { return nodes.Payload(c.Genesis, call, node, id) }
	return nodes.Owned(c, node, sig, payload, fail("InvalidSignature", "the owner of the node signs"))
}

// mine returns a request that is on the node of who signed.
func mine(c *pallet.Context, node nodes.ID, id ID) (ComputeRequest, entry, MinerComputeRequest, error) {
	n, err := signed(c, node, id, nil, "")
	if err != nil {
		return ComputeRequest{}, entry{}, MinerComputeRequest{}, err
	}
	r, e, ok := get(c.Store, id)
	if !ok {
		return r, e, MinerComputeRequest{}, fail("ComputeRequestNotFound", "")
	}
	m, ok := onMiner(c.Store, node, id)
	if !ok || e.Node != node {
		return r, e, m, fail("ComputeRequestNotFound", "it is not on this node")
	}
	return r, e, m, heir(n, m)
}

// heir refuses who got the ID of a node after it was gone, and with it what the node had. A node that was handed over is the same.
func heir(n nodes.NodeInfo, m MinerComputeRequest) error {
	if n.Owner != m.MinerAccountID && n.RegisteredAt > m.CreatedAt {
		return fail("InvalidSignature", "another node had this ID")
	}
	return nil
}

// text refuses what is empty.
func text(s, what string) error {
	if strings.TrimSpace(s) == "" {
		return fail("InvalidRequest", what+" is empty")
	}
	return nil
}

// otherVM says whether a name is that of the VM of another job. Miners name a VM in their own way, mostly vm- and a part of the job's
// name; what has an address is the job, so any name will do that means no other one.
func otherVM(c *pallet.Context, vm string, job *string) bool {
	return (job == nil || vm != *job) && ip.RoleToIP.Has(c.Store, ip.RoleType{Kind: ip.VM, Name: vm})
}

// SubmitComputeRequestAssignment gives a request to a miner: governance may, and the miner itself.
type SubmitComputeRequestAssignment struct {
	MinerNodeID nodes.ID       `json:"miner_node_id" scale:"max=128"`
	PlanID      pallet.Hash    `json:"plan_id"`
	RequestID   ID             `json:"request_id"`
	Owner       pallet.Account `json:"owner"`
}

// Run implements pallet.Call.
func (s *SubmitComputeRequestAssignment) Run(c *pallet.Context) error {
	if c.Origin.Kind != pallet.Root {
		if _, err := signed(c, s.MinerNodeID, s.RequestID, nil, ""); err != nil {
			return err
		}
	}
	r, e, ok := get(c.Store, s.RequestID)
	switch {
	case !ok, r.PlanID != s.PlanID, r.Owner != s.Owner:
		return fail("ComputeRequestNotFound", "")
	case r.Status != Pending:
		return status(r, "Pending")
	}
	return place(c, r, e, s.MinerNodeID)
}

// UpdateMinerComputeRequest says that a job works on a request, and which address it has: the one that was reserved, or another one
// of the pool.
type UpdateMinerComputeRequest struct {
	NodeID    nodes.ID `json:"node_id" scale:"max=128"`
	RequestID ID       `json:"request_id"`
	JobID     string   `json:"job_id" scale:"max=128"`
	IP        string   `json:"ip" scale:"max=64"`
}

// Run implements pallet.Call.
func (u *UpdateMinerComputeRequest) Run(c *pallet.Context) error {
	r, e, m, err := mine(c, u.NodeID, u.RequestID)
	if err != nil {
		return err
	}
	if err := text(u.JobID, "the job"); err != nil {
		return err
	}
	if r.Status != InProgress {
		return status(r, "InProgress")
	}
	if m.JobID != nil {
		return fail("InvalidRequestStatus", "the request has a job")
	}
	if err := ip.Assign(c, u.JobID, u.IP, holder(u.RequestID)); err != nil {
		return own(err)
	}
	change(c.Store, u.NodeID, u.RequestID, func(m *MinerComputeRequest) bool {
		m.JobID, m.IPAssigned = &u.JobID, &u.IP
		return true
	})
	e.Deadline = expect(c.Store, c.Height+answerBlocks(c.Store), deadline{RequestID: u.RequestID})
	entries.Put(c.Store, u.RequestID, e)
	c.Emit(name, "IpAssigned", VMAddress{u.JobID, u.IP, u.RequestID})
	return nil
}

// MarkComputeRequestFulfilled says that a request runs.
type MarkComputeRequestFulfilled struct {
	NodeID    nodes.ID `json:"node_id" scale:"max=128"`
	RequestID ID       `json:"request_id"`
}

// Run implements pallet.Call.
func (f *MarkComputeRequestFulfilled) Run(c *pallet.Context) error {
	r, e, m, err := mine(c, f.NodeID, f.RequestID)
	switch {
	case err != nil:
		return err
	case r.Status != InProgress:
		return status(r, "InProgress")
	case m.JobID == nil:
		return fail("InvalidRequestStatus", "the request has no job")
	}
	promise(c.Store, f.NodeID, func(u *use) {
		u.RAMGb -= uint64(e.Needs.RAMGb)
		u.StorageGb -= uint64(e.Needs.StorageGb)
	})
	r.Status = Running
	put(c.Store, r)
	change(c.Store, f.NodeID, f.RequestID, func(m *MinerComputeRequest) bool {
		m.Fulfilled = true
		return true
	})
	e.Deadline, e.Reason = 0, ""
	entries.Put(c.Store, f.RequestID, e)
	c.Emit(name, "ComputeRequestFulfilled", ComputeRequestFulfilled{f.NodeID, f.RequestID, r.Owner})
	return notify(c, Began, r)
}

// UpdateMinerComputeRequestHypervisorIP says where a request's VM is.
type UpdateMinerComputeRequestHypervisorIP struct {
	NodeID       nodes.ID `json:"node_id" scale:"max=128"`
	RequestID    ID       `json:"request_id"`
	HypervisorIP string   `json:"hypervisor_ip" scale:"max=64"`
}

// Run implements pallet.Call.
func (u *UpdateMinerComputeRequestHypervisorIP) Run(c *pallet.Context) error {
	_, _, m, err := mine(c, u.NodeID, u.RequestID)
	if err != nil {
		return err
	}
	if err := text(u.HypervisorIP, "the address"); err != nil {
		return err
	}
	if m.JobID == nil {
		return fail("InvalidRequestStatus", "the request has no job")
	}
	change(c.Store, u.NodeID, u.RequestID, func(m *MinerComputeRequest) bool {
		m.HypervisorIP = &u.HypervisorIP
		return true
	})
	return nil
}

// UpdateMinerComputeRequestVNC says on which port a request's VM shows itself.
type UpdateMinerComputeRequestVNC struct {
	NodeID    nodes.ID `json:"node_id" scale:"max=128"`
	RequestID ID       `json:"request_id"`
	VNCPort   uint64   `json:"vnc_port"`
	VMName    string   `json:"vm_name" scale:"max=256"`
}

// Run implements pallet.Call.
func (u *UpdateMinerComputeRequestVNC) Run(c *pallet.Context) error {
	_, _, m, err := mine(c, u.NodeID, u.RequestID)
	switch {
	case err != nil:
		return err
	case m.JobID == nil:
		return fail("InvalidRequestStatus", "the request has no job")
	case otherVM(c, u.VMName, m.JobID):
		return fail("InvalidRequest", "this is the name of another VM")
	}
	change(c.Store, u.NodeID, u.RequestID, func(m *MinerComputeRequest) bool {
		m.VNCPort = &u.VNCPort
		return true
	})
	return nil
}

// HandleMinerComputeRequestFailure says that a miner cannot serve a request, or not any longer.
type HandleMinerComputeRequestFailure struct {
	NodeID     nodes.ID `json:"node_id" scale:"max=128"`
	RequestID  ID       `json:"request_id"`
	FailReason string   `json:"fail_reason" scale:"max=1024"`
}

// Run implements pallet.Call.
func (h *HandleMinerComputeRequestFailure) Run(c *pallet.Context) error {
	r, e, _, err := mine(c, h.NodeID, h.RequestID)
	if err != nil {
		return err
	}
	if err := text(h.FailReason, "the reason"); err != nil {
		return err
	}
	return failed(c, r, e, h.FailReason)
}

// fulfil is what the calls that fulfil a side request have in common.
func fulfil(c *pallet.Context, list sides, node nodes.ID, id ID, sig *nodes.MultiSignature, call, missing string, from, to Status, remove bool) (ComputeRequest, error) {
	n, err := signed(c, node, id, sig, call)
	if err != nil {
		return ComputeRequest{}, err
	}
	if _, ok := side(c.Store, list, node, id); !ok {
		return ComputeRequest{}, fail(missing, "")
	}
	r, _, ok := get(c.Store, id)
	m, there := onMiner(c.Store, node, id)
	switch {
	case !ok, !there:
		return r, fail("ComputeRequestNotFound", "")
	case heir(n, m) != nil:
		return r, heir(n, m)
	case r.Status != from:
		return r, status(r, from.String())
	}
	r.Status = to
	put(c.Store, r)
	done(c.Store, list, node, id, remove)
	return r, nil
}

// MarkMinerComputeStopRequestFulfilled says that a request is stopped.
type MarkMinerComputeStopRequestFulfilled struct {
	NodeID    nodes.ID             `json:"node_id" scale:"max=128"`
	RequestID ID                   `json:"request_id"`
	Signature nodes.MultiSignature `json:"signature"`
}

// Run implements pallet.Call.
func (f *MarkMinerComputeStopRequestFulfilled) Run(c *pallet.Context) error {
	r, err := fulfil(c, StopRequests, f.NodeID, f.RequestID, &f.Signature, "mark_miner_compute_stop_request_fulfilled", "ComputeStopRequestNotFound", Running, Stopped, false)
	if err != nil {
		return err
	}
	c.Emit(name, "ComputeStopRequestFulfilled", OnNode{f.NodeID, f.RequestID, r.Owner})
	return nil
}

// SubmitComputeBootRequestFulfillment says that a request runs again.
type SubmitComputeBootRequestFulfillment MarkMinerComputeStopRequestFulfilled

// Run implements pallet.Call.
func (f *SubmitComputeBootRequestFulfillment) Run(c *pallet.Context) error {
	r, err := fulfil(c, BootRequests, f.NodeID, f.RequestID, &f.Signature, "submit_compute_boot_request_fulfillment", "ComputeBootRequestNotFound", Stopped, Running, true)
	if err != nil {
		return err
	}
	c.Emit(name, "ComputeBootRequestRemoved", OnNode{f.NodeID, f.RequestID, r.Owner})
	return nil
}

// SubmitComputeRebootRequestFulfillment says that a request was started anew.
type SubmitComputeRebootRequestFulfillment MarkMinerComputeStopRequestFulfilled

// Run implements pallet.Call.
func (f *SubmitComputeRebootRequestFulfillment) Run(c *pallet.Context) error {
	r, err := fulfil(c, RebootRequests, f.NodeID, f.RequestID, &f.Signature, "submit_compute_reboot_request_fulfillment", "ComputeRebootRequestNotFound", Running, Running, false)
	if err != nil {
		return err
	}
	c.Emit(name, "ComputeRebootRequestFulfilled", OnNode{f.NodeID, f.RequestID, r.Owner})
	return nil
}

// SubmitComputeResizeRequestFulfillment says that a request has the storage that it asked for.
type SubmitComputeResizeRequestFulfillment MarkMinerComputeStopRequestFulfilled

// Run implements pallet.Call.
func (f *SubmitComputeResizeRequestFulfillment) Run(c *pallet.Context) error {
	if _, err := signed(c, f.NodeID, f.RequestID, &f.Signature, "submit_compute_resize_request_fulfillment"); err != nil {
		return err
	}
	want, ok := resizing(c.Store, f.NodeID, f.RequestID)
	if !ok {
		return fail("ComputeResizeRequestNotFound", "")
	}
	all, _ := ResizeRequests.Get(c.Store, f.NodeID)
	for i := range all {
		if all[i].RequestID == f.RequestID {
			all[i].Fulfilled = true
		}
	}
	ResizeRequests.Put(c.Store, f.NodeID, trim(all, MaxDone, func(r ResizeRequest) bool { return r.Fulfilled }))
	if e, ok := entries.Get(c.Store, f.RequestID); ok {
		e.Needs.StorageGb = want.ResizeGbs
		entries.Put(c.Store, f.RequestID, e)
	}
	c.Emit(name, "ComputeResizeRequestFulfilled", OnNode{f.NodeID, f.RequestID, want.UserID})
	return nil
}

// SubmitComputeDeletionRequest says that a request is deleted. The address that is released is that of its job, whatever the VM is
// called.
type SubmitComputeDeletionRequest struct {
	NodeID    nodes.ID `json:"node_id" scale:"max=128"`
	RequestID ID       `json:"request_id"`
	VMName    string   `json:"vm_name" scale:"max=256"`
}

// Run implements pallet.Call.
func (d *SubmitComputeDeletionRequest) Run(c *pallet.Context) error {
	if _, err := signed(c, d.NodeID, d.RequestID, nil, ""); err != nil {
		return err
	}
	s, ok := side(c.Store, DeletionRequests, d.NodeID, d.RequestID)
	switch {
	case !ok:
		return fail("ComputeDeletionRequestNotFound", "")
	case otherVM(c, d.VMName, s.JobID):
		return fail("VmHasNoIp", "this is the name of another VM")
	}
	return deleted(c, s)
}
