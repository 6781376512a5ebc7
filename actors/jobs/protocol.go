package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// Request is what a job is to be, as far as the actor needs to know.
type Request struct {
	ID          string // unique and later in order than all before; the same one again is the same job
	Key         string // of the tenant; empty: none
	Tenant      string
	Validity    string
	RetryOf     string
	Priority    run.Priority
	Code        Digest
	Fingerprint Digest // of what is to be run: equal for equal requests
	Mode        string // of the entry, for those who look at the job
	Params      string // hash of what changes the run, for the receipt
	Deadline    time.Time
	Keep        time.Duration // zero: Limits.Keep
	Body        *Body
	Cause       string // id of what led to it
}

// Body is the part of a request that is on disk only.
type Body struct {
	Spec []byte // how to run it, as Runner.Open reads it
	Code []byte // nil: the journal has it, or never needs it
	Fits bool   // set by the journal, which looks once: it fits when settled jobs are forgotten
}

// Message is what the jobs actor receives.
type Message interface{ jobsMessage() }

// Submit accepts a job.
// Sent by: host. Answer: the job, when it is on disk; the one that has the key, when that is on disk; caller.conflict,
// caller.invalid_request, caller.quota, canceled.revoked, busy.*, host.disk_*. Races: after a restart of the actor it comes
// again, and finds the job by its id. Limits: Limits.Queue jobs that are not settled.
type Submit struct {
	Request Request
	Reply   kernel.Reply[run.Job]
}

// Get asks for a job. Sent by: host. Answer: the job without its receipt, or caller.not_found.
type Get struct {
	ID    string
	Reply kernel.Reply[run.Job]
}

// List asks for jobs in the order of their ids. Sent by: host. Answer: at most Limit jobs, without timeline and receipt.
type List struct {
	Tenant string       // empty: all
	State  run.JobState // empty: all
	After  string
	Limit  int
	Reply  kernel.Reply[Page]
}

// Page is a part of a list.
type Page struct {
	Jobs []run.Job
	Next string // After of the next page; empty: there is none
}

// Count asks how many jobs there are, by state. Sent by: host. Answer: the numbers.
type Count struct {
	Reply kernel.Reply[map[run.JobState]int]
}

// Watch asks for a job when it has more than Seen events, or is settled.
// Sent by: host. Answer: the job, or caller.not_found; canceled.caller_left after Unwatch. Limits: Limits.Watchers.
type Watch struct {
	ID      string
	Seen    int
	Watcher uint64 // unique per host
	Reply   kernel.Reply[run.Job]
}

// Unwatch says that a watcher has left.
// Sent by: host, after the Watch, on the control lane. Answer: none of its own. Races: the watch may be answered already, or
// be overtaken: then this goes behind it.
type Unwatch struct {
	Watcher uint64
	again   bool // it stood behind all that was there when it came
}

// Cancel ends a job.
// Sent by: host. Answer: the job, when the wish is on disk; caller.not_found, caller.conflict for a job that is settled. A
// failed write is an error, and the wish holds all the same as long as the host lives.
type Cancel struct {
	ID, By string
	Reply  kernel.Reply[run.Job]
}

// Raise lifts the priority of a job, and of what it waits for.
// Sent by: host. Answer: as for Cancel; caller.conflict for a priority that is not higher, too.
type Raise struct {
	ID       string
	Priority run.Priority
	By       string
	Reply    kernel.Reply[run.Job]
}

// Revoke ends the jobs of a tenant that carry a validity tag, and has those refused that come with it later, as long as it is
// among the newest Limits.Tags tags.
// Sent by: host, on the control lane. Answer: how many were ended, when that is on disk.
type Revoke struct {
	Tenant, Tag string
	Reply       kernel.Reply[int]
}

// Pause has no job begin, or lets them again. Jobs are accepted and journalled all the same, and what is under way goes on.
// Sent by: host, for an operator, and by the shell when an incarnation begins while the host holds a pause; on the control lane.
// Answer: at once. It says all that holds from now on.
type Pause struct {
	Paused bool      // by an operator
	Held   bool      // since the execute queue is paused
	Since  time.Time // Paused: since when
	Reply  kernel.Reply[struct{}]
}

