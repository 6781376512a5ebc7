// Package record records what pure cores are given and what they do, and replays it.
//
// # Purpose
//
// A [Recorder] is a kernel.Recorder: of each actor with a known core it keeps a checkpoint of the core's state and, since then,
// each input with its time and the effects that came of it. [Replay] decodes the state, steps the same code with the recorded
// inputs and times, and compares the effects byte for byte: a core that has been changed, or was never pure, is found at the
// first step that differs.
//
// # Lifecycle
//
// A tape belongs to one path. Each incarnation begins a new segment, and so do 1000 inputs or a sixteenth of the limit; of a
// path the newest two segments are kept. A segment cannot begin while the state holds functions that the core itself has made
// (what it will do when an answer comes): then the one before goes on.
//
// # Concurrency
//
// A Recorder may be used by all actors of a System at once; each encodes on its own goroutine. [Recorder.Write] may be called
// at any time.
//
// # Failure
//
// What cannot be encoded is not recorded: the tape begins again at a later input. An input whose step panicked is recorded
// without effects, and is expected to panic again. A recording of another version, or one that is cut, is refused.
//
// # Limits
//
// All segments together take at most the limit of the Recorder; the oldest make room. A state or a segment that takes more than
// a quarter of it is dropped. Byte slices over 4 KiB are recorded as their length and SHA-256. What is recorded holds the other
// contents of messages: it is for eyes that may see payloads.
//
// # Format
//
// A recording is the line "troupe recording 1", the build id, the names of the types that interfaces may hold, and segments, all
// numbers as varints and all strings with their length first. A segment is its path, incarnation, core, checkpoint, and steps:
// time, input, a flag (1: effects follow, 0: it panicked) and the effects.
//
// Values are written by their Go type, field by field, the unexported ones too. Times are written as they are in memory, so that
// their monotonic parts keep meaning the same to each other. Maps are sorted by their encoded keys. The first time a pointer is
// met it is written with what it points to, later as the number of that. An interface is the number of its type and the value;
// an error is its code, operation, subject, hint, delay and text. Replies, functions, channels and values of types that are not
// known are tokens: numbers that are the same for the same one, within a segment.
package record
