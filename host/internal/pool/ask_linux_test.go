package pool

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// callsOf serves what is asked by a function of a test, and counts.
type callsOf struct {
	answer func(ctx context.Context, a run.Ask) run.Answer // nil: all is well
	asks   atomic.Int64
	busy   atomic.Int64
	two    atomic.Bool // two at a time
}

func (c *callsOf) Call(ctx context.Context, a run.Ask) run.Answer {
	c.asks.Add(1)
	if c.busy.Add(1) > 1 {
		c.two.Store(true)
	}
	defer c.busy.Add(-1)
	if c.answer == nil {
		return run.Answer{}
	}
	return c.answer(ctx, a)
}

// untilEnd answers when nobody waits any more.
func untilEnd(ctx context.Context, _ run.Ask) run.Answer {
	<-ctx.Done()
	return run.Answer{}
}

// asks exports tip(n), which calls tip so many times and returns the last error number, get() -> i64, which gets the key "key" and returns
// the first bytes of its value, and spin(), which never returns.
func asks() []byte {
	num := func(n int) []byte { return append([]byte{0x41}, leb(n)...) }
	tip := join([]byte{0x03, 0x40, 0x42, 7, 0x10, 0, 0x21, 1}, []byte{0x20, 0}, num(1), []byte{0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1})
	get := join(num(0), num(0x79656b), []byte{0x36, 2, 0}, num(0), num(3), num(64), num(8), num(32), []byte{0x10, 1, 0x1a}, num(64), []byte{0x29, 3, 0})
	return module(
		section(1, 5, 0x60, 1, i64, 1, i32, 0x60, 5, i32, i32, i32, i32, i32, 1, i32, 0x60, 1, i32, 1, i32, 0x60, 0, 1, i64, 0x60, 0, 0),
		section(2, join([]byte{2}, name(abi.Troupe), name("tip"), []byte{0, 0}, name(abi.Troupe), name("kv_get"), []byte{0, 1})...),
		section(3, 3, 2, 3, 4),
		section(5, 1, 0, 1),
		section(7, join([]byte{4}, name("memory"), []byte{2, 0}, name("tip"), []byte{0, 2}, name("get"), []byte{0, 3}, name("spin"), []byte{0, 4})...),
		section(10, join([]byte{3}, sized(nil, join([]byte{1, 1, i32}, tip, []byte{0x0b})), body(get...), body(0x03, 0x40, 0x0c, 0, 0x0b))...),
	)
}

// TestGuestsAsk: a real worker asks, by runs of either way, and the guest has what the host says.
func TestGuestsAsk(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, asks())
	w := r.worker(t, b)
	var keys []string
	c := &callsOf{answer: func(_ context.Context, a run.Ask) run.Answer {
		switch abi.Op(a.Op) {
		case abi.OpKVGet:
			keys = append(keys, fmt.Sprintf("%s %d of %d", a.Args[0], a.Nums[0], a.MemoryBytes))
			return run.Answer{Nums: []uint64{2000}, Data: []byte{1, 2, 0, 0, 0, 0, 0, 0}}
		case abi.OpTip:
			return run.Answer{Errno: uint32(a.Nums[0]) + 10}
		}
		return run.Answer{Errno: abi.ErrUnknown}
	}}
	for n := range 3 {
		o, alive := w.Run(t.Context(), r.job(b, invoke("get"), run.Limits{}, RunIO{Calls: c}))
		if o.Fault != nil || !alive || string(o.Result) != "513" {
			t.Fatalf("%q, %v", o.Result, o.Fault)
		}
		o, alive = w.Ride(t.Context(), r.job(b, invoke("tip", "1000"), run.Limits{}, RunIO{}), execute.IO{Calls: c})
		if o.Fault != nil || !alive || string(o.Result) != "17" || c.asks.Load() != int64(n+1)*1001 {
			t.Fatalf("%q, %v, %d asks", o.Result, o.Fault, c.asks.Load())
		}
		// Without anybody to ask it is the same worker.
		o, alive = w.Ride(t.Context(), r.job(b, invoke("tip", "3"), run.Limits{}, RunIO{}), execute.IO{})
		if o.Fault != nil || !alive || string(o.Result) != fmt.Sprint(abi.ErrUnsupported) {
			t.Fatalf("%q, %v", o.Result, o.Fault)
		}
	}
	if want := slices.Repeat([]string{"key 8 of 65536"}, 3); !slices.Equal(keys, want) {
		t.Errorf("%v", keys)
	}
}

