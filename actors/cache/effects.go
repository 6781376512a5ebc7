package cache

import (
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Effect is what the core wants done.
type Effect interface{ cacheEffect() }

// The effects. Those that have an answer come back as a message.
type (
	// StartPrepare asks the prepare queue; answered by prepared.
	StartPrepare struct {
		Gen uint64
		Job prepare.Job
	}
	// RaisePrepare lifts a preparation: its priority, its budget, and the marks at which somebody's own budget is passed.
	RaisePrepare struct {
		Job      uint64
		Priority run.Priority
		Budget   prepare.Budget
		Marks    []prepare.Budget // new ones
		By       string
	}
	// CancelPrepare ends a preparation.
	CancelPrepare struct{ Job uint64 }
	// StorePut stores what a preparation made; answered by stored.
	StorePut struct {
		Gen        uint64
		Meta       artifacts.Meta
		Ticket     uint64
		MemoryOnly bool
	}
	// StoreAgain writes an artifact that is in memory only; answered by stored.
	StoreAgain struct {
		Key artifacts.Key
		Gen uint64
	}
	// Describe reads a description; answered by described.
	Describe struct {
		Key artifacts.Key
		Gen uint64
	}
	// Requeue puts a message behind the work that waits.
	Requeue struct{ Message Message }
	// Accept says that a HeadsUp is admitted.
	Accept struct{ To kernel.Reply[struct{}] }
	// Discard gives up what a preparation made.
	Discard struct{ Ticket uint64 }
	// StoreFailure remembers a failure.
	StoreFailure struct {
		Key     artifacts.Key
		Failure artifacts.Failure
	}
	// Delete removes artifacts and failures; answered by deleted, which leads to the answer of an Evict or a Prune.
	Delete struct {
		Gone    []Gone
		Evict   bool
		Evicted kernel.Reply[struct{}]
		Prune   bool
		Report  Pruned
		Pruned  kernel.Reply[Pruned]
	}
	// Touch records that an artifact was needed.
	Touch struct{ Key artifacts.Key }
	// StartExecute asks the execute queue; answered by executed.
	StartExecute struct {
		Job  execute.Job
		Left bool // its trail is wanted, however it ends
	}
	// RaiseExecute lifts a run that waits.
	RaiseExecute struct {
		Run      uint64
		Priority run.Priority
	}
	// CancelExecute ends a run.
	CancelExecute struct{ Run uint64 }
	// Release closes the idle workers of an artifact, and ends leases of it.
	Release struct {
		Key    artifacts.Key
		Tenant string // "": all
	}
	// StartVerify checks a stored artifact; answered by verified.
	StartVerify struct {
		Key   artifacts.Key
		Gen   uint64
		Reply kernel.Reply[struct{}]
	}
	// StartPin writes a pin; answered by pinned.
	StartPin struct{ Pin Pin }
	// Retried says that something is done once more, since a fault is not believed; Quarantined, that code is refused from now
	// on. They are for the observer.
	Retried     struct{ Fault *fault.Error }
	Quarantined struct{}
	// Reply answers a request.
	Reply struct {
		To     kernel.Reply[Answer]
		Kind   Kind
		Answer Answer
		Err    error
	}
	// Left has the trail of a request that is answered with an error.
	Left struct {
		To    kernel.Reply[run.Trail]
		Trail run.Trail
	}
	// Stand answers an Underway.
	Stand struct {
		To        kernel.Reply[[]Standing]
		Standings []Standing
	}
	// HasRevoked answers a Revoke.
	HasRevoked struct {
		To kernel.Reply[int]
		N  int
	}
	// Listed, Shown, Done and HasPruned answer an operator.
	Listed struct {
		To        kernel.Reply[[]inspect.Artifact]
		Artifacts []inspect.Artifact
	}
	// Shown answers a Show.
	Shown struct {
		To     kernel.Reply[Detail]
		Detail Detail
		Err    *fault.Error
	}
	// Done answers a Verify, Pin, Evict or Lift.
	Done struct {
		To  kernel.Reply[struct{}]
		Err error
	}
	// HasPruned answers a Prune.
	HasPruned struct {
		To     kernel.Reply[Pruned]
		Pruned Pruned
		Err    error
	}
)

func (StartPrepare) cacheEffect()  {}
func (RaisePrepare) cacheEffect()  {}
func (CancelPrepare) cacheEffect() {}
func (StorePut) cacheEffect()      {}
func (StoreAgain) cacheEffect()    {}
func (Describe) cacheEffect()      {}
func (Requeue) cacheEffect()       {}
func (Accept) cacheEffect()        {}
func (Discard) cacheEffect()       {}
func (StoreFailure) cacheEffect()  {}
func (Delete) cacheEffect()        {}
func (Touch) cacheEffect()         {}
func (StartExecute) cacheEffect()  {}
func (RaiseExecute) cacheEffect()  {}
func (CancelExecute) cacheEffect() {}
func (Left) cacheEffect()          {}
func (Stand) cacheEffect()         {}
func (HasRevoked) cacheEffect()    {}
func (Release) cacheEffect()       {}
func (StartVerify) cacheEffect()   {}
func (StartPin) cacheEffect()      {}
func (Retried) cacheEffect()       {}
func (Quarantined) cacheEffect()   {}
func (Reply) cacheEffect()         {}
func (Listed) cacheEffect()        {}
func (Shown) cacheEffect()         {}
func (Done) cacheEffect()          {}
func (HasPruned) cacheEffect()     {}
