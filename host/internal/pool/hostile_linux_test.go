package pool

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

func TestHostilePrepareWorkers(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"honest":                         "",
		"garbage":                        fault.SuspectBadReply,
		"huge frame":                     fault.SuspectBadReply,
		"frame a little too long":        fault.SuspectBadReply,
		"host's own frame":               fault.SuspectBadReply,
		"half a frame, then exit":        fault.SuspectPrepareDied,
		"exit":                           fault.SuspectPrepareDied,
		"abort":                          fault.SuspectPrepareDied,
		"noise":                          fault.SuspectPrepareDied,
		"closed socket":                  fault.SuspectBadReply,
		"stopped":                        fault.SuspectPrepareWall,
		"silence":                        fault.SuspectPrepareWall,
		"spin":                           fault.GuestPrepareCPU,
		"prepare: offset behind the end": fault.SuspectBadReply,
		"prepare: longer than the file":  fault.SuspectBadReply,
		"prepare: numbers that wrap":     fault.SuspectBadReply,
		"prepare: same bytes twice":      fault.SuspectBadReply,
		"prepare: empty part":            fault.SuspectBadReply,
		"prepare: one part":              fault.SuspectBadReply,
		"prepare: no frame":              fault.SuspectBadReply,
		"prepare: one part twice":        fault.SuspectBadReply,
		"prepare: unknown part":          fault.SuspectBadReply,
		"prepare: negative numbers":      fault.SuspectBadReply,
		"prepare: negative functions":    fault.SuspectBadReply,
		"prepare: blames the host":       fault.SuspectBadReply,
		"prepare: unknown code":          fault.SuspectBadReply,
		"prepare: believed":              fault.GuestInvalid,
		"prepare: seals the output":      fault.SuspectBadReply,
		"prepare: too much output":       fault.GuestPrepareMemory,
	} {
		t.Run(mode, func(t *testing.T) { hostilePrepare(t, mode, want) })
	}
}

func hostilePrepare(t *testing.T, mode string, want fault.Code) {
	t.Helper()
	r := newRig(t, mode)
	job := r.put(adder())
	switch mode {
	case "stopped", "silence":
		job.Budget.Wall = 100 * time.Millisecond
	case "spin":
		job.Budget.CPU = 50 * time.Millisecond
	case "hungry":
		job.Budget.MemoryBytes = 64 << 20
	}
	out := r.Prepare(t.Context(), job)
	wantFault(t, out.Fault, want)
	clean(t, out.Fault)
	if want != "" && out.Ticket != 0 {
		t.Error("parts were handed over")
	}
	if want == fault.GuestPrepareCPU && out.CPU > 2*time.Second {
		t.Errorf("used %v", out.CPU)
	}
	if n := len(r.Workers()); n != 0 {
		t.Errorf("%d workers left", n)
	}
}

