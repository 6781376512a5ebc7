package compute_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// fulfilled is spelt as it is on chain.
const fulfilled = "full" + "filled"

func TestS52CreateRequest(t *testing.T) {
	c := market(t)
	c.buy(alice, plan1)
	c.buy(bob, plan1)
	same(t, []string{"Compute.ComputeRequestCreated", "Marketplace.PlanPurchased", "Compute.ComputeRequestCreated", "Marketplace.PlanPurchased"}, c.seen())
	same(t, any("2"), at(c.ask("Compute/params", ""), "next_request_id"))
	list := c.ask("Compute/requests", "")
	for i, owner := range []pallet.Account{alice, bob} {
		r := at(list, "items", i)
		same(t, []any{fmt.Sprint(i), "Pending", owner.String(), description, plan1.String(), "ubuntu", "sha256:00", false, nil}, []any{
			at(r, "request_id"), at(r, "status"), at(r, "owner"), at(r, "plan_technical_description"), at(r, "plan_id"),
			at(r, "selected_image", "name"), at(r, "selected_image", "image_url"), at(r, "is_assigned"), at(r, "miner_id"),
		})
	}
	same(t, 2, len(at(list, "items").([]any)))
}

func TestS52Purchase(t *testing.T) {
	c := market(t)
	buy := func() *plans.PurchasePlan { return &plans.PurchasePlan{PlanID: plan1, SelectedImageName: "ubuntu"} }
	for name, s := range map[string]struct {
		who    pallet.Origin
		before pallet.Call
		change func(*plans.PurchasePlan)
		want   string
	}{
		"no such plan":      {signed(alice), nil, func(p *plans.PurchasePlan) { p.PlanID[0]++ }, "Marketplace.PlanNotFound"},
		"unknown image":     {signed(alice), nil, func(p *plans.PurchasePlan) { p.SelectedImageName = "dos" }, "Marketplace.InvalidImageSelection"},
		"no credits":        {signed(mallory), nil, nil, "Marketplace.InsufficientFreeCredits"},
		"for somebody else": {signed(mallory), nil, func(p *plans.PurchasePlan) { p.PayFor = &alice }, "Marketplace.NotAuthorized"},
		"a location":        {signed(alice), nil, func(p *plans.PurchasePlan) { p.LocationID = new(uint32) }, "Marketplace.LocationNotFound"},
		"nobody":            {root, nil, nil, "System.BadOrigin"},
		"suspended":         {signed(alice), &plans.SetPackageSuspension{PlanID: plan1, IsSuspended: true}, nil, "Marketplace.PlanSuspended"},
		"no compute":        {signed(alice), &nodes.SetNodeTypeDisabled{NodeType: nodes.ComputeMiner, Disabled: true}, nil, "Marketplace.NodeTypeDisabled"},
		"fee for a miner": {signed(alice), &plans.SetSpecificMinerRequestFee{Fee: pallet.Units(999_999)}, func(p *plans.PurchasePlan) { p.MinerID = new(string) },
			"Marketplace.InsufficientFreeCredits"},
	} {
		t.Run(name, func(t *testing.T) {
			mark := c.store.Mark()
			defer c.store.Revert(mark)
			if s.before != nil {
				c.do(root, s.before)
			}
			p := buy()
			if s.change != nil {
				s.change(p)
			}
			c.refuse(s.who, p, s.want)
		})
	}
	c.do(signed(alice), buy())
	c.refuse(signed(alice), buy(), "Marketplace.AlreadyHasActiveSubscription")
	c.do(root, &plans.SetSpecificMinerRequestFee{Fee: pallet.Units(7)})
	miner, before := id(miner1), c.free(alice)
	c.do(signed(alice), &plans.PurchasePlan{PlanID: plan2, SelectedImageName: "ubuntu", MinerID: &miner})
	same(t, before-7, c.free(alice))
	same(t, any(miner), at(c.ask("Compute/request", `{"request_id":"1"}`), "miner_id"))
}

func TestS53Assign(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.events = nil
	c.assign(miner1, 0, alice, plan1)
	same(t, any(map[string]any{
		"miner": id(miner1), "request_id": "0", "owner": alice.String(), "plan_id": plan1.String(), "ip_reserved": "127.0.0.2",
	}), any(c.event("Compute.ComputeRequestSubmitted")))
	r := c.ask("Compute/request", `{"request_id":"0"}`)
	same(t, []any{"InProgress", true}, []any{at(r, "status"), at(r, "is_assigned")})
	m := at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "compute", 0)
	same(t, []any{id(miner1), miner1.String(), "0", plan1.String(), false, nil, nil}, []any{
		at(m, "miner_node_id"), at(m, "miner_account_id"), at(m, "request_id"), at(m, "plan_id"), at(m, fulfilled), at(m, "job_id"), at(m, "fail_reason"),
	})
	same(t, 1, len(c.ask("Compute/unfulfilled", `{"miner_node_id":"`+id(miner1)+`"}`).([]any)))
	c.refuse(signed(miner1), &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plan1, Owner: alice}, "Compute.InvalidRequestStatus")
}

// The chain itself looks for miners.
func TestS53AssignByTheChain(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.until(requests.PlaceBlocks)
	same(t, "Pending", c.status(0))
	c.next(1)
	same(t, "InProgress", c.status(0))
	same(t, 1, c.count("Compute.ComputeRequestSubmitted"))
}

func TestS54AssignUnknown(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	a := func(node string, n uint64, p pallet.Hash, owner pallet.Account) *requests.SubmitComputeRequestAssignment {
		return &requests.SubmitComputeRequestAssignment{MinerNodeID: node, PlanID: p, RequestID: rid(n), Owner: owner}
	}
	c.refuse(root, a(id(miner1), 7, plan1, alice), "Compute.ComputeRequestNotFound")
	c.refuse(root, a(id(miner1), 0, plan2, alice), "Compute.ComputeRequestNotFound")
	c.refuse(root, a(id(miner1), 0, plan1, bob), "Compute.ComputeRequestNotFound")
	c.refuse(root, a("nobody", 0, plan1, alice), "Registration.NodeNotFound")
	c.refuse(signed(miner2), a(id(miner2), 0, plan1, alice), "Registration.NodeNotFound")
	c.refuse(signed(mallory), a(id(miner1), 0, plan1, alice), "Compute.InvalidSignature")
	c.refuse(pallet.Origin{}, a(id(miner1), 0, plan1, alice), "Compute.InvalidSignature")
	c.do(root, a(id(miner1), 0, plan1, alice))
}

func TestS55JobUpdate(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.events = nil
	c.do(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: "j-1", IP: "127.0.0.2"})
	same(t, []string{"PalletIp.IpAssigned", "Compute.IpAssigned"}, c.seen())
	m := at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "compute", 0)
	same(t, []any{"j-1", "127.0.0.2", nil}, []any{at(m, "job_id"), at(m, "ip_assigned"), at(m, "ip_reserved")})
	p := c.pools()
	same(t, []string{"127.0.0.3", "127.0.0.4"}, p.VM)
	same(t, []string{"127.0.0.2"}, p.AssignedVM)
	same(t, any("127.0.0.2"), at(c.ask("PalletIp/ip_of_vm", `{"vm_name":"j-1"}`), "ip"))
	same(t, any("j-1"), at(c.ask("PalletIp/role_of_ip", `{"ip":"127.0.0.2"}`), "role", "Vm"))
	same(t, 1, len(c.ask("Compute/pending_jobs", `{"miner_node_id":"`+id(miner1)+`"}`).([]any)))
	c.refuse(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: "j-2", IP: "127.0.0.3"}, "Compute.InvalidRequestStatus")
}

// A miner may choose another address of the pool: then the one that was reserved is back at once.
func TestS55JobUpdateWithAnotherAddress(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.do(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: "j-1", IP: "127.0.0.4"})
	p := c.pools()
	same(t, []string{"127.0.0.3", "127.0.0.2"}, p.VM)
	same(t, []string{"127.0.0.4"}, p.AssignedVM)
	same(t, map[string]string{}, p.Reserved)
}

func TestS56JobUpdateRollback(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.refuse(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: "j-1", IP: "10.0.0.1"}, "Compute.NoAvailableIp")
	m := at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "compute", 0)
	same(t, []any{nil, nil}, []any{at(m, "job_id"), at(m, "ip_assigned")})
	same(t, "InProgress", c.status(0))
	same(t, "127.0.0.2", c.reserved(0))
}

