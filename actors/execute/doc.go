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
//	-         Enqueue    -         Answer(busy.paused) Answer(busy.queue_full) Answer(caller.invalid_request) Answer(canceled.deadline)
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
//	claimed   Pause      parked    -
//	claimed   Purge      -         Answer(canceled.host_stopped)
//	claimed   Raise      claimed   -
//	claimed   Raise      starting  StartWorker
//	claimed   drought    parked    -
//	claimed   room       busy      RunOn
//	claimed   room       starting  StartWorker
//	claimed   tick       -         Answer(canceled.deadline) Answer(host.spawn_failed)
//	parked    Cancel     -         Answer(canceled.caller_left)
//	parked    Enqueue    -         Answer(host.spawn_failed)
//	parked    Enqueue    parked    -
//	parked    Purge      -         Answer(canceled.host_stopped)
//	parked    Raise      -         Answer(host.spawn_failed)
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
//	starting  unstarted  -         Answer(host.spawn_failed) Answer(suspect.artifact_rejected)
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
//	Worker    Event         Next      Effects
//	-         a run         starting  StartWorker
//	busy      Cancel        stopping  StopWorker
//	busy      exited        -         Gone
//	busy      finished      busy      RunOn
//	busy      finished      closing   StopWorker
//	busy      finished      idle      -
//	busy      finished      lent      Grant
//	closing   exited        -         Gone
//	idle      Recycle       closing   StopWorker
//	idle      Release       closing   StopWorker
//	idle      a run         busy      RunOn
//	idle      above soft    closing   StopWorker
//	idle      exited        -         Gone
//	idle      idle time     closing   StopWorker
//	idle      nobody waits  lent      Grant
//	idle      room          closing   StopWorker
//	lent      Pause         recalled  Revoke
//	lent      Recycle       recalled  Revoke
//	lent      Release       recalled  Revoke
//	lent      a backlog     recalled  Revoke
//	lent      exited        -         Gone Revoke
//	lent      idle time     recalled  Revoke
//	lent      returned      closing   StopWorker
//	recalled  exited        -         Gone
//	recalled  returned      busy      RunOn
//	recalled  returned      closing   StopWorker
//	recalled  returned      idle      -
//	recalled  returned      lent      Grant
//	starting  Cancel        stopping  StopWorker
//	starting  exited        -         -
//	starting  ready         busy      -
//	starting  unstarted     closing   -
//	stopping  exited        -         Gone
//	stopping  finished      closing   -
//	stopping  ready         stopping  -
//	stopping  unstarted     closing   -
//
// # Concurrency
//
// The core is pure and runs inside of the actor.
//
// Slots. Config.Soft runs have a slot by their turn. While these are taken, critical runs have up to Config.Hard less
// Config.Soft more, which take no turn. A critical run above soft goes on waiting for an ordinary slot: as long as it runs,
// its class has a backlog, and when the class has its turn the run becomes an ordinary one. So what runs above soft takes
// nothing from the other classes, and cannot starve them either. A slot that nobody can use keeps its worker for a while, up
// to Config.Soft slots; an idle worker above that is closed at once, and critical runs that wait use it before.
//
// Shares. A turn is the choice of a run for an ordinary slot. It starts at once or, as a claim, as soon as the process that
// makes room for it is gone. While a set of classes has a backlog, each class has, in any window of n turns, n x its share /
// the sum of the shares of the set, give or take one; in any window of 12 as well as in any other, and counted on where the
// same set was left before. There is one exception, since no order of turns without it is longer than nine: with a backlog of
// critical, high and normal only, a window of 5 or 6 turns (or 11 x k more) may give normal one and 1/11 more or less. The
// shares are critical 6, high 3, normal 2, background 1. At most 8, 16, 23 or 44 turns pass a class that has a backlog, in
// this order.
//
// Within a class, tenants take turns, within a tenant apps, and within an app runs start in the order in which they came. A
// run with an idle worker may pass others, as long as none of them waits for 100 ms, counted from its arrival or from when
// its tenant or app was served last, and until its tenant or app is ahead by 32 starts. A tenant that leaves while it is
// ahead comes back ahead.
//
// Leases. A worker that idles while no run waits is lent to callers that ask for its binding again, if its last run allows
// that: their runs pass by the actor. It keeps an ordinary slot, so that shares and limits hold as if it were busy, though its
// runs are no turns. As soon as a run waits for a slot, or for more than one above soft, all that is lent is asked back, once;
// rides that are under way go on to their end, and the slot is given by turns when the last one has ended. A drought is no
// reason: who waits it out needs no slot. Release asks back as well, and so does the idle time: only the leases know when a
// lent worker was used last. Each Grant ends by one return or by the end of its worker, whichever is first; when the queue
// stops or restarts, by that.
//
// Operators. While the queue is paused it accepts and starts nothing, and lends nothing: [Pause] asks all back that is lent, and
// runs that have a slot and no worker are parked again. What runs goes on, and deadlines count. The host holds the pause, so that a
// new incarnation has it from its first message. [Purge] answers what is parked, [Recycle] closes a worker once it has no run.
//
// No idle worker is closed to make room for a run that has a free slot: for a critical run, that is any below Config.Hard.
//
// # Failure
//
// Every Enqueue is answered exactly once. The outcome says what the worker port saw; no run is repeated here. A process that
// cannot be started (host.spawn_failed) is tried again after 100 ms, then twice as long each time up to 5 s, one attempt at a
// time for each binding, until the deadline of the run or, if it has none, for Config.SpawnWait from the first failure that
// it met; then that fault is its outcome. Other bindings, and runs that have an idle worker, go on meanwhile. A worker that
// died is replaced when there is work for it.
//
// # Limits
//
// Config.Queue runs may be parked. A full queue refuses who comes, unless another tenant has more there: then its newest
// run, in its lowest class, is answered busy.queue_full. Config.Hard processes exist at a time. A run whose deadline passes
// before it has a worker is answered canceled.deadline, and never starts. The trail of a run has 64 steps at most.
//
// # Tests
//
// Of the checklist for the execute queue:
//
//	Behaviour                                     Test
//	add to each class                             TestEveryClassRuns
//	shares of every subset of classes             TestBar04SharesOfEverySubset, TestCyclesHoldTheirShares, TestSimulation
//	no class waits for the end of a window        TestCyclesHoldTheirShares
//	stale runs are dropped, others are kept       TestStaleRunsAreDropped
//	a requester that left is not executed         TestFullQueueDeadlineAndCancel, TestShellCancelThatOvertakes
//	2 endless runs in parallel                    TestEndlessRunsEndInRounds
//	9 endless runs on 5 workers, no stall         TestEndlessRunsEndInRounds
//	6 endless runs, 2 bindings, 2 workers         TestEndlessRunsEndInRounds
//	100 concurrent runs                           TestEndlessRunsEndInRounds
//	serial runs on 1 worker                       TestRunsOfOneBindingShareAProcess
//	no start above soft unless critical           TestOnlyCriticalRunsStartAboveSoft
//	cull above soft, not under critical backlog   TestHardIsSustainedWhileCriticalRunsWait
//	mass worker death does not stall              TestMassDeathDoesNotStall
//	no resurrection without work                  TestNoResurrectionWithoutWork
//	death between assignment and run              TestWorkerThatDiesBeforeItsRunIsSuspect
//	no idle worker dies beside a free slot        TestNoIdleWorkerDiesBesideAFreeSlot, TestSimulation
//	workers are lent while nobody waits           TestWorkersAreLentWhileNobodyWaits, TestSimulation
//	a lease ends once, whoever ends it            TestLeaseEnds, TestLeasesOfAnEarlierIncarnation, TestSimulation
//	lent workers are shown as they are            TestLentWorkersAreShown
//	a pause starts nothing and asks leases back   TestPauseStartsNothing, TestPauseOutlivesTheIncarnation, TestSimulation
//	a purge answers what is parked                TestPurgeAnswersWhatIsParked, TestSimulation
//	a recycled worker ends once it is idle        TestRecycle, TestSimulation
//	a trail says where the time went              TestTrailOfARun
//	a greedy tenant has its share                 TestGreedyTenantGetsItsShare, TestFullQueueIsSharedByTenants
package execute
