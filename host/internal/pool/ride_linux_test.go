package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// end is what a ride was answered.
type end struct {
	run.Outcome
	alive bool
}

// rides begins n rides, one behind the other, and returns where their ends come. The worker must not answer meanwhile.
func (r *rig) rides(t *testing.T, w execute.Worker, jobs ...execute.Job) []chan end {
	t.Helper()
	var out []chan end
	for _, j := range jobs {
		out = append(out, r.begin(t, t.Context(), w, j, execute.IO{}))
	}
	return out
}

// begin begins a ride and returns when it stands in the ring, or is over.
func (r *rig) begin(t *testing.T, ctx context.Context, w execute.Worker, j execute.Job, io execute.IO) chan end {
	t.Helper()
	l, out := w.(*executor).line, make(chan end, 1)
	was := l.runs.Load()
	go func() {
		o, alive := w.Ride(ctx, j, io)
		out <- end{o, alive}
	}()
	if !eventually(func() bool { return l.runs.Load() > was || len(out) > 0 || l.isOver() }) {
		t.Fatal("a ride does not begin")
	}
	return out
}

func (l *line) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *line) stand() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) - l.done
}

// got waits for an end and compares what is clear of it.
func got(t *testing.T, what string, c chan end, code fault.Code, alive, notBegun bool) end {
	t.Helper()
	select {
	case e := <-c:
		if have := codeIn(e.Fault); have != code || e.alive != alive || e.NotBegun != notBegun {
			t.Errorf("%s: fault %q (%v), alive %v, not begun %v; want %q, %v, %v", what, have, e.Fault, e.alive, e.NotBegun, code, alive, notBegun)
		}
		return e
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: no answer", what)
	}
	return end{}
}

func codeIn(f *fault.Error) fault.Code {
	if f == nil {
		return ""
	}
	return f.Code
}

// TestHostileRides: five runs stand in the ring of a worker that does well for two of them.
func TestHostileRides(t *testing.T) {
	for mode, want := range map[string]fault.Code{
		"third: another run":    fault.SuspectBadReply,
		"third: the next first": fault.SuspectBadReply,
		"third: an old one":     fault.SuspectBadReply,
		"third: result twice":   "", // one run may have a result in pieces
		"third: twice":          fault.SuspectBadReply,
		"third: exit":           fault.SuspectWorkerDied,
		"third: garbage":        fault.SuspectBadReply,
		"third: half a frame":   fault.SuspectWorkerDied,
		"third: stdin":          fault.SuspectBadReply,
		"third: sleeps":         fault.GuestWallLimit,
		"third: spins":          fault.GuestCPULimit,
		"third: stops":          fault.SuspectWallLimit,
		"third: floods":         fault.GuestOutputLimit,
		"third: crumbs":         fault.SuspectBadReply,
		"third: position back":  fault.SuspectBadReply,
		"third: position ahead": fault.SuspectBadReply,
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			b := r.pretended(t)
			w := r.worker(t, b)
			limits := run.Limits{CPU: 10 * time.Second, Wall: 20 * time.Second}
			switch mode {
			case "third: sleeps", "third: stops":
				limits.Wall = 150 * time.Millisecond
			case "third: spins":
				limits.CPU = 50 * time.Millisecond
			}
			var jobs []execute.Job
			for range 5 {
				jobs = append(jobs, r.job(b, invoke("f"), limits, RunIO{}))
			}
			ends := r.rides(t, w, jobs...)
			x := w.(*executor)
			if n := x.line.stand(); n != 5 {
				t.Fatalf("%d runs stand in the ring", n)
			}
			_ = unix.Kill(w.PID(), unix.SIGUSR1) // it begins
			if want == "" {
				for n, c := range ends {
					got(t, itoa(n), c, "", true, false)
				}
				return
			}
			blamed := 2
			if mode == "third: twice" { // the second end is the answer to the fourth
				blamed = 3
			}
			for n, c := range ends {
				switch {
				case n < blamed:
					e := <-c // it may be handed out with the fault of the next
					if e.Fault != nil || string(e.Result) != itoa(n+1) || e.NotBegun {
						t.Errorf("run %d: %+v", n, e)
					}
				case n == blamed:
					e := got(t, "blamed", c, want, false, false)
					clean(t, e.Fault)
					if want == fault.GuestCPULimit && (e.Usage.CPU < limits.CPU || e.Usage.CPU > limits.CPU+100*time.Millisecond) {
						t.Errorf("used %v", e.Usage.CPU)
					}
				default:
					got(t, "behind "+itoa(n), c, fault.SuspectWorkerDied, false, true)
				}
			}
			<-w.Dead()
			if o, alive := w.Ride(t.Context(), jobs[0], execute.IO{}); alive || !o.NotBegun {
				t.Errorf("one more: %+v", o)
			}
		})
	}
}

