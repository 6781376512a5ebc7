package inspect

import "time"

// Demand is something that the chain wants of this host: an app that tickets pay for, the benchmark app, or a compute request.
type Demand struct {
	ID      string    `json:"id"`   // "app/ADDRESS" or "request/NUMBER"
	Kind    string    `json:"kind"` // ticket, bench, request, leftover: deployed for a demand that is gone
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"` // in words: what it waits for, or why it is refused
	Since   time.Time `json:"since"`            // in this state
	App     string    `json:"app,omitempty"`    // address
	Session string    `json:"session,omitempty"`
	ByHand  bool      `json:"by_hand,omitempty"` // an operator deployed it: it serves, and is never touched
	Tickets []uint64  `json:"tickets,omitempty"` // at most 16
	Balance string    `json:"balance,omitempty"` // of the tickets that pay, together
	Owner   string    `json:"owner,omitempty"`   // of a request
	Job     string    `json:"job,omitempty"`
	IP      string    `json:"ip,omitempty"`
	Tries   int       `json:"tries,omitempty"` // failed ones in a row
	NextAt  time.Time `json:"next_at,omitzero"`
}

// Follower is how far the host has followed the chain, and what came of it.
type Follower struct {
	State     string         `json:"state"` // starting, lost, reading, following, other_chain
	Reason    string         `json:"reason,omitempty"`
	Since     time.Time      `json:"since"`
	Genesis   string         `json:"genesis,omitempty"`
	Head      uint64         `json:"head"`
	Finalized uint64         `json:"finalized"`
	Forks     uint64         `json:"forks_total"`
	Tickets   int            `json:"tickets"` // that this worker may serve
	Unseen    uint64         `json:"tickets_beyond_limit,omitempty"`
	Requests  int            `json:"requests"`
	Apps      map[string]int `json:"apps"` // by state
	Bench     string         `json:"bench_app,omitempty"`
	Reads     uint64         `json:"chain_reads_total"`
	Waiting   int            `json:"chain_reads_waiting"`
}
