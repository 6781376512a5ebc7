//go:build timed

package control

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
)

// crowd is a host of which actors change between looks, as they do when a host works.
type crowd struct {
	*world
	looks int
}

func (c *crowd) Inspect(ctx context.Context) (inspect.Host, error) {
	c.looks++
	now := time.Now().UTC()
	for i := c.looks % 4; i < len(c.actors); i += 4 {
		a := &c.actors[i]
		a.At, a.Accepted, a.Handled, a.Depth = now, a.Accepted+3, a.Handled+3, (a.Depth+1)%10
	}
	return c.world.Inspect(ctx)
}

// TestTimedOneViewer: one console that watches 10,000 actors once a second takes little of a core of the host, 1 % being the goal: the copy of what
// the host tells, the order, the window of 500 rows, the difference, the JSON and the stream, with the collection of garbage.
// The look of the kernel itself has a bar of its own.
func TestTimedOneViewer(t *testing.T) {
	// The goal of 1 % is not met yet; what is held is that it gets no worse.
	const actors, frames, goal, limit = 10_000, 40, 10 * time.Millisecond, 30 * time.Millisecond
	for try := range 2 {
		h := &crowd{world: newWorld()}
		h.actors = bundletest.Rich(actors).Host.Actors
		s := New(h, Options{})
		next, end := stream(t, t.Context(), s, "/v1/watch/actors?sort=path&limit=500&every_us=250000")
		if _, f := frameOf(t, next); f.Total < actors { // all of it; it comes once
			t.Fatal(f.Total)
		}
		before := processorTime(t)
		for n := 0; n < frames; {
			_, kind, data := next()
			if kind == "closed" || kind == "" && len(data) < 1000 {
				t.Fatalf("%s %s", kind, data)
			}
			if kind == "" {
				n++
			}
		}
		took := (processorTime(t) - before) / frames
		end()
		s.Close()
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("one viewer, %d actors: goal %v of processor time in a second, limit %v, measured %v, load %s", actors, goal, limit, took, strings.Fields(string(load))[0])
		if took <= limit {
			return
		}
		if try == 1 {
			t.Error("too slow each time")
		}
	}
}

// processorTime is what this process has taken; the reader of the stream is in it too.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
