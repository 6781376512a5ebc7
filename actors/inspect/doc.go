// Package inspect holds the records that are shown to operators: actors, queues, artifacts, workers, health.
//
// Purpose: one versioned vocabulary for the host's Inspect, the control API and the consoles.
//
// Lifecycle: plain values; nothing to start or stop.
//
// Concurrency: snapshots are copies; changing one changes nothing in the host.
//
// Failure: none.
//
// Limits: text of guests is passed through fault.Quote before it enters a record.
package inspect
