// Package prepare is the prepare queue: one job per artifact, priorities that only rise, one worker process per job.
//
// # Purpose
//
// [Spawn] starts the actor. It takes [Enqueue], keeps what cannot start yet in the order of priority, and runs each job
// in a child actor that owns one prepare worker process through the port [Preparer]. [Raise] lifts the priority and the
// budget of a job, wherever it is; smaller budgets of others who wait are marks, and Enqueue.Passed tells when one is
// reached.
//
// # Lifecycle
//
// This is what the core does in its simulation; the events are messages, and "(any)" is any message about another job, or
// about none. A line without a state is about a job that is not known, or not any more.
//
//	Job       Event              Next      Effects
//	-         Cancel             -         Requeue
//	-         CancelAll          -         Requeue
//	-         Enqueue            -         Answer
//	-         Enqueue            held      StartWorker Steer
//	-         Enqueue            parked    -
//	-         Enqueue            running   StartWorker
//	-         Raise              -         Raised Requeue
//	backoff   (any)              -         Answer
//	backoff   (any)              held      StartWorker Steer
//	backoff   (any)              parked    -
//	backoff   (any)              running   StartWorker
//	backoff   Cancel             -         Answer
//	backoff   CancelAll          -         Answer
//	backoff   Enqueue of its id  -         Answer
//	backoff   Purge              -         Answer
//	backoff   Raise              -         Answer
//	backoff   Raise              backoff   -
//	backoff   Raise              running   StartWorker
//	held      (any)              held      Steer
//	held      (any)              running   Steer
//	held      Cancel             stopping  Answer StopWorker
//	held      CancelAll          stopping  Answer StopWorker
//	held      Enqueue of its id  stopping  Answer StopWorker
//	held      Raise              held      Steer
//	held      Raise              running   Steer
//	held      ended              -         Answer
//	held      ended              backoff   -
//	held      exited             -         Answer
//	held      passed             held      Tell
//	held      steered            held      -
//	parked    (any)              held      StartWorker Steer
//	parked    (any)              running   StartWorker
//	parked    Cancel             -         Answer
//	parked    CancelAll          -         Answer
//	parked    Enqueue of its id  -         Answer
//	parked    Purge              -         Answer
//	parked    Raise              parked    -
//	parked    Raise              running   StartWorker
//	running   (any)              held      Steer
//	running   (any)              running   Steer
//	running   Cancel             stopping  Answer StopWorker
//	running   CancelAll          stopping  Answer StopWorker
//	running   Enqueue of its id  stopping  Answer StopWorker
//	running   Raise              held      Steer
//	running   Raise              running   Steer
//	running   ended              -         Answer
//	running   ended              backoff   -
//	running   exited             -         Answer
//	running   passed             running   Tell
//	running   steered            running   -
//	stopping  ended              -         Discard
//	stopping  exited             -         -
//	stopping  passed             stopping  -
//	stopping  steered            stopping  -
//
// An Enqueue is refused if the queue is full or the priority does not exist. A Raise or a Cancel of a job that is not known
// waits once behind the work, and is ignored then.
//
// # Concurrency
//
// The core is pure and runs inside of the actor. Jobs of one priority start in the order in which they came to it: a raised
// job goes behind its equals, and before all of lower priority. While a critical job runs, all others that run are held
// back, as far as the port can do that, and they go on when no critical one runs any more. [Inspect] says by which means.
//
// While the queue is paused it accepts and starts nothing; what runs goes on. The host holds the pause, so that a new incarnation
// has it from its first message. [Purge] answers what is parked.
//
// # Failure
//
// Every Enqueue is answered exactly once. A worker process that cannot be started is tried again after 200 ms, then after
// twice as long each time, at most 5 s; Limits.SpawnWait after the first failure the job is answered host.spawn_failed. A
// job that waits for a slot meanwhile is not answered before it had another try. What the code did is the outcome's to
// say. What a job made is answered or discarded, never left behind.
//
// # Limits
//
// Limits.Queue jobs may be parked. A job starts while fewer than Limits.Soft jobs run, a critical one while fewer than
// Limits.Hard do. Each critical job in a back-off keeps a slot free from jobs that are not critical. A job has at most 256
// marks, and 1,000 jobs are shown: first those that run.
package prepare
