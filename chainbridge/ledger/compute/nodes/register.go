package nodes

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const registration = "Registration"

// MaxNodes is how many nodes there may be.
const MaxNodes = 1024

// The storage of Registration. A node is in one of the two registrations.
var (
	NodeRegistration        = state.NewMap[ID, NodeInfo](registration, "NodeRegistration")
	ColdkeyNodeRegistration = state.NewMap[ID, NodeInfo](registration, "ColdkeyNodeRegistration")
	LinkedNodes             = state.NewMap[ID, []ID](registration, "LinkedNodes")
	DisabledNodeTypes       = state.NewMap[NodeType, bool](registration, "DisabledNodeTypes")
	FeeChargingEnabled      = state.NewItem[bool](registration, "FeeChargingEnabled")
	CurrentNodeTypeFee      = state.NewMap[NodeType, pallet.Balance](registration, "CurrentNodeTypeFee")
	LastRegistrationBlock   = state.NewMap[NodeType, uint64](registration, "LastRegistrationBlock")

	allNodes = state.NewItem[[]ID](registration, "Nodes")  // in the order of their registration
	miners   = state.NewItem[[]ID](registration, "Miners") // those of type ComputeMiner
)

// Fees is the account that gets the fees of registrations.
var Fees = accounts.Module("register")

// Events.
type (
	// NodeEvent is NodeRegistered, MainNodeRegistered or NodeUnregistered.
	NodeEvent struct {
		NodeID ID             `json:"node_id"`
		Owner  pallet.Account `json:"owner"`
	}
	// NodeStatusUpdated is an event.
	NodeStatusUpdated struct {
		NodeID ID     `json:"node_id"`
		Status Status `json:"status"`
	}
	// FeeChargingStatusChanged is an event.
	FeeChargingStatusChanged struct {
		Enabled bool `json:"enabled"`
	}
	// NodeTypeFeeUpdated is an event.
	NodeTypeFeeUpdated struct {
		NodeType NodeType       `json:"node_type"`
		Fee      pallet.Balance `json:"fee"`
	}
	// NodeTypeDisabledChanged is an event.
	NodeTypeDisabledChanged struct {
		NodeType NodeType `json:"node_type"`
		Disabled bool     `json:"disabled"`
	}
	// NodeOwnerSwapped is an event.
	NodeOwnerSwapped struct {
		NodeID   ID             `json:"node_id"`
		NewOwner pallet.Account `json:"new_owner"`
	}
)

func fail(err, detail string) error { return pallet.Fail(registration, err, detail) }

// Get returns a node.
func Get(s *state.Store, id ID) (NodeInfo, bool) {
	if n, ok := NodeRegistration.Get(s, id); ok {
		return n, true
	}
	return ColdkeyNodeRegistration.Get(s, id)
}

func put(s *state.Store, n NodeInfo) {
	if ColdkeyNodeRegistration.Has(s, n.NodeID) {
		ColdkeyNodeRegistration.Put(s, n.NodeID, n)
		return
	}
	NodeRegistration.Put(s, n.NodeID, n)
}

// Miners returns the compute miners in the order of their registration.
func Miners(s *state.Store) []ID {
	all, _ := miners.Get(s)
	return all
}

// Enabled says whether nodes of a type may be registered and used.
func Enabled(s *state.Store, t NodeType) bool {
	off, _ := DisabledNodeTypes.Get(s, t)
	return !off
}

// Owned returns a node if its owner signed the transaction, and the signature argument too, if there is one. The error is refused
// otherwise, so that each pallet says it in its own words.
//
// # Errors
//
// refused, Registration.NodeNotFound.
func Owned(c *pallet.Context, id ID, sig *MultiSignature, payload func() []byte, refused error) (NodeInfo, error) {
	who, err := c.Signer()
	if err != nil {
		return NodeInfo{}, refused
	}
	n, ok := Get(c.Store, id)
	switch {
	case !ok:
		return NodeInfo{}, fail("NodeNotFound", "")
	case who != n.Owner, sig != nil && !sig.Valid(n.Owner, payload()):
		return NodeInfo{}, refused
	}
	return n, nil
}

// key says whose worker key an ID is.
func key(id ID) (k pallet.Account, ok bool) {
	if len(id) != 2*len(k) || strings.ToLower(id) != id {
		return k, false
	}
	b, err := hex.DecodeString(id)
	if err != nil {
		return k, false
	}
	copy(k[:], b)
	return k, true
}

