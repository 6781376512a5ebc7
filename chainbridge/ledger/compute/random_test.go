package compute_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// What the packages keep for themselves, as it is stored.
var (
	uses = state.NewMap[nodes.ID, struct{ Requests, CPUCores, RAMGb, StorageGb uint64 }]("Compute", "Uses")

	entries = state.NewMap[requests.ID, struct {
		Owner    pallet.Account
		Node     nodes.ID
		Needs    requests.Needs
		Deadline uint64
		Tried    []nodes.ID
		Reason   string
	}]("Compute", "Entries")
	waiting = state.NewItem[[]requests.ID]("Compute", "Waiting")
	known   = state.NewMap[string, bool]("PalletIp", "Known")
)

// check looks at everything that must always hold.
func (c *chain) check() {
	c.t.Helper()
	// Credits: what was issued and not burned is somebody's.
	var sum pallet.Balance
	credits.FreeCredits.Each(c.store, nil, func(_ pallet.Account, v pallet.Balance) bool {
		sum = sum.Plus(v)
		return true
	})
	issued, _ := credits.TotalCreditsPurchased.Get(c.store)
	burned, _ := credits.TotalCreditsBurned.Get(c.store)
	if rest, ok := issued.Minus(burned); !ok || rest != sum {
		c.t.Fatalf("%s credits, of %s issued and %s burned", sum, issued, burned)
	}
	// Addresses: each in one place.
	places := map[string]int{}
	p := c.pools()
	for _, list := range [][]string{p.VM, p.Hypervisor, p.Client, p.StorageMiner, p.AssignedVM, p.AssignedClient, slices.Collect(maps.Keys(p.Reserved))} {
		for _, a := range list {
			places[a]++
		}
	}
	for _, r := range p.Quarantine {
		places[r.IP]++
	}
	n := 0
	known.Each(c.store, nil, func(a string, _ bool) bool {
		n++
		if places[a] != 1 {
			c.t.Fatalf("%s is in %d places: %+v", a, places[a], p)
		}
		return true
	})
	if n != len(places) {
		c.t.Fatalf("%d addresses, of %d", n, len(places))
	}
	for _, a := range p.AssignedVM {
		role, ok := ip.IPToRole.Get(c.store, a)
		back, _ := ip.RoleToIP.Get(c.store, role)
		if !ok || back != a {
			c.t.Fatalf("%s has the role %v, which has %s", a, role, back)
		}
	}
	// Requests: waiting, or on one miner, which promised what they need.
	queue, _ := waiting.Get(c.store)
	waits := map[requests.ID]int{}
	for _, id := range queue {
		waits[id]++
	}
	type use struct{ Requests, CPUCores, RAMGb, StorageGb uint64 }
	promised := map[nodes.ID]use{}
	live, addresses := 0, 0
	requests.ComputeRequests.Each(c.store, nil, func(owner pallet.Account, all []requests.ComputeRequest) bool {
		mine, _ := plans.UserPlanSubscriptions.Get(c.store, owner)
		for _, r := range all {
			e, ok := entries.Get(c.store, r.RequestID)
			if !ok || e.Owner != owner || r.Owner != owner {
				c.t.Fatalf("request %s of %s: %+v", r.RequestID, owner, e)
			}
			want := 0
			if r.Status == requests.Pending {
				want = 1
			}
			if waits[r.RequestID] != want {
				c.t.Fatalf("request %s is %s and waits %d times", r.RequestID, r.Status, waits[r.RequestID])
			}
			if over := r.Status == requests.Failed || r.Status == requests.Cancelled; over {
				continue
			}
			live++
			if !slices.ContainsFunc(mine, func(u plans.UserPlanSubscription) bool { return u.Package.ID == r.PlanID }) {
				c.t.Fatalf("request %s is not paid for", r.RequestID)
			}
			records, _ := requests.MinerComputeRequests.Get(c.store, e.Node)
			found := 0
			for _, m := range records {
				if m.RequestID != r.RequestID || m.FailReason != nil {
					continue
				}
				found++
				if m.Fulfilled != (r.Status == requests.Running || r.Status == requests.Stopped) {
					c.t.Fatalf("request %s is %s, and on its miner %+v", r.RequestID, r.Status, m)
				}
				addresses++
			}
			if (found == 1) != (r.Status != requests.Pending) || (e.Node != "") != (found == 1) {
				c.t.Fatalf("request %s is %s, and %d times on %q", r.RequestID, r.Status, found, e.Node)
			}
			if found == 1 {
				u := promised[e.Node]
				u.Requests++
				u.CPUCores += uint64(e.Needs.CPUCores)
				if r.Status == requests.InProgress {
					u.RAMGb += uint64(e.Needs.RAMGb)
					u.StorageGb += uint64(e.Needs.StorageGb)
				}
				promised[e.Node] = u
			}
		}
		return true
	})
	requests.DeletionRequests.Each(c.store, nil, func(node nodes.ID, all []requests.SideRequest) bool {
		u := promised[node]
		u.Requests += uint64(len(all))
		promised[node] = u
		addresses += len(all)
		return true
	})
	uses.Each(c.store, nil, func(node nodes.ID, u struct{ Requests, CPUCores, RAMGb, StorageGb uint64 }) bool {
		if use(u) != promised[node] {
			c.t.Fatalf("%s promised %+v, and it should be %+v", node, u, promised[node])
		}
		delete(promised, node)
		return true
	})
	if len(promised) > 0 {
		c.t.Fatalf("nobody promised %+v", promised)
	}
	if got := len(p.AssignedVM) + len(p.Reserved); got != addresses {
		c.t.Fatalf("%d addresses are in use, for %d requests", got, addresses)
	}
	if err := c.store.Err(); err != nil {
		c.t.Fatal(err)
	}
}

