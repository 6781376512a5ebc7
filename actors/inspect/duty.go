package inspect

import "time"

// Reporter is how the reporter of a chain stands: what the worker owes to the chain.
type Reporter struct {
	Worker       string    `json:"worker"`            // 64 hex digits
	Genesis      string    `json:"genesis,omitempty"` // of the chain that was seen last
	Height       uint64    `json:"height"`            // of the newest block that was seen
	SeenAt       time.Time `json:"seen_at,omitzero"`  // when it was seen
	Following    bool      `json:"following"`         // blocks come
	Waiting      string    `json:"waiting,omitempty"` // what nothing goes on without
	Registered   bool      `json:"registered"`
	Attestation  string    `json:"attestation,omitempty"` // its provider, as the chain has it; "none"
	Computing    string    `json:"computing,omitempty"`   // the worker's state on the chain, e.g. WorkerIdle
	Session      string    `json:"session,omitempty"`     // of the host
	ChainSession string    `json:"chain_session,omitempty"`
	SN           uint64    `json:"sn"` // of the newest report
	InitialScore uint32    `json:"initial_score,omitempty"`
	Duties       []Duty    `json:"duties"`
	LastReport   time.Time `json:"last_report,omitzero"` // when the newest report was final
	NextReport   time.Time `json:"next_report,omitzero"`
	Made         uint64    `json:"reports_made_total"`
	Settled      uint64    `json:"reports_settled_total"`
	Refused      uint64    `json:"reports_refused_total"` // by the chain: what they said is in a later one
	Open         int       `json:"reports_open"`          // made and not final
	Asked        int       `json:"reports_asked"`         // requests for a report that wait
	Unpaid       int       `json:"unpaid_apps"`
	Heartbeat    Heartbeat `json:"heartbeat"`
}

// Heartbeat is how the worker answers challenges.
type Heartbeat struct {
	Challenges uint64 `json:"challenges_total"` // seen
	Hits       uint64 `json:"hits_total"`       // for this worker
	Answered   uint64 `json:"answered_total"`   // answers that were final
	Failed     uint64 `json:"failed_total"`
	LastHit    uint64 `json:"last_hit,omitempty"` // its block
	Waiting    uint64 `json:"waiting,omitempty"`  // the block of the oldest challenge without an answer
	Latency    int64  `json:"latency_us"`         // from seeing the block to submitting the answer, the newest
	MaxLatency int64  `json:"max_latency_us"`     // the longest
	Blocks     uint64 `json:"blocks"`             // from the challenge to the block with the answer, the newest
	Alarm      string `json:"alarm,omitempty"`    // why the answer may come too late
	Window     uint64 `json:"window_blocks"`      // in which an answer counts
}

// Duty is one thing that the worker owes to the chain.
type Duty struct {
	Name   string    `json:"name"`             // register, node, describe, endpoints, session, report, score, heartbeat, metrics
	State  string    `json:"state"`            // done, waiting, working, sent, backoff, off
	Reason string    `json:"reason,omitempty"` // in words
	Since  time.Time `json:"since,omitzero"`   // of state and reason
	Key    string    `json:"key,omitempty"`    // of the call in the outbox
	Tries  int       `json:"tries,omitempty"`  // that failed in a row
	Next   time.Time `json:"next,omitzero"`    // when it is tried again
	Error  string    `json:"error,omitempty"`  // the last one
	Done   uint64    `json:"done_total"`
}

// Pay is what an app has earned on the chain, as the events since the start of the host tell.
type Pay struct {
	Address string    `json:"address"`
	Tickets []uint64  `json:"tickets"`
	Paid    string    `json:"paid"` // decimal digits
	Debt    string    `json:"debt"` // that the tickets could not pay
	Unpaid  bool      `json:"unpaid"`
	Height  uint64    `json:"height"` // of the newest payment
	At      time.Time `json:"at,omitzero"`
}
