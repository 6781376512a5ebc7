package inspect

import "time"

// Actor is the snapshot of one actor that its loop published last.
type Actor struct {
	Path        string    `json:"path"` // e.g. "troupe/execute/worker-3"
	Kind        string    `json:"kind"`
	Incarnation uint64    `json:"incarnation"`
	State       string    `json:"state"` // starting, idle, busy, backoff, stopping, stopped, gave_up
	Since       time.Time `json:"since"`
	Depth       int       `json:"mailbox_depth"`
	Cap         int       `json:"mailbox_cap"`
	OldestSince time.Time `json:"oldest_since,omitzero"` // when the oldest waiting message was accepted
	Handling    string    `json:"handling,omitempty"`    // Go type of the message being handled
	HandledAt   time.Time `json:"handling_since,omitzero"`
	Accepted    uint64    `json:"accepted_total"`
	Handled     uint64    `json:"handled_total"`
	Refused     uint64    `json:"refused_total"`
	Restarts    int       `json:"restarts"`
	MaxRestarts int       `json:"max_restarts"`
	NextRestart time.Time `json:"next_restart,omitzero"`
	LastFault   string    `json:"last_fault,omitempty"`

	App       string            `json:"app,omitempty"`
	Paused    bool              `json:"paused,omitempty"` // its work lane waits, for an operator wants it so
	LogLevel  string            `json:"log_level,omitempty"`
	Lanes     []Lane            `json:"lanes,omitempty"`
	Handler   Timing            `json:"handler"`
	Dropped   map[string]uint64 `json:"dropped,omitempty"` // undelivered, by dotted code
	Requests  int               `json:"requests_out,omitempty"`
	Tasks     int               `json:"tasks,omitempty"` // beside the actor, timers apart
	Timers    int               `json:"timers,omitempty"`
	NextTimer time.Time         `json:"next_timer,omitzero"`
	Children  int               `json:"children,omitempty"`
	Rates     *Rates            `json:"rates,omitempty"` // only while somebody watches
	At        time.Time         `json:"at"`              // of this snapshot
}

// Artifact is one entry of the artifact cache.
type Artifact struct {
	Key        string    `json:"key"`
	CodeHash   string    `json:"code_hash"`
	State      string    `json:"state"` // preparing, prepared, failed, absent
	Generation uint64    `json:"generation"`
	Bytes      int64     `json:"bytes"`
	Stored     bool      `json:"stored"` // false: served from memory only
	Priority   string    `json:"priority,omitempty"`
	Waiting    int       `json:"waiting"` // requests that wait for the preparation
	InUse      int       `json:"in_use"`  // runs that use it now
	Pins       []string  `json:"pins,omitempty"`
	PreparedAt time.Time `json:"prepared_at,omitzero"`
	LastNeeded time.Time `json:"last_needed,omitzero"`
	PrepareCPU int64     `json:"prepare_cpu_us,omitempty"`
	Fault      string    `json:"fault,omitempty"`
	Message    string    `json:"message,omitempty"`
	Failures   int       `json:"failures,omitempty"`
	RetryAt    time.Time `json:"retry_at,omitzero"` // failed: when the next request may try again; prepared: when a quarantine ends

	Escalations []Escalation `json:"escalations,omitempty"` // of the preparation, oldest first
}

// Escalation says who raised a priority, when, and from what.
type Escalation struct {
	At   time.Time `json:"at"`
	From string    `json:"from"`
	To   string    `json:"to"`
	By   string    `json:"by"` // kind and tenant of the request, e.g. "execute of default"
}

// Preparation is one job of the prepare queue.
type Preparation struct {
	Job         uint64       `json:"job"`
	Artifact    string       `json:"artifact"`
	CodeHash    string       `json:"code_hash"`
	Tenant      string       `json:"tenant"`
	Priority    string       `json:"priority"`
	State       string       `json:"state"` // parked, backoff, running, held, stopping
	Since       time.Time    `json:"since"` // when it came
	StartedAt   time.Time    `json:"started_at,omitzero"`
	BudgetCPU   int64        `json:"budget_cpu_us"`
	Held        string       `json:"held,omitempty"` // how it is held back for a critical one: "nice", "nice+autogroup", "cgroup", ...
	Escalations []Escalation `json:"escalations,omitempty"`
	Worker      string       `json:"worker,omitempty"` // id of the process that has it
	Actor       string       `json:"actor,omitempty"`  // path of the actor that drives it
}

// Warm is one code of a warm-up list.
type Warm struct {
	CodeHash string    `json:"code_hash"`
	Tenant   string    `json:"tenant"`
	Artifact string    `json:"artifact"`
	State    string    `json:"state"` // absent, preparing, prepared, failed
	Bytes    int64     `json:"bytes"` // of the code, as it is kept to prepare it again
	Since    time.Time `json:"since"` // on the list
}

