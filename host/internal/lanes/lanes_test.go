package lanes

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// worker is a fake: its runs stand behind one another, and each ends when the test says how.
type worker struct {
	execute.Worker
	began chan uint64
	ends  chan ended
	turn  chan struct{}

	under atomic.Int64 // rides under way
}

type ended struct {
	out   run.Outcome
	alive bool
}

func newWorker() *worker {
	return &worker{began: make(chan uint64, 100), ends: make(chan ended), turn: make(chan struct{}, 1)}
}

func (w *worker) Ride(_ context.Context, j execute.Job, _ execute.IO) (run.Outcome, bool) {
	w.under.Add(1)
	defer w.under.Add(-1)
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	w.began <- j.Run
	e := <-w.ends
	return e.out, e.alive
}

func (w *worker) end() {
	w.ends <- ended{out: run.Outcome{Sandbox: "fake"}, alive: true}
	synctest.Wait()
}

// rig is a table in a bubble of virtual time.
type rig struct {
	*Table
	t    *testing.T
	back []execute.Returned
	rode map[uint64]bool
	mu   sync.Mutex
	wg   sync.WaitGroup
	next uint64
}

var bound = execute.Binding{Tenant: "t", Key: artifacts.Key{1}, MemoryBytes: 1 << 16}

func onRig(t *testing.T, cfg Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{Table: New(cfg), t: t, rode: map[uint64]bool{}}
		f(r)
		r.wg.Wait()
	})
}

func (r *rig) lend(w *worker) *lease {
	return r.Grant(w, bound, func(back execute.Returned) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := w.under.Load(); n > 1 || n == 1 && back.Alive { // the last one has not returned from the fake, or from Ride
			r.t.Errorf("the worker is back with %d rides", n)
		}
		r.back = append(r.back, back)
	}).(*lease)
}

// ride begins a ride beside the test.
func (r *rig) ride(io execute.IO) uint64 {
	r.next++
	id := r.next
	l := r.Lane(bound)
	r.wg.Go(func() {
		_, _, rode := l.Ride(context.Background(), r.cfg.Now(), execute.Job{Run: id}, io)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rode[id] = rode
	})
	synctest.Wait()
	return id
}

// did fails unless just these rides have ended, and so.
func (r *rig) did(what string, want map[uint64]bool) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := cmp.Diff(want, r.rode); d != "" {
		r.t.Fatalf("%s (-want +got)\n%s", what, d)
	}
}

// how returns whether a ride has gone, and whether it rode.
func (r *rig) how(id uint64) (rode, gone bool) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	rode, gone = r.rode[id]
	return rode, gone
}

// learnt has the moving average be d.
func (r *rig) learnt(d time.Duration) { r.Lane(bound).service.Store(int64(d)) }

func TestRidesTakeTheWorkerWithTheFewest(t *testing.T) {
	onRig(t, Config{Near: 1}, func(r *rig) {
		one, two := newWorker(), newWorker()
		r.lend(one)
		r.lend(two)
		r.learnt(time.Microsecond)
		r.ride(execute.IO{})
		r.ride(execute.IO{})
		if len(one.began) != 1 || len(two.began) != 1 {
			t.Fatalf("%d and %d runs began", len(one.began), len(two.began))
		}
		r.ride(execute.IO{})
		r.ride(execute.IO{})
		if a, b := one.under.Load(), two.under.Load(); a != 2 || b != 2 {
			t.Errorf("%d and %d rides", a, b)
		}
		for range 2 {
			one.end()
			two.end()
		}
		r.did("all", map[uint64]bool{1: true, 2: true, 3: true, 4: true})
	})
}

// TestShortRunsFillAWorkerFirst: while the wait is near nothing, neither another worker nor a free slot is of use.
func TestShortRunsFillAWorkerFirst(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		one, two := newWorker(), newWorker()
		r.lend(one)
		r.lend(two)
		r.learnt(30 * time.Microsecond)
		r.Room(1)
		for range 8 {
			r.ride(execute.IO{})
		}
		if a, b := one.under.Load(), two.under.Load(); a != 4 || b != 4 { // 90 µs behind three
			t.Errorf("%d and %d rides", a, b)
		}
		r.did("all of them ride", map[uint64]bool{})
		r.ride(execute.IO{})
		r.did("the ninth starts a worker", map[uint64]bool{9: false})
		for range 4 {
			one.end()
			two.end()
		}
	})
}

