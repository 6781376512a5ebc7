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
	maxSpawns    = 5
	spawnBackoff = 200 * time.Millisecond // doubled after each failure
	retryAfter   = time.Second            // what a refused caller is told
)

// State is the pure core of the prepare queue.
type State struct {
	limits   Limits
	parked   [run.Critical + 1][]*job // by priority, first in first out
	jobs     map[uint64]*job          // parked and running, by job id
	running  map[uint64]*job          // by worker; a stopping worker keeps its slot until it is gone
	nextName uint64
	refused  uint64
}

// Limits bound the queue. Zero fields mean 256, 1 and Soft.
type Limits struct {
	Queue int // jobs that may be parked
	Soft  int // jobs that may run
	Hard  int // critical jobs may run up to this number of jobs
}

type job struct {
	Job
	reply     kernel.Reply[Outcome]
	since     time.Time
	notBefore time.Time
	spawns    int
	worker    uint64 // 0: parked
	answered  bool
}

// NewState returns an empty queue.
func NewState(l Limits) *State {
	if l.Queue == 0 {
		l.Queue = 256
	}
	l.Soft = max(l.Soft, 1)
	l.Hard = max(l.Hard, l.Soft)
	return &State{limits: l, jobs: map[uint64]*job{}, running: map[uint64]*job{}}
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
			s.lift(j, m.Priority)
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
	case Inspect:
		return []Effect{Show{Reply: m.Reply, Queue: s.show()}}
	}
	return append(out, s.schedule(now)...)
}

func (s *State) enqueue(now time.Time, m Enqueue) []Effect {
	if m.Job.Priority < run.Background || m.Job.Priority > run.Critical {
		return []Effect{Answer{Reply: m.Reply, Err: fault.New(fault.CallerInvalid, "prepare", m.Job.Priority.String(), nil)}}
	}
	var out []Effect
	if j := s.jobs[m.Job.ID]; j != nil { // its asker restarted and asks again
		if m.Job.Key == j.Key && m.Job.Code == j.Code {
			j.reply = m.Reply
			s.lift(j, m.Job.Priority)
			return nil
		}
		out = s.giveUp(j, fault.CanceledStopped) // or begins its numbers anew
	}
	if s.numParked() >= s.limits.Queue {
		s.refused++
		return append(out, Answer{Reply: m.Reply, Err: fault.New(fault.BusyQueueFull, "prepare", "", nil).WithRetryAfter(retryAfter)})
	}
	j := &job{Job: m.Job, reply: m.Reply, since: now}
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

func (s *State) park(j *job) { s.parked[j.Priority] = append(s.parked[j.Priority], j) }

func (s *State) unpark(j *job) {
	q := s.parked[j.Priority]
	for i := range q {
		if q[i] == j {
			s.parked[j.Priority] = append(q[:i:i], q[i+1:]...)
			return
		}
	}
}

func (s *State) lift(j *job, to run.Priority) {
	if to <= j.Priority || to > run.Critical {
		return
	}
	if j.worker == 0 {
		s.unpark(j)
		defer s.park(j)
	}
	j.Priority = to
}

// giveUp answers a job before it has ended. A process that works on it is stopped and keeps its slot until it is gone.
func (s *State) giveUp(j *job, code fault.Code) []Effect {
	delete(s.jobs, j.ID)
	j.answered = true
	out := []Effect{Answer{Reply: j.reply, Err: fault.New(code, "prepare", j.Code.String(), nil)}}
	if j.worker == 0 {
		s.unpark(j)
		return out
	}
	return append(out, StopWorker{Worker: j.worker})
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
	j.worker = 0
	if f := m.Outcome.Fault; f != nil && f.Code == fault.HostSpawnFailed && j.spawns < maxSpawns {
		delay := spawnBackoff << (j.spawns - 1)
		j.notBefore = now.Add(delay)
		s.parked[j.Priority] = append([]*job{j}, s.parked[j.Priority]...)
		return []Effect{WakeAfter{Delay: delay}}
	}
	delete(s.jobs, j.ID)
	return []Effect{Answer{Reply: j.reply, Outcome: m.Outcome}}
}

// exited frees the slot of a worker that ended without a word.
func (s *State) exited(m exited) []Effect {
	code := fault.CanceledStopped
	if m.Failed {
		code = fault.BugPanic
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
	return []Effect{Answer{Reply: j.reply, Err: fault.New(code, "prepare", j.Code.String(), nil)}}
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
		j.worker = s.nextName
		j.spawns++
		s.running[j.worker] = j
		out = append(out, StartWorker{Worker: j.worker, Job: j.Job})
	}
}

// room reports whether j may start. Capacity over Soft is for critical jobs, and of all capacity the others leave a slot to
// each critical job that waits out its back-off.
func (s *State) room(now time.Time, j *job) bool {
	if j.Priority == run.Critical {
		return len(s.running) < s.limits.Hard
	}
	kept := 0
	for _, c := range s.parked[run.Critical] {
		if c.notBefore.After(now) {
			kept++
		}
	}
	return len(s.running) < min(s.limits.Soft, s.limits.Hard-kept)
}

func (s *State) next(now time.Time) *job {
	for p := run.Critical; p >= run.Background; p-- {
		for _, j := range s.parked[p] {
			if !j.notBefore.After(now) {
				return j
			}
		}
	}
	return nil
}

func (s *State) show() inspect.Queue {
	q := inspect.Queue{Name: "prepare", Cap: s.limits.Queue, Parked: map[string]int{}, Running: len(s.running), Workers: len(s.running),
		Soft: s.limits.Soft, Hard: s.limits.Hard, Refused: s.refused}
	for p := run.Background; p <= run.Critical; p++ {
		q.Parked[p.String()] = len(s.parked[p])
		for _, j := range s.parked[p] {
			if q.OldestAt.IsZero() || j.since.Before(q.OldestAt) {
				q.OldestAt = j.since
			}
		}
	}
	return q
}
