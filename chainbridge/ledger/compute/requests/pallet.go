package requests

import (
	"encoding/json"
	"strings"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Events. Those of the original have its fields, and others behind them.
type (
	// VMAddress is the event IpAssigned or IpReturned.
	VMAddress struct {
		VMUUID    string `json:"vm_uuid"`
		IP        string `json:"ip"`
		RequestID ID     `json:"request_id"`
	}
	// ComputeRequestCreated is an event.
	ComputeRequestCreated struct {
		PlanID    pallet.Hash    `json:"plan_id"`
		Owner     pallet.Account `json:"owner"`
		RequestID ID             `json:"request_id"`
	}
	// ComputeRequestDeleted is an event.
	ComputeRequestDeleted struct {
		RequestID ID             `json:"request_id"`
		Owner     pallet.Account `json:"owner"`
	}
	// ComputeRequestSubmitted is an event: a miner has a request.
	ComputeRequestSubmitted struct {
		Miner      nodes.ID       `json:"miner"`
		RequestID  ID             `json:"request_id"`
		Owner      pallet.Account `json:"owner"`
		PlanID     pallet.Hash    `json:"plan_id"`
		IPReserved string         `json:"ip_reserved"`
	}
	// ComputeRequestFulfilled is an event.
	ComputeRequestFulfilled struct {
		Node      nodes.ID       `json:"node"`
		RequestID ID             `json:"request_id"`
		Owner     pallet.Account `json:"owner"`
	}
	// ComputeRequestFailed is an event of this chain.
	ComputeRequestFailed struct {
		Node       nodes.ID       `json:"node"`
		RequestID  ID             `json:"request_id"`
		Owner      pallet.Account `json:"owner"`
		FailReason string         `json:"fail_reason"`
		Again      bool           `json:"again"` // another miner may get it
	}
	// OnNode is the event ComputeDeletionRequestRemoved, ComputeBootRequestRemoved, or of another side request that is fulfilled.
	OnNode struct {
		NodeID    nodes.ID       `json:"node_id"`
		RequestID ID             `json:"request_id"`
		Owner     pallet.Account `json:"owner"`
	}
	// Requested is an event of something that somebody asked for.
	Requested struct {
		PlanID    pallet.Hash    `json:"plan_id"`
		Owner     pallet.Account `json:"owner"`
		Caller    pallet.Account `json:"caller"`
		NodeID    nodes.ID       `json:"node_id"` // "": none
		RequestID ID             `json:"request_id"`
	}
	// ComputeResizeRequested is an event.
	ComputeResizeRequested struct {
		Requested
		ResizeGbs uint32 `json:"resize_gbs"`
	}
)

// eventNames and errorNames are in the order of their indices: those behind the original's are this chain's.
var (
	eventNames = strings.Fields(`IpAssigned IpReturned IpRetrieved IpAdded ComputeRequestCreated ComputeRequestDeleted
		ComputeRequestSubmitted ComputeRequestFulfilled ComputeDeletionRequestRemoved ComputeBootRequestRemoved
		ComputeRebootRequestFulfilled ComputeResizeRequestFulfilled ComputeStopRequested ComputeBootRequested ComputeResizeRequested
		ComputeDeleteRequested ComputeRebootRequested ComputeStopRequestFulfilled ComputeRequestCancelled ComputeRequestFailed`)
	errorNames = strings.Fields(`NoAvailableIp VmAlreadyHasIp VmHasNoIp IpAlreadyExists InvalidSignature ComputeRequestNotFound
		ComputeDeletionRequestNotFound ComputeStopRequestAlreadyExists ComputeStopRequestNotFound ComputeBootRequestNotFound
		ComputeRebootRequestNotFound ComputeResizeRequestNotFound InvalidRequestStatus InvalidRequest MinerNotSuitable TooManyRequests
		ComputeBootRequestAlreadyExists ComputeRebootRequestAlreadyExists ComputeResizeRequestAlreadyExists`)
)

func genesis(c *pallet.Context, config json.RawMessage) error {
	var g struct {
		AnswerBlocks uint64 `json:"answer_blocks"`
	}
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	if g.AnswerBlocks > 0 {
		answer.Put(c.Store, min(g.AnswerBlocks, 1<<40))
	}
	return nil
}

// Pallet returns the pallet.
func Pallet() pallet.Pallet {
	return pallet.Pallet{
		Name: name, Index: 67,
		Calls: []pallet.Info{
			{Index: 3, Name: "submit_compute_request_assignment", New: func() pallet.Call { return new(SubmitComputeRequestAssignment) }},
			{Index: 4, Name: "update_miner_compute_request", New: func() pallet.Call { return new(UpdateMinerComputeRequest) }},
			{Index: 5, Name: "mark_miner_compute_stop_request_fulfilled", New: func() pallet.Call { return new(MarkMinerComputeStopRequestFulfilled) }},
			{Index: 6, Name: "submit_compute_deletion_request", New: func() pallet.Call { return new(SubmitComputeDeletionRequest) }},
			{Index: 8, Name: "submit_compute_boot_request_fulfillment", New: func() pallet.Call { return new(SubmitComputeBootRequestFulfillment) }},
			{Index: 9, Name: "request_compute_stop", New: func() pallet.Call { return new(RequestComputeStop) }},
			{Index: 10, Name: "request_compute_boot", New: func() pallet.Call { return new(RequestComputeBoot) }},
			{Index: 11, Name: "request_compute_delete", New: func() pallet.Call { return new(RequestComputeDelete) }},
			{Index: 12, Name: "request_compute_reboot", New: func() pallet.Call { return new(RequestComputeReboot) }},
			{Index: 13, Name: "submit_compute_reboot_request_fulfillment", New: func() pallet.Call { return new(SubmitComputeRebootRequestFulfillment) }},
			{Index: 14, Name: "request_compute_resize", New: func() pallet.Call { return new(RequestComputeResize) }},
			{Index: 15, Name: "submit_compute_resize_request_fulfillment", New: func() pallet.Call { return new(SubmitComputeResizeRequestFulfillment) }},
			{Index: 16, Name: "mark_compute_request_fulfilled", New: func() pallet.Call { return new(MarkComputeRequestFulfilled) }},
			{Index: 17, Name: "update_miner_compute_request_hypervisor_ip", New: func() pallet.Call { return new(UpdateMinerComputeRequestHypervisorIP) }},
			{Index: 18, Name: "handle_miner_compute_request_failure", New: func() pallet.Call { return new(HandleMinerComputeRequestFailure) }},
			{Index: 19, Name: "update_miner_compute_request_vnc", New: func() pallet.Call { return new(UpdateMinerComputeRequestVNC) }},
			{Index: 20, Name: "force_request_compute_delete", New: func() pallet.Call { return new(ForceRequestComputeDelete) }},
			{Index: 21, Name: "cancel_compute_request", New: func() pallet.Call { return new(CancelComputeRequest) }},
		},
		Views:   views,
		Events:  eventNames,
		Errors:  errorNames,
		Genesis: genesis,
		End:     end,
	}
}
