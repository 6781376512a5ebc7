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

// realClock is the time of a run in the real world: the clocks of the machine, in whole steps. Both step at the same moments, so
// that one does not tell the phase of the other. Readings never differ by less than a step unless they are the same.
type realClock struct {
	step  time.Duration
	begin time.Time
	wall  int64 // nanoseconds since 1970 at begin
	mono  int64 // of the machine's clock that never goes back, at begin, in the phase of wall
}

// DefaultClockStep is the resolution of clocks where a Spec names none.
const DefaultClockStep = 100 * time.Microsecond

func newRealClock(step time.Duration) *realClock {
	if step <= 0 {
		step = DefaultClockStep
	}
	begin := time.Now()
	w := &realClock{step: step, begin: begin, wall: begin.UnixNano(), mono: int64(uptime())}
	w.mono += (w.wall - w.mono) % int64(step)
	return w
}

// cut returns the last step at or before n nanoseconds.
func (w *realClock) cut(n int64) int64 {
	if over := n % int64(w.step); over >= 0 {
		return n - over
	}
	return n - n%int64(w.step) - int64(w.step) // before 1970
}

func (w *realClock) readMono() int64 { return w.cut(w.mono + int64(time.Since(w.begin))) }

// readWall follows a clock that is set while the guest runs.
func (w *realClock) readWall() int64 { return w.cut(time.Now().UnixNano()) }

// wallOf splits nanoseconds since 1970.
func wallOf(now int64) (sec int64, nsec int32) {
	sec, rest := now/int64(time.Second), now%int64(time.Second)
	if rest < 0 {
		sec, rest = sec-1, rest+int64(time.Second)
	}
	return sec, int32(rest)
}

// lateClocks are those of the deterministic world while an instance is initialised, and those of the machine afterwards.
func (s *runState) lateClocks(cfg wazero.ModuleConfig, w *realClock) wazero.ModuleConfig {
	step := sys.ClockResolution(w.step)
	return cfg.WithNanosleep(func(n int64) {
		if s.meter.init {
			s.clock.sleep(n)
		} else if n > 0 {
			<-time.After(time.Duration(n))
		}
	}).WithNanotime(func() int64 {
		if s.meter.init {
			return s.clock.read()
		}
		return w.readMono()
	}, step).WithWalltime(func() (int64, int32) {
		if s.meter.init {
			return wallOf(epoch*int64(time.Second) + s.clock.read())
		}
		return wallOf(w.readWall())
	}, step)
}

// set makes the clocks those of a run. A sleep is as exact as the machine: it takes the guest's time, and tells it nothing.
func (w *realClock) set(cfg wazero.ModuleConfig) wazero.ModuleConfig {
	step := sys.ClockResolution(w.step)
	return cfg.WithSysNanosleep().WithNanotime(w.readMono, step).WithWalltime(func() (int64, int32) { return wallOf(w.readWall()) }, step)
}
