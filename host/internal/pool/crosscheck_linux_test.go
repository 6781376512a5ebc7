package pool

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/wire"
)

// check is what a fake worker answers to a Check.
func (l *liar) check() {
	l.anywhere()
	switch l.mode {
	case "check: a code of ours":
		l.say(wire.Checked{Code: fault.HostDiskIO})
	case "check: another answer":
		l.say(wire.Loaded{})
	case "check: failed":
		l.say(wire.Failed{Code: fault.HostDiskIO, Message: "no"})
	case "check: a lie":
		l.say(wire.Checked{GasUsed: 42})
	}
}

func guestFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// repeatOf is a run of a guest that is to be done again.
func repeatOf(t *testing.T, r *rig, code []byte, e run.Entry, l run.Limits) Repeat {
	t.Helper()
	job := r.put(code)
	files := make([]*sealed.File, 2)
	for i, b := range [][]byte{code, nil} {
		f, err := sealed.FromBytes("test", b)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Release)
		files[i] = f
	}
	return Repeat{Tenant: "t", Key: job.Key, Code: files[0], Input: files[1], Entry: e, Limits: l, Imports: run.RefuseMissing}
}

func TestARunOnTheInterpreter(t *testing.T) {
	r := newRig(t, "")
	entry := run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "1"}}
	code := guestFile(t, "hash-puzzle")
	b := r.prepared(t, code)
	out, _ := r.worker(t, b).Run(t.Context(), r.job(b, entry, run.Limits{}, RunIO{}))
	if out.Fault != nil {
		t.Fatal(out.Fault)
	}
	got, err := r.Check(t.Context(), repeatOf(t, r, code, entry, run.Limits{CPU: time.Minute}))
	none := sha256.Sum256(nil)
	want := wire.Checked{MemoryPeakBytes: *out.Usage.MemoryPeakBytes, GasUsed: *out.Usage.GasUsed, InitGas: *out.Usage.InitGas,
		Result: sha256.Sum256(out.Result), Stdout: none, Stderr: none}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if got.GasUsed == 0 || string(out.Result) != "3" {
		t.Errorf("gas %d, result %s", got.GasUsed, out.Result)
	}
}

// TestAnEndlessCheckEnds: it is shown, gives way to others on every thread, and is killed at its limit of CPU time.
func TestAnEndlessCheckEnds(t *testing.T) {
	r := newRig(t, "")
	q := repeatOf(t, r, guestFile(t, "loop"), run.Entry{Mode: run.Invoke, Name: "run"}, run.Limits{CPU: 400 * time.Millisecond})
	ended := make(chan error, 1)
	go func() {
		_, err := r.Check(context.Background(), q)
		ended <- err
	}()
	var w inspect.Worker
	if !eventually(func() bool {
		for _, w = range r.Workers() {
			if w.Kind == "check" && w.State == "busy" && w.Artifact == q.Key.String() {
				return true
			}
		}
		return false
	}) {
		t.Fatal("no worker that checks")
	}
	if !eventually(func() bool {
		threads, _ := filepath.Glob("/proc/" + strconv.Itoa(w.PID) + "/task/*")
		for _, th := range threads {
			tid, _ := strconv.Atoi(filepath.Base(th))
			if raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err != nil || 20-raw != CheckNice {
				return false
			}
		}
		return len(threads) > 0
	}) {
		t.Error("its threads have the priority of all others")
	}
	if err := <-ended; !errors.Is(err, fault.GuestCPULimit) {
		t.Error(err)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(w.PID)); err == nil || len(r.Workers()) != 0 {
		t.Error("it is still there")
	}
}

// TestChecksThatFail: a worker that lies or dies says nothing of a run, and none of it is the guest's fault. What it claims of a
// run is taken at its word: then the host warns of a difference.
func TestChecksThatFail(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"check: a code of ours": fault.SuspectBadReply, "check: another answer": fault.SuspectBadReply, "check: failed": fault.SuspectArtifact,
		"garbage": fault.SuspectBadReply, "exit": fault.SuspectWorkerDied, "closed socket": fault.SuspectBadReply, "check: a lie": "",
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			got, err := r.Check(t.Context(), repeatOf(t, r, []byte("code"), run.Entry{}, run.Limits{}))
			f := fault.From(err)
			switch {
			case want == "" && (err != nil || got.GasUsed != 42):
				t.Errorf("%+v, %v", got, err)
			case want != "" && (f == nil || f.Code != want):
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
	t.Run("the host stops", func(t *testing.T) {
		r := newRig(t, "")
		q := repeatOf(t, r, guestFile(t, "loop"), run.Entry{Mode: run.Invoke, Name: "run"}, run.Limits{CPU: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := r.Check(ctx, q)
			ended <- err
		}()
		if !eventually(func() bool { return len(r.Workers()) == 1 && r.Workers()[0].State == "busy" }) {
			t.Error("no worker that checks")
		}
		cancel()
		if err := <-ended; !errors.Is(err, fault.Canceled) {
			t.Error(err)
		}
	})
	t.Run("not code", func(t *testing.T) {
		r := newRig(t, "")
		if _, err := r.Check(t.Context(), repeatOf(t, r, []byte("nothing"), run.Entry{}, run.Limits{})); !errors.Is(err, fault.SuspectArtifact) {
			t.Error(err)
		}
	})
}