// TestRidesAreAnsweredInOrder has many callers at once on a real worker.
func TestRidesAreAnsweredInOrder(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	var all sync.WaitGroup
	for caller := range 16 {
		all.Go(func() {
			for n := range 100 {
				j := execute.Job{Binding: b, Entry: invoke("add", itoa(caller*1000), itoa(n)), Limits: run.Limits{MemoryBytes: b.MemoryBytes}}
				o, alive := w.Ride(t.Context(), j, execute.IO{})
				if !alive || o.Fault != nil || string(o.Result) != itoa(caller*1000+n) || o.Usage.GasUsed == nil || *o.Usage.GasUsed <= 0 {
					t.Errorf("%d + %d: %+v", caller*1000, n, o)
					return
				}
			}
		})
	}
	all.Wait()
	if l := r.Workers(); len(l) != 1 || l[0].Runs != 1600 || l[0].State != "idle" {
		t.Errorf("%+v", l)
	}
}

// TestRidesWithStreamsAreAlone mixes them with others.
func TestRidesWithStreamsAreAlone(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, echo())
	w := r.worker(t, b)
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			for n := range 20 {
				j := execute.Job{Binding: b, Entry: run.Entry{Mode: run.Command}, Limits: run.Limits{MemoryBytes: b.MemoryBytes}}
				text, out := fmt.Sprintf("caller %d, run %d", caller, n), &bytes.Buffer{}
				io := execute.IO{}
				if caller%2 == 0 {
					io = execute.IO{Stdin: strings.NewReader(text), Stdout: out}
				}
				o, alive := w.Ride(t.Context(), j, io)
				if !alive || o.Fault != nil || caller%2 == 0 && out.String() != text || caller%2 == 1 && len(o.Stdout) != 0 {
					t.Errorf("%s: %+v, %q", text, o, out)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestLargeInputsRide(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, mirror())
	w := r.worker(t, b)
	var all sync.WaitGroup
	for caller := range 6 {
		all.Go(func() {
			for n := range 10 {
				in := bytes.Repeat([]byte{byte(caller), byte(n)}, 1<<(2*caller+6)) // from 128 bytes to 128 KiB, all of its memory
				j := execute.Job{Binding: b, Entry: run.Entry{Mode: run.Bytes, Name: "same"}, Limits: run.Limits{MemoryBytes: b.MemoryBytes}}
				o, alive := w.Ride(t.Context(), j, execute.IO{Input: in})
				if !alive || o.Fault != nil || !bytes.Equal(o.Result, in) {
					t.Errorf("%d bytes: %v, %d bytes", len(in), o.Fault, len(o.Result))
					return
				}
			}
		})
	}
	all.Wait()
}

// TestCallersWhoLeave: who leaves while another's run is under way takes nobody along, and whose run is under way takes the
// process along. Those behind can go elsewhere.
func TestCallersWhoLeave(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	spin := r.job(b, invoke("spin"), run.Limits{}, RunIO{})
	add := r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{})
	first, cancelFirst := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	waits, cancelWaits := context.WithCancel(t.Context())
	defer cancelFirst()
	ends := []chan end{
		r.begin(t, first, w, spin, execute.IO{}), r.begin(t, second, w, add, execute.IO{}), r.begin(t, t.Context(), w, add, execute.IO{}),
	}
	// Two with streams wait for the others; one of them leaves.
	alone, leaving := make(chan end, 1), make(chan end, 1)
	for ctx, c := range map[context.Context]chan end{t.Context(): alone, waits: leaving} {
		go func() {
			o, alive := w.Ride(ctx, add, execute.IO{Stdin: strings.NewReader("")})
			c <- end{o, alive}
		}()
	}
	x := w.(*executor)
	if !eventually(func() bool { x.line.mu.Lock(); defer x.line.mu.Unlock(); return len(x.line.waiting) == 2 }) {
		t.Fatal("they do not wait")
	}
	cancelWaits()
	got(t, "one that waited", leaving, fault.CanceledCaller, true, true)
	cancelSecond()
	got(t, "the second", ends[1], fault.CanceledCaller, true, false)
	select {
	case <-w.Dead():
		t.Fatal("the worker is dead")
	default:
	}
	cancelFirst()
	got(t, "the first", ends[0], fault.CanceledCaller, false, false)
	got(t, "the third", ends[2], fault.SuspectWorkerDied, false, true)
	got(t, "the one with streams", alone, fault.SuspectWorkerDied, false, true)
	<-w.Dead()
	cancelSecond()
	if o, alive := w.Ride(second, add, execute.IO{}); !alive || !o.NotBegun || codeIn(o.Fault) != fault.CanceledCaller {
		t.Errorf("with a context that has ended: %+v", o)
	}
}

