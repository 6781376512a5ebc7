// Package db owns a host's data directory: its lock, its format version, the host key, the ballast file, the guard over
// free space, and the two Badger databases. It is the only importer of Badger.
//
// Purpose: [OpenDir] opens the directory safely; [DB] is a small key-value interface that neither dies of damage nor
// fills the disk.
//
// Lifecycle: OpenDir acquires, [Dir.Close] releases. Every byte of a database is verified before Badger sees it. Of the
// database "cache" damaged tables are dropped, or all of it if its manifest is damaged; "state" is never dropped: damage
// there stops the start. A directory of an older format is migrated after a copy, which is a data directory of its own; one of a newer
// format is refused with what to do. [DB.Snapshot] and [Loader] move a database elsewhere while it is used.
//
// Concurrency: a DB may be used from any goroutine; writes are atomic per call and on disk when they return. What
// [DB.Note] wrote survives the end of the process only, until [DB.Sync] or the next write brings it to the disk too; nobody
// who notes waits for one who writes. [DB.Drop] makes others wait. A [Committer] lets the writes of many goroutines share a
// transaction and its wait for the disk.
//
// Failure: host.data_dir_unwritable, host.data_dir_untrusted for a directory that another user owns or may write, since
// native code in it is run, host.data_dir_newer, host.data_dir_locked, host.data_dir_corrupt, host.disk_full,
// host.disk_io; busy.disk_space for a write while free space is below the reserve. A database that met damage while it
// was open, or a sync that failed, is not written any more ([DB.Failed]); Badger hides some of it: a read of a damaged block
// may also find nothing.
//
// Limits: a write of one call is at most [MaxWrite] bytes, a value at most [MaxValue]. Writes stop while less than the
// reserve is free, since Badger maps its files and dies by a signal when a page of them cannot be had; the reserve (128
// MiB) is more than both databases can still ask for at once: logs (2 x 3 MiB each), their tables, and the tables that a
// compaction rewrites. The host polls each second and the ballast gives it time; a small disk holds a part of it, which
// grows when there is room ([Space.Status]). Should others fill the disk between two
// looks, the host may die: nothing acknowledged is lost, and the next start serves, or says host.disk_full.
//
// After an orderly stop, damage to any file of a database is found. After a crash, a damaged log or a cut manifest looks
// like what the crash itself leaves: it ends where the damage is, and "state", too, loses what came after. A start reads
// all that is stored: 0.3 s for a GB that the system has in memory, else as long as the disk takes.
package db
