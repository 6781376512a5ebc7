package execute

import (
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Message is what the execute actor receives.
type Message interface{ executeMessage() }

// Enqueue asks for one run.
// Sent by: cache, when the artifact is prepared.
// Answer: the outcome, exactly once; caller.invalid_request for a priority that does not exist; busy.paused while it is
// paused; busy.queue_full if there is no room. That hits the tenant with the most parked runs: its newest run makes room for a tenant that has fewer.
// Again: a run that is known is not started twice; the newer reply takes over, the older one's asker is gone. Its priority
// is treated as a Raise.
// Races: a Cancel may overtake it; that waits behind it then.
// Limits: Job.Deadline is when the run must have started.
type Enqueue struct {
	Job   Job
	Reply kernel.Reply[run.Outcome]

	// Left, if set, has the trail of a run that is answered with an error, just before that.
	Left kernel.Reply[run.Trail]
}

// Cancel ends a run whose caller left.
// Sent by: cache. Answer: the run's Enqueue is answered.
// Races: on the control lane it may overtake the Enqueue. A run that is unknown is looked for once more, behind all work
// that waits; what is unknown still has ended.
type Cancel struct {
	Run   uint64
	again bool // it has been behind the work
}

// Raise lifts the priority of a run that is parked, into its new class behind those that wait there; it never lowers it.
// Sent by: cache. Answer: none.
// Races: as for Cancel. A run that a worker has is not changed; one whose worker is still starting counts as raised if that
// fails and it is parked again.
type Raise struct {
	Run      uint64
	Priority run.Priority
	again    bool
}

// Release closes the idle workers of an artifact, so that it can be removed, and those that are lent once they are back.
// Sent by: cache, after it dropped an artifact, or put the code of a tenant into quarantine. Answer: none.
type Release struct {
	Key    artifacts.Key
	Tenant string // "": all
}

// Recycle has a worker closed as soon as it has no run.
// Sent by: host, for an operator, on the control lane. Answer: at once; caller.not_found for a process that is not of the queue.
type Recycle struct {
	Process string // Worker.ID
	Reply   kernel.Reply[struct{}]
}

// Pause has the queue accept and start nothing new, or go on. What is lent is asked back; what runs goes on, and what is parked
// stays so, but for deadlines.
// Sent by: host, for an operator, and by the shell when an incarnation begins while the host holds a pause; on the control lane.
// Answer: at once. Enqueue is answered busy.paused meanwhile.
type Pause struct {
	Off   bool
	Since time.Time // since when the host holds it
	Reply kernel.Reply[struct{}]
}

// Purge answers all that is parked canceled.host_stopped.
// Sent by: host, for an operator, on the control lane. Answer: how many they were.
type Purge struct{ Reply kernel.Reply[int] }

// Inspect asks for the state of queue and workers.
// Sent by: host. Answer: a snapshot.
type Inspect struct{ Reply kernel.Reply[Snapshot] }

// Snapshot is what Inspect answers.
type Snapshot struct {
	Queue   inspect.Queue
	Workers []inspect.Worker // by the names of their actors; ID is that of the process, once there is one
	Runs    []Standing       // those that did not pass by
}

// Standing is where a run stands.
type Standing struct {
	Run     uint64
	Process string // of its worker; "": it has none yet
	Trail   run.Trail
}

// ready says that a process is there and begins its first run.
// Sent by: worker-N, at most once.
type ready struct {
	Worker uint64
	PID    int
	ID     string // of the process
	worker Worker // for the shell, which lends it
}

// unstarted says that there is no process.
// Sent by: worker-N, in place of ready. The worker ends now.
type unstarted struct {
	Worker uint64
	Fault  *fault.Error
}

// finished says how a run ended on a worker.
// Sent by: worker-N. Alive false: the worker ends now.
type finished struct {
	Worker  uint64
	Run     uint64
	Outcome run.Outcome
	Alive   bool
}

// returned says that a worker which was lent is back: no ride is under way. Alive false: it ends now.
// Sent by: the leases, exactly once for each Grant. Races: the worker may have exited; then it means nothing.
type returned struct {
	Worker uint64
	Returned
	incarnation uint64 // of the queue that lent it
}

// exited says that a worker actor is gone, and its process with it.
// Sent by: the kernel.
type exited struct {
	Worker uint64
	Failed bool
}

// tick says that a deadline, an idle time or a back-off may have passed.
// Sent by: the shell's timer.
type tick struct{}

func (Enqueue) executeMessage()   {}
func (Cancel) executeMessage()    {}
func (Raise) executeMessage()     {}
func (Release) executeMessage()   {}
func (Inspect) executeMessage()   {}
func (Recycle) executeMessage()   {}
func (Pause) executeMessage()     {}
func (Purge) executeMessage()     {}
func (ready) executeMessage()     {}
func (unstarted) executeMessage() {}
func (finished) executeMessage()  {}
func (returned) executeMessage()  {}
func (exited) executeMessage()    {}
func (tick) executeMessage()      {}

// Failed answers the sender when the message could not be handled.
func (m Enqueue) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Recycle) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Pause) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Purge) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Inspect) Failed(err error) { m.Reply.Fail(err) }

// Effect is what the core wants done.
type Effect interface{ executeEffect() }

// StartWorker starts worker-N for a binding, with its first run.
type StartWorker struct {
	Worker uint64
	Job    Job
}

// RunOn gives an idle worker a run.
type RunOn struct {
	Worker uint64
	Job    Job
}

// StopWorker kills a worker.
type StopWorker struct{ Worker uint64 }

// Answer answers an Enqueue.
type Answer struct {
	Reply    kernel.Reply[run.Outcome]
	Outcome  run.Outcome
	Err      error
	Priority run.Priority // of the run; 0: it was never accepted
	Left     kernel.Reply[run.Trail]
	Trail    run.Trail // for Left
}

// Began says that a worker process has a run, and how long that took from its Enqueue.
type Began struct {
	Priority run.Priority
	Waited   time.Duration
}

// Gone says that a worker which had a process is gone, and why: one of the reasons of [Observer.Closed].
type Gone struct {
	Worker uint64
	Reason string
}

// Grant lends an idle worker, and Revoke wants it back, once for each Grant; of a worker that exited it is the end of the
// lease. Answered by returned.
type (
	Grant struct {
		Worker  uint64
		Binding Binding
	}
	Revoke struct{ Worker uint64 }
)

// Room says how many slots nobody has: neither a run nor a worker that is lent.
type Room struct{ Slots int }

// Requeue puts a message behind the work that waits.
type Requeue struct{ Message Message }

// Show answers an Inspect.
type Show struct {
	Reply    kernel.Reply[Snapshot]
	Snapshot Snapshot
}

// Done answers a Recycle or a Pause, and Purged a Purge.
type (
	Done struct {
		Reply kernel.Reply[struct{}]
		Err   error
	}
	Purged struct {
		Reply kernel.Reply[int]
		N     int
	}
)

// TickAt asks for a tick at a time.
type TickAt struct{ At time.Time }

func (StartWorker) executeEffect() {}
func (RunOn) executeEffect()       {}
func (StopWorker) executeEffect()  {}
func (Answer) executeEffect()      {}
func (Began) executeEffect()       {}
func (Gone) executeEffect()        {}
func (Grant) executeEffect()       {}
func (Revoke) executeEffect()      {}
func (Room) executeEffect()        {}
func (Requeue) executeEffect()     {}
func (Show) executeEffect()        {}
func (Done) executeEffect()        {}
func (Purged) executeEffect()      {}
func (TickAt) executeEffect()      {}
