package execute

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// lendable is a run whose worker may be lent.
func lendable(id uint64, p run.Priority, app byte) Job {
	j := job(id, p, app)
	j.Lend = true
	return j
}

// leases fails unless just these workers are lent; true: and asked back.
func (b *bench) leases(what string, want map[uint64]bool) {
	b.t.Helper()
	if !maps.Equal(b.lent, want) {
		b.t.Fatalf("%s: lent %v, want %v", what, b.lent, want)
	}
}

func TestWorkersAreLentWhileNobodyWaits(t *testing.T) {
	b := newLender(t, Limits{Soft: 2, Hard: 3, Idle: time.Minute})
	b.enqueue(job(1, run.Normal, 1))
	one := b.on(1)
	b.finish(one)
	b.leases("after a run that does not allow it", map[uint64]bool{})
	b.enqueue(lendable(2, run.Normal, 1))
	b.finish(one)
	b.leases("after one that does", map[uint64]bool{one: false})

	b.enqueue(lendable(3, run.Normal, 1)) // a free slot is there, and the lent worker may be busy
	two := b.on(3)
	if two == one || b.lent[one] {
		t.Fatalf("run 3 is on worker %d; lent: %v", two, b.lent)
	}
	b.finish(two)
	b.leases("both", map[uint64]bool{one: false, two: false})

	b.enqueue(job(4, run.Critical, 2)) // above soft, and it waits for its turn there
	b.leases("a run above soft", map[uint64]bool{one: true, two: true})
	b.giveBack(one, Returned{Alive: true})
	if b.s.items[4].above {
		t.Error("the run did not get the slot that came back")
	}
	b.giveBack(two, Returned{Alive: true})
	b.leases("the slots are enough", map[uint64]bool{two: false})

	b.finish(b.on(4))
	b.enqueue(lendable(5, run.Normal, 3))
	b.leases("a claim", map[uint64]bool{two: true})
	b.giveBack(two, Returned{Alive: true, Runs: 7})
	if b.s.parked() != 1 || len(b.closing) == 0 {
		t.Errorf("there is no room for run 5: %d parked, closing %v", b.s.parked(), b.closing)
	}
}

// TestBusyLeaseIsWaitedForOnce has a worker lent whose ride goes on while others wait: it is asked back once, and what
// waits has it as soon as the ride ends.
func TestBusyLeaseIsWaitedForOnce(t *testing.T) {
	b := newLender(t, Limits{Soft: 1})
	b.enqueue(lendable(1, run.Normal, 1))
	w := b.on(1)
	b.finish(w)
	for id := uint64(2); id < 5; id++ {
		b.enqueue(lendable(id, run.Normal, 1))
	}
	b.leases("runs wait", map[uint64]bool{w: true}) // the bench fails at a second Revoke
	b.giveBack(w, Returned{Alive: true})
	for id := uint64(2); id < 5; id++ {
		if b.on(id) != w {
			t.Fatalf("run %d is not on the worker", id)
		}
		b.leases("runs go on", map[uint64]bool{})
		b.finish(w)
	}
	b.leases("nobody waits", map[uint64]bool{w: false})
}

func TestLeaseEnds(t *testing.T) {
	const idle = time.Minute
	for name, c := range map[string]struct {
		end     func(b *bench, w uint64)
		lent    bool
		closing string
	}{
		"used lately": {lent: true, end: func(b *bench, w uint64) {
			b.now = b.now.Add(idle)
			b.step(tick{})
			b.giveBack(w, Returned{Alive: true, Runs: 1, LastUsed: b.now.Add(-idle / 2)})
		}},
		"not used": {closing: closedIdle, end: func(b *bench, w uint64) {
			b.now = b.now.Add(idle)
			b.step(tick{})
			b.giveBack(w, Returned{Alive: true})
			b.step(tick{})
		}},
		"used long ago": {closing: closedIdle, end: func(b *bench, w uint64) {
			b.now = b.now.Add(idle)
			b.step(tick{})
			used := b.now.Add(-idle / 2)
			b.giveBack(w, Returned{Alive: true, LastUsed: used})
			b.now = used.Add(idle)
			b.step(tick{})
			b.giveBack(w, Returned{Alive: true})
			b.step(tick{})
		}},
		"spoiled": {closing: closedSpoiled, end: func(b *bench, w uint64) { b.giveBack(w, Returned{}) }},
		"released": {closing: closedStopped, end: func(b *bench, w uint64) {
			b.step(Release{Key: b.bound[w].Key})
			b.giveBack(w, Returned{Alive: true})
		}},
		"released on the way back": {closing: closedStopped, end: func(b *bench, w uint64) {
			b.enqueue(lendable(10, run.Normal, 2))
			b.step(Release{Key: b.bound[w].Key})
			b.giveBack(w, Returned{Alive: true})
		}},
		"released for another tenant": {lent: true, end: func(b *bench, w uint64) {
			b.step(Release{Key: b.bound[w].Key, Tenant: "another"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLender(t, Limits{Soft: 1, Idle: idle})
			b.enqueue(lendable(1, run.Normal, 1))
			w := b.on(1)
			b.finish(w)
			b.leases("at first", map[uint64]bool{w: false})
			c.end(b, w)
			if _, is := b.lent[w]; is != c.lent || b.s.workers[w].closing != c.closing {
				t.Errorf("lent %v, closing %q; want %v, %q", is, b.s.workers[w].closing, c.lent, c.closing)
			}
		})
	}
	t.Run("exited", func(t *testing.T) {
		b := newLender(t, Limits{Soft: 1})
		b.enqueue(lendable(1, run.Normal, 1))
		w := b.on(1)
		b.finish(w)
		b.exit(w)
		b.step(returned{Worker: w, Returned: Returned{Alive: true, Runs: 3}}) // too late
		if len(b.s.workers) != 0 || b.s.room != 1 {
			t.Errorf("left: %d workers, room %d", len(b.s.workers), b.s.room)
		}
	})
}

// table is a fake of Leases.
type table struct {
	mu     sync.Mutex
	leases []*tableLease
	rooms  []int
}

type tableLease struct {
	w       Worker
	back    func(Returned)
	rides   Rides
	revoked int
	keep    bool // do not return when revoked
}

func (l *table) Grant(w Worker, _ Binding, back func(Returned)) Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &tableLease{w: w, back: back}
	l.leases = append(l.leases, t)
	return t
}

func (l *table) Room(slots int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rooms = append(l.rooms, slots)
}

func (l *table) all() []*tableLease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*tableLease(nil), l.leases...)
}

