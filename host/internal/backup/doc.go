// Package backup is the form of a backup, and what makes and restores one.
//
// Purpose: [Write] writes small files and databases as one stream, [Restore] makes a data directory of it, and [Verify] does that for a
// trial and removes it again.
//
// # Format
//
// A zstd stream of a tar archive, so that other tools can look into it, and behind it a frame that zstd skips with the SHA-256 of all
// before it. The archive has about.json, which says what this is; each file in parts, NAME/000000 and so on, of at most 1 MiB; and
// manifest.json, which repeats about.json and has size and SHA-256 of each file. The file of a database is a snapshot as db.Snapshot
// writes it: the same content has the same bytes, so that a restored database is compared with what was saved.
//
// Lifecycle: there is nothing to start or stop. [Sweep] removes what a crash left beside a directory.
//
// Concurrency: functions may be called from any goroutine; what they are given is theirs until they return.
//
// Failure: caller.invalid_request for what is no backup, or a damaged or cut one; host.data_dir_newer for a newer format, before
// anything else is read; caller.conflict for a directory that is not empty; host.disk_*, busy.disk_space. A directory is there whole,
// on disk and opened once, or not at all, whenever the process ends: it is made beside and gets its name last.
//
// Limits: a small file has at most 1 MiB, there are at most 1024 files, manifests have at most 1 MiB; windows of zstd at most 8 MiB. Memory
// is a few MiB, whatever the size.
package backup
