package pool

import (
	"maps"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// told counts what an observer is told.
type told struct {
	mu sync.Mutex
	n  map[string]int
}

func (o *told) count(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.n == nil {
		o.n = map[string]int{}
	}
	o.n[what]++
}

func (o *told) Spawning(kind string)        { o.count("spawning " + kind) }
func (o *told) Spawned(kind string)         { o.count("spawned " + kind) }
func (o *told) Retired(kind string)         { o.count("retired " + kind) }
func (o *told) Killed(kind, reason string)  { o.count("killed " + kind + " " + reason) }
func (o *told) TimedOut(kind, clock string) { o.count("timed out " + kind + " " + clock) }
func (o *told) Orphaned(kind string)        { o.count("orphaned " + kind) }

func (o *told) times(what string) int { return o.copy()[what] }

func (o *told) copy() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.n)
}

func (o *told) want(t *testing.T, want map[string]int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := cmp.Diff(want, maps.Clone(o.n)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestObserverIsTold prepares code, has a worker do well, one run out of each kind of time, and one leave.
func TestObserverIsTold(t *testing.T) {
	o := &told{}
	r := newRigConfig(t, "", Config{Observe: o})
	b := r.prepared(t, adder())
	for _, l := range []run.Limits{{CPU: 50 * time.Millisecond, Wall: time.Minute}, {CPU: time.Minute, Wall: 50 * time.Millisecond}} {
		w := r.worker(t, b)
		_, _ = w.Run(t.Context(), r.job(b, invoke("spin"), l, RunIO{}))
		<-w.Dead()
	}
	w := r.worker(t, b)
	w.Close()
	<-w.Dead()
	o.want(t, map[string]int{
		"spawning probe": 1, "spawned probe": 1, "retired probe": 1,
		"spawning prepare": 1, "spawned prepare": 1, "retired prepare": 1,
		"spawning execute": 3, "spawned execute": 3, "retired execute": 3,
		"killed execute cpu_limit": 1, "timed out execute host_cpu": 1,
		"killed execute wall_limit": 1, "timed out execute wall": 1,
	})
}

// TestObserverIsToldOfStrangeEnds has workers that do not greet, break the protocol, die, and are told the truth by.
func TestObserverIsToldOfStrangeEnds(t *testing.T) {
	for mode, want := range map[string]map[string]int{
		"greet: exit":       {"spawning prepare": 1, "killed prepare not_started": 1},
		"garbage":           {"spawning prepare": 1, "spawned prepare": 1, "retired prepare": 1, "killed prepare bad_reply": 1},
		"exit":              {"spawning prepare": 1, "spawned prepare": 1, "retired prepare": 1, "killed prepare died": 1},
		"prepare: believed": {"spawning prepare": 1, "spawned prepare": 1, "retired prepare": 1}, // the code is bad, the worker is not
	} {
		t.Run(mode, func(t *testing.T) {
			o := &told{}
			r := newRigConfig(t, mode, Config{Observe: o})
			if out := r.Prepare(t.Context(), r.put([]byte("code"))); out.Fault == nil {
				t.Fatal("no fault")
			}
			for _, what := range []string{"spawning probe", "spawned probe", "retired probe"} {
				want[what] = 1
			}
			o.want(t, want)
		})
	}
}

// TestTheClockThatSawIt names the clock of a limit of CPU time by who tells of it.
func TestTheClockThatSawIt(t *testing.T) {
	o := &told{}
	w := &worker{pool: &Pool{cfg: Config{Observe: o}}, kind: kindExecute}
	limit := fault.New(fault.GuestCPULimit, "", "", nil)
	w.timedOut(limit, run.ClockWorker)
	w.timedOut(limit, run.ClockHost)
	w.timedOut(limit, "") // it ended in time and had used too much: the host's account
	w.timedOut(limit, run.ClockWall)
	w.timedOut(fault.New(fault.SuspectWallLimit, "", "", nil), run.ClockWall)
	w.timedOut(fault.New(fault.GuestTrap, "", "", nil), run.ClockWorker)
	w.timedOut(nil, run.ClockWorker)
	o.want(t, map[string]int{"timed out execute worker": 1, "timed out execute host_cpu": 2, "timed out execute wall": 2})
}

// TestOrphansAreSeen: a process in the group of another outlives it, if only as a zombie.
func TestOrphansAreSeen(t *testing.T) {
	for _, company := range []bool{true, false} {
		pidfd := -1
		leader := exec.Command("sleep", "1000")
		leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd}
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		other := exec.Command("sleep", "1000")
		other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: leader.Process.Pid}
		if !company {
			other.SysProcAttr.Pgid = 0
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		saw := make(chan bool, 1)
		p := adopt(leader.Process.Pid, pidfd, r, func(orphans bool) { saw <- orphans })
		p.kill()
		<-p.dead
		if got := <-saw; got != company {
			t.Errorf("orphans %v, want %v", got, company)
		}
		_ = other.Process.Kill()
		if err := other.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("the other ended by %v", err)
		}
	}
}
