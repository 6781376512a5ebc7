// Package wire is what the host and a worker process say to each other: over one inherited socket while the worker is set
// up, and over memory that they share while it runs.
//
// Purpose: bounded frames, a strict codec for each message, and the build id that both sides compare first.
//
// Lifecycle: the host sends [Hello]; the worker answers [Ready]; then one [Prepare] or one [Load]. Files travel as
// descriptors, from the host to the worker only, attached to the frame that announces them. With Load comes a ring, which
// carries [Terms] and any number of [Call]; on the socket nothing is said from then on, but its end is that of the worker.
//
// Concurrency: a Conn or a ring has one reader and one writer; they may be two goroutines. Both sides send to each other at
// once, so whoever sends must not wait for the other side's reading without reading itself: a worker that is full of answers
// reads no more calls.
//
// Memory that is shared can change at any moment. Bytes are copied out before anything looks at them, each side keeps its
// own positions in memory of its own, and the size of the memory is sealed, so that no access can fail. Who waits says in
// a word there how it wants to be woken; the wake-up is a matter of speed only as long as the other side is honest, and who
// cannot trust it has [HostRing.Interrupt].
//
// Failure: a frame that breaks a rule is an error of the reader; nothing is guessed and nothing is skipped. Whatever
// comes from a worker is hostile: every length is checked before memory is taken for it.
//
// Limits: [MaxFrame] per frame, [MaxChunk] per piece of a stream, [Pieces] per run, abi.MaxBytes and abi.MaxNums for what a guest asks and for its answer, each, 256 KiB of each direction of a ring, [MaxName], [MaxText], [MaxList] and [MaxParts] within messages; a sender is held to them like a reader.
package wire
