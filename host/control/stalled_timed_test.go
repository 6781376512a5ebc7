//go:build timed

package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

type worker struct{ *world }

func (worker) Execute(context.Context, host.Request) (run.Receipt, error) {
	return run.Receipt{Verdict: "ok"}, nil
}

// While a thousand readers take nothing, the middle run takes at most so many times what it took without them, and a moment: they hold
// the machine's cores while they are cut off and come no more. The slowest has a line of its own.
const (
	stalledTimes  = 3
	stalledMoment = 20 * time.Millisecond
	stalledWorst  = 2 * time.Second
)

// R7: a thousand readers that take nothing cost bounded memory, and no job is the slower for them.
func TestTimedStalledReaders(t *testing.T) {
	h := newWorld()
	for i := range 5000 {
		h.actors = append(h.actors, inspect.Actor{Path: fmt.Sprintf("troupe/x/%05d", i), Kind: "x", State: "idle", Handling: "some.Type.Of.A.Message"})
	}
	for n := uint64(1); n < 20_000; n++ {
		h.lines = append(h.lines, inspect.LogLine{Seq: n, Level: "info", Message: "a message of a length that is usual"})
	}
	s := New(worker{h}, Options{MaxStreams: 1000, CallerMost: 1000, MaxRequests: 256, SlowStream: 5 * time.Second, PlainTimeout: 2 * time.Second})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	c := client.New(socket, 0)
	runOnce := func() time.Duration {
		begin := time.Now()
		for {
			if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{}); err == nil {
				return time.Since(begin)
			} else if time.Since(begin) > time.Minute {
				t.Fatal(err)
			}
		}
	}
	runFor := func(d time.Duration, each func()) (middle, slowest time.Duration) {
		var all []time.Duration
		for begin := time.Now(); time.Since(begin) < d; each() {
			all = append(all, runOnce())
		}
		slices.Sort(all)
		t.Logf("%d runs in %v: middle %v, slowest %v", len(all), d, all[len(all)/2], all[len(all)-1])
		return all[len(all)/2], all[len(all)-1]
	}
	runOnce()
	alone, _ := runFor(4*time.Second, func() {})
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	paths := []string{"/v1/watch/actors?limit=10000", "/v1/watch/log?limit=10000", "/v1/watch/audit", "/metrics", "/v1/trace"}
	for i := range 1000 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET "+paths[i%len(paths)]+" HTTP/1.1\r\nHost: troupe\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	most := uint64(0)
	middle, slowest := runFor(8*time.Second, func() {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	})
	t.Logf("at most %d MiB more", most>>20)
	if most > 512<<20 {
		t.Errorf("%d MiB more", most>>20)
	}
	if middle > stalledTimes*alone+stalledMoment || slowest > stalledWorst {
		t.Errorf("the middle run took %v, and %v without readers; the slowest %v", middle, alone, slowest)
	}
	if n := s.held.Load(); n > 3*maxHeld {
		t.Errorf("%d MiB wait for readers", n>>20)
	}
}
