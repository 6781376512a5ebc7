package compute_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// The whole life of a request, with all that it tells, in order.
func TestLifecycle(t *testing.T) {
	c := newChain(t, map[string]string{
		"Credits":     `{"free":{"` + alice.String() + `":"10000"}}`,
		"PalletIp":    `{"vm":["127.0.0.2"],"release_period":20}`,
		"Marketplace": `{"plans":[{"plan_name":"plan 1","plan_technical_description":"{\"cpu_cores\":1}","price":"3"}],"images":[{"os_name":"ubuntu","url":"sha256:00"}]}`,
	})
	c.seen()
	p := plans.PlanID(&plans.AddNewPlan{PlanName: "plan 1", PlanTechnicalDescription: `{"cpu_cores":1}`, Price: pallet.Units(3)})
	same(t, any(p.String()), at(c.ask("Marketplace/plans", `{"limit":1}`), "items", 0, "id"))
	same(t, any("sha256:00"), at(c.ask("Marketplace/images", ""), "items", 0, "url"))
	step := func(want ...string) {
		t.Helper()
		same(t, strings.Join(want, " "), strings.Join(c.seen(), " "))
	}
	c.join(miner1)
	step("Registration.MainNodeRegistered", "ExecutionUnit.NodeSpecsStored")
	c.buy(alice, p)
	step("Compute.ComputeRequestCreated", "Marketplace.PlanPurchased")
	c.next(requests.PlaceBlocks)
	step("Compute.ComputeRequestSubmitted")
	c.do(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: job(0), IP: "127.0.0.2"})
	step("PalletIp.IpAssigned", "Compute.IpAssigned")
	c.do(signed(miner1), &requests.MarkComputeRequestFulfilled{NodeID: id(miner1)})
	step("Compute.ComputeRequestFulfilled")
	c.do(signed(miner1), &requests.UpdateMinerComputeRequestHypervisorIP{NodeID: id(miner1), HypervisorIP: "10.0.0.1"})
	c.do(signed(miner1), &requests.UpdateMinerComputeRequestVNC{NodeID: id(miner1), VNCPort: 5901, VMName: job(0)})
	step()
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: p})
	c.do(signed(miner1), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)})
	step("Compute.ComputeStopRequested", "Compute.ComputeStopRequestFulfilled")
	c.do(signed(alice), &requests.RequestComputeBoot{PlanID: p})
	c.do(signed(miner1), &requests.SubmitComputeBootRequestFulfillment{NodeID: id(miner1)})
	step("Compute.ComputeBootRequested", "Compute.ComputeBootRequestRemoved")
	c.do(signed(alice), &requests.RequestComputeReboot{PlanID: p})
	c.do(signed(miner1), &requests.SubmitComputeRebootRequestFulfillment{NodeID: id(miner1)})
	step("Compute.ComputeRebootRequested", "Compute.ComputeRebootRequestFulfilled")
	c.do(signed(alice), &requests.RequestComputeResize{PlanID: p, ResizeToGbs: 5})
	c.do(signed(miner1), &requests.SubmitComputeResizeRequestFulfillment{NodeID: id(miner1)})
	step("Compute.ComputeResizeRequested", "Compute.ComputeResizeRequestFulfilled")
	c.next(1)
	step()
	c.alive(plans.BlocksPerHour, miner1)
	step("Marketplace.CreditsConsumed")
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: p})
	step("Compute.ComputeDeleteRequested", "Compute.ComputeRequestDeleted")
	c.next(1)
	step("Marketplace.CreditsConsumed", "Marketplace.SubscriptionCancelled") // for the block since the last charge
	c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), VMName: "vm-job0"})
	step("PalletIp.IpReturned", "Compute.IpReturned", "Compute.ComputeDeletionRequestRemoved")
	c.next(20)
	step("PalletIp.IpRetrieved")
	same(t, []string{"127.0.0.2"}, c.pools().VM)
	same(t, 10000-3*uint64(600+1), c.free(alice))
	c.check()
}

