package pool

import (
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

const (
	// idleLook is how often the clock of an idle worker is read.
	idleLook = 500 * time.Millisecond
	// idleCPU is more than an honest worker uses after it answered, but for its collector, which may have all to go through
	// that the worker made of an artifact: idleCPUPerMiB of that. Of idle time its runtime may use one part in idleShare.
	idleCPU       = 50 * time.Millisecond
	idleCPUPerMiB = 2 * time.Millisecond
	idleShare     = 1000
)

// idleWatch looks after a worker between its runs. Whoever has taken it over could go on for ever there, at nobody's
// expense.
type idleWatch struct {
	w     *worker
	grace time.Duration // see idleCPU

	mu     sync.Mutex
	timer  *time.Timer // nil: not idle
	since  time.Time
	before time.Duration // CPU time of the process when it became idle
}

// graceOf is the CPU time that a worker of an artifact of so many bytes may use after it answered.
func graceOf(artifact int64) time.Duration {
	if raceDetector { // which makes all of it many times slower
		return time.Second
	}
	return idleCPU + time.Duration(artifact>>20)*idleCPUPerMiB
}

// begin says that the worker is idle from now on.
func (i *idleWatch) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.since, i.before = time.Now(), i.w.proc.cpu()
	i.timer = time.AfterFunc(idleLook, i.look)
}

// end says that the worker is not idle any more, and returns what is wrong with what it did meanwhile, or nil.
func (i *idleWatch) end() error {
	if !i.stop() || i.w.proc.isReaped() {
		return nil
	}
	return i.judge()
}

// stop reports whether the worker was watched until now.
func (i *idleWatch) stop() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	watched := i.timer != nil
	if watched {
		i.timer.Stop()
		i.timer = nil
	}
	return watched
}

func (i *idleWatch) look() {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.timer == nil:
	case i.w.proc.isReaped():
		i.timer = nil
	case i.judge() != nil:
		i.timer = nil
		i.w.halt() // its owner waits for its death
	default:
		i.timer.Reset(idleLook)
	}
}

// judge warns if it returns an error.
func (i *idleWatch) judge() error {
	idle, used := time.Since(i.since), i.w.proc.cpu()-i.before
	if used <= i.grace+idle/idleShare {
		return nil
	}
	what := "used " + used.String() + " of CPU time while it was idle for " + idle.String()
	i.w.pool.cfg.Observe.Killed(i.w.kind, "idle_cpu")
	if warn := i.w.pool.cfg.Warn; warn != nil {
		warn(i.w.snapshot(), what)
	}
	return worded(what)
}

func (w *worker) snapshot() inspect.Worker {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.snapshotLocked()
}
