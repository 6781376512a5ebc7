package chain

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Limits of what is sent, in bytes.
const (
	MaxKey    = 256
	MaxArgs   = 96 << 10 // of the arguments of a call, as JSON
	MaxTx     = 72 << 10
	MaxEvents = 8 << 10 // of the events of a call that are kept
)

// Store is the port to the disk. Its methods may block, and may be called from any goroutine; changes of one entry come one after
// the other. What they changed is on disk when they return; after an error it may be.
type Store interface {
	// Load returns what is on its way, in the order of numbers.
	Load(ctx context.Context) (Saved, error)
	// Add keeps a new entry with its call. If the key is known, on its way or in the history, it returns that entry instead.
	Add(ctx context.Context, r Record, call Call) (old *Record, err error)
	// Save replaces an entry that is on its way. tx replaces its transaction; nil: there is none any more.
	Save(ctx context.Context, r Record, tx []byte) error
	// Finish moves an entry into the history, and forgets its call and its transaction.
	Finish(ctx context.Context, r Record) error
	// SaveMark replaces the mark.
	SaveMark(ctx context.Context, m Mark) error
	// Call returns the call of an entry that is on its way.
	Call(ctx context.Context, number uint64) (Call, error)
	// Tx returns the transaction of an entry that is on its way.
	Tx(ctx context.Context, number uint64) ([]byte, error)
	// Find returns the entry of a key, on its way or in the history, or nil.
	Find(ctx context.Context, key string) (*Record, error)
	// History returns at most limit entries that are finished, in the order of numbers behind after, or backwards from before it.
	// next is zero when there are no more.
	History(ctx context.Context, after uint64, newest bool, limit int) (page []Record, next uint64, err error)
	// Trim forgets the oldest of the history until it has at most keep entries.
	Trim(ctx context.Context, keep int) error
}

// Saved is what a store has, without the history.
type Saved struct {
	Mark    Mark
	Records []Record
	Next    uint64 // above all numbers that were ever used
}

// Mark says how far the chain was read: all that it and the blocks before it did is in the entries.
type Mark struct {
	Genesis Hash            `json:"genesis"`
	Cursor  Cursor          `json:"cursor"` // final
	Nonces  map[Hash]uint64 `json:"nonces,omitempty"`
}

// Progress is how far an entry has come, as is on disk.
type Progress uint8

// The progress of entries.
const (
	Waiting Progress = 1 + iota
	Signed           // its transaction is on disk, and may be anywhere
	Done             // final, and the call succeeded
	Failed           // final, and the call failed
	Dropped          // no transaction of it will ever be in a block
)

var progressNames = [...]string{"", "waiting", "signed", "done", "failed", "dropped"}

func (p Progress) String() string { return progressNames[min(int(p), len(progressNames)-1)] }

// Record is what is known of an entry without its call and its transaction. Its JSON form is what is on disk.
type Record struct {
	Number     uint64     `json:"number"`
	Key        string     `json:"key"`
	Sender     Hash       `json:"sender"`
	Class      Class      `json:"class"`
	Name       string     `json:"call"` // of the call, for those who look
	Bytes      int        `json:"bytes"`
	Accepted   time.Time  `json:"accepted"`
	Until      time.Time  `json:"until,omitzero"`
	Transient  []string   `json:"transient,omitempty"`
	Retries    uint32     `json:"retries,omitempty"` // that are left
	Progress   Progress   `json:"progress"`
	Made       uint32     `json:"made,omitempty"`   // transactions so far
	Genesis    Hash       `json:"genesis,omitzero"` // that it was signed for
	Nonce      uint64     `json:"nonce,omitempty"`
	ValidUntil uint64     `json:"valid_until,omitempty"`
	Hash       Hash       `json:"hash,omitzero"`
	Block      Cursor     `json:"block,omitzero"`
	Error      *TxError   `json:"error,omitempty"` // of the call, the last one
	Fault      fault.Code `json:"fault,omitempty"` // dropped
	Why        string     `json:"why,omitempty"`   // dropped, in words
	Events     []Event    `json:"events,omitempty"`
	Cut        bool       `json:"cut,omitempty"`
	Finished   time.Time  `json:"finished,omitzero"`
}
