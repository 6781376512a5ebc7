package pool

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// hostCPU is the CPU time of this process.
func hostCPU(t testing.TB) time.Duration {
	t.Helper()
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// TestAttacksOnTheRing: a worker that writes whatever it likes into the memory that it shares with the host, and wakes it or
// does not, gets an end of its run that is its own fault, and costs the host little.
func TestAttacksOnTheRing(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"ring: resized":                     "",
		"ring: filled scratch":              "",
		"ring: holes":                       fault.SuspectBadReply,
		"ring: position back":               fault.SuspectBadReply,
		"ring: position ahead":              fault.SuspectBadReply,
		"ring: position huge":               fault.SuspectBadReply,
		"ring: position largest":            fault.SuspectBadReply,
		"ring: position of nothing written": fault.SuspectBadReply,
		"ring: reads what is not there":     fault.SuspectBadReply,
		"ring: forged words":                "",
		"ring: flood of events":             fault.GuestCPULimit,
		"ring: full events":                 fault.GuestWallLimit,
		"ring: no wake-up":                  fault.GuestWallLimit,
		"ring: no wake-up, then exit":       fault.SuspectWorkerDied,
		"ring: negative gas":                fault.SuspectBadReply,
		"ring: most of everything":          fault.SuspectBadReply,
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			b := r.pretended(t)
			w := r.worker(t, b)
			l := run.Limits{CPU: 10 * time.Second, Wall: 20 * time.Second, Gas: 1000, InitGas: 100}
			switch mode {
			case "ring: full events", "ring: no wake-up":
				l.Wall = 150 * time.Millisecond
			case "ring: flood of events":
				l.CPU = 150 * time.Millisecond
			}
			o, alive := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, l, RunIO{Stdin: strings.NewReader("some words")}))
			wantFault(t, o.Fault, want)
			clean(t, o.Fault)
			if alive != (want == "") || o.Usage.Wall > 5*time.Second {
				t.Errorf("alive %v, after %v", alive, o.Usage.Wall)
			}
		})
	}
}

// TestFloodOfEventsCostsTheHostLittle: each event wakes the host, which finds nothing. That costs it less than the worker pays.
func TestFloodOfEventsCostsTheHostLittle(t *testing.T) {
	const limit = 300 * time.Millisecond
	r := newRig(t, "ring: flood of events")
	b := r.pretended(t)
	w := r.worker(t, b)
	before := hostCPU(t)
	o, _ := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{CPU: limit, Wall: 20 * time.Second}, RunIO{}))
	used := hostCPU(t) - before
	wantFault(t, o.Fault, fault.GuestCPULimit)
	t.Logf("the worker used %v, the host %v", o.Usage.CPU, used)
	if used > 2*limit+100*time.Millisecond {
		t.Errorf("the worker used %v, the host %v", o.Usage.CPU, used)
	}
}

// TestWithheldWakeUpsHoldNobody: who cancels does not depend on the worker.
func TestWithheldWakeUpsHoldNobody(t *testing.T) {
	r := newRig(t, "ring: no wake-up")
	b := r.pretended(t)
	w := r.worker(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	o, alive := w.Run(ctx, r.job(b, run.Entry{Mode: run.Command}, run.Limits{CPU: time.Minute, Wall: time.Minute}, RunIO{}))
	wantFault(t, o.Fault, fault.CanceledDeadline)
	if took := time.Since(begin); alive || took > 5*time.Second {
		t.Errorf("alive %v, after %v", alive, took)
	}
}

// TestRewritesUnderTheHost: frames change while the host reads them. What it takes is within every limit all the same, since
// it looks only at its own copy.
func TestRewritesUnderTheHost(t *testing.T) {
	ends := map[string]int{}
	for n := 0; n < 8 || n < 60 && ends[string(fault.SuspectBadReply)] == 0; n++ {
		r := newRig(t, "ring: rewritten")
		b := r.pretended(t)
		l := run.Limits{CPU: 10 * time.Second, Wall: 200 * time.Millisecond, Gas: 2000, InitGas: 100, OutputBytes: 4 << 20}
		o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, l, RunIO{}))
		ends[string(codeIn(o.Fault))]++
		clean(t, o.Fault)
		switch codeIn(o.Fault) {
		case "", fault.SuspectBadReply, fault.SuspectWallLimit, fault.GuestWallLimit, fault.GuestOutputLimit:
		default:
			if o.Fault.Class != fault.Guest {
				t.Errorf("%v", o.Fault)
			}
		}
		if n := int64(len(o.Stdout) + len(o.Stderr)); n > l.OutputBytes {
			t.Errorf("%d bytes of output", n)
		}
		if u := o.Usage; alive && (*u.GasUsed > l.Gas || *u.InitGas > l.InitGas || *u.MemoryPeakBytes > b.MemoryBytes) {
			t.Errorf("gas %d, %d, peak %d", *u.GasUsed, *u.InitGas, *u.MemoryPeakBytes)
		}
	}
	t.Logf("%v", ends)
	if ends[string(fault.SuspectBadReply)] == 0 {
		t.Error("no frame was changed in time")
	}
}

// TestIdleWorkersAreSilent: one that closes its socket, or speaks there, while it has no run is not kept.
func TestIdleWorkersAreSilent(t *testing.T) {
	for _, mode := range []string{"idle: closed socket", "idle: words on the socket"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			w := r.worker(t, r.pretended(t))
			select {
			case <-w.Dead():
			case <-time.After(10 * time.Second):
				t.Error("it lives")
			}
		})
	}
}
