// Package client speaks the control API of a host.
//
// Purpose: typed calls for the command line and the consoles; it imports no part of the host.
//
// Lifecycle: [New] names a socket, [Over] any other way to connect; nothing is open between calls, and there is nothing
// to close.
//
// Concurrency: a Client may be used from any goroutine. Each call has its own connection and ends with its context.
//
// Failure: errors are *fault.Error as the host had them. No host: caller.host_unreachable; also if the connection breaks
// before the last event, unless stdin failed: caller.invalid_request. A server that belongs to another user than root or us is not spoken to: caller.denied.
//
// Limits: a call that is not a stream ends after 20 s (with code: 80 s; a wait for a job: 20 s more than it waits) with
// caller.host_unreachable, which names the process that listens; its reply is read up to api.MaxReplyBytes.
package client
