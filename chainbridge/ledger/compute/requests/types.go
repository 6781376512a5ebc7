package requests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// ID is the number of a request.
type ID = meter.Uint128

// Status is how far a request is.
type Status uint8

// The states of requests.
const (
	Pending Status = iota
	Stopped
	InProgress
	Running
	Failed
	Cancelled
)

var statuses = []string{"Pending", "Stopped", "InProgress", "Running", "Failed", "Cancelled"}

func (s Status) String() string {
	if int(s) < len(statuses) {
		return statuses[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText is String.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads String.
func (s *Status) UnmarshalText(text []byte) error {
	i := slices.Index(statuses, string(text))
	if i < 0 {
		return fault.New(fault.CallerInvalid, "status", fault.Quote(string(text)), nil)
	}
	*s = Status(i)
	return nil
}

// EncodeScale implements scale.Value.
func (s *Status) EncodeScale(e *scale.Encoder) { e.U8(uint8(*s)) }

// DecodeScale implements scale.Value.
func (s *Status) DecodeScale(d *scale.Decoder) { *s = Status(d.Enum(uint8(Cancelled))) }

// live says whether a request may still run.
func (s Status) live() bool { return s != Failed && s != Cancelled }

// Bounds of texts in bytes.
const (
	MaxDescription = 4096
	MaxImage       = 256
	MaxCloudInit   = 256
	MaxJob         = 128
	MaxAddress     = 64
	MaxReason      = 1024
)

// ImageMetadata is what runs.
type ImageMetadata struct {
	Name     string `json:"name" scale:"max=256"`
	ImageURL string `json:"image_url" scale:"max=256"`
}

// ComputeRequest is what an account asked for.
type ComputeRequest struct {
	RequestID                ID             `json:"request_id"`
	PlanTechnicalDescription string         `json:"plan_technical_description" scale:"max=4096"`
	PlanID                   pallet.Hash    `json:"plan_id"`
	Status                   Status         `json:"status"`
	CreatedAt                uint64         `json:"created_at"`
	Owner                    pallet.Account `json:"owner"`
	SelectedImage            ImageMetadata  `json:"selected_image"`
	IsAssigned               bool           `json:"is_assigned"`
	CloudInitCid             *string        `json:"cloud_init_cid" scale:"max=256"`
	MinerID                  *nodes.ID      `json:"miner_id" scale:"max=128"` // the only one that may serve it
}

// MinerComputeRequest is a request on a miner. One with a reason to fail is over.
type MinerComputeRequest struct {
	MinerNodeID    nodes.ID       `json:"miner_node_id" scale:"max=128"`
	MinerAccountID pallet.Account `json:"miner_account_id"`
	JobID          *string        `json:"job_id" scale:"max=128"`
	HypervisorIP   *string        `json:"hypervisor_ip" scale:"max=64"`
	FailReason     *string        `json:"fail_reason" scale:"max=1024"`
	VNCPort        *uint64        `json:"vnc_port"`
	IPAssigned     *string        `json:"ip_assigned" scale:"max=64"`
	RequestID      ID             `json:"request_id"`
	PlanID         pallet.Hash    `json:"plan_id"`
	CreatedAt      uint64         `json:"created_at"`
	Fulfilled      bool           `json:"fullfilled"` //nolint:misspell // as it is spelt on chain
}

// SideRequest is what a miner is to do with what it runs: to stop, boot, reboot or delete it.
type SideRequest struct {
	MinerNodeID nodes.ID       `json:"miner_node_id" scale:"max=128"`
	JobID       *string        `json:"job_id" scale:"max=128"`
	RequestID   ID             `json:"request_id"`
	UserID      pallet.Account `json:"user_id"`
	PlanID      pallet.Hash    `json:"plan_id"`
	CreatedAt   uint64         `json:"created_at"`
	Fulfilled   bool           `json:"fullfilled"` //nolint:misspell // as it is spelt on chain
}

// ResizeRequest is a SideRequest to give more storage.
type ResizeRequest struct {
	SideRequest
	ResizeGbs uint32 `json:"resize_gbs"`
}

// Needs is what a request takes from a machine.
type Needs struct {
	CPUCores  uint32 `json:"cpu_cores"`
	RAMGb     uint32 `json:"ram_gb"`
	StorageGb uint32 `json:"storage_gb"`
	Sev       bool   `json:"is_sev_enabled"`
	Gpu       bool   `json:"gpu"`
}

// ParseNeeds reads the technical description of a plan: a JSON object. Names that it does not know may be in it.
//
// # Errors
//
// Compute.InvalidRequest.
func ParseNeeds(description string) (Needs, error) {
	var d struct {
		CPUCores  uint32          `json:"cpu_cores"`
		RAMGb     uint32          `json:"ram_gb"`
		StorageGb uint32          `json:"storage_gb"`
		Sev       bool            `json:"is_sev_enabled"`
		Gpu       json.RawMessage `json:"gpu"`
	}
	if len(description) > MaxDescription {
		return Needs{}, fail("InvalidRequest", "the description is longer than 4096 bytes")
	}
	if err := json.Unmarshal([]byte(description), &d); err != nil {
		return Needs{}, fail("InvalidRequest", "the description is no JSON object of numbers")
	}
	gpu := strings.ToLower(string(bytes.Trim(d.Gpu, `" `)))
	return Needs{
		CPUCores: d.CPUCores, RAMGb: d.RAMGb, StorageGb: d.StorageGb, Sev: d.Sev,
		Gpu: !slices.Contains([]string{"", "null", "false", "0", "none", "no"}, gpu),
	}, nil
}