func TestS57Fulfil(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	f := &requests.MarkComputeRequestFulfilled{NodeID: id(miner1)}
	c.refuse(signed(miner1), f, "Compute.InvalidRequestStatus") // no job
	c.events = nil
	c.serve(miner1, 0)
	same(t, 1, c.count("Compute.ComputeRequestFulfilled"))
	same(t, any(map[string]any{"node": id(miner1), "request_id": "0", "owner": alice.String()}), any(c.event("Compute.ComputeRequestFulfilled")))
	same(t, "Running", c.status(0))
	same(t, any(true), at(c.ask("Compute/miner_request", `{"account":"`+alice.String()+`","plan_id":"`+plan1.String()+`"}`), fulfilled))
	same(t, any(true), at(c.ask("Compute/miner_request", `{"request_id":"0"}`), fulfilled))
	c.refuse(signed(miner1), f, "Compute.InvalidRequestStatus")
	same(t, 1, c.count("Compute.ComputeRequestFulfilled"))
}

func TestS57Details(t *testing.T) {
	c := running(t)
	node := `{"miner_node_id":"` + id(miner1) + `"}`
	same(t, []int{1, 1}, []int{len(c.ask("Compute/pending_vnc", node).([]any)), len(c.ask("Compute/pending_nebula", node).([]any))})
	c.do(signed(miner1), &requests.UpdateMinerComputeRequestHypervisorIP{NodeID: id(miner1), HypervisorIP: "10.1.1.1"})
	c.buy(bob, plan1)
	c.assign(miner1, 1, bob, plan1)
	c.serve(miner1, 1)
	c.refuse(signed(miner1), &requests.UpdateMinerComputeRequestVNC{NodeID: id(miner1), VNCPort: 5900, VMName: job(1)}, "Compute.InvalidRequest")
	c.do(signed(miner1), &requests.UpdateMinerComputeRequestVNC{NodeID: id(miner1), VNCPort: 5900, VMName: "vm-job0"})
	same(t, []any{1, 1, "1", "1"}, []any{ // those of the other request
		len(c.ask("Compute/pending_vnc", node).([]any)), len(c.ask("Compute/pending_nebula", node).([]any)),
		at(c.ask("Compute/pending_vnc", node), 0, "request_id"), at(c.ask("Compute/pending_nebula", node), 0, "request_id"),
	})
	vm := at(c.ask("Compute/get_user_vms", `{"account":"`+alice.String()+`"}`), 0)
	delete(vm.(map[string]any), "created_at")
	same(t, any(map[string]any{
		"request_id": "0", "status": "Running", "plan_id": plan1.String(), "miner_node_id": id(miner1), "miner_account_id": miner1.String(),
		"job_id": job(0), "hypervisor_ip": "10.1.1.1", "vnc_port": 5900., "ip_assigned": "127.0.0.2", "error": nil, "is_fulfilled": true,
	}), vm)
}

func TestS58CloudInit(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.join(miner2)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.do(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), FailReason: "agent: No Cloud-Init CID provided."})
	same(t, "Failed", c.status(0))
	c.next(3 * requests.PlaceBlocks)
	same(t, "Failed", c.status(0))
	same(t, []string{"127.0.0.3", "127.0.0.4", "127.0.0.2"}, c.pools().VM)
	c.refuse(root, &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner2), PlanID: plan1, Owner: alice}, "Compute.InvalidRequestStatus")
	c.buy(alice, plan1) // the subscription ended with it
}

func TestS59Failure(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.join(miner2)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.events = nil
	c.do(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), FailReason: "disk full"})
	same(t, any(true), c.event("Compute.ComputeRequestFailed")["again"])
	r := c.ask("Compute/request", `{"request_id":"0"}`)
	same(t, []any{"Pending", false, "disk full"}, []any{at(r, "status"), at(r, "is_assigned"), at(r, "fail_reason")})
	same(t, any("disk full"), at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "compute", 0, "fail_reason"))
	same(t, any("disk full"), at(c.ask("Compute/get_user_vms", `{"account":"`+alice.String()+`"}`), 0, "error"))
	c.refuse(signed(miner1), &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plan1, Owner: alice}, "Compute.MinerNotSuitable")
	c.next(requests.PlaceBlocks)
	same(t, any(id(miner2)), at(c.ask("Compute/request", `{"request_id":"0"}`), "miner_node_id"))
	c.refuse(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), FailReason: "again"}, "Compute.ComputeRequestNotFound")
	c.serve(miner2, 0)
	same(t, "Running", c.status(0))
}

// What ran and fails gets another miner; its address rests.
func TestS59FailureOfWhatRan(t *testing.T) {
	c := running(t)
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	c.do(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), FailReason: "gone"})
	same(t, "Pending", c.status(0))
	same(t, 1, len(c.pools().Quarantine))
	same(t, 0, len(at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "stop").([]any)))
	c.join(miner2)
	c.next(requests.PlaceBlocks)
	c.do(signed(miner2), &requests.UpdateMinerComputeRequest{NodeID: id(miner2), JobID: "other", IP: c.reserved(0)})
	c.do(signed(miner2), &requests.MarkComputeRequestFulfilled{NodeID: id(miner2)})
	same(t, "Running", c.status(0))
}

// A miner that says nothing has failed.
func TestS59NoAnswer(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.join(miner2)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.alive(requests.AnswerBlocks, miner1, miner2)
	same(t, "InProgress", c.status(0))
	c.next(1 + requests.PlaceBlocks)
	r := c.ask("Compute/request", `{"request_id":"0"}`)
	same(t, []any{"InProgress", id(miner2), "the miner did not answer"}, []any{at(r, "status"), at(r, "miner_node_id"), at(r, "fail_reason")})
}

// A job is an answer: the time for it begins anew.
func TestS59NoAnswerAfterTheJob(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	from := c.height
	c.alive(300, miner1)
	c.do(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: "j", IP: c.reserved(0)})
	c.alive(from+requests.AnswerBlocks+1-c.height, miner1)
	same(t, "InProgress", c.status(0))
	c.until(from + 300 + requests.AnswerBlocks)
	same(t, "InProgress", c.status(0))
	c.next(1)
	same(t, "Pending", c.status(0))
	same(t, 1, len(c.pools().Quarantine))
}

func TestS60Stop(t *testing.T) {
	c := running(t)
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	same(t, any(map[string]any{"plan_id": plan1.String(), "owner": alice.String(), "caller": alice.String(), "node_id": id(miner1), "request_id": "0"}),
		any(c.event("Compute.ComputeStopRequested")))
	c.refuse(signed(alice), &requests.RequestComputeStop{PlanID: plan1}, "Compute.ComputeStopRequestAlreadyExists")
	same(t, "Running", c.status(0))
	c.do(signed(miner1), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)})
	same(t, "Stopped", c.status(0))
	same(t, []string{"Compute.ComputeStopRequested", "Compute.ComputeStopRequestFulfilled"}, c.seen("Compute"))
	same(t, any(true), at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "stop", 0, fulfilled))
}

