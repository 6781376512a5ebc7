package host_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/troupehost/troupe/host"
)

// taken is the memory of this process, without what its allocator only keeps.
func taken(t testing.TB) (heap, rss float64) {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var all, pages float64
	if _, err := fmt.Sscan(string(b), &all, &pages); err != nil {
		t.Fatal(err)
	}
	return float64(m.HeapAlloc + m.StackInuse), pages * float64(os.Getpagesize())
}

// idleApps deploys apps on demand and returns what each takes, before and after it was asked once, in bytes of heap and stacks, and
// how long the deployment of one took.
func idleApps(t testing.TB, n int) (fresh, asked float64, took time.Duration) {
	t.Helper()
	h := appsHost(t, host.Config{})
	m := appOf(t, h, "c-handler", nil)
	one := func(i int) string {
		m.Label = fmt.Sprint("app ", i)
		return deploy(t, h, m).Address
	}
	ask(t, h, one(-1), "x", "hello") // the code is prepared, and a worker is there
	before, beforeRSS := taken(t)
	begun := time.Now()
	addresses := make([]string, n)
	for i := range addresses {
		addresses[i] = one(i)
	}
	took = time.Since(begun) / time.Duration(n)
	after, afterRSS := taken(t)
	fresh = (after - before) / float64(n)
	for _, a := range addresses {
		if got := ask(t, h, a, "x", "hello"); got != "hello" {
			t.Fatalf("%q", got)
		}
	}
	last, lastRSS := taken(t)
	asked = (last - before) / float64(n)
	t.Logf("%d apps: %.1f KB each, %.1f KB after a query (RSS %.1f and %.1f KB), %v to deploy one, %d goroutines", n, fresh/1e3, asked/1e3,
		(afterRSS-beforeRSS)/float64(n)/1e3, (lastRSS-beforeRSS)/float64(n)/1e3, took, runtime.NumGoroutine())
	return fresh, asked, took
}

// TestIdleAppsAreSmall: an app that waits for a request takes at most 64 KB, whether it was ever asked or not.
func TestIdleAppsAreSmall(t *testing.T) {
	const most = 64_000
	if fresh, asked, _ := idleApps(t, 100); fresh > most || asked > most {
		t.Errorf("an idle app takes %.0f bytes, and %.0f once it was asked", fresh, asked)
	}
}
