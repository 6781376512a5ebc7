// Package db owns a host's data directory: its lock, its format version, the host key, the ballast file, the guard over
// free space, and the two Badger databases. It is the only importer of Badger.
//
// Purpose: [OpenDir] opens the directory safely; [DB] is a small key-value interface that neither panics on damage nor
// fills the disk.
//
// Lifecycle: OpenDir acquires, [Dir.Close] releases. The database "cache" may be dropped and rebuilt, and is when it
// does not open; "state" is never dropped: damage there stops the start.
//
// Concurrency: a DB may be used from any goroutine; writes are atomic per call and on disk when they return.
//
// Failure: host.data_dir_unwritable, host.data_dir_newer, host.data_dir_locked, host.data_dir_corrupt, host.disk_full,
// host.disk_io; busy.disk_space for a write while free space is below the reserve.
//
// Limits: a write of one call is at most [MaxWrite] bytes, a value at most [MaxValue]. Writes stop while less than the
// reserve is free, since Badger maps its files and dies by a signal when a page of them cannot be had.
package db
