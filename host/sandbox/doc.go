// Package sandbox confines the process that calls it and says what really holds.
//
// Purpose: a worker calls [Apply] before it sees its first guest byte, and [Seal] when its code is loaded; the names of the
// layers that hold travel to the receipt of each run. The host has a [Plan] for what only a parent can do, and [Machine]
// says why a layer is missing and how to mend it.
//
// Lifecycle: Apply is called once, early, Seal once after it; nothing can be undone.
//
// Concurrency: call them before other goroutines exist that they could surprise. They hold for all threads, also later ones.
//
// Failure: a layer that does not hold is left out of the answer and named as a [Gap]; nothing is claimed that was not read
// back or tried. After Apply, a system call that a worker does not need kills the process.
//
// Limits: the layers are those of [Layers]. Linux on amd64 and arm64 has a filter of system calls. A program that is built
// with cgo cannot change the rights of all its threads: there landlock and caps are gaps. Memory limits, and the layer
// cgroup, are set by the host from outside.
package sandbox
