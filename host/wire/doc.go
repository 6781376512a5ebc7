// Package wire is what the host and a worker process say to each other over one inherited socket.
//
// Purpose: bounded frames, a strict codec for each message, and the build id that both sides compare first.
//
// Lifecycle: the host sends [Hello]; the worker answers [Ready]; then one [Prepare] or one [Load] and any number of
// [Run]. Files travel as descriptors, from the host to the worker only, attached to the frame that announces them.
//
// Concurrency: a Conn has one reader and one writer; they may be two goroutines.
//
// Failure: a frame that breaks a rule is an error of the reader; nothing is guessed and nothing is skipped. Whatever
// comes from a worker is hostile: every length is checked before memory is taken for it.
//
// Limits: [MaxFrame] per frame, [MaxChunk] per piece of a stream, [Pieces] per run, [MaxName], [MaxText], [MaxList] and [MaxParts] within messages; a sender is held to them like a reader.
package wire
