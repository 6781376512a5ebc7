package api

import (
	"encoding/json"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// Right is what a caller may do. Each contains those before it, but for Payload, which none contains but Admin.
type Right string

// The rights.
const (
	View    Right = "view"    // look: headers, states, counts
	Payload Right = "payload" // read what guests and callers wrote: output, logs of apps, blobs, mailboxes with bodies
	Operate Right = "operate" // pause, retry, restart, raise, submit, deploy
	Admin   Right = "admin"   // kill, purge, drain, keys, configuration, backup
)

// Rights in the order of the table.
var Rights = []Right{View, Payload, Operate, Admin}

// Routes of what is published. {path...} is the path of an actor, {id} whatever a list calls an id, {view} one of Views.
// Lists take ?q= (see package query), ?sort= (a field, "-" before it reverses), ?after= and ?limit=, and say how many there are.
const (
	RouteMe       = "GET /v1/me"              // Me
	RouteOpenAPI  = "GET /v1/openapi.json"    // OpenAPI 3.1
	RouteStartup  = "GET /startupz"           // 200 once it has started
	RouteActors   = "GET /v1/actors"          // Page of inspect.Actor
	RouteActor    = "GET /v1/actor/{path...}" // inspect.ActorDetail
	RouteMailbox  = "GET /v1/mailbox/{path...}"
	RouteGuests   = "GET /v1/guests"   // Page of inspect.Guest
	RouteWorkers  = "GET /v1/workers"  // Page of inspect.Worker
	RouteQueues   = "GET /v1/queues"   // Page of inspect.Queue
	RouteDead     = "GET /v1/dead"     // Page of inspect.Letter
	RouteFailures = "GET /v1/failures" // Page of Failing: what has failed and can be retried, of all kinds
	RouteHealth   = "GET /v1/health"   // Page of inspect.Health
	RouteLog      = "GET /v1/log"      // Page of inspect.LogLine; ?after= is a sequence
	RouteAudit    = "GET /v1/audit"    // Page of Audit; ?after= is a sequence
	RouteTimeline = "GET /v1/jobs/{id}/timeline"
	RouteCause    = "GET /v1/cause/{id}"   // Page of inspect.Trace: what the flight recorders hold of one cause, across actors
	RouteExplain  = "GET /v1/explain/{id}" // inspect.Explanation
	RouteHistory  = "GET /v1/history"      // ?address= -> History: metrics of apps over time
	RouteConfig   = "GET /v1/config"       // Setting list: what this host runs with

	RouteWatch = "GET /v1/watch/{view}" // server-sent events: Frame; ?q= &sort= &limit= &every_us=; resumes by Last-Event-ID
	RouteTrace = "GET /v1/trace"        // server-sent events: inspect.Trace; the fields of inspect.TraceFilter as parameters

	RoutePlan      = "POST /v1/plans"            // Wish -> Plan
	RouteApply     = "POST /v1/plans/{id}/apply" // Operation, 202 while it is not settled; header Idempotency-Key
	RouteOperation = "GET /v1/operations/{id}"   // ?wait_us= -> Operation
	RouteSnapshot  = "GET /v1/node/snapshot"     // TypeBytes: a bundle
	RouteBackup    = "GET /v1/node/backup"       // TypeBytes: a backup
)

// Views of RouteWatch and of the consoles.
var Views = []string{"overview", "actors", "guests", "jobs", "queues", "artifacts", "workers", "dead", "failures", "apps", "chain", "health", "log", "audit", "outbox", "demands"}

// Headers of what changes something.
const (
	HeaderReason      = "Troupe-Reason"   // why; kept in the audit log
	HeaderIdempotency = "Idempotency-Key" // the same key within an hour names the same operation
	HeaderDryRun      = "Dry-Run"         // "true": nothing is changed, and what would be is said
	HeaderIfMatch     = "If-Match"        // the generation that the target must have
	HeaderOrigin      = "Troupe-Client"   // which face it came through: cli, top, web; for the audit log
)

// Server-sent events. An event without a name is a frame or a trace.
const (
	TypeSSE    = "text/event-stream"
	EventError = "failure" // a Failure; the stream ends
	EventEnd   = "end"     // the stream ends in good order
)

// Me is who the caller is to this host.
type Me struct {
	Caller   string  `json:"caller"`   // "uid:1000", "token:ci", "cert:ops"
	Rights   []Right `json:"rights"`   // effective
	Listener string  `json:"listener"` // "unix", "tls"
	Version  string  `json:"version"`
	Boot     string  `json:"boot"`
	Host     string  `json:"host"`
}

// Page is one page of a list.
type Page[T any] struct {
	Rows    []T       `json:"rows"`
	Next    string    `json:"next,omitempty"` // for ?after=; "" is the end
	Matched int       `json:"matched"`        // by the query
	Total   int       `json:"total"`
	At      time.Time `json:"at"`
}

// Failing is one thing that has failed.
type Failing struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`  // job, artifact, app, actor, worker, outgoing
	Blame     string    `json:"blame"` // class of the fault: guest, suspect, host, busy, caller
	Code      string    `json:"code"`
	Message   string    `json:"message"`
	At        time.Time `json:"at"`
	Retryable bool      `json:"retryable"`
	RetryAt   time.Time `json:"retry_at,omitzero"`
	Tenant    string    `json:"tenant,omitempty"`
}

// Frame is one event of RouteWatch: all rows at first and after a gap, later those that changed. A row is as it was when only the moment of
// the look would be another.
type Frame struct {
	View    string    `json:"view"`
	Full    bool      `json:"full"`            // Rows are all that match, within the limit, in order
	Order   []string  `json:"order,omitempty"` // ids of the rows in order, when that has changed
	Rows    []Row     `json:"rows,omitempty"`  // as the list of the view has them
	Gone    []string  `json:"gone,omitempty"`  // ids
	Matched int       `json:"matched"`
	Total   int       `json:"total"`
	Dropped uint64    `json:"dropped_total,omitempty"` // events of a log that were overtaken before they were sent
	Boot    string    `json:"boot"`
	At      time.Time `json:"at"`
}

// Row is one row of a frame.
type Row struct {
	ID  string          `json:"id"`
	Row json.RawMessage `json:"row"`
}

// Wish asks for a plan: one verb on the things that are named, or that a selector finds now.
type Wish struct {
	Verb     string            `json:"verb"` // the name of one of Verbs
	IDs      []string          `json:"ids,omitempty"`
	Selector string            `json:"selector,omitempty"` // see package query; of the kind of the verb
	Reason   string            `json:"reason,omitempty"`   // at most 512 bytes
	Args     map[string]string `json:"args,omitempty"`     // e.g. priority, level, for_us
	Match    map[string]uint64 `json:"match,omitempty"`    // generation by id, for those that the caller has looked at
}

// Plan is what a wish would do. It is kept for a while and can be applied once.
type Plan struct {
	ID       string        `json:"id"` // hash of all that follows
	Verb     string        `json:"verb"`
	Selector string        `json:"selector,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Targets  []PlanTarget  `json:"targets"`
	Excluded []PlanOutcome `json:"excluded"` // that were named or found, and cannot be done
	Count    int           `json:"count"`    // targets
	Effect   string        `json:"effect"`   // in words
	Danger   bool          `json:"danger"`   // the consoles ask for the number of targets
	Until    time.Time     `json:"until"`
	At       time.Time     `json:"at"`
}

