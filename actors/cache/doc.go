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
//	preparing  request                      preparing  waits; raises the priority
//	preparing  last waiter departs          -          cancel the preparation
//	preparing  prepared                     preparing  store
//	preparing  stored, or kept in memory    prepared   answer prechecks and heads-ups, execute the rest
//	preparing  failed: guest or suspect     failed     answer all; store a guest failure
//	preparing  failed: other                -          answer all; nothing is remembered
//	prepared   request                      prepared   touch; answer or execute
//	prepared   missing, corrupt, rejected   preparing  drop this generation, prepare again, run once more
//	prepared   evicted, pruned              -          delete, release idle workers
//	failed     request, guest failure       failed     answer from the record
//	failed     request with a larger budget preparing  prepare, if the CPU limit was the failure
//	failed     request after the cool-down  preparing  prepare, if the failure was suspect
//
// # Concurrency
//
// The core is pure and runs inside of the actor. Every store operation runs beside the actor, one at a time, in order.
// A generation number on each entry makes notices about an older one harmless.
//
// # Failure
//
// Every request is answered exactly once. What is deterministic is remembered and never tried again; what may be the
// machine's fault is tried again after Config.Cooldown, Config.Retries times. A run whose worker died before any output
// reached the caller is repeated once.
//
// # Limits
//
// Entries are bounded by the store's size limit and by Config.Failures; announcements that wait by Config.Announce per
// tenant; pins by Config.Pins per tenant.
package cache
