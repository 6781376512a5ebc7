package prepare

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Budget is what one preparation may use.
type Budget struct {
	CPU         time.Duration
	Wall        time.Duration
	MemoryBytes int64
}

// Job is one preparation.
type Job struct {
	ID       uint64
	Key      artifacts.Key
	Code     artifacts.CodeHash
	Tenant   string
	Priority run.Priority
	Budget   Budget
	Marks    []Budget // smaller budgets of others who wait: Enqueue.Passed is told when the use of CPU or wall time reaches one
}

// Outcome is how a preparation ended. Without a Fault, Ticket names the parts that wait to be stored.
type Outcome struct {
	Fault   *fault.Error
	Meta    artifacts.Meta
	Ticket  uint64
	CPU     time.Duration // of the worker process, by the host's account
	Wall    time.Duration
	PeakRSS int64
}

// Preparer runs one preparation in a process of its own, from its start until it is reaped. The end of ctx kills it.
type Preparer interface {
	Prepare(ctx context.Context, job Job) Outcome
	// Discard gives up the parts of a ticket that nobody will ask for. It must not block.
	Discard(ticket uint64)
}