// PlanTarget is one target of a plan, as it was when the plan was made.
type PlanTarget struct {
	ID         string `json:"id"`
	Generation uint64 `json:"generation"`
	Label      string `json:"label,omitempty"`
	State      string `json:"state,omitempty"`
	Children   int    `json:"children,omitempty"` // that are affected too
	Lost       int    `json:"lost,omitempty"`     // jobs and runs that end by it
}

// PlanOutcome is what became of one target, or would.
type PlanOutcome struct {
	ID    string `json:"id"`
	State string `json:"state"` // done, failed, superseded, excluded
	Code  string `json:"code,omitempty"`
	Why   string `json:"why,omitempty"`
	Hint  string `json:"hint,omitempty"` // what helps
}

// Operation is a plan that was applied.
type Operation struct {
	ID      string        `json:"id"`
	Plan    string        `json:"plan"`
	Verb    string        `json:"verb"`
	State   string        `json:"state"` // running, done, failed (some targets), superseded (all of them had changed)
	By      string        `json:"by"`
	Reason  string        `json:"reason,omitempty"`
	Done    int           `json:"done"`
	Failed  int           `json:"failed"`
	Results []PlanOutcome `json:"results"`
	At      time.Time     `json:"at"`
	EndedAt time.Time     `json:"ended_at,omitzero"`
}

