package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/run"
)

// BenchmarkRide is a warm run that nobody else disturbs, on the real worker and on one that only answers.
func BenchmarkRide(b *testing.B) {
	for _, mode := range []string{"", "quick"} {
		b.Run(map[string]string{"": "worker", "quick": "fake"}[mode], func(b *testing.B) {
			r := newRig(b, mode)
			w, job := r.rider(b, mode)
			took := make([]time.Duration, 0, 1<<20)
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				if o, alive := w.Ride(context.Background(), job, execute.IO{}); !alive || o.Fault != nil {
					b.Fatalf("%+v", o)
				}
				if len(took) < cap(took) {
					took = append(took, time.Since(begin))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
		})
	}
}

// BenchmarkRides is 64 callers at once.
func BenchmarkRides(b *testing.B) {
	for _, mode := range []string{"", "quick"} {
		b.Run(map[string]string{"": "worker", "quick": "fake"}[mode], func(b *testing.B) {
			r := newRig(b, mode)
			w, job := r.rider(b, mode)
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if o, alive := w.Ride(context.Background(), job, execute.IO{}); !alive || o.Fault != nil {
							b.Errorf("%+v", o)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
		})
	}
}

func (r *rig) rider(t testing.TB, mode string) (execute.Worker, execute.Job) {
	t.Helper()
	if mode != "" {
		b := r.pretended(t)
		return r.worker(t, b), r.job(b, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{})
	}
	b := r.prepared(t, adder())
	return r.worker(t, b), r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{})
}