func (l *tableLease) Rides() Rides { return l.rides }

func (l *tableLease) Revoke() {
	if l.revoked++; l.revoked == 1 && !l.keep {
		l.back(Returned{Alive: true, Runs: l.rides.Ended, LastUsed: l.rides.Last, Sandbox: l.rides.Sandbox})
	}
}

// lending is a stage whose workers are lent to a table.
func lending(t *testing.T, l Limits, p *port, f func(t *testing.T, s *stage, leases *table)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		leases := &table{}
		ref, err := Spawn(sys, Config{Limits: l, Workers: p, Leases: leases})
		if err != nil {
			t.Fatal(err)
		}
		f(t, &stage{t: t, sys: sys, port: p, ref: ref, answers: map[uint64]answer{}, begin: time.Now()}, leases)
		if err := sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		for n, l := range leases.all() {
			if l.revoked == 0 {
				t.Errorf("lease %d outlives the queue", n)
			}
		}
	})
}

// show asks for a snapshot.
func (s *stage) show() Snapshot {
	s.t.Helper()
	out, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[Snapshot]) Message { return Inspect{Reply: r} })
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func TestLentWorkersAreShown(t *testing.T) {
	lending(t, Limits{Soft: 3}, &port{}, func(t *testing.T, s *stage, leases *table) {
		s.enqueue(lendable(1, run.Normal, 1))
		<-time.After(2 * time.Second)
		synctest.Wait()
		all := leases.all()
		if len(all) != 1 {
			t.Fatalf("%d leases", len(all))
		}
		all[0].rides = Rides{UnderWay: 2, Ended: 40, Last: time.Now(), Sandbox: "strong"}
		got := s.show()
		w := got.Workers[0]
		if w.State != "busy" || w.Runs != 41 || w.Sandbox != "strong" || !w.Since.Equal(time.Now()) || got.Queue.Running != 2 {
			t.Errorf("shown: %+v, running %d", w, got.Queue.Running)
		}
		all[0].rides.UnderWay = 0
		if got := s.show(); got.Workers[0].State != "idle" || got.Queue.Running != 0 {
			t.Errorf("shown: %+v, running %d", got.Workers[0], got.Queue.Running)
		}
		if d := cmp.Diff([]int{2}, leases.rooms); d != "" {
			t.Error("room", d)
		}
		_ = s.ref.Control(Release{Key: job(1, run.Normal, 1).Binding.Key})
		synctest.Wait()
		if all[0].revoked != 1 {
			t.Errorf("revoked %d times", all[0].revoked)
		}
	})
}

// TestLeasesOfAnEarlierIncarnation has a lease come back to a queue that has restarted: the worker of the same name that
// the new one lent is not meant.
func TestLeasesOfAnEarlierIncarnation(t *testing.T) {
	p := &port{}
	crash := false
	p.watch = panicky{&crash}
	synctest.Test(t, func(t *testing.T) {
		sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		leases := &table{}
		ref, err := Spawn(sys, Config{Limits: Limits{Soft: 2}, Workers: p, Leases: leases, Observe: p.watch})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := sys.Stop(context.Background()); err != nil {
				t.Errorf("stop: %v", err)
			}
		}()
		s := &stage{t: t, sys: sys, port: p, ref: ref, answers: map[uint64]answer{}, begin: time.Now()}
		s.enqueue(lendable(1, run.Normal, 1))
		<-time.After(2 * time.Second)
		synctest.Wait()
		old := leases.all()[0]
		old.keep = true
		crash = true
		s.enqueue(lendable(2, run.Normal, 2))
		<-time.After(time.Minute)
		synctest.Wait()
		if old.revoked == 0 {
			t.Error("the lease outlives its incarnation")
		}
		s.enqueue(lendable(3, run.Normal, 1))
		<-time.After(2 * time.Second)
		synctest.Wait()
		if n := len(leases.all()); n < 2 {
			t.Fatalf("%d leases", n)
		}
		before := s.show()
		old.back(Returned{Runs: 100}) // dead: it would be closed
		<-time.After(10 * time.Second)
		synctest.Wait()
		if d := cmp.Diff(before.Workers, s.show().Workers); d != "" {
			t.Error(d)
		}
	})
}

// panicky is an Observer that crashes the queue once.
type panicky struct{ crash *bool }

func (panicky) Queued(run.Priority, time.Duration) {}
func (panicky) Ended(run.Priority, run.Outcome)    {}
func (panicky) Closed(string)                      {}

func (p panicky) Spawned() {
	if *p.crash {
		*p.crash = false
		panic("a bug")
	}
}
