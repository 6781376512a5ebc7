package pool

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
)

// queue is a prepare actor over the pool of a rig.
type queue struct {
	ref kernel.Ref[prepare.Message]
}

func (r *rig) queue(t testing.TB, soft int) *queue {
	t.Helper()
	sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	ref, err := prepare.Spawn(sys, prepare.Config{Limits: prepare.Limits{Soft: soft}, Preparer: r.Pool})
	if err != nil {
		t.Fatal(err)
	}
	return &queue{ref: ref}
}

func (q *queue) enqueue(t testing.TB, job prepare.Job, passed func(prepare.Budget)) <-chan prepare.Outcome {
	t.Helper()
	done := make(chan prepare.Outcome, 1)
	err := q.ref.Send(prepare.Enqueue{Job: job, Passed: passed, Reply: kernel.ReplyFunc(func(o prepare.Outcome, err error) {
		if err != nil {
			o.Fault = fault.From(err)
		}
		done <- o
	})})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (q *queue) control(t testing.TB, m prepare.Message) {
	t.Helper()
	if err := q.ref.Control(m); err != nil {
		t.Fatal(err)
	}
}

// show returns the running job of an id.
func (q *queue) show(t testing.TB, id uint64) inspect.Preparation {
	t.Helper()
	s, err := kernel.Ask(t.Context(), q.ref, func(r kernel.Reply[inspect.Queue]) prepare.Message { return prepare.Inspect{Reply: r} })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Preparations {
		if p.Job == id {
			return p
		}
	}
	return inspect.Preparation{}
}

// worker returns the process that prepares for a tenant.
func (r *rig) workerOf(tenant string) int {
	for _, w := range r.Workers() {
		if w.Tenant == tenant {
			return w.PID
		}
	}
	return 0
}

// niceness returns those of the threads of a process, each once, and that of its session.
func niceness(pid int) (threads []int, session string) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	tasks, _ := os.ReadDir(filepath.Join(dir, "task"))
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil && !slices.Contains(threads, 20-raw) {
			threads = append(threads, 20-raw)
		}
	}
	b, _ := os.ReadFile(filepath.Join(dir, "autogroup")) // "/autogroup-123 nice 19"
	if f := strings.Fields(string(b)); len(f) == 3 {
		session = f[2]
	}
	return threads, session
}

func isNice(pid, nice int, autogroup bool) bool {
	threads, session := niceness(pid)
	return slices.Equal(threads, []int{nice}) && (!autogroup || session == strconv.Itoa(nice))
}

// TestCriticalJobHoldsTheOthersBack lets two jobs spin: while one is critical, each thread of the other and its session
// have the highest niceness, and inspection says so; afterwards the session has its own again.
func TestCriticalJobHoldsTheOthersBack(t *testing.T) {
	r := newRig(t, "spin")
	q := r.queue(t, 3)
	outs := make([]<-chan prepare.Outcome, 3)
	jobs := make([]prepare.Job, 3)
	for i := range jobs {
		jobs[i] = r.put(adder())
		jobs[i].ID, jobs[i].Tenant, jobs[i].Priority = uint64(i+1), strconv.Itoa(i+1), run.Background
	}
	for i := range 2 {
		outs[i] = q.enqueue(t, jobs[i], nil)
	}
	if !eventually(func() bool { return r.workerOf("1") != 0 && r.workerOf("2") != 0 }) {
		t.Fatal("the jobs do not run")
	}
	one, two := r.workerOf("1"), r.workerOf("2")
	auto := r.brake.groupsSessions(one)
	want := brakeNice
	if auto {
		want += "+" + brakeAutogroup
	}
	if !isNice(one, 0, auto) || !isNice(two, 0, auto) {
		t.Fatal("held back for nobody")
	}
	q.control(t, prepare.Raise{Job: 1, Priority: run.Critical, By: "execute of t"})
	outs[2] = q.enqueue(t, jobs[2], nil) // begins in its shadow
	if !eventually(func() bool {
		return isNice(two, slowest, auto) && r.workerOf("3") != 0 && isNice(r.workerOf("3"), slowest, auto)
	}) {
		t.Fatalf("the others are not held back: %v", r.Workers())
	}
	if !isNice(one, 0, auto) {
		t.Error("the critical one is held back itself")
	}
	if !eventually(func() bool { return q.show(t, 2).Held == want && q.show(t, 3).Held == want }) {
		t.Errorf("shown %+v, want held by %q", q.show(t, 2), want)
	}
	if p := q.show(t, 1); p.State != "running" || len(p.Escalations) != 1 || p.Escalations[0].By != "execute of t" {
		t.Errorf("shown %+v", p)
	}
	q.control(t, prepare.Cancel{Job: 1})
	wantFault(t, (<-outs[0]).Fault, fault.CanceledCaller)
	// Only with privilege do the threads come back too; the session does always.
	if !eventually(func() bool { _, session := niceness(two); return session == "0" || !auto }) {
		t.Error("the others are not released")
	}
	if os.Geteuid() == 0 && !eventually(func() bool { return isNice(two, 0, auto) }) {
		t.Error("the threads are not released")
	}
	q.control(t, prepare.CancelAll{})
	for _, out := range outs[1:] {
		wantFault(t, (<-out).Fault, fault.CanceledStopped)
	}
}