// register adds a node. Whoever pays, a worker key as an ID belongs to who has the key.
func register(c *pallet.Context, n NodeInfo, main bool) error {
	all, _ := allNodes.Get(c.Store)
	_, exists := Get(c.Store, n.NodeID)
	switch {
	case n.NodeID == "" || len(n.NodeID) > MaxID:
		return fail("NoneValue", "the ID of a node has 1 to 128 bytes")
	case exists:
		return fail("NodeAlreadyRegistered", "")
	case !Enabled(c.Store, n.NodeType):
		return fail("NodeTypeDisabled", "")
	case len(all) >= MaxNodes:
		return fail("StorageOverflow", "too many nodes")
	}
	n.RegisteredAt = c.Height
	event := "NodeRegistered"
	if main {
		ColdkeyNodeRegistration.Put(c.Store, n.NodeID, n)
		event = "MainNodeRegistered"
	} else {
		NodeRegistration.Put(c.Store, n.NodeID, n)
	}
	allNodes.Put(c.Store, append(all, n.NodeID))
	if n.NodeType == ComputeMiner {
		miners.Put(c.Store, append(Miners(c.Store), n.NodeID))
	}
	LastRegistrationBlock.Put(c.Store, n.NodeType, c.Height)
	c.Emit(registration, event, NodeEvent{n.NodeID, n.Owner})
	return nil
}

// Unregister removes a node and all that it reported.
func Unregister(c *pallet.Context, n NodeInfo) {
	NodeRegistration.Delete(c.Store, n.NodeID)
	ColdkeyNodeRegistration.Delete(c.Store, n.NodeID)
	LinkedNodes.Delete(c.Store, n.NodeID)
	drop := func(item state.Item[[]ID]) {
		all, _ := item.Get(c.Store)
		if i := slices.Index(all, n.NodeID); i >= 0 {
			item.Put(c.Store, slices.Delete(all, i, i+1))
		}
	}
	drop(allNodes)
	if n.NodeType == ComputeMiner {
		drop(miners)
	}
	NodeMetrics.Delete(c.Store, n.NodeID)
	BlockNumbers.Delete(c.Store, n.NodeID)
	rates.Delete(c.Store, n.NodeID)
	c.Emit(registration, "NodeUnregistered", NodeEvent{n.NodeID, n.Owner})
}

func pay(c *pallet.Context, who pallet.Account, t NodeType, inCredits bool) error {
	if on, _ := FeeChargingEnabled.Get(c.Store); !on {
		return nil
	}
	fee, _ := CurrentNodeTypeFee.Get(c.Store, t)
	switch {
	case fee.IsZero():
		return nil
	case inCredits:
		return credits.Move(c, who, Fees, fee)
	case accounts.Transfer(c, who, Fees, fee, true) != nil:
		return fail("InsufficientBalanceForFee", "the fee is "+fee.String())
	}
	return nil
}

// ForceRegisterColdkeyNode registers a main node, or with Hot any other, by governance.
type ForceRegisterColdkeyNode struct {
	Owner      pallet.Account `json:"owner"`
	NodeType   NodeType       `json:"node_type"`
	NodeID     ID             `json:"node_id" scale:"max=128"`
	IpfsNodeID *string        `json:"ipfs_node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *ForceRegisterColdkeyNode) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return register(c, NodeInfo{NodeID: r.NodeID, NodeType: r.NodeType, IpfsNodeID: r.IpfsNodeID, Owner: r.Owner}, true)
}

// ForceRegisterNodeWithHotkey registers a node that is none of the main ones, by governance.
type ForceRegisterNodeWithHotkey ForceRegisterColdkeyNode

// Run implements pallet.Call.
func (r *ForceRegisterNodeWithHotkey) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return register(c, NodeInfo{NodeID: r.NodeID, NodeType: r.NodeType, IpfsNodeID: r.IpfsNodeID, Owner: r.Owner}, false)
}

// RegisterNodeWithColdkey registers a main node of who signs.
type RegisterNodeWithColdkey struct {
	NodeType     NodeType `json:"node_type"`
	NodeID       ID       `json:"node_id" scale:"max=128"`
	PayInCredits bool     `json:"pay_in_credits"`
	IpfsNodeID   *string  `json:"ipfs_node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *RegisterNodeWithColdkey) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if k, ok := key(r.NodeID); ok && k != who {
		return fail("NotNodeOwner", "the ID is a worker key of somebody else")
	}
	if err := register(c, NodeInfo{NodeID: r.NodeID, NodeType: r.NodeType, IpfsNodeID: r.IpfsNodeID, Owner: who}, true); err != nil {
		return err
	}
	return pay(c, who, r.NodeType, r.PayInCredits)
}

// RegisterNodeWithHotkey registers another node of who signs and has a main node, whose owner the coldkey is.
type RegisterNodeWithHotkey struct {
	Coldkey      pallet.Account `json:"coldkey"`
	NodeType     NodeType       `json:"node_type"`
	NodeID       ID             `json:"node_id" scale:"max=128"`
	PayInCredits bool           `json:"pay_in_credits"`
	IpfsNodeID   *string        `json:"ipfs_node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *RegisterNodeWithHotkey) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if k, ok := key(r.NodeID); ok && k != who {
		return fail("NotNodeOwner", "the ID is a worker key of somebody else")
	}
	if who != r.Coldkey { // proxies of the original are not here
		return fail("NotAProxyAccount", "")
	}
	if err := register(c, NodeInfo{NodeID: r.NodeID, NodeType: r.NodeType, IpfsNodeID: r.IpfsNodeID, Owner: who}, false); err != nil {
		return err
	}
	return pay(c, who, r.NodeType, r.PayInCredits)
}

// SetNodeStatusToDegraded takes a node out of placement: its owner may, and governance.
type SetNodeStatusToDegraded struct {
	NodeID ID `json:"node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *SetNodeStatusToDegraded) Run(c *pallet.Context) error {
	n, err := mine(c, r.NodeID)
	if err != nil {
		return err
	}
	n.Status = Degraded
	put(c.Store, n)
	c.Emit(registration, "NodeStatusUpdated", NodeStatusUpdated{n.NodeID, n.Status})
	return nil
}

