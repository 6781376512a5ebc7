package worker

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/host/wire"
)

// clockStrikes returns the address of a signal handler that ends the process with wire.ClockExit.
func clockStrikes() uintptr

// The clocks strike a little after the host's own, so that it has the first word, and only for jobs that it must have
// judged by then.
const (
	cpuSlack  = 50 * time.Millisecond
	wallSlack = time.Second
)

// clock ends this process with wire.ClockExit when its job has used up what it may, CPU time or time.
//
// The kernel holds it, and sends a signal for whose handler the Go runtime is not needed. Without a handler the signals would
// end a process too, but not one that is the first of its pid namespace. A guest that spins cannot be interrupted by the Go
// runtime; a collection that begins meanwhile stops every goroutine until the guest ends, and a watching one with them.
type clock struct {
	cpu, wall int32 // timers of the kernel
	begin     wire.Clock
}

// newClock makes a clock that is not set. An error leaves the worker without one: the host watches from outside.
func newClock() (*clock, error) {
	c := &clock{}
	for _, t := range []struct {
		timer  *int32
		clock  uintptr
		signal unix.Signal
	}{{&c.cpu, unix.CLOCK_PROCESS_CPUTIME_ID, unix.SIGXCPU}, {&c.wall, unix.CLOCK_MONOTONIC, unix.SIGALRM}} {
		// Of these two the runtime would make a crash with a report, which takes its time and needs memory.
		act := struct { // the kernel's struct sigaction
			handler, flags, restorer, mask uintptr
		}{handler: clockStrikes(), flags: saOnStack | saRestorer, restorer: clockStrikes()}
		const maskBytes = 8
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(t.signal), uintptr(unsafe.Pointer(&act)), 0, maskBytes, 0, 0); errno != 0 {
			return nil, os.NewSyscallError("rt_sigaction", errno)
		}
		event := struct { // the kernel's struct sigevent
			value  uint64
			signal int32
			notify int32 // 0: a signal to the process
			_      [48]byte
		}{signal: int32(t.signal)}
		if _, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, t.clock, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(t.timer))); errno != 0 {
			return nil, os.NewSyscallError("timer_create", errno)
		}
	}
	return c, nil
}

const (
	saOnStack  = 0x08000000 // each thread of the runtime has a stack for signals; the guest's would be too small
	saRestorer = 0x04000000 // the kernel wants one on amd64, though the handler never returns
)

// set winds the clock for a job that begins now.
func (c *clock) set(limits wire.Clock) error {
	if c == nil {
		return nil
	}
	c.begin = wire.Clock{CPU: now(unix.CLOCK_PROCESS_CPUTIME_ID), Wall: now(unix.CLOCK_MONOTONIC)}
	return c.extend(limits)
}

// extend winds the clock anew for the job that set began. Zero stops it.
func (c *clock) extend(limits wire.Clock) error {
	if c == nil {
		return nil
	}
	if err := wind(c.cpu, c.begin.CPU, limits.CPU, cpuSlack); err != nil {
		return err
	}
	return wind(c.wall, c.begin.Wall, limits.Wall, wallSlack)
}

// stop says that the job is over.
func (c *clock) stop() error { return c.extend(wire.Clock{}) }

func now(clock int32) time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(clock, &ts) // there are no other errors than of a clock that does not exist
	return time.Duration(ts.Nano())
}

// wind sets a timer to the reading at which it strikes.
func wind(timer int32, begin, limit, slack time.Duration) error {
	const absolute = 1 // TIMER_ABSTIME
	var at unix.ItimerSpec
	if limit > 0 {
		at.Value = unix.NsecToTimespec(int64(begin + min(limit, unlimited) + slack))
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), absolute, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("timer_settime", errno)
	}
	return nil
}

// unlimited is more than any job may use, and less than what a sum with the reading of a clock holds.
const unlimited = 100 * 365 * 24 * time.Hour