// Purge settles all jobs that are queued as canceled.host_stopped. One that is under way, or about to be, is not.
// Sent by: host, for an operator, on the control lane. Answer: how many they were, when that is on disk.
type Purge struct{ Reply kernel.Reply[int] }

// Inspect asks for the jobs that are not settled as a queue. Sent by: host. Answer: a snapshot.
type Inspect struct{ Reply kernel.Reply[inspect.Queue] }

// Underway asks which jobs are under way, under which ids the cache has them. Sent by: host. Answer: a snapshot.
type Underway struct{ Reply kernel.Reply[[]Flight] }

// Flight is a job under way.
type Flight struct {
	ID    string
	Run   uint64 // its request; 0: it is not at the cache
	Cause string

	Tenant   string
	Code     Digest
	Priority run.Priority

	Trail run.Trail // before it came to the cache
}

// Trace asks where a job stands. Sent by: host. Answer: caller.not_found, or what is known without the disk.
type Trace struct {
	ID    string
	Reply kernel.Reply[Traced]
}

// Traced is where a job stands.
type Traced struct {
	State run.JobState
	Cause string
	Run   uint64    // its request at the cache; 0: none
	Trail run.Trail // of a job that is not settled
}

// Drain has no job started any more.
// Sent by: host, on the control lane. Answer: when none is under way and nothing is to be written.
type Drain struct{ Reply kernel.Reply[struct{}] }

// loaded is what the journal has. Sent by: the shell, once per incarnation, and again after an error.
type loaded struct {
	records []Record
	kept    time.Duration
	err     error
}

// wrote is the end of a Write. Sent by: the shell.
type wrote struct {
	id   string
	over bool // all jobs together take more than their share of the disk
	err  error
}

// erased is the end of an Erase. Sent by: the shell.
type erased struct {
	ids []string
	err error
}

// opened is the end of an Open. Sent by: the shell.
type opened struct {
	id      string
	request cache.Request
	err     error
}

// ended is the end of a run. Sent by: the cache's answer.
type ended struct {
	id     string
	run    uint64
	answer cache.Answer
	err    error
}

// trailed is where the time of a run went that is about to end without a verdict. Sent by: cache, through Request.Left, on the control
// lane. Races: the job may be at another run already; then it means nothing.
type trailed struct {
	id    string
	run   uint64
	trail run.Trail
}

// tick is the time that goes by. Sent by: a timer.
type tick struct{}

func (Submit) jobsMessage()   {}
func (Get) jobsMessage()      {}
func (List) jobsMessage()     {}
func (Count) jobsMessage()    {}
func (Watch) jobsMessage()    {}
func (Unwatch) jobsMessage()  {}
func (Cancel) jobsMessage()   {}
func (Raise) jobsMessage()    {}
func (Revoke) jobsMessage()   {}
func (Pause) jobsMessage()    {}
func (Purge) jobsMessage()    {}
func (Inspect) jobsMessage()  {}
func (Underway) jobsMessage() {}
func (Trace) jobsMessage()    {}
func (trailed) jobsMessage()  {}
func (Drain) jobsMessage()    {}
func (loaded) jobsMessage()   {}
func (wrote) jobsMessage()    {}
func (erased) jobsMessage()   {}
func (opened) jobsMessage()   {}
func (ended) jobsMessage()    {}
func (tick) jobsMessage()     {}

// Failed answers the sender when the message could not be handled.
func (m Submit) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Get) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m List) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Count) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Watch) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Cancel) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Raise) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Revoke) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Pause) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Purge) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Inspect) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Underway) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Trace) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Drain) Failed(err error) { m.Reply.Fail(err) }

// Journal is the port to the disk. Its methods may block, and may be called at the same time for different jobs.
type Journal interface {
	// Load returns all records and the newest reading of the clock that SaveClock or a record has.
	Load(ctx context.Context) (records []Record, kept time.Duration, err error)
	// Write puts a record on disk, all or nothing, and with it the body of a new job, or what came out of a settled one. over
	// says that all jobs take more than their share. A new job that does not fit is caller.quota, which wraps ErrNeverFits if
	// it would not fit either when all settled jobs were forgotten; nothing else is.
	Write(ctx context.Context, r Record, body *Body, out *cache.Answer) (over bool, err error)
	// Erase removes jobs with all that belongs to them. What is not there is fine.
	Erase(ctx context.Context, ids []string) error
	// SaveClock keeps a reading of the clock that counts how long jobs are kept.
	SaveClock(ctx context.Context, kept time.Duration) error
}

