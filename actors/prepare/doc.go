// Package prepare is the prepare queue: one job per artifact, priorities that only rise, one worker process per job.
//
// # Purpose
//
// [Spawn] starts the actor. It takes [Enqueue], keeps what cannot start yet in the order of priority, and runs each job
// in a child actor that owns one prepare worker process through the port [Preparer].
//
// # Lifecycle
//
//	State    Event                     Next      Effect
//	-        Enqueue, room             parked    schedule
//	-        Enqueue, queue full       -         answer busy.queue_full
//	-        Enqueue, no such priority -         answer caller.invalid_request
//	-        Raise, Cancel             -         once more, behind the work that waits; then ignored
//	known    Enqueue of the same job   same      the newer reply takes over, priority as by Raise
//	known    Enqueue of another job    as new    answer the old one canceled.host_stopped, stop its worker
//	parked   Raise                     parked    moved behind its equals of the higher priority
//	parked   Cancel                    -         answer canceled.caller_left
//	parked   a slot is free            running   start worker-N
//	running  Raise                     running   priority is recorded
//	running  Cancel                    stopping  stop worker-N, answer canceled.caller_left
//	running  ended                     -         answer the outcome
//	running  ended, spawn failed       parked    again after a back-off, five times at most
//	running  worker-N given up         -         answer bug.panic
//	stopping ended                     -         free the slot, discard what the job made
//	known    CancelAll                 as Cancel answer canceled.host_stopped
//
// # Concurrency
//
// The core is pure and runs inside of the actor. Jobs of one priority start in the order in which they came.
//
// # Failure
//
// Every Enqueue is answered exactly once. A worker process that cannot be started is retried with back-off; what the
// code did is the outcome's to say. What a job made is answered or discarded, never left behind.
//
// # Limits
//
// Config.Queue jobs may be parked. A job starts while fewer than Config.Soft jobs run, a critical one while fewer than
// Config.Hard do. Each critical job in a back-off keeps a slot free from jobs that are not critical.
package prepare
