package prepare

import (
	"cmp"
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Budget is what one preparation may use, or what it has used. Time for which a process was held back is not wall time.
type Budget struct {
	CPU         time.Duration
	Wall        time.Duration // of a budget, zero means run.WallFactor times CPU
	MemoryBytes int64
}

// WithDefaults fills in what is zero.
func (b Budget) WithDefaults() Budget {
	b.Wall = cmp.Or(b.Wall, run.WallFactor*b.CPU)
	return b
}

// Raised returns the larger of each field.
func (b Budget) Raised(to Budget) Budget {
	return Budget{CPU: max(b.CPU, to.CPU), Wall: max(b.Wall, to.Wall), MemoryBytes: max(b.MemoryBytes, to.MemoryBytes)}
}

// Reached reports whether this use reaches a mark, of which zero fields do not count.
func (b Budget) Reached(mark Budget) bool {
	return mark.CPU > 0 && b.CPU >= mark.CPU || mark.Wall > 0 && b.Wall >= mark.Wall
}

// Job is one preparation.
type Job struct {
	ID       uint64
	Key      artifacts.Key
	Code     artifacts.CodeHash
	Tenant   string
	Priority run.Priority
	Budget   Budget
	Options  artifacts.Options
	// VerdictOnly: nobody asked for more than whether the code can be prepared, so none of it may run.
	VerdictOnly bool
	Marks       []Budget // smaller budgets of others who wait: Enqueue.Passed is told when the use of CPU or wall time reaches one

	Cause kernel.Cause // what led to it: of those who wait, that of the first
}

// Outcome is how a preparation ended. Without a Fault, Ticket names the parts that wait to be stored.
type Outcome struct {
	Fault   *fault.Error
	Meta    artifacts.Meta
	Ticket  uint64
	CPU     time.Duration // of the worker process until it had answered, by the host's account
	Wall    time.Duration
	PeakRSS int64
	Budget  Budget // under which it ended: that of the job, or one to which it was raised in time
	Clock   string // which clock ended it, see run.ClockHost; "" for none

	Started time.Time // when it had a slot, by the queue; zero: it had none
}

// Steering is what may change while a job runs. It is the whole of it, each time.
type Steering struct {
	Budget Budget   // never smaller than before
	Marks  []Budget // those told to Prepare, and more
	Held   bool     // held back: as little of the cores as can be, while others want them
}

// Preparer runs preparations, each in a process of its own.
type Preparer interface {
	// Prepare runs one job, from the start of its process until that is reaped. The end of ctx kills it. passed is called
	// with what the job has used each time that this reaches one of its marks, before Prepare returns; it must not block.
	Prepare(ctx context.Context, job Job, passed func(used Budget)) Outcome
	// Steer changes a job that runs. It returns by what the process is held back, mechanisms joined by "+"; "none" if it
	// cannot be held back or is not to be; "" if there is no process yet, or none any more, or not all that holds it back
	// could be done yet: then it must be told again.
	// It must not block.
	Steer(job uint64, s Steering) (how string)
	// Discard gives up the parts of a ticket that nobody will ask for. It must not block.
	Discard(ticket uint64)
}

// Observer is told what the queue does, by the actor: it must not block.
type Observer interface {
	// Queued says that a job starts after it waited so long since it came. A start that is repeated, since no process could
	// be had, is told again.
	Queued(p run.Priority, wait time.Duration)
	// Ended says how a job ended that was accepted. One that never ran has used nothing.
	Ended(p run.Priority, o Outcome)
	// Raised says that the priority of a job was raised.
	Raised(from, to run.Priority)
}
