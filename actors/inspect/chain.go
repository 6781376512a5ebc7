package inspect

import "time"

// Chain is what is known of the chain, and of what is on its way to it.
type Chain struct {
	Name        string         `json:"name"`
	Genesis     string         `json:"genesis,omitempty"` // 64 hex digits; "": none was seen yet
	Head        uint64         `json:"head"`              // the newest block that was read
	HeadHash    string         `json:"head_hash,omitempty"`
	HeadTime    time.Time      `json:"head_time,omitzero"` // by the clock of the chain
	HeadSince   time.Time      `json:"head_since,omitzero"`
	Finalized   uint64         `json:"finalized"` // never undone
	Tip         uint64         `json:"tip"`       // the newest block that the chain said it has
	Lag         uint64         `json:"lag"`       // blocks that it has and that were not read yet
	BlockTime   time.Duration  `json:"block_time_ns"`
	Connected   bool           `json:"connected"`
	Since       time.Time      `json:"since,omitzero"`    // connected, or lost
	Waiting     string         `json:"waiting,omitempty"` // what it waits for, in words; "": nothing
	Outbox      map[string]int `json:"outbox"`            // by state: waiting, signed, submitted, in_block, in_doubt, ending
	Bytes       int64          `json:"outbox_bytes"`
	Cap         int            `json:"outbox_cap"`
	Oldest      time.Time      `json:"oldest_since,omitzero"` // of what is on its way
	Senders     []ChainSender  `json:"senders,omitempty"`
	Included    uint64         `json:"included_total"` // since the start of the actor, as all that follow
	Finished    uint64         `json:"finished_total"` // final, whatever became of them
	Failed      uint64         `json:"failed_total"`   // final, and the call failed
	Dropped     uint64         `json:"dropped_total"`  // that never came into a block, and never will
	Resubmitted uint64         `json:"resubmitted_total"`
	Resigned    uint64         `json:"resigned_total"`
	Races       uint64         `json:"nonce_races_total"` // nonces that somebody else used with the same key
	Forks       uint64         `json:"forks_total"`
	LastError   string         `json:"last_error,omitempty"`
	LastErrorAt time.Time      `json:"last_error_at,omitzero"`
	Paused      bool           `json:"paused,omitempty"` // nothing is signed or submitted, for an operator wants it so
}

// ChainSender is one account that sends.
type ChainSender struct {
	Account string `json:"account"`
	Nonce   uint64 `json:"nonce"` // of its next transaction, as far as is known
	Waiting int    `json:"waiting"`
	Flight  int    `json:"in_flight"` // signed, and in no block yet
}

// Outgoing is one call on its way to the chain, or what became of it.
type Outgoing struct {
	Number     uint64          `json:"number"` // in the order in which they were accepted
	Key        string          `json:"key"`
	Call       string          `json:"call"` // "Wapod.ticket_settle"
	Sender     string          `json:"sender"`
	Class      string          `json:"class"` // plain, report, urgent
	State      string          `json:"state"` // waiting, signed, submitted, in_block, in_doubt, ending; done, failed, dropped
	Accepted   time.Time       `json:"accepted"`
	Since      time.Time       `json:"since,omitzero"` // in that state
	Nonce      *uint64         `json:"nonce,omitempty"`
	Hash       string          `json:"hash,omitempty"`
	ValidUntil uint64          `json:"valid_until,omitempty"` // the last block that may have it
	Block      uint64          `json:"block,omitempty"`       // that has it
	Tries      uint32          `json:"tries,omitempty"`       // transactions that were made of it
	Next       time.Time       `json:"next,omitzero"`         // when it is tried again
	Error      string          `json:"error,omitempty"`       // the last one, or why the call failed
	Events     []OutgoingEvent `json:"events,omitempty"`
}

// OutgoingEvent is what a call did on the chain.
type OutgoingEvent struct {
	Name   string `json:"name"`   // "Wapod.Settled"
	Fields string `json:"fields"` // JSON
}
