package worker

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/wire"
)

// signalOf returns which signal ended a worker.
func (k *talk) signalOf() unix.Signal {
	k.t.Helper()
	if m, err := k.conn.Receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		k.t.Fatalf("it lives: %T, %v", m, err)
	}
	exit, ok := errors.AsType[*exec.ExitError](k.end())
	if !ok {
		k.t.Fatal("it ended well")
	}
	return exit.Sys().(syscall.WaitStatus).Signal()
}

// TestWorkerEndsItself: nobody watches from outside, and the guest computes or sleeps for ever.
func TestWorkerEndsItself(t *testing.T) {
	for _, row := range []struct {
		guest string
		clock wire.Clock
		want  unix.Signal
	}{
		{"loop", wire.Clock{CPU: 100 * time.Millisecond, Wall: time.Hour}, unix.SIGXCPU},
		{"loop", wire.Clock{CPU: time.Hour, Wall: 100 * time.Millisecond}, unix.SIGALRM},
		{"stdin-wait", wire.Clock{CPU: 100 * time.Millisecond, Wall: 100 * time.Millisecond}, unix.SIGALRM}, // it waits, and uses no CPU time
	} {
		parts, _ := prepared(t, guest(t, row.guest))
		k, _ := reexec(t, nil)
		k.hello()
		k.send(wire.Load{}, k.file(parts[artifacts.PartModule]).Fd(), k.file(parts[artifacts.PartCode]).Fd())
		receive[wire.Loaded](k)
		r := command(1)
		r.Clock = row.clock
		k.send(r)
		if row.guest == "stdin-wait" {
			receive[wire.NeedStdin](k)
		}
		if got := k.signalOf(); got != row.want {
			t.Errorf("%s, %+v: ended by %v", row.guest, row.clock, got)
		}
	}
}

// TestClockStopsWithTheRun: a worker that waits for its next run is under no clock.
func TestClockStopsWithTheRun(t *testing.T) {
	parts, _ := prepared(t, guest(t, "hash-puzzle"))
	k, _ := reexec(t, nil)
	k.hello()
	k.send(wire.Load{}, k.file(parts[artifacts.PartModule]).Fd(), k.file(parts[artifacts.PartCode]).Fd())
	receive[wire.Loaded](k)
	r := command(1)
	r.Entry = run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "0"}}
	r.Clock = wire.Clock{CPU: time.Minute, Wall: time.Second}
	k.send(r)
	receive[wire.Result](k)
	receive[wire.Finished](k)
	if k.conn.SetDeadline(time.Now().Add(3*wallSlack)) != nil {
		t.Fatal("no deadline")
	}
	if m, err := k.conn.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it says %v, %v", m, err)
	}
}

// TestExtendedPreparation is given more while it runs: it ends well.
func TestExtendedPreparation(t *testing.T) {
	code := guest(t, "go-hello")
	for _, row := range []struct {
		extend wire.Clock
		dies   bool
	}{{wire.Clock{CPU: 10 * time.Millisecond}, true}, {wire.Clock{CPU: time.Hour}, false}} {
		k, _ := reexec(t, nil)
		k.hello()
		out := k.output()
		k.send(wire.Prepare{MaxInflatedBytes: 64 << 20, Clock: wire.Clock{CPU: 20 * time.Millisecond}}, k.file(code).Fd(), out.Fd())
		k.send(wire.Extend{Clock: row.extend})
		if row.dies {
			if got := k.signalOf(); got != unix.SIGXCPU {
				t.Errorf("ended by %v", got)
			}
			continue
		}
		receive[wire.Prepared](k)
	}
}