func TestS61StopWrongState(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	none := func() {
		t.Helper()
		all := c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`).(map[string]any)
		for _, kind := range []string{"stop", "boot", "reboot", "resize", "deletion"} {
			same(t, 0, len(all[kind].([]any)))
		}
	}
	user := func(want string) {
		t.Helper()
		c.refuse(signed(alice), &requests.RequestComputeStop{PlanID: plan1}, want)
		c.refuse(signed(alice), &requests.RequestComputeBoot{PlanID: plan1}, want)
		c.refuse(signed(alice), &requests.RequestComputeReboot{PlanID: plan1}, want)
		c.refuse(signed(alice), &requests.RequestComputeResize{PlanID: plan1, ResizeToGbs: 1}, want)
		none()
	}
	user("Compute.InvalidRequestStatus")
	c.refuse(signed(alice), &requests.RequestComputeDelete{PlanID: plan1}, "Compute.InvalidRequestStatus")
	c.assign(miner1, 0, alice, plan1)
	user("Compute.InvalidRequestStatus")
	c.refuse(signed(alice), &requests.CancelComputeRequest{RequestID: rid(0)}, "Compute.InvalidRequestStatus")
	c.refuse(signed(bob), &requests.RequestComputeStop{PlanID: plan1}, "Compute.ComputeRequestNotFound")
	c.refuse(signed(bob), &requests.RequestComputeDelete{PlanID: plan1}, "Compute.ComputeRequestNotFound")
	c.serve(miner1, 0)
	c.refuse(signed(alice), &requests.RequestComputeBoot{PlanID: plan1}, "Compute.InvalidRequestStatus")
	none()
}

func TestS62BootAndReboot(t *testing.T) {
	c := running(t)
	c.do(signed(alice), &requests.RequestComputeReboot{PlanID: plan1})
	c.refuse(signed(alice), &requests.RequestComputeReboot{PlanID: plan1}, "Compute.ComputeRebootRequestAlreadyExists")
	c.refuse(signed(alice), &requests.RequestComputeStop{PlanID: plan1}, "Compute.ComputeRebootRequestAlreadyExists")
	c.do(signed(miner1), &requests.SubmitComputeRebootRequestFulfillment{NodeID: id(miner1)})
	same(t, "Running", c.status(0))
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	c.do(signed(miner1), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)})
	c.refuse(signed(alice), &requests.RequestComputeReboot{PlanID: plan1}, "Compute.InvalidRequestStatus")
	c.do(signed(alice), &requests.RequestComputeBoot{PlanID: plan1})
	c.refuse(signed(alice), &requests.RequestComputeBoot{PlanID: plan1}, "Compute.ComputeBootRequestAlreadyExists")
	same(t, "Stopped", c.status(0))
	c.do(signed(miner1), &requests.SubmitComputeBootRequestFulfillment{NodeID: id(miner1)})
	same(t, "Running", c.status(0))
	same(t, []string{
		"Compute.ComputeRebootRequested", "Compute.ComputeRebootRequestFulfilled", "Compute.ComputeStopRequested",
		"Compute.ComputeStopRequestFulfilled", "Compute.ComputeBootRequested", "Compute.ComputeBootRequestRemoved",
	}, c.seen())
}

func TestS63Resize(t *testing.T) {
	c := running(t)
	c.refuse(signed(alice), &requests.RequestComputeResize{PlanID: plan1}, "Compute.InvalidRequest")
	c.do(signed(alice), &requests.RequestComputeResize{PlanID: plan1, ResizeToGbs: 77})
	c.refuse(signed(alice), &requests.RequestComputeResize{PlanID: plan1, ResizeToGbs: 78}, "Compute.ComputeResizeRequestAlreadyExists")
	s := at(c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`), "resize", 0)
	same(t, []any{77., job(0), false}, []any{at(s, "resize_gbs"), at(s, "job_id"), at(s, fulfilled)})
	same(t, "Running", c.status(0))
	c.do(signed(miner1), &requests.SubmitComputeResizeRequestFulfillment{NodeID: id(miner1)})
	same(t, "Running", c.status(0))
	same(t, any(map[string]any{"node_id": id(miner1), "request_id": "0", "owner": alice.String()}), any(c.event("Compute.ComputeResizeRequestFulfilled")))
	c.refuse(signed(miner1), &requests.SubmitComputeResizeRequestFulfillment{NodeID: id(miner1)}, "Compute.ComputeResizeRequestNotFound")
}

func TestS64Delete(t *testing.T) {
	c := running(t)
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	c.do(signed(alice), &requests.RequestComputeResize{PlanID: plan1, ResizeToGbs: 77})
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	all := c.ask("Compute/miner_requests", `{"miner_node_id":"`+id(miner1)+`"}`).(map[string]any)
	for _, kind := range []string{"compute", "stop", "boot", "reboot", "resize"} {
		same(t, 0, len(all[kind].([]any)))
	}
	same(t, []any{job(0), alice.String()}, []any{at(all, "deletion", 0, "job_id"), at(all, "deletion", 0, "user_id")})
	same(t, 0, len(c.ask("Compute/get_user_vms", `{"account":"`+alice.String()+`"}`).([]any)))
	c.refuse(signed(alice), &requests.RequestComputeDelete{PlanID: plan1}, "Compute.ComputeRequestNotFound")
	same(t, []string{"127.0.0.2"}, c.pools().AssignedVM)
	c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), VMName: "vm-job0"})
	same(t, []string{
		"Compute.ComputeStopRequested", "Compute.ComputeResizeRequested", "Compute.ComputeDeleteRequested", "Compute.ComputeRequestDeleted",
		"PalletIp.IpReturned", "Compute.IpReturned", "Compute.ComputeDeletionRequestRemoved",
	}, c.seen())
	p := c.pools()
	same(t, 0, len(p.AssignedVM))
	same(t, 1, len(p.Quarantine))
	same(t, "127.0.0.2", p.Quarantine[0].IP)
	c.refuse(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), VMName: "vm-job0"}, "Compute.ComputeDeletionRequestNotFound")
}

func TestS64DeleteBeforeItRuns(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	same(t, map[string]string{"127.0.0.2": "request 0"}, c.pools().Reserved) // the miner may use it already
	c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1)})
	same(t, []string{"127.0.0.3", "127.0.0.4", "127.0.0.2"}, c.pools().VM)
}

// A miner that is gone does not keep an address for ever.
func TestS64DeleteWithoutMiner(t *testing.T) {
	c := running(t)
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	c.next(requests.DeletionBlocks + 1)
	same(t, 1, c.count("Compute.ComputeDeletionRequestRemoved"))
	same(t, 1, len(c.pools().Quarantine))
}

func TestS64ForceDelete(t *testing.T) {
	c := running(t)
	f := &requests.ForceRequestComputeDelete{PlanID: plan1, AccountID: alice}
	c.refuse(signed(alice), f, "System.BadOrigin")
	c.do(root, f)
	same(t, []string{"Compute.ComputeDeleteRequested", "Compute.ComputeRequestDeleted"}, c.seen("Compute"))
	c.refuse(root, f, "Compute.ComputeRequestNotFound")
}

func TestS64Cancel(t *testing.T) {
	c := market(t)
	c.buy(alice, plan1)
	same(t, "there is no miner", c.waitsFor(0))
	c.events = nil
	c.refuse(signed(bob), &requests.CancelComputeRequest{RequestID: rid(0)}, "Compute.ComputeRequestNotFound")
	c.do(signed(alice), &requests.CancelComputeRequest{RequestID: rid(0)})
	same(t, "Cancelled", c.status(0))
	c.refuse(signed(alice), &requests.CancelComputeRequest{RequestID: rid(0)}, "Compute.InvalidRequestStatus")
	c.next(1)
	same(t, []string{"Compute.ComputeRequestCancelled", "Marketplace.SubscriptionCancelled"}, c.seen())
	c.join(miner1)
	c.next(2 * requests.PlaceBlocks)
	same(t, "Cancelled", c.status(0))
	c.buy(alice, plan1)
	c.do(signed(alice), &plans.CancelSubscription{PlanID: plan1})
	same(t, "Cancelled", c.status(1))
	c.refuse(signed(alice), &plans.CancelSubscription{PlanID: plan1}, "Marketplace.NoActiveSubscription")
	c.refuse(signed(alice), &plans.PurchasePlan{PlanID: plan1, SelectedImageName: "ubuntu"}, "Marketplace.AlreadyHasActiveSubscription")
	c.next(1)
	c.buy(alice, plan1)
}

func TestS65NotFound(t *testing.T) {
	c := running(t)
	for want, call := range map[string]pallet.Call{
		"Compute.ComputeStopRequestNotFound":     &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)},
		"Compute.ComputeBootRequestNotFound":     &requests.SubmitComputeBootRequestFulfillment{NodeID: id(miner1)},
		"Compute.ComputeRebootRequestNotFound":   &requests.SubmitComputeRebootRequestFulfillment{NodeID: id(miner1)},
		"Compute.ComputeResizeRequestNotFound":   &requests.SubmitComputeResizeRequestFulfillment{NodeID: id(miner1)},
		"Compute.ComputeDeletionRequestNotFound": &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), VMName: "vm-job0"},
	} {
		c.refuse(signed(miner1), call, want)
	}
	for _, call := range []pallet.Call{
		&requests.MarkComputeRequestFulfilled{NodeID: id(miner1), RequestID: rid(9)},
		&requests.UpdateMinerComputeRequest{NodeID: id(miner1), RequestID: rid(9), JobID: "j", IP: "127.0.0.3"},
		&requests.UpdateMinerComputeRequestVNC{NodeID: id(miner1), RequestID: rid(9)},
		&requests.UpdateMinerComputeRequestHypervisorIP{NodeID: id(miner1), RequestID: rid(9), HypervisorIP: "x"},
		&requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), RequestID: rid(9), FailReason: "x"},
	} {
		c.refuse(signed(miner1), call, "Compute.ComputeRequestNotFound")
	}
}

