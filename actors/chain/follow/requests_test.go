package follow

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

var errBroken = fault.New(fault.HostAgent, "agent", "", errors.New("it answers 500"))

func TestRequestLife(t *testing.T) {
	r := newRig(t, Limits{Images: true})
	r.mine(opRequest("1", plainPlan))
	r.settle(time.Minute)
	want := []string{
		"update_miner_compute_request", "mark_compute_request_fulfilled", "update_miner_compute_request_hypervisor_ip", "update_miner_compute_request_vnc",
	}
	if diff := cmp.Diff(want, r.calls); diff != "" {
		t.Fatal(diff)
	}
	place := did[Place](r)
	if len(place) != 1 {
		t.Fatal(place)
	}
	p := place[0].Placement
	m, err := manifest.Decode(p.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if m.Terms.Weight != 200 || m.Terms.Limits.MemoryBytes != 1<<30 || m.Terms.Grants.KVBytes != 5<<30 || m.Label != "request-1" || p.Inbound != 10 || p.Outbound != 20 {
		t.Errorf("limits: %+v %+v", m.Terms, p)
	}
	v := r.l.state().vms["1"]
	if v.ip != "127.0.0.4" || v.hyper != v.ip || v.port != 5900 {
		t.Errorf("addresses: %+v", v)
	}
	r.calls = nil
	for i, kind := range []string{kindStop, kindBoot, kindReboot, kindResize, kindDelete} {
		r.mine(opSide("1", kind, r.l.head()+1))
		r.final()
		r.settle(10 * time.Second)
		if kind != kindDelete {
			var job *hostJob
			for _, j := range r.h.jobs {
				job = j
			}
			if got := job.done[len(job.done)-1]; len(job.done) != i+1 || !strings.HasPrefix(got, kind) {
				t.Errorf("%s: the agent did %v", kind, job.done)
			}
		}
	}
	want = []string{
		"mark_miner_compute_stop_request_fulfilled", "submit_compute_boot_request_fulfillment", "submit_compute_reboot_request_fulfillment",
		"submit_compute_resize_request_fulfillment", "submit_compute_deletion_request",
	}
	if diff := cmp.Diff(want, r.calls); diff != "" {
		t.Error(diff)
	}
	if len(r.h.jobs) != 0 || len(r.h.saved.Placed) != 0 || len(r.s.vms) != 0 {
		t.Errorf("something is left: %v %v %v", r.h.jobs, r.h.saved.Placed, r.s.vms)
	}
}

func TestRequestRefused(t *testing.T) {
	for plan, why := range map[string]string{
		`{"cpu_cores":1,"ram_gb":1,"gpu":"nvidia"}`:        "GPU",
		`{"cpu_cores":1,"ram_gb":1,"is_sev_enabled":true}`: "SEV",
		`{"cpu_cores":500}`:                                "cores",
		`{"ram_gb":-1}`:                                    "cannot be read",
		`[]`:                                               "cannot be read",
	} {
		r := newRig(t, Limits{Images: true})
		r.mine(opRequest("1", plan))
		r.settle(time.Minute)
		if v := r.l.state().vms["1"]; !strings.Contains(v.fail, why) || len(did[Place](r)) != 0 {
			t.Errorf("%s: %q", plan, v.fail)
		}
	}
	r := newRig(t, Limits{Images: true})
	r.fault = func(a Action) (any, error, bool) {
		_, is := a.(FetchImage)
		return nil, fault.New(fault.CallerNotFound, "fetch", "", nil), is
	}
	r.mine(opRequest("1", plainPlan))
	r.settle(time.Hour)
	if v := r.l.state().vms["1"]; v.fail == "" || len(did[FetchImage](r)) != maxImageTries {
		t.Errorf("an image that nobody has: %q after %d tries", v.fail, len(did[FetchImage](r)))
	}
}

// Whatever the agent answers that is not what was expected, the chain is told nothing.
func TestS76ChainIsUnchanged(t *testing.T) {
	broken := ""
	r := newRig(t, Limits{})
	r.fault = func(a Action) (any, error, bool) {
		kind := strings.TrimPrefix(fmt.Sprintf("%T", a), "follow.")
		if do, is := a.(JobDo); is {
			kind = do.Kind
		}
		return nil, errBroken, kind == broken
	}
	for _, step := range []struct {
		broken string
		op     op
		call   string // that follows when it is mended
	}{
		{"Place", opRequest("1", plainPlan), "update_miner_compute_request"},
		{"JobStatus", op{}, "mark_compute_request_fulfilled"},
		{"JobVNC", op{}, "update_miner_compute_request_vnc"},
		{kindStop, opSide("1", kindStop, 1), "mark_miner_compute_stop_request_fulfilled"},
		{kindBoot, opSide("1", kindBoot, 2), "submit_compute_boot_request_fulfillment"},
		{kindReboot, opSide("1", kindReboot, 3), "submit_compute_reboot_request_fulfillment"},
		{kindDelete, opSide("1", kindDelete, 4), "submit_compute_deletion_request"},
	} {
		broken = step.broken
		if step.op.do != nil {
			r.mine(step.op)
		}
		r.final()
		r.settle(10 * time.Minute)
		if slices.Contains(r.calls, step.call) {
			t.Errorf("%s fails, and the chain was told %s", step.broken, step.call)
		}
		broken = map[string]string{"Place": "JobStatus", "JobStatus": "JobVNC"}[step.broken]
		r.settle(10 * time.Minute)
		if n := len(slices.DeleteFunc(slices.Clone(r.calls), func(c string) bool { return c != step.call })); n != 1 {
			t.Errorf("%s is mended: %s was told %d times", step.broken, step.call, n)
		}
	}
}

func TestS77OneFailsTheOthersGoOn(t *testing.T) {
	r := newRig(t, Limits{})
	r.fault = func(a Action) (any, error, bool) {
		p, is := a.(Place)
		return nil, errBroken, is && p.Placed.Request == "2"
	}
	r.mine(opRequest("1", plainPlan), opRequest("2", plainPlan), opRequest("3", plainPlan))
	r.settle(time.Minute)
	vms := r.l.state().vms
	if !vms["1"].fulfilled || !vms["3"].fulfilled || vms["2"].job != "" || vms["2"].fail != "" {
		t.Errorf("%+v", vms)
	}
	if vms["1"].ip == vms["3"].ip {
		t.Error("both have one address")
	}
	if d := r.s.show("request/2"); d.Tries == 0 || !strings.Contains(d.Reason, "500") || d.NextAt.IsZero() {
		t.Errorf("it is not shown why: %+v", d)
	}
}

// A crash between the question to the agent and its answer makes no second job.
func TestNoSecondJob(t *testing.T) {
	for name, find := range map[string]bool{"an agent that knows": true, "an agent that cannot tell": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Limits{})
			crashed := false
			r.fault = func(a Action) (any, error, bool) {
				if _, is := a.(FindJob); is && !find {
					return nil, fmt.Errorf("%w: %w", ErrUnknown, errBroken), true
				}
				if place, is := a.(Place); is && !crashed {
					crashed = true
					if _, err := r.h.act(r.l, a); err != nil {
						t.Fatal(err)
					}
					r.h.keep(place.Placed) // it was on disk that the agent is asked
					return nil, fmt.Errorf("%w: %w", ErrUnknown, errBroken), true
				}
				return nil, nil, false
			}
			r.mine(opRequest("1", plainPlan))
			r.restart()
			r.settle(time.Minute)
			if r.h.created["1"] != 1 {
				t.Errorf("%d jobs", r.h.created["1"])
			}
			v := r.l.state().vms["1"]
			if find && !v.fulfilled || !find && v.fail == "" {
				t.Errorf("%+v", v)
			}
		})
	}
}