// Audit is one line of the audit log.
type Audit struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Caller  string    `json:"caller"`
	Origin  string    `json:"origin,omitempty"` // listener and HeaderOrigin
	Route   string    `json:"route"`
	Verb    string    `json:"verb,omitempty"`
	Target  string    `json:"target,omitempty"` // id, selector, or how many
	Plan    string    `json:"plan,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	DryRun  bool      `json:"dry_run,omitempty"`
	Outcome string    `json:"outcome"` // done, refused, failed, planned
	Code    string    `json:"code,omitempty"`

	Suppressed uint64 `json:"suppressed,omitempty"` // refused attempts that were left out before this one, since they were too many
}

// Setting is one setting of the host.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // default, flag, env NAME, context NAME, file PATH:LINE
	Live   bool   `json:"live"`   // a reload takes it over without a restart
}

// History is the use of one app over time, oldest first.
type History struct {
	Address string   `json:"address"`
	Every   int64    `json:"every_us"`
	Samples []Sample `json:"samples"`
}

// Sample is the use of an app at one moment, cumulative.
type Sample struct {
	At      time.Time          `json:"at"`
	Metrics inspect.AppMetrics `json:"metrics"`
	Running uint32             `json:"running"`
	Queued  int                `json:"queued"`
}

// Bundle is what a snapshot of a host holds: the same records that its API shows, and what its cores were given. On disk it
// is one file; see package bundle.
type Bundle struct {
	Format    int                         `json:"format"`
	Host      inspect.Host                `json:"host"`
	Actors    []inspect.ActorDetail       `json:"actors"`
	Guests    []inspect.Guest             `json:"guests"`
	Jobs      []run.Job                   `json:"jobs"` // without what callers gave and guests printed
	Timelines map[string]inspect.Timeline `json:"timelines"`
	Dead      []inspect.Letter            `json:"dead"`
	Apps      []inspect.App               `json:"apps"`
	Session   *inspect.Session            `json:"session,omitempty"`
	Chain     *inspect.ChainView          `json:"chain,omitempty"`
	Blobs     []inspect.Blob              `json:"blobs"`
	Log       []inspect.LogLine           `json:"log"`
	Audit     []Audit                     `json:"audit"`
	Config    []Setting                   `json:"config"`
	Reason    string                      `json:"reason"` // request, signal, crash
	At        time.Time                   `json:"at"`

	Mailboxes    map[string][]inspect.Letter    `json:"mailboxes,omitempty"`    // headers of what waited, by actor
	Explanations map[string]inspect.Explanation `json:"explanations,omitempty"` // of what waited or had failed, by id
	Calls        []inspect.Outgoing             `json:"calls,omitempty"`
	Demands      []inspect.Demand               `json:"demands,omitempty"`
	Pay          []inspect.Pay                  `json:"pay,omitempty"`
	Missing      map[string]string              `json:"missing,omitempty"` // part: why it is not here, or not whole
}
