package inspect

import "time"

// Lane is one lane of a mailbox.
type Lane struct {
	Name        string    `json:"name"` // system, control, answers, work
	Depth       int       `json:"depth"`
	Cap         int       `json:"cap,omitempty"` // 0: bounded by the work that it controls
	OldestSince time.Time `json:"oldest_since,omitzero"`
}

// Timing is how long handlers took, from powers of two: the quantiles are upper bounds.
type Timing struct {
	Count     uint64 `json:"count"`
	P50Micros int64  `json:"p50_us"`
	P99Micros int64  `json:"p99_us"`
	MaxMicros int64  `json:"max_us"`
}

// Rates are per second, over the last 1, 10 and 60 s; a window that is longer than what was watched counts what was.
type Rates struct {
	Accepted Windows `json:"accepted"`
	Handled  Windows `json:"handled"`
	Refused  Windows `json:"refused"`
}

// Windows is one rate over three windows.
type Windows struct {
	S1  float64 `json:"s1"`
	S10 float64 `json:"s10"`
	S60 float64 `json:"s60"`
}

// Flight is one entry of the flight recorder of an actor: a message that was handled or refused, or a change of state.
type Flight struct {
	Seq        uint64    `json:"seq"`
	At         time.Time `json:"at"`
	What       string    `json:"what"` // handled, refused, undelivered, panicked, state
	Type       string    `json:"type,omitempty"`
	Lane       string    `json:"lane,omitempty"`
	Cause      string    `json:"cause,omitempty"` // 32 hex digits
	State      string    `json:"state,omitempty"` // the new one
	WaitMicros int64     `json:"wait_us,omitempty"`
	TookMicros int64     `json:"took_us,omitempty"`
	Fault      string    `json:"fault,omitempty"`
}

// ActorDetail is one actor with what its flight recorder holds, newest last. It is kept after the death of the actor.
type ActorDetail struct {
	Actor
	Dead    bool      `json:"dead,omitempty"`
	DiedAt  time.Time `json:"died_at,omitzero"`
	Flights []Flight  `json:"flights"`
}

// Letter is the header of a message that waits in a mailbox, was refused or was never delivered.
type Letter struct {
	ID         string    `json:"id,omitempty"` // of a dead letter
	At         time.Time `json:"at"`
	Actor      string    `json:"actor"` // whose mailbox it was for
	Type       string    `json:"type"`
	Lane       string    `json:"lane,omitempty"`
	Cause      string    `json:"cause,omitempty"`
	Code       string    `json:"code,omitempty"` // why, as a dotted code
	Reason     string    `json:"reason,omitempty"`
	Replayable bool      `json:"replayable,omitempty"` // nobody was told that it failed, so it may be sent again
}

// TraceFilter says which messages a trace shows. Empty fields match all.
type TraceFilter struct {
	Actor     string `json:"actor,omitempty"` // a path, with all actors below it
	Kind      string `json:"kind,omitempty"`
	Type      string `json:"type,omitempty"`  // a part of the Go type of the message
	Cause     string `json:"cause,omitempty"` // 32 hex digits
	MinMicros int64  `json:"min_us,omitempty"`
	Rows      int    `json:"rows,omitempty"`     // it ends after so many. Default 1000, at most 100,000
	ForMicros int64  `json:"for_us,omitempty"`   // it ends after that. Default 60 s, at most 1 h
	Refused   bool   `json:"refused,omitempty"`  // only messages that were refused
	Sample    int    `json:"sample_n,omitempty"` // one cause in so many; 0 and 1: all
}

