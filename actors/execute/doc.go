// Package execute is the execute queue: fair shares between priorities, deadlines, and workers that serve one binding
// for life.
//
// # Purpose
//
// [Spawn] starts the actor. It takes [Enqueue], chooses what runs next by shares, and drives each worker process through
// a child actor and the ports [Workers] and [Worker].
//
// # Lifecycle
//
// Of a run:
//
//	State    Event                          Next      Effect
//	-        Enqueue, room                  parked    schedule
//	-        Enqueue, queue full            -         answer busy.queue_full
//	-        Enqueue, no such priority      -         answer caller.invalid_request
//	-        Cancel                         -         once more, behind the work that waits; then ignored
//	known    Enqueue of the same run        same      the newer reply takes over
//	parked   its turn, idle worker of its   running   run on that worker
//	parked   its turn, free slot            running   start a worker with the run
//	parked   its turn, idle worker of others claimed  close the one that idled longest
//	claimed  free slot, or idle worker      running   start, before all that is parked
//	parked   deadline passed                -         answer canceled.deadline; claimed as well
//	parked   Cancel                         -         answer canceled.caller_left; claimed as well
//	running  Cancel                         running   kill the worker
//	running  finished                       -         answer the outcome
//	running  worker could not start         -         answer its fault
//
// Of a worker: starting with a run, then busy and idle in turn, then closing: after a run that spoiled it, after
// Config.Idle without work, to make room, or at the end of its process. Its slot is free when the process is reaped.
//
// # Concurrency
//
// The core is pure and runs inside of the actor. The priority is chosen by shares over all that have a backlog, whichever
// bindings the workers have. Within a priority, tenants take turns; within a tenant, apps take turns; within an app, runs
// start in the order in which they came. A run with an idle worker may pass those before it, as long as the first of them
// waits less than 100 ms, counted from its arrival or from when its binding was served last.
//
// # Failure
//
// Every Enqueue is answered exactly once. The outcome says what the worker port saw; nothing is retried here.
//
// # Limits
//
// Config.Queue runs may be parked, Config.Processes processes exist at a time. Shares of started runs, while several
// priorities have a backlog: critical 6, high 3, normal 2, background 1.
package execute
