package engine

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// TestTheClockStepsCoarsely reads the clocks as fast as possible: no two readings differ by less than a step, time does not go
// back, and it goes on.
func TestTheClockStepsCoarsely(t *testing.T) {
	for _, step := range []time.Duration{1, 1000, 100 * time.Microsecond, 7 * time.Millisecond} {
		for name, read := range map[string]func(*realClock) int64{"monotonic": (*realClock).readMono, "wall": (*realClock).readWall} {
			begin, w := time.Now(), newRealClock(step)
			first, changes := read(w), 0
			last := first
			for changes < 3 {
				now := read(w)
				switch d := time.Duration(now - last); {
				case d < 0 && name == "monotonic":
					t.Fatalf("%s, step %v: back by %v", name, step, -d)
				case d != 0 && d < step && d > -step, now%int64(step) != 0:
					t.Fatalf("%s, step %v: from %d to %d", name, step, last, now)
				case d != 0:
					changes++
				}
				last = now
			}
			if d, real := time.Duration(last-first), time.Since(begin); d > real+2*step {
				t.Errorf("%s, step %v: %v in %v", name, step, d, real)
			}
		}
	}
}

// TestBothClocksStepTogether: who reads both learns no more than from one.
func TestBothClocksStepTogether(t *testing.T) {
	for _, step := range []time.Duration{1000, 100 * time.Microsecond, 10 * time.Millisecond, time.Second} {
		w := newRealClock(step)
		if apart := (w.wall - w.mono) % int64(step); apart != 0 {
			t.Errorf("step %v: one clock steps %v before the other", step, time.Duration(apart))
		}
		if since := time.Duration(w.mono) - uptime(); since < -time.Minute || since > step {
			t.Errorf("step %v: the clock is %v off", step, since)
		}
	}
}

func TestTimeBefore1970(t *testing.T) {
	w := &realClock{step: 100}
	for n, want := range map[int64]int64{0: 0, 99: 0, 100: 100, -1: -100, -100: -100, -101: -200} {
		if got := w.cut(n); got != want {
			t.Errorf("%d is cut to %d, want %d", n, got, want)
		}
	}
}

// edges exports f() -> i64: the time from one change of a clock of WASI to the next, as the guest sees it.
func edges(clock byte) []byte {
	const loop, brIf, localSet, i64Eq, i64Sub = 0x03, 0x0d, 0x21, 0x51, 0x7d
	read := []byte{opI32Const, clock, opI64Const, 0, opI32Const, 0, opCall, 0, opDrop}
	load := []byte{opI32Const, 0, opI64Load, 3, 0}
	edge := slices.Concat(load, []byte{localSet, 0, loop, 0x40}, read, load, []byte{opLocalGet, 0, i64Eq, brIf, 0, opEnd})
	code := slices.Concat([]byte{1, 1, i64}, read, edge, edge, load, []byte{opLocalGet, 0, i64Sub, opEnd})
	return binaryModule(
		section(secType, funcType("\x7f\x7e\x7f", "\x7f"), funcType("", "\x7e")),
		section(secImport, importFunc("wasi_snapshot_preview1", "clock_time_get", 0)),
		section(secFunc, []byte{1}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("f", 1)),
		section(secCode, slices.Concat([]byte{byte(len(code))}, code)),
	)
}

// clockRun calls f in the real world and returns its number.
func clockRun(t *testing.T, code []byte, step time.Duration) int64 {
	t.Helper()
	var s seen
	out := loadCode(t, code).Run(context.Background(), Spec{Entry: run.Entry{Mode: run.Invoke, Name: "f"}, MemoryBytes: 1 << 20, OutputBytes: 100,
		Determinism: run.RealWorld, ClockStep: step}, listen(&s))
	n, err := strconv.ParseInt(s.Result, 10, 64)
	if out.Fault != nil || err != nil {
		t.Fatal(out.Fault, err)
	}
	return n
}

// TestGuestsReadCoarseClocks: a guest sees whole steps, at least one, and is told how long they are. With a step of a nanosecond
// it would see less.
func TestGuestsReadCoarseClocks(t *testing.T) {
	for clock, name := range []string{"wall", "monotonic"} {
		for _, step := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond} {
			want := step
			if want == 0 {
				want = DefaultClockStep
			}
			if got := time.Duration(clockRun(t, edges(byte(clock)), step)); got < want || got%want != 0 {
				t.Errorf("%s: %v between two readings, the step is %v", name, got, want)
			}
			res := wasiCaller("clock_res_get", "\x7f\x7f", opI32Const, byte(clock), opI32Const, 0, opCall, 0)
			if got := time.Duration(clockRun(t, res, step)); got != want {
				t.Errorf("%s: a resolution of %v is told, not %v", name, got, want)
			}
		}
		finest := DefaultClockStep
		for range 20 {
			finest = min(finest, time.Duration(clockRun(t, edges(byte(clock)), 1)))
		}
		if finest >= DefaultClockStep {
			t.Errorf("%s: the machine's own clock shows no less than %v: this test shows nothing", name, finest)
		}
	}
}

// TestInitialisationIsDoneOnce: what initialisation sees of time and random bytes is the same for all runs, which begin with what it
// made, and each run sees the real world. In the two other worlds both are of one kind.
func TestInitialisationIsDoneOnce(t *testing.T) {
	a := load(t, "late")
	look := func(d run.Determinism) (first, then string) {
		t.Helper()
		out, _ := call(a, Spec{Entry: run.Entry{Mode: run.Bytes, Name: "query"}, Determinism: d})
		if out.Fault != nil || len(out.Result) != 32 {
			t.Fatal(out.Fault)
		}
		a.Settle()
		return string(out.Result[:16]), string(out.Result[16:])
	}
	fixed, follows := look(run.Deterministic)
	if f, g := look(run.Deterministic); f != fixed || g != follows {
		t.Error("two runs of the deterministic world differ")
	}
	var seen []string
	for n := range 4 {
		first, then := look(run.RealRuns)
		if first != fixed {
			t.Errorf("run %d: initialisation saw %x, not %x", n, first, fixed)
		}
		if a.snap == nil || a.live.snap != a.snap {
			t.Errorf("run %d did not begin with what initialisation made", n)
		}
		for _, s := range append(seen, follows) {
			if then == s || then[8:] == s[8:] {
				t.Errorf("run %d saw %x again", n, then)
			}
		}
		seen = append(seen, then)
	}
	if f, g := look(run.Deterministic); f != fixed || g != follows {
		t.Error("the deterministic world is another one after real runs")
	}
	real1, _ := look(run.RealWorld)
	real2, _ := look(run.RealWorld)
	if real1 == fixed || real1 == real2 {
		t.Error("initialisation in the real world was that of another run")
	}
	if first, then := look(run.RealRuns); first != fixed || then == follows {
		t.Error("a real run after one in the real world is of another kind")
	}
}
