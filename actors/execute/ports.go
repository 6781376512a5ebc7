package execute

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Binding is what an execute worker serves for its whole life. Two runs with different bindings never share a process.
type Binding struct {
	Tenant      string
	App         string // app address, or "" for bare code
	Key         artifacts.Key
	MemoryBytes int64 // the largest linear memory of the runs that this worker takes
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
}

// Workers starts worker processes: spawn, handshake, artifact loaded.
type Workers interface {
	Start(ctx context.Context, b Binding) (Worker, error)
}

// Worker is one live worker process. Run is called once at a time.
type Worker interface {
	ID() string
	PID() int
	// Run holds all limits of the job by killing the process if need be. alive is false when the worker must not be used
	// again. The end of ctx kills the process.
	Run(ctx context.Context, j Job) (out run.Outcome, alive bool)
	// Dead is closed when the process has ended.
	Dead() <-chan struct{}
	// Close kills the process and waits until it is reaped.
	Close()
}

// Observer is told what the queue does, by the actor: it must not block.
type Observer interface {
	// Queued says that a run starts, on a worker or with one, after it waited so long.
	Queued(p run.Priority, wait time.Duration)
	// Ended says how a run ended that was accepted. One that never ran has used nothing.
	Ended(p run.Priority, o run.Outcome)
	// Spawned says that a worker is started.
	Spawned()
	// Closed says that the queue gives a worker up, and why: idle, displaced, released, canceled, died or failed.
	Closed(reason string)
}
