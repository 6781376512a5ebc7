package pool

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
)

// bounds are what one job may use, and what going over them is called.
type bounds struct {
	cpu, wall time.Duration
	look      time.Duration // how often to look at the memory of the process; 0: never
	cpuCode   fault.Code
	wallCode  fault.Code
	waits     func() bool               // the job waits for its caller now; nil: it never does
	waitCode  fault.Code                // of the wall limit, while the job waits or sleeps
	passed    func(used prepare.Budget) // called at each mark; nil: there are none
}

// watch kills a worker whose job goes over its bounds, is canceled, or breaks the rules. The first reason is the verdict.
// It may be steered: bounds rise, marks come, and the worker is held back, which does not count as wall time.
type watch struct {
	w      *worker
	op     string
	b      bounds
	begin  time.Time
	before time.Duration // CPU time of the process at the beginning
	ended  chan struct{} // closed by the first reason
	ticks  int
	starve time.Duration // what the process had been starved for at the first tick
	late   look          // the last, shortly before the wall limit or after it
	lack   time.Duration // how soon to look again after the wall limit
	near   time.Duration // the CPU time at the last look close to the limit

	mu     sync.Mutex       // guards b too, once the watch has begun
	marks  []prepare.Budget // not reached yet
	told   int              // how many marks were ever taken over
	held   time.Time        // since when the worker is held back; zero: it is not
	wasted time.Duration    // for how long it was before
	braked bool             // something is left to be released
	over   bool             // no reason counts any more
	reason *fault.Error
	clock  string // which clock the reason is owed to
	timer  *time.Timer
	leave  func() bool
}

// minTick bounds how often a clock is read, and so how far a job can go over its CPU limit: by this on each core.
const minTick = time.Millisecond

// A job that computes and has no more than nearLimit of CPU time left is looked at up to every nearTick. The runtime's timers
// are late by up to a millisecond, so a thread sleeps in the kernel meanwhile.
const (
	nearLimit = 3 * time.Millisecond
	nearTick  = 100 * time.Microsecond
)

// watch starts a watch on w, whose job begins now.
func (w *worker) watch(ctx context.Context, op string, b bounds) *watch {
	return w.watchSince(ctx, op, b, time.Now(), w.proc.cpu())
}

