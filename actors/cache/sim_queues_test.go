package cache

import (
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

// compile is one preparation of the model. It uses CPU time at a steady rate, and hears of extensions late.
type compile struct {
	c      *compiler
	s      *sim.Shell // who asked
	job    prepare.Job
	fault  *fault.Error // it ends with
	stall  int64        // wall time is so many times the CPU time
	begun  time.Time
	told   map[prepare.Budget]bool
	plan   int // number of the newest plan: events of older ones mean nothing
	ended  bool
	killed bool
}

// compiler is the prepare queue, without an order.
type compiler struct {
	w       *sim.World
	need    map[artifacts.Key]time.Duration // CPU time
	maxWall map[artifacts.Key]time.Duration // that any attempt took
	jobs    map[uint64]*compile
	started int
	limited int // that ended at a limit
	broken  func(string, ...any)
}

func newCompiler(w *sim.World, broken func(string, ...any)) *compiler {
	return &compiler{w: w, jobs: map[uint64]*compile{}, maxWall: map[artifacts.Key]time.Duration{}, broken: broken,
		need: map[artifacts.Key]time.Duration{{0}: 4 * time.Millisecond, {1}: 12 * time.Millisecond, {2}: 30 * time.Millisecond}}
}

func (c *compiler) start(s *sim.Shell, e StartPrepare) {
	if c.jobs[e.Gen] != nil {
		c.broken("generation %d is prepared twice", e.Gen)
	}
	for _, o := range c.jobs {
		if o.job.Key == e.Job.Key && !o.ended && o.s == s {
			c.broken("two preparations of artifact %x at a time", e.Job.Key[:1])
		}
	}
	j := &compile{c: c, s: s, job: e.Job, told: map[prepare.Budget]bool{}, stall: 1 + s.Rand().Int64N(5),
		begun: s.Now().Add(time.Duration(s.Rand().IntN(8)) * time.Millisecond)}
	if s.Err() != nil {
		j.fault = fault.New([]fault.Code{fault.HostSpawnFailed, fault.GuestInvalid, fault.SuspectPrepareDied}[e.Gen%3], "prepare", "", nil)
	}
	c.jobs[e.Gen] = j
	c.started++
	j.next()
}

func (c *compiler) raise(e RaisePrepare) {
	j := c.jobs[e.Job]
	if j == nil {
		c.broken("preparation %d was raised before it was asked for", e.Job)
		return
	}
	if e.Priority < j.job.Priority || e.Budget != widest(e.Budget, j.job.Budget) {
		c.broken("preparation %d fell from %s %+v to %s %+v", e.Job, j.job.Priority, j.job.Budget, e.Priority, e.Budget)
	}
	j.job.Priority = e.Priority
	c.w.At(time.Duration(c.w.Rand().IntN(3))*time.Millisecond, func() {
		j.job.Budget, j.job.Marks = widest(j.job.Budget, e.Budget), append(j.job.Marks, e.Marks...)
		j.next()
	})
}

func (c *compiler) cancel(gen uint64) {
	if j := c.jobs[gen]; j != nil && !j.ended {
		j.killed = true
		j.end(prepare.Outcome{Fault: fault.New(fault.CanceledCaller, "", "", nil)})
	}
}

func (j *compile) used() prepare.Budget {
	wall := max(j.c.w.Now().Sub(j.begun), 0)
	return prepare.Budget{CPU: time.Duration(int64(wall) / j.stall), Wall: wall}
}

// at is the wall time at which a budget is used up.
func (j *compile) at(b prepare.Budget) time.Duration { return min(j.wall(b.CPU), b.Wall) }

func (j *compile) wall(cpu time.Duration) time.Duration { return time.Duration(int64(cpu) * j.stall) }

// next plans the next thing that happens: a mark, a limit, or the end.
func (j *compile) next() {
	if j.ended {
		return
	}
	end := j.wall(j.c.need[j.job.Key])
	at := min(end, j.at(j.job.Budget))
	for _, m := range j.job.Marks {
		if !j.told[m] {
			at = min(at, j.at(m))
		}
	}
	j.plan++
	plan := j.plan
	j.c.w.At(j.begun.Add(at).Sub(j.c.w.Now()), func() {
		if j.ended || plan != j.plan {
			return
		}
		used := j.used()
		j.c.maxWall[j.job.Key] = max(j.c.maxWall[j.job.Key], used.Wall)
		b := j.job.Budget
		switch {
		case used.Wall >= end && j.c.need[j.job.Key] < b.CPU:
			j.end(prepare.Outcome{Fault: j.fault, CPU: j.c.need[j.job.Key], Wall: end, Ticket: 1, Meta: artifacts.Meta{Key: j.job.Key, Module: module,
				PreparedAt: j.c.w.Now(), PrepareCPU: j.c.need[j.job.Key], Parts: []artifacts.Part{{Bytes: size}}}})
		case used.CPU >= b.CPU:
			j.c.limited++
			j.end(prepare.Outcome{Fault: fault.New(fault.GuestPrepareCPU, "", "", nil), CPU: used.CPU, Wall: used.Wall})
		case used.Wall >= b.Wall:
			j.c.limited++
			j.end(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareWall, "", "", nil), CPU: used.CPU, Wall: used.Wall})
		default:
			for _, m := range j.job.Marks {
				j.told[m] = j.told[m] || used.Wall >= j.at(m)
			}
			_ = j.s.Control("cache", passed{key: j.job.Key, gen: j.job.ID, used: used}) // of an older incarnation as well
			j.next()
		}
	})
}

