// Package report is the actor that keeps a worker's duties to a chain: what the worker owes to it is made, sent and seen through.
//
// # Purpose
//
// A worker on a chain has to be registered, described and reachable, its session has to be that of the host, what its apps have used has
// to be settled, challenges have to be answered. Each of these is a [Duty], and each is decided by the pure core ([State]) from what the
// chain and the worker say of each other ([View]). The shell ([Spawn]) asks the [Worker] to sign and hands calls to the [Outbox].
//
// # Lifecycle
//
// Each incarnation first asks the outbox what of its own is on its way, then follows the chain from its head and looks at it. It
// looks again when a block names the worker, when a call has ended, when the host says so ([Nudge]), and every Settings.LookEvery.
// A duty is done, or waits for something that it can name, or is worked at, or has a call in the outbox, or failed and is tried
// again after a while, for ever. What was missed, for whatever reason, is seen by the next look.
//
// # Concurrency
//
// A duty has at most one call on its way, and begins nothing before a look that began after the last one ended. Reports are signed one
// batch at a time and handed on in the order of their numbers; a [ReportNow] does not wait for the report of the interval. The answer
// to a challenge waits for nothing but the score.
//
// # Failure
//
// A report that is made is never dropped: it is kept until it is in the outbox, also if the actor fails. If the host is killed in
// between, or the chain refuses it, the next report of the session has what it said, since totals only grow. A session that the chain
// does not take is replaced by a new one, which is the one thing that loses what was used and not reported: apps are removed.
//
// # Limits
//
// [Settings] has them. While the chain is away nothing is made, so that hours of it cost no memory. One timer.
package report
