package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime reads the clock that never goes back, whichever process reads it: an instance that goes on from a snapshot of another
// one must not see time run backwards.
func uptime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it exists on every Linux
	return time.Duration(ts.Nano())
}
