package host_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	chains "github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/host"
)

// chainVM is a compute request as the chain's users see it.
type chainVM struct {
	Request      any     `json:"request_id"`
	Status       string  `json:"status"`
	PlanID       string  `json:"plan_id"`
	Miner        *string `json:"miner_node_id"`
	Job          *string `json:"job_id"`
	HypervisorIP *string `json:"hypervisor_ip"`
	VNCPort      *uint64 `json:"vnc_port"`
	IP           *string `json:"ip_assigned"`
	Error        *string `json:"error"`
	Fulfilled    bool    `json:"is_fulfilled"`
}

// plan offers a plan, and returns its id.
func (r *chainRig) plan(name, description string) string {
	r.t.Helper()
	p := plans.AddNewPlan{PlanName: name, PlanTechnicalDescription: description, Price: pallet.Units(1), Name: name}
	r.sudo("Marketplace", "add_new_plan", p)
	return plans.PlanID(&p).String()
}

// buy purchases a plan with an image.
func (r *chainRig) buy(plan, image string) {
	r.t.Helper()
	r.call(r.alice, "Marketplace", "purchase_plan", map[string]any{"plan_id": plan, "selected_image_name": image})
}

// vm returns the request of a plan.
func (r *chainRig) vm(plan string) (chainVM, bool) {
	r.t.Helper()
	var page struct {
		Items []chainVM `json:"items"`
	}
	var raw any
	r.query("Compute/get_user_vms", map[string]any{"account": chains.Hash(r.alice.Public())}, &raw)
	if list, ok := raw.([]any); ok {
		raw = map[string]any{"items": list}
	}
	if err := jsonInto(raw, &page); err != nil {
		r.t.Fatal(err)
	}
	for _, v := range page.Items {
		if v.PlanID == plan {
			return v, true
		}
	}
	return chainVM{}, false
}

// untilVM waits until the request of a plan is as wanted.
func (r *chainRig) untilVM(h *host.Host, plan, what string, wanted func(chainVM) bool) (v chainVM) {
	r.t.Helper()
	r.until(what, func() (bool, string) {
		var ok bool
		v, ok = r.vm(plan)
		if ok && wanted(v) {
			return true, ""
		}
		demands, _, _ := h.ChainDemands(r.t.Context(), "", 10)
		calls, _, _ := h.ChainCalls(r.t.Context(), host.CallFilter{Limit: 5})
		return false, chainText(v) + " " + chainText(demands) + " " + chainText(calls)
	})
	return v
}

// newComputeRig is a chain on which alice has credits, with an image.
func newComputeRig(t *testing.T, name, file string, ips ...string) *chainRig {
	r := newChainRig(t, name, chainBlock, map[string]string{"PalletIp": `{"vm":` + chainText(ips) + `,"release_period":40}`})
	code := guest(t, file)
	image := fmt.Sprintf("sha256:%x", sha256.Sum256(code))
	r.publish(image, code)
	r.sudo("Marketplace", "set_os_disk_image_url", map[string]any{"os_name": "image", "url": image, "name": "image", "description": ""})
	r.sudo("Credits", "mint", map[string]any{"who": chains.Hash(r.alice.Public()), "amount": "100000000", "code": nil})
	return r
}

func computeHost(r *chainRig, change func(*host.Config)) *host.Host {
	return r.host(func(c *host.Config) {
		c.Chain.Compute, c.Chain.MetricsEvery, c.Apps.Resume = true, 500*time.Millisecond, true
		if change != nil {
			change(c)
		}
	})
}

const chainPlan = `{"cpu_cores":1,"ram_gb":1,"storage_gb":1,"inbound_bandwidth":100,"outbound_bandwidth":100,"gpu":false,"is_sev_enabled":false}`