func TestHostileExecuteWorkers(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"honest":                  "",
		"garbage":                 fault.SuspectBadReply,
		"huge frame":              fault.SuspectBadReply,
		"frame a little too long": fault.SuspectBadReply,
		"host's own frame":        fault.SuspectBadReply,
		"half a frame, then exit": fault.SuspectWorkerDied,
		"exit":                    fault.SuspectWorkerDied,
		"abort":                   fault.SuspectWorkerDied,
		"noise":                   fault.SuspectWorkerDied,
		"closed socket":           fault.SuspectBadReply,
		"words on the socket":     fault.SuspectBadReply,

		"descriptors on the socket": fault.SuspectBadReply,

		"stopped":                  fault.SuspectWallLimit,
		"silence":                  fault.GuestWallLimit, // it sleeps of its own accord
		"spin":                     fault.GuestCPULimit,
		"run: another run":         fault.SuspectBadReply,
		"run: result of a command": fault.SuspectBadReply,
		"run: exit 0 as fault":     fault.SuspectBadReply,
		"run: exit 1 as success":   fault.SuspectBadReply,
		"run: blames the host":     fault.SuspectBadReply,
		"run: peak of everything":  "",

		"run: gas of everything":     fault.SuspectBadReply,
		"run: gas of initialisation": fault.SuspectBadReply,
		"run: all of its gas":        fault.GuestGasLimit,
		"run: out of no limit":       fault.SuspectBadReply,

		"run: negative peak":       fault.SuspectBadReply,
		"run: stdin of nothing":    fault.SuspectBadReply,
		"run: stdin twice":         fault.SuspectBadReply,
		"run: ends while it reads": fault.SuspectBadReply,
		"run: too much stdin":      fault.SuspectBadReply,
		"run: flood":               fault.GuestOutputLimit,
		"run: flood of nothing":    fault.SuspectBadReply,
		"run: dense nothing":       fault.SuspectBadReply,
		"run: crumbs":              fault.SuspectBadReply,
		"run: crumbs for two":      fault.SuspectBadReply,
		"run: stdin after its end": fault.SuspectBadReply,
		"run: deaf":                fault.GuestWallLimit,
		"run: evil message":        fault.GuestTrap,
	} {
		t.Run(mode, func(t *testing.T) { hostileExecute(t, mode, want) })
	}
}

func hostileExecute(t *testing.T, mode string, want fault.Code) {
	t.Helper()
	r := newRig(t, mode)
	b := r.pretended(t)
	w := r.worker(t, b)
	l := run.Limits{CPU: 10 * time.Second, Wall: 20 * time.Second}
	io := RunIO{Stdin: stall(t)}
	switch mode {
	case "stopped", "silence":
		l.Wall = 100 * time.Millisecond
	case "run: deaf":
		l.Wall, io.Stdin = 100*time.Millisecond, endless{}
	case "run: stdin after its end":
		io.Stdin = nil
	case "spin":
		l.CPU = 50 * time.Millisecond
	case "run: gas of everything", "run: gas of initialisation", "run: all of its gas":
		l.Gas, l.InitGas = 1000, 100
	}
	o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, l, io))
	wantFault(t, o.Fault, want)
	clean(t, o.Fault)
	if o.Usage.Wall > l.Wall/2 && l.Wall > time.Second {
		t.Errorf("it took %v to know it", o.Usage.Wall)
	}
	honest := want == "" || want == fault.GuestTrap || want == fault.GuestGasLimit
	if alive != honest {
		t.Errorf("alive %v", alive)
	}
	if p := o.Usage.MemoryPeakBytes; (p != nil) != alive || alive && (*p < 0 || *p > b.MemoryBytes) { // the dead tell no peak
		t.Errorf("peak %v", p)
	}
	if g, i := o.Usage.GasUsed, o.Usage.InitGas; (g != nil) != alive || (i != nil) != alive || alive && (*g != l.Gas || *i != l.InitGas) {
		t.Errorf("gas %v, %v", g, i)
	}
	if !alive {
		<-w.Dead()
		if n := len(r.Workers()); n != 0 {
			t.Errorf("%d workers left", n)
		}
	}
}

// TestEmptyPiecesCostTheHostNothing: a worker that talks for ever and says nothing is cut short.
func TestEmptyPiecesCostTheHostNothing(t *testing.T) {
	for mode, e := range map[string]run.Entry{
		"run: dense nothing": {Mode: run.Command}, "run: dense results of nothing": invoke("f"),
	} {
		r := newRig(t, mode)
		b := r.pretended(t)
		var before, after unix.Rusage
		_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
		o, _ := r.worker(t, b).Run(t.Context(), r.job(b, e, run.Limits{Wall: 20 * time.Second}, RunIO{Stdout: io.Discard}))
		_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
		wantFault(t, o.Fault, fault.SuspectBadReply)
		if cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano(); cpu > int64(time.Second) {
			t.Errorf("%s: the host used %v", mode, time.Duration(cpu))
		}
	}
}