func (j *compile) end(o prepare.Outcome) {
	j.ended = true
	o.Budget = j.job.Budget
	if o.Fault != nil {
		o.Meta, o.Ticket = artifacts.Meta{}, 0
	}
	j.s.Go(time.Duration(j.c.w.Rand().IntN(2))*time.Millisecond, func() any { return prepared{key: j.job.Key, gen: j.job.ID, outcome: o} })
}

// endings are how runs end besides well.
var endings = []fault.Code{fault.HostArtifactCorrupt, fault.SuspectWorkerDied, fault.SuspectWorkerDied, fault.SuspectWorkerDied, fault.BusyQueueFull,
	fault.SuspectWallLimit, fault.SuspectBadReply, fault.SuspectArtifact, fault.GuestTrap}

// runner is the execute queue, without an order.
type runner struct {
	jobs     map[uint64]*execute.Job // of this incarnation of the cache
	canceled map[uint64]bool
	calm     bool
	broken   func(string, ...any)
}

func (r *runner) start(s *sim.Shell, e StartExecute) {
	if old := r.jobs[e.Job.Run]; old != nil && e.Job.Priority < old.Priority {
		r.broken("run %d fell from %s to %s", e.Job.Run, old.Priority, e.Job.Priority)
	}
	job, n := e.Job, s.Rand().IntN(20)
	r.jobs[job.Run] = &job
	s.Go(time.Duration(1+s.Rand().IntN(10))*time.Millisecond, func() any {
		m := executed{id: job.Run}
		if r.canceled[job.Run] && s.Rand().IntN(2) == 0 {
			m.err = fault.New(fault.CanceledCaller, "", "", nil)
		} else if n < len(endings) && !r.calm {
			m.outcome.Fault = fault.New(endings[n], "", "", nil)
			m.outcome.Delivered = int64(job.Run) % 5 / 4
		}
		return m
	})
}

func (r *runner) raise(e RaiseExecute) {
	if j := r.jobs[e.Run]; j == nil || e.Priority <= j.Priority {
		r.broken("run %d was not lifted to %s", e.Run, e.Priority)
	} else {
		j.Priority = e.Priority
	}
}

// consistent says what is wrong with the preparations of a table: each runs at the highest priority and under the largest
// budget of who waits, and who has less has left a mark.
func consistent(s *State) error {
	for k, e := range s.entries {
		if e.state != artifacts.Preparing || e.storing {
			continue
		}
		if len(e.waiting) == 0 {
			return fmt.Errorf("artifact %x is prepared for nobody", k[:1])
		}
		for _, w := range e.waiting {
			b := w.Budget
			if w.Priority > e.priority || e.budget != widest(e.budget, b) || (b.CPU < e.budget.CPU || b.Wall < e.budget.Wall) && !e.marked[b] {
				return fmt.Errorf("artifact %x is prepared at %s under %+v, request %d wants %s %+v", k[:1], e.priority, e.budget, w.ID, w.Priority, b)
			}
		}
	}
	return nil
}