func TestDepthFollowsTheTimeOfARun(t *testing.T) {
	for _, c := range []struct {
		depth int
		each  time.Duration
		want  int // rides under way
	}{
		{0, 0, 1}, // nobody knows
		{0, time.Microsecond, 64},
		{8, time.Microsecond, 8},
		{0, 100 * time.Microsecond, 6}, // 500 µs behind five
		{0, 500 * time.Microsecond, 2},
		{0, time.Millisecond, 1},
	} {
		onRig(t, Config{Depth: c.depth}, func(r *rig) {
			w := newWorker()
			r.lend(w)
			r.learnt(c.each)
			for range 70 {
				r.ride(execute.IO{})
			}
			if got := int(w.under.Load()); got != c.want {
				t.Errorf("depth %d, %v each: %d rides are under way, want %d", c.depth, c.each, got, c.want)
			}
			all := 70
			if c.each == 0 {
				all = c.want // the others did not wait
			}
			for range all {
				w.end()
			}
		})
	}
}

// TestNobodyStandsBehindALongRun has runs be short on average, and the one that is under way long: there is no place behind it.
func TestNobodyStandsBehindALongRun(t *testing.T) {
	onRig(t, Config{Patience: 40 * time.Microsecond}, func(r *rig) {
		w := newWorker()
		r.lend(w)
		r.learnt(time.Microsecond)
		<-time.After(time.Hour) // the worker idled: that does not count
		r.ride(execute.IO{})
		<-time.After(500 * time.Microsecond)
		r.ride(execute.IO{})
		<-time.After(time.Microsecond)
		r.ride(execute.IO{})
		r.did("it waits", map[uint64]bool{})
		<-time.After(40 * time.Microsecond)
		r.did("too long", map[uint64]bool{3: false})
		w.end()
		r.ride(execute.IO{}) // the next one has just begun
		w.end()
		w.end()
		r.did("all", map[uint64]bool{1: true, 2: true, 3: false, 4: true})
	})
}

func TestServiceTimeIsLearnt(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		w := newWorker()
		r.lend(w)
		l := r.Lane(bound)
		for n, want := range []int64{8000, 8000, 8000} {
			r.ride(execute.IO{})
			<-time.After(8 * time.Microsecond)
			w.end()
			synctest.Wait()
			if got := l.service.Load(); got != want {
				t.Errorf("after %d: %d ns", n, got)
			}
		}
		r.ride(execute.IO{})
		<-time.After(time.Second) // the caller heard late
		w.ends <- ended{out: run.Outcome{Usage: run.Usage{Wall: 16 * time.Microsecond}}, alive: true}
		synctest.Wait()
		if got := l.service.Load(); got != 9000 {
			t.Errorf("%d ns", got)
		}
		r.ride(execute.IO{})
		<-time.After(time.Second) // it was held up
		w.end()
		if got := l.service.Load(); got != 9000+3*9000/8 {
			t.Errorf("%d ns", got)
		}
		r.Prove(bound, Call{}, 12375*time.Nanosecond+8*time.Nanosecond, r.Mark())
		if got := l.service.Load(); got != 12376 {
			t.Errorf("%d ns after an ordinary run", got)
		}
	})
}

func TestRoomIsTakenOnce(t *testing.T) {
	onRig(t, Config{Near: 1}, func(r *rig) {
		w := newWorker()
		r.lend(w)
		r.learnt(time.Microsecond)
		r.Room(2)
		for range 5 {
			r.ride(execute.IO{})
		}
		r.did("two start workers of their own", map[uint64]bool{2: false, 3: false})
		r.Room(1)
		r.ride(execute.IO{})
		r.did("another", map[uint64]bool{2: false, 3: false, 6: false})
		for range 3 {
			w.end()
		}
	})
}

func TestStreamsRideAlone(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		w := newWorker()
		r.lend(w)
		r.learnt(time.Microsecond)
		r.ride(execute.IO{Stdout: io.Discard})
		r.ride(execute.IO{})
		r.did("behind streams", map[uint64]bool{2: false})
		w.end()
		r.did("the end", map[uint64]bool{1: true, 2: false})
		r.ride(execute.IO{})
		r.ride(execute.IO{Stdin: &io.LimitedReader{}})
		r.did("streams behind another", map[uint64]bool{1: true, 2: false, 4: false})
		w.end()
	})
}

func TestRevokeReturnsTheWorkerWhenItsRidesHaveEnded(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		begin := time.Now()
		w := newWorker()
		x := r.lend(w)
		r.learnt(time.Microsecond)
		r.ride(execute.IO{})
		r.ride(execute.IO{})
		x.Revoke()
		x.Revoke()
		r.ride(execute.IO{})
		r.did("revoked", map[uint64]bool{3: false})
		<-time.After(time.Second)
		w.end()
		r.did("one", map[uint64]bool{1: true, 3: false})
		if len(r.back) != 0 {
			t.Fatal("the worker is back before its rides have ended")
		}
		if got := x.Rides(); got.UnderWay != 1 || got.Ended != 1 || got.Sandbox != "fake" {
			t.Errorf("shown %+v", got)
		}
		w.end()
		r.did("both", map[uint64]bool{1: true, 2: true, 3: false})
		if d := cmp.Diff([]execute.Returned{{Runs: 2, LastUsed: begin.Add(time.Second), Alive: true, Sandbox: "fake"}}, r.back); d != "" {
			t.Error(d)
		}
	})
}