// TestARunNobodyWaitsForIsCutShort: its caller left while it stood behind another.
func TestARunNobodyWaitsForIsCutShort(t *testing.T) {
	r := newRig(t, "slow then spin")
	b := r.pretended(t)
	w := r.worker(t, b)
	j := r.job(b, invoke("f"), run.Limits{}, RunIO{})
	ctx, cancel := context.WithCancel(t.Context())
	first := r.begin(t, t.Context(), w, j, execute.IO{})
	second := r.begin(t, ctx, w, j, execute.IO{})
	third := r.begin(t, t.Context(), w, j, execute.IO{})
	cancel()
	got(t, "the second", second, fault.CanceledCaller, true, false)
	_ = unix.Kill(w.PID(), unix.SIGUSR1)
	got(t, "the first", first, "", true, false)
	begin := time.Now()
	got(t, "the third", third, fault.SuspectWorkerDied, false, true)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it was let go on for %v", took)
	}
	<-w.Dead()
}

func TestCloseDuringRides(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	spin := r.job(b, invoke("spin"), run.Limits{}, RunIO{})
	ends := r.rides(t, w, spin, spin, spin)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for n, c := range ends {
		got(t, itoa(n), c, fault.CanceledStopped, false, n > 0)
	}
	if o, alive := w.Ride(t.Context(), spin, execute.IO{}); alive || codeIn(o.Fault) != fault.CanceledStopped {
		t.Errorf("after Close: %+v", o)
	}
}

// TestOwnersWhoClose blame no run.
func TestOwnersWhoClose(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	spin := r.job(b, invoke("spin"), run.Limits{}, RunIO{})
	ends := r.rides(t, w, spin, spin)
	w.Close()
	got(t, "the first", ends[0], fault.CanceledStopped, false, false)
	got(t, "the second", ends[1], fault.SuspectWorkerDied, false, true)
	if o, alive := w.Ride(t.Context(), spin, execute.IO{}); alive || !o.NotBegun {
		t.Errorf("after Close: %+v", o)
	}
}