// TestHostileAskers: a worker that asks as no honest one does is found out, and the host is not held up.
func TestHostileAskers(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"ask: well":                   "",
		"ask: twice":                  fault.SuspectBadReply,
		"ask: and ends":               fault.SuspectBadReply,
		"ask: and writes":             fault.SuspectBadReply,
		"ask: while it reads":         fault.SuspectBadReply,
		"ask: gas back":               fault.SuspectBadReply,
		"ask: gas over its limit":     fault.SuspectBadReply,
		"ask: less gas at the end":    fault.SuspectBadReply,
		"ask: memory back":            fault.SuspectBadReply,
		"ask: memory over its limit":  fault.SuspectBadReply,
		"ask: less memory at the end": fault.SuspectBadReply,
		"ask: no such function":       fault.SuspectBadReply,
		"ask: other parameters":       fault.SuspectBadReply,
		"ask: huge room":              fault.SuspectBadReply,
		"ask: huge counts":            fault.SuspectBadReply,
		"ask: exits":                  fault.SuspectWorkerDied,
		"ask: spins":                  fault.GuestCPULimit,
		"ask: deaf":                   fault.GuestWallLimit,
		"ask: for ever":               fault.GuestCPULimit,
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			b := r.pretended(t)
			l := run.Limits{CPU: 10 * time.Second, Wall: 20 * time.Second, Gas: 1000, InitGas: 500}
			c := &callsOf{}
			switch mode {
			case "ask: deaf":
				l.Wall = 100 * time.Millisecond
			case "ask: spins":
				l.CPU, c.answer = 50*time.Millisecond, untilEnd
			case "ask: for ever":
				l.CPU = 50 * time.Millisecond
			case "ask: exits":
				c.answer = untilEnd
			case "ask: twice", "ask: and ends", "ask: and writes": // both are there when the first is answered
				c.answer = func(context.Context, run.Ask) run.Answer {
					_, _ = unix.Poll(nil, 20)
					return run.Answer{}
				}
			}
			j := r.job(b, run.Entry{Mode: run.Command}, l, RunIO{Stdin: stall(t), Calls: c})
			j.Slice = 100
			o, alive := r.worker(t, b).Run(t.Context(), j)
			wantFault(t, o.Fault, want)
			clean(t, o.Fault)
			if strings.HasSuffix(mode, "over its limit") && c.asks.Load() > 0 {
				t.Error("the question was served")
			}
			if alive != (want == "") || o.Usage.Wall > 5*time.Second || c.two.Load() || c.busy.Load() != 0 {
				t.Errorf("alive %v, after %v, two at a time %v", alive, o.Usage.Wall, c.two.Load())
			}
		})
	}
}

// TestAsksWithoutLeave are lies, and so is a turn of a run that takes none.
func TestAsksWithoutLeave(t *testing.T) {
	r := newRig(t, "ask: well")
	for name, io := range map[string]RunIO{"nobody to ask": {}, "no turns": {Calls: &callsOf{}}} {
		b := r.pretended(t)
		o, alive := r.worker(t, b).Run(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, io))
		if wantFault(t, o.Fault, fault.SuspectBadReply); alive {
			t.Errorf("%s: alive", name)
		}
	}
}