// A job whose name was not heard before a crash, and whose request is gone meanwhile or is to be deleted, does not run on for nobody.
func TestNoJobIsLeft(t *testing.T) {
	for _, deletion := range []bool{false, true} {
		r := newRig(t, Limits{Images: true})
		crashed := false
		r.fault = func(a Action) (any, error, bool) {
			place, is := a.(Place)
			if is && !crashed {
				crashed = true
				if _, err := r.h.act(r.l, a); err != nil {
					t.Fatal(err)
				}
				r.h.keep(place.Placed)
			}
			return nil, fault.New(fault.BusyChain, "place", "", nil), is
		}
		r.mine(opRequest("1", plainPlan))
		r.settle(5 * time.Second)
		if len(r.h.jobs) != 1 {
			t.Fatalf("%d jobs", len(r.h.jobs))
		}
		r.mine(op{sticky: true, do: func(st *state) []chain.Event {
			v := st.vms["1"]
			if v.gone, v.sides[kindDelete] = true, r.l.head()+1; deletion {
				st.vms["1"] = v
			} else {
				delete(st.vms, "1")
			}
			return nil
		}})
		r.restart()
		r.fault = nil
		r.settle(time.Minute)
		r.final()
		r.settle(time.Minute)
		if len(r.h.jobs) != 0 || len(r.h.saved.Placed) != 0 {
			t.Errorf("deletion %v: left are %v, %v", deletion, r.h.jobs, r.h.saved.Placed)
		}
	}
}

