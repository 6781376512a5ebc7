package pool

import (
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// runBomb is a guest that would go on for ever.
type runBomb struct {
	name string
	code []byte
	ends fault.Code // how it ends of its own accord, if it does
}

// bombModule exports f, which runs code, over memory of so many pages and one table; function 1 does nothing.
func bombModule(pages int, start bool, code ...byte) []byte {
	startAt, f := []byte(nil), code
	if start {
		startAt, f = wasmtest.Section(8, []byte{2}), nil
	}
	return wasmtest.Module(
		wasmtest.Section(1, wasmtest.Vector(wasmtest.FuncType(0, 0))),
		wasmtest.Section(3, []byte{3, 0, 0, 0}),
		wasmtest.Section(4, []byte{1, 0x70, 0, 1}),
		wasmtest.Section(5, append([]byte{1, 0}, wasmtest.U(pages)...)),
		wasmtest.Section(7, wasmtest.Vector(append(wasmtest.Name("f"), 0, 0))),
		startAt,
		wasmtest.Section(9, []byte{1, 0, 0x41, 0, 0x0b, 1, 1}), // function 1 is the element of the table
		wasmtest.Section(10, wasmtest.Vector(wasmtest.Body(0, f...), wasmtest.Body(0), wasmtest.Body(0, code...))),
	)
}

// runBombs are all of them; the large ones work on so many pages.
func runBombs(pages int) []runBomb {
	forever := func(code ...byte) []byte { return join([]byte{0x03, 0x40}, code, []byte{0x0c, 0, 0x0b}) }
	num := func(n int) []byte { return append([]byte{0x41}, wasmtest.S(n)...) }
	size := pages * int(run.PageBytes)
	return []runBomb{
		{name: "loop", code: bombModule(1, false, forever()...)},
		{name: "loop at the start", code: bombModule(1, true, forever()...)},
		{name: "grow", code: bombModule(1, false, forever(join(num(1), []byte{0x40, 0, 0x1a})...)...)},
		{name: "table.grow", code: bombModule(1, false, forever(join([]byte{0xd0, 0x70}, num(1000), []byte{0xfc, 0x0f, 0, 0x1a})...)...)},
		{name: "fill", code: bombModule(pages, false, forever(join(num(0), num(1), num(size), []byte{0xfc, 0x0b, 0})...)...)},
		{name: "copy", code: bombModule(pages, false, forever(join(num(0), num(1), num(size-1), []byte{0xfc, 0x0a, 0, 0})...)...)},
		{name: "call_indirect", code: bombModule(1, false, forever(join(num(0), []byte{0x11, 0, 0})...)...)},
		{name: "recursion", code: bombModule(1, false, 0x10, 0), ends: fault.GuestStack},
		{name: "unreachable", code: bombModule(1, false, 0x00), ends: fault.GuestTrap},
	}
}

// explosion is what came of a bomb, against the limit that it had to stop at.
type explosion struct {
	took, limit   time.Duration
	charged, used time.Duration // CPU time by the outcome, and by the kernel
	struck        time.Duration // CPU time when it was killed
	after         time.Duration // from the beginning until then
	died          bool
}

// explode runs a bomb under one limit.
func explode(t *testing.T, b runBomb, kind string, limit time.Duration) explosion {
	t.Helper()
	r := newRig(t, "")
	binding := r.prepared(t, b.code)
	binding.MemoryBytes = 1100 << 20
	w := r.worker(t, binding)
	l := run.Limits{CPU: time.Minute, Wall: time.Minute, Gas: run.NoGasLimit, InitGas: run.NoGasLimit, MemoryBytes: binding.MemoryBytes}
	want := []fault.Code{b.ends}
	switch kind {
	case "gas":
		l.Gas, l.InitGas = 50_000_000, 50_000_000
		want = append(want, fault.GuestGasLimit)
	case "cpu":
		l.CPU = limit
		want = append(want, fault.GuestCPULimit)
	case "wall":
		l.Wall = limit
		want = append(want, fault.SuspectWallLimit, fault.GuestWallLimit)
	case "memory":
		l.MemoryBytes, l.Gas, l.InitGas = 1<<20, 50_000_000, 50_000_000
		want = append(want, fault.GuestGasLimit, fault.GuestMemory)
	}
	proc := w.(*executor).proc
	before, begin := proc.cpu(), time.Now()
	o, alive := w.Run(t.Context(), r.job(binding, invoke("f"), l, RunIO{}))
	e := explosion{took: time.Since(begin), limit: limit, charged: o.Usage.CPU, used: proc.cpu() - before, died: !alive}
	struck := proc.struckAt()
	e.struck, e.after = struck.used-before, struck.at.Sub(begin)
	if o.Fault == nil || o.Fault.Code == "" || !slices.Contains(want, o.Fault.Code) {
		t.Errorf("%s, %s: %v, want one of %v", b.name, kind, o.Fault, want)
	}
	if p := o.Usage.MemoryPeakBytes; p != nil && *p > l.MemoryBytes {
		t.Errorf("%s, %s: peak %d of %d", b.name, kind, *p, l.MemoryBytes)
	}
	return e
}

// struckAt returns the time of the first kill, and the CPU time then.
func (p *process) struckAt() look {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// explodeAll runs every bomb under every limit. slack says how much later than its limit one may be struck, in the best of
// so many tries.
func explodeAll(t *testing.T, pages int, limit time.Duration, tries int, slack func(time.Duration) time.Duration) {
	for _, b := range runBombs(pages) {
		for _, kind := range []string{"gas", "cpu", "wall", "memory"} {
			t.Run(b.name+" "+kind, func(t *testing.T) {
				most, e, took := limit+slack(limit), explosion{}, time.Duration(0)
				for try := 0; try == 0 || try < tries && took > most; try++ {
					if e = explode(t, b, kind, limit); !e.died {
						return // it ended in the worker, at a point that gas or its own nature says
					}
					took = e.after
					if kind == "cpu" {
						took = e.struck // which is the same on a machine that has other work
					}
				}
				t.Logf("struck after %v, line %v; taken down in %v, %v of CPU time", took, most, e.took-e.after, e.used-e.struck)
				if took > most {
					t.Errorf("struck after %v, line %v", took, most)
				}
				if off := (e.charged - e.used).Abs(); off > max(e.used/20, 10*time.Millisecond) {
					t.Errorf("charged %v, the kernel says %v", e.charged, e.used)
				}
			})
		}
	}
}

// TestRunBombsAreStopped: whatever a guest does without end, each limit ends. The lines are held by the timed test.
func TestRunBombsAreStopped(t *testing.T) {
	explodeAll(t, 256, 30*time.Millisecond, 1, func(l time.Duration) time.Duration { return 4*l + time.Second })
}

// status is what the kernel says of this process.
func status(t testing.TB) (threads, resident int64) {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "Threads:"); ok {
			for _, c := range strings.TrimSpace(n) {
				threads = 10*threads + int64(c-'0')
			}
		}
	}
	return threads, statusBytes(b, "VmRSS:")
}

