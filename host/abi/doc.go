// Package abi lists what a guest may import, as data: names, signatures and what calls cost in gas.
//
// Purpose: judge imports and charge calls without an engine; a test of host/engine compares the list with what the engine links.
//
// Lifecycle: none. Concurrency: immutable. Failure: none.
//
// Limits: WASI preview 1 with its 46 functions, the allocator of the PVF manner, and the module troupe_v1, whose functions ask the host. What
// a run is not granted (files, sockets, and to ask at all) links all the same and answers with its errno.
package abi
