package machine

import (
	"encoding/json"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Machine is a deterministic state machine: the same blocks, the same results, on each machine.
type Machine interface {
	// InitChain makes the state of a new chain, which is that of block 0.
	InitChain(genesis []byte) (*Result, error)
	// CheckTx says whether a transaction may wait for a block. What it found out is remembered for a while, so that a signature
	// is verified once. Nonces that are ahead are fine: who orders transactions keeps those of a sender in order.
	//
	// # Errors
	//
	// caller.tx_invalid, caller.tx_nonce for one that is used, caller.tx_expired, caller.tx_call.
	CheckTx(tx []byte) (TxInfo, error)
	// FinalizeBlock executes a block on the state of the last Commit.
	FinalizeBlock(b Block) (*Result, error)
	// Commit makes what FinalizeBlock or InitChain returned last the state. Its changes are in the Source by then.
	Commit() error
	// Query asks for a view: "Pallet/view".
	//
	// # Errors
	//
	// caller.not_found, caller.invalid_request.
	Query(path string, params json.RawMessage) (json.RawMessage, error)
}

// TxInfo is what a chain needs to know of a transaction.
type TxInfo struct {
	Hash       pallet.Hash
	Sender     pallet.Account
	Nonce      uint64
	Next       uint64 // the sender's next nonce in the state
	ValidUntil uint64 // the last height that may have it; 0: any
}

// Block is what is executed.
type Block struct {
	Height uint64 // 1 above the one before; the first is 1
	Time   uint64 // milliseconds of Unix time, never less than before
	Txs    [][]byte
}

// TxResult is what became of a transaction. One whose Invalid is set did nothing at all: its nonce was wrong, or it expired.
type TxResult struct {
	Hash    pallet.Hash
	Sender  pallet.Account
	Nonce   uint64
	Invalid error         // nil: its nonce is used now
	Error   *pallet.Error // nil: the call succeeded
}

// Event is what happened in a block.
type Event struct {
	Tx int // its place among the block's transactions; -1: the block itself
	pallet.Event
}

// Result is what a block did.
type Result struct {
	Txs     []TxResult
	Events  []Event
	AppHash pallet.Hash    // of the whole state afterwards
	Changes []state.Change // in the order of their keys
}
