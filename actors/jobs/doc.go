// Package jobs is the actor that owns durable jobs: runs that were accepted by Submit and survive the host.
//
// # Purpose
//
// A [Submit] is answered when the job is on disk. From then on the job is run at least once and settled exactly once,
// whatever happens to the actor or to the host. [Get], [List] and [Watch] look at jobs, [Cancel], [Raise] and [Revoke] change
// them. The core ([State]) decides; the shell ([Spawn]) writes to a [Journal], has a [Runner] provide input and code, and asks
// the cache to execute.
//
// # Lifecycle
//
// Each incarnation reads the journal first; what comes meanwhile waits. What was queued or running is queued then. A job
// begins when there is a slot for its priority: of Limits.Active slots an eighth is reserved for each priority, so that a
// higher one never waits for a lower one, and the execute queue sees every priority that has a backlog. Within a priority the
// oldest id goes first. After [Drain] none begins; what still runs when the actor stops is queued at the next start.
//
//	Job        Event       Next       Effects
//	-          Submit      accepting  Write
//	-          loaded      accepting  Write
//	-          loaded      opening    Open Write
//	-          loaded      queued     -
//	-          loaded      settled    -
//	-          loaded      settling   Write
//	accepting  wrote       accepting  Write
//	accepting  wrote       opening    Open
//	accepting  wrote       queued     -
//	accepting  wrote err   leaving    Erase
//	delayed    Cancel      settling   Write
//	delayed    Purge       settling   Write
//	delayed    Raise       delayed    Write
//	delayed    Revoke      settling   Write
//	delayed    tick        delayed    Write
//	delayed    tick        opening    Open Write
//	delayed    tick        queued     -
//	delayed    tick        settling   Write
//	leaving    erased      -          -
//	leaving    erased      leaving    Erase
//	leaving    tick        leaving    Erase
//	opening    Cancel      opening    Write
//	opening    Raise       opening    Write
//	opening    Revoke      opening    Write
//	opening    opened      running    Start
//	opening    opened      settling   Close
//	opening    opened err  delayed    -
//	queued     Pause       opening    Open
//	queued     Purge       settling   Write
//	queued     Raise       queued     Write
//	queued     Revoke      settling   Write
//	running    Cancel      running    Depart Write
//	running    Raise       running    RaiseRun Write
//	running    Revoke      running    Depart Write
//	running    ended       settling   Close Write
//	running    ended err   delayed    Close
//	running    ended err   opening    Close Open
//	running    ended err   settling   Close Write
//	running    tick        running    Write
//	running    wrote       running    Write
//	settled    tick        leaving    Erase
//	settled    wrote       leaving    Erase
//	settling   tick        settling   Write
//	settling   wrote       settled    -
//	settling   wrote       settling   Write
//
// The states that others see: accepting is none yet, queued and delayed are queued, opening and running are running, settling
// is what it was before, settled is settled, leaving is none any more.
//
// While the jobs are paused, or the execute queue is, none begins; they are accepted all the same. The host holds the pause, so that a
// new incarnation has it from its first message. [Purge] settles what is queued. Each job has a trail of where its time went, which
// is written with it: its steps add up to the time from its submission to its end. Of a settled job it is on disk only.
//
// # Concurrency
//
// Each job has at most one write under way; a change that comes meanwhile is written after it, as a whole record. So the disk
// holds some version of the job, never a mixture, and never an older one after a newer. The writes of different jobs share
// transactions (artifacts/db.Committer). An id that comes twice is one job, as is a key of a tenant, also for Submits that come
// at the same time: the later ones wait for the write of the first.
//
// # Failure
//
// On disk before they are acknowledged: submissions, wishes to cancel or revoke, raises, settlements with their receipts. Not on
// disk at once: that a job has begun. A start is written after a second, so a shorter run that a crash cuts off leaves no
// trace; the requeued event and Starts tell of longer ones.
//
// A settlement that cannot be written keeps its slot and is written again at each tick until it succeeds; nobody sees it
// before, the job does not run again, and Config.Stuck warns. A submission that cannot be written is refused, and erased, since
// it may be there all the same.
//
// An end without a verdict: busy.* and canceled.host_stopped have the job tried again, after 100 ms to 10 s, as often as need be;
// host.* and bug.* at most Limits.Retries times; caller.*, canceled.deadline and canceled.revoked settle it with a fault.
// caller.not_found has it tried once more with its code, which is not read from disk before the cache wants it.
//
// # Limits
//
// Limits.Queue jobs that are not settled, Limits.Settled that are, Limits.Active under way, Limits.Watchers, Limits.Tags. A record
// has about 70 events at most. The core keeps some 700 bytes per job in memory, and never code, input or output, but for those
// on their way to the disk. When jobs take more disk than they may, the oldest settled ones are forgotten early. A submission for
// which even that makes no room is caller.quota, and no job is forgotten for it; a settlement never is.
//
// How long a job is kept is counted by a clock that stands still while the host is down and takes no step of more than a minute:
// a clock of the machine that jumps expires nothing. It is saved every 10 minutes, so a crash gives a kept job up to 10 minutes
// more. A deadline is turned into such a span when the job is accepted and when the host starts. Times in records never go
// back; while the machine's clock is behind the newest of them they stand still.
package jobs
