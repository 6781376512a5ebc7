// Package worker is the main of a worker process: it compiles one module, or runs one app.
//
// Purpose: [Main], for the troupe-worker program and for embedders who want one file.
//
// Lifecycle: Main returns at once in a process that is not a worker. In a worker it confines the process, serves the
// socket that it inherited and, once it holds an app, the calls in the ring, until the host closes the socket, and exits; it
// never returns.
//
// Concurrency: a worker does one thing at a time, on one goroutine. While a prepare worker compiles, another one listens
// for more time and for the question after a snapshot; in an execute worker, one waits for the end of the socket, and one may send output that was gathered.
//
// Questions: where a call says so, what the guest asks by troupe_v1 goes to the host as [wire.Ask], after all that it wrote before, and
// the guest waits for the answer. A turn is asked for in the same way.
//
// Snapshots: a prepare worker that is asked for one loads what it compiled, gives up making memory executable as an execute worker
// does, and runs the initialisation. Its parts are out of its reach by then. It never runs an entry.
//
// Failure: what goes wrong is told to the host, which judges; a worker that cannot even do that exits with 1.
//
// Limits: the host holds them from outside, by killing. Below that net the worker winds clocks of the kernel for each job,
// for a run once it has gone on for a slice of gas or waits: they end the process with [wire.ClockExit], 50 ms of CPU time
// after the CPU limit, and a second after the most that the host may make of the wall limit of a run. They strike while a
// guest spins in compiled code, which nothing inside of the Go runtime can be relied upon to do. Garbage is collected between
// runs, when no call waits.
package worker
