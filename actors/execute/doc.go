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
//	parked   its turn, idle worker of its   running   run on that worker
//	parked   its turn, free slot            running   start a worker with the run
//	parked   its turn, idle worker of others parked   close the one that idled longest, then start
//	parked   deadline passed                -         answer canceled.deadline
//	parked   Cancel                         -         answer canceled.caller_left
//	running  Cancel                         running   kill the worker
//	running  finished                       -         answer the outcome
//	running  worker could not start         -         answer its fault
//
// Of a worker: starting with a run, then busy and idle in turn, then closing: after a run that spoiled it, after
// Config.Idle without work, to make room, or at the end of its process.
//
// # Concurrency
//
// The core is pure and runs inside of the actor. Within a priority, tenants take turns; within a tenant, apps take turns;
// within an app, runs start in the order in which they came.
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
