// Package sealed holds sealed memory files: bytes that no process, not even their maker, can change, shrink or grow.
//
// Purpose: hand code and artifacts to worker processes by descriptor, and share their pages between workers.
//
// Lifecycle: [Create], [FromBytes] and [Seal] give a file with one reference; [File.Retain] adds one, [File.Release]
// drops one, and the last one closes the descriptor. Memory maps outlive the descriptor until they are unmapped.
//
// Concurrency: a File may be used from any goroutine.
//
// Failure: host.out_of_memory when the kernel gives no memory, host.unsupported outside of Linux.
//
// Limits: the caller bounds the size; a file lives in memory (shmem) until its last reference and map are gone.
package sealed
