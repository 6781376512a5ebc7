// Package run holds what a run is asked to do and what is said about it afterwards: priority, limits, entry, verdict
// and receipt.
//
// Purpose: the vocabulary that actors, workers, the host API and the command line share.
//
// Lifecycle: plain values; nothing to start or stop.
//
// Concurrency: values are copied between goroutines and never changed in place.
//
// Failure: Validate functions report caller faults and never change what they look at.
//
// Limits: durations are time.Duration, sizes are bytes in int64, and each field names its default and range.
package run