// watchSince starts a watch on w, whose job began then, when its process had used so much CPU time.
func (w *worker) watchSince(ctx context.Context, op string, b bounds, begin time.Time, before time.Duration) *watch {
	t := &watch{w: w, op: op, b: b, begin: begin, before: before, ended: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(t.nextLocked(0), t.tick)
	t.leave = context.AfterFunc(ctx, func() { t.stop(canceled(ctx)) })
	return t
}

// used returns the CPU time since the beginning.
func (t *watch) used() time.Duration { return max(0, t.w.proc.cpu()-t.before) }

// steer changes what may change while the job runs, and returns how the worker is held back. "" is: too late. later: more of
// it can be done if this is called again. Marks are all that there ever were.
func (t *watch) steer(b prepare.Budget, marks []prepare.Budget, held bool) (how string, later bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.reason != nil {
		return "", false
	}
	t.b.cpu, t.b.wall = max(t.b.cpu, b.CPU), max(t.b.wall, b.Wall)
	if len(marks) > t.told {
		t.marks = append(t.marks, marks[t.told:]...)
		t.told = len(marks)
		t.passLocked(t.used())
	}
	if held != !t.held.IsZero() {
		if now := time.Now(); held {
			t.held = now
		} else {
			t.wasted += now.Sub(t.held)
			t.held = time.Time{}
		}
	}
	return t.brakeLocked()
}

// brakeLocked holds the worker back, or undoes what is left of it.
func (t *watch) brakeLocked() (how string, later bool) {
	p := t.w.proc
	if !t.held.IsZero() {
		t.braked = true
		return p.hold(t.w.pool.brake)
	}
	if t.braked {
		t.braked = !p.release(t.w.pool.brake)
	}
	return brakeNone, false
}

// wallLocked returns the time since the beginning for which the worker was not held back.
func (t *watch) wallLocked() time.Duration {
	wall := time.Since(t.begin) - t.wasted
	if !t.held.IsZero() {
		wall -= time.Since(t.held)
	}
	return wall
}

// passLocked tells of the marks that are reached.
func (t *watch) passLocked(cpu time.Duration) {
	if len(t.marks) == 0 || t.b.passed == nil {
		return
	}
	used := prepare.Budget{CPU: cpu, Wall: t.wallLocked(), MemoryBytes: t.w.proc.peakRSS()}
	left := t.marks[:0:0]
	for _, m := range t.marks {
		if !used.Reached(m) {
			left = append(left, m)
		}
	}
	if len(left) < len(t.marks) {
		t.marks = left
		t.b.passed(used)
	}
}

// nextLocked returns when the job can have reached a bound at the earliest, all cores being its own.
func (t *watch) nextLocked(used time.Duration) time.Duration {
	cpu := max((t.b.cpu-used)/time.Duration(runtime.NumCPU()), minTick)
	if t.b.look > 0 {
		cpu = min(cpu, t.b.look)
	}
	wall := t.b.wall - t.wallLocked()
	switch {
	case wall <= 0 && t.ticks > 0:
		wall = max(min(t.lack, starveLook), minTick)
	case wall > starveLook+minTick: // a look before, to compare with
		wall -= starveLook
	}
	return max(min(cpu, wall), 0)
}

// starveLook is how often a job is looked at that is over its wall limit and goes on since it was starved, and how long before
// its limit it is looked at first.
const starveLook = 10 * time.Millisecond

// overWallLocked reports whether the wall limit has passed. Time for which the machine had no core for the process does not
// count, up to mostWall: what a job that computes is called must not depend on the load.
func (t *watch) overWallLocked(used time.Duration) bool {
	over, most := t.wallLocked()-t.b.wall, mostWall(t.b.wall)-t.b.wall
	switch {
	case over < 0:
		if -over <= 2*starveLook {
			t.late = look{at: time.Now(), used: used}
		}
		return false
	case over >= most:
		return true
	}
	if t.lack = t.w.proc.starved() - t.starve - over; t.lack > 0 {
		return false
	}
	if t.w.proc.rest() != restNot {
		return true
	}
	t.lack = starveLook
	// A wait for a core is in the account only when it has ended: one of four seconds was seen. As long as a thread is ready
	// and next to nothing runs, the job goes on.
	before := t.late
	t.late = look{at: time.Now(), used: used}
	return !before.at.IsZero() && used-before.used >= t.late.at.Sub(before.at)/leastShare
}

// look is the CPU time that a process had used at a time.
type look struct {
	at   time.Time
	used time.Duration
}

// leastShare is the part of a core that tells a process which gets little of it from one that gets none, and whose runtime
// wakes up now and then on another.
const leastShare = 10

// mostWall is the most time that a job with this wall limit can have.
func mostWall(limit time.Duration) time.Duration { return 4 * limit }

func (t *watch) tick() {
	if t.b.look > 0 {
		t.w.proc.look()
	}
	if t.ticks++; t.ticks == 1 {
		t.starve = t.w.proc.starved()
	}
	for {
		rest, all := t.tickOn(t.used())
		if rest > 0 {
			ts := unix.NsecToTimespec(int64(rest))
			_ = unix.Nanosleep(&ts, nil) // earlier, after a signal: a look more
			continue
		}
		if all {
			return
		}
		break
	}
	// The wall limit of a job that may wait: whether it does takes some looks.
	code := t.b.wallCode
	if t.waiting() {
		code = t.b.waitCode
	}
	t.strike(run.ClockWall, t.wallFault(code))
}

// tickOn looks at the bounds, and reports whether that was all, or after which rest it must be called again.
func (t *watch) tickOn(used time.Duration) (rest time.Duration, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.reason != nil {
		return 0, true
	}
	t.passLocked(used)
	switch {
	case used >= t.b.cpu && !t.w.pool.cfg.clocks.noHost:
		t.strikeLocked(run.ClockHost, t.overCPU(used))
	case !t.overWallLocked(used):
		_, _ = t.brakeLocked()
		if rest = t.restLocked(used); rest == 0 {
			t.timer.Reset(t.nextLocked(used))
		}
	case used >= t.b.cpu:
		t.strikeLocked(run.ClockWall, t.overCPU(used))
	case t.b.waits != nil:
		return 0, false
	default:
		t.strikeLocked(run.ClockWall, t.wallFault(t.b.wallCode))
	}
	return rest, true
}

// restLocked returns after which time to look at a job again that computes close to its CPU limit, 0 for any other.
func (t *watch) restLocked(used time.Duration) time.Duration {
	left, since := t.b.cpu-used, used-t.near
	t.near = used
	if left <= 0 || left > nearLimit || since < nearTick/2 {
		return 0
	}
	return max(left/time.Duration(runtime.NumCPU()), nearTick)
}

func (t *watch) wallFault(code fault.Code) *fault.Error {
	return t.fault(code, worded("after "+t.b.wall.String()))
}

// overCPU is the verdict of the account.
func (t *watch) overCPU(used time.Duration) *fault.Error {
	return t.fault(t.b.cpuCode, worded("used "+used.String()+" of "+t.b.cpu.String()))
}

// struck returns which clock ended the job, "" if none did. The watch has ended.
func (t *watch) struck() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason == nil && t.w.proc.endedByClock() && (t.used() >= t.b.cpu || time.Since(t.begin) >= t.b.wall) {
		return run.ClockWorker
	}
	return t.clock
}