// TestNewThreadsAreHeldBackToo: a worker starts a thread with the niceness of the others while it is held back, and one
// that gave itself another is set right at the next look.
func TestNewThreadsAreHeldBackToo(t *testing.T) {
	r := newRig(t, "spin")
	job := r.put(adder())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan prepare.Outcome, 1)
	go func() { done <- r.Prepare(ctx, job) }()
	if !eventually(func() bool { return r.Steer(job.ID, prepare.Steering{Budget: job.Budget, Held: true}) != "" }) {
		t.Fatal("no process to steer")
	}
	pid := r.workerOf(job.Tenant)
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, 5); err != nil && os.Geteuid() == 0 {
		t.Fatal(err)
	}
	if !eventually(func() bool { return isNice(pid, slowest, false) }) {
		t.Error("a thread got away")
	}
	cancel()
	<-done
	if how := r.Steer(job.ID, prepare.Steering{}); how != "" || r.prepares.get(job.ID) != nil {
		t.Errorf("a job that has ended is held by %q", how)
	}
}

// TestRaiseThatComesTooLate does not change the budget that a verdict was made under.
func TestRaiseThatComesTooLate(t *testing.T) {
	r := newRig(t, "silence")
	job := r.put(adder())
	done := make(chan prepare.Outcome, 1)
	go func() { done <- r.Prepare(t.Context(), job) }()
	if !eventually(func() bool { return r.Steer(job.ID, prepare.Steering{Budget: job.Budget}) != "" }) {
		t.Fatal("no process to steer")
	}
	j := r.prepares.get(job.ID)
	j.mu.Lock()
	w := j.watch
	j.mu.Unlock()
	w.mu.Lock()
	w.strikeLocked("", fault.New(fault.GuestPrepareCPU, opPrepare, "", nil))
	w.mu.Unlock()
	if how := r.Steer(job.ID, prepare.Steering{Budget: prepare.Budget{CPU: time.Hour, Wall: time.Hour}}); how != "" {
		t.Errorf("steered: %q", how)
	}
	out := <-done
	wantFault(t, out.Fault, fault.GuestPrepareCPU)
	if out.Budget != job.Budget {
		t.Errorf("judged under %+v", out.Budget)
	}
}

// TestHeldTimeIsNotWallTime holds a silent worker back for longer than its wall limit: it meets the limit afterwards.
func TestHeldTimeIsNotWallTime(t *testing.T) {
	const wall = 300 * time.Millisecond
	r := newRig(t, "silence")
	job := r.put(adder())
	job.Budget.Wall = wall
	begin := time.Now()
	done := make(chan prepare.Outcome, 1)
	go func() { done <- r.Prepare(t.Context(), job) }()
	if !eventually(func() bool { return r.Steer(job.ID, prepare.Steering{Budget: job.Budget, Held: true}) != "" }) {
		t.Fatal("no process to steer")
	}
	<-time.After(2 * wall)
	select {
	case out := <-done:
		t.Fatalf("ended while it was held back: %v", out.Fault)
	default:
	}
	r.Steer(job.ID, prepare.Steering{Budget: job.Budget})
	out := <-done
	wantFault(t, out.Fault, fault.SuspectPrepareWall)
	if d := time.Since(begin); d < 3*wall {
		t.Errorf("ended after %v: it had its wall time, and was held back for twice as long", d)
	}
}

