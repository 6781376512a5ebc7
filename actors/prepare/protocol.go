package prepare

import (
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// Message is what the prepare actor receives.
type Message interface{ prepareMessage() }

// Enqueue asks for one preparation.
// Sent by: cache, once per artifact that is being prepared.
// Answer: the outcome, exactly once; busy.queue_full at once if there is no room, busy.paused while it is paused,
// caller.invalid_request for a priority that does not exist.
// Again: a job under a known id takes the place of the older one, which is answered canceled.host_stopped.
// Races: a Raise or a Cancel may overtake it; that waits behind it then.
type Enqueue struct {
	Job   Job
	Reply kernel.Reply[Outcome]

	// Passed, if set, is called with what the job has used when that reaches one of Job.Marks, from the actor: it must not
	// block. Never after the Reply.
	Passed func(used Budget)
}

// Raise lifts the priority and the budget of a job, parked or running; it lowers neither. Its marks are added.
// Sent by: cache, when somebody else waits for the same artifact: with a higher priority, more budget, or less.
// Answer: none.
// Races: on the control lane it may overtake the Enqueue. A job that is unknown is looked for once more, behind all work
// that waits; what is unknown still has ended. The process may end under the smaller budget before it hears of it: the
// outcome names the one it had.
// Limits: 256 different marks per job; those of more are told with the outcome.
type Raise struct {
	Job      uint64
	Priority run.Priority
	Budget   Budget
	Marks    []Budget
	By       string // who raises the priority, for the record
	again    bool   // it has been behind the work
}

// Cancel ends a job for which nobody waits any more.
// Sent by: cache. Answer: the job's Enqueue is answered canceled.caller_left. Races: as for Raise.
type Cancel struct {
	Job   uint64
	again bool // it has been behind the work
}

// CancelAll ends all jobs: everything that was asked before is for nobody.
// Sent by: cache, on the control lane, when it begins a new incarnation.
// Answer: each Enqueue is answered canceled.host_stopped and running jobs are stopped; then, when no Enqueue from before is
// left in the work lane either, its own reply. The sender's first Enqueue comes after that.
type CancelAll struct {
	Reply kernel.Reply[struct{}]
	again bool // it has been behind the work
}

// Pause has the queue accept and start nothing new, or go on. What runs goes on.
// Sent by: host, for an operator, and by the shell when an incarnation begins while the host holds a pause; on the control lane.
// Answer: at once. Enqueue is answered busy.paused meanwhile.
type Pause struct {
	Off   bool
	Since time.Time // since when the host holds it
	Reply kernel.Reply[struct{}]
}

// Purge answers all that is parked canceled.host_stopped, also what is in back-off.
// Sent by: host, for an operator, on the control lane. Answer: how many they were.
type Purge struct{ Reply kernel.Reply[int] }

// Inspect asks for the state of the queue.
// Sent by: host. Answer: a snapshot.
type Inspect struct{ Reply kernel.Reply[inspect.Queue] }

// ended says how a job ended.
// Sent by: worker-N, once. Races: the job may be answered already, or belong to an earlier incarnation of the queue; the
// parts that it made are discarded then.
type ended struct {
	Worker  uint64
	Outcome Outcome
	discard func(ticket uint64)
}

// exited says that a worker actor is gone.
// Sent by: the kernel, after ended unless the actor was given up or stopped.
type exited struct {
	Worker uint64
	Failed bool
	Killed bool // by an operator
}

// passed says that the process of a worker has reached a mark.
// Sent by: the port, through worker-N, before ended. Races: as for ended.
type passed struct {
	Worker uint64
	Used   Budget
}

// steered says what became of a Steer.
// Sent by: the shell. Races: a later Steer may be out already; then Turn is not that of the job any more.
type steered struct {
	Worker uint64
	Turn   uint64
	How    string // "": the process is not there yet
}

// wake says that a back-off is over, or that a process should be there by now.
// Sent by: the shell's timer.
type wake struct{}

func (Enqueue) prepareMessage()   {}
func (Raise) prepareMessage()     {}
func (Cancel) prepareMessage()    {}
func (CancelAll) prepareMessage() {}
func (Pause) prepareMessage()     {}
func (Purge) prepareMessage()     {}
func (Inspect) prepareMessage()   {}
func (ended) prepareMessage()     {}
func (exited) prepareMessage()    {}
func (passed) prepareMessage()    {}
func (steered) prepareMessage()   {}
func (wake) prepareMessage()      {}

// Failed answers the sender when the message could not be handled.
func (m Enqueue) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m CancelAll) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Pause) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Purge) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Inspect) Failed(err error) { m.Reply.Fail(err) }

// Failed gives up what the job made, when the message could not be handled.
func (m ended) Failed(error) {
	if m.discard != nil && m.Outcome.Ticket != 0 {
		m.discard(m.Outcome.Ticket)
	}
}

// Effect is what the core wants done.
type Effect interface{ prepareEffect() }

// StartWorker starts worker-N with a job.
type StartWorker struct {
	Worker uint64
	Job    Job
	Waited time.Duration // since the job came
}

// StopWorker kills the process of worker-N.
type StopWorker struct{ Worker uint64 }

// Steer tells the process of worker-N what it may use, and whether it is held back. It comes again until the process is there.
type Steer struct {
	Worker   uint64
	Turn     uint64 // goes into steered
	Job      uint64
	Steering Steering
}

// Tell tells the asker of a job that a mark was reached.
type Tell struct {
	Passed func(used Budget)
	Used   Budget
}

// Discard gives up the parts of a ticket.
type Discard struct{ Ticket uint64 }

// Answer answers an Enqueue.
type Answer struct {
	Reply    kernel.Reply[Outcome]
	Priority run.Priority // of the job; 0: it was not accepted
	Outcome  Outcome
	Err      error
}

// Raised says that the priority of a job was raised.
type Raised struct{ From, To run.Priority }

// Requeue puts a message behind the work that waits.
type Requeue struct{ Message Message }

// AllCanceled answers a CancelAll.
type AllCanceled struct{ Reply kernel.Reply[struct{}] }

// Done answers a Pause, and Purged a Purge.
type (
	Done   struct{ Reply kernel.Reply[struct{}] }
	Purged struct {
		Reply kernel.Reply[int]
		N     int
	}
)

// Show answers an Inspect.
type Show struct {
	Reply kernel.Reply[inspect.Queue]
	Queue inspect.Queue
}

// WakeAfter asks for a wake.
type WakeAfter struct{ Delay time.Duration }

func (StartWorker) prepareEffect() {}
func (StopWorker) prepareEffect()  {}
func (Steer) prepareEffect()       {}
func (Tell) prepareEffect()        {}
func (Discard) prepareEffect()     {}
func (Answer) prepareEffect()      {}
func (Raised) prepareEffect()      {}
func (Requeue) prepareEffect()     {}
func (AllCanceled) prepareEffect() {}
func (Done) prepareEffect()        {}
func (Purged) prepareEffect()      {}
func (Show) prepareEffect()        {}
func (WakeAfter) prepareEffect()   {}
