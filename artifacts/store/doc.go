// Package store keeps artifacts: in the database "cache" as chunks, and in memory as sealed files that worker processes
// are given.
//
// Purpose: [Store.Put] stores what a preparation made, [Store.Get] gives it back verified or not at all.
//
// Lifecycle: [Open] on an open data directory; [Store.Close] before the directory is closed. A [Handle] keeps its files
// alive until it is closed, whatever happens to the artifact meanwhile.
//
// Concurrency: Get may be called from any goroutine. The operations that write are called by one caller at a time, the
// cache actor; a lock holds them apart all the same.
//
// Failure: host.artifact_missing for what is not there or was made by another build, host.artifact_corrupt for what
// does not verify (it is dropped), busy.disk_space and host.disk_* from the database.
//
// Limits: sealed files that nobody uses are kept up to Config.MemoryBytes, the last one in any case. One artifact is
// written in pieces of at most 2 MiB, so that memory stays bounded whatever its size.
//
// The record of an artifact bears a MAC with the host's own key over the artifact key, the part names, lengths and
// SHA-256 digests; each part is digested when it is read. An artifact is native code: bytes that fail are never run.
package store
