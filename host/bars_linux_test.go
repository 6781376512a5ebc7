package host_test

import (
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// endless runs a guest that never ends and prepares code that takes too long, and says how long the verdicts took. The wall
// limit is far away, so that the verdicts are those of the CPU limit on any machine.
func endless(t *testing.T, limit time.Duration) map[string]time.Duration {
	t.Helper()
	h := start(t, host.Config{})
	loop := host.Request{Code: guest(t, "loop"), Limits: run.Limits{CPU: limit, Wall: time.Minute}}
	execute(t, h, loop) // what is timed is the job, and not its preparation
	took := map[string]time.Duration{}
	begin := time.Now()
	r := execute(t, h, loop)
	took["run"] = time.Since(begin)
	if fault.Code(r.Fault) != fault.GuestCPULimit || *r.CPUMicros < limit.Microseconds() || *r.Attempts != 1 {
		t.Errorf("run: %s (%s), cpu %d µs, %d attempts", r.Fault, r.Message, *r.CPUMicros, *r.Attempts)
	}
	begin = time.Now()
	j, err := h.Precheck(t.Context(), host.CodeRequest{Code: guest(t, "go-hello"), CPU: limit})
	took["preparation"] = time.Since(begin)
	if err != nil || fault.Code(j.Fault) != fault.GuestPrepareCPU {
		t.Errorf("preparation: %+v, %v", j, err)
	}
	return took
}

// TestBar01EndlessJobs end at their CPU limit, and not before. The lines are held by the timed test.
func TestBar01EndlessJobs(t *testing.T) {
	const limit = 200 * time.Millisecond
	for what, took := range endless(t, limit) {
		// The threads of a compiler run side by side, and so does its CPU clock.
		if least := limit / 4; took < least || took > 5*run.WallFactor*limit {
			t.Errorf("%s: verdict after %v", what, took)
		}
	}
}
