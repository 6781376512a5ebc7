package nodes

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const unit = "ExecutionUnit"

// What bounds reports, and silence.
const (
	RateReports    = 20
	RateBlocks     = 10
	LivenessBlocks = 500 // of silence, from the registration on: the original's 36 blocks of grace after it are over by then
	PassBlocks     = 100 // in which each node is looked at, at least once
	maxBlocks      = 32  // that are remembered of a node
	maxOffline     = 256 // reports of nodes that do not answer
)

// The storage of ExecutionUnit.
var (
	BlockNumbers   = state.NewMap[ID, []uint64](unit, "BlockNumbers") // of the last reports
	NodeMetrics    = state.NewMap[ID, NodeMetricsData](unit, "NodeMetrics")
	DowntimeStatus = state.NewItem[[]OfflineStatus](unit, "DowntimeStatus")

	rates = state.NewMap[ID, rate](unit, "Rates")
	pass  = state.NewItem[uint32](unit, "Pass") // the place in the list of all nodes
)

type rate struct {
	Since uint64
	Count uint32
}

// OfflineStatus is what a node says of another that does not answer.
type OfflineStatus struct {
	MinerNodeID    ID     `json:"miner_node_id" scale:"max=128"`
	ReportorNodeID ID     `json:"reportor_node_id" scale:"max=128"`
	AtBlock        uint64 `json:"at_block"`
}

// Stored is the event NodeSpecsStored or PinCheckMetricsUpdated.
type Stored struct {
	NodeID ID `json:"node_id"`
}

func failUnit(err, detail string) error { return pallet.Fail(unit, err, detail) }

// reported lets a report of a node's owner pass, and notes it.
func reported(c *pallet.Context, id ID, sig *MultiSignature, call string, args ...any) (NodeInfo, error) {
	payload := func() []byte { return Payload(c.Genesis, call, args...) }
	n, err := Owned(c, id, sig, payload, failUnit("InvalidSignature", "the owner of the node signs"))
	if err != nil {
		return n, err
	}
	r, ok := rates.Get(c.Store, id)
	if !ok || c.Height-r.Since >= RateBlocks {
		r = rate{Since: c.Height}
	}
	if r.Count >= RateReports {
		return n, failUnit("TooManyRequests", "20 reports in 10 blocks")
	}
	r.Count++
	rates.Put(c.Store, id, r)
	seen, _ := BlockNumbers.Get(c.Store, id)
	if len(seen) == 0 || seen[len(seen)-1] != c.Height {
		seen = append(seen, c.Height)
	}
	BlockNumbers.Put(c.Store, id, seen[max(0, len(seen)-maxBlocks):])
	return n, nil
}

// PutNodeSpecs says what machine a node has. The first one makes its metrics.
type PutNodeSpecs struct {
	NodeID     ID             `json:"node_id" scale:"max=128"`
	SystemInfo SystemInfo     `json:"system_info"`
	Signature  MultiSignature `json:"signature"`
	NodeType   NodeType       `json:"node_type"`
}

// Run implements pallet.Call.
func (p *PutNodeSpecs) Run(c *pallet.Context) error {
	n, err := reported(c, p.NodeID, &p.Signature, "put_node_specs", p.NodeID, p.SystemInfo)
	switch {
	case err != nil:
		return err
	case n.NodeType != p.NodeType:
		return fail("NodeTypeMismatch", "")
	case !p.SystemInfo.fits():
		return failUnit("InvalidMetrics", "more is free than there is")
	}
	m, ok := NodeMetrics.Get(c.Store, p.NodeID)
	if !ok {
		m = fresh(p.NodeID)
	}
	m.specs(p.SystemInfo)
	NodeMetrics.Put(c.Store, p.NodeID, m)
	c.Emit(unit, "NodeSpecsStored", Stored{p.NodeID})
	return nil
}

// UpdatePinCheckMetrics adds checks of what a node stores.
type UpdatePinCheckMetrics struct {
	NodeID              ID             `json:"node_id" scale:"max=128"`
	Signature           MultiSignature `json:"signature"`
	TotalPinChecks      uint32         `json:"total_pin_checks"`
	SuccessfulPinChecks uint32         `json:"successful_pin_checks"`
}