func TestS66IPDuplicate(t *testing.T) {
	c := running(t)
	c.do(root, &ip.AddAvailableVmIp{IP: "10.0.0.1"})
	same(t, []string{"PalletIp.IpAdded"}, c.seen())
	for _, addr := range []string{"10.0.0.1", "127.0.0.2", "127.0.0.3"} { // new, assigned, in a pool
		c.refuse(root, &ip.AddAvailableVmIp{IP: addr}, "PalletIp.IpAlreadyExists")
		c.refuse(root, &ip.AddAvailableClientIp{IP: addr}, "PalletIp.IpAlreadyExists")
		c.refuse(root, &ip.AddAvailableHypervisorIp{IP: addr}, "PalletIp.IpAlreadyExists")
		c.refuse(root, &ip.AddAvailableStorageMinerIp{IP: addr}, "PalletIp.IpAlreadyExists")
	}
	c.buy(bob, plan1)
	c.assign(miner1, 1, bob, plan1)
	c.refuse(root, &ip.AddAvailableVmIp{IP: "127.0.0.3"}, "PalletIp.IpAlreadyExists") // reserved
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1)})
	c.refuse(root, &ip.AddAvailableVmIp{IP: "127.0.0.2"}, "PalletIp.IpAlreadyExists") // rests
	c.refuse(root, &ip.RemoveAvailableVmIp{IP: "127.0.0.2"}, "PalletIp.NoAvailableIp")
	c.do(root, &ip.RemoveAvailableVmIp{IP: "10.0.0.1"})
	c.refuse(root, &ip.RemoveAvailableVmIp{IP: "10.0.0.1"}, "PalletIp.NoAvailableIp")
	c.do(root, &ip.AddAvailableHypervisorIp{IP: "10.0.0.1"})
	c.refuse(root, &ip.RemoveAvailableVmIp{IP: "10.0.0.1"}, "PalletIp.NoAvailableIp")
	for _, bad := range []string{"", "x", "10.0.0.01", "fe80::1%eth0", "::ffff", "1.2.3"} {
		if bad == "::ffff" {
			c.do(root, &ip.AddAvailableVmIp{IP: bad}) // this is one
			continue
		}
		c.refuse(root, &ip.AddAvailableVmIp{IP: bad}, "PalletIp.InvalidIp")
	}
}

func TestS67VMSecondIP(t *testing.T) {
	c := running(t)
	c.buy(bob, plan1)
	c.assign(miner1, 1, bob, plan1)
	c.refuse(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), RequestID: rid(1), JobID: job(0), IP: "127.0.0.3"}, "Compute.VmAlreadyHasIp")
	same(t, []string{"127.0.0.2"}, c.pools().AssignedVM)
}

// The roles of accounts have addresses of their own.
func TestS67ClientSecondIP(t *testing.T) {
	c := newChain(t, map[string]string{"PalletIp": `{"client":["10.0.0.1","10.0.0.2"],"release_period":5}`})
	x := c.context(root)
	if addr, err := ip.AssignClient(x, alice); err != nil || addr != "10.0.0.1" {
		t.Fatal(addr, err)
	}
	if _, err := ip.AssignClient(x, alice); !errors.Is(err, pallet.Fail("PalletIp", "RoleAlreadyHasIp", "")) {
		t.Fatal(err)
	}
	if err := ip.ReleaseClient(x, alice); err != nil {
		t.Fatal(err)
	}
	if err := ip.ReleaseClient(x, alice); !errors.Is(err, pallet.Fail("PalletIp", "VmHasNoIp", "")) {
		t.Fatal(err)
	}
	c.next(4)
	same(t, []string{"10.0.0.2"}, c.pools().Client)
	c.next(1)
	same(t, []string{"10.0.0.2", "10.0.0.1"}, c.pools().Client)
}

func TestS68ReleaseWithoutIP(t *testing.T) {
	c := running(t)
	if _, err := ip.Release(c.context(root), "nobody"); !errors.Is(err, pallet.Fail("PalletIp", "VmHasNoIp", "")) {
		t.Fatal(err)
	}
	c.buy(bob, plan1)
	c.assign(miner1, 1, bob, plan1)
	c.serve(miner1, 1)
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	c.refuse(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), VMName: job(1)}, "Compute.VmHasNoIp")
	same(t, []string{"127.0.0.2", "127.0.0.3"}, c.pools().AssignedVM)
}

func TestS69Quarantine(t *testing.T) {
	c := newChain(t, map[string]string{"PalletIp": `{"vm":["127.0.0.2"]}`})
	x := c.context(root)
	if err := ip.Assign(x, "vm", "127.0.0.2", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := ip.Release(x, "vm"); err != nil {
		t.Fatal(err)
	}
	same(t, any(float64(c.height+216000)), at(c.ask("PalletIp/pools", ""), "quarantine", 0, "free_at"))
	back := c.height + ip.ReleasePeriod
	c.commit()
	c.height = back - 2 // nothing else happens on this chain
	c.begin()
	same(t, 0, len(c.pools().VM))
	if _, err := ip.Reserve(c.context(root), "x"); !errors.Is(err, pallet.Fail("PalletIp", "NoAvailableIp", "")) {
		t.Fatal(err)
	}
	c.events = nil
	c.next(1)
	same(t, []string{"127.0.0.2"}, c.pools().VM) // before the calls of that block
	same(t, []string{"PalletIp.IpRetrieved"}, c.seen())
	same(t, 0, len(c.pools().Quarantine))
}

func TestS70ConcurrentAssignment(t *testing.T) {
	c := market(t)
	c.join(miner1)
	for _, who := range []pallet.Account{alice, bob} {
		c.buy(who, plan1)
		c.buy(who, plan2)
	}
	c.next(requests.PlaceBlocks)
	same(t, []string{"InProgress", "InProgress", "InProgress", "Pending"}, []string{c.status(0), c.status(1), c.status(2), c.status(3)})
	same(t, []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", ""}, []string{c.reserved(0), c.reserved(1), c.reserved(2), c.reserved(3)})
	// The pool is empty: the request waits.
	c.refuse(root, &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plan2, RequestID: rid(3), Owner: bob}, "Compute.NoAvailableIp")
	same(t, "Pending", c.status(3))
	same(t, "Compute.NoAvailableIp: the pool of addresses for VMs is empty", c.waitsFor(3))
	c.do(root, &ip.AddAvailableVmIp{IP: "127.0.0.5"})
	same(t, "the chain to place it", c.waitsFor(3))
	c.next(requests.PlaceBlocks)
	same(t, "127.0.0.5", c.reserved(3))
	// One miner cannot take the address that is reserved for another request.
	c.refuse(signed(miner1), &requests.UpdateMinerComputeRequest{NodeID: id(miner1), RequestID: rid(3), JobID: "j", IP: "127.0.0.2"}, "Compute.NoAvailableIp")
}

func TestS71NameConsistency(t *testing.T) {
	for _, name := range []string{"", job(0), "vm-job0", "vm-" + job(0), "a name of the agent"} {
		c := running(t)
		c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
		c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1), VMName: name})
		released := c.height
		same(t, 1, len(c.pools().Quarantine))
		c.commit()
		c.height = released + ip.ReleasePeriod - 1
		c.begin()
		same(t, []string{"127.0.0.3", "127.0.0.4", "127.0.0.2"}, c.pools().VM)
	}
}

func TestS72RootOnly(t *testing.T) {
	c := running(t)
	for _, o := range []pallet.Origin{signed(alice), signed(miner1), {}} {
		for _, call := range []pallet.Call{
			&ip.AddAvailableVmIp{IP: "10.0.0.1"}, &ip.AddAvailableHypervisorIp{IP: "10.0.0.1"}, &ip.AddAvailableClientIp{IP: "10.0.0.1"},
			&ip.AddAvailableStorageMinerIp{IP: "10.0.0.1"}, &ip.RemoveAvailableVmIp{IP: "127.0.0.3"}, &ip.RemoveAvailableHypervisorIp{IP: "127.0.0.3"},
			&ip.RemoveAvailableClientIp{IP: "127.0.0.3"}, &ip.RemoveAvailableStorageMinerIp{IP: "127.0.0.3"},
			plan(3, description), &plans.SetPackageSuspension{PlanID: plan1}, &plans.IncreasePlanPrice{PlanID: plan1}, &plans.SetOSDiskImageURL{OSName: "x", URL: "y"},
			&plans.SetSpecificMinerRequestFee{}, &plans.SetSudoKey{}, &credits.AddAuthority{}, &credits.RemoveAuthority{},
			&credits.DecreaseUserCreditsBalance{}, &nodes.SetFeeCharging{}, &nodes.SetNodeTypeFee{}, &nodes.SetNodeTypeDisabled{},
			&nodes.ForceRegisterColdkeyNode{}, &nodes.ForceRegisterNodeWithHotkey{}, &nodes.ForceUnregisterColdkeyNode{}, &nodes.ForceUnregisterHotkeyNode{},
		} {
			c.refuse(o, call, "System.BadOrigin")
		}
	}
}

// minerCalls are the calls of a miner with something to do for each of them.
func minerCalls(node string) []pallet.Call {
	return []pallet.Call{
		&requests.UpdateMinerComputeRequest{NodeID: node, JobID: "j", IP: "127.0.0.3"},
		&requests.MarkComputeRequestFulfilled{NodeID: node},
		&requests.UpdateMinerComputeRequestHypervisorIP{NodeID: node, HypervisorIP: "10.0.0.1"},
		&requests.UpdateMinerComputeRequestVNC{NodeID: node, VNCPort: 1},
		&requests.HandleMinerComputeRequestFailure{NodeID: node, FailReason: "x"},
		&requests.MarkMinerComputeStopRequestFulfilled{NodeID: node},
		&requests.SubmitComputeBootRequestFulfillment{NodeID: node},
		&requests.SubmitComputeRebootRequestFulfillment{NodeID: node},
		&requests.SubmitComputeResizeRequestFulfillment{NodeID: node},
		&requests.SubmitComputeDeletionRequest{NodeID: node},
		&requests.SubmitComputeRequestAssignment{MinerNodeID: node, PlanID: plan1, Owner: alice},
	}
}

