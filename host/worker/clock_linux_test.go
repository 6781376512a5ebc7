package worker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/host/wire"
)

// endsByClock waits for the end of a worker, which must be that by a clock.
func (k *talk) endsByClock() {
	k.t.Helper()
	if m, err := k.conn.Receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		k.t.Fatalf("it lives: %T, %v", m, err)
	}
	exit, ok := errors.AsType[*exec.ExitError](k.end())
	if !ok {
		k.t.Fatal("it ended well")
	}
	if got := exit.Sys().(syscall.WaitStatus); !got.Exited() || got.ExitStatus() != wire.ClockExit {
		k.t.Errorf("ended with %#x", got)
	}
}

// TestWorkerEndsItself: nobody watches from outside, and the guest computes or sleeps for ever. The first process of a pid
// namespace does not hear signals that have no handler.
func TestWorkerEndsItself(t *testing.T) {
	for _, row := range []struct {
		guest string
		clock wire.Clock
	}{
		{"loop", wire.Clock{CPU: 100 * time.Millisecond, Wall: time.Hour}},
		{"loop", wire.Clock{CPU: time.Hour, Wall: 100 * time.Millisecond}},
		{"stdin-wait", wire.Clock{CPU: 100 * time.Millisecond, Wall: 100 * time.Millisecond}}, // it waits, and uses no CPU time
	} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %v, first %v", row.guest, row.clock, first), func(t *testing.T) {
				parts, _ := prepared(t, guest(t, row.guest))
				k, _ := reexec(t, func(c *exec.Cmd) {
					if first {
						asFirst(t, c)
					}
				})
				k.hello()
				k.load(parts)
				receive[wire.Loaded](k)
				terms := command()
				terms.Clock = row.clock
				k.call(terms, wire.Call{Run: 1, Stdin: true})
				if row.guest == "stdin-wait" {
					hear[wire.NeedStdin](k)
				}
				k.endsByClock()
			})
		}
	}
}

// asFirst has a command become the first process of a pid namespace.
func asFirst(t *testing.T, c *exec.Cmd) {
	t.Helper()
	c.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	probe := exec.Command("/proc/self/exe", "-test.run=^$")
	probe.SysProcAttr = c.SysProcAttr
	if err := probe.Run(); err != nil {
		t.Skip("missing: pid namespaces; run as root: ", err)
	}
}

// TestClockStopsWithTheRun: a worker that waits for its next run is under no clock.
func TestClockStopsWithTheRun(t *testing.T) {
	parts, _ := prepared(t, guest(t, "echo-wasi"))
	k, _ := reexec(t, nil)
	k.hello()
	k.load(parts)
	receive[wire.Loaded](k)
	terms := command()
	terms.Clock = wire.Clock{CPU: time.Minute, Wall: time.Millisecond}
	k.call(terms, wire.Call{Run: 1, Stdin: true})
	hear[wire.NeedStdin](k)
	k.call(wire.Stdin{EOF: true})
	hear[wire.Finished](k)
	if k.conn.SetDeadline(time.Now().Add(2*wallSlack)) != nil {
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
			k.endsByClock()
			continue
		}
		receive[wire.Prepared](k)
	}
}
