package pool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

// large is code whose compilation takes a good part of a second.
func large(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "guests", "go-hello.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEachClockHoldsAlone leaves out one net after the other: the endless guest, and the compilation that is too long, end
// all the same, and the verdict is that of the account.
func TestEachClockHoldsAlone(t *testing.T) {
	const cpu = 100 * time.Millisecond
	for _, row := range []struct {
		name   string
		clocks clocksUsed
		wall   time.Duration
		want   string
	}{
		{"all", clocksUsed{}, time.Minute, run.ClockHost},
		{"the worker's and wall", clocksUsed{noHost: true}, time.Minute, run.ClockWorker},
		{"wall", clocksUsed{noHost: true, noWorker: true}, 250 * time.Millisecond, run.ClockWall}, // a compilation takes longer, on two cores too
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRigConfig(t, "", Config{clocks: row.clocks})
			b := r.prepared(t, adder())
			o, alive := r.worker(t, b).Run(t.Context(), r.job(b, invoke("spin"), run.Limits{CPU: cpu, Wall: row.wall}, RunIO{}))
			wantFault(t, o.Fault, fault.GuestCPULimit)
			if alive || o.Clock != row.want || o.Usage.CPU < cpu || o.Usage.CPU > 20*time.Second {
				t.Errorf("run: alive %v, clock %q, usage %+v", alive, o.Clock, o.Usage)
			}
			job := r.put(large(t))
			job.Budget.CPU, job.Budget.Wall = cpu, row.wall
			p := r.Prepare(t.Context(), job)
			wantFault(t, p.Fault, fault.GuestPrepareCPU)
			if p.Clock != row.want || p.CPU < cpu {
				t.Errorf("preparation: clock %q, used %v", p.Clock, p.CPU)
			}
		})
	}
}

// TestNoClockForThoseWhoStayBelow: what ends of its own accord, or at the hands of others, is owed to no clock, and the
// clock of one run does not strike in the next.
func TestNoClockForThoseWhoStayBelow(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	o, alive := w.Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{CPU: 50 * time.Millisecond, Wall: time.Minute}, RunIO{}))
	if !alive || o.Fault != nil || o.Clock != "" {
		t.Fatalf("%+v", o)
	}
	o, _ = w.Run(t.Context(), r.job(b, invoke("spin"), run.Limits{CPU: 500 * time.Millisecond, Wall: time.Minute}, RunIO{}))
	if o.Usage.CPU < 500*time.Millisecond || o.Fault == nil || o.Fault.Code != fault.GuestCPULimit {
		t.Errorf("after a run of less: %+v", o)
	}
	// A worker that pretends its time is over is one that died.
	for _, signal := range []unix.Signal{unix.SIGXCPU, unix.SIGALRM} {
		w := r.worker(t, b)
		pid := w.PID()
		time.AfterFunc(20*time.Millisecond, func() { _ = unix.Kill(pid, signal) })
		o, _ := w.Run(t.Context(), r.job(b, invoke("spin"), run.Limits{}, RunIO{}))
		wantFault(t, o.Fault, fault.SuspectWorkerDied)
		if o.Clock != "" {
			t.Errorf("%v: clock %q", signal, o.Clock)
		}
	}
}

// TestWallLimitOfTheWorkerItself: a worker whose host does not look ends when its wall limit is over.
func TestWallLimitOfTheWorkerItself(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	limits := run.Limits{CPU: time.Minute, Wall: 300 * time.Millisecond}
	x := w.(*executor)
	s := &session{x: x, job: r.job(b, invoke("spin"), limits, RunIO{}), limits: limits.WithDefaults()}
	x.line.stop()
	s.watch = x.watch(t.Context(), opRun, bounds{cpu: time.Minute, wall: time.Minute, cpuCode: fault.GuestCPULimit, wallCode: fault.SuspectWallLimit})
	begin := time.Now()
	if err := x.line.write(s); err != nil {
		t.Fatal(err)
	}
	if _, err := x.line.ring.Receive(); err == nil || !x.diesOfItself(err) {
		t.Fatalf("answered: %v", err)
	}
	if took := time.Since(begin); took < mostWall(limits.Wall) {
		t.Errorf("struck after %v", took)
	}
	s.watch.b.wall = limits.Wall
	if reason := s.watch.end(); reason != nil {
		t.Fatal(reason)
	}
	wantFault(t, s.watch.autopsy(fault.SuspectWorkerDied, fault.GuestMemory), fault.SuspectWallLimit)
	if s.watch.struck() != run.ClockWorker || x.proc.status.ExitStatus() != wire.ClockExit {
		t.Errorf("clock %q, %v", s.watch.struck(), x.proc.epitaph())
	}
}

// TestSignalsToPrepareWorkers: what a signal does to a preparation, by its name.
func TestSignalsToPrepareWorkers(t *testing.T) {
	for signal, want := range map[unix.Signal]fault.Code{
		unix.SIGKILL: fault.SuspectPrepareDied, unix.SIGSEGV: fault.SuspectPrepareDied, unix.SIGSTOP: fault.SuspectPrepareWall,
	} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			r := newRig(t, "")
			job := r.put(large(t))
			if signal == unix.SIGSTOP {
				job.Budget.Wall = time.Second
			}
			done := make(chan prepare.Outcome)
			go func() { done <- r.Prepare(t.Context(), job) }()
			if !eventually(func() bool { l := r.Workers(); return len(l) == 1 && l[0].State == "busy" }) {
				t.Fatal("the preparation does not start")
			}
			_ = unix.Kill(r.Workers()[0].PID, signal)
			out := <-done
			wantFault(t, out.Fault, want)
			if name := unix.SignalName(signal); signal == unix.SIGKILL && !contains(out.Fault, name) {
				t.Errorf("%v does not name %s", out.Fault, name)
			}
			if n := len(r.Workers()); n != 0 || out.Ticket != 0 {
				t.Errorf("%d workers are left, ticket %d", n, out.Ticket)
			}
		})
	}
}

// TestSilentStart: a program that starts and says nothing is given up after a while, a machine's fault.
func TestSilentStart(t *testing.T) {
	r := newRigConfig(t, "greet: silence", Config{helloWall: time.Second})
	b := r.pretended(t)
	_, err := r.Start(t.Context(), b)
	wantFault(t, fault.From(err), fault.HostSpawnFailed)
	if f := fault.From(err); f.Hint != hintNoWorker || !contains(f, "no answer in 1s") {
		t.Errorf("%v (%s)", f, f.Hint)
	}
	wantFault(t, r.Prepare(t.Context(), r.put(adder())).Fault, fault.HostSpawnFailed)
	if n := len(r.Workers()); n != 0 {
		t.Errorf("%d workers are left", n)
	}
}

func contains(f *fault.Error, words string) bool {
	return f != nil && strings.Contains(f.Error(), words)
}