// TestAsksAfterTheEnd are found in the next run.
func TestAsksAfterTheEnd(t *testing.T) {
	r := newRig(t, "ask: after the end")
	b := r.pretended(t)
	w := r.worker(t, b)
	job := func() execute.Job {
		return r.job(b, run.Entry{Mode: run.Command}, run.Limits{Wall: 5 * time.Second}, RunIO{Calls: &callsOf{}})
	}
	if o, _ := w.Run(t.Context(), job()); o.Fault != nil {
		t.Fatalf("%v", o.Fault)
	}
	// What comes once the next run has begun is its question.
	for l, begin := w.(*executor).line, time.Now(); !l.ring.Buffered() && time.Since(begin) < 10*time.Second; {
		runtime.Gosched()
	}
	o, alive := w.Run(t.Context(), job())
	if wantFault(t, o.Fault, fault.SuspectBadReply); alive {
		t.Error("alive")
	}
}

// TestAWaitOfTheHostIsTheGuests: what the host does for a guest ends with the run, and the guest is to blame for the time.
func TestAWaitOfTheHostIsTheGuests(t *testing.T) {
	for name, row := range map[string]struct {
		limits run.Limits
		end    func(w execute.Worker, cancel func())
		want   fault.Code
	}{
		"wall limit": {run.Limits{Wall: 100 * time.Millisecond}, func(execute.Worker, func()) {}, fault.GuestWallLimit},
		"canceled":   {run.Limits{}, func(_ execute.Worker, cancel func()) { cancel() }, fault.CanceledCaller},
		"killed":     {run.Limits{}, func(w execute.Worker, _ func()) { _ = unix.Kill(w.PID(), unix.SIGKILL) }, fault.SuspectWorkerDied},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "")
			b := r.prepared(t, asks())
			w := r.worker(t, b)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := &callsOf{}
			c.answer = func(in context.Context, a run.Ask) run.Answer {
				l := w.(*executor).line
				l.mu.Lock()
				waits := l.headLocked().waits()
				l.mu.Unlock()
				if !waits {
					t.Error("the guest does not wait")
				}
				row.end(w, cancel)
				return untilEnd(in, a)
			}
			o, alive := w.Ride(ctx, r.job(b, invoke("tip", "1"), row.limits, RunIO{}), execute.IO{Calls: c})
			wantFault(t, o.Fault, row.want)
			if alive || o.Usage.CPU > 50*time.Millisecond || c.asks.Load() != 1 {
				t.Errorf("alive %v, used %v, %d asks", alive, o.Usage.CPU, c.asks.Load())
			}
		})
	}
}

// TestAnswersThatDoNotFit end the run before the worker hears of them, and are nobody's fault but the host's.
func TestAnswersThatDoNotFit(t *testing.T) {
	for name, answer := range map[string]run.Answer{
		"no number": {}, "too many bytes": {Nums: []uint64{1}, Data: make([]byte, 9)}, "bytes with errors": {Errno: 1, Data: []byte{1}},
	} {
		r := newRig(t, "")
		b := r.prepared(t, asks())
		c := &callsOf{answer: func(context.Context, run.Ask) run.Answer { return answer }}
		o, alive := r.worker(t, b).Ride(t.Context(), r.job(b, invoke("get"), run.Limits{}, RunIO{}), execute.IO{Calls: c})
		if wantFault(t, o.Fault, fault.BugProtocol); alive {
			t.Errorf("%s: alive", name)
		}
	}
}

// TestTurnsAreAskedFor: a guest that computes asks each time it has used a slice, and does not go on before it has its turn.
func TestTurnsAreAskedFor(t *testing.T) {
	const slice, most = 20_000_000, 10
	r := newRig(t, "")
	b := r.prepared(t, asks())
	w := r.worker(t, b)
	var gas []int64
	c := &callsOf{}
	c.answer = func(ctx context.Context, a run.Ask) run.Answer {
		if abi.Op(a.Op) != abi.OpTurn || a.MemoryBytes != 1<<16 {
			t.Errorf("%+v", a)
		}
		if gas = append(gas, a.Gas); len(gas) == most {
			return untilEnd(ctx, a)
		}
		return run.Answer{}
	}
	j := r.job(b, invoke("spin"), run.Limits{Wall: 300 * time.Millisecond, CPU: 10 * time.Second}, RunIO{})
	j.Slice = slice
	o, _ := w.Ride(t.Context(), j, execute.IO{Calls: c})
	wantFault(t, o.Fault, fault.GuestWallLimit)
	if len(gas) != most {
		t.Fatalf("turns at %v", gas)
	}
	for i, g := range gas {
		if over := g - int64(i+1)*slice; over < 0 || over > 1_000_000 {
			t.Errorf("turns at %v", gas)
			break
		}
	}
	t.Logf("used %v in %d slices of 0.2 ms", o.Usage.CPU, most)
}

