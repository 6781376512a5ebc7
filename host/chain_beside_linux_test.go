package host_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupehost/troupe/host"
)

// agentBeside is a program that runs compute requests, as a host asks it.
type agentBeside struct {
	*httptest.Server
	mu     sync.Mutex
	starts []map[string]any
	asked  []string
	refuse map[string]bool // the IP of a request that it does not start
}

func newAgentBeside(t *testing.T) *agentBeside {
	a := &agentBeside{refuse: map[string]bool{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked = append(a.asked, strings.TrimPrefix(r.URL.Path, "/"))
		say := func(code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
		job := path.Base(r.URL.Path)
		switch {
		case r.URL.Path == "/start-vm":
			var s map[string]any
			if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
				t.Error(err)
			}
			a.starts = append(a.starts, s)
			if request := fmt.Sprint(s["substrate_request_id"]); a.refuse[request] {
				say(http.StatusInternalServerError, map[string]any{"error": "no room"})
			} else {
				say(http.StatusAccepted, map[string]any{"job_id": "job" + request, "name": "vm-job" + request, "status": "Pending"})
			}
		case strings.HasPrefix(r.URL.Path, "/vm-status/"):
			say(http.StatusOK, map[string]any{"job_id": job, "status": "Completed"})
		case strings.HasPrefix(r.URL.Path, "/vm-vnc-port/"):
			say(http.StatusOK, map[string]any{"vm_name": "vm-" + job, "vnc_port": 5901})
		default:
			say(http.StatusOK, map[string]any{})
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *agentBeside) was(asked string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.asked, asked)
}

// TestS76S77AgentBeside: compute requests are run by a program beside the host, and one that it does not start keeps no other from
// running.
func TestS76S77AgentBeside(t *testing.T) {
	r := newComputeRig(t, "beside", "c-handler", "127.0.0.81", "127.0.0.82", "127.0.0.83")
	beside := newAgentBeside(t)
	beside.refuse["0"] = true
	h := computeHost(r, func(c *host.Config) { c.Chain.Agent = beside.URL })
	r.ready(h)
	small := `{"cpu_cores":0,"ram_gb":1,"storage_gb":1}`
	lame, well := r.plan("lame", small), r.plan("well", strings.Replace(small, "1", "2", 1))
	r.buy(lame, "image")
	r.buy(well, "image")
	v := r.untilVM(h, well, "a request that runs", func(v chainVM) bool { return v.Status == "Running" && v.VNCPort != nil })
	if *v.Job != "job1" || *v.VNCPort != 5901 {
		t.Errorf("the chain says %s", chainText(v))
	}
	if bad, ok := r.vm(lame); !ok || bad.Fulfilled || bad.Job != nil {
		t.Errorf("the chain says %s of what the agent did not start", chainText(bad))
	}
	beside.mu.Lock()
	for _, s := range beside.starts {
		if len(s) != 13 {
			t.Errorf("%d keys: %v", len(s), s)
		}
	}
	beside.mu.Unlock()
	r.call(r.alice, "Compute", "request_compute_stop", map[string]any{"plan_id": well})
	r.untilVM(h, well, "a stop", func(v chainVM) bool { return v.Status == "Stopped" })
	r.call(r.alice, "Compute", "request_compute_delete", map[string]any{"plan_id": well})
	r.until("a deletion", func() (bool, string) { return beside.was("delete-vm/job1"), "" })
	if !beside.was("stop-vm/job1") {
		t.Error("the agent was not asked to stop")
	}
}
