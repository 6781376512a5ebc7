// Package fault holds the error classes, codes and hints of Troupe: every failure says first whose fault it is.
//
// Purpose: one error type, [Error], whose [Class] decides what happens (retry, restart, blame) and whose [Code] is a
// stable dotted name that scripts and dashboards may rely on.
//
// Lifecycle: errors are values; there is nothing to start or stop.
//
// Concurrency: everything here is immutable and safe from any goroutine.
//
// Failure: an unregistered code is described as a bug, so that it is seen; a test compares the registry with the code.
//
// Limits: text of guests enters an error only through [Quote], which bounds and defuses it.
package fault
