// Package cache is the artifact cache: the table of states, who waits for what, and what is in use or pinned.
//
// # Purpose
//
// [Spawn] starts the actor with its pruner. Each [Request] is led to its answer: from the table, through one preparation
// that all who ask for the same artifact share, and on to the execute queue.
//
// # Lifecycle
//
// Of an artifact, as a simulation sees it ("-": it is not known; storing: prepared, and on its way to the disk; leaving: on
// its way from there). An event is a message, with the class of the fault that it brings; requests go by their kind. Left out
// are steps that change several artifacts: pruning, a revocation, reading the index.
//
//	Artifact   Event               Next       Effects
//	-          execute             -          Reply
//	-          execute             preparing  StartPrepare
//	-          heads-up            -          Reply
//	-          heads-up            preparing  Accept StartPrepare
//	-          precheck            -          Reply
//	-          precheck            preparing  StartPrepare
//	-          prepared            -          Discard
//	failed     Evict               leaving    Delete
//	failed     execute             failed     Reply
//	failed     execute             preparing  Retried StartPrepare
//	failed     heads-up            failed     Accept Reply
//	failed     heads-up            preparing  Accept Retried StartPrepare
//	failed     precheck            failed     Reply
//	failed     precheck            preparing  Retried StartPrepare
//	failed     prepared            failed     Discard
//	leaving    deleted             -          Done
//	leaving    execute             leaving    Reply
//	leaving    execute             preparing  StartPrepare
//	leaving    heads-up            leaving    Reply
//	leaving    heads-up            preparing  Accept StartPrepare
//	leaving    not deleted         -          Done
//	leaving    not deleted         prepared   Done
//	leaving    precheck            leaving    Reply
//	leaving    precheck            preparing  StartPrepare
//	prepared   Depart              prepared   CancelExecute Reply
//	prepared   Evict               leaving    Delete Release
//	prepared   Raise               prepared   RaiseExecute
//	prepared   described           prepared   Reply Shown StartExecute
//	prepared   described: host     prepared   Shown
//	prepared   described: host     preparing  Delete Release Retried Shown StartPrepare
//	prepared   execute             prepared   Describe Reply StartExecute StoreAgain Touch
//	prepared   executed            prepared   Reply
//	prepared   executed: busy      prepared   Reply
//	prepared   executed: canceled  prepared   Reply
//	prepared   executed: guest     prepared   Reply
//	prepared   executed: host      prepared   Reply
//	prepared   executed: host      preparing  Delete Release Retried StartPrepare
//	prepared   executed: suspect   prepared   Describe Quarantined Release Reply Retried StartExecute
//	prepared   executed: suspect   preparing  Delete Release Retried Shown StartPrepare
//	prepared   heads-up            prepared   Accept Reply StoreAgain Touch
//	prepared   precheck            prepared   Describe Reply StoreAgain Touch
//	prepared   verified: host      leaving    Delete Done Release
//	preparing  Depart              -          CancelPrepare Reply
//	preparing  Depart              failed     CancelPrepare Reply StoreFailure
//	preparing  Depart              leaving    CancelPrepare Reply
//	preparing  Depart              preparing  CancelExecute Reply
//	preparing  Raise               preparing  RaiseExecute RaisePrepare
//	preparing  deleted             preparing  Done
//	preparing  execute             preparing  RaisePrepare Reply
//	preparing  heads-up            preparing  Accept RaisePrepare Reply
//	preparing  not deleted         preparing  Done
//	preparing  passed              failed     CancelPrepare Reply StoreFailure
//	preparing  passed              preparing  Reply
//	preparing  precheck            preparing  RaisePrepare Reply
//	preparing  prepared            preparing  Discard
//	preparing  prepared            storing    Reply StorePut
//	preparing  prepared: guest     failed     Reply StoreFailure
//	preparing  prepared: guest     preparing  Reply StartPrepare StoreFailure
//	preparing  prepared: host      -          Reply
//	preparing  prepared: host      failed     Reply StoreFailure
//	preparing  prepared: host      leaving    Reply
//	preparing  prepared: suspect   failed     Reply StoreFailure
//	preparing  prepared: suspect   preparing  Reply StartPrepare StoreFailure
//	storing    Depart              storing    Reply
//	storing    execute             storing    Reply
//	storing    heads-up            storing    Accept Reply
//	storing    precheck            storing    Reply
//	storing    stored              prepared   Reply StartExecute
//	storing    stored in memory    prepared   Reply StartExecute
//
// A preparation runs at the highest priority and under the largest budget of those who wait; CPU time, wall time and memory
// each for themselves. Who joins with more extends it, who joins with less leaves a mark, and is answered when that passes,
// while the others wait on. When nobody is left, it is canceled, and the largest budget that it was judged under is
// remembered: no more than that is answered from the record, more prepares again. Of what is prepared, prechecks are judged
// by what it used, as if it had been prepared for them: CPU time, and memory if more was allowed; wall time says nothing about
// the code. A second preparation for those who deserved more is left for one case: a limit was reached just before its
// extension came.
//
// Pins belong to keys, not to states: they hold from the request on, and outlive the artifact.
//
// # Concurrency
//
// The core is pure and runs inside of the actor. Every store operation that changes something runs beside the actor, one at
// a time, in the order of the effects, over restarts of the actor too; the actor has not stopped before they have ended.
// A generation number on each entry makes notices about an older one harmless.
//
// # Failure
//
// Every request is answered exactly once. What the code did (guest) is remembered and never tried again. A preparation that
// failed for what may be the machine's fault (suspect) is tried again after Config.Cooldown, Config.Retries times, for
// executions and announcements; prechecks are answered from the record. Failures for what the code did, or for a limit that
// has grown since, are not counted. Both survive a restart, with their count and time.
// All else is an error for who waits, and nothing is remembered. An artifact that could not be written is served from memory
// and written later.
//
// A run is repeated once, on a fresh worker, if its worker died, broke the protocol or could not load the artifact, or the
// artifact was missing or damaged, and if nothing of it was seen: no output was delivered, no input taken. Else the fault says
// so. A damaged artifact kills its worker just as hostile code does, so the artifact is prepared again before. It stays only
// after a death or a bad reply, and if it works for others right now: other runs use it, and one of them ended by the code's
// own doing since the last suspect one. It also stays if it could not be had again: nobody has the code, or the budget of the
// request does not suffice. Passing a wall limit is not repeated: the run had all the time that it asked for, and would take
// as much again.
//
// A run that is suspect twice stays suspect, with Answer.Repeated, and counts against the code unless Config.Forgive is set.
// Config.QuarantineAfter of these in a row put the code of that tenant into quarantine for Config.Quarantine: its executions
// are answered guest.quarantined, and no worker is spent on them. A run that ends well counts anew, an eviction by an operator
// lifts the quarantine, and so does a restart of the actor.
//
// Runs on workers that are lent pass by the cache, which hears of them at intervals (Used). Those whose end is doubtful come to
// it with that end as their first attempt (Request.Tried): blame, repetition and quarantine are the same. A code that is put
// into quarantine has its leases ended. Such runs do not count as use: an artifact can be evicted while they are under way, and
// they go on to their end.
//
// # Limits
//
// What is on disk, or on its way there, is bounded by Config.Policy; the bytes are those that the store reports, so that
// there is one account. Entries that take no room there are bounded too: failures by Config.Failures, artifacts in memory
// only by Config.Unstored. Module descriptions, which a hostile module can make long, are loaded when they are needed, up to
// Config.Descriptions bytes. Config.Requests requests may be unanswered, Config.Preparing preparations under way or queued;
// more are refused with busy.queue_full before anything is accepted. Announcements that wait are bounded by Config.Announce
// per tenant, pins by Config.Pins per tenant. 4096 revoked tags are remembered, and 4096 codes with runs that counted.
package cache
