//go:build timed

package pool

import (
	"testing"
	"time"
)

// TestTimedRunBombs holds the line of a machine at rest: limit and 5 %, or 10 ms. A guest that computes at its wall limit is
// looked at for longer, so that nobody is blamed for the load of others.
func TestTimedRunBombs(t *testing.T) {
	const largest = 16384 // pages: a gigabyte
	explodeAll(t, largest, time.Second/2, func(kind string, l time.Duration) time.Duration {
		if kind == "wall" {
			return l / 2
		}
		return max(l/20, 10*time.Millisecond)
	})
}

func TestTimedBombsLeaveTheHostAsItWas(t *testing.T) { bombard(t, 10_000) }
