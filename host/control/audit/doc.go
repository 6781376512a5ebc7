// Package audit keeps who changed what on a host: lines of JSON that are only ever added to.
//
// Purpose: [Open] a log in a directory, or one in memory; [Log.Append] an entry; [Log.After] and [Log.Newest] read.
//
// Lifecycle: Open reads what the files end with, so that sequences go on over restarts; a last line that a crash has torn is cut
// off. [Log.Close] writes what is left.
//
// Concurrency: all methods may be called by many goroutines. Append does not wait for the disk: entries are on it within a second.
//
// Failure: what cannot be written stays in memory and is reported by [Log.Failed]; nobody's request fails for it.
//
// Limits: so many files of so many bytes each ([Options]); the newest entries are in memory too. Refused attempts are kept at a
// bounded rate, and those that are left out are counted, so that nobody can wash the log out by being refused.
package audit