// mine returns a node of who signed; governance has them all.
func mine(c *pallet.Context, id ID) (NodeInfo, error) {
	if c.Origin.Kind == pallet.Root {
		n, ok := Get(c.Store, id)
		if !ok {
			return n, fail("NodeNotFound", "")
		}
		return n, nil
	}
	if _, err := c.Signer(); err != nil {
		return NodeInfo{}, err
	}
	return Owned(c, id, nil, nil, fail("NotNodeOwner", ""))
}

// SetFeeCharging says whether registration costs a fee. It begins as free.
type SetFeeCharging struct {
	Enabled bool `json:"enabled"`
}

// Run implements pallet.Call.
func (r *SetFeeCharging) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	FeeChargingEnabled.Put(c.Store, r.Enabled)
	c.Emit(registration, "FeeChargingStatusChanged", FeeChargingStatusChanged{r.Enabled})
	return nil
}

// SetNodeTypeFee says what registration costs.
type SetNodeTypeFee struct {
	NodeType NodeType       `json:"node_type"`
	Fee      pallet.Balance `json:"fee"`
}

// Run implements pallet.Call.
func (r *SetNodeTypeFee) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	CurrentNodeTypeFee.Put(c.Store, r.NodeType, r.Fee)
	c.Emit(registration, "NodeTypeFeeUpdated", NodeTypeFeeUpdated{r.NodeType, r.Fee})
	return nil
}

// SetNodeTypeDisabled says whether there are new nodes and new requests of a type.
type SetNodeTypeDisabled struct {
	NodeType NodeType `json:"node_type"`
	Disabled bool     `json:"disabled"`
}

// Run implements pallet.Call.
func (r *SetNodeTypeDisabled) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	DisabledNodeTypes.Put(c.Store, r.NodeType, r.Disabled)
	c.Emit(registration, "NodeTypeDisabledChanged", NodeTypeDisabledChanged{r.NodeType, r.Disabled})
	return nil
}

// ForceUnregisterHotkeyNode removes a node by governance.
type ForceUnregisterHotkeyNode struct {
	NodeID ID `json:"node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *ForceUnregisterHotkeyNode) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return unregister(c, r.NodeID, false)
}

// ForceUnregisterColdkeyNode removes a main node by governance.
type ForceUnregisterColdkeyNode struct {
	NodeID ID `json:"node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *ForceUnregisterColdkeyNode) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return unregister(c, r.NodeID, true)
}

// UnregisterNode removes a node of who signs.
type UnregisterNode struct {
	NodeID ID `json:"node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *UnregisterNode) Run(c *pallet.Context) error {
	if _, err := mine(c, r.NodeID); err != nil {
		return err
	}
	return unregister(c, r.NodeID, false)
}

// UnregisterMainNode removes a main node of who signs.
type UnregisterMainNode struct {
	NodeID ID `json:"node_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (r *UnregisterMainNode) Run(c *pallet.Context) error {
	if _, err := mine(c, r.NodeID); err != nil {
		return err
	}
	return unregister(c, r.NodeID, true)
}

func unregister(c *pallet.Context, id ID, main bool) error {
	if ColdkeyNodeRegistration.Has(c.Store, id) != main {
		return fail("NodeNotRegistered", "")
	}
	n, ok := Get(c.Store, id)
	if !ok {
		return fail("NodeNotRegistered", "")
	}
	Unregister(c, n)
	return nil
}

// SwapNodeOwner gives a node to another account.
type SwapNodeOwner struct {
	NodeID   ID             `json:"node_id" scale:"max=128"`
	NewOwner pallet.Account `json:"new_owner"`
}

// Run implements pallet.Call.
func (r *SwapNodeOwner) Run(c *pallet.Context) error {
	n, err := mine(c, r.NodeID)
	if err != nil {
		return err
	}
	n.Owner = r.NewOwner
	put(c.Store, n)
	c.Emit(registration, "NodeOwnerSwapped", NodeOwnerSwapped{n.NodeID, n.Owner})
	return nil
}

func genesis(c *pallet.Context, config json.RawMessage) error {
	var g struct {
		Nodes []struct {
			NodeID   ID             `json:"node_id"`
			NodeType NodeType       `json:"node_type"`
			Owner    pallet.Account `json:"owner"`
		} `json:"nodes"`
	}
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	for _, n := range g.Nodes {
		if err := register(c, NodeInfo{NodeID: n.NodeID, NodeType: n.NodeType, Owner: n.Owner}, true); err != nil {
			return err
		}
	}
	return nil
}
