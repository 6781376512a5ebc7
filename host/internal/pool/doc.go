// Package pool is the host's side of worker processes: it finds the worker program, starts, feeds, watches and buries.
//
// Purpose: implement the ports of the prepare and execute actors with real processes. A prepare worker serves one job,
// an execute worker one binding for life.
//
// Lifecycle: [New] opens the program once, starts the thread that is the parent of all workers, and probes one worker
// that never sees guest bytes. A worker that ended keeps its socket until its Close; one whose Run says that it is not
// alive is closed already. [Pool.Close] kills every worker, waits until all are reaped, and ends the thread. Workers die
// with the host, however it ends.
//
// Snapshots: a prepare worker that has answered is asked for what initialisation makes of its code, if the code has any and somebody
// wants to run it. What it wrote before is sealed first, and is cut into parts meanwhile. Its clocks and its gas are bounded anew.
// Whatever goes wrong, there is no snapshot; the preparation is what it was. Its CPU time and memory are those until the worker had
// answered: a budget of preparation judges the code, and what the guest does in a second of CPU time at most is none of it. The time
// from the start of the process until it is reaped, Outcome.Wall, has both.
//
// Steering: while a preparation runs, its budget may rise, marks may come, and it may be held back: by the niceness of its
// threads, by that of its session, and by a group of processes of its own where a subtree of cgroups is delegated to the
// host. None of it needs privilege. Time for which it is held back is not wall time.
//
// Rides: runs reach an execute worker over a ring in shared memory, and several may stand there one behind the other. Each
// caller writes its own; one of them reads the answers for all, and hands that on when its own is there. A run that is not over
// within a millisecond has a watch of its own; a shorter one costs one reading of the clock of the process, and those that
// are answered together share one by their gas. When a worker is lost, the run that it had is judged; those behind it have not
// begun. A run with the streams of its caller, or with somebody to ask, is alone in the ring.
//
// Questions: what a guest asks is served by run.Calls on the goroutine of its caller, which reads nothing else meanwhile, with a context
// that ends when the run does, however that is. The guest waits, so that the time is its own. A worker says what the run has used with
// each question, which is held against what it says later.
//
// Spares: [Pool.KeepSpares] keeps blank execute workers ready, which have confined themselves and have limits when they become
// somebody's. A worker ends in good order when each run has a process of its own, or when its life has used its CPU time.
//
// Concurrency: every method may be called from any goroutine; a worker runs one job at a time. Calls into the caller's
// reader and writers are made from goroutines of their own: one that blocks past the end of its run is left behind.
//
// Failure: every byte of a worker is hostile. What it reports is checked, what it used is measured from outside, and
// how it ended is judged by the first thing that the host saw. Doubt between guest and machine is suspect.
//
// Limits: CPU time by the clock of the process, wall time, output and artifact size by the host; memory by RLIMIT_DATA,
// except in builds with the race detector. Three clocks can end a job: the host's look at the CPU clock, the clocks inside
// the worker, and the wall limit. The verdict is that of the account which the operating system keeps of the process,
// whichever strikes first; Outcome.Clock names it. The net below the watch rises with the budget; memory only where the host
// may raise the limits of a process, and the outcome of a preparation says under which budget it ended.
package pool