func TestS73MinerSignature(t *testing.T) {
	c := running(t)
	c.join(miner2)
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	for _, call := range minerCalls(id(miner1)) {
		for _, o := range []pallet.Origin{{}, signed(mallory), signed(alice), signed(miner2)} {
			c.refuse(o, call, "Compute.InvalidSignature")
		}
		if _, assignment := call.(*requests.SubmitComputeRequestAssignment); !assignment {
			c.refuse(root, call, "Compute.InvalidSignature")
		}
	}
	same(t, "Running", c.status(0))
}

// Who takes the name of a node that is gone does not get its requests. Who gets the node itself does.
func TestS73MinerSignatureOfAnHeir(t *testing.T) {
	c := market(t)
	node := &nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: "node"}
	specs := &nodes.PutNodeSpecs{NodeID: "node", SystemInfo: machineWithRoom(), NodeType: nodes.ComputeMiner}
	c.do(signed(miner1), node)
	c.do(signed(miner1), specs)
	c.buy(alice, plan1)
	c.do(signed(miner1), &requests.SubmitComputeRequestAssignment{MinerNodeID: "node", PlanID: plan1, Owner: alice})
	c.do(signed(miner1), &nodes.SwapNodeOwner{NodeID: "node", NewOwner: miner2})
	update := &requests.UpdateMinerComputeRequest{NodeID: "node", JobID: "j", IP: "127.0.0.2"}
	c.refuse(signed(miner1), update, "Compute.InvalidSignature")
	c.do(signed(miner2), update)
	c.do(signed(miner2), &requests.MarkComputeRequestFulfilled{NodeID: "node"})
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	c.next(1)
	c.do(signed(miner2), &nodes.UnregisterMainNode{NodeID: "node"})
	c.do(signed(mallory), node)
	c.refuse(signed(mallory), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: "node"}, "Compute.InvalidSignature")
	c.refuse(signed(mallory), &requests.UpdateMinerComputeRequestHypervisorIP{NodeID: "node", HypervisorIP: "6.6.6.6"}, "Compute.InvalidSignature")
	c.do(signed(mallory), &nodes.UnregisterMainNode{NodeID: "node"})
	c.do(signed(miner1), node) // the account that got the request
	c.do(signed(miner1), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: "node"})
}

// A signature that comes as an argument has to be right, too.
func TestS73SignatureArgument(t *testing.T) {
	key := meter.KeyFromSeed([meter.SeedBytes]byte{7})
	who := pallet.Account(key.Public())
	c := market(t)
	c.join(who)
	c.buy(alice, plan1)
	c.assign(who, 0, alice, plan1)
	c.serve(who, 0)
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	sign := func(call string, node string, n uint64) (m nodes.MultiSignature) {
		m.Kind = nodes.Sr25519
		s := key.Sign(nodes.Payload(pallet.Hash{1}, call, node, rid(n)))
		copy(m.Bytes[:], s[:])
		return m
	}
	right := sign("mark_miner_compute_stop_request_fulfilled", id(who), 0)
	wrong := []nodes.MultiSignature{
		sign("submit_compute_boot_request_fulfillment", id(who), 0), sign("mark_miner_compute_stop_request_fulfilled", id(who), 1),
		sign("mark_miner_compute_stop_request_fulfilled", id(miner1), 0),
		{Kind: nodes.Ed25519, Bytes: right.Bytes}, {Kind: nodes.Ecdsa, Bytes: right.Bytes}, {Kind: nodes.Sr25519, Bytes: [65]byte{1}},
	}
	for _, w := range wrong {
		c.refuse(signed(who), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(who), Signature: w}, "Compute.InvalidSignature")
	}
	c.do(signed(who), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(who), Signature: right})
	same(t, "Stopped", c.status(0))

	public, private, err := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{9}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	other := pallet.Account(public)
	c.join(other)
	c.buy(bob, plan1)
	c.assign(other, 1, bob, plan1)
	c.serve(other, 1)
	c.do(signed(bob), &requests.RequestComputeReboot{PlanID: plan1})
	sig := nodes.MultiSignature{Kind: nodes.Ed25519}
	copy(sig.Bytes[:], ed25519.Sign(private, nodes.Payload(pallet.Hash{1}, "submit_compute_reboot_request_fulfillment", id(other), rid(1))))
	bad := sig
	bad.Bytes[3]++
	c.refuse(signed(other), &requests.SubmitComputeRebootRequestFulfillment{NodeID: id(other), RequestID: rid(1), Signature: bad}, "Compute.InvalidSignature")
	c.do(signed(other), &requests.SubmitComputeRebootRequestFulfillment{NodeID: id(other), RequestID: rid(1), Signature: sig})
}

func TestS74Replay(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.buy(alice, plan1)
	twice := func(call pallet.Call, want string) {
		t.Helper()
		c.do(signed(miner1), call)
		c.refuse(signed(miner1), call, want)
	}
	twice(&requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plan1, Owner: alice}, "Compute.InvalidRequestStatus")
	twice(&requests.UpdateMinerComputeRequest{NodeID: id(miner1), JobID: "j", IP: "127.0.0.2"}, "Compute.InvalidRequestStatus")
	twice(&requests.MarkComputeRequestFulfilled{NodeID: id(miner1)}, "Compute.InvalidRequestStatus")
	c.do(signed(alice), &requests.RequestComputeReboot{PlanID: plan1})
	twice(&requests.SubmitComputeRebootRequestFulfillment{NodeID: id(miner1)}, "Compute.ComputeRebootRequestNotFound")
	c.do(signed(alice), &requests.RequestComputeStop{PlanID: plan1})
	twice(&requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)}, "Compute.ComputeStopRequestNotFound")
	c.do(signed(alice), &requests.RequestComputeBoot{PlanID: plan1})
	twice(&requests.SubmitComputeBootRequestFulfillment{NodeID: id(miner1)}, "Compute.ComputeBootRequestNotFound")
	c.do(signed(alice), &requests.RequestComputeResize{PlanID: plan1, ResizeToGbs: 9})
	twice(&requests.SubmitComputeResizeRequestFulfillment{NodeID: id(miner1)}, "Compute.ComputeResizeRequestNotFound")
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	twice(&requests.SubmitComputeDeletionRequest{NodeID: id(miner1)}, "Compute.ComputeDeletionRequestNotFound")
	c.next(1)
	c.buy(alice, plan1)
	c.do(signed(miner1), &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plan1, RequestID: rid(1), Owner: alice})
	twice(&requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), RequestID: rid(1), FailReason: "x"}, "Compute.ComputeRequestNotFound")
}

func TestS75SubAccount(t *testing.T) {
	c := running(t)
	sub := account(50)
	c.refuse(signed(sub), &requests.RequestComputeStop{PlanID: plan1}, "Compute.ComputeRequestNotFound")
	c.refuse(signed(sub), &credits.AddSubAccount{Main: alice, NewSubAccount: sub}, "SubAccount.NotAllowed")
	c.refuse(signed(alice), &credits.AddSubAccount{Main: alice, NewSubAccount: bob}, "SubAccount.NotAllowed") // bob has credits of his own
	c.do(signed(alice), &credits.AddSubAccount{Main: alice, NewSubAccount: sub})
	c.refuse(signed(alice), &credits.AddSubAccount{Main: alice, NewSubAccount: sub}, "SubAccount.AlreadySubAccount")
	c.refuse(signed(sub), &credits.AddSubAccount{Main: sub, NewSubAccount: mallory}, "SubAccount.AlreadySubAccount")
	c.do(signed(mallory), &credits.AddSubAccount{Main: mallory, NewSubAccount: account(51)})
	c.refuse(signed(alice), &credits.AddSubAccount{Main: alice, NewSubAccount: mallory}, "SubAccount.NotAllowed") // he has sub-accounts of his own
	c.events = nil
	c.do(signed(sub), &requests.RequestComputeStop{PlanID: plan1})
	e := c.event("Compute.ComputeStopRequested")
	same(t, []any{alice.String(), sub.String()}, []any{e["owner"], e["caller"]})
	c.do(signed(miner1), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)})
	same(t, "Stopped", c.status(0))
	same(t, 1, len(c.ask("Compute/get_user_vms", `{"account":"`+sub.String()+`"}`).([]any)))
	before := c.free(alice)
	c.buy(sub, plan2)
	same(t, any(alice.String()), at(c.ask("Compute/request", `{"request_id":"1"}`), "owner"))
	same(t, before, c.free(alice))
	c.refuse(signed(mallory), &credits.RemoveSubAccount{Main: alice, SubAccountToRemove: sub}, "SubAccount.NotAllowed")
	c.refuse(signed(alice), &credits.RemoveSubAccount{Main: bob, SubAccountToRemove: sub}, "SubAccount.NoSubAccount")
	c.do(signed(sub), &credits.RemoveSubAccount{Main: alice, SubAccountToRemove: sub})
	c.refuse(signed(sub), &requests.RequestComputeBoot{PlanID: plan1}, "Compute.ComputeRequestNotFound")
}

