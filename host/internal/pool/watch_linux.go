package pool

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// bounds are what one job may use, and what going over them is called.
type bounds struct {
	cpu, wall time.Duration
	look      time.Duration // how often to look at the memory of the process; 0: never
	cpuCode   fault.Code
	wallCode  fault.Code
	waits     func() bool // the job waits for its caller now; nil: it never does
	waitCode  fault.Code  // of the wall limit, while the job waits or sleeps
}

// watch kills a worker whose job goes over its bounds, is canceled, or breaks the rules. The first reason is the verdict.
type watch struct {
	w      *worker
	op     string
	b      bounds
	begin  time.Time
	before time.Duration // CPU time of the process at the beginning
	ended  chan struct{} // closed by the first reason

	mu     sync.Mutex
	over   bool // no reason counts any more
	reason *fault.Error
	timer  *time.Timer
	leave  func() bool
}

// minTick bounds how often a clock is read, and so how far a job can go over its CPU limit: by this on each core.
const minTick = time.Millisecond

// watch starts a watch on w.
func (w *worker) watch(ctx context.Context, op string, b bounds) *watch {
	t := &watch{w: w, op: op, b: b, begin: time.Now(), before: w.proc.cpu(), ended: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(t.next(0), t.tick)
	t.leave = context.AfterFunc(ctx, func() { t.stop(canceled(ctx)) })
	return t
}

// used returns the CPU time since the beginning.
func (t *watch) used() time.Duration { return max(0, t.w.proc.cpu()-t.before) }

// next returns when the job can have reached a bound at the earliest, all cores being its own.
func (t *watch) next(used time.Duration) time.Duration {
	cpu := max((t.b.cpu-used)/time.Duration(runtime.NumCPU()), minTick)
	if t.b.look > 0 {
		cpu = min(cpu, t.b.look)
	}
	return max(min(cpu, t.b.wall-time.Since(t.begin)), 0)
}

func (t *watch) tick() {
	if t.b.look > 0 {
		t.w.proc.look()
	}
	used := t.used()
	switch {
	case used >= t.b.cpu:
		t.stop(t.fault(t.b.cpuCode, worded("used "+used.String()+" of "+t.b.cpu.String())))
		return
	case time.Since(t.begin) >= t.b.wall:
		code := t.b.wallCode
		if t.waiting() {
			code = t.b.waitCode
		}
		t.stop(t.fault(code, worded("after "+t.b.wall.String())))
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.timer.Reset(t.next(used))
	}
}

// waiting reports whether the job waits for its caller or sleeps of its own accord. Threads wake for a moment now and
// then, so a few looks must agree.
func (t *watch) waiting() bool {
	if t.b.waits == nil {
		return false
	}
	if t.b.waits() {
		return true
	}
	for range 3 {
		if !t.w.proc.asleep() {
			return false
		}
		<-time.After(minTick)
	}
	return true
}

// stop records why the job must end, unless there is a reason already or the job is over, and kills the worker.
func (t *watch) stop(f *fault.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.reason != nil {
		return
	}
	t.reason = f
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
	case t.w.proc.ranOut():
		return t.fault(memory, t.w.proc.epitaph())
	}
	return t.fault(died, t.w.proc.epitaph())
}
