package host_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
)

// cpuTime is what this process has used, with its collector; workers are others.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkInspect is one look at a host with 10,000 actors and 1,000 guests, as a console takes it once a second: with that many
// an op may take 10 ms of CPU time, which is 1 % of a core.
func BenchmarkInspect(b *testing.B) {
	const actors, runs = 10_000, 1000
	h := start(b, host.Config{ExecuteWorkers: 1, ExecuteQueue: 2 * runs})
	h.Crowd(b, actors)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	spin := spinning(b).Request
	for n := range runs {
		q := spin
		q.Tenant = "tenant-" + strconv.Itoa(n%10)
		wg.Go(func() { _, _ = h.Execute(ctx, q) })
	}
	var list []inspect.Guest
	waitFor(b, "the guests", func() bool {
		list = guests(b, h)
		queued := 0
		for _, g := range list {
			if g.Stage == "queued" {
				queued++
			}
		}
		return queued >= runs-1
	})
	for _, of := range []struct {
		name string
		look func() error
	}{
		{"guests", func() error { _, err := h.Guests(b.Context()); return err }},
		{"workers", func() error { _, err := h.Workers(b.Context()); return err }},
		{"all", func() error { _, err := h.Inspect(b.Context()); return err }},
	} {
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				if err := of.look(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/1e7, "%core@1/s")
		})
	}
}