// TestComputeRequest: a plan is purchased, and an app runs at an address of its own; it is stopped, booted, rebooted, resized and
// deleted, and the address is free again in the end. Nobody but the user does anything.
func TestComputeRequest(t *testing.T) {
	r := newComputeRig(t, "compute", "c-handler", "127.0.0.77")
	h := computeHost(r, nil)
	worker := r.ready(h)
	plan := r.plan("small", chainPlan)
	r.buy(plan, "image")
	v := r.untilVM(h, plan, "a request that runs", func(v chainVM) bool {
		return v.Status == "Running" && v.Fulfilled && v.HypervisorIP != nil && v.VNCPort != nil
	})
	if *v.Miner != worker.String() || *v.IP != "127.0.0.77" || *v.HypervisorIP != "127.0.0.77" {
		t.Errorf("the chain says %s", chainText(v))
	}
	apps, _, err := h.Apps(t.Context(), host.AppFilter{})
	if err != nil || len(apps) != 1 || *v.Job != apps[0].Session {
		t.Fatalf("job %s, apps %s, %v", *v.Job, chainText(apps), err)
	}
	app := func() inspect.App {
		a, err := h.App(t.Context(), apps[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	client := &http.Client{Timeout: 10 * time.Second}
	talk := func() (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("http://%s:%d/echo", *v.HypervisorIP, *v.VNCPort), strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer got.Body.Close()
		b, _ := io.ReadAll(got.Body)
		return got.StatusCode, string(b)
	}
	if code, said := talk(); code != 200 {
		t.Errorf("it says %d %q", code, said)
	}
	began := time.Now()
	ask := func(name string, more ...any) {
		t.Logf("%v: %s", time.Since(began), name)
		args := map[string]any{"plan_id": plan}
		for i := 0; i < len(more); i += 2 {
			args[more[i].(string)] = more[i+1]
		}
		r.call(r.alice, "Compute", name, args)
	}
	ask("request_compute_stop")
	r.untilVM(h, plan, "a stop", func(v chainVM) bool { return v.Status == "Stopped" })
	if code, said := talk(); code == 200 {
		t.Errorf("a stopped one answers %q", said)
	}
	ask("request_compute_boot")
	r.untilVM(h, plan, "a boot", func(v chainVM) bool { return v.Status == "Running" })
	if code, said := talk(); code != 200 {
		t.Errorf("it was booted, and says %d %q", code, said)
	}
	ask("request_compute_reboot")
	r.until("a reboot", func() (bool, string) { return r.open(worker, "reboot") == 0, "" })
	if code, said := talk(); code != 200 {
		t.Errorf("it was rebooted, and says %d %q", code, said)
	}
	ask("request_compute_resize", "resize_to_gbs", 3)
	r.until("a resize", func() (bool, string) { return r.open(worker, "resize") == 0, "" })
	if a := app(); a.Session != *v.Job {
		t.Errorf("the app has another session now: %s", a.Session)
	}
	ask("request_compute_delete")
	r.until("a deletion", func() (bool, string) {
		_, err := h.App(t.Context(), apps[0].Address)
		demands, _, _ := h.ChainDemands(t.Context(), "", 10)
		return fault.CodeOf(err) == fault.CallerNotFound && r.open(worker, "deletion") == 0, fmt.Sprint(err, chainText(demands))
	})
	if code, said := talk(); code != 0 {
		t.Errorf("a deleted one says %d %q", code, said)
	}
	var pools struct {
		VM         []string `json:"vm"`
		Assigned   []string `json:"assigned_vm"`
		Quarantine []any    `json:"quarantine"`
	}
	r.query("PalletIp/pools", nil, &pools)
	if len(pools.Assigned) != 0 || len(pools.VM)+len(pools.Quarantine) != 1 {
		t.Errorf("the pools are %+v", pools)
	}
	r.until("the end of the quarantine", func() (bool, string) {
		r.query("PalletIp/pools", nil, &pools)
		return len(pools.VM) == 1, chainText(pools)
	})
}

// open counts what is open of a kind for a miner.
func (r *chainRig) open(worker chains.Hash, kind string) (n int) {
	r.t.Helper()
	all := map[string][]struct {
		Fulfilled bool `json:"fullfilled"` //nolint:misspell // as it is spelt on chain
	}{}
	r.query("Compute/miner_requests", map[string]any{"miner_node_id": worker.String()}, &all)
	for _, x := range all[kind] {
		if !x.Fulfilled {
			n++
		}
	}
	return n
}

// TestComputeRequestRefused: what this host cannot run it gives back with a reason, for another miner; what needs a GPU or encrypted
// memory does not come to it.
func TestComputeRequestRefused(t *testing.T) {
	r := newComputeRig(t, "refused", "not-wasm", "127.0.0.78")
	h := computeHost(r, nil)
	r.ready(h)
	gpu := r.plan("gpu", `{"cpu_cores":1,"ram_gb":1,"storage_gb":1,"gpu":true,"gpu_type":"H100"}`)
	sev := r.plan("sev", `{"cpu_cores":1,"ram_gb":1,"storage_gb":1,"is_sev_enabled":true}`)
	plan := r.plan("small", chainPlan)
	for _, p := range []string{gpu, sev, plan} {
		r.buy(p, "image")
	}
	v := r.untilVM(h, plan, "a refusal", func(v chainVM) bool { return v.Error != nil && v.Status == "Pending" })
	if *v.Error == "" {
		t.Error("it is refused without a reason")
	}
	t.Log(*v.Error)
	for _, p := range []string{gpu, sev} {
		if v, ok := r.vm(p); !ok || v.Status != "Pending" || v.Miner != nil {
			t.Errorf("the chain says %s", chainText(v))
		}
	}
	if apps, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil || len(apps) != 0 {
		t.Errorf("%s, %v", chainText(apps), err)
	}
}