// TestProcessIsolationTakesOneRide: the others are sent away.
func TestProcessIsolationTakesOneRide(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	b.Isolation = run.Process
	w := r.worker(t, b)
	j := r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{})
	var all sync.WaitGroup
	var mu sync.Mutex
	served := 0
	for range 8 {
		all.Go(func() {
			o, alive := w.Ride(t.Context(), j, execute.IO{})
			mu.Lock()
			defer mu.Unlock()
			if !o.NotBegun {
				served++
			}
			if alive || o.Retired != run.RetiredUsed || !o.NotBegun && o.Fault != nil {
				t.Errorf("alive %v, %+v", alive, o)
			}
		})
	}
	all.Wait()
	if served != 1 {
		t.Errorf("%d runs in one process", served)
	}
	<-w.Dead()
}

// TestRecycledInTheMiddle: those that stand in the ring are served, and no more come.
func TestRecycledInTheMiddle(t *testing.T) {
	r := newRigConfig(t, "third: result twice", Config{lifeCPU: time.Nanosecond})
	b := r.pretended(t)
	w := r.worker(t, b)
	j := r.job(b, invoke("f"), run.Limits{}, RunIO{})
	ends := r.rides(t, w, j, j, j)
	_ = unix.Kill(w.PID(), unix.SIGUSR1)
	for n, c := range ends {
		if e := got(t, itoa(n), c, "", false, false); e.Retired != run.RetiredRecycled {
			t.Errorf("run %d: %+v", n, e)
		}
	}
	<-w.Dead()
}

// TestRidesUnderStress has callers come and leave while workers are killed; whatever is answered is right, and nobody waits
// for ever.
func TestRidesUnderStress(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	for range 6 {
		w := r.worker(t, b)
		var all sync.WaitGroup
		for caller := range 12 {
			rnd := rand.New(rand.NewPCG(uint64(caller), 7))
			all.Go(func() {
				for n := range 60 {
					ctx, cancel := context.WithCancel(t.Context())
					io := execute.IO{}
					switch rnd.IntN(20) {
					case 0:
						time.AfterFunc(time.Duration(rnd.IntN(300))*time.Microsecond, cancel)
					case 1:
						io.Stdin = strings.NewReader("x")
					case 2:
						if n > 30 && caller == 0 {
							_ = w.(*executor).proc.file.SetDeadline(time.Time{}) // nothing of consequence
							w.(*executor).proc.kill()
						}
					}
					j := execute.Job{Binding: b, Entry: invoke("add", itoa(caller), itoa(n)), Limits: run.Limits{MemoryBytes: b.MemoryBytes}}
					o, alive := w.Ride(ctx, j, io)
					ended := ctx.Err() != nil
					cancel()
					switch {
					case o.Fault == nil && string(o.Result) != itoa(caller+n):
						t.Errorf("%d + %d is %s", caller, n, o.Result)
					case o.Fault != nil && ended && o.Fault.Class == fault.Canceled, o.Fault == nil:
					case !errors.Is(o.Fault, fault.SuspectWorkerDied):
						t.Errorf("%+v", o)
					}
					if !alive {
						return
					}
				}
			})
		}
		all.Wait()
		w.Close()
	}
}

// TestSinceWhenAWorkerIsIdle: its last run counts, and not its birth.
func TestSinceWhenAWorkerIsIdle(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, adder())
	w := r.worker(t, b)
	loaded := r.Workers()[0]
	j := execute.Job{Binding: b, Entry: invoke("add", "1", "2"), Limits: run.Limits{MemoryBytes: b.MemoryBytes}}
	if o, alive := w.Ride(t.Context(), j, execute.IO{}); !alive || o.Fault != nil {
		t.Fatalf("%+v", o)
	}
	ran := r.Workers()[0]
	if ran.State != "idle" || !ran.Since.After(loaded.Since) || !loaded.Since.After(loaded.StartedAt) || !ran.StartedAt.Equal(loaded.StartedAt) {
		t.Errorf("%+v, and before the run %+v", ran, loaded)
	}
	w.(*executor).line.turn.Store(ran.StartedAt.Add(time.Hour).UnixNano()) // as a run does that has begun then
	if busy := r.Workers()[0]; busy.State != "busy" || !busy.Since.Equal(ran.StartedAt.Add(time.Hour)) {
		t.Errorf("with a run: %+v", busy)
	}
}
