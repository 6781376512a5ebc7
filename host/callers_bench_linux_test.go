package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/run"
)

// effort is what processes have used so far.
type effort struct {
	cpu      time.Duration
	switches int64 // of threads that waited
}

func (e effort) since(before effort, n int) (micros, switches float64) {
	return float64((e.cpu - before.cpu).Nanoseconds()) / 1e3 / float64(n), float64(e.switches-before.switches) / float64(n)
}

// ownEffort is that of this process.
func ownEffort(tb testing.TB) effort {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return effort{time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Nvcsw}
}

// workersEffort is that of the processes which this one has begun and which live.
func workersEffort(tb testing.TB) (all effort) {
	tb.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		tb.Fatal(err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // the thread may be gone
		for pid := range strings.FieldsSeq(string(text)) {
			threads, _ := filepath.Glob("/proc/" + pid + "/task/*")
			for _, thread := range threads {
				sched, _ := os.ReadFile(thread + "/schedstat")
				if f := strings.Fields(string(sched)); len(f) > 0 {
					ns, _ := strconv.ParseInt(f[0], 10, 64)
					all.cpu += time.Duration(ns)
				}
				status, _ := os.ReadFile(thread + "/status")
				_, after, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
				line, _, _ := strings.Cut(after, "\n")
				n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
				all.switches += n
			}
		}
	}
	return all
}

// BenchmarkCallers is many callers of one code at a time, who each call again once they are answered: runs per second, which
// part of them went past the actors, and what a run costs the host and the workers. The CPU time tells more than the rate where
// others use the machine too.
func BenchmarkCallers(b *testing.B) {
	for _, callers := range []int{1, 2, 4, 8, 32, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			h, err := Start(context.Background(), Config{DataDir: b.TempDir(), BallastBytes: NoLimit})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = h.Close() }()
			code, err := os.ReadFile(filepath.Join("..", "testdata", "guests", "small-call.wasm"))
			if err != nil {
				b.Fatal(err)
			}
			r := Request{Code: code, Entry: run.Entry{Mode: run.Bytes, Name: "call"}, Input: make([]byte, 512)}
			first, err := h.Execute(b.Context(), r)
			if err != nil || first.Verdict != "ok" {
				b.Fatal(first, err)
			}
			r.Code, r.CodeHash = nil, first.CodeHash
			t, _ := h.termsOf(&r, r.CodeHash)
			call := func(n int64) {
				var left atomic.Int64
				left.Store(n)
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if receipt, err := h.Execute(context.Background(), r); err != nil || receipt.Verdict != "ok" {
								b.Error(receipt, err)
								return
							}
						}
					})
				}
				all.Wait()
			}
			call(2000) // until it is warm
			before, own, theirs := h.lanes.Ended(t.key), ownEffort(b), workersEffort(b)
			b.ResetTimer()
			call(int64(b.N))
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
			b.ReportMetric(float64(h.lanes.Ended(t.key)-before)/float64(b.N), "rides/op")
			cpu, switches := ownEffort(b).since(own, b.N)
			b.ReportMetric(cpu, "host-µs")
			b.ReportMetric(switches, "host-sw")
			cpu, switches = workersEffort(b).since(theirs, b.N)
			b.ReportMetric(cpu, "worker-µs")
			b.ReportMetric(switches, "worker-sw")
		})
	}
}
