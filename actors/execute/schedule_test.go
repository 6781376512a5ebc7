package execute

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// settle lets the processes end that the core has closed while they were idle.
func (b *bench) settle() {
	b.t.Helper()
	for _, w := range slices.Sorted(maps.Keys(b.closing)) {
		if _, busy := b.running[w]; !busy {
			b.exit(w)
		}
	}
}

// TestCriticalRunStartsAfterOneRunOfABacklog keeps all workers busy with the background backlog of one tenant.
func TestCriticalRunStartsAfterOneRunOfABacklog(t *testing.T) {
	for processes := 1; processes <= 3; processes++ {
		b := newBench(t, Limits{Soft: processes})
		for id := range uint64(100) {
			b.enqueue(Job{Run: 1 + id, Binding: Binding{Tenant: "a", Key: artifacts.Key{1}}, Priority: run.Background})
		}
		for range 7 { // whatever credit the backlog may have
			b.finish(1)
		}
		b.enqueue(Job{Run: 1000, Binding: Binding{Tenant: "b", Key: artifacts.Key{2}}, Priority: run.Critical})
		for n := uint64(1); n <= 2; n++ {
			for w := uint64(1); w <= uint64(processes); w++ {
				if _, busy := b.running[w]; busy {
					b.finish(w)
					break
				}
			}
			b.settle()
		}
		if at := len(b.started) - 1; b.started[at] != 1000 && b.started[at-1] != 1000 {
			t.Errorf("%d processes: the critical run is not among the last two of %v", processes, b.started)
		}
	}
}

// oldest returns the worker whose run started first.
func (b *bench) oldest() uint64 {
	var best uint64
	for w, r := range b.running {
		if best == 0 || b.begun(r) < b.begun(b.running[best]) || b.begun(r) == b.begun(b.running[best]) && w < best {
			best = w
		}
	}
	return best
}

func (b *bench) begun(r uint64) int {
	for n, s := range b.started {
		if s == r {
			return n
		}
	}
	return -1
}

// TestAffinityIsBounded gives two tenants of one class a long backlog and one worker: it serves one of them for a while,
// but nobody waits longer than that and one run.
func TestAffinityIsBounded(t *testing.T) {
	const each, length = 200, 10 * time.Millisecond
	b := newBench(t, Limits{Soft: 1})
	tenant := map[uint64]int{}
	for id := range uint64(2 * each) {
		tenant[1+id] = int(id % 2)
		b.enqueue(Job{Run: 1 + id, Binding: Binding{Tenant: string(rune('a' + id%2)), Key: artifacts.Key{1}}, Priority: run.Normal})
	}
	served := [2]time.Time{b.now, b.now}
	left := [2]int{each, each}
	for n := 0; n < 2*each; n++ {
		who := tenant[b.started[n]]
		left[who]--
		served[who] = b.now
		for k, at := range served {
			if wait := b.now.Sub(at); left[k] > 0 && wait > affinityWait+length {
				t.Fatalf("start %d: tenant %d waits for %v", n, k, wait)
			}
		}
		b.now = b.now.Add(length)
		for w := range b.running {
			b.finish(w)
		}
		b.settle()
	}
	if limit := uint64(2 * each * length / (affinityWait - length)); b.s.last > limit+2 {
		t.Errorf("%d workers were started for %d runs, want %d at most", b.s.last, 2*each, limit+2)
	}
}

// TestNewcomerPassesAfterTheAffinityWait lets a run arrive beside a tenant who keeps its worker warm.
func TestNewcomerPassesAfterTheAffinityWait(t *testing.T) {
	const length = 30 * time.Millisecond
	b := newBench(t, Limits{Soft: 1})
	for id := range uint64(50) {
		b.enqueue(Job{Run: 1 + id, Binding: Binding{Tenant: "a", Key: artifacts.Key{1}}, Priority: run.Normal})
	}
	b.enqueue(Job{Run: 100, Binding: Binding{Tenant: "b", Key: artifacts.Key{2}}, Priority: run.Normal})
	at := b.now
	for b.started[len(b.started)-1] != 100 {
		b.now = b.now.Add(length)
		for w := range b.running {
			b.finish(w)
		}
		b.settle()
		if wait := b.now.Sub(at); wait > affinityWait+length {
			t.Fatalf("not started after %v", wait)
		}
	}
	if b.now.Sub(at) < affinityWait {
		t.Errorf("started after %v: the warm worker was not used", b.now.Sub(at))
	}
}

// TestClaimEnds cancels one claimed run and lets another one miss its deadline: their slots go to who waits.
func TestClaimEnds(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	for n := byte(1); n <= 2; n++ {
		b.enqueue(Job{Run: uint64(n), Binding: binding(n), Priority: run.Normal})
	}
	b.finish(1)
	b.finish(2)
	b.enqueue(Job{Run: 3, Binding: binding(3), Priority: run.Normal})
	b.enqueue(Job{Run: 4, Binding: binding(4), Priority: run.Normal, Deadline: b.now.Add(time.Second)})
	b.enqueue(Job{Run: 5, Binding: binding(5), Priority: run.Normal})
	if len(b.s.claims) != 2 || !b.closing[1] || !b.closing[2] || b.s.parked() != 3 {
		t.Fatalf("claims %d, closing %v, parked %d", len(b.s.claims), b.closing, b.s.parked())
	}
	b.step(Cancel{Run: 3})
	b.now = b.now.Add(time.Second)
	b.step(tick{})
	if len(b.answers) != 4 || len(b.s.claims) != 1 || b.s.claims[0].Run != 5 {
		t.Fatalf("answers %v, claims %d", b.answers, len(b.s.claims))
	}
	b.settle()
	if b.running[3] != 5 {
		t.Errorf("running %v, want run 5 on worker 3", b.running)
	}
}

// TestASlotThatBecomesFreeAnywayIsEnough lets a run arrive beside a worker that closes and one that idles, both of other
// bindings.
func TestASlotThatBecomesFreeAnywayIsEnough(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	for n := byte(1); n <= 2; n++ {
		b.enqueue(Job{Run: uint64(n), Binding: binding(n), Priority: run.Normal})
	}
	b.finish(1)
	b.finish(2)
	b.step(Release{Key: binding(1).Key})
	b.enqueue(Job{Run: 3, Binding: binding(3), Priority: run.Normal})
	if !b.closing[1] || b.closing[2] || len(b.s.claims) != 1 {
		t.Errorf("closing %v with %d claims, want only worker 1, whose slot is enough", b.closing, len(b.s.claims))
	}
	b.settle()
	b.enqueue(Job{Run: 4, Binding: binding(2), Priority: run.Normal})
	if b.running[3] != 3 || b.running[2] != 4 {
		t.Errorf("running %v, want run 3 on a new worker and run 4 on the one that was kept", b.running)
	}
}

// TestATickThatComesEarlyIsAskedForAgain sets the clock back while a tick is under way.
func TestATickThatComesEarlyIsAskedForAgain(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.enqueue(Job{Run: 1, Binding: binding(1), Priority: run.Normal})
	deadline := b.now.Add(time.Minute)
	b.enqueue(Job{Run: 2, Binding: binding(1), Priority: run.Normal, Deadline: deadline})
	if d := cmp.Diff([]Effect(nil), b.s.Step(b.now, Cancel{Run: 9, again: true})); d != "" {
		t.Errorf("a second tick beside the one that is under way:\n%s", d)
	}
	if d := cmp.Diff([]Effect{TickAt{At: deadline}}, b.s.Step(b.now, tick{})); d != "" {
		t.Error(d)
	}
}
