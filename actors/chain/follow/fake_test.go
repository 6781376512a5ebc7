package follow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// ledger is a chain in memory: the state after each block, of which those that are not final may be undone.
type ledger struct {
	genesis chain.Hash
	blocks  []chain.Block // from block 1 on
	states  []*state      // states[n] is after block n
	ops     [][]op        // of block n+1
	final   uint64
	down    bool
	queries map[string]int
	parents map[chain.Hash]chain.Cursor
	salt    uint16
}

// op changes the state and says what happened.
type op struct {
	sticky bool // it comes again after a fork
	do     func(st *state) []chain.Event
}

type state struct {
	tickets map[uint64]fakeTicket
	lists   map[uint64]bool // that have the worker
	bench   manifest.Address
	benches map[manifest.Address]string
	vms     map[string]fakeVM
	ips     []string
}

type fakeTicket struct {
	address manifest.Address
	cid     string
	list    uint64
	balance uint64
	closing bool
}

type fakeVM struct {
	request   json.RawMessage
	gone      bool // the miner record is dropped
	job, ip   string
	fail      string
	hyper     string
	port      uint64
	fulfilled bool
	sides     map[string]uint64 // open, by the height at which they came
	gb        uint32
}

func newLedger() *ledger {
	return &ledger{
		genesis: chain.Hash{9},
		states: []*state{{
			tickets: map[uint64]fakeTicket{}, lists: map[uint64]bool{}, benches: map[manifest.Address]string{}, vms: map[string]fakeVM{},
		}},
		queries: map[string]int{}, parents: map[chain.Hash]chain.Cursor{},
	}
}

func (st *state) clone() *state {
	c := *st
	c.tickets, c.lists, c.benches, c.vms = maps.Clone(st.tickets), maps.Clone(st.lists), maps.Clone(st.benches), maps.Clone(st.vms)
	for id, v := range c.vms {
		v.sides = maps.Clone(v.sides)
		c.vms[id] = v
	}
	c.ips = slices.Clone(st.ips)
	return &c
}

func (l *ledger) state() *state { return l.states[len(l.states)-1] }

func (l *ledger) head() uint64 { return uint64(len(l.blocks)) }

func (l *ledger) cursor(height uint64) chain.Cursor {
	if height == 0 {
		return chain.Cursor{Hash: l.genesis}
	}
	return l.blocks[height-1].Cursor
}

// mine makes a block.
func (l *ledger) mine(ops ...op) {
	st := l.state().clone()
	l.salt++
	height := l.head() + 1
	b := chain.Block{Cursor: chain.Cursor{Height: height, Hash: chain.Hash{byte(height), byte(height >> 8), byte(l.salt), byte(l.salt >> 8), 1}}, Parent: l.cursor(height - 1).Hash}
	for _, o := range ops {
		b.Events = append(b.Events, o.do(st)...)
	}
	l.parents[b.Hash] = l.cursor(height - 1)
	l.final = max(l.final, height-min(height, 3))
	b.Finalized = l.final
	l.blocks, l.states, l.ops = append(l.blocks, b), append(l.states, st), append(l.ops, ops)
}

// fork undoes blocks that are not final, and makes one more than there were.
func (l *ledger) fork(depth int) {
	depth = min(depth, int(l.head()-l.final))
	at := len(l.blocks) - depth
	var again []op
	for _, ops := range l.ops[at:] {
		for _, o := range ops {
			if o.sticky {
				again = append(again, o)
			}
		}
	}
	l.blocks, l.states, l.ops = l.blocks[:at:at], l.states[:at+1:at+1], l.ops[:at:at]
	for range depth {
		l.mine()
	}
	l.mine(again...)
}

func event(pallet, name string, fields any) chain.Event {
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return chain.Event{Pallet: pallet, Name: name, Fields: b}
}

func accountOf(ticket uint64) chain.Hash {
	return chain.Hash{0xee, byte(ticket), byte(ticket >> 8), byte(ticket >> 16)}
}