// random does something that may make sense or not.
func (c *chain) random(r *rand.Rand, users, owners []pallet.Account) {
	pick := func(of []pallet.Account) pallet.Account { return of[r.IntN(len(of))] }
	next, _ := requests.NextRequestID.Get(c.store)
	request := rid(r.Uint64N(next.Lo + 1))
	if r.IntN(2) == 0 && next.Lo > 6 {
		request = rid(next.Lo - 1 - r.Uint64N(6))
	}
	user, who := pick(users), pick(owners)
	var e struct {
		Owner pallet.Account
		Plan  pallet.Hash
	}
	if v, ok := entries.Get(c.store, request); ok {
		e.Owner = v.Owner
		all, _ := requests.ComputeRequests.Get(c.store, v.Owner)
		for _, q := range all {
			if q.RequestID == request {
				e.Plan = q.PlanID
			}
		}
		if v.Node != "" && r.IntN(4) > 0 { // mostly the right miner
			for _, o := range owners {
				if id(o) == v.Node {
					who = o
				}
			}
		}
	}
	p := []pallet.Hash{plan1, plan2}[r.IntN(2)]
	node := id(who)
	j := fmt.Sprintf("j%d-%d", request.Lo, r.IntN(3))
	addr := fmt.Sprintf("127.0.0.%d", 2+r.IntN(12))
	if v, ok := ip.Reserved(c.store, "request "+request.String()); ok && r.IntN(4) > 0 {
		addr = v
	}
	o := signed(who)
	if r.IntN(20) == 0 {
		o = signed(pick(append(slices.Clone(users), owners...)))
	}
	if e.Owner != (pallet.Account{}) && r.IntN(4) > 0 {
		user, p = e.Owner, e.Plan
	}
	var call pallet.Call
	kind := r.IntN(24)
	if (kind == 11 || kind == 15 || kind == 16) && r.IntN(4) > 0 {
		kind = 12 + r.IntN(3) // less often what ends all
	}
	switch kind {
	case 0, 1, 2, 3:
		o, call = signed(user), &plans.PurchasePlan{PlanID: p, SelectedImageName: "ubuntu"}
	case 4:
		call = &requests.SubmitComputeRequestAssignment{MinerNodeID: node, PlanID: e.Plan, RequestID: request, Owner: e.Owner}
	case 5, 6, 7:
		call = &requests.UpdateMinerComputeRequest{NodeID: node, RequestID: request, JobID: j, IP: addr}
	case 8, 9, 10:
		call = &requests.MarkComputeRequestFulfilled{NodeID: node, RequestID: request}
	case 11:
		reason := "broken"
		if r.IntN(8) == 0 {
			reason = "No Cloud-Init CID provided"
		}
		call = &requests.HandleMinerComputeRequestFailure{NodeID: node, RequestID: request, FailReason: reason}
	case 12:
		o, call = signed(user), &requests.RequestComputeStop{PlanID: p}
	case 13:
		o, call = signed(user), []pallet.Call{&requests.RequestComputeBoot{PlanID: p}, &requests.RequestComputeReboot{PlanID: p}}[r.IntN(2)]
	case 14:
		o, call = signed(user), &requests.RequestComputeResize{PlanID: p, ResizeToGbs: r.Uint32N(50)}
	case 15:
		o, call = signed(user), &requests.RequestComputeDelete{PlanID: p}
	case 16:
		o, call = signed(user), []pallet.Call{&requests.CancelComputeRequest{RequestID: request}, &plans.CancelSubscription{PlanID: p}}[r.IntN(2)]
	case 17:
		if all, _ := requests.StopRequests.Get(c.store, node); len(all) > 0 {
			request = all[len(all)-1].RequestID
		}
		call = &requests.MarkMinerComputeStopRequestFulfilled{NodeID: node, RequestID: request}
	case 18:
		list := requests.BootRequests
		if r.IntN(2) == 0 {
			list = requests.RebootRequests
		}
		if all, _ := list.Get(c.store, node); len(all) > 0 {
			request = all[len(all)-1].RequestID
		}
		call = []pallet.Call{
			&requests.SubmitComputeBootRequestFulfillment{NodeID: node, RequestID: request},
			&requests.SubmitComputeRebootRequestFulfillment{NodeID: node, RequestID: request},
			&requests.SubmitComputeResizeRequestFulfillment{NodeID: node, RequestID: request},
			&requests.UpdateMinerComputeRequestVNC{NodeID: node, RequestID: request, VNCPort: 1},
		}[r.IntN(4)]
	case 19, 20:
		call = &requests.SubmitComputeDeletionRequest{NodeID: node, RequestID: request}
		all, _ := requests.DeletionRequests.Get(c.store, node)
		if len(all) > 0 {
			call = &requests.SubmitComputeDeletionRequest{NodeID: node, RequestID: all[0].RequestID}
		}
	case 21:
		call = []pallet.Call{
			&nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: node},
			&nodes.PutNodeSpecs{NodeID: node, SystemInfo: machineWithRoom(), NodeType: nodes.ComputeMiner},
			&nodes.UpdateBlockTime{NodeID: node},
		}[r.IntN(3)]
	case 22:
		o, call = root, []pallet.Call{
			&plans.Deposit{Account: user, CreditAmount: pallet.Units(r.Uint64N(4000))},
			&credits.Burn{Who: user, Amount: pallet.Units(r.Uint64N(2000))},
			&ip.AddAvailableVmIp{IP: addr}, &ip.RemoveAvailableVmIp{IP: addr},
			&requests.ForceRequestComputeDelete{PlanID: p, AccountID: user},
		}[r.IntN(5)]
	case 23:
		if r.IntN(20) == 0 {
			call = &nodes.UnregisterMainNode{NodeID: node}
		} else {
			call = &nodes.PutNodeSpecs{NodeID: node, SystemInfo: machineWithRoom(), NodeType: nodes.ComputeMiner}
		}
	}
	_ = c.as(o, call)
}

