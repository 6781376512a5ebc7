package requests

import (
	"encoding/json"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

var views = []pallet.View{
	{Name: "request", Run: viewRequest}, {Name: "requests", Run: viewRequests}, {Name: "miner_requests", Run: viewMiner},
	{Name: "get_user_vms", Run: viewUserVMs}, {Name: "miner_request", Run: viewMinerRequest},
	{Name: "unfulfilled", Run: filter(func(m MinerComputeRequest) bool { return !m.Fulfilled && m.JobID == nil && m.FailReason == nil })},
	{Name: "pending_jobs", Run: filter(func(m MinerComputeRequest) bool { return m.JobID != nil && !m.Fulfilled && m.FailReason == nil })},
	{Name: "pending_vnc", Run: filter(func(m MinerComputeRequest) bool { return m.JobID != nil && m.FailReason == nil && m.VNCPort == nil })},
	{Name: "pending_nebula", Run: filter(func(m MinerComputeRequest) bool {
		return m.JobID != nil && m.Fulfilled && m.HypervisorIP == nil && m.FailReason == nil
	})},
	{Name: "params", Run: viewParams},
}

// Shown is a request as views show it.
type Shown struct {
	ComputeRequest
	MinerNodeID *nodes.ID  `json:"miner_node_id"` // that serves it
	IPReserved  *string    `json:"ip_reserved"`
	FailReason  string     `json:"fail_reason"` // of the last miner that failed
	Tried       []nodes.ID `json:"tried"`
	WaitingFor  string     `json:"waiting_for,omitempty"` // of one that is Pending, when it is asked for alone
}

// waitingFor says why a request has no miner, in words.
func waitingFor(s *state.Store, r ComputeRequest, e entry) string {
	candidates := nodes.Miners(s)
	if r.MinerID != nil {
		candidates = []nodes.ID{*r.MinerID}
	}
	why := "there is no miner"
	for _, node := range candidates[:min(len(candidates), placeNodes)] {
		_, err := suits(s, node, r, e)
		if err == nil {
			if free, _ := ip.VMAvailableIps.Get(s); len(free) == 0 {
				return errNoIP.Error() + ": the pool of addresses for VMs is empty"
			}
			return "the chain to place it"
		}
		why = "miner " + node + ": " + err.Error()
	}
	return why
}

func shown(s *state.Store, r ComputeRequest, e entry) Shown {
	v := Shown{ComputeRequest: r, FailReason: e.Reason, Tried: append([]nodes.ID{}, e.Tried...)}
	if e.Node != "" {
		v.MinerNodeID = &e.Node
	}
	if addr, ok := ip.Reserved(s, holder(r.RequestID)); ok {
		v.IPReserved = &addr
	}
	return v
}

func viewRequest(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		RequestID ID `json:"request_id"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	r, e, ok := get(c.Store, p.RequestID)
	if !ok {
		return nil, fault.New(fault.CallerNotFound, "request", p.RequestID.String(), nil)
	}
	v := shown(c.Store, r, e)
	if r.Status == Pending {
		v.WaitingFor = waitingFor(c.Store, r, e)
	}
	return v, nil
}

// maxLooks bounds the requests that one question looks at.
const maxLooks = 5000

func viewRequests(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		pallet.Page[ID]
		Owner  *pallet.Account `json:"owner"`
		Status *Status         `json:"status"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	a := pallet.NewAnswer[ID, Shown](p.Page)
	wanted := func(r ComputeRequest) bool { return p.Status == nil || r.Status == *p.Status }
	if p.Owner != nil {
		all, _ := ComputeRequests.Get(c.Store, credits.Main(c.Store, *p.Owner))
		for _, r := range all {
			if wanted(r) && (p.After == nil || r.RequestID.Cmp(*p.After) > 0) {
				if e, _ := entries.Get(c.Store, r.RequestID); !a.Add(r.RequestID, shown(c.Store, r, e)) {
					break
				}
			}
		}
		return a, nil
	}
	var id ID
	if p.After != nil {
		id = p.After.Plus(ID{Lo: 1})
	}
	next, _ := NextRequestID.Get(c.Store)
	for n := 0; id.Cmp(next) < 0; n++ {
		if n == maxLooks && a.Next == nil {
			last, _ := id.Minus(ID{Lo: 1})
			a.Next = &last
			break
		}
		if r, e, ok := get(c.Store, id); ok && wanted(r) && !a.Add(id, shown(c.Store, r, e)) {
			break
		}
		id = id.Plus(ID{Lo: 1})
	}
	return a, nil
}

// ShownMiner is a record of a miner, and what is reserved for it.
type ShownMiner struct {
	MinerComputeRequest
	IPReserved *string `json:"ip_reserved"`
}

func shownMiner(s *state.Store, m MinerComputeRequest) ShownMiner {
	v := ShownMiner{MinerComputeRequest: m}
	if addr, ok := ip.Reserved(s, holder(m.RequestID)); ok && m.FailReason == nil {
		v.IPReserved = &addr
	}
	return v
}

// openFirst puts those that are not over in front.
func openFirst[T any](all []T, over func(T) bool) []T {
	out := make([]T, 0, len(all))
	for _, want := range []bool{false, true} {
		for _, v := range all {
			if over(v) == want {
				out = append(out, v)
			}
		}
	}
	return out
}

type byMiner struct {
	MinerNodeID nodes.ID `json:"miner_node_id"`
}

func viewMiner(c *pallet.Context, params json.RawMessage) (any, error) {
	var p byMiner
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	get := func(list sides) []SideRequest {
		all, _ := list.Get(c.Store, p.MinerNodeID)
		return openFirst(all, func(r SideRequest) bool { return r.Fulfilled })
	}
	answer := struct {
		Compute  []ShownMiner    `json:"compute"`
		Stop     []SideRequest   `json:"stop"`
		Boot     []SideRequest   `json:"boot"`
		Reboot   []SideRequest   `json:"reboot"`
		Resize   []ResizeRequest `json:"resize"`
		Deletion []SideRequest   `json:"deletion"`
	}{Compute: []ShownMiner{}, Stop: get(StopRequests), Boot: get(BootRequests), Reboot: get(RebootRequests), Deletion: get(DeletionRequests)}
	all, _ := MinerComputeRequests.Get(c.Store, p.MinerNodeID)
	for _, m := range openFirst(all, func(m MinerComputeRequest) bool { return m.FailReason != nil }) {
		answer.Compute = append(answer.Compute, shownMiner(c.Store, m))
	}
	resizes, _ := ResizeRequests.Get(c.Store, p.MinerNodeID)
	answer.Resize = openFirst(resizes, func(r ResizeRequest) bool { return r.Fulfilled })
	return answer, nil
}

// filter makes a view of the records of a miner that are wanted.
func filter(wanted func(MinerComputeRequest) bool) func(*pallet.Context, json.RawMessage) (any, error) {
	return func(c *pallet.Context, params json.RawMessage) (any, error) {
		var p byMiner
		if err := pallet.Params(params, &p); err != nil {
			return nil, err
		}
		all, _ := MinerComputeRequests.Get(c.Store, p.MinerNodeID)
		out := []ShownMiner{}
		for _, m := range all {
			if wanted(m) {
				out = append(out, shownMiner(c.Store, m))
			}
		}
		return out, nil
	}
}

// viewMinerRequest finds the fulfilled record of a request, by its number or by account and plan; none is null.
func viewMinerRequest(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		RequestID *ID             `json:"request_id"`
		Account   *pallet.Account `json:"account"`
		PlanID    *pallet.Hash    `json:"plan_id"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	var id ID
	switch {
	case p.RequestID != nil:
		id = *p.RequestID
	case p.Account != nil && p.PlanID != nil:
		r, ok := Find(c.Store, credits.Main(c.Store, *p.Account), *p.PlanID)
		if !ok {
			return nil, nil
		}
		id = r.RequestID
	default:
		return nil, fault.New(fault.CallerInvalid, "params", "", nil).WithHint("name request_id, or account and plan_id")
	}
	e, _ := entries.Get(c.Store, id)
	m, ok := onMiner(c.Store, e.Node, id)
	if !ok || !m.Fulfilled {
		return nil, nil
	}
	return m, nil
}

// UserVM is a request as its owner sees it.
type UserVM struct {
	RequestID      ID              `json:"request_id"`
	Status         Status          `json:"status"`
	PlanID         pallet.Hash     `json:"plan_id"`
	CreatedAt      uint64          `json:"created_at"`
	MinerNodeID    *nodes.ID       `json:"miner_node_id"`
	MinerAccountID *pallet.Account `json:"miner_account_id"`
	JobID          *string         `json:"job_id"`
	HypervisorIP   *string         `json:"hypervisor_ip"`
	VNCPort        *uint64         `json:"vnc_port"`
	IPAssigned     *string         `json:"ip_assigned"`
	Error          *string         `json:"error"`
	IsFulfilled    bool            `json:"is_fulfilled"`
}

func viewUserVMs(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Account pallet.Account `json:"account"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	all, _ := ComputeRequests.Get(c.Store, credits.Main(c.Store, p.Account))
	out := []UserVM{}
	for _, r := range all {
		v := UserVM{RequestID: r.RequestID, Status: r.Status, PlanID: r.PlanID, CreatedAt: r.CreatedAt}
		e, _ := entries.Get(c.Store, r.RequestID)
		if e.Reason != "" {
			v.Error = &e.Reason
		}
		if m, ok := onMiner(c.Store, e.Node, r.RequestID); ok {
			v.MinerNodeID, v.MinerAccountID, v.JobID, v.HypervisorIP = &m.MinerNodeID, &m.MinerAccountID, m.JobID, m.HypervisorIP
			v.VNCPort, v.IPAssigned, v.IsFulfilled = m.VNCPort, m.IPAssigned, m.Fulfilled
		}
		out = append(out, v)
	}
	return out, nil
}

func viewParams(c *pallet.Context, _ json.RawMessage) (any, error) {
	next, _ := NextRequestID.Get(c.Store)
	queue, _ := waiting.Get(c.Store)
	return struct {
		NextRequestID  ID     `json:"next_request_id"`
		Waiting        int    `json:"waiting"`
		PlaceBlocks    uint64 `json:"place_blocks"`
		AnswerBlocks   uint64 `json:"answer_blocks"`
		DeletionBlocks uint64 `json:"deletion_blocks"`
	}{next, len(queue), PlaceBlocks, answerBlocks(c.Store), DeletionBlocks}, nil
}