func (l *ledger) Info(context.Context) (chain.Info, error) {
	if l.down {
		return chain.Info{}, fault.New(fault.BusyChain, "fake", "", nil)
	}
	return chain.Info{Name: "fake", Genesis: l.genesis, Head: l.cursor(l.head()), Finalized: l.cursor(l.final)}, nil
}

func (l *ledger) Account(context.Context, [32]byte) (chain.Account, error) {
	return chain.Account{}, nil
}
func (l *ledger) Sign(chain.Call, chain.Signing) (chain.Tx, error)                    { return chain.Tx{}, nil }
func (l *ledger) Submit(context.Context, []byte) error                                { return nil }
func (l *ledger) Follow(context.Context, chain.Cursor, func(chain.Block) error) error { return nil }

// after is the next block behind a cursor, or on the fork that replaced it.
func (l *ledger) after(c chain.Cursor) (chain.Block, bool) {
	for c.Height > l.head() || c.Height > 0 && l.blocks[c.Height-1].Hash != c.Hash { // back to where the forks part
		c = l.parents[c.Hash]
	}
	if c.Height == l.head() {
		return chain.Block{}, false
	}
	return l.blocks[c.Height], true
}

func (l *ledger) Query(_ context.Context, path string, params, out any) error {
	if l.down {
		return fault.New(fault.BusyChain, "fake", "", nil)
	}
	l.queries[path]++
	b, err := json.Marshal(params)
	if err != nil {
		return err
	}
	var p struct {
		ID        uint64  `json:"id"`
		List      *uint64 `json:"list"`
		After     uint64  `json:"after"`
		Limit     int     `json:"limit"`
		RequestID string  `json:"request_id"`
		Node      string  `json:"miner_node_id"`
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	v, err := l.view(path, p.ID, p.List, p.After, p.Limit, p.RequestID)
	if err != nil {
		return err
	}
	if b, err = json.Marshal(v); err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

func notFound() error { return fault.New(fault.CallerNotFound, "fake", "", nil) }

func (l *ledger) view(path string, id uint64, list *uint64, after uint64, limit int, request string) (any, error) {
	st := l.state()
	switch path {
	case "Wapod/ticket":
		t, ok := st.tickets[id]
		if !ok {
			return nil, notFound()
		}
		return t.view(id), nil
	case "Wapod/tickets":
		items := []any{}
		for _, n := range sorted(st.tickets) {
			t := st.tickets[n]
			if n <= after || (list == nil && !st.lists[t.list]) || (list != nil && *list != t.list) {
				continue
			}
			if len(items) == limit {
				return map[string]any{"items": items, "next": items[limit-1].(map[string]any)["id"]}, nil
			}
			items = append(items, t.view(n))
		}
		return map[string]any{"items": items, "next": nil}, nil
	case "Wapod/worker":
		return map[string]any{"registered": true, "lists": sorted(st.lists)}, nil
	case "Wapod/bench_apps":
		apps := []any{}
		for a, cid := range st.benches {
			apps = append(apps, map[string]any{"address": a, "ticket": 1, "manifest_cid": cid})
		}
		if st.bench == (manifest.Address{}) {
			return map[string]any{"recommended": nil, "apps": apps}, nil
		}
		return map[string]any{"recommended": st.bench, "apps": apps}, nil
	case "Compute/miner_requests":
		return st.requests(), nil
	case "Compute/request":
		v, ok := st.vms[request]
		if !ok {
			return nil, notFound()
		}
		return v.request, nil
	case "PalletIp/pools":
		return map[string]any{"vm": st.ips}, nil
	}
	return nil, fmt.Errorf("no view %s", path)
}

func (t fakeTicket) view(id uint64) any {
	var closing any
	if t.closing {
		closing = 100
	}
	return map[string]any{
		"id": id, "system": false, "owner": chain.Hash{1}, "workers": map[string]any{"list": t.list}, "address": t.address, "manifest_cid": t.cid,
		"account": accountOf(id), "balance": strconv.FormatUint(t.balance, 10), "closing_at": closing, "workers_state": []any{},
	}
}

func (st *state) requests() any {
	out := map[string][]any{"compute": {}, "stop": {}, "boot": {}, "reboot": {}, "resize": {}, "deletion": {}}
	optional := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	for _, id := range sorted(st.vms) {
		v := st.vms[id]
		if !v.gone {
			m := map[string]any{
				"request_id": id, "plan_id": "plan-" + id, "job_id": optional(v.job), "ip_assigned": optional(v.ip), "fail_reason": optional(v.fail),
				"hypervisor_ip": optional(v.hyper), "created_at": 1, "fullfilled": v.fulfilled, "vnc_port": nil, //nolint:misspell // as it is spelt on chain
			}
			if v.port > 0 {
				m["vnc_port"] = v.port
			}
			out["compute"] = append(out["compute"], m)
		}
		for kind, at := range v.sides {
			if kind == kindDelete {
				kind = "deletion"
			}
			out[kind] = append(out[kind], map[string]any{"request_id": id, "job_id": optional(v.job), "created_at": at, "fullfilled": false, "resize_gbs": v.gb}) //nolint:misspell // as it is spelt on chain
		}
	}
	return out
}

// call does what a miner tells the chain.
func (l *ledger) call(c chain.Call) (op, error) {
	var a struct {
		Node   string `json:"node_id"`
		ID     string `json:"request_id"`
		Job    string `json:"job_id"`
		IP     string `json:"ip"`
		Reason string `json:"fail_reason"`
		Hyper  string `json:"hypervisor_ip"`
		Port   uint64 `json:"vnc_port"`
	}
	if err := json.Unmarshal(c.Args, &a); err != nil {
		return op{}, err
	}
	failed := func(name string) (op, error) {
		return op{}, (&chain.TxError{Pallet: "Compute", Name: name}).Fault()
	}
	v, ok := l.state().vms[a.ID]
	if !ok {
		return failed("ComputeRequestNotFound")
	}
	side := map[string]string{
		"mark_miner_compute_stop_request_fulfilled": kindStop, "submit_compute_boot_request_fulfillment": kindBoot,
		"submit_compute_reboot_request_fulfillment": kindReboot, "submit_compute_resize_request_fulfillment": kindResize, "submit_compute_deletion_request": kindDelete,
	}[c.Name]
	if side != "" {
		if _, ok := v.sides[side]; !ok {
			return failed("NotFound")
		}
	} else if v.gone {
		return failed("ComputeRequestNotFound")
	}
	if c.Name == "update_miner_compute_request" && !slices.Contains(l.state().ips, a.IP) {
		return failed("NoAvailableIp")
	}
	return op{sticky: true, do: func(st *state) []chain.Event {
		v, ok := st.vms[a.ID]
		if !ok {
			return nil
		}
		switch c.Name {
		case "update_miner_compute_request":
			v.job, v.ip = a.Job, a.IP
			st.ips = slices.DeleteFunc(st.ips, func(ip string) bool { return ip == a.IP })
		case "mark_compute_request_fulfilled":
			v.fulfilled = true
		case "handle_miner_compute_request_failure":
			v.fail = a.Reason
		case "update_miner_compute_request_hypervisor_ip":
			v.hyper = a.Hyper
		case "update_miner_compute_request_vnc":
			v.port = a.Port
		case "submit_compute_deletion_request":
			delete(st.vms, a.ID)
			return nil
		default:
			delete(v.sides, side)
		}
		st.vms[a.ID] = v
		return nil
	}}, nil
}

func fakeManifest(n int) *manifest.Manifest {
	return &manifest.Manifest{Version: 1, CodeHash: "sha256:" + fmt.Sprintf("%064x", n), MaxQueryBytes: 1024, Label: "app " + strconv.Itoa(n)}
}

// The things that happen on a chain.

func opTicket(id uint64, address manifest.Address, list, balance uint64) op {
	return op{do: func(st *state) []chain.Event {
		st.tickets[id] = fakeTicket{address: address, cid: "cid", list: list, balance: balance}
		return []chain.Event{event("Wapod", "TicketCreated", map[string]any{"id": id, "address": address, "list": list})}
	}}
}

func opBalance(id, balance uint64) op {
	return op{do: func(st *state) []chain.Event {
		t, ok := st.tickets[id]
		if !ok {
			return nil
		}
		t.balance = balance
		st.tickets[id] = t
		return []chain.Event{event("Balances", "Transfer", map[string]any{"from": chain.Hash{1}, "to": accountOf(id), "amount": "1"})}
	}}
}

func opClosing(id uint64) op {
	return op{do: func(st *state) []chain.Event {
		t, ok := st.tickets[id]
		if !ok {
			return nil
		}
		t.closing = true
		st.tickets[id] = t
		return []chain.Event{event("Wapod", "TicketClosing", map[string]any{"id": id, "closes_at": 7})}
	}}
}

func opClosed(id uint64) op {
	return op{do: func(st *state) []chain.Event {
		delete(st.tickets, id)
		return []chain.Event{event("Wapod", "TicketClosed", map[string]any{"id": id})}
	}}
}

func opMember(list uint64, in bool) op {
	return op{do: func(st *state) []chain.Event {
		if in {
			st.lists[list] = true
			return []chain.Event{event("Wapod", "WorkersAddedToList", map[string]any{"list": list, "workers": []chain.Hash{{7}}})}
		}
		delete(st.lists, list)
		return []chain.Event{event("Wapod", "WorkerRemovedFromList", map[string]any{"list": list, "worker": chain.Hash{7}})}
	}}
}

func opBench(address manifest.Address) op {
	return op{do: func(st *state) []chain.Event {
		st.bench = address
		if address != (manifest.Address{}) {
			st.benches[address] = "cid"
		}
		return []chain.Event{event("Wapod", "RecommendedBenchmarkAppChanged", map[string]any{"address": address})}
	}}
}

func opRequest(id, description string) op {
	return op{sticky: true, do: func(st *state) []chain.Event {
		b, _ := json.Marshal(map[string]any{
			"request_id": id, "plan_id": "plan-" + id, "plan_technical_description": description, "status": "InProgress", "owner": chain.Hash{3},
			"selected_image": map[string]any{"name": "image", "image_url": "sha256:" + fmt.Sprintf("%064x", 1)}, "cloud_init_cid": nil,
		})
		st.vms[id] = fakeVM{request: b, sides: map[string]uint64{}}
		return []chain.Event{event("Compute", "ComputeRequestSubmitted", map[string]any{"miner": chain.Hash{7}.String(), "request_id": id, "owner": chain.Hash{3}})}
	}}
}

func opSide(id, kind string, height uint64) op {
	return op{sticky: true, do: func(st *state) []chain.Event {
		v, ok := st.vms[id]
		if !ok || !v.fulfilled {
			return nil
		}
		if kind == kindDelete {
			v.gone = true
			clear(v.sides)
		}
		v.sides[kind] = height
		v.gb = 12
		st.vms[id] = v
		return []chain.Event{event("Compute", "ComputeStopRequested", map[string]any{"plan_id": "plan-" + id, "owner": chain.Hash{3}, "caller": chain.Hash{3}})}
	}}
}

func opIPs(ips ...string) op {
	return op{do: func(st *state) []chain.Event { st.ips = append(st.ips, ips...); return nil }}
}

const plainPlan = `{"cpu_cores":2,"ram_gb":1,"storage_gb":5,"inbound_bandwidth":10,"outbound_bandwidth":20,"gpu":false,"is_sev_enabled":false}`

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
