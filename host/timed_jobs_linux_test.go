//go:build timed

package host_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestTimedSubmit asks 16 submitters for 3 s to submit a tiny job as fast as they can, while the jobs run: at least 2,000 are
// acknowledged each second, half of them within 5 ms.
func TestTimedSubmit(t *testing.T) {
	const submitters, span, leastRate, mostMedian = 16, 3 * time.Second, 2000.0, 5 * time.Millisecond
	for try := range 2 {
		h := start(t, host.Config{JobQueue: 1_000_000})
		r := puzzle(t)
		until(t, h, submit(t, h, r).ID, isSettled)
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		began := time.Now()
		for range submitters {
			wg.Go(func() {
				var mine []time.Duration
				for time.Since(began) < span {
					at := time.Now()
					if _, err := h.Submit(t.Context(), r); err != nil {
						t.Error(err)
						return
					}
					mine = append(mine, time.Since(at))
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, mine...)
			})
		}
		wg.Wait()
		rate := float64(len(took)) / time.Since(began).Seconds()
		slices.Sort(took)
		median, late := took[len(took)/2], took[len(took)*99/100]
		list, _, err := h.Jobs(t.Context(), host.JobFilter{State: run.JobSettled, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("submit: limit %.0f/s, measured %.0f/s; limit p50 %v, measured %v (p99 %v); at least %d settled meanwhile", leastRate, rate, mostMedian, median, late, len(list))
		if rate >= leastRate && median <= mostMedian {
			return
		}
		if err := h.Close(); err != nil || try == 1 {
			t.Fatal("too slow", err)
		}
	}
}

// BenchmarkSubmit measures acknowledged jobs of 16 submitters, while the jobs run.
func BenchmarkSubmit(b *testing.B) {
	h := start(b, host.Config{JobQueue: 1_000_000})
	r := puzzle(b)
	until(b, h, submit(b, h, r).ID, isSettled)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 16 {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if _, err := h.Submit(b.Context(), r); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
