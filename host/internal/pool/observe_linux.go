package pool

import (
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// unobserved tells nobody.
type unobserved struct{}

func (unobserved) Spawning(string)    {}
func (unobserved) Spawned(string)     {}
func (unobserved) Retired(string)     {}
func (unobserved) Killed(_, _ string) {}

func (unobserved) TimedOut(_, _ string) {}
func (unobserved) Orphaned(string)      {}

// gone takes note of the end of a process.
func (w *worker) gone(orphans bool) {
	w.pool.mu.Lock()
	delete(w.pool.workers, w)
	greeted := w.greeted
	w.reaped = true
	w.pool.mu.Unlock()
	if l := w.line.Load(); l != nil {
		l.hangup()
	}
	if w.pool.spares.remove(w) {
		_ = w.conn.Close()
	}
	if greeted {
		w.pool.cfg.Observe.Retired(w.kind)
	}
	if orphans {
		w.pool.cfg.Observe.Orphaned(w.kind)
	}
}

// hasGreeted takes note of the start of a process, which may have ended since.
func (w *worker) hasGreeted() {
	w.pool.cfg.Observe.Spawned(w.kind)
	w.pool.mu.Lock()
	w.greeted = true
	ended := w.reaped
	w.pool.mu.Unlock()
	if ended {
		w.pool.cfg.Observe.Retired(w.kind)
	}
}

// killed tells why a worker does not live on after its job.
func (w *worker) killed(f *fault.Error) { w.pool.cfg.Observe.Killed(w.kind, killReason(f)) }

// timedOut tells which clock saw that a limit of time had passed, if f says that one had.
func (w *worker) timedOut(f *fault.Error, clock string) {
	if f == nil {
		return
	}
	reason := killReason(f)
	switch {
	case reason != "cpu_limit" && reason != "wall_limit":
	case clock == run.ClockWorker:
		w.pool.cfg.Observe.TimedOut(w.kind, "worker")
	case clock == run.ClockWall || reason == "wall_limit":
		w.pool.cfg.Observe.TimedOut(w.kind, "wall")
	default:
		w.pool.cfg.Observe.TimedOut(w.kind, "host_cpu")
	}
}

func killReason(f *fault.Error) string {
	switch f.Code {
	case fault.GuestCPULimit, fault.GuestPrepareCPU:
		return "cpu_limit"
	case fault.GuestWallLimit, fault.SuspectWallLimit, fault.SuspectPrepareWall:
		return "wall_limit"
	case fault.GuestMemory, fault.GuestPrepareMemory:
		return "memory"
	case fault.GuestOutputLimit:
		return "output_limit"
	case fault.SuspectBadReply:
		return "bad_reply"
	case fault.CanceledStopped:
		return "stopped"
	}
	if f.Class == fault.Canceled || f.Class == fault.Caller {
		return "canceled"
	}
	return "died"
}
