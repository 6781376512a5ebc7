package execute

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Binding is what an execute worker serves for its whole life. Two runs with different bindings never share a process.
type Binding struct {
	Tenant      string
	App         string // app address, or "" for bare code
	Key         artifacts.Key
	MemoryBytes int64 // the largest linear memory of the runs that this worker takes
	Isolation   run.Isolation
}

// Job is one run.
type Job struct {
	Run         uint64 // names the run's input and output
	Binding     Binding
	Entry       run.Entry
	Limits      run.Limits
	Imports     run.Imports
	Determinism run.Determinism
	Priority    run.Priority
	Deadline    time.Time // zero: none
	Lend        bool      // when it has ended, its worker may be lent to callers that ask for the same binding

	// Slice is the gas after which the guest asks for its turn (abi.OpTurn) before it goes on; 0: it never does. Only a run with
	// Calls has one.
	Slice int64

	Cause kernel.Cause // what led to it
}

// Workers starts worker processes: spawn, handshake, artifact loaded. A Start that fails with host.spawn_failed is tried
// again; any other fault is the answer to its run.
type Workers interface {
	Start(ctx context.Context, b Binding) (Worker, error)
}

// Worker is one live worker process. Run is called once at a time, and not while a Ride is under way.
type Worker interface {
	ID() string
	PID() int
	// Run holds all limits of the job by killing the process if need be. alive is false when the worker must not be used
	// again. The end of ctx kills the process.
	Run(ctx context.Context, j Job) (out run.Outcome, alive bool)
	// Ride is a Run whose input and output are given, and may be called several times at once: the process takes the runs
	// one after another in the order of their calls. One with streams is alone in the process and waits for that. The end of
	// ctx kills the process if it has the run, and all that stand behind it are answered Outcome.NotBegun. The answer
	// to each says whether the worker may be used again.
	Ride(ctx context.Context, j Job, io IO) (out run.Outcome, alive bool)
	// Dead is closed when the process has ended.
	Dead() <-chan struct{}
	// Close kills the process and waits until it is reaped.
	Close()
}

// Observer is told what happens, for those who count it. It is called from the actor, one call at a time, and must not
// block.
type Observer interface {
	// Queued is called when a worker process has a run, with the time from its Enqueue until then.
	Queued(p run.Priority, wait time.Duration)
	// Ended is called when a run that was accepted is answered; what is no outcome has the error as its Fault.
	Ended(p run.Priority, o run.Outcome)
	// Spawned is called when a worker process is there.
	Spawned()
	// Closed is called once for each Spawned, when the process is gone: "idle" too long, to make "room" for another binding,
	// "spoiled" by a run, "used" by its one run, "recycled" before its life's limit of CPU time, or for an operator, "died" of itself, "stopped" by a Cancel, a Release or the end of the queue, "culled" since there were
	// more than soft.
	Closed(reason string)
}

// Leases lends idle workers to those who ask for the same binding again, so that their runs need no message. It is called
// from the actor, one call at a time, and must not block.
type Leases interface {
	// Grant lends a worker until the lease is revoked or the worker is dead. back is called exactly once: when no ride is
	// under way any more, and none can begin.
	Grant(w Worker, b Binding, back func(Returned)) Lease
	// Room says how many runs of any binding would find a slot for a worker of their own.
	Room(slots int)
}

// Lease is a worker that is lent.
type Lease interface {
	// Revoke has no further ride begin from now on. Those that are under way go on to their end.
	Revoke()
	// Rides says what the worker does and did since it was lent.
	Rides() Rides
}

// Rides is what a lent worker does and did.
type Rides struct {
	UnderWay int // more than one: they stand behind one another
	Ended    uint64
	Last     time.Time // end of the last one; zero: there was none
	Sandbox  string    // of the last one
}

// Returned is what a worker did while it was lent.
type Returned struct {
	Runs     uint64
	LastUsed time.Time // zero: never
	Alive    bool      // false: it must not be used again
	Retired  string    // why, if its last run left it in good order: see run.Outcome
	Sandbox  string    // of the last run
}
