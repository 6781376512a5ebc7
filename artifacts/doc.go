// Package artifacts holds the vocabulary of prepared code: code hash, key, parts, states and the pruning policy.
//
// Purpose: what the cache actor, the store and the workers say to each other about artifacts.
//
// Lifecycle: plain values. Concurrency: values are copied, slices in Meta are never changed after they were built.
//
// Failure: parsers report caller.invalid_request.
//
// Limits: everything that a worker reports was bounded by host/wire before it becomes a value of this package.
package artifacts
