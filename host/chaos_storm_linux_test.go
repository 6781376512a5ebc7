//go:build chaos

package host_test

import (
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestChaosStorm is R2: of many runs each second one has its worker killed. All are answered, the others right, and no
// process is started without need.
func TestChaosStorm(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 4, ExecuteWorkersCritical: 4})
	pairs := chaosKills(t, 2500)
	began := time.Now()
	storm(t, h, pairs, 4, 0, true)
	took := time.Since(began)
	n, now := spawned(t, h, "asker")
	t.Logf("%d runs in %v, %d workers started, %.0f per second", 2*pairs, took, n, float64(n)/took.Seconds())
	// Each deadly run needs one, and may have taken the place of a healthy one's.
	if n < pairs || n > 2*pairs+8 || now > 4 {
		t.Errorf("%d workers were started for %d deaths, and %d are there", n, pairs, now)
	}
	if s, err := h.Inspect(t.Context()); err != nil || len(s.Queues) != 3 || s.Queues[1].Running != 0 || s.Requests != 0 {
		t.Errorf("not at rest: %+v, %v", s.Queues, err)
	}
}

// TestChaosQuarantine has all workers of one code killed: after QuarantineAfter runs that were suspect twice no worker is
// spent on it any more, and no other code is touched.
func TestChaosQuarantine(t *testing.T) {
	const after = 3
	h := start(t, host.Config{QuarantineAfter: after, SpareWorkers: host.NoLimit}) // which would be counted
	stop := murder(t, h, "neighbour")
	deadly := host.Request{Code: guest(t, "loop"), Tenant: "neighbour", Entry: invoke("run"), Limits: run.Limits{CPU: time.Minute}}
	for range after {
		if r := execute(t, h, deadly); !strings.HasPrefix(r.Fault, "suspect.") || *r.Attempts != 2 {
			t.Errorf("%s after %d attempts", r.Fault, *r.Attempts)
		}
	}
	killed := stop()
	before, _ := spawned(t, h, "before")
	r := execute(t, h, deadly)
	if r.Fault == string(fault.SuspectWorkerDied) || r.Fault == string(fault.GuestCPULimit) {
		t.Errorf("no quarantine after %d runs: %s", after, r.Fault)
	}
	if n, _ := spawned(t, h, "after"); r.Fault != string(fault.GuestQuarantined) || killed != 2*after || n != before+1 {
		t.Errorf("%s, %d workers killed, %d and then %d started", r.Fault, killed, before, n)
	}
	if r := execute(t, h, host.Request{Code: guest(t, "hash-puzzle"), Tenant: "neighbour", Entry: invoke("run", "0", "1")}); r.Verdict != "ok" {
		t.Errorf("other code of the tenant: %s", r.Fault)
	}
}
