//go:build timed

package pool

import (
	"testing"
	"time"
)

// TestTimedRunBombs holds the line of a machine at rest: limit and 5 %, or 10 ms, until the guest is killed. What the kernel
// needs to take down a worker with much memory comes on top, and is charged to the run.
func TestTimedRunBombs(t *testing.T) {
	const largest = 16384 // pages: a gigabyte
	explodeAll(t, largest, time.Second/2, 4, func(l time.Duration) time.Duration { return max(l/20, 10*time.Millisecond) })
}

func TestTimedBombsLeaveTheHostAsItWas(t *testing.T) { bombard(t, 10_000) }