// randomChain runs a chain of random calls.
func randomChain(t testing.TB, seed uint64, blocks int, check bool) *chain {
	r := rand.New(rand.NewPCG(seed, 0))
	c := newChain(t, map[string]string{
		"PalletIp":    `{"vm":["127.0.0.2","127.0.0.3","127.0.0.4","127.0.0.5","127.0.0.6","127.0.0.7"],"release_period":50}`,
		"Marketplace": `{"compute_grace_period":` + []string{"0", "100", "2000"}[seed%3] + `}`,
		"Compute":     `{"answer_blocks":200}`,
	})
	c.do(root, plan(1, description))
	c.do(root, plan(2, description))
	c.do(root, &plans.SetOSDiskImageURL{OSName: "ubuntu", URL: "sha256:00"})
	var users, owners []pallet.Account
	for n := range byte(5) {
		users = append(users, account(n+1))
	}
	for n := range byte(3) {
		owners = append(owners, account(n+100))
	}
	for range blocks {
		for range r.IntN(12) {
			c.random(r, users, owners)
		}
		n := uint64(1)
		if r.IntN(8) == 0 {
			n = r.Uint64N(300)
		}
		c.next(n)
		if check {
			c.check()
		}
		if len(c.events) > 10000 && check {
			c.events = nil
		}
	}
	return c
}

// Whatever happens, nothing panics, credits are neither made nor lost, an address is in one place, and a request is in one state.
func TestRandomCalls(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(9) {
		c := randomChain(t, seed, 400, true)
		for _, e := range c.events {
			seen[e.Name]++
		}
	}
	for _, e := range []string{
		"ComputeRequestCreated", "ComputeRequestSubmitted", "ComputeRequestFulfilled", "ComputeStopRequestFulfilled", "ComputeBootRequestRemoved",
		"ComputeRebootRequestFulfilled", "ComputeResizeRequestFulfilled", "ComputeDeletionRequestRemoved", "ComputeRequestCancelled",
		"ComputeRequestFailed", "IpReturned", "IpRetrieved", "CreditsConsumed", "SubscriptionCancelled", "NodeUnregistered",
	} {
		if seen[e] == 0 {
			t.Errorf("it never came to %s: %v", e, seen)
		}
	}
}

// The same calls make the same state and the same events.
func TestSameTwice(t *testing.T) {
	a, b := randomChain(t, 42, 150, false), randomChain(t, 42, 150, false)
	same(t, slices.Sorted(maps.Keys(a.state)), slices.Sorted(maps.Keys(b.state)))
	for k, v := range a.state {
		if !bytes.Equal(v, b.state[k]) {
			t.Fatalf("%x differs", k)
		}
	}
	same(t, string(marshal(t, a.events)), string(marshal(t, b.events)))
}
