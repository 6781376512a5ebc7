// Package sim runs pure actor cores under a seeded scheduler with virtual time, fails what it is told to fail, and replays
// a run from its seed.
//
// # Purpose
//
// A [World] holds nodes; each wraps a core (anything with Step(now, message) []effect) and a function that carries out the
// effects, as the shell of the actor does: it sends to other nodes or to models of the outside, which are nodes too.
// [Explore] runs a world over many seeds, checks its invariants after every step, and for a failing seed finds the few
// faults that matter and prints the run. [Run] replays it.
//
// # Lifecycle
//
// One World is one run. It ends when nothing is left to do, when a check fails, or at Options.MaxSteps, which is a failure
// as well: a world that never settles. Nodes crash and come back with the semantics of the kernel: the queue stays, the
// message in hand and the old incarnation's timers and answers go, requests it had accepted are sent once more.
//
// # Concurrency
//
// None: everything of a World runs on the goroutine that called Run. The next message is drawn among all pairs of sender
// and receiver that have one waiting; within a pair and lane the order is kept, and control messages overtake work as they
// do in the kernel. Time stands still while something can be done, except that in half of the seeds timers may fire while
// messages wait, as on a slow machine.
//
// # Failure
//
// A panic of a core is a failed check, and so is an answer given twice. A failing seed that does not fail again when it is
// replayed is reported as such: then a core or a model is not deterministic.
//
// # Limits
//
// Inboxes are bounded as in the kernel (Node.Inbox, down to 1) and refuse visibly. A trace keeps the last 2,000 lines.
package sim
