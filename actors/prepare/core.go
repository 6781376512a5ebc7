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

const (
	spawnBackoff    = 200 * time.Millisecond // doubled after each failure
	maxSpawnBackoff = 5 * time.Second
	retryAfter      = time.Second // what a refused caller is told
)

// State is the pure core of the prepare queue.
type State struct {
	limits   Limits
	parked   [run.Critical + 1][]*job // by priority, first in first out
	jobs     map[uint64]*job          // parked and running, by job id
	running  map[uint64]*job          // by worker; a stopping worker keeps its slot until it is gone
	off      map[uint64]*job          // of the parked ones those that were in back-off, by job id
	wakeAt   time.Time                // when the next wake was asked for
	nextName uint64
	refused  uint64
	paused   bool      // an operator wants nothing accepted and nothing started
	since    time.Time // paused: since when
}

// Limits bound the queue. Zero fields mean 256, 1, Soft and 30 s.
type Limits struct {
	Queue int // jobs that may be parked
	Soft  int // jobs that may run
	Hard  int // critical jobs may run up to this number of jobs

	// SpawnWait is how long it is tried to start a process for a job, from the first failure.
	SpawnWait time.Duration
}

type job struct {
	Job
	reply    kernel.Reply[Outcome]
	passed   func(Budget)
	since    time.Time
	raised   []inspect.Escalation // at most one per step of priority
	answered bool

	failing   time.Time // when its process could not be started for the first time
	failures  int
	notBefore time.Time // in back-off until then
	failed    *Outcome  // what it is answered with at the end of this back-off: its time is up

	worker  uint64 // 0: parked
	started time.Time
	steering
}

// NewState returns an empty queue.
func NewState(l Limits) *State {
	if l.Queue == 0 {
		l.Queue = 256
	}
	l.Soft = max(l.Soft, 1)
	l.Hard = max(l.Hard, l.Soft)
	if l.SpawnWait == 0 {
		l.SpawnWait = 30 * time.Second
	}
	return &State{limits: l, jobs: map[uint64]*job{}, running: map[uint64]*job{}, off: map[uint64]*job{}}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	var out []Effect
	switch m := in.(type) {
	case Enqueue:
		out = s.enqueue(now, m)
	case Raise:
		switch j := s.jobs[m.Job]; {
		case j != nil:
			out = s.raise(now, j, m)
		case !m.again:
			m.again = true
			out = []Effect{Requeue{m}}
		}
	case Cancel:
		switch j := s.jobs[m.Job]; {
		case j != nil:
			out = s.giveUp(j, fault.CanceledCaller)
		case !m.again:
			m.again = true
			out = []Effect{Requeue{m}}
		}
	case CancelAll:
		out = s.cancelAll()
		if m.again {
			out = append(out, AllCanceled{m.Reply})
		} else {
			m.again = true
			out = append(out, Requeue{m})
		}
	case ended:
		out = s.ended(now, m)
	case exited:
		out = s.exited(m)
	case passed:
		if j := s.running[m.Worker]; j != nil && !j.answered && j.passed != nil {
			out = []Effect{Tell{Passed: j.passed, Used: m.Used}}
		}
	case steered:
		s.steered(now, m)
	case Pause:
		out = s.pause(now, m)
	case Purge:
		out = s.purge(m)
	case Inspect:
		out = []Effect{Show{Reply: m.Reply, Queue: s.show(now)}}
	}
	out = append(out, s.expire(now)...)
	out = append(out, s.schedule(now)...)
	out = append(out, s.steer(now)...)
	return append(out, s.wake(now)...)
}

func (s *State) enqueue(now time.Time, m Enqueue) []Effect {
	if m.Job.Priority < run.Background || m.Job.Priority > run.Critical {
		return []Effect{Answer{Reply: m.Reply, Err: fault.New(fault.CallerInvalid, "prepare", m.Job.Priority.String(), nil)}}
	}
	var out []Effect
	if j := s.jobs[m.Job.ID]; j != nil { // its asker counts anew
		out = s.giveUp(j, fault.CanceledStopped)
	}
	if s.paused {
		s.refused++
		return append(out, Answer{Reply: m.Reply, Err: fault.New(fault.BusyPaused, "prepare", "", nil).WithRetryAfter(retryAfter)})
	}
	if s.numParked() >= s.limits.Queue {
		s.refused++
		return append(out, Answer{Reply: m.Reply, Err: fault.New(fault.BusyQueueFull, "prepare", "", nil).WithRetryAfter(retryAfter)})
	}
	j := &job{Job: m.Job, reply: m.Reply, passed: m.Passed, since: now}
	j.Budget, j.Marks = j.Budget.WithDefaults(), mark(nil, m.Job.Marks)
	s.jobs[j.ID] = j
	s.park(j)
	return out
}

func (s *State) numParked() int {
	n := 0
	for _, q := range s.parked {
		n += len(q)
	}
	return n
}

func (s *State) park(j *job) {
	s.parked[j.Priority] = append(s.parked[j.Priority], j)
	if !j.notBefore.IsZero() {
		s.off[j.ID] = j
	}
}

func (s *State) unpark(j *job) {
	delete(s.off, j.ID)
	q := s.parked[j.Priority]
	for i := range q {
		if q[i] == j {
			s.parked[j.Priority] = append(q[:i:i], q[i+1:]...)
			return
		}
	}
}

// giveUp answers a job before it has ended. A process that works on it is stopped and keeps its slot until it is gone.
func (s *State) giveUp(j *job, code fault.Code) []Effect {
	delete(s.jobs, j.ID)
	j.answered = true
	out := []Effect{Answer{Reply: j.reply, Priority: j.Priority, Err: fault.New(code, "prepare", j.Code.String(), nil)}}
	if j.worker == 0 {
		s.unpark(j)
		return out
	}
	return append(out, StopWorker{Worker: j.worker})
}

