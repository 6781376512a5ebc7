package api

import (
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Execute asks for one run. The tenant is never part of it: it follows from the caller's credentials.
type Execute struct {
	CodeHash  string `json:"code_hash,omitempty"` // code that the host knows already, instead of the code part
	Priority  string `json:"priority,omitempty"`  // default normal
	Entry     Entry  `json:"entry"`
	Limits    Limits `json:"limits"`
	Imports   string `json:"imports,omitempty"`   // refuse (default) or trap
	World     string `json:"world,omitempty"`     // deterministic (default) or real: the clock and random source
	Isolation string `json:"isolation,omitempty"` // reset (default) or process: what runs of the same code may share
	Validity  string `json:"validity,omitempty"`  // a tag of at most 128 bytes that RouteRevoke can name

	CanonicalNaNs bool `json:"canonical_nans,omitempty"` // every NaN that arithmetic makes is the canonical one: another artifact

	Capture  bool `json:"capture,omitempty"`  // put output into the receipt instead of events
	Progress bool `json:"progress,omitempty"` // look up the stage for progress events
}

// Entry says how to enter the code; see run.Entry.
type Entry struct {
	Mode string   `json:"mode,omitempty"` // command, invoke or bytes; default: command if the code exports _start
	Name string   `json:"name,omitempty"`
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"`
}

// Limits is run.Limits; zero means default.
type Limits struct {
	CPUMicros   int64 `json:"cpu_us,omitempty"`  // 1000 (1 ms) to 24 h
	WallMicros  int64 `json:"wall_us,omitempty"` // 1000 (1 ms) to 7 days
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	OutputBytes int64 `json:"output_bytes,omitempty"`
	Gas         int64 `json:"gas,omitempty"`          // 1 to 2^62; default none
	InitGas     int64 `json:"init_gas,omitempty"`     // of initialisation, 1 to 2^62; default none
	StackValues int64 `json:"stack_values,omitempty"` // 1024 to 1,048,576
}

// Submit asks for a durable job. Its output is always captured: Capture and Progress mean nothing.
type Submit struct {
	Execute
	Key        string    `json:"idempotency_key,omitempty"` // the same key names the same job; at most 128 bytes
	KeepMicros int64     `json:"keep_us,omitempty"`         // how long it is kept once it is settled, 1 s to 1 year; default: the host's
	Deadline   time.Time `json:"deadline,omitzero"`         // when it must have started; RFC 3339
}

// Code asks to judge code (precheck), announces it (headsup) or keeps it prepared (warm).
type Code struct {
	CodeHash  string `json:"code_hash,omitempty"`
	Priority  string `json:"priority,omitempty"` // default: normal for precheck, else background
	CPUMicros int64  `json:"cpu_us,omitempty"`   // budget of the preparation, 1000 (1 ms) to 24 h
	Imports   string `json:"imports,omitempty"`
	Progress  bool   `json:"progress,omitempty"`

	CanonicalNaNs bool `json:"canonical_nans,omitempty"` // see Execute; not for warm
}

// The values of the fields that are choices.
const (
	ImportsRefuse      = "refuse"
	ImportsTrap        = "trap"
	WorldDeterministic = "deterministic"
	WorldReal          = "real"
)

// Event is one line of a stream; exactly one field is set. A stream ends with Receipt, Judgement or Error; one that
// ends without them was cut off.
type Event struct {
	Stdout    []byte       `json:"stdout,omitempty"` // base64
	Stderr    []byte       `json:"stderr,omitempty"` // base64
	WantStdin bool         `json:"want_stdin,omitempty"`
	Progress  *Progress    `json:"progress,omitempty"`
	Receipt   *run.Receipt `json:"receipt,omitempty"`
	Judgement *Judgement   `json:"judgement,omitempty"`
	Error     *Error       `json:"error,omitempty"`
}

// Progress tells that the host is at work. It comes at least once a second, which also lets the host notice that the
// caller left.
type Progress struct {
	Stage         string `json:"stage,omitempty"` // preparing or running; empty unless it was asked for
	ElapsedMicros int64  `json:"elapsed_us"`
}

// The stages.
const (
	StagePreparing = "preparing"
	StageRunning   = "running"
)

// Judgement is the verdict on code. It mirrors host.Judgement field by field; the server converts one into the other,
// so a difference does not compile.
type Judgement struct {
	Verdict       string           `json:"verdict"`
	Fault         string           `json:"fault"`
	Message       string           `json:"message,omitempty"`
	Hint          string           `json:"hint,omitempty"`
	CodeHash      string           `json:"code_hash"`
	Artifact      string           `json:"artifact"`
	Cache         string           `json:"cache"`
	Stored        bool             `json:"stored"` // the artifact is on disk; false: it is lost when the host ends
	Module        artifacts.Module `json:"module"`
	ArtifactBytes int64            `json:"artifact_bytes"`
	PrepareCPU    int64            `json:"prepare_cpu_us"`
	PrepareWall   int64            `json:"prepare_wall_us"`
	PrepareRSS    int64            `json:"prepare_peak_rss_bytes"`
}

// ArtifactList is one page of artifacts in the order of their keys.
type ArtifactList struct {
	Artifacts []inspect.Artifact `json:"artifacts"`
	Next      string             `json:"next,omitempty"` // pass as ?after= to go on; empty at the end
}

// JobList is one page of jobs in the order of their ids, which is that of their submission, without timeline and output.
type JobList struct {
	Jobs []run.Job `json:"jobs"`
	Next string    `json:"next,omitempty"` // pass as ?after= to go on; empty at the end
}

// Revoked answers a revocation.
type Revoked struct {
	Tag   string `json:"tag"`
	Ended int    `json:"ended"` // requests that carried the tag
}

// WarmList is what all tenants want to be kept prepared.
type WarmList struct {
	Warm []inspect.Warm `json:"warm"`
}

// Artifact is everything about one artifact.
type Artifact struct {
	inspect.Artifact
	Module artifacts.Module `json:"module"`
}

// Pruned is the report of a look at size and age. It mirrors host.PruneReport.
type Pruned struct {
	Removed      int   `json:"removed"`
	RemovedBytes int64 `json:"removed_bytes"`
	KeptBytes    int64 `json:"kept_bytes"`
	OverLimit    bool  `json:"over_limit"`
}

// Done answers a change, with the state that was reached.
type Done struct {
	Key   string    `json:"key,omitempty"` // of an artifact, or the hash of code
	State string    `json:"state"`         // verified, pinned, unpinned, evicted, announced, cooled, live, ready
	At    time.Time `json:"at"`
}
