package pool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/wire"
)

func invoke(name string, args ...string) run.Entry {
	return run.Entry{Mode: run.Invoke, Name: name, Args: args}
}

func TestProbeTellsTheFacts(t *testing.T) {
	r := newRig(t, "")
	f := r.Facts()
	if f.BuildID != wire.BuildID() || f.Build.Engine != wire.Engine() || f.Build.CPU == "" || f.Sandbox == "" {
		t.Errorf("facts %+v", f)
	}
	if n := len(r.Workers()); n != 0 {
		t.Errorf("%d workers after the probe", n)
	}
}

// TestDiscardReleasesTheParts prepares something that nobody wants; the rig looks for descriptors that are left.
func TestDiscardReleasesTheParts(t *testing.T) {
	r := newRig(t, "")
	out := r.Prepare(t.Context(), r.put(adder()))
	if out.Fault != nil {
		t.Fatal(out.Fault)
	}
	for range 2 { // the second finds nothing
		r.Discard(out.Ticket)
	}
	if len(r.shelf.parts) != 0 {
		t.Errorf("%d tickets are held", len(r.shelf.parts))
	}
}

func TestPrepareThenRun(t *testing.T) {
	r := newRig(t, "")
	job := r.put(adder())
	out := r.Prepare(t.Context(), job)
	if out.Fault != nil {
		t.Fatal(out.Fault)
	}
	m := out.Meta
	if m.Key != job.Key || m.Code != job.Code || m.Build != r.Facts().Build || m.Module.NumFunctions != 2 {
		t.Errorf("meta %+v", m)
	}
	if out.CPU <= 0 || out.Wall <= 0 || out.PeakRSS <= 0 || m.PrepareCPU != out.CPU {
		t.Errorf("account %v %v %d", out.CPU, out.Wall, out.PeakRSS)
	}
	parts := r.shelf.parts[out.Ticket]
	if len(parts) != 3 || len(m.Parts) != 3 {
		t.Fatalf("parts %v %v", parts, m.Parts)
	}
	for _, p := range m.Parts {
		b := make([]byte, p.Bytes)
		if _, err := parts[p.Name].ReadAt(b, 0); err != nil || parts[p.Name].Size() != p.Bytes || sha256.Sum256(b) != p.SHA256 {
			t.Errorf("part %s: %v, digest differs", p.Name, err)
		}
	}
	r.shelf.keys[job.Key] = parts
	b := execute.Binding{Tenant: "t", Key: job.Key, MemoryBytes: 1 << 20}
	w := r.worker(t, b)
	for i := range 3 {
		o, alive := w.Run(t.Context(), r.job(b, invoke("add", "40", strconv.Itoa(i)), run.Limits{}, RunIO{}))
		if !alive || o.Fault != nil || string(o.Result) != strconv.Itoa(40+i) {
			t.Fatalf("run %d: %+v alive %v", i, o, alive)
		}
		if o.Usage.CPU <= 0 || o.Usage.Wall <= 0 || o.Sandbox != r.Facts().Sandbox {
			t.Errorf("usage %+v sandbox %q", o.Usage, o.Sandbox)
		}
	}
	list := r.Workers()
	if len(list) != 1 || list[0].State != "idle" || list[0].Runs != 3 || list[0].Kind != "execute" || list[0].PID != w.PID() {
		t.Errorf("workers %+v", list)
	}
}

func TestPrepareRefusesGarbage(t *testing.T) {
	r := newRig(t, "")
	out := r.Prepare(t.Context(), r.put([]byte("not wasm at all")))
	wantFault(t, out.Fault, fault.GuestNotWasm)
	out = r.Prepare(t.Context(), r.put(adder()[:len(adder())-3]))
	wantFault(t, out.Fault, fault.GuestTruncated)
}

func TestUnknownCodeAndArtifact(t *testing.T) {
	r := newRig(t, "")
	job := r.put(adder())
	job.Code[0]++
	wantFault(t, r.Prepare(t.Context(), job).Fault, fault.CallerNotFound)
	_, err := r.Start(t.Context(), execute.Binding{Key: artifacts.Key{9}})
	if !errors.Is(err, fault.HostArtifactMissing) {
		t.Errorf("Start: %v", err)
	}
}

func TestDamagedArtifactIsSuspect(t *testing.T) {
	r := newRig(t, "")
	b := r.pretended(t)
	if _, err := r.Start(t.Context(), b); !errors.Is(err, fault.SuspectArtifact) {
		t.Errorf("Start: %v", err)
	}
}

