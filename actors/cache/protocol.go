package cache

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Kind is what a request wants.
type Kind uint8

// The kinds.
const (
	Execute  Kind = 1 + iota // run the code
	Precheck                 // judge the code
	HeadsUp                  // have it prepared
)

// Request is one request for an artifact.
type Request struct {
	ID          uint64 // unique per host; also names the input and output of a run
	Kind        Kind
	Key         artifacts.Key
	Code        artifacts.CodeHash
	Tenant      string
	App         string
	Priority    run.Priority
	Budget      prepare.Budget // of the preparation
	Entry       run.Entry
	Limits      run.Limits
	Imports     run.Imports
	Determinism run.Determinism
	Deadline    time.Time // zero: none
	NoCode      bool      // nobody has the code: only what is prepared already can be served
	Validity    string    // a tag; Revoke of the same tenant and tag ends the request. Empty: none
	By          string    // who asks, for the record of who raised what

	// Accepted, if set, is answered when a HeadsUp is admitted. It may be answered twice, if the cache restarts.
	Accepted kernel.Reply[struct{}]
}

// Answer is what a request gets.
type Answer struct {
	Outcome  run.Outcome // of Execute; Outcome.Fault is also the verdict of a Precheck
	Hit      bool        // the artifact was there already
	Attempts int
	Repeated bool           // Outcome.Fault is suspect, and was so on a fresh worker too
	Counted  bool           // it counts against the code
	Stored   bool           // of Precheck: the artifact is on disk
	Meta     artifacts.Meta // with the lists of its module for a Precheck only
}

// Message is what the cache actor receives.
type Message interface{ cacheMessage() }

// Ask brings a request.
// Sent by: host. Answer: exactly one, when the request is done; a HeadsUp is answered when the artifact is there.
type Ask struct {
	Request Request
	Reply   kernel.Reply[Answer]
}

// Depart says that the caller of a request has left.
// Sent by: host, after the Ask. Answer: none of its own; the Ask is answered canceled.caller_left. Races: it may be answered
// already, or be overtaken: then this goes behind it.
type Depart struct {
	ID    uint64
	again bool // it stood behind all that was there when it came
}

// Raise lifts the priority of a request, and of whatever it waits for; it never lowers it.
// Sent by: host and jobs, after the Ask. Answer: none. Races: as for Depart.
type Raise struct {
	ID       uint64
	Priority run.Priority
	By       string
	again    bool
}

// Revoke ends the requests of a tenant that carry a validity tag, whatever they wait for: each is answered
// canceled.revoked, and so are those that come later, as long as the tag is remembered.
// Sent by: host, on the control lane. Answer: how many were ended.
type Revoke struct {
	Tenant, Tag string
	Reply       kernel.Reply[int]
}

// List asks for all entries. Sent by: host. Answer: a snapshot.
type List struct {
	Reply kernel.Reply[[]inspect.Artifact]
}

// Show asks for one entry. Sent by: host. Answer: the entry, or caller.not_found.
type Show struct {
	Key   artifacts.Key
	Reply kernel.Reply[Detail]
}

// Detail is one entry with what preparation learned of the code.
type Detail struct {
	Artifact inspect.Artifact
	Meta     artifacts.Meta
}

// Verify reads a stored artifact back and checks it. A bad one is dropped.
// Sent by: host. Answer: an error, or none.
type Verify struct {
	Key   artifacts.Key
	Reply kernel.Reply[struct{}]
}

// Pin keeps an artifact from being pruned, or stops to. Sent by: host. Answer: an error, or none.
type Pin struct {
	Key    artifacts.Key
	Tenant string
	Off    bool
	Reply  kernel.Reply[struct{}]
}

// Evict removes an artifact. Sent by: host. Answer: when it is gone from the disk; caller.conflict while it is in use or
// pinned.
type Evict struct {
	Key   artifacts.Key
	Reply kernel.Reply[struct{}]
}

// Persist says that there is room on the disk again. Sent by: host. Answer: none; what is in memory only is written.
type Persist struct{}

// Prune looks at age and size. Sent by: pruner, and host for an operator. Answer: what was removed, when it is gone.
type Prune struct{ Reply kernel.Reply[Pruned] }

// Pruned says what a look at age and size did.
type Pruned struct {
	Removed      int
	RemovedBytes int64
	KeptBytes    int64
	OverLimit    bool
}

// indexed is the store's content. Sent by: the shell, once per incarnation.
type indexed struct {
	entries []Entry
	err     error
}

// prepared is the end of a preparation. Sent by: prepare's answer.
type prepared struct {
	key     artifacts.Key
	gen     uint64
	outcome prepare.Outcome
	err     error
}

// stored says that an artifact can be executed. Sent by: the shell.
type stored struct {
	key   artifacts.Key
	gen   uint64
	bytes int64 // on disk; 0: it is served from memory only
	err   error
}

// described is the end of a Describe. Sent by: the shell.
type described struct {
	key  artifacts.Key
	gen  uint64
	meta artifacts.Meta
	err  error
}

// deleted is the end of a Delete. Sent by: the shell.
type deleted struct {
	gone    []Gone
	kept    []artifacts.Key // of gone, with err
	err     error
	evict   bool
	evicted kernel.Reply[struct{}]
	prune   bool
	report  Pruned
	pruned  kernel.Reply[Pruned]
}

