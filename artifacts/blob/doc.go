// Package blob keeps bytes by their SHA-256 in the database "state", as long as somebody names them.
//
// Purpose: [Store.Put] stores bytes and names them, [Store.Get] gives them back verified or not at all, [Store.Ref] and
// [Store.Unref] add and take back names. Bytes that are put twice are stored once. What has no name left is removed.
// [Store.Upload] stores what comes from a stream, under SHA-256 and SHA-512, until [Store.Delete]; [Store.Hold] keeps what an
// app needs, and [Reader] gives out pieces.
//
// Lifecycle: [Open] on an open database reads which blobs there are, and sweeps what a crash left; [Store.Sweep] lets an
// owner take back the names that it does not know any more. There is nothing to close.
//
// Concurrency: all methods may be called from any goroutine. Those that write the same blob wait for each other. What Put,
// Ref and Unref did is on disk when they return.
//
// Failure: caller.not_found for a blob that is not there, caller.quota for one that does not fit, host.disk_io for one that
// does not verify, and the errors of the database. An upload that is too long, another one than was said (caller.blob_too_large,
// caller.blob_mismatch) or that breaks off leaves nothing. host.data_dir_corrupt when what is known of an upload is damaged.
//
// Limits: the bytes of all blobs are at most the quota given to Open, each counted once however many names it has. A name is
// 1 to 128 bytes. One blob is written in pieces of two chunks; its names are kept in memory, about 200 bytes each. An upload
// takes the memory of one chunk, and counts for the quota as it comes. A Reader keeps at most its limit in
// memory, or one blob, and reads two at a time; one owner may have one read at a time, and ten in a second behind a burst of 16.
//
// The name of a blob is written in the same transaction as its last chunk, and removed before its chunks are. So a crash at
// any point leaves whole blobs with names, and chunks without, which the next Open sweeps. Who keeps a record that mentions a
// blob names it before the record is written, takes the name back after the record is gone, and calls Sweep when it starts:
// then no blob is lost and none leaks.
//
// The chunks of an upload come before its hash is known. So they stand under a number of their own, where they stay: they are
// noted, and the names of the blob, with its number, are written last, which brings all to the disk. Chunks under a number that
// no blob has are swept as well.
package blob
