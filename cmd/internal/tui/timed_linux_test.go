//go:build timed

package tui

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/host/control/client"
)

// busyHost has actors of which each 30th has done something when the next frame comes.
type busyHost struct {
	*fake
	frames [30]api.Frame // made before, since what the host takes is not ours
	sent   chan struct{}
}

func (h *busyHost) Watch(ctx context.Context, view string, find client.Find, every time.Duration, last string, show func(api.Frame) error) (string, error) {
	if view != "actors" {
		return h.fake.Watch(ctx, view, find, every, last, show)
	}
	find.Limit = maxRows
	whole, err := frameOf(h.b, view, find)
	if err == nil {
		err = show(whole)
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for n := 0; err == nil; n++ {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-t.C:
			err = show(h.frames[n%len(h.frames)])
			h.sent <- struct{}{}
		}
	}
	return "", err
}

// TestTimedTop: a console on a real terminal that shows 10,000 actors, of which 333 change each second, takes at most 2 % of a core.
func TestTimedTop(t *testing.T) {
	const actors, frames, limit = 10_000, 15, 20 * time.Millisecond
	h := &busyHost{fake: newFake(bundletest.Rich(actors)), sent: make(chan struct{}, 100)}
	for n := range h.frames {
		f := api.Frame{View: "actors", Matched: actors, Total: actors, Boot: h.b.Host.Boot, At: bundletest.At.Add(time.Duration(n) * time.Second)}
		for i := n; i < len(h.b.Host.Actors); i += len(h.frames) {
			a := h.b.Host.Actors[i]
			a.Handled += uint64(n)
			text, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			f.Rows = append(f.Rows, api.Row{ID: a.Path, Row: text})
		}
		h.frames[n] = f
	}
	screen, keys := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Source: h, In: keys, Out: keys, Looks: Plain, View: "actors", Env: []string{"TERM=xterm"}})
	}()
	var drawn atomic.Int64
	go func() {
		for buf := make([]byte, 1<<16); ; {
			n, err := screen.Read(buf)
			if drawn.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	wait := func(frames int) {
		for range frames {
			<-h.sent
		}
	}
	for try := range 3 {
		wait(2)
		before, wrote := processorTime(t), drawn.Load()
		wait(frames)
		took := (processorTime(t) - before) / frames
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("troupe top with %d actors: limit %v of processor time in a second, measured %v, %d bytes drawn, load %s", actors, limit, took, drawn.Load()-wrote, strings.Fields(string(load))[0])
		if wrote == 0 {
			t.Fatal("nothing is drawn")
		}
		if took <= limit {
			break
		}
		if try == 2 {
			t.Error("too slow each time")
		}
	}
	cancel()
	<-ended
}

// terminal is a terminal of 120 by 40: what is drawn is read from screen.
func terminal(t *testing.T) (screen, keys *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals here:", err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120})
	}
	if err == nil {
		keys, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keys.Close(), screen.Close() })
	return screen, keys
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
