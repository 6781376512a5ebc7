package cache

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// TestBar06TheLimitHoldsAndNothingGoesInVain prepares, uses and pins modules of known sizes under a limit. At every moment
// the disk holds no more than the limit; nothing goes that is in use or pinned; and what goes is what was needed least
// recently, and no more than the limit demands.
func TestBar06TheLimitHoldsAndNothingGoesInVain(t *testing.T) {
	const limit, modules = 300, 20
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := newBench(t, Limits{Policy: artifacts.PrunePolicy{LimitBytes: limit, Age: 1000 * time.Hour}})
		size := map[artifacts.Key]int64{}
		for n := range byte(modules) {
			size[artifacts.Key{n + 1}] = 10 + r.Int64N(90)
		}
		disk, needed, held := map[artifacts.Key]int64{}, map[artifacts.Key]time.Time{}, map[artifacts.Key]int{}
		total := func() (n int64) {
			for _, bytes := range disk {
				n += bytes
			}
			return n
		}
		// look checks what was removed to make room for as many bytes.
		look := func(room int64) {
			for _, a := range b.again { // what was kept in memory only
				room += size[a.Key]
			}
			for _, k := range b.deleted {
				last := disk[k]
				delete(disk, k)
				if held[k] > 0 {
					t.Fatalf("seed %d: artifact %d went, and is held", seed, k[0])
				}
				for o := range maps.Keys(disk) {
					if held[o] == 0 && needed[o].Before(needed[k]) {
						t.Fatalf("seed %d: artifact %d went before %d, which was needed less recently", seed, k[0], o[0])
					}
				}
				if total()+last+room <= limit {
					t.Fatalf("seed %d: artifact %d went in vain: %d bytes were there, %d were to come", seed, k[0], total()+last, room)
				}
			}
			b.deleted = nil
			if total() > limit {
				t.Fatalf("seed %d: %d bytes", seed, total())
			}
			for len(b.again) > 0 {
				k, gen := b.again[0].Key, b.again[0].Gen
				b.again = b.again[1:]
				disk[k] = size[k]
				b.step(stored{key: k, gen: gen, bytes: size[k]})
			}
		}
		var running []execute.Job
		for id := range uint64(200) {
			b.now = b.now.Add(time.Second)
			k := artifacts.Key{byte(1 + r.IntN(modules))}
			switch r.IntN(10) {
			case 0:
				b.step(Prune{})
				look(0)
				continue
			case 1:
				if _, there := disk[k]; there && held[k] == 0 {
					b.step(Pin{Key: k, Tenant: "a"})
					held[k]++
				} else if len(b.s.pins[k]) > 0 {
					b.step(Pin{Key: k, Tenant: "a", Off: true})
					held[k]--
				}
				continue
			case 2, 3, 4:
				if len(running) > 0 {
					job := running[0]
					running = running[1:]
					b.executed(job.Run, run.Outcome{})
					held[job.Binding.Key]--
				}
				continue
			}
			kind := Kind(1 + r.IntN(3))
			jobs, runs := len(b.jobs), len(b.runs)
			b.ask(Request{ID: id, Kind: kind, Key: k})
			needed[k] = b.now
			look(0)
			if len(b.jobs) > jobs {
				puts := len(b.puts)
				b.step(prepared{key: k, gen: b.jobs[jobs].Gen, outcome: prepare.Outcome{Meta: artifacts.Meta{Key: k, Module: module, Parts: []artifacts.Part{{Bytes: size[k]}}}}})
				look(size[k])
				if len(b.puts) != puts+1 {
					t.Fatalf("seed %d: %d writes", seed, len(b.puts)-puts)
				}
				bytes := size[k]
				if b.puts[puts].MemoryOnly {
					bytes = 0
				} else {
					disk[k] = bytes
				}
				b.step(stored{key: k, gen: b.jobs[jobs].Gen, bytes: bytes})
				look(0)
			}
			if len(b.runs) > runs {
				running = append(running, b.runs[runs])
				held[k]++
			}
		}
		if b.s.total() != total() {
			t.Fatalf("seed %d: the table counts %d bytes, the disk has %d", seed, b.s.total(), total())
		}
	}
}
