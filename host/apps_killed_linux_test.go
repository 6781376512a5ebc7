package host_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// ticks is the processor time that a process has used, in hundredths of a second.
func ticks(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if err != nil || !ok || len(f) < 13 {
		return -1
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return user + system
}

// busiest finds the child of this process that computes while f runs.
func busiest(f func()) int {
	before := map[int]int{}
	for _, pid := range descendants(os.Getpid()) {
		before[pid] = ticks(pid)
	}
	f()
	found, most := 0, -1
	for pid, was := range before {
		if used := ticks(pid) - was; used > most {
			found, most = pid, used
		}
	}
	return found
}

// TestDeployedGoApp: a Go program is deployed, answers HTTP under load, is metered, has its worker killed with kill -9, is started
// again, and is reported with all that it used.
func TestDeployedGoApp(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, c := served(t, h), client(t)
	m := appOf(t, h, "go-app", func(m *manifest.Manifest) {
		granted(nil)(m)
		m.OnDemand = false
		m.Terms.Restart = manifest.Restart{MinRun: time.Millisecond, BackoffMin: 10 * time.Millisecond}
	})
	address := deploy(t, h, m).Address
	untilApp(t, h, address, serving(1))

	const callers = 4
	var served, failed atomic.Int64
	var sent, came atomic.Uint64 // bytes of bodies of requests and responses
	var stop atomic.Bool
	var load sync.WaitGroup
	for n := range callers {
		load.Go(func() {
			for !stop.Load() {
				body := strings.Repeat("x", 1000+n)
				r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/app/"+address+"/echo", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := c.Do(r)
				if err != nil {
					failed.Add(1)
					continue
				}
				b, err := io.ReadAll(got.Body)
				_ = got.Body.Close()
				switch {
				case err == nil && got.StatusCode == 200 && string(b) == body:
					sent.Add(uint64(len(body)))
					came.Add(uint64(len(b)))
					served.Add(1)
				case err == nil && got.StatusCode == 200:
					t.Errorf("%d bytes came back of %d", len(b), len(body))
				default:
					failed.Add(1)
				}
			}
		})
	}
	ended := sync.OnceFunc(func() { stop.Store(true); load.Wait() })
	defer ended()

	more := func() { // many more requests are served
		from := served.Load()
		waitFor(t, "requests", func() bool { return served.Load() >= from+200 })
	}
	worker := busiest(more)
	var before inspect.AppMetrics
	if _, err := h.ReportMetrics(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := h.AppMetrics(t.Context(), address); err != nil {
		t.Fatal(err)
	} else if before = all[0]; before.Gas == 0 || before.NetworkIngress == 0 || before.NetworkEgress == 0 || before.RunningTimeMS == 0 || before.Starts != 1 {
		t.Errorf("metered before the end: %+v", before)
	}
	if err := unix.Kill(worker, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := untilApp(t, h, address, func(a inspect.App) bool { return a.Metrics.Starts == 2 && serving(1)(a) })
	if again.Restarts != 1 || again.LastEnd == "" {
		t.Errorf("%d restarts, last end %q", again.Restarts, again.LastEnd)
	}
	more()
	if got, err := strconv.Atoi(ask(t, h, address, "count", "")); err != nil || got < 200 {
		t.Errorf("the new instance has served %d, %v", got, err)
	}
	ended()
	reports, err := h.ReportMetrics(t.Context())
	if err != nil || len(reports) != 1 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	report, err := meter.OpenReport(reports[0].Encoded)
	if err != nil || len(report.Apps) != 1 || report.Worker != workerKey(t, h) {
		t.Fatalf("%+v, %v", report, err)
	}
	got := report.Apps[0]
	if a := hex.EncodeToString(got.Address[:]); a != address {
		t.Errorf("reported is %s", a)
	}
	if got.Starts != 2 || got.Gas <= before.Gas || got.NetworkIngress < sent.Load() || got.NetworkEgress < came.Load() || got.RunningTimeMS < before.RunningTimeMS {
		t.Errorf("reported %+v, of %d and %d bytes, after %+v", got, sent.Load(), came.Load(), before)
	}
	t.Logf("%d requests were served, %d failed around the end of the worker: %s", served.Load(), failed.Load(), again.LastEnd)
}
