//go:build timed

package control

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	sampling "github.com/troupehost/troupe/host/internal/watch"
)

// crowd is a host with real actors, of which some are given messages.
type crowd struct {
	*world
	sys   *kernel.System
	rates *sampling.Sampler
	refs  []kernel.Ref[int]
	done  sync.WaitGroup // of messages
}

func newCrowd(t *testing.T, actors int) *crowd {
	t.Helper()
	sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{world: newWorld(), sys: sys, rates: sampling.New(sys.Totals)}
	t.Cleanup(func() {
		c.rates.Close()
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for i := range actors {
		r, err := kernel.Spawn(sys, kernel.Options[int]{Name: fmt.Sprintf("app-%060d", i), Kind: "app", New: func(*kernel.Ctx[int]) kernel.Handler[int] {
			return kernel.HandlerFunc[int](func(*kernel.Ctx[int], int) { c.done.Done() })
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.refs = append(c.refs, r)
	}
	c.work(t, 0, 1)
	return c
}

// work gives a message to each n-th actor, from the one on that is named.
func (c *crowd) work(t *testing.T, from, n int) {
	t.Helper()
	for i := from; i < len(c.refs); i += n {
		c.done.Add(1)
		if err := c.refs[i].Send(1); err != nil {
			t.Fatal(err)
		}
	}
	c.done.Wait()
}

func (c *crowd) Actors(_ context.Context, dst []inspect.Actor) ([]inspect.Actor, error) {
	from := len(dst)
	dst = c.sys.AppendInspect(dst)
	c.rates.Look(dst[from:])
	return dst, nil
}

func (c *crowd) Watched() func() { return c.rates.Watch() }

// TestTimedOneViewer: who watches 10,000 actors once a second, of which each 30th does something meanwhile, takes at most 1 % of a core:
// the look of the kernel, the rates, the query and the order, the difference, the JSON and the stream, with the collection of garbage
// and with the messages that make the actors busy. Several who watch the same take little more than one; each message changes the row of
// its actor four times, as it enters and leaves the windows of the rates.
func TestTimedOneViewer(t *testing.T) {
	const actors, frames = 10_000, 10
	c := newCrowd(t, actors)
	s := New(c, Options{})
	defer s.Close()
	for _, row := range []struct {
		name, target string
		viewers      int
		limit        time.Duration
	}{
		{"by path, a window of 500", "/v1/watch/actors?sort=path&limit=500", 1, 10 * time.Millisecond},
		{"the busiest 100 of those that match", "/v1/watch/actors?q=state=idle,busy&sort=-rate&limit=100", 1, 10 * time.Millisecond},
		{"by path, a window of 500, eight viewers", "/v1/watch/actors?sort=path&limit=500", 8, 15 * time.Millisecond},
		{"all 10,000, of which more than 1,000 change", "/v1/watch/actors?limit=10000", 1, 30 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			for try := range 3 {
				took := c.watched(t, s, row.target, row.viewers, frames)
				load, _ := os.ReadFile("/proc/loadavg")
				t.Logf("%d viewers, %d actors: limit %v of processor time in a second, measured %v, load %s", row.viewers, actors, row.limit, took, strings.Fields(string(load))[0])
				if took <= row.limit {
					return
				}
				if try == 2 {
					t.Error("too slow each time")
				}
			}
		})
	}
}

// watched is the processor time that a frame takes, its readers included.
func (c *crowd) watched(t *testing.T, s *Server, target string, viewers, frames int) time.Duration {
	var nexts []func() (string, string, []byte)
	for range viewers {
		next, end := stream(t, t.Context(), s, target)
		defer end()
		if _, f := frameOf(t, next); f.Total < len(c.refs) { // all of it; it comes once
			t.Fatal(f.Total)
		}
		nexts = append(nexts, next)
	}
	frame := func(n int) {
		c.work(t, n%30, 30)
		for _, next := range nexts {
			if _, kind, data := next(); kind != "" {
				t.Fatalf("%s %s", kind, data)
			}
		}
	}
	for n := range 3 { // rates are there from the second tick on
		frame(n)
	}
	before := processorTime(t)
	for n := range frames {
		frame(n)
	}
	return (processorTime(t) - before) / time.Duration(frames)
}

// processorTime is what this process has taken.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
