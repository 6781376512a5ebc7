// Package pallet is what the parts of the ledger are made of: calls, events, errors, origins, and the Context in which they run.
//
// Purpose: a pallet is a Pallet value. Its calls are structs whose fields are their arguments in SCALE, with a method Run. Views
// answer questions in JSON.
//
// Lifecycle: the ledger decodes a Call, makes a Context, and runs it; what a failed call wrote and emitted is undone. Begin runs
// before the calls of a block, End after them.
//
// Concurrency: one goroutine per Context.
//
// Failure: Run returns an *Error, which names its pallet and itself; any other error is a fault of the node and stops the block. A
// panic is a bug.
//
// Determinism: the state, the Context and the arguments are all that a call may look at. No clock, no chance, no floating point, no
// order of Go maps.
package pallet