// TestOneGuestAsksAtATime: runs that ask stand alone, whoever else is there, and each has answers of its own.
func TestOneGuestAsksAtATime(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, asks())
	w := r.worker(t, b)
	c := &callsOf{}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				io, want := execute.IO{Calls: c}, "0"
				if i%2 == 1 {
					io, want = execute.IO{}, fmt.Sprint(abi.ErrUnsupported)
				}
				if o, alive := w.Ride(t.Context(), r.job(b, invoke("tip", "2"), run.Limits{}, RunIO{}), io); !alive || string(o.Result) != want {
					t.Errorf("%q, %v", o.Result, o.Fault)
				}
			}
		})
	}
	all.Wait()
	if c.two.Load() || c.asks.Load() != 400 {
		t.Errorf("two at a time %v, %d asks", c.two.Load(), c.asks.Load())
	}
}

// TestAWorkerIsOfOneApp: a run of another app of the same tenant and code does not get it.
func TestAWorkerIsOfOneApp(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, asks())
	b.App = strings.Repeat("a", 64)
	w := r.worker(t, b)
	for _, app := range []string{"", strings.Repeat("b", 64)} {
		other := b
		other.App = app
		o, alive := w.Ride(t.Context(), r.job(other, invoke("tip", "1"), run.Limits{}, RunIO{}), execute.IO{Calls: &callsOf{}})
		if wantFault(t, o.Fault, fault.BugProtocol); !alive {
			t.Error("it is dead")
		}
	}
	if o, _ := w.Ride(t.Context(), r.job(b, invoke("tip", "1"), run.Limits{}, RunIO{}), execute.IO{Calls: &callsOf{}}); o.Fault != nil {
		t.Errorf("%v", o.Fault)
	}
	p := run.Params{Tenant: "t", App: b.App}
	if q := (run.Params{Tenant: "t", App: strings.Repeat("b", 64)}); p.Hash() == q.Hash() || p.Hash() == (run.Params{Tenant: "t"}).Hash() {
		t.Error("parameters of two apps have one name")
	}
}

// TestAGuestsWordsComeBeforeItsQuestions: who answers has all that was written before.
func TestAGuestsWordsComeBeforeItsQuestions(t *testing.T) {
	r := newRig(t, "")
	wasi := "wasi_snapshot_preview1"
	num := func(n int) []byte { return append([]byte{0x41}, leb(n)...) }
	b := r.prepared(t, module(
		section(1, 3, 0x60, 1, i64, 1, i32, 0x60, 4, i32, i32, i32, i32, 1, i32, 0x60, 0, 0),
		section(2, join([]byte{2}, name(abi.Troupe), name("tip"), []byte{0, 0}, name(wasi), name("fd_write"), []byte{0, 1})...),
		section(3, 1, 2),
		section(5, 1, 0, 1),
		section(7, join([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 2})...),
		section(10, join([]byte{1}, body(join(num(4), num(5), []byte{0x36, 2, 0}, num(1), num(0), num(1), num(16), []byte{0x10, 1, 0x1a, 0x42, 1, 0x10, 0, 0x1a})...))...),
	))
	var out bytes.Buffer
	said := -1
	c := &callsOf{answer: func(context.Context, run.Ask) run.Answer { said = out.Len(); return run.Answer{} }}
	o, _ := r.worker(t, b).Ride(t.Context(), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{}), execute.IO{Stdout: &out, Calls: c})
	if o.Fault != nil || said != 5 {
		t.Errorf("%d bytes of %d were there: %v", said, out.Len(), o.Fault)
	}
}

