package engine

import (
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
)

// clock is the time of a deterministic run: it begins at the same moment in each run, steps a millisecond on each reading,
// and jumps ahead when the guest sleeps, so that a sleep takes no time and still happened.
type clock struct {
	nanos int64 // since epoch
}

// epoch is midnight of the first day of 2022, UTC, in seconds.
const epoch = 1640995200

func (c *clock) read() int64 {
	now := c.nanos
	c.sleep(int64(time.Millisecond))
	return now
}

func (c *clock) sleep(n int64) {
	if n > 0 && c.nanos+n > c.nanos { // the end of time is never passed
		c.nanos += n
	}
}

// set makes the clock that of a run.
func (c *clock) set(cfg wazero.ModuleConfig) wazero.ModuleConfig {
	step := sys.ClockResolution(time.Millisecond)
	return cfg.WithNanotime(c.read, step).WithNanosleep(c.sleep).WithWalltime(func() (sec int64, nsec int32) {
		now := c.read()
		return epoch + now/int64(time.Second), int32(now % int64(time.Second))
	}, step)
}