// endless is a stdin without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// clean looks for the raw words of a guest in an error.
func clean(t *testing.T, f *fault.Error) {
	t.Helper()
	if f != nil && (strings.ContainsAny(f.Error(), "\x1b\n\u202e") || len(f.Error()) > 2<<10) {
		t.Errorf("unquoted: %q", f.Error())
	}
}

func TestSecondEndOfARunIsFoundInTheNext(t *testing.T) {
	r := newRig(t, "run: twice")
	b := r.pretended(t)
	w := r.worker(t, b)
	o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	if !alive || o.Fault != nil {
		t.Fatalf("%+v", o)
	}
	o, alive = w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.SuspectBadReply)
	if alive {
		t.Error("alive")
	}
}

// TestIdleWorkersIdle: a worker that works when it has no run is killed while it is idle, or when the next run comes first.
func TestIdleWorkersIdle(t *testing.T) {
	for _, mode := range []string{"run: goes on", "load: goes on"} {
		t.Run(mode, func(t *testing.T) {
			warned := make(chan string, 1)
			r := newRigConfig(t, mode, Config{Warn: func(w inspect.Worker, what string) { warned <- w.ID + " " + what }})
			b := r.pretended(t)
			w := r.worker(t, b)
			if mode == "run: goes on" {
				if o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{})); !alive {
					t.Fatalf("%+v", o)
				}
			}
			<-w.Dead()
			if got := <-warned; !strings.HasPrefix(got, "execute-1 used ") {
				t.Errorf("%q", got)
			}
			if cpu := w.(*executor).proc.cpu(); cpu > 5*time.Second {
				t.Errorf("used %v", cpu)
			}
		})
	}
	r := newRig(t, "load: goes on")
	b := r.pretended(t)
	w := r.worker(t, b)
	x := w.(*executor)
	x.line.mu.Lock()
	x.line.timer.Reset(time.Hour) // the next run comes first
	x.line.mu.Unlock()
	for x.proc.cpu() < 2*x.grace {
		runtime.Gosched()
	}
	o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	if wantFault(t, o.Fault, fault.SuspectWorkerDied); alive {
		t.Error("alive")
	}
}

func TestNobodyIsToldToRaiseTheLargestLimit(t *testing.T) {
	r := newRig(t, "run: wants memory")
	b := r.pretended(t)
	b.MemoryBytes = run.MaxMemoryBytes
	w := r.worker(t, b)
	for limit, want := range map[int64]string{1 << 20: fault.Describe(fault.GuestMemory).Hint, run.MaxMemoryBytes: hintMaxMemory} {
		o, _ := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{MemoryBytes: limit}, RunIO{}))
		if wantFault(t, o.Fault, fault.GuestMemory); o.Fault.Hint != want {
			t.Errorf("limit %d: %q", limit, o.Fault.Hint)
		}
	}
}

func TestExitOfAFunctionIsALie(t *testing.T) {
	r := newRig(t, "run: exit of a function")
	b := r.pretended(t)
	o, _ := r.worker(t, b).Run(t.Context(), r.job(b, invoke("f"), run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.SuspectBadReply)
}

func TestHostileLoads(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"load: failed":        fault.SuspectArtifact,
		"load: exit":          fault.SuspectArtifact,
		"load: not an answer": fault.SuspectBadReply,
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			_, err := r.Start(t.Context(), r.pretended(t))
			wantFault(t, fault.From(err), want)
			clean(t, fault.From(err))
			if n := len(r.Workers()); n != 0 {
				t.Errorf("%d workers left", n)
			}
		})
	}
}

