// Package cache is the artifact cache: the table of states, who waits for what, and what is in use or pinned.
//
// # Purpose
//
// [Spawn] starts the actor with its pruner. Each [Request] is led to its answer: from the table, through one preparation
// that all who ask for the same artifact share, and on to the execute queue.
//
// # Lifecycle
//
// Of an artifact:
//
//	State      Event                        Next       Effect
//	-          request                      preparing  prepare
//	-          request, nobody has the code -          answer caller.not_found
//	preparing  request                      preparing  waits; raises the priority
//	preparing  last waiter departs          -          cancel the preparation
//	preparing  prepared                     preparing  prune to make room, store; it stays now, whoever departs
//	preparing  stored, or kept in memory    prepared   answer prechecks and heads-ups, execute the rest
//	preparing  failed: guest or suspect     failed     answer all; store a guest failure
//	preparing  failed for want of time      preparing  prepare again for those whose budget was larger; answer the rest
//	preparing  failed: other                -          answer all; nothing is remembered
//	prepared   request                      prepared   touch; load the description if need be; answer or execute
//	prepared   in memory only, room again   prepared   write it
//	prepared   missing, corrupt, rejected   preparing  drop this generation, prepare again, run once more
//	prepared   evicted, pruned              leaving    delete, release idle workers
//	leaving    deleted                      -          answer who asked for it
//	leaving    could not be deleted         prepared   answer who asked for it
//	failed     request, guest failure       failed     answer from the record
//	failed     request with a larger budget preparing  prepare, if a limit of CPU or wall time was the failure
//	failed     request after the cool-down  preparing  prepare, if the failure was suspect and it is no precheck
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
// Every request is answered exactly once. What is deterministic is remembered and never tried again; what may be the
// machine's fault is tried again after Config.Cooldown, Config.Retries times. A run whose worker died before any output
// reached the caller is repeated once. An artifact that could not be written is served from memory and written later.
//
// # Limits
//
// What is on disk, or on its way there, is bounded by Config.Policy; the bytes are those that the store reports, so that
// there is one account. Entries that take no room there are bounded too: failures by Config.Failures, artifacts in memory
// only by Config.Unstored. Module descriptions, which a hostile module can make long, are loaded when they are needed, up to
// Config.Descriptions bytes. Config.Requests requests may be unanswered, Config.Preparing preparations under way or queued;
// more are refused with busy.queue_full before anything is accepted. Announcements that wait are bounded by Config.Announce
// per tenant, pins by Config.Pins per tenant.
package cache
