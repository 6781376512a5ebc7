//go:build timed

package kernel

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

// TestTimedWatchTenThousand looks at 10,000 actors as somebody does who looks once a second: that takes at most 1 % of a core,
// the collection of garbage included.
func TestTimedWatchTenThousand(t *testing.T) {
	const actors, looks, limit = 10_000, 50, 10 * time.Millisecond
	s := benchSystem(t)
	manyActors(t, s, actors)
	var buf []inspect.Actor
	buf = s.AppendInspect(buf)
	for try := range 2 {
		before := cpu(t)
		for range looks {
			if buf = s.AppendInspect(buf[:0]); len(buf) != actors {
				t.Fatalf("%d actors", len(buf))
			}
		}
		took := (cpu(t) - before) / looks
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("a look at %d actors: limit %v of processor time, measured %v, load %s", actors, limit, took, strings.Fields(string(load))[0])
		if took <= limit {
			return
		}
		if try == 1 {
			t.Error("too slow each time")
		}
	}
}

// cpu is the processor time that this process has taken.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