func TestS78Placement(t *testing.T) {
	sev := strings.Replace(description, `"is_sev_enabled":false`, `"is_sev_enabled":true`, 1)
	gpu := strings.Replace(description, `"gpu":false`, `"gpu":true`, 1)
	card := "card"
	for name, s := range map[string]struct {
		description string
		change      func(*nodes.SystemInfo)
		placed      bool
	}{
		"room":                      {description, func(*nodes.SystemInfo) {}, true},
		"a tenth of cores left":     {`{"cpu_cores":18,"ram_gb":1,"storage_gb":1}`, func(i *nodes.SystemInfo) { i.CPUCores = 20 }, true},
		"less of cores":             {`{"cpu_cores":19,"ram_gb":1,"storage_gb":1}`, func(i *nodes.SystemInfo) { i.CPUCores = 20 }, false},
		"a tenth of memory left":    {`{"cpu_cores":1,"ram_gb":9,"storage_gb":1}`, func(i *nodes.SystemInfo) { i.FreeMemoryMb = 10 << 10 }, true},
		"less of memory":            {`{"cpu_cores":1,"ram_gb":10,"storage_gb":1}`, func(i *nodes.SystemInfo) { i.FreeMemoryMb = 10 << 10 }, false},
		"whole GB of memory only":   {`{"cpu_cores":1,"ram_gb":9,"storage_gb":1}`, func(i *nodes.SystemInfo) { i.FreeMemoryMb = 10<<10 - 1 }, false},
		"a tenth of storage left":   {`{"cpu_cores":1,"ram_gb":1,"storage_gb":90}`, func(i *nodes.SystemInfo) { i.StorageFreeMb = 100 << 10 }, true},
		"less of storage":           {`{"cpu_cores":1,"ram_gb":1,"storage_gb":91}`, func(i *nodes.SystemInfo) { i.StorageFreeMb = 100 << 10 }, false},
		"used storage is not free":  {`{"cpu_cores":1,"ram_gb":1,"storage_gb":100}`, func(i *nodes.SystemInfo) { i.StorageFreeMb = 1 << 10 }, false},
		"more than numbers can say": {`{"cpu_cores":4294967295,"ram_gb":4294967295,"storage_gb":4294967295}`, func(*nodes.SystemInfo) {}, false},
		"SEV is not there":          {sev, func(*nodes.SystemInfo) {}, false},
		"SEV is there":              {sev, func(i *nodes.SystemInfo) { i.IsSevEnabled = true }, true},
		"GPU is not there":          {gpu, func(*nodes.SystemInfo) {}, false},
		"GPU is there":              {gpu, func(i *nodes.SystemInfo) { i.GpuName = &card }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := market(t)
			p := plan(9, s.description)
			c.do(root, p)
			c.join(miner1)
			i := machineWithRoom()
			s.change(&i)
			c.report(miner1, i)
			c.buy(alice, plans.PlanID(p))
			call := &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plans.PlanID(p), Owner: alice}
			if !s.placed {
				c.refuse(signed(miner1), call, "Compute.MinerNotSuitable")
			}
			c.next(requests.PlaceBlocks)
			same(t, s.placed, c.status(0) == "InProgress")
			same(t, !s.placed, strings.HasPrefix(c.waitsFor(0), "miner "+id(miner1)+": Compute.MinerNotSuitable: "))
		})
	}
}

// What is promised to one request is not there for the next.
func TestS78PlacementCountsPromises(t *testing.T) {
	c := market(t)
	p := plan(9, `{"cpu_cores":8,"ram_gb":1,"storage_gb":1}`)
	c.do(root, p)
	c.join(miner1)
	c.buy(alice, plans.PlanID(p))
	c.buy(bob, plans.PlanID(p))
	c.next(requests.PlaceBlocks)
	same(t, []string{"InProgress", "Pending"}, []string{c.status(0), c.status(1)})
	c.serve(miner1, 0)
	c.next(requests.PlaceBlocks)
	same(t, "Pending", c.status(1))
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plans.PlanID(p)})
	c.next(requests.PlaceBlocks)
	same(t, "InProgress", c.status(1))
}

func TestS78PlacementMinerID(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.join(miner2)
	miner := id(miner2)
	c.do(signed(alice), &plans.PurchasePlan{PlanID: plan1, SelectedImageName: "ubuntu", MinerID: &miner})
	c.refuse(signed(miner1), &requests.SubmitComputeRequestAssignment{MinerNodeID: id(miner1), PlanID: plan1, Owner: alice}, "Compute.MinerNotSuitable")
	c.next(requests.PlaceBlocks)
	same(t, any(id(miner2)), at(c.ask("Compute/request", `{"request_id":"0"}`), "miner_node_id"))
}

func TestS78PlacementSecondChoice(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.join(miner2)
	small := machineWithRoom()
	small.CPUCores = 1
	c.report(miner1, small)
	c.buy(alice, plan1)
	c.next(requests.PlaceBlocks)
	same(t, any(id(miner2)), at(c.ask("Compute/request", `{"request_id":"0"}`), "miner_node_id"))
	c.do(signed(miner2), &nodes.SetNodeStatusToDegraded{NodeID: id(miner2)})
	c.buy(bob, plan1)
	c.next(requests.PlaceBlocks)
	same(t, "Pending", c.status(1))
	// A request that nobody can serve does not keep others waiting.
	p := plan(9, `{"cpu_cores":100}`)
	c.do(root, p)
	c.buy(alice, plans.PlanID(p))
	c.report(miner1, machineWithRoom())
	c.next(requests.PlaceBlocks)
	same(t, []string{"InProgress", "Pending"}, []string{c.status(1), c.status(2)})
}

func TestS78PlacementOfManyIsFair(t *testing.T) {
	c := market(t)
	c.join(miner1)
	big := plan(9, `{"cpu_cores":100}`)
	c.do(root, big)
	for n := range byte(20) { // more than one pass looks at
		who := account(100 + n)
		c.do(root, &plans.Deposit{Account: who, CreditAmount: pallet.Units(100)})
		c.buy(who, plans.PlanID(big))
	}
	c.buy(alice, plan1)
	c.next(2 * requests.PlaceBlocks)
	same(t, "InProgress", c.status(20))
}

func TestS79MetricsDefault(t *testing.T) {
	c := market(t)
	same(t, nil, c.ask("ExecutionUnit/get_node_metrics", `{"node_id":"nobody"}`))
	c.do(signed(miner1), &nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: id(miner1)})
	c.refuse(signed(miner1), &nodes.UpdateMetricsData{NodeID: id(miner1), NodeType: nodes.ComputeMiner}, "ExecutionUnit.MetricsNotFound")
	c.refuse(signed(miner1), &nodes.UpdatePinCheckMetrics{NodeID: id(miner1)}, "ExecutionUnit.MetricsNotFound")
	c.refuse(signed(mallory), &nodes.PutNodeSpecs{NodeID: id(miner1), NodeType: nodes.ComputeMiner}, "ExecutionUnit.InvalidSignature")
	c.refuse(signed(mallory), &nodes.PutNodeSpecs{NodeID: "nobody"}, "Registration.NodeNotFound")
	c.events = nil
	c.report(miner1, nodes.SystemInfo{})
	same(t, []string{"ExecutionUnit.NodeSpecsStored"}, c.seen())
	m := c.ask("ExecutionUnit/get_node_metrics", `{"node_id":"`+id(miner1)+`"}`)
	same(t, []any{id(miner1), 100., 100., 107374182400., 107374182400., 10.}, []any{
		at(m, "miner_id"), at(m, "avg_response_time_ms"), at(m, "bandwidth_mbps"), at(m, "current_storage_bytes"), at(m, "total_storage_bytes"), at(m, "peer_count"),
	})
	i := machineWithRoom()
	i.StorageTotalMb, i.StorageFreeMb = 300, 100
	c.report(miner1, i)
	m = c.ask("ExecutionUnit/get_node_metrics", `{"node_id":"`+id(miner1)+`"}`)
	same(t, []any{float64(200 << 20), float64(300 << 20), 1000.}, []any{at(m, "current_storage_bytes"), at(m, "total_storage_bytes"), at(m, "bandwidth_mbps")})
	i.StorageFreeMb = 301
	c.refuse(signed(miner1), &nodes.PutNodeSpecs{NodeID: id(miner1), SystemInfo: i, NodeType: nodes.ComputeMiner}, "ExecutionUnit.InvalidMetrics")
}

