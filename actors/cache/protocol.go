package cache

import (
	"context"
	"fmt"
	"time"

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

var kindNames = [...]string{"", "execute", "precheck", "heads-up"}

// String returns the lower-case name.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Request is one request for an artifact.
type Request struct {
	ID          uint64 // unique per host; also names the input and output of a run
	Kind        Kind
	Key         artifacts.Key
	Code        artifacts.CodeHash
	Options     artifacts.Options // those that made Key
	Tenant      string
	App         string
	Slice       int64 // of execute.Job
	Priority    run.Priority
	Budget      prepare.Budget // of the preparation; Wall 0: run.WallFactor times the CPU time
	Entry       run.Entry
	Limits      run.Limits
	Imports     run.Imports
	Determinism run.Determinism
	Isolation   run.Isolation
	Deadline    time.Time // zero: none
	NoCode      bool      // nobody has the code: only what is prepared already can be served
	Validity    string    // a tag; Revoke of the same tenant and tag ends the request. Empty: none
	By          string    // who asks, for the record of who raised what. Empty: kind and tenant
	Lend        bool      // of an Execute: see execute.Job
	Tried       *Tried    // of an Execute: its first attempt is over. Nil: it is yet to come

	Cause kernel.Cause // what led to it

	// Again has a preparation that failed begin again now, whatever its cool-down. Generation, if not 0, is that of the failure: of
	// any other it is caller.stale.
	Again      bool
	Generation uint64

	// Left, if set, has the trail of a request that is answered with an error, just before that.
	Left kernel.Reply[run.Trail]

	// Accepted, if set, is answered when a HeadsUp is admitted. It may be answered twice, if the cache restarts.
	Accepted kernel.Reply[struct{}]
}

// Tried is a first attempt that passed by the cache, on a worker that was lent. What follows is as if it had not.
type Tried struct {
	Outcome run.Outcome // with a fault
	Others  bool        // other runs use the artifact in the same way
}

// Answer is what a request gets.
type Answer struct {
	Outcome  run.Outcome // of Execute; Outcome.Fault is the verdict, also that of a Precheck
	Hit      bool        // the artifact was there already
	Attempts int
	Repeated bool           // Outcome.Fault is suspect, and was so on a fresh worker too
	Counted  bool           // it counts against the code
	Stored   bool           // of Precheck: the artifact is on disk
	Meta     artifacts.Meta // with the lists of its module for a Precheck only

	Options     artifacts.Options // of the request
	Determinism run.Determinism   // of the request

	Trail run.Trail
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

// Raise lifts the priority of a request, and of whatever it waits for now and later: its preparation, or its place in the
// execute queue. It never lowers it.
// Sent by: host and jobs, after the Ask. Answer: none. Races: as for Depart.
type Raise struct {
	ID       uint64
	Priority run.Priority
	By       string
	again    bool
}

// Revoke ends the requests of a tenant that carry a validity tag, whatever they wait for: each is answered
// canceled.revoked, and so are those that come later, as long as the tag is remembered.
// Sent by: host, on the control lane, so that it comes through while the cache refuses work or reads its index.
// Answer: how many were ended, at once. Races: one that runs is answered when its worker is dead; a run that ended well
// meanwhile keeps its result.
// Limits: 4096 tags are remembered, also over a restart of the actor. Of more, the tenant with the most loses its oldest.
type Revoke struct {
	Tenant, Tag string
	Reply       kernel.Reply[int]
}

// Lift raises the priority of a preparation under way, for an operator. 0 is one more than it has.
// Sent by: host, on the control lane. Answer: caller.not_found; caller.conflict if nothing is being prepared, or for a priority that
// is not higher.
type Lift struct {
	Key      artifacts.Key
	Priority run.Priority
	By       string
	Reply    kernel.Reply[struct{}]
}

// Pause says that the prepare queue is paused, or not any more: what would need a preparation is refused before it is accepted.
// Sent by: host, on the control lane, before the prepare queue is told, and by the shell when an incarnation begins meanwhile.
// Answer: none.
type Pause struct{ Off bool }

// Underway asks for all requests that are not answered. Sent by: host. Answer: a snapshot, in the order of their ids.
type Underway struct{ Reply kernel.Reply[[]Standing] }

// Standing is a request that is not answered, and where it stands.
type Standing struct {
	ID       uint64
	Kind     Kind
	Key      artifacts.Key
	Code     artifacts.CodeHash
	Tenant   string
	App      string
	Priority run.Priority
	Limits   run.Limits
	Deadline time.Time
	Job      uint64 // of the prepare queue, that it waits for; 0: none
	Runs     bool   // the execute queue has it
	Cause    kernel.Cause
	Trail    run.Trail
}

// Used says that an artifact was used by runs that passed by the cache: it was needed now.
// Sent by: host, on the control lane, at intervals as long as that goes on, and before an Ask of such a run that was tried.
// Answer: none. Races: the artifact may be gone; then it means nothing.
type Used struct {
	Key    artifacts.Key
	Tenant string
	OK     bool // a run of the tenant ended well
	Well   bool // a run ended by the code's own doing
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

// passed says what a preparation has used, when that reached the budget of somebody who waits.
// Sent by: prepare, through Enqueue.Passed, on the control lane. Races: the preparation may have ended, or be of an older
// generation; then it means nothing.
type passed struct {
	key  artifacts.Key
	gen  uint64
	used prepare.Budget
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
	Key   artifacts.Key
	Gen   uint64
	Bytes int64  // on disk
	Why   string // see Observer.Removed
}

// executed is the end of a run. Sent by: execute's answer.
type executed struct {
	id      uint64
	outcome run.Outcome
	err     error
}

// trailed is where the time of a run went that is about to be answered with an error. Sent by: execute, through Enqueue.Left, on the
// control lane. Races: the request may be answered already; then it means nothing.
type trailed struct {
	id    uint64
	trail run.Trail
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
func (Lift) cacheMessage()      {}
func (Pause) cacheMessage()     {}
func (Underway) cacheMessage()  {}
func (trailed) cacheMessage()   {}
func (Used) cacheMessage()      {}
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
func (passed) cacheMessage()    {}
func (stored) cacheMessage()    {}
func (executed) cacheMessage()  {}
func (verified) cacheMessage()  {}
func (pinned) cacheMessage()    {}

// Failed answers the sender when the message could not be handled.
func (m Ask) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Revoke) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Lift) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Underway) Failed(err error) { m.Reply.Fail(err) }

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