func TestCommandIO(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, echo())
	w := r.worker(t, b)
	text := strings.Repeat("all the world's a stage\n", 2000)

	var got bytes.Buffer
	o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdin: strings.NewReader(text), Stdout: &got}))
	if !alive || o.Fault != nil || got.String() != text || !bytes.Equal(o.Stderr, []byte{}) || o.Stdout != nil {
		t.Errorf("streamed: %v alive %v, %d bytes", o.Fault, alive, got.Len())
	}
	if o.Delivered < int64(len(text)) {
		t.Errorf("delivered %d", o.Delivered)
	}
	o, alive = w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	if !alive || o.Fault != nil || o.Stdout == nil || len(o.Stdout) != 0 || o.Delivered != 0 {
		t.Errorf("no stdin: %+v", o)
	}
	o, alive = w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdin: strings.NewReader(text)}))
	if !alive || o.Fault != nil || string(o.Stdout) != text || o.Delivered == 0 {
		t.Errorf("captured: %v, %d bytes, delivered %d", o.Fault, len(o.Stdout), o.Delivered)
	}
}

func TestExitCodeAndBytes(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, quitter())
	o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.GuestExit)
	if !alive || !o.Exited || o.GuestExit != 7 {
		t.Errorf("exit %+v alive %v", o, alive)
	}
	b = r.prepared(t, quitter(0x41, 0xf0, 0x2e, 0x40, 0, 0x1a)) // memory.grow 6,000, drop
	o, alive = r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.GuestMemory)
	if !alive || !o.Exited || o.GuestExit != 7 || !contains(o.Fault, "exit code 7") || !contains(o.Fault, "growth of memory") {
		t.Errorf("exit for want of memory %+v alive %v", o, alive)
	}
	b = r.prepared(t, mirror())
	input := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // more than two chunks
	o, alive = r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Bytes, Name: "same"}, run.Limits{}, RunIO{Input: input}))
	if !alive || o.Fault != nil || !bytes.Equal(o.Result, input) {
		t.Errorf("bytes: %v, %d bytes", o.Fault, len(o.Result))
	}
}

// TestLargeValues: an input and a result that fit into linear memory fit into the worker, run after run.
func TestLargeValues(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, mirror())
	b.MemoryBytes = 216 << 20
	w := r.worker(t, b)
	input := bytes.Repeat([]byte("0123456789abcdef"), 200<<16) // 200 MiB
	for range 2 {
		o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Bytes, Name: "same"}, run.Limits{OutputBytes: 1 << 30, CPU: time.Minute}, RunIO{Input: input}))
		if !alive || o.Fault != nil || !bytes.Equal(o.Result, input) {
			t.Fatalf("%v, %d bytes", o.Fault, len(o.Result))
		}
	}
	o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Bytes, Name: "same"}, run.Limits{MemoryBytes: 199 << 20}, RunIO{Input: input}))
	if wantFault(t, o.Fault, fault.GuestMemory); !alive {
		t.Error("an input that is not sent costs the worker its life")
	}
}

func TestEndlessLoopMeetsTheCPULimit(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	o, alive := w.Run(t.Context(), r.job(b, invoke("spin"), run.Limits{CPU: 50 * time.Millisecond, Wall: time.Minute}, RunIO{}))
	wantFault(t, o.Fault, fault.GuestCPULimit)
	if alive || o.Usage.CPU < 50*time.Millisecond || o.Usage.CPU > 2*time.Second {
		t.Errorf("alive %v, usage %+v", alive, o.Usage)
	}
	<-w.Dead()
}

func TestBusyGuestMeetsTheWallLimit(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	o, alive := r.worker(t, b).Run(t.Context(), r.job(b, invoke("spin"), run.Limits{CPU: time.Minute, Wall: 50 * time.Millisecond}, RunIO{}))
	wantFault(t, o.Fault, fault.SuspectWallLimit)
	if alive || o.Usage.Wall > 5*time.Second {
		t.Errorf("alive %v, usage %+v", alive, o.Usage)
	}
}

func TestWaitingGuestMeetsTheWallLimit(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, echo())
	s := stall(t)
	limits := run.Limits{Wall: time.Second}
	for what, io := range map[string]RunIO{
		"a reader that blocks": {Stdin: s},
		"a writer that blocks": {Stdin: strings.NewReader("x"), Stdout: s},
	} {
		o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, limits, io))
		wantFault(t, o.Fault, fault.GuestWallLimit)
		if alive || o.Usage.Wall > 5*time.Second || o.Delivered == 0 {
			t.Errorf("%s: alive %v, %+v", what, alive, o)
		}
	}
}

