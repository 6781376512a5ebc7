package pool

import (
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// keep has spares kept ready until the end of the test.
func (r *rig) keep(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.KeepSpares(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// ready returns the processes of the spares that wait.
func (r *rig) ready() (pids []int) {
	for _, w := range r.Workers() {
		if w.State == stateSpare {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

func (r *rig) awaitSpares(t testing.TB, n int) []int {
	t.Helper()
	if !eventually(func() bool { return len(r.ready()) == n && r.spares.count() == n }) {
		t.Fatalf("%d spares, want %d: %+v", len(r.ready()), n, r.Workers())
	}
	return r.ready()
}

func limitOf(t *testing.T, pid, what int) uint64 {
	t.Helper()
	var l unix.Rlimit
	if err := unix.Prlimit(pid, what, nil, &l); err != nil {
		t.Fatal(err)
	}
	return l.Max
}

func TestSparesAreTakenAndReplaced(t *testing.T) {
	r := newRigConfig(t, "", Config{Spares: 2})
	b := r.prepared(t, adder())
	if n := len(r.Workers()); n != 0 {
		t.Fatalf("%d workers before spares are wanted", n)
	}
	r.keep(t)
	spares := r.awaitSpares(t, 2)
	for _, w := range r.Workers() {
		if w.Kind != kindExecute || w.Tenant != "" || w.Runs != 0 {
			t.Errorf("a spare is %+v", w)
		}
	}
	w := r.worker(t, b)
	if !slices.Contains(spares, w.PID()) {
		t.Errorf("process %d is none of %v", w.PID(), spares)
	}
	if got := limitOf(t, w.PID(), unix.RLIMIT_FSIZE); got != 1 {
		t.Errorf("it may write files of %d bytes", got)
	}
	if got := limitOf(t, w.PID(), unix.RLIMIT_DATA); !raceDetector && got > 1<<30 {
		t.Errorf("it may have %d bytes", got)
	}
	if got := limitOf(t, w.PID(), unix.RLIMIT_CPU); got > uint64(r.lifeSeconds(run.MaxCPU)) {
		t.Errorf("it may use %d s", got)
	}
	o, alive := w.Run(t.Context(), r.job(b, invoke("add", "40", "2"), run.Limits{}, RunIO{}))
	if !alive || o.Fault != nil || string(o.Result) != "42" {
		t.Errorf("%+v", o)
	}
	if again := r.awaitSpares(t, 2); slices.Contains(again, w.PID()) {
		t.Errorf("process %d is a spare again: %v", w.PID(), again)
	}
	if r.seq[kindExecute] != 3 {
		t.Errorf("started %d", r.seq[kindExecute])
	}
}

func TestDeadSparesAreReplaced(t *testing.T) {
	r := newRigConfig(t, "", Config{Spares: 1})
	b := r.prepared(t, adder())
	r.keep(t)
	first := r.awaitSpares(t, 1)[0]
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !eventually(func() bool { now := r.ready(); return len(now) == 1 && now[0] != first }) {
		t.Fatalf("the dead spare is still there: %v", r.Workers())
	}
	// One that dies just before it is taken is passed over.
	second := r.awaitSpares(t, 1)[0]
	p := r.spares.ready[0].proc
	if err := unix.Kill(second, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = eventually(p.hasEnded)
	if w := r.worker(t, b); w.PID() == second || w.PID() == first {
		t.Error("a dead process was taken")
	}
}

// TestSparesThatCannotBeStarted: the attempts become rarer, and nobody else is the worse for it.
func TestSparesThatCannotBeStarted(t *testing.T) {
	seen := &told{}
	r := newRigConfig(t, "greet: exit", Config{Spares: 2, Observe: seen})
	r.keep(t)
	_ = eventually(func() bool { return seen.times("spawning execute") >= 3 })
	begin, n := time.Now(), seen.times("spawning execute")
	_ = eventually(func() bool { return time.Since(begin) > time.Second })
	if more := seen.times("spawning execute") - n; n < 3 || more > 4 {
		t.Errorf("%d attempts in a second, after %d", more, n)
	}
	if n := len(r.ready()); n != 0 {
		t.Errorf("%d spares of processes that end", n)
	}
}

func TestSparesOfAnotherBuild(t *testing.T) {
	r := newRigConfig(t, "greet: other build", Config{Spares: 2})
	done := make(chan struct{})
	go func() { defer close(done); r.KeepSpares(t.Context()) }()
	<-done
	if _, err := r.Start(t.Context(), r.pretended(t)); fault.From(err).Code != fault.HostWorkerMismatch {
		t.Error(err)
	}
}

// TestCloseWithSpares closes a pool while spares are started; the rig looks for what is left.
func TestCloseWithSpares(t *testing.T) {
	for n := range 4 {
		r := newRigConfig(t, "", Config{Spares: 8})
		done := make(chan struct{})
		go func() { defer close(done); r.KeepSpares(context.Background()) }()
		_ = eventually(func() bool { return len(r.Workers()) >= n })
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		<-done
		if n := len(r.Workers()); n != 0 {
			t.Errorf("%d workers left", n)
		}
	}
}

// TestProcessIsolation: no process has two runs.
func TestProcessIsolation(t *testing.T) {
	seen := &told{}
	r := newRigConfig(t, "", Config{Spares: 1, Observe: seen})
	b := r.prepared(t, adder())
	b.Isolation = run.Process
	r.keep(t)
	pids := map[int]bool{}
	for n := range 5 {
		w := r.worker(t, b)
		if pids[w.PID()] {
			t.Errorf("process %d twice", w.PID())
		}
		pids[w.PID()] = true
		o, alive := w.Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{}))
		if alive || o.Retired != run.RetiredUsed || o.Fault != nil || string(o.Result) != "3" || o.Usage.GasUsed == nil || o.Usage.CPU <= 0 {
			t.Errorf("run %d: alive %v %+v", n, alive, o)
		}
		<-w.Dead()
		w.Close()
	}
	for what := range seen.copy() {
		if what != "spawning execute" && what != "spawned execute" && what != "retired execute" && what != "spawning prepare" &&
			what != "spawned prepare" && what != "retired prepare" && what != "spawning probe" && what != "spawned probe" && what != "retired probe" {
			t.Errorf("told of %s", what)
		}
	}
}

// TestProcessIsolationOfABadRun: what a guest did is told as ever.
func TestProcessIsolationOfABadRun(t *testing.T) {
	r := newRig(t, "run: evil message")
	b := r.pretended(t)
	b.Isolation = run.Process
	o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	if wantFault(t, o.Fault, fault.GuestTrap); alive || o.Retired != run.RetiredUsed {
		t.Errorf("alive %v, retired %q", alive, o.Retired)
	}
	r = newRig(t, "exit")
	b = r.pretended(t)
	b.Isolation = run.Process
	o, alive = r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	if wantFault(t, o.Fault, fault.SuspectWorkerDied); alive || o.Retired != "" {
		t.Errorf("alive %v, retired %q", alive, o.Retired)
	}
}

// TestWorkersAreRecycled: one whose life has used its CPU time ends after a run, and the limit of its life has room for the
// longest run that it ever had.
func TestWorkersAreRecycled(t *testing.T) {
	r := newRigConfig(t, "", Config{lifeCPU: time.Nanosecond})
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	const long = 2 * time.Hour
	o, alive := w.Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{CPU: long}, RunIO{}))
	if alive || o.Retired != run.RetiredRecycled || o.Fault != nil || string(o.Result) != "3" {
		t.Errorf("alive %v %+v", alive, o)
	}
	r = newRig(t, "")
	b = r.prepared(t, adder())
	w = r.worker(t, b)
	var l unix.Rlimit
	for _, cpu := range []time.Duration{time.Second, long, time.Second} {
		if o, alive := w.Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{CPU: cpu}, RunIO{})); !alive || o.Fault != nil {
			t.Fatalf("%+v", o)
		}
		if err := unix.Prlimit(w.PID(), unix.RLIMIT_CPU, nil, &l); err != nil || l.Cur < uint64((lifeCPU+cpu)/time.Second) {
			t.Errorf("a run of %v has a life of %d s: %v", cpu, l.Cur, err)
		}
	}
	if l.Cur != uint64(r.lifeSeconds(long)) {
		t.Errorf("the life has %d s", l.Cur)
	}
}

// BenchmarkFirstResult is a worker from Start to its first result, in a process that is there and in a new one.
func BenchmarkFirstResult(b *testing.B) {
	for what, spares := range map[string]int{"spare": 1, "new process": 0} {
		b.Run(what, func(b *testing.B) {
			r := newRigConfig(b, "", Config{Spares: spares})
			bind := r.prepared(b, adder())
			job := r.job(bind, invoke("add", "1", "2"), run.Limits{}, RunIO{})
			r.keep(b)
			for b.Loop() {
				b.StopTimer()
				r.awaitSpares(b, spares)
				b.StartTimer()
				w, err := r.Start(context.Background(), bind)
				if err != nil {
					b.Fatal(err)
				}
				if o, _ := w.Ride(context.Background(), job, execute.IO{}); o.Fault != nil {
					b.Fatalf("%+v", o)
				}
				b.StopTimer()
				w.Close()
				b.StartTimer()
			}
		})
	}
}
