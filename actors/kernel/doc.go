// Package kernel is the actor kernel of Troupe: typed references, bounded mailboxes, supervision, requests that are
// always answered. It is the only package that imports protoactor-go.
//
// # Purpose
//
// An actor is a [Handler] that [Spawn] puts behind a mailbox. A [Ref] sends to it: [Ref.Send] on the bounded work lane,
// [Ref.Control] on the lane that overtakes. [Request] (actor to actor) and [Ask] (from outside) lend the asked actor a
// [Reply]; the asker owns the request until it is answered. Long work runs in [Ctx.Go], beside the actor, and comes back
// as a message. [RunCore] drives a pure core.
//
// Who looks at a System disturbs nothing: [System.Inspect], [System.Detail] (with the flight recorder, also of the dead),
// [System.Mailbox], [System.Cause], [System.Trace] and [System.DeadLetters] read what actors publish between two messages.
// A question that a handler has to answer for them is sent from an [Onlooker], and leaves no trace.
// Each message has a [Cause], which goes with what it sets off; [Ref.From] passes it on. Operators act by path and incarnation:
// [System.Pause], [System.Restart], [System.Kill], [System.LogLevel], [System.Replay].
//
// # Lifecycle
//
// One incarnation is one Handler and one [Ctx] with one context.Context. It ends when the actor stops, or when it panics:
// then its context is canceled, its timers, requests and children end, its Stopping hook runs, the message it was handling
// is answered with bug.panic, requests it had accepted and not answered are sent to the next incarnation once more, and
// what is queued waits. After a back-off, and when the children have ended, Options.New makes the next one. Who fails more
// often than its [Policy] allows, or whose children do not end, is given up: it is stopped, what waits is answered, the
// System fails for everyone to see ([System.Failed]).
//
// A stopping actor refuses new messages, runs its Stopping hook, answers the queued messages with canceled.host_stopped, and
// then stops its children. It has stopped when its children and everything it runs in Ctx.Go have ended; until then its name
// is taken.
// [System.Stop] stops the root actors in reverse order of their start, each with a deadline.
//
// # Concurrency
//
// Ref, Reply, Ask and System may be used from any goroutine. Of a Ctx, Context, Self, Log, Incarnation and Now may;
// Go, After, Stop, Spawn and Request belong to the actor, that is to New, Receive and Stopping. A handler never blocks:
// it must not call Ask or wait for anything. Cause and Origin of a Ctx belong to the actor too; an *Origin may go anywhere.
//
// Nothing blocks a sender. Per pair of sender and actor, messages of one lane arrive in the order they were sent. The order
// between lanes is: lifecycle, control, answers (with timers, results of Go, exits of children), work. A control message
// that overtook what it is about goes behind it with [Ctx.Requeue]; [AskWithdrawing] takes requests back that way.
//
// # Failure
//
// A refused message is busy.queue_full (mailbox full) or caller.host_closed (actor stopped). A message that bears a reply
// implements interface{ Failed(error) }; the kernel calls it when it refuses, drains or drops the message or panics on it,
// and for the messages of Ask and Request it answers by itself. A request whose actor restarts twice without answering is
// bug.no_answer. Panics of handlers are recovered in one place, logged with their stack and counted ([System.Bugs]).
// Payloads are never logged, only their types. Headers of messages that were refused or dropped are dead letters; the message
// itself is kept, and can be sent again, if nobody was told: it bore no reply, and its sender saw no error.
//
// # Limits
//
// The work lane holds Options.Mailbox messages, an incarnation has at most Options.Requests requests and Options.Tasks
// tasks and timers at a time; each has a slot reserved for its answer, so that answers are never refused. The control lane
// has no limit of its own: what travels there is bounded by the work it controls. A handler that blocks cannot be
// interrupted, only reported. An idle actor has no goroutine.
//
// A flight recorder holds 256 entries and grows with its actor's first messages; 256 dead actors and 1024 dead letters are kept,
// the oldest make room. 16 traces run at a time, each with a buffer of 1024 rows; what does not fit is dropped and counted.
// Unless somebody traces, a message costs one atomic load for that, and neither an allocation nor another look at the clock.
package kernel
