//go:build timed

package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
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

// A thousand readers that take nothing cost bounded memory, and no job is the slower for them.
func TestAThousandStalledReaders(t *testing.T) {
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
	runOnce()
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
	slowest, most := time.Duration(0), uint64(0)
	for begin := time.Now(); time.Since(begin) < 8*time.Second; {
		slowest = max(slowest, runOnce())
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	}
	t.Logf("slowest run %v, at most %d MiB more", slowest, most>>20)
	if most > 512<<20 {
		t.Errorf("%d MiB more", most>>20)
	}
	if slowest > 2*time.Second {
		t.Errorf("a run took %v", slowest)
	}
	if n := s.held.Load(); n > 3*maxHeld {
		t.Errorf("%d MiB wait for readers", n>>20)
	}
}
