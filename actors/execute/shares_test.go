package execute

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// TestCyclesHoldTheirShares looks at every window of every cycle, and at what the documentation says of them.
func TestCyclesHoldTheirShares(t *testing.T) {
	for set, c := range cycles {
		sum := 0
		for p := run.Background; p <= run.Critical; p++ {
			sum += shares[p] * (set >> (p - 1) & 1)
		}
		for p := run.Background; p <= run.Critical; p++ {
			if n := strings.Count(c, letters[p:p+1]); n*sum != shares[p]*(set>>(p-1)&1)*len(c) {
				t.Errorf("classes %04b: %s has %d of the turns in %q", set, p, n, c)
			}
		}
		for from := range len(c) {
			l := ledger{set: set, marks: [][run.Critical + 1]int{{}}}
			for n := range 3 * window {
				next := l.marks[len(l.marks)-1]
				next[strings.IndexByte(letters, c[(from+n)%len(c)])]++
				l.marks = append(l.marks, next)
				if err := l.compare(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for p, want := range map[run.Priority]int{run.Background: 44, run.Normal: 23, run.High: 16, run.Critical: 8} {
		if got := mostPassed(p); got != want {
			t.Errorf("at most %d turns pass %s, want %d", got, p, want)
		}
	}
}

// TestBar04SharesOfEverySubset gives every subset of the classes an endless backlog of many tenants and apps. Whatever
// number of workers there is below and above soft, however many become free at a time, with processes that end late and
// idle workers that are used again, and with workers that were lent before the backlog came and are back late, every class
// stays within one of its share in each window of turns.
func TestBar04SharesOfEverySubset(t *testing.T) {
	const turns = 2000
	for subset := 1; subset < 16; subset++ {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%04b/%d", subset, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, uint64(subset)))
				l := Limits{Queue: 1000, Soft: 1 + r.IntN(4)}
				l.Hard = l.Soft + int(seed%3)*r.IntN(3)
				b := newLender(t, l)
				var acc ledger
				b.around = func(do func()) error { return acc.step(b.s, b.now, do) }
				id := uint64(0)
				for range l.Soft {
					id++
					b.enqueue(Job{Run: id, Priority: run.Normal, Binding: Binding{Key: artifacts.Key{byte(id)}}, Lend: true})
					b.finish(b.on(id))
				}
				if len(b.lent) != l.Soft {
					t.Fatalf("lent: %v", b.lent)
				}
				for acc.turns < turns {
					for range r.IntN(2) {
						if w := b.any(r, b.lent); w != 0 && b.lent[w] {
							b.giveBack(w, Returned{Alive: r.IntN(4) > 0, Runs: 3, LastUsed: b.now})
						}
					}
					for p := run.Background; p <= run.Critical; p++ {
						for subset>>(p-1)&1 == 1 && b.s.classes[p].n < 8 {
							id++
							b.enqueue(Job{Run: id, Priority: p, Binding: Binding{Tenant: fmt.Sprint(r.IntN(3)), Key: artifacts.Key{byte(r.IntN(3))}}, Lend: r.IntN(2) == 0})
						}
					}
					for range 1 + r.IntN(2) {
						if w := b.any(r, b.running); w != 0 && !b.closing[w] {
							b.finish(w)
						}
					}
					for range r.IntN(3) {
						if w := b.any(r, b.closing); w != 0 {
							b.exit(w)
						}
					}
					b.now = b.now.Add(time.Duration(r.IntN(40)) * time.Millisecond)
				}
				if len(acc.marks) < window {
					t.Errorf("the backlog changed: %d marks", len(acc.marks))
				}
				if above := subset>>3 == 1 && l.Hard > l.Soft; above != (acc.above > turns/20) {
					t.Errorf("%d runs above soft; limits %d and %d", acc.above, l.Soft, l.Hard)
				}
			})
		}
	}
}

// TestGreedyTenantGetsItsShare lets one tenant ask ten times as often as the others, for many apps and at all times, while
// the queue is full: nobody gets more than an equal share plus a tenth.
func TestGreedyTenantGetsItsShare(t *testing.T) {
	const tenants, starts = 5, 2000
	for _, length := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond} {
		for _, workers := range []int{1, 3, 6} {
			r := rand.New(rand.NewPCG(uint64(workers), 0))
			b := newBench(t, Limits{Queue: 64, Soft: workers})
			b.around = func(do func()) error { do(); return nil }
			who := map[uint64]string{}
			id := uint64(0)
			ask := func(tenant, app int) {
				id++
				who[id] = fmt.Sprint(tenant)
				b.enqueue(Job{Run: id, Priority: run.Normal, Binding: Binding{Tenant: who[id], Key: artifacts.Key{byte(app)}}})
			}
			for len(b.started) < starts {
				for range 20 {
					ask(0, r.IntN(20))
				}
				for n := range 2 * (tenants - 1) {
					ask(1+n%(tenants-1), 0)
				}
				b.now = b.now.Add(length)
				for _, w := range slices.Sorted(maps.Keys(b.running)) {
					b.finish(w)
				}
				b.settle()
			}
			got := map[string]int{}
			for _, id := range b.started {
				got[who[id]]++
			}
			for tenant, n := range got {
				if limit := len(b.started) * 11 / 10 / tenants; n > limit {
					t.Errorf("%d workers, runs of %v: tenant %s got %d of %d starts, limit %d", workers, length, tenant, n, len(b.started), limit)
				}
			}
		}
	}
}

// TestWhoLeavesIsNotRememberedWithoutBound lets ever new tenants and apps come and go, while the runs of others cannot start
// and so are behind all of them.
func TestWhoLeavesIsNotRememberedWithoutBound(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.around = func(do func()) error { do(); return nil }
	b.dry = true
	for id, app := range []string{"", "", "app"} {
		b.enqueue(Job{Run: 1 + uint64(id), Priority: run.Normal, Binding: Binding{Tenant: "slow", App: app}, Deadline: b.now.Add(time.Hour)})
	}
	b.unstart(1, fault.HostSpawnFailed)
	b.unstart(3, fault.HostSpawnFailed)
	b.dry = false
	for id := uint64(10); id < 10+5*maxAway; id++ {
		j := Job{Run: id, Priority: run.Normal, Binding: Binding{Tenant: fmt.Sprint(id), App: fmt.Sprint(id)}}
		if id%2 == 0 {
			j.Binding.Tenant = "slow"
		}
		b.enqueue(j)
		b.settle()
		b.finish(b.on(id))
	}
	tenants := &b.s.classes[run.Normal].tenants
	for what, n := range map[string]int{"tenants": len(tenants.items), "apps of a tenant": len(tenants.items["slow"].v.items)} {
		if n < 2 || n > maxAway+2 {
			t.Errorf("%d %s are remembered, at most %d", n, what, maxAway)
		}
	}
}
