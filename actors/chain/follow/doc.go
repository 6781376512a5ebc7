// Package follow is the actor that turns what the chain demands into apps that run.
//
// # Purpose
//
// The follower keeps a picture of what the chain wants of this worker: tickets whose worker list has it, the benchmark app, and the
// compute requests that were assigned to its node. It compares the picture with what the host has, and has the difference fetched,
// announced, deployed, reported and removed. Of compute requests it tells the chain what became of them.
//
// # Lifecycle
//
// It starts with what the store has, asks the chain who it is, follows it from the newest block that is never undone, and reads the
// whole picture once, in pages. From then on blocks only say what must be read again: an event is a hint, and the view of the state
// is the truth. A block that is undone has what it touched read again. Nothing is removed before the picture is whole, nor before the
// block is final in which it was read that nobody pays any more.
//
// An app of a ticket goes: manifest, code, announced, blobs, deployed; and back: stopped, reported, removed. A compute request goes:
// read, image and configuration fetched, address chosen, placed with the agent, job told, fulfilled.
//
// # Concurrency
//
// Messages may be sent from anywhere. One thing at a time is done for one app or request; different ones do not wait for each other,
// up to the limits of all that is under way.
//
// # Failure
//
// What fails is tried again in 5 s, doubling to 5 min, with its reason shown. What is the fault of a guest or its manifest is refused,
// which is remembered for an hour or until the tickets change. A chain that does not answer is asked again; one with another genesis
// is not followed, and everything is left as it is.
//
// # Limits
//
// Config.MaxTickets tickets and Config.MaxApps apps beside the benchmark; 64 requests of each kind come from the chain; 32 actions
// for apps, 32 for requests and 8 reads are under way at a time.
package follow
