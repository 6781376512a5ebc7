package host_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/host"
)

// heap is the memory in use, and the number of goroutines.
func heap() (int64, int) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) + int64(m.StackInuse), runtime.NumGoroutine()
}

// manyApps deploys apps, asks some of them, stops some and removes all, again and again, and holds what they leave behind.
func manyApps(t *testing.T, rounds, apps int) {
	t.Helper()
	h := appsHost(t, host.Config{})
	m := appOf(t, h, "c-handler", nil)
	each := func(what string, n int, do func(n int) error) {
		t.Helper()
		begin := time.Now()
		var all sync.WaitGroup
		for w := range 16 {
			all.Go(func() {
				for i := w; i < n; i += 16 {
					if err := do(i); err != nil {
						t.Errorf("%s app %d: %v", what, i, err)
						return
					}
				}
			})
		}
		all.Wait()
		t.Logf("%s %d apps: %v", what, n, time.Since(begin).Round(time.Millisecond))
	}
	addresses := make([]string, apps)
	round := func(n int) {
		each("deploy", n, func(i int) error {
			one := *m
			one.Label = fmt.Sprintf("app %d", i)
			a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: one.Encode()})
			addresses[i] = a.Address
			return err
		})
	}
	removeAll := func(n int) {
		begin := time.Now()
		if gone, err := h.RemoveAllApps(t.Context()); err != nil || gone != n {
			t.Errorf("%d of %d were removed, %v", gone, n, err)
		}
		t.Logf("remove %d apps: %v", n, time.Since(begin).Round(time.Millisecond))
	}
	round(min(apps, 100)) // what is there to stay
	removeAll(min(apps, 100))
	idle, routines := heap()
	room := int64(apps)*2<<10 + 8<<20 // tables of the database and the actors, which keep their size
	for range rounds {
		round(apps)
		each("ask", apps/50, func(i int) error {
			got, err := query(t, h, addresses[i], "echo", "hello")
			if err == nil && got != "hello" {
				t.Errorf("app %d answers %q", i, got)
			}
			return err
		})
		each("stop", apps/50, func(i int) error {
			_, err := h.StopApp(t.Context(), addresses[i])
			return err
		})
		full, _ := heap()
		t.Logf("%d bytes for each app", (full-idle)/int64(apps))
		if per := (full - idle) / int64(apps); per > 64<<10 {
			t.Errorf("%d bytes for each app", per)
		}
		seen := 0
		for f := (host.AppFilter{}); ; {
			page, next, err := h.Apps(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if seen += len(page); next == 0 {
				break
			}
			f.After = next
		}
		if seen != apps {
			t.Errorf("%d apps in the list", seen)
		}
		removeAll(apps)
		if !eventually(t, func() bool {
			left, n := heap()
			return left < idle+room && n < routines+50
		}) {
			left, n := heap()
			t.Errorf("%d bytes and %d goroutines are left of %d and %d", left, n, idle, routines)
		}
		idle, _ = heap()
		room = int64(apps)<<8 + 2<<20
	}
	left, n := heap()
	t.Logf("%d bytes, %d goroutines; at first %d, %d", left, n, idle, routines)
}

// TestManyApps holds memory while many apps come and go. The timed test has 10,000.
func TestManyApps(t *testing.T) { manyApps(t, 1, 1000) }
