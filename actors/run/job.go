package run

import "time"

// JobState is the state of a job.
type JobState string

// The states.
const (
	JobQueued  JobState = "queued"  // journalled, not begun, or begun by a host that has ended since
	JobRunning JobState = "running" // under way: its artifact is being prepared, or it is executed
	JobSettled JobState = "settled" // ended, once and for all
)

// JobStage is how far a job is that is under way.
type JobStage string

// The stages.
const (
	JobPreparing JobStage = "preparing" // its artifact is waited for
	JobWaiting   JobStage = "waiting"   // for a worker, or for what comes before one
	JobExecuting JobStage = "running"   // a worker has it
)

// Shown is the state, and of what is under way the stage instead.
func (j *Job) Shown() string {
	if j.State == JobRunning && j.Stage != "" {
		return string(j.Stage)
	}
	return string(j.State)
}

// Job is what is known of a run accepted by Submit. Its JSON form is a contract: fields are added, never renamed.
type Job struct {
	ID          string     `json:"id"`
	Key         string     `json:"idempotency_key,omitempty"`
	Tenant      string     `json:"tenant"`
	State       JobState   `json:"state"`
	Stage       JobStage   `json:"stage,omitempty"` // under way: how far it is; of a host that is asked, never kept
	Priority    string     `json:"priority"`
	CodeHash    string     `json:"code_hash"`
	Mode        string     `json:"mode,omitempty"`     // how the code is entered: command, invoke, bytes; "" is the code's choice
	Validity    string     `json:"validity,omitempty"` // see host.Request.Validity
	RetryOf     string     `json:"retry_of,omitempty"` // the job that this one repeats
	Starts      int        `json:"starts"`             // how often it was begun: more than once after a host died
	SubmittedAt time.Time  `json:"submitted_at"`
	StartedAt   time.Time  `json:"started_at,omitzero"` // the last time
	SettledAt   time.Time  `json:"settled_at,omitzero"`
	Deadline    time.Time  `json:"deadline,omitzero"`   // by when it must have started
	ExpiresAt   time.Time  `json:"expires_at,omitzero"` // settled: when it is forgotten
	Events      []JobEvent `json:"events,omitempty"`    // its timeline, oldest first; not in lists
	Receipt     *Receipt   `json:"receipt,omitempty"`   // settled with a verdict; without output in lists
	Fault       string     `json:"fault,omitempty"`     // settled without a verdict: why, as a dotted code
	Message     string     `json:"message,omitempty"`   // the same in words
	Hint        string     `json:"hint,omitempty"`
}

// JobEvent is one step in the life of a job.
type JobEvent struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`           // submitted, started, raised, cancel_requested, requeued, settled
	From string    `json:"from,omitempty"` // raised: the priority before
	To   string    `json:"to,omitempty"`   // raised: the priority after; settled: the verdict or the fault
	By   string    `json:"by,omitempty"`   // who wanted it: a tenant, or "host"
}
