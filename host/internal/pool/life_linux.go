package pool

import "time"

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
