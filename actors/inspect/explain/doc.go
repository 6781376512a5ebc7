// Package explain says in words what a thing waits for.
//
// Purpose: [Explain] finds the thing that an id names among the [Facts] of a host, and follows what it waits for: a job waits for its
// artifact, whose preparation is queued behind others, while a worker prepares another code since then. Each link has who owns it and
// can end it, and since when; the advice is commands. Of what has failed it says first whose fault that is.
//
// Lifecycle: there is nothing to start or stop.
//
// Concurrency: a pure function. The facts are not changed; they should be of one moment, and if they are of several the chain of reasons
// may end early.
//
// Failure: caller.not_found when nothing has the id, caller.invalid_request when the beginning of an id is that of several things.
//
// Limits: at most maxLinks links and maxAdvice pieces of advice. Text of guests is quoted.
package explain