func TestS80MetricsUpdate(t *testing.T) {
	c := market(t)
	c.join(miner1)
	update := func(how func(*nodes.UpdateMetricsData)) {
		t.Helper()
		u := &nodes.UpdateMetricsData{NodeID: id(miner1), NodeType: nodes.ComputeMiner}
		how(u)
		c.do(signed(miner1), u)
	}
	update(func(u *nodes.UpdateMetricsData) {
		u.LatencyMs, u.UptimeMinutes, u.TotalMinutes, u.ConsecutiveReliableDays, u.RecentDowntimeHours, u.FailedChallengesCount = 100, 50, 60, 3, 2, 1
	})
	update(func(u *nodes.UpdateMetricsData) {
		u.LatencyMs, u.FailedChallengesCount, u.SuccessfulChallenges, u.TotalChallenges = 300, 2, 5, 7
	})
	update(func(u *nodes.UpdateMetricsData) {
		u.UptimeMinutes, u.TotalMinutes, u.ConsecutiveReliableDays, u.RecentDowntimeHours = 1<<32-1, 1<<32-1, 1<<32-1, 1<<32-1
		u.TotalChallenges = 1<<32 - 1
	})
	c.do(signed(miner1), &nodes.UpdatePinCheckMetrics{NodeID: id(miner1), TotalPinChecks: 4, SuccessfulPinChecks: 3})
	c.do(signed(miner1), &nodes.UpdatePinCheckMetrics{NodeID: id(miner1), TotalPinChecks: 4, SuccessfulPinChecks: 3})
	m := c.ask("ExecutionUnit/get_node_metrics", `{"node_id":"`+id(miner1)+`"}`)
	var got []any
	for _, f := range strings.Fields(`avg_response_time_ms latency_ms uptime_minutes total_minutes consecutive_reliable_days recent_downtime_hours
		failed_challenges_count successful_challenges total_challenges total_pin_checks successful_pin_checks`) {
		got = append(got, at(m, f))
	}
	same(t, []any{200., 300., 50., 60., 3., 2., 3., 5., float64(1<<32 - 1), 8., 6.}, got)
	c.refuse(signed(miner1), &nodes.UpdatePinCheckMetrics{NodeID: id(miner1), TotalPinChecks: 1, SuccessfulPinChecks: 2}, "ExecutionUnit.InvalidMetrics")
	c.refuse(signed(miner1), &nodes.UpdateMetricsData{NodeID: id(miner1), NodeType: nodes.GpuMiner}, "Registration.NodeTypeMismatch")
}

func TestS81MetricsRate(t *testing.T) {
	c := market(t)
	c.join(miner1) // one report
	c.join(miner2)
	u := &nodes.UpdateMetricsData{NodeID: id(miner1), NodeType: nodes.ComputeMiner, LatencyMs: 1}
	for range 9 {
		c.do(signed(miner1), u)
	}
	c.next(9)
	for range 10 {
		c.do(signed(miner1), u)
	}
	for _, call := range []pallet.Call{
		u, &nodes.UpdateBlockTime{NodeID: id(miner1)}, &nodes.UpdatePinCheckMetrics{NodeID: id(miner1)},
		&nodes.PutNodeSpecs{NodeID: id(miner1), NodeType: nodes.ComputeMiner}, &nodes.StoreOfflineStatusOfMiner{NodeID: id(miner1), MinerID: id(miner2)},
	} {
		c.refuse(signed(miner1), call, "ExecutionUnit.TooManyRequests")
	}
	c.report(miner2, machineWithRoom()) // each node has its own rate
	c.next(1)
	c.do(signed(miner1), u)
	c.do(signed(miner1), &nodes.StoreOfflineStatusOfMiner{NodeID: id(miner1), MinerID: id(miner2)})
	same(t, any(id(miner2)), at(c.ask("ExecutionUnit/downtime_status", ""), 0, "miner_node_id"))
}

func TestS82Liveness(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.join(miner2)
	for n := range 250 { // so that one block looks at some of them only
		c.do(root, &nodes.ForceRegisterColdkeyNode{Owner: alice, NodeType: nodes.StorageMiner, NodeID: fmt.Sprint("node ", n)})
	}
	c.next(9)
	c.report(miner1, machineWithRoom())
	from := c.height
	c.until(400)
	c.report(miner2, machineWithRoom())
	c.until(from + nodes.LivenessBlocks)
	c.next(1)
	same(t, any(id(miner1)), at(c.ask("Registration/node", `{"node_id":"`+id(miner1)+`"}`), "node_id")) // 500 blocks are not more than 500
	c.next(nodes.PassBlocks)
	for _, v := range c.pallets {
		for _, w := range v.Views {
			if v.Name == "Registration" && w.Name == "node" {
				if _, err := w.Run(c.context(pallet.Origin{}), json.RawMessage(`{"node_id":"`+id(miner1)+`"}`)); !errors.Is(err, fault.CallerNotFound) {
					t.Fatalf("it is there: %v", err)
				}
			}
		}
	}
	same(t, nil, c.ask("ExecutionUnit/get_node_metrics", `{"node_id":"`+id(miner1)+`"}`))
	same(t, 251, c.count("Registration.NodeUnregistered"))
	list := c.ask("Registration/nodes", "")
	same(t, any(id(miner2)), at(list, "items", 0, "node_id"))
	same(t, 1, len(at(list, "items").([]any)))
	c.refuse(signed(miner1), &nodes.UpdateBlockTime{NodeID: id(miner1)}, "Registration.NodeNotFound")
}

func TestS82LivenessToTheBlock(t *testing.T) {
	c := market(t)
	c.join(miner1)
	c.next(50)
	c.do(signed(miner1), &nodes.UpdateBlockTime{NodeID: id(miner1)})
	from := c.height
	c.until(from + nodes.LivenessBlocks + 1) // the block before has ended
	same(t, any(float64(from)), at(c.ask("Registration/node", `{"node_id":"`+id(miner1)+`"}`), "last_report"))
	c.next(1)
	same(t, 1, c.count("Registration.NodeUnregistered"))
	c.do(signed(miner1), &nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: id(miner1)})
}

// What a node that is gone served gets another miner, and nobody pays for the time between.
func TestS82LivenessOfWhatRuns(t *testing.T) {
	c := running(t)
	c.join(miner2)
	before := c.free(alice)
	c.alive(plans.BlocksPerHour+100, miner2)
	r := c.ask("Compute/request", `{"request_id":"0"}`)
	same(t, []any{"InProgress", id(miner2), "the miner is not there any more"}, []any{at(r, "status"), at(r, "miner_node_id"), at(r, "fail_reason")})
	same(t, before, c.free(alice))
	same(t, 1, len(c.pools().Quarantine))
}

func TestS83Charging(t *testing.T) {
	c := running(t) // charged from the block before
	before := c.free(alice)
	c.alive(plans.BlocksPerHour-1, miner1)
	same(t, before, c.free(alice))
	c.next(1)
	same(t, before-2*600, c.free(alice))
	same(t, uint64(2*600), c.free(plans.Till))
	c.alive(plans.BlocksPerHour, miner1)
	same(t, before-4*600, c.free(alice))
	c.do(root, &credits.DecreaseUserCreditsBalance{Account: alice, Amount: pallet.Units(c.free(alice) - 5)})
	c.events = nil
	c.alive(plans.BlocksPerHour, miner1)
	same(t, []string{"Compute.ComputeStopRequested"}, c.seen("Compute"))
	c.next(1) // the grace of 0 blocks is over
	same(t, []string{"Compute.ComputeDeleteRequested", "Compute.ComputeRequestDeleted", "Marketplace.CreditsConsumed", "Marketplace.SubscriptionCancelled"}, c.seen())
	same(t, uint64(0), c.free(alice))
	same(t, 0, len(c.ask("Marketplace/subscriptions", `{"account":"`+alice.String()+`"}`).([]any)))
	c.do(signed(miner1), &requests.SubmitComputeDeletionRequest{NodeID: id(miner1)})
}