// Gone names a generation of an artifact that leaves.
type Gone struct {
	Key artifacts.Key
	Gen uint64
}

// executed is the end of a run. Sent by: execute's answer.
type executed struct {
	id      uint64
	outcome run.Outcome
	err     error
}

// verified is the end of a Verify. Sent by: the shell.
type verified struct {
	key   artifacts.Key
	gen   uint64
	err   error
	reply kernel.Reply[struct{}]
}

// pinned is the end of a Pin. Sent by: the shell.
type pinned struct {
	pin Pin
	err error
}

func (Ask) cacheMessage()       {}
func (Depart) cacheMessage()    {}
func (Raise) cacheMessage()     {}
func (Revoke) cacheMessage()    {}
func (List) cacheMessage()      {}
func (Show) cacheMessage()      {}
func (Verify) cacheMessage()    {}
func (Pin) cacheMessage()       {}
func (Evict) cacheMessage()     {}
func (Prune) cacheMessage()     {}
func (Persist) cacheMessage()   {}
func (indexed) cacheMessage()   {}
func (described) cacheMessage() {}
func (deleted) cacheMessage()   {}
func (prepared) cacheMessage()  {}
func (stored) cacheMessage()    {}
func (executed) cacheMessage()  {}
func (verified) cacheMessage()  {}
func (pinned) cacheMessage()    {}

// Failed answers the sender when the message could not be handled.
func (m Ask) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Revoke) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m List) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Show) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Verify) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Pin) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Evict) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Prune) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m verified) Failed(err error) { m.reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m pinned) Failed(err error) { m.pin.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m deleted) Failed(err error) {
	m.evicted.Fail(err)
	m.pruned.Fail(err)
}

// Entry is one entry of the store.
type Entry struct {
	Key        artifacts.Key
	Meta       artifacts.Meta     // the lists of its module are not needed
	Bytes      int64              // on disk
	Absent     bool               // only pins are left
	Failure    *artifacts.Failure // set for a failed preparation, in place of Meta
	LastNeeded time.Time
	Pins       []string
}

// Store is the port to the artifact store. Its methods may block; the shell calls them one at a time, beside the actor.
type Store interface {
	Index(ctx context.Context) ([]Entry, error)
	// Put takes the parts of a ticket and returns the bytes that the artifact takes on disk. memoryOnly asks not to write. 0
	// without an error: the artifact is served from memory, since it could not be written.
	Put(ctx context.Context, m artifacts.Meta, ticket uint64, memoryOnly bool) (bytes int64, err error)
	// PutAgain writes what Put could not, as long as it is in memory: host.artifact_missing says that it is not.
	PutAgain(ctx context.Context, k artifacts.Key) (bytes int64, err error)
	// Describe returns the whole description, or host.artifact_missing or host.artifact_corrupt.
	Describe(ctx context.Context, k artifacts.Key) (artifacts.Meta, error)
	// Discard gives up the parts of a ticket.
	Discard(ticket uint64)
	PutFailure(ctx context.Context, k artifacts.Key, f artifacts.Failure) error
	// Delete returns with an error which of the keys are still on disk.
	Delete(ctx context.Context, keys []artifacts.Key) (kept []artifacts.Key, err error)
	// SetOverLimit says whether what is pinned or in use leaves no room for anything new. It must not block.
	SetOverLimit(over bool)
	// Touch must not block.
	Touch(k artifacts.Key, now time.Time)
	Verify(ctx context.Context, k artifacts.Key) error
	Pin(ctx context.Context, tenant string, k artifacts.Key, off bool) error
}

// Effect is what the core wants done.
type Effect interface{ cacheEffect() }

// The effects. Those that have an answer come back as a message.
type (
	// StartPrepare asks the prepare queue; answered by prepared.
	StartPrepare struct {
		Gen uint64
		Job prepare.Job
	}
	// RaisePrepare lifts a preparation.
	RaisePrepare struct {
		Job      uint64
		Priority run.Priority
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
	StartExecute struct{ Job execute.Job }
	// CancelExecute ends a run.
	CancelExecute struct{ Run uint64 }
	// Release closes the idle workers of an artifact.
	Release struct{ Key artifacts.Key }
	// StartVerify checks a stored artifact; answered by verified.
	StartVerify struct {
		Key   artifacts.Key
		Gen   uint64
		Reply kernel.Reply[struct{}]
	}
	// StartPin writes a pin; answered by pinned.
	StartPin struct{ Pin Pin }
	// Reply answers a request.
	Reply struct {
		To     kernel.Reply[Answer]
		Answer Answer
		Err    error
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
	// Done answers a Verify, Pin or Evict.
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
func (CancelExecute) cacheEffect() {}
func (Release) cacheEffect()       {}
func (StartVerify) cacheEffect()   {}
func (StartPin) cacheEffect()      {}
func (Reply) cacheEffect()         {}
func (Listed) cacheEffect()        {}
func (Shown) cacheEffect()         {}
func (Done) cacheEffect()          {}
func (HasPruned) cacheEffect()     {}
