// Package api is the wire form of the control API: routes, requests, replies, events and errors, all JSON.
//
// Purpose: one vocabulary for the server (host/control), the client (host/control/client) and whoever uses curl. The
// JSON is a contract: within v1 fields are added, never renamed; names are snake_case, durations end in _us, sizes in
// _bytes, times are RFC 3339 in UTC.
//
// Lifecycle: values; nothing to start or stop.
//
// Concurrency: values are not shared.
//
// Failure: every failed call answers one [Failure], whose HTTP status follows from its class; [Error.Fault] turns it
// back into a *fault.Error.
//
// Limits: each size that a peer may choose has a Max constant here.
package api
