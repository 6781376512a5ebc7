package pool

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
)

// stopped runs an endless job and a long preparation, stops their workers with SIGSTOP, and says how long the verdicts took.
func stopped(t *testing.T, limit time.Duration) map[string]time.Duration {
	t.Helper()
	r := newRig(t, "")
	took := map[string]time.Duration{}
	stop := func(kind string) {
		t.Helper()
		pid := 0
		if !eventually(func() bool {
			for _, w := range r.Workers() {
				if w.Kind == kind && w.State == "busy" {
					pid = w.PID
				}
			}
			return pid != 0
		}) {
			t.Fatal("nothing runs")
		}
		_ = unix.Kill(pid, unix.SIGSTOP)
	}
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	job := r.job(b, invoke("spin"), run.Limits{CPU: limit}, RunIO{})
	begin := time.Now()
	ended := make(chan run.Outcome)
	go func() { o, _ := w.Run(t.Context(), job); ended <- o }()
	stop(kindExecute)
	o := <-ended
	took["run"] = time.Since(begin)
	wantFault(t, o.Fault, fault.SuspectWallLimit)
	if o.Clock != run.ClockWall {
		t.Errorf("clock %q", o.Clock)
	}

	p := r.put(large(t))
	p.Budget.CPU, p.Budget.Wall = limit, 0
	begin = time.Now()
	prepared := make(chan prepare.Outcome)
	go func() { prepared <- r.Prepare(t.Context(), p) }()
	stop(kindPrepare)
	out := <-prepared
	took["preparation"] = time.Since(begin)
	wantFault(t, out.Fault, fault.SuspectPrepareWall)
	begin = time.Now()
	if !eventually(func() bool { return len(children(os.Getpid())) == 0 }) {
		t.Error("a process is left")
	}
	took["burial"] = time.Since(begin)
	return took
}

// TestBar02StoppedWorkers: a worker that is stopped costs its job no more than the wall limit, and nothing of it is left. The
// line, 4 times the limit and a second, is held by the timed test.
func TestBar02StoppedWorkers(t *testing.T) {
	const limit = 200 * time.Millisecond
	for what, took := range stopped(t, limit) {
		if most := 5 * (run.WallFactor*limit + time.Second); took > most {
			t.Errorf("%s: %v", what, took)
		}
	}
}