// ErrNeverFits has no settled job forgotten for a new one.
var ErrNeverFits = errors.New("it does not fit, even if all settled jobs are forgotten")

// Runner is the port to what a run needs besides its request.
type Runner interface {
	// Open makes the request for a job, with its input and output, under an id that Close gives up. It reads the code only if
	// withCode: else the request may say NoCode. It may block.
	Open(ctx context.Context, r Record, withCode bool) (cache.Request, error)
	// Close gives up what Open took. It must not block for long.
	Close(run uint64)
}

// Effect is what the core wants done.
type Effect interface{ jobsEffect() }

// The effects. Those that have an answer come back as a message.
type (
	// Load reads the journal; answered by loaded.
	Load struct{}
	// Write puts a job on disk; answered by wrote. There is one at a time for a job.
	Write struct {
		Record Record
		Body   *Body
		Out    *cache.Answer
	}
	// Erase removes jobs from the disk; answered by erased. There is one at a time.
	Erase struct{ IDs []string }
	// SaveClock keeps the clock.
	SaveClock struct{ Kept time.Duration }
	// Open prepares a run; answered by opened.
	Open struct {
		Record   Record
		WithCode bool
	}
	// Start asks the cache; answered by ended.
	Start struct {
		ID      string
		Request cache.Request
	}
	// Close gives up what Open took.
	Close struct{ Run uint64 }
	// Depart ends a run.
	Depart struct{ Run uint64 }
	// RaiseRun lifts what a run waits for.
	RaiseRun struct {
		Run      uint64
		Priority run.Priority
		By       string
	}
	// Wake has a tick sent.
	Wake struct{ After time.Duration }
	// Stuck tells operators why settled jobs cannot be written, and nil when they can again.
	Stuck struct{ Why *fault.Error }
	// Refuse answers who sent a message with an error.
	Refuse struct {
		Message Message
		Err     error
	}
	// Requeue puts a message behind the work that waits.
	Requeue struct{ Message Message }
	// Reply answers with a job.
	Reply struct {
		To  kernel.Reply[run.Job]
		Job run.Job
		Err error
	}
	// Listed answers a List.
	Listed struct {
		To   kernel.Reply[Page]
		Page Page
		Err  error
	}
	// Counted answers a Count.
	Counted struct {
		To     kernel.Reply[map[run.JobState]int]
		States map[run.JobState]int
	}
	// Revoked answers a Revoke or a Purge.
	Revoked struct {
		To  kernel.Reply[int]
		N   int
		Err error
	}
	// Drained answers a Drain, and Done a Pause.
	Drained struct{ To kernel.Reply[struct{}] }
	Done    struct{ To kernel.Reply[struct{}] }
	// Shown answers an Inspect, Flown an Underway, and HasTraced a Trace.
	Shown struct {
		To    kernel.Reply[inspect.Queue]
		Queue inspect.Queue
	}
	Flown struct {
		To      kernel.Reply[[]Flight]
		Flights []Flight
	}
	HasTraced struct {
		To     kernel.Reply[Traced]
		Traced Traced
		Err    error
	}
)

func (Load) jobsEffect()      {}
func (Write) jobsEffect()     {}
func (Erase) jobsEffect()     {}
func (SaveClock) jobsEffect() {}
func (Open) jobsEffect()      {}
func (Start) jobsEffect()     {}
func (Close) jobsEffect()     {}
func (Depart) jobsEffect()    {}
func (RaiseRun) jobsEffect()  {}
func (Wake) jobsEffect()      {}
func (Stuck) jobsEffect()     {}
func (Refuse) jobsEffect()    {}
func (Requeue) jobsEffect()   {}
func (Reply) jobsEffect()     {}
func (Listed) jobsEffect()    {}
func (Counted) jobsEffect()   {}
func (Revoked) jobsEffect()   {}
func (Drained) jobsEffect()   {}
func (Done) jobsEffect()      {}
func (Shown) jobsEffect()     {}
func (Flown) jobsEffect()     {}
func (HasTraced) jobsEffect() {}
