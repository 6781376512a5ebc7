package pool

import (
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

// graceOf is the CPU time that a worker of an artifact of so many bytes may use after it answered.
func graceOf(artifact int64) time.Duration {
	if raceDetector { // which makes all of it many times slower
		return time.Second
	}
	return idleCPU + time.Duration(artifact>>20)*idleCPUPerMiB
}

// idleFault returns what is wrong with a worker that used so much CPU time while it had no run, or nil. Whoever has taken it
// over could go on for ever there, at nobody's expense. It warns if it returns an error.
func (x *executor) idleFault(idle, used time.Duration) error {
	if used <= x.grace+idle/idleShare || x.proc.isReaped() {
		return nil
	}
	what := "used " + used.String() + " of CPU time while it was idle for " + idle.String()
	x.pool.cfg.Observe.Killed(x.kind, "idle_cpu")
	if warn := x.pool.cfg.Warn; warn != nil {
		warn(x.snapshot(), what)
	}
	return worded(what)
}

func (w *worker) snapshot() inspect.Worker {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	return w.snapshotLocked()
}