// TestNapsAreWaiting: a guest that sleeps most of the time, in many short sleeps, waits of its own accord, whether or not
// it is awake at the moment it is looked at. On a machine that hardly runs it there may be doubt now and then.
func TestNapsAreWaiting(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, napper(400_000, 2_000_000))
	doubts := 0
	for range 12 {
		j := r.job(b, run.Entry{Mode: run.Command}, run.Limits{CPU: time.Minute, Wall: 100 * time.Millisecond}, RunIO{})
		j.Determinism = run.RealWorld
		o, _ := r.worker(t, b).Run(t.Context(), j)
		if o.Fault != nil && o.Fault.Code == fault.SuspectWallLimit {
			doubts++
			continue
		}
		wantFault(t, o.Fault, fault.GuestWallLimit)
	}
	if doubts > 3 {
		t.Errorf("%d of 12 runs are suspect", doubts)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error)  { return 0, errors.New("read broke") }
func (broken) Write([]byte) (int, error) { return 0, errors.New("write broke") }

func TestCallersStreamsFail(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, echo())
	o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdin: broken{}}))
	wantFault(t, o.Fault, fault.CallerInvalid)
	if alive {
		t.Error("reader: alive")
	}
	o, alive = r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{Stdin: strings.NewReader("x"), Stdout: broken{}}))
	wantFault(t, o.Fault, fault.CanceledCaller)
	if alive {
		t.Error("writer: alive")
	}
}

func TestOutputLimit(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, flood())
	o, _ := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{OutputBytes: 100_000}, RunIO{}))
	wantFault(t, o.Fault, fault.GuestOutputLimit)
	if len(o.Stdout) > 100_000 {
		t.Errorf("%d bytes captured", len(o.Stdout))
	}
}