// waitLooks is how often a job that is over its wall limit is looked at before it is said whether it waits.
const waitLooks = 64

// busyLooks are enough where all accounts say that a job computes.
const busyLooks = 3

// isBusy reports whether a process that used so much CPU time computed for most of that time.
func isBusy(used, of time.Duration) bool { return 4*used >= 3*of }

// waiting reports whether the job waits for its caller or sleeps of its own accord. Threads wake for a moment now and then,
// so the first looks must agree. Of one that sleeps again and again the looks depend on luck and load: there the accounts
// say whether it slept for most of the time for which it was not starved. They are complete while all threads sleep. One that
// has computed for most of its time, and does so for the first looks too, needs no more of them.
func (t *watch) waiting() bool {
	if t.b.waits() {
		return true
	}
	var first, last rested
	begin, asleep, held, used := time.Now(), 0, 0, t.used()
	busy := isBusy(used, begin.Sub(t.begin))
	for look := range waitLooks {
		if busy && look == busyLooks && isBusy(t.used()-used, time.Since(begin)) {
			return false
		}
		switch t.w.proc.rest() {
		case restAsleep:
			if asleep++; asleep == 3 && look == 2 {
				return true
			}
			if last = t.w.proc.rested(); asleep == 1 {
				first = last
			}
		case restHeld:
			held++
		}
		if look >= 2 && held > look/2 || t.w.proc.isReaped() {
			return false
		}
		<-time.After(minTick)
	}
	span := last.at.Sub(first.at)
	return 2*span >= time.Since(begin) && 2*(last.used-first.used) < span-last.starvedSince(first)
}

// stop records why the job must end, unless there is a reason already or the job is over, and kills the worker.
func (t *watch) stop(f *fault.Error) { t.strike("", f) }

// strike is a stop that is owed to a clock.
func (t *watch) strike(clock string, f *fault.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.strikeLocked(clock, f)
}

func (t *watch) strikeLocked(clock string, f *fault.Error) {
	if t.over || t.reason != nil {
		return
	}
	t.reason, t.clock = f, clock
	close(t.ended)
	t.w.halt()
}

// end ends the watch and returns the reason of the first stop.
func (t *watch) end() *fault.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.timer.Stop()
	t.leave()
	return t.reason
}

func (t *watch) fault(code fault.Code, cause error) *fault.Error {
	return fault.New(code, t.op, t.w.id, cause)
}

// autopsy says what the death of the worker, which nobody here ordered, means for its job. The worker is dead.
func (t *watch) autopsy(died, memory fault.Code) *fault.Error {
	switch {
	case t.w.pool.isClosed():
		return errStopped()
	case t.used() >= t.b.cpu:
		return t.fault(t.b.cpuCode, t.w.proc.epitaph())
	case t.w.proc.endedByClock() && time.Since(t.begin) >= t.b.wall:
		code := t.b.wallCode
		if t.b.waits != nil && t.b.waits() {
			code = t.b.waitCode
		}
		return t.fault(code, t.w.proc.epitaph())
	case t.w.proc.ranOut():
		return t.fault(memory, t.w.proc.epitaph())
	}
	return t.fault(died, t.w.proc.epitaph())
}
