//go:build undefended

package pool

import (
	"bufio"
	"context"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// TestUndefendedGuestWithoutClocks runs on for many times its limit when no clock looks.
func TestUndefendedGuestWithoutClocks(t *testing.T) {
	const limit = 20 * time.Millisecond
	r := newRigConfig(t, "", Config{clocks: clocksUsed{noHost: true, noWorker: true}})
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	proc := w.(*executor).proc
	begin := proc.cpu()
	go func() {
		eventually(func() bool { return proc.cpu()-begin > 10*limit })
		cancel()
	}()
	o, _ := w.Run(ctx, r.job(b, invoke("spin"), run.Limits{CPU: limit, Wall: time.Minute}, RunIO{}))
	if o.Usage.CPU < 5*limit {
		t.Errorf("ended after %v: %v", o.Usage.CPU, o.Fault)
	}
}

// TestUndefendedGuestWithoutGas goes on until its CPU time is over.
func TestUndefendedGuestWithoutGas(t *testing.T) {
	for gas, want := range map[int64]fault.Code{1_000_000: fault.GuestGasLimit, run.NoGasLimit: fault.GuestCPULimit} {
		r := newRig(t, "")
		b := r.prepared(t, adder())
		o, _ := r.worker(t, b).Run(t.Context(), r.job(b, invoke("spin"), run.Limits{CPU: 300 * time.Millisecond, Wall: time.Minute, Gas: gas}, RunIO{}))
		wantFault(t, o.Fault, want)
	}
}

// TestUndefendedWorkersOutliveTheirHost when the kernel is not asked to end them with it.
func TestUndefendedWorkersOutliveTheirHost(t *testing.T) {
	t.Setenv(EnvWithout, sandbox.DeathSig)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{parentArg0}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var workers []int
	for lines := bufio.NewScanner(stdout); len(workers) < 2 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		workers = append(workers, fd)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	alive := 0
	for _, fd := range workers {
		if !readable(fd, 100*time.Millisecond) {
			alive++
		}
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		_ = unix.Close(fd)
	}
	if alive == 0 {
		t.Error("none lives on")
	}
}

// TestUndefendedLiesAreGoodFrames: what a lying worker says is nothing that the parser of frames could refuse.
func TestUndefendedLiesAreGoodFrames(t *testing.T) {
	for _, m := range []wire.Message{
		wire.Finished{Run: 7}, wire.Finished{Code: fault.HostDiskFull}, wire.Finished{GasUsed: run.MaxGas}, wire.Finished{Exited: true, Exit: 1},
		wire.NeedStdin{Max: 1}, wire.Result{Data: []byte("x")}, wire.Output{Data: []byte("x")},
		wire.Ask{Op: 1, Gas: run.MaxGas, MemoryBytes: run.MaxMemoryBytes}, wire.Ask{Op: 1}, // a turn, of a run that asks for nothing
	} {
		b, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Decode(m.Type(), b[5:]); err != nil {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

// TestUndefendedViewsChangeUnderTheirReader: a message that is parsed where it lies is another one later, if somebody else
// can write there.
func TestUndefendedViewsChangeUnderTheirReader(t *testing.T) {
	shared, err := wire.Encode(wire.Result{Data: []byte("good")})
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(wire.TypeResult, shared[5:])
	if err != nil {
		t.Fatal(err)
	}
	copy(shared[len(shared)-4:], "evil")
	if got := string(m.(wire.Result).Data); got != "evil" {
		t.Errorf("still %q", got)
	}
}
