// Package control serves the control API of a host over a Unix socket, and over TLS if that is wanted.
//
// Purpose: one way in for the command line, consoles and curl, so that whatever a person sees or does can be scripted.
// [Listen] makes the socket, [Server.ListenTLS] the other one, [Pair] the same inside one process, [New] the server. Each route has
// a row in api.Table, which says what right it needs and what it changes; the server is built from that table.
//
// Lifecycle: New allocates, [Server.Serve] blocks until [Server.Drain] (what runs may end, at once after
// [Server.Cancel]) or [Server.Close] (it is cut off). The server never starts or stops the host: what does is passed in by [Options].
//
// Concurrency: every request has its own goroutine and calls the host directly. A caller that goes away cancels its
// request; this is noticed within a second, since a stream carries a progress event at least that often. Who looks at the same
// thing at the same time shares one answer of the host. An operation that was begun goes on when its caller leaves.
//
// Failure: each failed request answers api.Failure with a status by class. Who connects over the socket is asked of the kernel: the
// user that runs the host and root may do anything, a group of operators what Options say; over TLS callers have a token or a
// certificate. Rights are only ever narrowed: by the deployment, by the listener, by the caller. Who lacks admin sees and touches
// jobs and apps of its own tenant only, which is "uid:<n>", "token:<name>" or "cert:<name>", whatever the request says. All that
// stands between a handler and the host, in one place: the gate. What changes something, and what is refused, is in the audit log.
// A blob that is too large or whose sender breaks off is an error for the store that reads it, never an end.
//
// Limits: [Options], each with a default; bodies, the memory that all of them share, headers, requests and streams at once, TLS
// connections of strangers, the time to send a request, the time that a slow reader may take, the bytes that wait for readers, plans
// (256, for 10 minutes), operations (1024) and answers that are kept for idempotency keys (1024, for an hour) are all bounded.
package control
