// Package sandbox confines the process that calls it and says what really holds.
//
// Purpose: a worker calls [Apply] before it sees its first guest byte; the names of the layers that hold travel to the
// receipt of each run.
//
// Lifecycle: called once, early; nothing can be undone.
//
// Concurrency: call it before other goroutines exist.
//
// Failure: a layer that does not hold is left out of the answer; nothing is claimed that was not read back.
//
// Limits: the layers are an empty environment (env), no descriptors but the worker's own (fds), death with the host
// (pdeathsig), no new privileges (nnp), no core dumps and no reading of the process by its like (undumpable), and
// resource limits on files, core dumps and file size (rlimits). Memory limits are set by the host from outside.
package sandbox