// bombard runs short bombs one after another, and compares the host before and after.
func bombard(t *testing.T, runs int) {
	r := newRig(t, "")
	bombs := runBombs(1)
	round := func(n int) {
		for i := 0; i < n; {
			b := bombs[i%len(bombs)]
			binding := r.prepared(t, b.code)
			w := r.worker(t, binding)
			for range min(100, n/len(bombs)+1) {
				o, alive := w.Run(t.Context(), r.job(binding, invoke("f"), run.Limits{Gas: 100_000, InitGas: 100_000}, RunIO{}))
				if o.Fault == nil || o.Fault.Class != fault.Guest {
					t.Fatalf("%s: %v", b.name, o.Fault)
				}
				if i++; !alive {
					break
				}
			}
			w.Close()
			r.shelf.forget()
		}
	}
	round(runs / 10)
	threads, resident := status(t)
	round(runs)
	after, now := status(t)
	t.Logf("%d runs: threads %d to %d, resident %d to %d KiB", runs, threads, after, resident>>10, now>>10)
	if most := threads + max(threads/20, 3); after > most {
		t.Errorf("%d threads, then %d", threads, after)
	}
	if most := resident + max(resident/20, 4<<20); now > most {
		t.Errorf("%d bytes resident, then %d", resident, now)
	}
}

// TestBombsLeaveTheHostAsItWas runs some hundreds; the timed test runs ten thousand.
func TestBombsLeaveTheHostAsItWas(t *testing.T) { bombard(t, 400) }

// forget drops what was handed over and is not bound to a key.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.runs)
}