// Run implements pallet.Call.
func (u *UpdatePinCheckMetrics) Run(c *pallet.Context) error {
	if _, err := reported(c, u.NodeID, &u.Signature, "update_pin_check_metrics", u.NodeID, u.TotalPinChecks, u.SuccessfulPinChecks); err != nil {
		return err
	}
	m, ok := NodeMetrics.Get(c.Store, u.NodeID)
	switch {
	case !ok:
		return failUnit("MetricsNotFound", "")
	case u.SuccessfulPinChecks > u.TotalPinChecks:
		return failUnit("InvalidMetrics", "more successes than checks")
	}
	m.TotalPinChecks = plus(m.TotalPinChecks, u.TotalPinChecks)
	m.SuccessfulPinChecks = plus(m.SuccessfulPinChecks, u.SuccessfulPinChecks)
	NodeMetrics.Put(c.Store, u.NodeID, m)
	c.Emit(unit, "PinCheckMetricsUpdated", Stored{u.NodeID})
	return nil
}

// UpdateMetricsData says how a node does. What is 0 or 2^32-1 is not known, and changes nothing; challenges add up.
type UpdateMetricsData struct {
	NodeID                  ID             `json:"node_id" scale:"max=128"`
	Signature               MultiSignature `json:"signature"`
	StorageProofTimeMs      uint32         `json:"storage_proof_time_ms"`
	LatencyMs               uint32         `json:"latency_ms"`
	PeerCount               uint32         `json:"peer_count"`
	FailedChallengesCount   uint32         `json:"failed_challenges_count"`
	SuccessfulChallenges    uint32         `json:"successful_challenges"`
	TotalChallenges         uint32         `json:"total_challenges"`
	UptimeMinutes           uint32         `json:"uptime_minutes"`
	TotalMinutes            uint32         `json:"total_minutes"`
	ConsecutiveReliableDays uint32         `json:"consecutive_reliable_days"`
	RecentDowntimeHours     uint32         `json:"recent_downtime_hours"`
	NodeType                NodeType       `json:"node_type"`
	BlockNumber             uint32         `json:"block_number"`
}

// Run implements pallet.Call.
func (u *UpdateMetricsData) Run(c *pallet.Context) error {
	unsigned := *u
	unsigned.Signature = MultiSignature{}
	n, err := reported(c, u.NodeID, &u.Signature, "update_metrics_data", unsigned)
	switch {
	case err != nil:
		return err
	case n.NodeType != u.NodeType:
		return fail("NodeTypeMismatch", "")
	}
	m, ok := NodeMetrics.Get(c.Store, u.NodeID)
	if !ok {
		return failUnit("MetricsNotFound", "")
	}
	m.merge(u)
	NodeMetrics.Put(c.Store, u.NodeID, m)
	return nil
}

// UpdateBlockTime says that a node is alive.
type UpdateBlockTime struct {
	NodeID      ID             `json:"node_id" scale:"max=128"`
	Signature   MultiSignature `json:"signature"`
	BlockNumber uint64         `json:"block_number"`
}

// Run implements pallet.Call.
func (u *UpdateBlockTime) Run(c *pallet.Context) error {
	_, err := reported(c, u.NodeID, &u.Signature, "update_block_time", u.NodeID, u.BlockNumber)
	return err
}

// StoreOfflineStatusOfMiner says that another node does not answer. It is kept for people to see, and changes nothing.
type StoreOfflineStatusOfMiner struct {
	NodeID      ID             `json:"node_id" scale:"max=128"`
	MinerID     ID             `json:"miner_id" scale:"max=128"`
	Signature   MultiSignature `json:"signature"`
	BlockNumber uint64         `json:"block_number"`
}

