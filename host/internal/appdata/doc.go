// Package appdata keeps what apps need to survive: who they are and what they used, what they store, and what they log.
//
// Purpose: [Store] implements sessions.Store, [Spaces] has a sealed key-value space for each app, and [Logs] a bounded ring of
// log lines for each app.
//
// Lifecycle: [NewStore] and [NewSpaces] take the open database "state", and have nothing to close; a [KV] is closed when its
// app has no instance any more, which gives its memory back. [OpenLogs] starts a goroutine that writes, [Logs.Close] writes
// what is left and ends it.
//
// Concurrency: everything may be called from any goroutine. What Save, Remove, Put and Delete did is on disk when they return;
// what Note wrote survives the end of the process, and the end of the machine after Sync. A line that was logged is written a
// moment later, and is lost if the process is killed before.
//
// Failure: host.data_dir_corrupt for a record or an entry that does not verify; [ErrNotFound] for a key that is not there;
// caller.quota for a value that does not fit; caller.invalid_request for a key or a value of a wrong size; the errors of the
// database. Logging never fails: what cannot be kept is dropped and counted.
//
// Limits: an app's manifest and config together have at most 160 KiB. Of a space: keys of 1 to 256 bytes, values of 64 KiB,
// 65,536 entries, and keys, values and 64 bytes for each entry up to its quota. A space in use takes memory for its keys. Of
// logs: see [LogConfig].
//
// # What the disk shows of a space
//
// Keys and values are sealed with the key that the caller gives, each under a random nonce, and bound to the app and the key;
// entries are found by the HMAC of their key. So the disk shows how many entries an app has and how long each is, and no more.
// Who can write to the disk can take an entry away or put an older one back; nothing else is taken for the app's. With a nonce
// of 96 bits a space is good for 2^32 writes.
package appdata
