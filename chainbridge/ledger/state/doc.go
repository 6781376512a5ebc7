// Package state holds what the ledger knows: one map of bytes, which calls change under an undo log.
//
// Purpose: Store is the view of one block on a Source, the committed state. Item, Map and Double give keys and values their types.
// Keys are made as Substrate makes them: the twox128 of the pallet's name, the twox128 of the item's, and blake2_128_concat of each
// key. Values are SCALE.
//
// Lifecycle: NewStore begins a block; Mark and Revert undo a call; Changes is what the block did, for who commits it.
//
// Concurrency: a Store belongs to one goroutine.
//
// Failure: a Source that fails makes the Store remember its first error (Err) and read as empty from then on; who executes a block
// looks at Err before it commits. The same for a value that does not decode.
//
// Limits: MaxKeyBytes and MaxValueBytes, which who executes calls holds them to (TooLarge). Each looks at all changed keys of the item, so calls keep lists of what they need to walk through.
package state