// Run implements pallet.Call.
func (s *StoreOfflineStatusOfMiner) Run(c *pallet.Context) error {
	n, err := reported(c, s.NodeID, &s.Signature, "store_offline_status_of_miner", s.NodeID, s.MinerID, s.BlockNumber)
	if err != nil {
		return err
	}
	if _, ok := Get(c.Store, s.MinerID); !ok {
		return fail("NodeNotFound", "")
	}
	all, _ := DowntimeStatus.Get(c.Store)
	all = append(all, OfflineStatus{s.MinerID, n.NodeID, c.Height})
	DowntimeStatus.Put(c.Store, all[max(0, len(all)-maxOffline):])
	return nil
}

// last returns when a node was heard of.
func last(s *state.Store, n NodeInfo) uint64 {
	if seen, _ := BlockNumbers.Get(s, n.NodeID); len(seen) > 0 {
		return seen[len(seen)-1]
	}
	return n.RegisteredAt
}

// sweep looks at a part of all nodes, and unregisters those that are silent.
func sweep(c *pallet.Context) error {
	all, _ := allNodes.Get(c.Store)
	if len(all) == 0 {
		return nil
	}
	at, _ := pass.Get(c.Store)
	if int(at) >= len(all) {
		at = 0
	}
	const n = (MaxNodes + PassBlocks - 1) / PassBlocks // however few there are: the list shrinks on the way
	for _, id := range slices.Clone(all[at:min(int(at)+n, len(all))]) {
		info, ok := Get(c.Store, id)
		if !ok || c.Height > last(c.Store, info)+LivenessBlocks {
			info.NodeID = id
			Unregister(c, info)
			continue // the next one moved to its place
		}
		at++
	}
	pass.Put(c.Store, at)
	return nil
}

// Shown is a node as views show it.
type Shown struct {
	NodeInfo
	LastReport uint64 `json:"last_report"`
	Metrics    bool   `json:"metrics"`
}

func shown(s *state.Store, n NodeInfo) Shown {
	return Shown{n, last(s, n), NodeMetrics.Has(s, n.NodeID)}
}

type byNode struct {
	NodeID ID `json:"node_id"`
}

func viewNode(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byNode
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	n, ok := Get(c.Store, p.NodeID)
	if !ok {
		return nil, fault.New(fault.CallerNotFound, "node", fault.Quote(p.NodeID), nil)
	}
	return shown(c.Store, n), nil
}

func viewNodes(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[ID]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	all, _ := allNodes.Get(c.Store)
	if p.After != nil {
		all = all[slices.Index(all, *p.After)+1:]
	}
	a := pallet.NewAnswer[ID, Shown](p)
	for _, id := range all {
		if n, ok := Get(c.Store, id); ok && !a.Add(id, shown(c.Store, n)) {
			break
		}
	}
	return a, nil
}

func viewFees(c *pallet.Context, _ json.RawMessage) (any, error) {
	type fee struct {
		NodeType NodeType       `json:"node_type"`
		Fee      pallet.Balance `json:"fee"`
		Disabled bool           `json:"disabled"`
	}
	on, _ := FeeChargingEnabled.Get(c.Store)
	answer := struct {
		Enabled bool  `json:"fee_charging_enabled"`
		Types   []fee `json:"types"`
	}{Enabled: on}
	for t := Validator; t <= GpuMiner; t++ {
		f, _ := CurrentNodeTypeFee.Get(c.Store, t)
		answer.Types = append(answer.Types, fee{t, f, !Enabled(c.Store, t)})
	}
	return answer, nil
}

func viewMetrics(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byNode
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	m, ok := NodeMetrics.Get(c.Store, p.NodeID)
	if !ok {
		return nil, nil // none, as the original says it
	}
	return m, nil
}

func viewBlocks(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byNode
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	seen, _ := BlockNumbers.Get(c.Store, p.NodeID)
	return append([]uint64{}, seen...), nil
}

func viewDowntime(c *pallet.Context, _ json.RawMessage) (any, error) {
	all, _ := DowntimeStatus.Get(c.Store)
	return append([]OfflineStatus{}, all...), nil
}

