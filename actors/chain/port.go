package chain

import (
	"context"
	"encoding/json"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Port is a chain, as the actors need it. Its methods may be called from any goroutine, may take long, and end with their context.
//
// Errors of all methods: busy.chain while the chain does not answer or takes nothing more; it is tried again.
type Port interface {
	// Info tells which chain it is, and how far it has come.
	Info(ctx context.Context) (Info, error)
	// Account returns what an account has after the newest block. One that nobody knows has nothing.
	Account(ctx context.Context, account [32]byte) (Account, error)
	// Sign encodes a call and has it signed. It asks nobody: what Info said is enough.
	//
	// # Errors
	//
	// caller.tx_call: the chain has no such call.
	Sign(call Call, s Signing) (Tx, error)
	// Submit hands a transaction in. One that is known is no error, whether it waits or is in a block. It returns when the chain
	// has taken it, which is no promise that it comes into a block.
	//
	// # Errors
	//
	// caller.tx_invalid, caller.tx_nonce, caller.tx_expired.
	Submit(ctx context.Context, tx []byte) error
	// Follow calls use with each block behind the cursor, in order, and goes on with new ones until ctx ends or use fails. The
	// zero cursor is before the first block. A block that is not above the one before replaces it and all above it: the chain
	// forked, or the cursor was on a fork that is gone. It returns busy.chain when the chain is lost.
	//
	// # Errors
	//
	// host.chain_other: it is not the chain of the cursor.
	Follow(ctx context.Context, after Cursor, use func(Block) error) error
	// Query asks for a view of the state after the newest block. params may be nil; the answer is read into out.
	//
	// # Errors
	//
	// caller.not_found, caller.invalid_request.
	Query(ctx context.Context, path string, params, out any) error
}

// Info is what is known of a chain.
type Info struct {
	Name      string        `json:"name"`
	Genesis   Hash          `json:"genesis"`
	Head      Cursor        `json:"head"`
	Finalized Cursor        `json:"finalized"` // never undone
	Time      time.Time     `json:"time"`      // of the head
	BlockTime time.Duration `json:"block_time_ns"`
}

// Cursor is a place on a chain.
type Cursor struct {
	Height uint64 `json:"height"`
	Hash   Hash   `json:"hash"`
}

// Account is what an account has.
type Account struct {
	Nonce uint64 `json:"nonce"` // of its next transaction
	Free  string `json:"free"`  // decimal digits
}

// Call is a wish to the chain: the name of the pallet and the call, and its arguments by name.
type Call struct {
	Pallet string          `json:"pallet"`
	Name   string          `json:"name"`
	Args   json.RawMessage `json:"args"`
}

// Signer signs transactions.
type Signer interface {
	Public() [32]byte
	Sign(msg []byte) [64]byte // sr25519
}

// Signing is what a transaction has beside its call.
type Signing struct {
	Signer     Signer
	Genesis    Hash
	Nonce      uint64
	ValidUntil uint64 // the last block that may have it; 0: any
}

// Tx is a signed transaction.
type Tx struct {
	Hash  Hash
	Bytes []byte
}

// Block is what happened in a block.
type Block struct {
	Cursor
	Parent    Hash      `json:"parent"`
	Time      time.Time `json:"time"`
	Finalized uint64    `json:"finalized"` // the highest height that is never undone, as known then
	Txs       []Result  `json:"txs"`
	Events    []Event   `json:"events"` // in order
}

// Result is what became of a transaction.
type Result struct {
	Hash   Hash     `json:"hash"`
	Signer Hash     `json:"signer"`
	Nonce  uint64   `json:"nonce"`
	Error  *TxError `json:"error,omitempty"` // nil: the call succeeded
}

// TxError is why a call failed.
type TxError struct {
	Pallet string `json:"pallet"`
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
}

// Event is what a call, or the block itself, did.
type Event struct {
	Tx     int             `json:"tx"` // its place among the block's transactions; -1: the block itself
	Pallet string          `json:"pallet"`
	Name   string          `json:"name"`
	Fields json.RawMessage `json:"fields"`
}

// Fault returns the error as a fault.
func (e *TxError) Fault() *fault.Error {
	detail := e.Pallet + "." + e.Name
	if e.Detail != "" {
		detail += ": " + e.Detail
	}
	return fault.New(fault.CallerTxFailed, "transaction", detail, nil)
}
