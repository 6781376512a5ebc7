// Package machine is what stands between a chain and its state machine, in the shape of ABCI: CheckTx, FinalizeBlock, Commit, Query.
//
// Purpose: a chain orders transactions into blocks and keeps what they change; a Machine says what they mean.
//
// Lifecycle: InitChain once, for a state that is empty; then FinalizeBlock and Commit by turns. Between the two the chain makes
// Result.Changes durable, together with the block. A Machine that is made on a state goes on from there.
//
// Concurrency: CheckTx and Query may be called from any goroutine at any time, and see the state of the last Commit. The others are
// called by one goroutine.
//
// Failure: CheckTx returns a fault that tells the sender what is wrong. FinalizeBlock fails for a fault of the node only: what is
// wrong with a transaction is in its TxResult. After a failure the block may be tried again.
package machine