// Registration returns the pallet of who the nodes are.
func Registration() pallet.Pallet {
	return pallet.Pallet{
		Name: registration, Index: 53,
		Calls: []pallet.Info{
			{Index: 0, Name: "force_register_coldkey_node", New: func() pallet.Call { return new(ForceRegisterColdkeyNode) }},
			{Index: 1, Name: "register_node_with_coldkey", New: func() pallet.Call { return new(RegisterNodeWithColdkey) }},
			{Index: 2, Name: "register_node_with_hotkey", New: func() pallet.Call { return new(RegisterNodeWithHotkey) }},
			{Index: 3, Name: "set_node_status_to_degraded", New: func() pallet.Call { return new(SetNodeStatusToDegraded) }},
			{Index: 5, Name: "force_register_node_with_hotkey", New: func() pallet.Call { return new(ForceRegisterNodeWithHotkey) }},
			{Index: 6, Name: "set_fee_charging", New: func() pallet.Call { return new(SetFeeCharging) }},
			{Index: 7, Name: "set_node_type_fee", New: func() pallet.Call { return new(SetNodeTypeFee) }},
			{Index: 8, Name: "set_node_type_disabled", New: func() pallet.Call { return new(SetNodeTypeDisabled) }},
			{Index: 9, Name: "force_unregister_hotkey_node", New: func() pallet.Call { return new(ForceUnregisterHotkeyNode) }},
			{Index: 10, Name: "force_unregister_coldkey_node", New: func() pallet.Call { return new(ForceUnregisterColdkeyNode) }},
			{Index: 11, Name: "unregister_node", New: func() pallet.Call { return new(UnregisterNode) }},
			{Index: 12, Name: "unregister_main_node", New: func() pallet.Call { return new(UnregisterMainNode) }},
			{Index: 13, Name: "swap_node_owner", New: func() pallet.Call { return new(SwapNodeOwner) }},
		},
		Views: []pallet.View{{Name: "node", Run: viewNode}, {Name: "nodes", Run: viewNodes}, {Name: "fees", Run: viewFees}},
		Events: strings.Fields(`NodeRegistered MainNodeRegistered NodeUnregistered NodeStatusUpdated FeeChargingStatusChanged
			FeePercentageChanged NodeTypeFeeUpdated NodeTypeDisabledChanged NodeOwnerSwapped`),
		Errors: strings.Fields(`NoneValue StorageOverflow IpfsNodeIdRequired NodeAlreadyRegistered NodeNotFound NotAminer
			IpfsNodeIdAlreadyRegistered AddressUidNotFoundOnBittensor InvalidAccountId InsufficientStake InsufficientBalanceForFee FeeTooHigh
			NodeTypeDisabled NodeTypeMismatch NodeNotRegistered NotNodeOwner NotAProxyAccount InvalidProxyType AccountNotRegistered
			NodeNotInUids`),
		Genesis: genesis,
	}
}

// ExecutionUnit returns the pallet of what the nodes measure.
func ExecutionUnit() pallet.Pallet {
	return pallet.Pallet{
		Name: unit, Index: 54,
		Calls: []pallet.Info{
			{Index: 1, Name: "put_node_specs", New: func() pallet.Call { return new(PutNodeSpecs) }},
			{Index: 2, Name: "update_pin_check_metrics", New: func() pallet.Call { return new(UpdatePinCheckMetrics) }},
			{Index: 3, Name: "update_metrics_data", New: func() pallet.Call { return new(UpdateMetricsData) }},
			{Index: 4, Name: "update_block_time", New: func() pallet.Call { return new(UpdateBlockTime) }},
			{Index: 5, Name: "store_offline_status_of_miner", New: func() pallet.Call { return new(StoreOfflineStatusOfMiner) }},
		},
		Views: []pallet.View{{Name: "get_node_metrics", Run: viewMetrics}, {Name: "block_numbers", Run: viewBlocks}, {Name: "downtime_status", Run: viewDowntime}},
		Events: strings.Fields(`BenchmarkStarted BenchmarkCompleted BenchmarkFailed NodeSpecsStored SignedPayloadProcessed
			PinCheckMetricsUpdated`),
		Errors: strings.Fields("MetricsNotFound TooManyRequests InvalidSignature InvalidMetrics"),
		End:    sweep,
	}
}