func TestIdleWorkerIsBackAtOnce(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		r.lend(newWorker()).Revoke()
		if d := cmp.Diff([]execute.Returned{{Alive: true}}, r.back); d != "" {
			t.Error(d)
		}
		r.ride(execute.IO{})
		r.did("without a worker", map[uint64]bool{1: false})
	})
}

func TestDeadWorkerIsBackWithWhatItDid(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		w := newWorker()
		x := r.lend(w)
		r.learnt(time.Microsecond)
		r.ride(execute.IO{})
		r.ride(execute.IO{})
		died := fault.New(fault.SuspectWorkerDied, "fake", "", nil)
		w.ends <- ended{out: run.Outcome{Fault: died, Sandbox: "fake"}}
		r.did("the run that it died of", map[uint64]bool{1: true})
		r.ride(execute.IO{})
		w.ends <- ended{out: run.Outcome{Fault: died, NotBegun: true}}
		r.did("those behind it", map[uint64]bool{1: true, 2: false, 3: false})
		if len(r.back) != 1 || r.back[0].Alive || r.back[0].Runs != 1 {
			t.Errorf("back: %+v", r.back)
		}
		x.Revoke() // the queue hears of the death
		if len(r.back) != 1 {
			t.Error("the worker is back twice")
		}
	})
}

func TestRetiredWorkerSaysWhy(t *testing.T) {
	onRig(t, Config{}, func(r *rig) {
		w := newWorker()
		r.lend(w)
		r.ride(execute.IO{})
		w.ends <- ended{out: run.Outcome{Sandbox: "fake", Retired: run.RetiredRecycled}}
		r.did("its last run", map[uint64]bool{1: true})
		if len(r.back) != 1 || r.back[0].Alive || r.back[0].Retired != run.RetiredRecycled {
			t.Errorf("back: %+v", r.back)
		}
	})
}

func TestOnlyWhatWasProvedRides(t *testing.T) {
	r := New(Config{})
	c := Call{Mode: run.Bytes, Name: "f"}
	proved := func(b execute.Binding, c Call) bool { l := r.Lane(b); return l != nil && l.Proved(c) }
	other := bound
	other.Tenant = "another"
	r.Prove(bound, c, 0, r.Mark())
	r.Prove(other, c, 0, r.Mark())
	if !proved(bound, c) || !proved(other, c) || proved(bound, Call{Mode: run.Bytes, Name: "g"}) || proved(bound, Call{Mode: run.Bytes, Name: "f", Imports: run.TrapMissing}) {
		t.Error("what is proved is not what was proved")
	}
	before := r.Mark()
	r.Forget(bound.Key, "t")
	if proved(bound, c) || !proved(other, c) {
		t.Error("one tenant is forgotten, the other is not")
	}
	r.Prove(bound, c, 0, before)
	if proved(bound, c) {
		t.Error("a run of before proves what was forgotten since")
	}
	r.Prove(bound, c, 0, r.Mark())
	r.Forget(bound.Key, "")
	if proved(bound, c) || proved(other, c) {
		t.Error("all tenants are forgotten")
	}
	for n := range 10 * maxProofs {
		r.Prove(bound, Call{Name: fmt.Sprint(n)}, 0, r.Mark())
	}
	if n := len(*r.Lane(bound).proofs.Load()); n != maxProofs {
		t.Errorf("%d calls are remembered", n)
	}
}

func TestLanesWithoutAWorkerAreBounded(t *testing.T) {
	r := New(Config{Lanes: 10})
	kept := r.Grant(newWorker(), bound, func(execute.Returned) {})
	l := r.Lane(bound)
	var first *Lane
	for n := range byte(100) {
		b := execute.Binding{Key: artifacts.Key{2, n}}
		r.Prove(b, Call{}, 0, r.Mark())
		if n == 0 {
			first = r.Lane(b)
		}
	}
	if n := len(r.lanes); n > 10 {
		t.Errorf("%d lanes", n)
	}
	if !first.Gone() || l.Gone() || r.Lane(bound) != l {
		t.Error("the wrong lanes are gone")
	}
	kept.Revoke()
}

