// Package lanes has the execute workers that are lent to callers, so that a warm run needs no message to an actor.
//
// # Purpose
//
// [Table] implements execute.Leases. A [Lane] belongs to one binding; a caller that has found it rides on one of its workers,
// or is told to go the ordinary way.
//
// # Choice
//
// A caller takes the worker with the fewest rides under way. If all have one, and the queue says that there is a slot for
// another worker, it goes the ordinary way, which starts that worker. Else its run stands behind another one, as long as the
// wait can be expected to stay below Config.Wait, by the moving average of the time of a run, and fewer than Config.Depth rides
// are under way there. A run with streams does not stand behind another one, and none behind it: nobody knows how long its
// caller takes; it goes the ordinary way, where it waits for its turn and has the leases revoked.
//
// What is more waits before the lane for up to Config.Patience, if runs are short on average: in the queue, its callers would be
// a backlog that keeps their own workers from being lent, for as long as there are so many of them. If the workers are asked
// back, since others wait, all go to the queue at once, and the shares decide. Now and then those who come wait a moment for
// workers that were asked back, so that those in the queue can be served and the workers be lent again, if nobody else waits.
//
// # Proof
//
// A lane serves only calls that an ordinary run of the same binding has proved: that the code is prepared, has the entry and the
// imports, and is allowed. [Table.Mark] comes before that run and [Table.Prove] after it: what was forgotten in between is not
// proved. [Table.Forget] has all calls of an artifact go the ordinary way again.
//
// # Concurrency
//
// Everything may be called by anybody. A ride takes no lock: the rides under way and whether the lease is revoked are one
// atomic number, so that no ride begins after Revoke, and whoever brings the number of rides to 0 after it returns the worker.
// Table.mu orders what changes the list of lanes, of leases and of proofs; readers have copies. Nothing is called under it.
//
// # Failure
//
// A worker that must not be used again is returned as soon as its last ride has ended. A run that it had not begun goes the
// ordinary way.
//
// # Usage
//
// [Table.Keep] reports what was used, once per Config.Every and lane, and sleeps while nobody rides.
package lanes
