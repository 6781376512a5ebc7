//go:build timed

package pool

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// load is the machine's, for the record.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return "load " + strings.Join(strings.Fields(string(b))[:1], "")
}

// TestBar02TimedStoppedWorkers holds the line: 4 times the limit and a second, and no process left a second later.
func TestBar02TimedStoppedWorkers(t *testing.T) {
	const limit = 500 * time.Millisecond
	for what, took := range stopped(t, limit) {
		line := run.WallFactor*limit + time.Second
		if what == "burial" {
			line = time.Second
		}
		t.Logf("%s: %v, line %v, %s", what, took, line, load())
		if took > line {
			t.Errorf("%s took %v, line %v", what, took, line)
		}
	}
}

// burner exports burn(n i32), which takes time that grows with n.
func burner() []byte {
	return module(
		section(1, 1, 0x60, 1, i32, 0),
		section(3, 1, 0),
		section(7, join([]byte{1}, name("burn"), []byte{0, 0})...),
		section(10, join([]byte{1}, body(0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b))...), // loop n -= 1 br_if n end
	)
}

// busy keeps n processes of nice 0 spinning until the test ends.
func busy(t *testing.T, n int) {
	t.Helper()
	runtime.LockOSThread() // whose death would be theirs
	t.Cleanup(runtime.UnlockOSThread)
	for range n {
		c := exec.Command("/proc/self/exe")
		c.Args = []string{busyArg0}
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	}
}

func codeOf(f *fault.Error) fault.Code {
	if f == nil {
		return ""
	}
	return f.Code
}

// TestBar12VerdictsUnderLoad: half of the CPU limit is enough and one and a half is not, whether the machine is idle or has
// 4 busy processes per core beside the job, in execution and in preparation, with the wall limit that follows by default.
func TestBar12VerdictsUnderLoad(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, burner())
	burn := func(n int, l run.Limits) run.Outcome {
		o, _ := r.worker(t, b).Run(t.Context(), r.job(b, invoke("burn", strconv.Itoa(n)), l, RunIO{}))
		return o
	}
	const limit = time.Second
	const probe = 200_000_000
	full := int(float64(probe) * float64(limit) / float64(burn(probe, run.Limits{CPU: time.Hour}).Usage.CPU)) // iterations in the limit
	code := large(t)
	job := r.put(code)
	job.Budget.CPU = time.Hour
	cost := r.Prepare(t.Context(), job).CPU
	judge := func(state string) {
		for _, row := range []struct {
			share float64
			run   fault.Code
			prep  fault.Code
		}{{0.5, "", ""}, {1.5, fault.GuestCPULimit, fault.GuestPrepareCPU}} {
			for range 3 {
				runs := func() bool {
					o := burn(int(row.share*float64(full)), run.Limits{CPU: limit})
					t.Logf("%s, run of %v x the limit: CPU %v, wall %v, clock %q, %v, %s", state, row.share, o.Usage.CPU, o.Usage.Wall, o.Clock, o.Fault, load())
					return codeOf(o.Fault) == row.run
				}
				prepares := func() bool {
					job := r.put(code)
					job.Budget.CPU, job.Budget.Wall = time.Duration(float64(cost)/row.share), 0
					p := r.Prepare(t.Context(), job)
					t.Logf("%s, preparation of %v x the limit: CPU %v of %v, wall %v, clock %q, %v", state, row.share, p.CPU, job.Budget.CPU, p.Wall, p.Clock, p.Fault)
					return codeOf(p.Fault) == row.prep
				}
				for what, judged := range map[string]func() bool{"run": runs, "preparation": prepares} {
					right := judged()
					if !right { // one more try, as for all lines
						right = judged()
					}
					if !right {
						t.Errorf("%s: another verdict on a %s of %v x the limit, twice", state, what, row.share)
					}
				}
			}
		}
	}
	judge("idle")
	busy(t, 4*runtime.NumCPU())
	judge(fmt.Sprintf("%d busy processes on %d cores", 4*runtime.NumCPU(), runtime.NumCPU()))
}
