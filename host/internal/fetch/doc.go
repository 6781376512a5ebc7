// Package fetch gets what is named by its hash from where the operator said it may be.
//
// # Purpose
//
// A [Fetcher] asks its sources one after another, directories and HTTP gateways, and returns nothing that it has not verified: a blob
// by its SHA-256 or SHA-512, a manifest by its address, anything else by its CID. Who answers with other bytes is marked, and asked
// last for a while.
//
// # Lifecycle
//
// New opens the directories and clears what an earlier life left half done; Close gives them up. A [Content] is a file that has no name
// any more, and is gone with its Close.
//
// # Concurrency
//
// All methods may be called from any goroutine. Config.Parallel downloads run at a time, in the order in which they were asked for; a
// Content keeps its place until it is closed, so that the disk is bounded as well.
//
// # Failure
//
// caller.not_found: no source has it, or none answers; caller.blob_mismatch: those that answered had other bytes;
// caller.blob_too_large; busy.queue_full. The message has the reason of each source.
//
// # Limits
//
// Config.MaxBytes per download, Config.Timeout per source, Config.Queue that wait, five redirects. A gateway may redirect, but not to
// a private address, unless the operator named that host.
package fetch
