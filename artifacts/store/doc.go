// Package store keeps artifacts: in the database "cache" as chunks, and in memory as sealed files that worker processes
// are given.
//
// Purpose: [Store.Put] stores what a preparation made, [Store.Get] gives it back verified or not at all,
// [Store.Describe] its description alone.
//
// Lifecycle: [Open] on an open data directory, then [Store.Index]; [Store.Flush] now and then; [Store.Close] before the
// directory is closed. A [Handle] keeps its files alive until it is closed, whatever happens to the artifact meanwhile.
//
// Concurrency: all methods may be called from any goroutine. Those that write wait for each other; of several readers
// of one artifact one reads the disk and the others wait for it.
//
// Failure: host.artifact_missing for what is not there or was made by another build or under another host key,
// host.artifact_corrupt for what does not verify (it is dropped), busy.disk_space and host.disk_* from the database. An
// artifact that could not be stored is served from memory as long as it stays there; until Index has succeeded that is
// each one, with host.disk_io.
//
// Limits: sealed files that nobody uses are kept up to Config.MemoryBytes and Config.MaxFiles, those of the last artifact
// in any case. One artifact is
// written in pieces of two chunks, so that memory stays bounded whatever its size. What was deleted is given back to the
// file system once 16 MiB have come together, or at the next Flush.
//
// The record of an artifact bears a MAC with the host's own key over the artifact key, the build, and the name, length
// and SHA-256 of each part; each part is digested when it is read. An artifact is native code: bytes that fail are never
// run. Records are written last and deleted first, and chunks bear the number of their write, so that a crash at any
// point leaves whole artifacts and sweepings, and nothing between.
package store