// Worker is one worker process.
type Worker struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"` // prepare, execute
	PID      int       `json:"pid"`
	State    string    `json:"state"` // starting, idle, busy
	Tenant   string    `json:"tenant,omitempty"`
	Artifact string    `json:"artifact,omitempty"`
	Runs     uint64    `json:"runs"`
	Since    time.Time `json:"since"` // in this state; of a busy one: when it began with what it does
	Sandbox  string    `json:"sandbox"`

	App       string    `json:"app,omitempty"`
	BuildID   string    `json:"build_id,omitempty"`
	Job       string    `json:"job,omitempty"` // what it does now
	CPUMicros int64     `json:"cpu_us,omitempty"`
	RSSBytes  int64     `json:"rss_bytes,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"` // its process
	Recycle   string    `json:"recycle,omitempty"`   // why it will end when it is idle
	Defences  []Layer   `json:"defences,omitempty"`
	Actor     string    `json:"actor,omitempty"` // path of the actor that drives it; "" for none: an instance of an app, or nobody's yet
}

// Sandbox says what confines workers on this machine.
type Sandbox struct {
	Level     string  `json:"level"` // the layers that hold, joined by "+"
	Layers    []Layer `json:"layers"`
	Kernel    string  `json:"kernel"`
	Container string  `json:"container,omitempty"` // "" for none that was recognised
	Landlock  int     `json:"landlock_abi"`        // version, 0: none
}

// Layer is one layer of a sandbox.
type Layer struct {
	Name     string `json:"name"`
	Held     bool   `json:"held"`
	Optional bool   `json:"optional,omitempty"` // nothing warns of it, and nobody is refused for it
	Why      string `json:"why,omitempty"`      // it does not hold
	Hint     string `json:"hint,omitempty"`     // how to mend it
	State    string `json:"state,omitempty"`    // held; refused by this machine; off: this build or policy does without
}

// Queue is the state of the prepare or the execute queue, or of the jobs that are not settled.
type Queue struct {
	Name     string         `json:"name"`
	Cap      int            `json:"cap"`
	Parked   map[string]int `json:"parked"` // by priority
	Running  int            `json:"running"`
	Workers  int            `json:"workers"`
	Soft     int            `json:"soft_workers"`
	Hard     int            `json:"hard_workers"`
	Refused  uint64         `json:"refused_total"`
	OldestAt time.Time      `json:"oldest_since,omitzero"`
	Paused   bool           `json:"paused,omitempty"` // it takes nothing new, for an operator wants it so

	Preparations []Preparation `json:"preparations,omitempty"` // of the prepare queue

	PausedSince time.Time `json:"paused_since,omitzero"`
}

// Health is one lasting condition that an operator should know.
type Health struct {
	Code    string    `json:"code"`
	Level   string    `json:"level"` // warning, error
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
	Since   time.Time `json:"since"`
}

// Store is the state of the artifact store.
type Store struct {
	Entries       int       `json:"entries"`
	Bytes         int64     `json:"bytes"`      // sum of stored artifacts
	DiskBytes     int64     `json:"disk_bytes"` // allocated blocks of the database files
	LimitBytes    int64     `json:"limit_bytes"`
	MemoryBytes   int64     `json:"memory_bytes"` // sealed files held in memory
	FreeBytes     int64     `json:"free_bytes"`   // free on the file system
	ReserveBytes  int64     `json:"reserve_bytes"`
	BallastBytes  int64     `json:"ballast_bytes"`
	ReadOnlySince time.Time `json:"read_only_since,omitzero"`
}

// Host is everything at once.
type Host struct {
	Version   string     `json:"version"`
	BuildID   string     `json:"build_id"`
	Boot      string     `json:"boot"` // differs after each start
	At        time.Time  `json:"at"`
	CPUMicros int64      `json:"cpu_us,omitempty"` // of the process of the host
	RSSBytes  int64      `json:"rss_bytes,omitempty"`
	Name      string     `json:"name"`
	StartedAt time.Time  `json:"started_at"`
	DataDir   string     `json:"data_dir"`
	Sandbox   string     `json:"sandbox"`
	Ready     bool       `json:"ready"`
	Draining  bool       `json:"draining"`
	Requests  int        `json:"requests"` // admitted and not answered yet
	Health    []Health   `json:"health"`
	Actors    []Actor    `json:"actors"`
	Queues    []Queue    `json:"queues"`
	Workers   []Worker   `json:"workers"`
	Artifacts []Artifact `json:"artifacts"`
	Store     Store      `json:"store"`

	Jobs map[string]int `json:"jobs,omitempty"` // by state
}