// BenchmarkAsk is one question of a guest and its answer, through a real worker.
func BenchmarkAsk(b *testing.B) {
	r := newRig(b, "")
	at := r.prepared(b, asks())
	w := r.worker(b, at)
	took := make([]time.Duration, 0, 1<<20)
	last := time.Time{}
	c := &callsOf{answer: func(context.Context, run.Ask) run.Answer {
		now := time.Now()
		if !last.IsZero() && len(took) < cap(took) {
			took = append(took, now.Sub(last))
		}
		last = time.Now()
		return run.Answer{}
	}}
	j := r.job(at, invoke("tip", fmt.Sprint(b.N+1)), run.Limits{CPU: time.Hour}, RunIO{})
	b.ReportAllocs()
	b.ResetTimer()
	o, _ := w.Ride(context.Background(), j, execute.IO{Calls: c})
	if o.Fault != nil {
		b.Fatal(o.Fault)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
	b.ReportMetric(float64(o.Usage.CPU.Nanoseconds())/1e3/float64(b.N), "worker-µs/op")
	b.ReportMetric(float64(*o.Usage.GasUsed)/float64(b.N), "gas/op")
}

// BenchmarkRideWithCalls is a warm run that could ask and does not, beside BenchmarkRide.
func BenchmarkRideWithCalls(b *testing.B) {
	r := newRig(b, "")
	w, job := r.rider(b, "")
	io := execute.IO{Calls: &callsOf{}}
	b.ReportAllocs()
	for b.Loop() {
		if o, alive := w.Ride(context.Background(), job, io); !alive || o.Fault != nil {
			b.Fatalf("%+v", o)
		}
	}
}

// BenchmarkAskCarries is a question that carries bytes, or whose answer does, beside what it is charged.
func BenchmarkAskCarries(b *testing.B) {
	num := func(n int) []byte { return append([]byte{0x41}, leb(n)...) }
	loop := func(call []byte) []byte {
		return body(join([]byte{0x03, 0x40}, call, []byte{0x1a, 0x20, 0}, num(1), []byte{0x6b, 0x22, 0, 0x0d, 0, 0x0b})...)
	}
	for _, n := range []int{0, 16 << 10, abi.MaxBytes} {
		code := module(
			section(1, 3, 0x60, 3, i32, i32, i32, 1, i32, 0x60, 5, i32, i32, i32, i32, i32, 1, i32, 0x60, 1, i32, 0),
			section(2, join([]byte{2}, name(abi.Troupe), name("publish"), []byte{0, 0}, name(abi.Troupe), name("kv_get"), []byte{0, 1})...),
			section(3, 2, 2, 2),
			section(5, 1, 0, 4),
			section(7, join([]byte{3}, name("memory"), []byte{2, 0}, name("out"), []byte{0, 2}, name("in"), []byte{0, 3})...),
			section(10, join([]byte{2}, loop(join(num(1), num(64), num(n), []byte{0x10, 0})),
				loop(join(num(0), num(1), num(64), num(n), num(32), []byte{0x10, 1})))...),
		)
		for _, way := range []string{"out", "in"} {
			b.Run(fmt.Sprintf("%s/%d", way, n), func(b *testing.B) {
				r := newRig(b, "")
				at := r.prepared(b, code)
				w := r.worker(b, at)
				data := make([]byte, n)
				c := &callsOf{answer: func(_ context.Context, a run.Ask) run.Answer {
					if abi.Op(a.Op) == abi.OpPublish {
						return run.Answer{}
					}
					return run.Answer{Nums: []uint64{uint64(n)}, Data: data}
				}}
				b.ResetTimer()
				o, _ := w.Ride(context.Background(), r.job(at, invoke(way, fmt.Sprint(b.N)), run.Limits{CPU: time.Hour}, RunIO{}), execute.IO{Calls: c})
				if o.Fault != nil {
					b.Fatal(o.Fault)
				}
				b.ReportMetric(float64(o.Usage.CPU.Nanoseconds())*100/float64(b.N), "took/call")
				b.ReportMetric(float64(*o.Usage.GasUsed)/float64(b.N), "gas/call")
			})
		}
	}
}
