// Package logs stands before the log of a host: it keeps the newest records for those who look, and lets no message flood it.
//
// Purpose: [Ring.Logger] is the logger that the host uses. Each of its records is copied into a ring, and goes on to the logger that
// the embedder gave, defused: one line a message, no control characters, bounded strings. [Ring.Lines] reads the ring.
//
// Lifecycle: New, and Flush at the end. There is no goroutine.
//
// Concurrency: everything may be called by anybody. A record costs one lock and one copy; JSON is read when somebody reads the ring.
//
// Failure: what cannot be read as a record is shown as a message. An embedder's writer that fails is its own business.
//
// Limits: Config.Lines records and Config.Bytes bytes, the oldest go first; a record of more than MaxRecord is cut to level, code and
// message. Of each code, or message without one, Config.Burst records of level info or above pass at once, and Config.PerSecond from
// then on; those that are left out are counted, and the number stands in the next one, or in one of its own after ten seconds, whatever
// comes then. What is below info is there because an operator wants it, and is never left out. At most 1024 codes are told apart.
package logs