func TestUseIsReportedInBatches(t *testing.T) {
	var mu sync.Mutex
	var got []Use
	onRig(t, Config{Report: func(u Use) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, u)
	}}, func(r *rig) {
		reported := func(want ...Use) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("after %v (-want +got)\n%s", r.at(time.Now()), d)
			}
			got = nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		r.wg.Go(func() { r.Keep(ctx) })
		w := newWorker()
		r.lend(w)
		<-time.After(time.Hour)
		reported() // nothing rode
		for range 3 {
			r.ride(execute.IO{})
			w.end()
		}
		reported()
		<-time.After(time.Second)
		use := func(n uint64, ok, well bool) Use {
			return Use{Key: bound.Key, Tenant: bound.Tenant, Runs: n, OK: ok, Well: well}
		}
		reported(use(3, true, true))
		r.ride(execute.IO{})
		<-time.After(2 * time.Second)
		reported(use(0, false, false), use(0, false, false)) // it is used
		w.ends <- ended{out: run.Outcome{Fault: fault.New(fault.GuestTrap, "", "", nil)}, alive: true}
		<-time.After(time.Hour)
		reported(use(1, false, true))
		r.ride(execute.IO{})
		w.ends <- ended{out: run.Outcome{Fault: fault.New(fault.SuspectWallLimit, "", "", nil)}, alive: true}
		synctest.Wait()
		r.Lane(bound).Flush()
		reported(use(1, false, false))
		<-time.After(time.Hour)
		reported()
		r.ride(execute.IO{})
		w.end()
		cancel()
		reported(use(1, true, true)) // what is left
	})
}

// instant is a worker whose runs take no time.
type instant struct {
	execute.Worker
	rides, lent atomic.Int64
	wrong       *atomic.Int64
	rand        atomic.Uint64
}

func (w *instant) Ride(_ context.Context, j execute.Job, _ execute.IO) (run.Outcome, bool) {
	w.rides.Add(1)
	if w.lent.Load() == 0 {
		w.wrong.Add(1)
	}
	w.rides.Add(-1)
	return run.Outcome{Usage: run.Usage{Wall: 1}}, w.rand.Add(1)%1000 != 0
}

// TestLeasesUnderStress rides, revokes and lends at once: every lease comes back exactly once, with no ride under way, none
// after it, and all rides are counted.
func TestLeasesUnderStress(t *testing.T) {
	r := New(Config{Report: func(Use) {}})
	var wrong, rode, counted, grants, backs atomic.Int64
	var stop atomic.Bool
	var riders, lenders sync.WaitGroup
	r.Prove(bound, Call{}, 0, 0)
	l := r.Lane(bound)
	for range 3 {
		lenders.Go(func() {
			w := &instant{wrong: &wrong}
			for !stop.Load() {
				back := make(chan execute.Returned, 2)
				w.lent.Store(1)
				x := r.Grant(w, bound, func(b execute.Returned) {
					if w.rides.Load() != 0 {
						wrong.Add(1)
					}
					w.lent.Store(0)
					backs.Add(1)
					back <- b
				})
				grants.Add(1)
				for range 50 {
					_ = x.Rides()
					runtime.Gosched()
				}
				x.Revoke()
				b := <-back
				counted.Add(int64(b.Runs))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	lenders.Go(func() { r.Keep(ctx) })
	for range 4 {
		riders.Go(func() {
			for rode.Load() < 20000 {
				if _, _, ok := l.Ride(context.Background(), time.Now(), execute.Job{}, execute.IO{}); ok {
					rode.Add(1)
				}
			}
		})
	}
	riders.Wait()
	stop.Store(true)
	cancel()
	lenders.Wait()
	if wrong.Load() != 0 || grants.Load() != backs.Load() || rode.Load() != counted.Load() || rode.Load() == 0 {
		t.Errorf("%d wrong, %d grants, %d returns, %d rides, %d counted", wrong.Load(), grants.Load(), backs.Load(), rode.Load(), counted.Load())
	}
	if left := *l.leases.Load(); len(left) != 0 {
		t.Errorf("left: %v", slices.Collect(slices.Values(left)))
	}
}

func BenchmarkRide(b *testing.B) {
	r := New(Config{})
	w := &instant{}
	w.lent.Store(1)
	r.Grant(w, bound, func(execute.Returned) {})
	r.Prove(bound, Call{}, 0, r.Mark())
	l := r.Lane(bound)
	b.ReportAllocs()
	for b.Loop() {
		if w.rand.Store(0); !l.Proved(Call{}) {
			b.Fatal("not proved")
		}
		l.Ride(context.Background(), time.Now(), execute.Job{}, execute.IO{})
	}
}
