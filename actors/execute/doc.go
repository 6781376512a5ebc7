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
// What runs and workers were seen to do, by the simulation:
//
//	Run       Event      Next      Effects
//	-         Cancel     -         Requeue
//	-         Enqueue    -         Answer(busy.queue_full) Answer(caller.invalid_request)
//	-         Enqueue    busy      RunOn
//	-         Enqueue    claimed   -
//	-         Enqueue    parked    -
//	-         Enqueue    starting  StartWorker
//	-         Raise      -         Requeue
//	busy      Cancel     stopping  StopWorker
//	busy      Enqueue    busy      -
//	busy      Raise      busy      -
//	busy      exited     -         Answer(bug.panic) Answer(suspect.worker_died)
//	busy      finished   -         Answer(outcome)
//	claimed   Cancel     -         Answer(canceled.caller_left)
//	claimed   Enqueue    claimed   -
//	claimed   Raise      claimed   -
//	claimed   Raise      starting  StartWorker
//	claimed   room       busy      RunOn
//	claimed   room       starting  StartWorker
//	claimed   tick       -         Answer(canceled.deadline) Answer(host.spawn_failed)
//	parked    Cancel     -         Answer(canceled.caller_left)
//	parked    Enqueue    parked    -
//	parked    Raise      claimed   -
//	parked    Raise      parked    -
//	parked    Raise      starting  StartWorker
//	parked    gives way  -         Answer(busy.queue_full)
//	parked    its turn   busy      RunOn
//	parked    its turn   claimed   -
//	parked    its turn   starting  StartWorker
//	parked    tick       -         Answer(canceled.deadline) Answer(host.spawn_failed)
//	starting  Cancel     stopping  StopWorker
//	starting  Enqueue    starting  -
//	starting  Raise      starting  -
//	starting  exited     -         Answer(bug.panic)
//	starting  ready      busy      -
//	starting  unstarted  -         Answer(suspect.artifact_rejected)
//	starting  unstarted  busy      RunOn
//	starting  unstarted  parked    -
//	stopping  Enqueue    stopping  -
//	stopping  Raise      stopping  -
//	stopping  exited     -         Answer(bug.panic) Answer(canceled.caller_left)
//	stopping  finished   -         Answer(outcome)
//	stopping  ready      stopping  -
//	stopping  unstarted  -         Answer(canceled.caller_left)
//
// and of workers:
//
//	Worker    Event       Next      Effects
//	-         a run       starting  StartWorker
//	busy      Cancel      stopping  StopWorker
//	busy      exited      -         Gone
//	busy      finished    busy      RunOn
//	busy      finished    closing   StopWorker
//	busy      finished    idle      -
//	closing   exited      -         Gone
//	idle      Release     closing   StopWorker
//	idle      a run       busy      RunOn
//	idle      above soft  closing   StopWorker
//	idle      exited      -         Gone
//	idle      idle time   closing   StopWorker
//	idle      room        closing   StopWorker
//	starting  Cancel      stopping  StopWorker
//	starting  exited      -         -
//	starting  ready       busy      -
//	starting  unstarted   closing   -
//	stopping  exited      -         Gone
//	stopping  finished    closing   -
//	stopping  ready       stopping  -
//	stopping  unstarted   closing   -
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
