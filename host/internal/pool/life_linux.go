package pool

import (
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// lifeCPU is the CPU time after which an execute worker is recycled. The operating system holds it to that and one run more.
const lifeCPU = time.Hour

// lifeSlack is by how much a run can go over its CPU limit before the clocks end it, at most: the limit of a life must never be
// the first that strikes.
const lifeSlack = 30 * time.Second

// lifeSeconds is the limit on the CPU time of a life in which the last run may use so much. No run begins in a life that is
// over.
func (p *Pool) lifeSeconds(last time.Duration) int64 {
	return int64((p.cfg.lifeCPU + last + lifeSlack + time.Second - 1) / time.Second)
}

// outlives makes room in the life of the worker for a run, and reports whether there is. The limits of runs differ rarely.
func (x *executor) outlives(cpu time.Duration) bool {
	if cpu <= x.longest {
		return true
	}
	if !x.proc.raise(rlimits{cpuSeconds: x.pool.lifeSeconds(cpu)}) {
		return x.proc.isReaped() // what that means is found elsewhere
	}
	x.longest = cpu
	return true
}

// after lets the worker wait for its next run, or ends it in good order and says why.
func (x *executor) after() (retired string) {
	switch {
	case x.binding.Isolation == run.Process:
		retired = run.RetiredUsed
	case x.proc.cpu() >= x.pool.cfg.lifeCPU:
		retired = run.RetiredRecycled
	default:
		x.setState("idle")
		x.idle.begin()
		return ""
	}
	x.setState("ending")
	x.halt() // its owner waits for its death
	return retired
}