func TestMismatchStopsTheSpawning(t *testing.T) {
	for _, mode := range []string{"greet: other build", "greet: garbage"} {
		t.Run(mode, func(t *testing.T) {
			var told []*fault.Error
			r := newRigConfig(t, mode, Config{Mismatched: func(f *fault.Error) { told = append(told, f) }})
			b := r.pretended(t)
			for range 3 {
				_, err := r.Start(t.Context(), b)
				wantFault(t, fault.From(err), fault.HostWorkerMismatch)
				clean(t, fault.From(err))
				wantFault(t, r.Prepare(t.Context(), r.put(adder())).Fault, fault.HostWorkerMismatch)
			}
			if r.seq[kindExecute]+r.seq[kindPrepare] != 1 {
				t.Errorf("spawned %v", r.seq)
			}
			if len(told) != 1 {
				t.Fatalf("told of %v", told)
			}
			if text := told[0].Error(); mode == "greet: other build" && (!strings.Contains(text, "0123456789abcdef") || !strings.Contains(text, wire.BuildID())) {
				t.Errorf("%q does not name both builds", text)
			}
		})
	}
}

func TestDeathBeforeReadyIsTheHosts(t *testing.T) {
	r := newRig(t, "greet: exit")
	_, err := r.Start(t.Context(), r.pretended(t))
	wantFault(t, fault.From(err), fault.HostSpawnFailed)
	clean(t, fault.From(err))
	if !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no room") {
		t.Errorf("no reason in %q", err)
	}
}

// TestSpawnFailsCleanly runs out of file descriptors.
func TestSpawnFailsCleanly(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	// Descriptors run out at the socket, at its copy for the child, and at the child's stderr.
	top := uint64(r.spawn.null.Fd()) + 1
	for _, room := range []uint64{uint64(len(open)) - 1, uint64(len(open)), lowestDup, top, top + 1} {
		low := old
		low.Cur = room
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
			t.Fatal(err)
		}
		_, err = r.Start(t.Context(), b)
		if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); e != nil {
			t.Fatal(e)
		}
		wantFault(t, fault.From(err), fault.HostSpawnFailed)
	}
	r.worker(t, b).Close() // and all is well again
}

// doomed is a host that tells the processes of its workers, one busy and one idle, and waits for its end.
func doomed() int {
	s := newShelf()
	p, err := New(context.Background(), Config{
		Code: codePort{s}, Handoff: s, Artifacts: artifactPort{s}, Runs: runPort{s}, MaxInflatedBytes: 8 << 20,
		argv: []string{fakeArg0, "spin"},
	})
	if err != nil {
		return 1
	}
	r := &rig{Pool: p, shelf: s}
	job := r.put(adder())
	job.Budget = prepare.Budget{CPU: time.Hour, Wall: time.Hour, MemoryBytes: 1 << 30}
	go r.Prepare(context.Background(), job)
	b, err := r.pretend()
	if err != nil {
		return 1
	}
	if _, err := r.Start(context.Background(), b); err != nil {
		return 1
	}
	eventually(func() bool {
		return slices.ContainsFunc(r.Workers(), func(w inspect.Worker) bool { return w.Kind == kindPrepare && w.State == "busy" })
	})
	for _, w := range r.Workers() {
		fmt.Println(w.PID)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func TestWorkersDieWithTheirHost(t *testing.T) {
	for what, end := range map[string]func(*exec.Cmd, io.Closer) error{
		"killed":  func(c *exec.Cmd, _ io.Closer) error { return c.Process.Kill() },
		"returns": func(_ *exec.Cmd, stdin io.Closer) error { return stdin.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Args = []string{parentArg0}
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var workers []int
			lines := bufio.NewScanner(stdout)
			for len(workers) < 2 && lines.Scan() {
				pid, err := strconv.Atoi(lines.Text())
				if err != nil {
					t.Fatalf("%q: %v", lines.Text(), err)
				}
				fd, err := unix.PidfdOpen(pid, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = unix.Close(fd) }()
				workers = append(workers, fd)
			}
			if len(workers) != 2 {
				t.Fatalf("%d workers", len(workers))
			}
			if err := end(cmd, stdin); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			for _, fd := range workers {
				if !readable(fd, 10*time.Second) {
					t.Error("a worker outlives its host")
				}
			}
		})
	}
}