// Trace is one message with its four stamps.
type Trace struct {
	Seq      uint64    `json:"seq"`
	Actor    string    `json:"actor"`
	From     string    `json:"from,omitempty"` // path of the sender, "" from outside of the actors
	Type     string    `json:"type"`
	Lane     string    `json:"lane"`
	Cause    string    `json:"cause"`
	Sent     time.Time `json:"sent"`
	Accepted time.Time `json:"accepted,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Fault    string    `json:"fault,omitempty"`         // it was refused, or its handler panicked
	Dropped  uint64    `json:"dropped_total,omitempty"` // messages that this trace has lost so far, since nobody took them in time
}

// Guest is one run, or one instance of an app, that is under way.
type Guest struct {
	ID          string           `json:"id"`   // as Run, Job or App with instance names it: unique on this host
	Kind        string           `json:"kind"` // run, job, instance, preparation
	Tenant      string           `json:"tenant"`
	Job         string           `json:"job,omitempty"`
	App         string           `json:"app,omitempty"`
	CodeHash    string           `json:"code_hash,omitempty"`
	Artifact    string           `json:"artifact,omitempty"`
	Worker      string           `json:"worker,omitempty"`
	Priority    string           `json:"priority"`
	Stage       string           `json:"stage"` // one of Stages
	Since       time.Time        `json:"since"` // of the stage
	StartedAt   time.Time        `json:"started_at"`
	Deadline    time.Time        `json:"deadline,omitzero"`
	Engine      string           `json:"engine,omitempty"` // compiler, interpreter
	MemoryBytes int64            `json:"memory_bytes,omitempty"`
	MemoryPeak  int64            `json:"memory_peak_bytes,omitempty"`
	MemoryCap   int64            `json:"memory_cap_bytes,omitempty"`
	Gas         int64            `json:"gas_used,omitempty"`
	GasCap      int64            `json:"gas_cap,omitempty"`
	CPUMicros   int64            `json:"cpu_us,omitempty"`
	CPUCap      int64            `json:"cpu_cap_us,omitempty"`
	WallCap     int64            `json:"wall_cap_us,omitempty"`
	Calls       map[string]int64 `json:"host_calls,omitempty"` // by import
	Handles     int              `json:"open_handles,omitempty"`
	Cause       string           `json:"cause,omitempty"`
}

// Stages of a run or a job, in order. Not each has all.
var Stages = [...]string{"received", "admitted", "artifact-wait", "queued", "assigned", "handshake", "running", "result-read", "verdict", "delivered"}

// Stage is one stage of a run.
type Stage struct {
	Name   string    `json:"name"`
	At     time.Time `json:"at"`
	Micros int64     `json:"us"`                  // until the next stage, or until now
	Waits  string    `json:"waits_for,omitempty"` // what it waited for, in words
	Owner  string    `json:"owner,omitempty"`     // id of what it waited for
}

// Timeline is where the time of a job, or of a run that was watched, went.
type Timeline struct {
	ID         string    `json:"id"`
	State      string    `json:"state"`
	Cause      string    `json:"cause,omitempty"`
	Stages     []Stage   `json:"stages"`
	WallMicros int64     `json:"wall_us"`
	CPUMicros  int64     `json:"cpu_us"`
	WaitMicros int64     `json:"wait_us"` // neither prepared nor ran
	Workers    []string  `json:"workers,omitempty"`
	At         time.Time `json:"at"`
}

// Explanation says what a thing waits for, who owns that, and since when.
type Explanation struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // actor, job, artifact, worker, app, queue, ticket, request, outgoing, blob, letter
	State   string    `json:"state"`
	Blame   string    `json:"blame,omitempty"` // guest, suspect, host, busy, caller: of the failure, if it failed
	Summary string    `json:"summary"`         // one sentence
	Because []Because `json:"because"`         // the chain of reasons, the nearest first
	Advice  []string  `json:"advice,omitempty"`
	At      time.Time `json:"at"`
}

// Because is one link of a chain of reasons.
type Because struct {
	ID    string    `json:"id,omitempty"`
	Kind  string    `json:"kind,omitempty"`
	Words string    `json:"words"`
	Owner string    `json:"owner,omitempty"` // who can end it
	Since time.Time `json:"since,omitzero"`
}

// LogLine is one record of the log of the host.
type LogLine struct {
	Seq        uint64         `json:"seq"`
	At         time.Time      `json:"at"`
	Level      string         `json:"level"`
	Code       string         `json:"code,omitempty"`
	Message    string         `json:"message"`
	Fields     map[string]any `json:"fields,omitempty"`
	Suppressed uint64         `json:"suppressed,omitempty"` // records of the same code that were left out before this one
}