// pause has nothing accepted or started from now on, or again.
func (s *State) pause(now time.Time, m Pause) []Effect {
	s.paused, s.since = !m.Off, time.Time{}
	if s.paused {
		if s.since = m.Since; s.since.IsZero() {
			s.since = now
		}
	}
	return []Effect{Done{Reply: m.Reply}}
}

// purge answers what is parked.
func (s *State) purge(m Purge) []Effect {
	var out []Effect
	n := 0
	for _, id := range slices.Sorted(maps.Keys(s.jobs)) {
		if j := s.jobs[id]; j.worker == 0 {
			out = append(out, s.giveUp(j, fault.CanceledStopped)...)
			n++
		}
	}
	return append(out, Purged{Reply: m.Reply, N: n})
}

func (s *State) cancelAll() []Effect {
	var out []Effect
	for _, id := range slices.Sorted(maps.Keys(s.jobs)) {
		out = append(out, s.giveUp(s.jobs[id], fault.CanceledStopped)...)
	}
	return out
}

func (s *State) ended(now time.Time, m ended) []Effect {
	j := s.running[m.Worker]
	delete(s.running, m.Worker)
	if j == nil || j.answered { // of an earlier incarnation, or given up just when it succeeded
		if m.Outcome.Ticket != 0 {
			return []Effect{Discard{Ticket: m.Outcome.Ticket}}
		}
		return nil
	}
	if f := m.Outcome.Fault; f != nil && f.Code == fault.HostSpawnFailed {
		s.backOff(now, j, m.Outcome)
		return nil
	}
	delete(s.jobs, j.ID)
	m.Outcome.Started = j.started
	return []Effect{Answer{Reply: j.reply, Priority: j.Priority, Outcome: m.Outcome}}
}

// backOff parks a job whose process could not be started, before its equals. The back-off ends at the latest when the
// job's time for starts is up: then the job is answered, which may be now.
func (s *State) backOff(now time.Time, j *job, o Outcome) {
	if j.failures++; j.failures == 1 {
		j.failing = now
	}
	left := j.failing.Add(s.limits.SpawnWait).Sub(now)
	delay := maxSpawnBackoff
	if doubled := j.failures - 1; doubled < 8 {
		delay = min(delay, spawnBackoff<<doubled)
	}
	if delay >= left {
		delay, j.failed = left, &o
	}
	j.worker, j.started, j.steering, j.notBefore = 0, time.Time{}, steering{}, now.Add(delay)
	s.parked[j.Priority] = slices.Insert(s.parked[j.Priority], 0, j)
	s.off[j.ID] = j
}

// expire answers the jobs for which no process could be started in time.
func (s *State) expire(now time.Time) []Effect {
	var out []Effect
	for _, id := range slices.Sorted(maps.Keys(s.off)) {
		if j := s.off[id]; j.failed != nil && !j.notBefore.After(now) {
			s.unpark(j)
			delete(s.jobs, j.ID)
			out = append(out, Answer{Reply: j.reply, Priority: j.Priority, Outcome: *j.failed})
		}
	}
	return out
}

// wake asks for the next wake, one at a time but for those that turn out to be needed sooner.
func (s *State) wake(now time.Time) []Effect {
	var next time.Time
	sooner := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, j := range s.off {
		sooner(j.notBefore)
	}
	for _, j := range s.running {
		sooner(j.again)
	}
	if next.IsZero() || s.wakeAt.After(now) && !next.Before(s.wakeAt) {
		return nil
	}
	s.wakeAt = next
	return []Effect{WakeAfter{Delay: next.Sub(now)}}
}

// exited frees the slot of a worker that ended without a word.
func (s *State) exited(m exited) []Effect {
	code := fault.CanceledStopped
	switch {
	case m.Failed:
		code = fault.BugPanic
	case m.Killed:
		code = fault.SuspectPrepareDied
	}
	j := s.running[m.Worker]
	if j == nil {
		return nil
	}
	delete(s.running, m.Worker)
	if j.answered {
		return nil
	}
	delete(s.jobs, j.ID)
	return []Effect{Answer{Reply: j.reply, Priority: j.Priority, Err: fault.New(code, "prepare", j.Code.String(), nil)}}
}

// schedule starts what may start: the highest priority first, in the order of arrival.
func (s *State) schedule(now time.Time) []Effect {
	var out []Effect
	for {
		j := s.next(now)
		if j == nil || !s.room(now, j) {
			return out
		}
		s.unpark(j)
		s.nextName++
		j.worker, j.started = s.nextName, now
		s.running[j.worker] = j
		out = append(out, StartWorker{Worker: j.worker, Job: j.Job, Waited: now.Sub(j.since)})
	}
}

// room reports whether j may start. Capacity over Soft is for critical jobs, and of all capacity the others leave a slot to
// each critical job that waits out its back-off.
func (s *State) room(now time.Time, j *job) bool {
	if j.Priority == run.Critical {
		return len(s.running) < s.limits.Hard
	}
	kept := 0
	for _, c := range s.off {
		if c.Priority == run.Critical && c.notBefore.After(now) {
			kept++
		}
	}
	return len(s.running) < min(s.limits.Soft, s.limits.Hard-kept)
}

func (s *State) next(now time.Time) *job {
	if s.paused {
		return nil
	}
	for p := run.Critical; p >= run.Background; p-- {
		for _, j := range s.parked[p] {
			if !j.notBefore.After(now) {
				return j
			}
		}
	}
	return nil
}