func TestS83ChargingGrace(t *testing.T) {
	c := newChain(t, map[string]string{
		"Credits":     `{"free":{"` + alice.String() + `":"1000"}}`,
		"PalletIp":    `{"vm":["127.0.0.2"]}`,
		"Marketplace": `{"compute_grace_period":2000}`,
	})
	c.do(root, plan(1, description))
	c.do(root, &plans.SetOSDiskImageURL{OSName: "ubuntu", URL: "x"})
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.serve(miner1, 0)
	c.alive(plans.BlocksPerHour+1, miner1)
	same(t, 1, c.count("Compute.ComputeStopRequested"))
	c.do(signed(miner1), &requests.MarkMinerComputeStopRequestFulfilled{NodeID: id(miner1)})
	c.alive(plans.BlocksPerHour, miner1)
	same(t, 1, c.count("Compute.ComputeStopRequested"))
	same(t, "Stopped", c.status(0))
	c.do(root, &plans.Deposit{Account: alice, CreditAmount: pallet.Units(10_000)})
	c.alive(plans.BlocksPerHour, miner1)
	same(t, 1, c.count("Compute.ComputeBootRequested"))
	same(t, uint64(11_000-1200), c.free(alice))
	c.do(signed(miner1), &requests.SubmitComputeBootRequestFulfillment{NodeID: id(miner1)})
	c.alive(8*plans.BlocksPerHour, miner1)
	same(t, uint64(200), c.free(alice))
	c.do(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), FailReason: "x"})
}

// Credits that never come back: the end comes after the grace.
func TestS83ChargingGraceIsOver(t *testing.T) {
	c := newChain(t, map[string]string{
		"Credits": `{"free":{"` + alice.String() + `":"1000"}}`, "PalletIp": `{"vm":["127.0.0.2"]}`, "Marketplace": `{"compute_grace_period":700}`,
	})
	c.do(root, plan(1, description))
	c.do(root, &plans.SetOSDiskImageURL{OSName: "ubuntu", URL: "x"})
	c.join(miner1)
	c.buy(alice, plan1)
	c.assign(miner1, 0, alice, plan1)
	c.serve(miner1, 0)
	from := c.height
	c.alive(plans.BlocksPerHour+700, miner1)
	c.until(from + plans.BlocksPerHour + 701)
	same(t, 0, c.count("Compute.ComputeDeleteRequested"))
	c.next(1)
	same(t, 1, c.count("Compute.ComputeDeleteRequested"))
}

// Who deletes before the hour is over pays for what ran.
func TestS83ChargingPartOfAnHour(t *testing.T) {
	c := running(t)
	before := c.free(alice)
	c.next(99)
	c.do(signed(alice), &requests.RequestComputeDelete{PlanID: plan1})
	c.next(1)
	same(t, before-2*100, c.free(alice))
	c.alive(2*plans.BlocksPerHour, miner1)
	same(t, before-2*100, c.free(alice))
}

// What fails is paid until then, and not again before it runs; one hour is charged once, however often it began.
func TestS83ChargingOfWhatFails(t *testing.T) {
	c := running(t)
	c.join(miner2)
	c.do(root, &ip.AddAvailableVmIp{IP: "127.0.0.9"})
	before := c.free(alice)
	c.next(99)
	c.do(signed(miner1), &requests.HandleMinerComputeRequestFailure{NodeID: id(miner1), FailReason: "x"})
	c.do(signed(miner2), &nodes.SetNodeStatusToDegraded{NodeID: id(miner2)})
	c.next(1)
	same(t, before-2*100, c.free(alice))
	c.alive(plans.BlocksPerHour, miner1)
	same(t, "Pending", c.status(0))
	same(t, before-2*100, c.free(alice))
	// On a third miner it begins, fails and begins again on a fourth in one block.
	third, fourth := account(13), account(14)
	c.join(third)
	c.join(fourth)
	for n, who := range []pallet.Account{third, fourth} {
		c.assign(who, 0, alice, plan1)
		c.do(signed(who), &requests.UpdateMinerComputeRequest{NodeID: id(who), JobID: fmt.Sprint("again-", n), IP: c.reserved(0)})
		c.do(signed(who), &requests.MarkComputeRequestFulfilled{NodeID: id(who)})
		if who == third {
			c.do(signed(who), &requests.HandleMinerComputeRequestFailure{NodeID: id(who), FailReason: "x"})
		}
	}
	c.alive(plans.BlocksPerHour, fourth)
	same(t, before-2*100, c.free(alice))
	c.next(1)
	same(t, before-2*100-2*600, c.free(alice))
}

func TestCredits(t *testing.T) {
	c := newChain(t, map[string]string{"Credits": `{"authorities":["` + bob.String() + `"],"free":{}}`})
	code := "code"
	c.refuse(signed(alice), &credits.Mint{Who: alice, Amount: pallet.Units(1)}, "Credits.NotAuthorized")
	c.refuse(signed(bob), &credits.Mint{Who: alice, Amount: pallet.Units(1), Code: &code}, "Credits.InvalidReferralCode")
	c.do(signed(bob), &credits.Mint{Who: alice, Amount: pallet.Units(10)})
	c.refuse(signed(bob), &credits.Mint{Who: alice, Amount: pallet.Balance{Lo: 1<<64 - 1, Hi: 1<<64 - 1}}, "Credits.StorageOverflow")
	c.refuse(signed(bob), &credits.Burn{Who: alice, Amount: pallet.Units(11)}, "Credits.InsufficientFreeCredits")
	c.do(signed(bob), &credits.Burn{Who: alice, Amount: pallet.Units(3)})
	c.refuse(signed(bob), &credits.IncreaseUserBalance{AlphaAmount: pallet.Units(1)}, "Credits.InvalidConversionAmount")
	c.do(signed(bob), &credits.IncreaseUserBalance{MarketplaceCreditAmount: pallet.Units(5), UserToCredit: alice})
	c.refuse(root, &credits.AddAuthority{Authority: bob}, "Credits.AuthorityAlreadyExists")
	c.do(root, &credits.RemoveAuthority{Authority: bob})
	c.refuse(root, &credits.RemoveAuthority{Authority: bob}, "Credits.AuthorityNotFound")
	same(t, uint64(12), c.free(alice))
	same(t, any(map[string]any{"total_credits_purchased": "15", "total_credits_burned": "3"}), c.ask("Credits/total", ""))
	c.refuse(signed(alice), &credits.ConvertToCredits{}, "Credits.InvalidConversionAmount")
	if err := c.as(signed(alice), &credits.ConvertToCredits{Amount: pallet.Units(1)}); err == nil {
		t.Error("credits for nothing")
	}
}

// What a node is called, and who it belongs to.
func TestNodes(t *testing.T) {
	c := newChain(t, nil)
	node := &nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: id(miner1)}
	c.refuse(signed(mallory), node, "Registration.NotNodeOwner") // the ID is another's key
	c.do(signed(miner1), node)
	c.refuse(signed(miner1), node, "Registration.NodeAlreadyRegistered")
	c.refuse(signed(miner1), &nodes.RegisterNodeWithColdkey{}, "Registration.NoneValue")
	c.refuse(signed(alice), &nodes.RegisterNodeWithHotkey{Coldkey: bob, NodeID: "x"}, "Registration.NotAProxyAccount")
	c.do(signed(alice), &nodes.RegisterNodeWithHotkey{Coldkey: alice, NodeID: "x"})
	c.refuse(signed(bob), &nodes.SwapNodeOwner{NodeID: "x", NewOwner: bob}, "Registration.NotNodeOwner")
	c.do(signed(alice), &nodes.SwapNodeOwner{NodeID: "x", NewOwner: bob})
	c.refuse(signed(alice), &nodes.UnregisterNode{NodeID: "x"}, "Registration.NotNodeOwner")
	c.refuse(signed(bob), &nodes.UnregisterMainNode{NodeID: "x"}, "Registration.NodeNotRegistered")
	c.do(signed(bob), &nodes.UnregisterNode{NodeID: "x"})
	c.refuse(signed(bob), &nodes.UnregisterNode{NodeID: "x"}, "Registration.NodeNotFound")
	c.do(root, &nodes.SetFeeCharging{Enabled: true})
	c.do(root, &nodes.SetNodeTypeFee{NodeType: nodes.ComputeMiner, Fee: pallet.Units(5)})
	other := &nodes.RegisterNodeWithColdkey{NodeType: nodes.ComputeMiner, NodeID: id(miner2)}
	c.refuse(signed(miner2), other, "Registration.InsufficientBalanceForFee")
	other.PayInCredits = true
	c.refuse(signed(miner2), other, "Credits.InsufficientFreeCredits")
	c.do(root, &credits.Mint{Who: miner2, Amount: pallet.Units(6)})
	c.do(signed(miner2), other)
	same(t, []uint64{1, 5}, []uint64{c.free(miner2), c.free(nodes.Fees)})
	c.do(root, &nodes.ForceUnregisterColdkeyNode{NodeID: id(miner2)})
	same(t, []string{id(miner1)}, slices.Collect(func(yield func(string) bool) {
		for _, n := range at(c.ask("Registration/nodes", `{"limit":5}`), "items").([]any) {
			yield(at(n, "node_id").(string))
		}
	}))
}