// TestRaisedBudget lets a worker spin past its budget, which is raised in time: the larger one is the verdict's, the net
// below it has risen, and a mark is told when it is reached, or at once if it was before.
func TestRaisedBudget(t *testing.T) {
	const first, second = 150 * time.Millisecond, 600 * time.Millisecond
	r := newRig(t, "spin")
	job := r.put(adder())
	job.Budget = prepare.Budget{CPU: 5 * first, MemoryBytes: 64 << 20}
	job.Marks = []prepare.Budget{{CPU: first}}
	var mu sync.Mutex
	var told []time.Duration
	done := make(chan prepare.Outcome, 1)
	passed := make(chan struct{}, 4)
	go func() {
		done <- r.Pool.Prepare(t.Context(), job, func(used prepare.Budget) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, used.CPU)
			passed <- struct{}{}
		})
	}()
	select {
	case <-passed:
	case out := <-done:
		t.Fatalf("no mark was told, and it ended: %v", out.Fault)
	}
	raised := prepare.Budget{CPU: 5*first + 2*second, Wall: time.Minute, MemoryBytes: 128 << 20}
	marks := []prepare.Budget{{CPU: first}, {CPU: first / 2}, {CPU: 5*first + second}}
	if how := r.Steer(job.ID, prepare.Steering{Budget: raised, Marks: marks}); how != brakeNone {
		t.Fatalf("steered: %q", how)
	}
	if len(passed) != 1 {
		t.Error("a mark that was reached before is not told at once")
	}
	var cpu, data unix.Rlimit
	pid := r.workerOf(job.Tenant)
	if unix.Prlimit(pid, unix.RLIMIT_CPU, nil, &cpu) != nil || int64(cpu.Cur) != netSeconds(raised.CPU) {
		t.Errorf("the net is at %+v", cpu)
	}
	want := raised
	if !raceDetector && !raisesHardLimits(pid) {
		want.MemoryBytes = job.Budget.MemoryBytes
	}
	if unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &data) != nil || int64(data.Cur) != runtimeBytes+want.MemoryBytes && !raceDetector {
		t.Errorf("memory is at %+v, want %d more than %d", data, want.MemoryBytes, runtimeBytes)
	}
	out := <-done
	wantFault(t, out.Fault, fault.GuestPrepareCPU)
	if out.Budget != want || out.CPU < raised.CPU {
		t.Errorf("used %v of %+v", out.CPU, out.Budget)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 3 || told[0] < first || told[1] >= marks[2].CPU || told[2] < marks[2].CPU {
		t.Errorf("told at %v", told)
	}
}

// TestMarkOfWallTime is told though the worker does nothing.
func TestMarkOfWallTime(t *testing.T) {
	r := newRig(t, "silence")
	job := r.put(adder())
	job.Marks = []prepare.Budget{{CPU: time.Minute, Wall: 50 * time.Millisecond}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := r.Pool.Prepare(ctx, job, func(used prepare.Budget) {
		if used.Wall < 50*time.Millisecond || used.CPU >= time.Minute {
			t.Errorf("told %+v", used)
		}
		cancel()
	})
	wantFault(t, out.Fault, fault.CanceledCaller)
	if out.Budget != job.Budget {
		t.Errorf("budget %+v", out.Budget)
	}
}

// TestNetOfAPrepareWorker: the soft limit follows the budget, and the hard one leaves room where it cannot be raised.
func TestNetOfAPrepareWorker(t *testing.T) {
	r := newRig(t, "silence")
	job := r.put(adder())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan prepare.Outcome, 1)
	go func() { done <- r.Prepare(ctx, job) }()
	if !eventually(func() bool { return r.workerOf(job.Tenant) != 0 }) {
		t.Fatal("no worker")
	}
	pid := r.workerOf(job.Tenant)
	var cpu, core unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_CPU, nil, &cpu); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &core); err != nil || core.Max != 0 {
		t.Errorf("core dumps up to %d: %v", core.Max, err)
	}
	want := netSeconds(job.Budget.CPU)
	if !raisesHardLimits(pid) {
		want = netSeconds(largestCPU)
	}
	if int64(cpu.Cur) != netSeconds(job.Budget.CPU) || int64(cpu.Max) != want {
		t.Errorf("limits %+v, hard %d wanted", cpu, want)
	}
	cancel()
	<-done
}