// A job of ours that the host lost is made again, and the chain keeps the name that it had.
func TestLostJobIsMadeAgain(t *testing.T) {
	r := newRig(t, Limits{Images: true})
	r.mine(opRequest("1", plainPlan))
	r.settle(time.Minute)
	clear(r.h.jobs)
	r.settle(time.Minute)
	if len(r.h.jobs) != 1 || len(r.calls) != 4 {
		t.Errorf("%d jobs, told %v", len(r.h.jobs), r.calls)
	}
	r.mine(opSide("1", kindDelete, r.l.head()+1))
	r.final()
	r.settle(time.Minute)
	if len(r.h.jobs) != 0 || len(r.l.state().vms) != 0 {
		t.Errorf("%v, %v", r.h.jobs, r.l.state().vms)
	}
}

func TestTerms(t *testing.T) {
	got, err := readTerms(`{"cpu_cores":"4","ram_gb":0.5,"storage_gb":null,"inbound_bandwidth":1,"outbound_bandwidth":"2","gpu":"none","gpu_type":null,"is_sev_enabled":"false","more":[]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := terms{cores: 4, ram: 1, inbound: 1, outbound: 2}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	m, err := terms{cores: 2, ram: 64, storage: 1}.build("9", Image{Manifest: fakeManifest(1).Encode()})
	if err != nil || m.Version != manifest.Version2 || m.CodeHash != fakeManifest(1).CodeHash || m.Terms.Limits.MemoryBytes != 4<<30-64<<10 {
		t.Errorf("%+v, %v: a wasm has 4 GiB at most", m, err)
	}
	if _, err := (terms{}).build("9", Image{Manifest: []byte("none")}); err == nil {
		t.Error("no manifest")
	}
}

func FuzzHints(f *testing.F) {
	f.Add("Wapod", "TicketCreated", `{"id":1,"list":1}`)
	f.Add("Wapod", "WorkersAddedToList", `{"list":1,"workers":["07"]}`)
	f.Add("Balances", "Transfer", `{"from":"x","to":null}`)
	f.Add("Compute", "ComputeRequestSubmitted", `{"miner":1,"request_id":"1"}`)
	f.Fuzz(func(_ *testing.T, pallet, name, fields string) {
		s := NewState(Limits{Worker: chain.Hash{7}})
		_, _ = s.hints(&chain.Block{Events: []chain.Event{{Pallet: pallet, Name: name, Fields: json.RawMessage(fields)}}})
	})
}

func FuzzViews(f *testing.F) {
	f.Add(`{"id":1,"workers":"any","balance":"5","closing_at":null}`)
	f.Add(`{"items":[{"id":1,"workers":{"list":1}}],"next":7}`)
	f.Add(`{"compute":[{"request_id":"1","job_id":null,"created_at":5}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		r := newRig(t, Limits{})
		r.settle(time.Second)
		for _, v := range []any{&ticketView{}, &ticketPage{}, &workerView{}, &benchView{}, &requestsView{}, &requestView{}, &poolsView{}} {
			if json.Unmarshal([]byte(body), v) != nil {
				continue
			}
			switch v := v.(type) {
			case *ticketView:
				r.s.take(Read{Kind: ReadTicket, ID: v.ID}, v, 1, false)
			case *ticketPage:
				r.s.take(Read{Kind: ReadTickets}, *v, 1, false)
			case *workerView:
				r.s.take(Read{Kind: ReadWorker}, *v, 1, false)
			case *benchView:
				r.s.take(Read{Kind: ReadBench}, *v, 1, false)
			case *requestsView:
				r.s.take(Read{Kind: ReadRequests}, *v, 1, false)
			case *requestView:
				r.s.take(Read{Kind: ReadRequest, Name: "1"}, v, 1, false)
			case *poolsView:
				r.s.take(Read{Kind: ReadIPs}, *v, 1, false)
			}
		}
		r.s.Step(r.now, tick{})
	})
}

func FuzzTerms(f *testing.F) {
	f.Add(plainPlan, "1")
	f.Add(`{"cpu_cores":1e300,"ram_gb":"NaN"}`, "2")
	f.Fuzz(func(t *testing.T, description, request string) {
		got, err := readTerms(description)
		if err != nil {
			return
		}
		if m, err := got.build(request, Image{CodeHash: fakeManifest(1).CodeHash}); err == nil && m.Terms.Weight == 0 {
			t.Error("no share of the processor")
		}
	})
}
