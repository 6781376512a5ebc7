// Package requests is the pallet Compute: requests for a VM or an app, the miners that serve them, and what their owners want next.
//
// Purpose: [Create] makes a Pending request. The chain places it on a miner every PlaceBlocks blocks, or governance or a miner does
// with call 3. The miner says how far it is; the owner stops, boots, reboots, resizes and deletes.
//
// Lifecycle:
//
//	Pending     placed: InProgress · cancelled by its owner, or its subscription ended: Cancelled
//	InProgress  fulfilled: Running · failed: Pending, for another miner · failed for good: Failed · deleted: gone
//	Running     stopped: Stopped · failed: as above · deleted: gone
//	Stopped     booted: Running · failed: as above · deleted: gone
//
// A miner that does not answer within AnswerBlocks has failed. Deleting leaves a deletion request behind, until the miner fulfils it
// or DeletionBlocks are over; then the address of the VM rests.
//
// Concurrency: one goroutine per Context.
//
// Failure: errors of the pallet: InvalidRequestStatus for what a request cannot do in its status, InvalidSignature for a miner call
// that the owner of the node did not sign. What failed changed nothing.
//
// Limits: MaxLive requests of an account and MaxOnNode on a node, MaxPending waiting in all. What is over is kept as long as there is
// room for it.
package requests