// TestHeldGroup divides a subtree of groups that is delegated, and none that is not.
func TestHeldGroup(t *testing.T) {
	tree := func(t *testing.T, self, control string) (proc, root string) {
		proc, root = t.TempDir(), t.TempDir()
		write := func(file, text string) {
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(proc, "self/cgroup"), self)
		write(filepath.Join(root, "troupe.service/cgroup.subtree_control"), control)
		write(filepath.Join(root, "troupe.service/main/cgroup.procs"), "")
		return proc, root
	}
	yes := func(string) bool { return true }
	const own = "0::/troupe.service/main\n"
	for name, c := range map[string]struct {
		self, control string
		delegated     func(string) bool
		want          bool
	}{
		"delegated":                  {own, "memory cpu pids\n", yes, true},
		"without the CPU controller": {own, "memory cpuset\n", yes, false},
		"not ours":                   {own, "cpu\n", func(string) bool { return false }, false},
		"the root":                   {"0::/\n", "cpu\n", yes, false},
		"version 1":                  {"4:cpu,cpuacct:/troupe.service/main\n" + own, "cpu\n", yes, false},
		"no file":                    {"", "cpu\n", yes, false},
	} {
		t.Run(name, func(t *testing.T) {
			proc, root := tree(t, c.self, c.control)
			b := newBrake(proc, root, c.delegated)
			if (b.group != nil) != c.want {
				t.Fatalf("group %+v", b.group)
			}
		})
	}
	proc, root := tree(t, own, "cpu")
	brake := newBrake(proc, root, yes)
	g := brake.group
	read := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	for pid := 100; pid < 102; pid++ {
		if err := g.put(pid); err != nil {
			t.Fatal(err)
		}
		if weight, procs := read(filepath.Join(g.dir, "cpu.weight")), read(filepath.Join(g.dir, "cgroup.procs")); weight != "1" || procs != strconv.Itoa(pid) {
			t.Errorf("weight %q, processes %q", weight, procs)
		}
	}
	if groups, _ := filepath.Glob(filepath.Join(root, "troupe.service/troupe-held-*")); len(groups) != 1 || groups[0] != g.dir {
		t.Errorf("groups %v", groups)
	}
	p := &process{pid: 102} // of which this procfs knows no threads
	if how, later := p.hold(brake); later || how != brakeCgroup || read(filepath.Join(g.dir, "cgroup.procs")) != "102" {
		t.Errorf("held by %q", how)
	}
	if !p.release(brake) || read(filepath.Join(root, "troupe.service/main/cgroup.procs")) != "102" {
		t.Error("not back")
	}
}

// TestSessionsAreGroupedInTheRootOnly: a niceness of the session does nothing in a group that has a weight.
func TestSessionsAreGroupedInTheRootOnly(t *testing.T) {
	for name, c := range map[string]struct {
		enabled, groups, weight string
		want                    bool
	}{
		"root":                {"1\n", "0::/\n", "", true},
		"switched off":        {"0\n", "0::/\n", "", false},
		"no weights":          {"1\n", "0::/user.slice/session.scope\n", "", true},
		"weighed":             {"1\n", "0::/user.slice/session.scope\n", "user.slice/session.scope", false},
		"weighed above":       {"1\n", "0::/user.slice/session.scope\n", "user.slice", false},
		"root of a container": {"1\n", "0::/\n", ".", false},
		"version 1 root":      {"1\n", "1:cpu:/\n0::/x\n", "x", true},
		"version 1 group":     {"1\n", "1:cpu:/x\n0::/\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			proc, root := t.TempDir(), t.TempDir()
			files := map[string]string{filepath.Join(proc, "sys/kernel/sched_autogroup_enabled"): c.enabled, filepath.Join(proc, "7/cgroup"): c.groups}
			if c.weight != "" {
				files[filepath.Join(root, c.weight, "cpu.weight")] = "100"
			}
			for file, text := range files {
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := newBrake(proc, root, isDelegated).groupsSessions(7); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}