// The largest values fit.
func TestValuesAreBounded(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	text := func(n int) *string { s := long(n); return &s }
	list := func(n int, v any) int { return n*len(scale.Marshal(v)) + 4 }
	info := nodes.SystemInfo{
		PrimaryNetworkInterface: &nodes.NetworkInterfaceInfo{Name: long(64), MacAddress: text(64), NetworkDetails: &nodes.NetworkDetails{City: text(64), Region: text(64), Country: text(64), Loc: text(64)}},
		CPUModel:                long(128), GpuName: text(128), HypervisorDiskType: text(64), VMPoolDiskType: text(64),
	}
	for range 16 {
		info.Disks = append(info.Disks, nodes.DiskInfo{Name: long(64), DiskType: long(64)})
		info.ZfsInfo, info.RaidInfo = append(info.ZfsInfo, nodes.Line(long(512))), append(info.RaidInfo, nodes.Line(long(512)))
		info.DiskInfo = append(info.DiskInfo, nodes.DiskDetails{Name: long(64), Serial: long(64), Model: long(64), Size: long(64), DiskType: long(64)})
	}
	for name, n := range map[string]int{
		"requests of an account": list(requests.MaxLive+requests.MaxOver, requests.ComputeRequest{
			PlanTechnicalDescription: long(requests.MaxDescription), SelectedImage: requests.ImageMetadata{Name: long(256), ImageURL: long(256)},
			CloudInitCid: text(256), MinerID: text(128),
		}),
		"requests of a node": list(requests.MaxOnNode+requests.MaxFailed, requests.MinerComputeRequest{
			MinerNodeID: long(128), JobID: text(128), HypervisorIP: text(64), FailReason: text(1024), VNCPort: new(uint64), IPAssigned: text(64),
		}),
		"side requests": list(requests.MaxOnNode+requests.MaxDone, requests.SideRequest{MinerNodeID: long(128), JobID: text(128)}),
		"quarantine":    list(ip.MaxIPs, ip.IpReleaseRequest{VMName: long(ip.MaxVM), IP: long(ip.MaxIP), RoleType: ip.RoleType{Kind: ip.VM, Name: long(ip.MaxVM)}}),
		"nodes":         list(nodes.MaxNodes, long(nodes.MaxID)),
		"waiting":       list(requests.MaxPending, requests.ID{}),
		"metrics":       list(1, info),
		"subscriptions": list(plans.MaxSubscriptions, plans.UserPlanSubscription{Package: plans.Plan{
			PlanName: long(128), PlanDescription: long(1024), PlanTechnicalDescription: long(4096), Name: long(128)}, SelectedImageName: long(256)}),
	} {
		if n > 192<<10 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
	if err := scale.Unmarshal(scale.Marshal(info), new(nodes.SystemInfo)); err != nil {
		t.Error(err)
	}
	info.ZfsInfo[0] += "x"
	if err := scale.Unmarshal(scale.Marshal(info), new(nodes.SystemInfo)); err == nil {
		t.Error("a line that is too long is taken")
	}
}

// Too many are refused, and what is over is forgotten in the end.
func TestBounds(t *testing.T) {
	c := market(t)
	c.join(miner1)
	var all []pallet.Hash
	for n := range plans.MaxSubscriptions + 1 {
		p := plan(100+n, `{}`)
		c.do(root, p)
		all = append(all, plans.PlanID(p))
	}
	for _, p := range all[:plans.MaxSubscriptions] {
		c.buy(alice, p)
	}
	c.refuse(signed(alice), &plans.PurchasePlan{PlanID: all[plans.MaxSubscriptions], SelectedImageName: "ubuntu"}, "Marketplace.RecipientTooManySubscriptions")
	for range 3 * requests.MaxOver {
		c.do(signed(alice), &plans.CancelSubscription{PlanID: all[0]})
		c.next(1)
		c.buy(alice, all[0])
	}
	list, _ := requests.ComputeRequests.Get(c.store, alice)
	same(t, requests.MaxOver+plans.MaxSubscriptions, len(list))
	entry := 0
	entries.Each(c.store, nil, func(requests.ID, struct {
		Owner    pallet.Account
		Node     nodes.ID
		Needs    requests.Needs
		Deadline uint64
		Tried    []nodes.ID
		Reason   string
	}) bool {
		entry++
		return true
	})
	same(t, len(list), entry)
	page := c.ask("Compute/requests", `{"owner":"`+alice.String()+`","limit":10}`)
	same(t, 10, len(at(page, "items").([]any)))
	page = c.ask("Compute/requests", fmt.Sprintf(`{"owner":"%s","limit":100,"after":"%s"}`, alice, at(page, "next")))
	same(t, len(list)-10, len(at(page, "items").([]any)))
	same(t, nil, at(page, "next"))
	c.check()
	// Requests that wait.
	mark := c.store.Mark()
	var err error
	for n := 0; err == nil; n++ {
		_, err = requests.Create(c.context(root), pallet.Account{byte(n), byte(n >> 8), 0xbb}, all[0], "{}", requests.ImageMetadata{}, nil, nil)
	}
	queue, _ := waiting.Get(c.store)
	if !errors.Is(err, pallet.Fail("Compute", "TooManyRequests", "")) || len(queue) != requests.MaxPending {
		t.Errorf("%d wait, then %v", len(queue), err)
	}
	c.store.Revert(mark)
	// Addresses.
	for n := range ip.MaxIPs - 3 {
		c.do(root, &ip.AddAvailableClientIp{IP: fmt.Sprintf("10.0.%d.%d", n/256, n%256)})
	}
	c.refuse(root, &ip.AddAvailableClientIp{IP: "11.0.0.1"}, "PalletIp.TooManyIps")
	// Requests of a node: history is short.
	for _, p := range all[:plans.MaxSubscriptions] {
		c.do(root, &requests.ForceRequestComputeDelete{PlanID: p, AccountID: alice})
	}
	for _, d := range at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "deletion").([]any) {
		var n uint64
		if _, err := fmt.Sscan(at(d, "request_id").(string), &n); err != nil {
			t.Fatal(err)
		}
		c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), RequestID: rid(n)})
	}
	for n := range byte(50) {
		who := account(100 + n)
		c.do(root, &plans.Deposit{Account: who, CreditAmount: pallet.Units(100)})
		c.buy(who, plan1)
		next, _ := requests.NextRequestID.Get(c.store)
		c.assign(miner1, next.Lo-1, who, plan1)
		c.do(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), RequestID: rid(next.Lo - 1), FailReason: "x"})
	}
	records, _ := requests.MinerComputeRequests.Get(c.store, id(miner1))
	same(t, requests.MaxFailed, len(records))
	c.check()
}
