package prepare

import (
	"maps"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// maxShown bounds the jobs of a snapshot: those that run, and of the others the first in line.
const maxShown = 1000

func (s *State) show(now time.Time) inspect.Queue {
	q := inspect.Queue{Name: "prepare", Cap: s.limits.Queue, Parked: map[string]int{}, Running: len(s.running), Workers: len(s.running),
		Soft: s.limits.Soft, Hard: s.limits.Hard, Refused: s.refused, Paused: s.paused, PausedSince: s.since}
	for _, worker := range slices.Sorted(maps.Keys(s.running)) {
		q.Preparations = append(q.Preparations, s.running[worker].show(now))
	}
	for p := run.Critical; p >= run.Background; p-- {
		q.Parked[p.String()] = len(s.parked[p])
		for _, j := range s.parked[p] {
			if q.OldestAt.IsZero() || j.since.Before(q.OldestAt) {
				q.OldestAt = j.since
			}
			if len(q.Preparations) < maxShown {
				q.Preparations = append(q.Preparations, j.show(now))
			}
		}
	}
	q.Preparations = q.Preparations[:min(len(q.Preparations), maxShown)]
	return q
}

func (j *job) show(now time.Time) inspect.Preparation {
	p := inspect.Preparation{Job: j.ID, Artifact: j.Key.String(), CodeHash: j.Code.String(), Tenant: fault.Quote(j.Tenant), Priority: j.Priority.String(),
		State: j.state(now), Since: j.since, StartedAt: j.started, BudgetCPU: j.Budget.CPU.Microseconds(), Escalations: slices.Clone(j.raised)}
	if p.State == stateHeld {
		p.Held = j.how
	}
	if j.worker != 0 {
		p.Actor = "prepare/" + kernel.Numbered("worker", j.worker)
	}
	return p
}

// The states of a job.
const (
	stateParked   = "parked"
	stateBackoff  = "backoff"  // its process could not be started, and will be tried again
	stateRunning  = "running"  // it has a process
	stateHeld     = "held"     // and that is held back while a critical job runs
	stateStopping = "stopping" // it is answered, and its process is dying
)

func (j *job) state(now time.Time) string {
	switch {
	case j.answered:
		return stateStopping
	case j.worker == 0 && j.notBefore.After(now):
		return stateBackoff
	case j.worker == 0:
		return stateParked
	case j.held:
		return stateHeld
	}
	return stateRunning
}
