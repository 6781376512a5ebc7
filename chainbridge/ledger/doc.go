// Package ledger is the deterministic state machine of the chain's pallets.
//
// Purpose: Ledger implements machine.Machine over a state.Source. Tx is the form of transactions; EncodeCall and DecodeCall go between
// calls in JSON and as they are signed. Which pallets there are, and in which order they begin and end a block, stands in pallets.go.
//
// Lifecycle: New on a state, InitChain if it is empty, then FinalizeBlock and Commit by turns. The ledger holds nothing that is not
// in the state, but for signatures that it has verified.
//
// Concurrency: CheckTx, Query and Head may be called from any goroutine at any time. The rest by one goroutine.
//
// Failure: caller.tx_invalid, caller.tx_nonce, caller.tx_expired and caller.tx_call for transactions that may not come into a block;
// in a block they do nothing. A call that fails is undone, and uses its nonce. host.chain_corrupt for a state that does not decode, and
// bug.panic for a pallet that panics: the block is not executed then, and may be tried again.
//
// Limits: MaxTxBytes for a transaction; calls within calls go maxDepth deep; MaxVerified signatures are remembered.
// A call that writes more under one key than a chain can keep fails with System.TooLarge.
//
// Determinism: the same genesis and the same blocks make the same results and the same app hash on each machine. The app hash
// commits to each key and value of the state (state.Accumulator).
package ledger