func TestCancelKills(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	o, alive := w.Run(ctx, r.job(b, invoke("spin"), run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.CanceledDeadline)
	if alive {
		t.Error("alive")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	wantFault(t, r.Prepare(ctx, r.put(adder())).Fault, fault.CanceledCaller)
	if _, err := r.Start(ctx, b); !errors.Is(err, fault.CanceledCaller) {
		t.Errorf("Start: %v", err)
	}
}

// lateEnd is a context that ends as soon as somebody has seen that it has not ended.
type lateEnd struct {
	context.Context
	end func()
}

func (l lateEnd) Err() error {
	err := l.Context.Err()
	l.end()
	return err
}

func TestCancelRightAfterTheAnswer(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	inner, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx := lateEnd{inner, func() {
		cancel()
		if !eventually(func() bool { return len(r.Workers()) == 0 }) {
			t.Error("the worker lives")
		}
	}}
	_, err := r.Start(ctx, b)
	wantFault(t, fault.From(err), fault.CanceledCaller)
}

func TestWorkerKilledInTheMiddle(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	pid := w.PID()
	time.AfterFunc(20*time.Millisecond, func() { _ = unix.Kill(pid, unix.SIGKILL) })
	o, alive := w.Run(t.Context(), r.job(b, invoke("spin"), run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.SuspectWorkerDied)
	if alive || !strings.Contains(o.Fault.Error(), "SIGKILL") {
		t.Errorf("alive %v: %v", alive, o.Fault)
	}
	// A worker that dies between two runs is seen dead, and refuses the next one.
	w = r.worker(t, b)
	_ = unix.Kill(w.PID(), unix.SIGKILL)
	<-w.Dead()
	o, alive = w.Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{}))
	wantFault(t, o.Fault, fault.SuspectWorkerDied)
	if alive {
		t.Error("alive")
	}
}

func TestStoppedWorkerIsSuspect(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	if err := unix.Kill(w.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	o, alive := w.Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{Wall: 100 * time.Millisecond}, RunIO{}))
	wantFault(t, o.Fault, fault.SuspectWallLimit)
	if alive {
		t.Error("alive")
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	job := r.job(b, invoke("spin"), run.Limits{}, RunIO{})
	done := make(chan run.Outcome)
	go func() {
		o, _ := w.Run(context.Background(), job)
		done <- o
	}()
	if !eventually(func() bool { l := r.Workers(); return len(l) == 1 && l[0].State == "busy" && l[0].Runs == 1 }) {
		t.Fatal("the run does not start")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	wantFault(t, (<-done).Fault, fault.CanceledStopped)
	wantFault(t, r.Prepare(t.Context(), r.put(adder())).Fault, fault.CanceledStopped)
	if _, err := r.Start(t.Context(), b); !errors.Is(err, fault.CanceledStopped) {
		t.Errorf("Start: %v", err)
	}
}

func TestRefusalsKeepTheWorker(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	other := b
	other.Tenant = "somebody else"
	for what, c := range map[string]struct {
		job  execute.Job
		want fault.Code
	}{
		"another tenant":  {r.job(other, invoke("add", "1", "2"), run.Limits{}, RunIO{}), fault.BugProtocol},
		"unknown run":     {execute.Job{Run: 1 << 60, Binding: b}, fault.BugProtocol},
		"too much memory": {r.job(b, invoke("add", "1", "2"), run.Limits{MemoryBytes: b.MemoryBytes + 1}, RunIO{}), fault.BugProtocol},
		"too many args":   {r.job(b, invoke("add", make([]string, wire.MaxList+1)...), run.Limits{}, RunIO{}), fault.CallerInvalid},
		"a huge frame":    {r.job(b, invoke("add", slicesRepeat(strings.Repeat("x", wire.MaxName), 20)...), run.Limits{}, RunIO{}), fault.CallerInvalid},
		"wrong arguments": {r.job(b, invoke("add", "one", "2"), run.Limits{}, RunIO{}), fault.CallerInvalid},
		"no such export":  {r.job(b, invoke("sub", "1", "2"), run.Limits{}, RunIO{}), fault.GuestMissingExport},
	} {
		o, alive := w.Run(t.Context(), c.job)
		t.Run(what, func(t *testing.T) { wantFault(t, o.Fault, c.want) })
		if !alive {
			t.Fatalf("%s: the worker was given up", what)
		}
	}
}

func slicesRepeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestWorkerIsAlone(t *testing.T) {
	t.Setenv("TROUPE_SECRET", "hidden")
	loose, err := unix.Open("/dev/zero", unix.O_RDONLY, 0) // as an embedder's C code opens files: not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(loose) }()
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	proc := "/proc/" + strconv.Itoa(w.PID())
	env, err := os.ReadFile(proc + "/environ")
	if hidden := os.Geteuid() != 0 && errors.Is(err, os.ErrPermission); !hidden && err != nil || len(env) != 0 { // undumpable: not its owner's either
		t.Errorf("environment %q %v", env, err)
	}
	links, err := filepath.Glob(proc + "/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		to, _ := os.Readlink(l)
		switch filepath.Base(l) {
		case "0", "1":
			if !strings.HasSuffix(to, "/null") { // its mount is gone from the worker's view
				t.Errorf("descriptor %s is %s", l, to)
			}
		case "2", "3":
		default:
			// Its own runtime's poller, what stands in for files, and what an instance is made over.
			if !strings.HasPrefix(to, "anon_inode:") && !strings.HasSuffix(to, "/null") && to != "/memfd:troupe scratch (deleted)" {
				t.Errorf("descriptor %s is %s", l, to)
			}
		}
	}
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if pid := strconv.Itoa(w.PID()); f[2] != pid || f[3] != pid {
		t.Errorf("group %s session %s of %s", f[2], f[3], pid)
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if !raceDetector && strings.HasPrefix(line, "Max data size") && strings.Contains(line, "unlimited") ||
			strings.HasPrefix(line, "Max core file size") && strings.Fields(line)[4] != "0" {
			t.Error(line)
		}
	}
}

func TestLocate(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for _, path := range []string{missing, t.TempDir(), "/etc/passwd"} {
		if _, err := Locate(path); !errors.Is(err, fault.HostWorkerMissing) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got, err := Locate(""); err != nil || got != selfPath {
		t.Errorf("self: %q %v", got, err)
	}
}

// TestFewOpenFiles: the program is there, but its descriptor has no place.
func TestFewOpenFiles(t *testing.T) {
	warm(t)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	before := census(t)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: lowestDup - 5, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Config{})
	_, missing := openProgram(filepath.Join(t.TempDir(), "none"))
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	wantFault(t, fault.From(err), fault.HostSpawnFailed)
	if h := fault.From(err).Hint; !strings.Contains(h, "open files") {
		t.Errorf("hint %q", h)
	}
	wantFault(t, fault.From(missing), fault.HostWorkerMissing)
	before.check(t)
}

// TestUpgradeOnDisk replaces the program while the pool lives.
func TestUpgradeOnDisk(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "worker")
	if err := os.WriteFile(path, self, 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRigConfig(t, "", Config{WorkerPath: path})
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".old"); err != nil {
		t.Fatal(err)
	}
	b := r.prepared(t, adder())
	o, _ := r.worker(t, b).Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{}))
	if string(o.Result) != "3" {
		t.Errorf("%+v", o)
	}
}

func TestProgramsThatAreNoWorkers(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		want fault.Code
		hint string
	}{
		"script that ends": {"#!/bin/sh\necho 'no such option' >&2\nexit 3\n", fault.HostSpawnFailed, hintNoWorker},
		"silent script":    {"#!/bin/sh\nexit 0\n", fault.HostSpawnFailed, hintNoWorker},
		"no program":       {"garbage", fault.HostSpawnFailed, hintNoWorker},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(c.text), 0o700); err != nil {
			t.Fatal(err)
		}
		before := census(t)
		_, err := New(t.Context(), Config{WorkerPath: path})
		t.Run(name, func(t *testing.T) {
			if wantFault(t, fault.From(err), c.want); fault.From(err).Hint != c.hint {
				t.Errorf("hint %q", fault.From(err).Hint)
			}
		})
		before.check(t)
	}
}
