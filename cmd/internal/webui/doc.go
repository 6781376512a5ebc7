// Package webui serves the web console of a host to one browser on this machine.
//
// Purpose: the views and verbs of the terminal console in a browser. The console is plain files that are part of the binary; it speaks
// the control API, which [Serve] passes on, and nothing else.
//
// Lifecycle: [Serve] listens on a loopback address, hands out a link and blocks until its context ends, nobody opened the link, or the
// session is over. The link works once and for two minutes: the page trades it for a session, whose two halves are a cookie that no
// script can read and a key that only pages of this very origin can. A link that is used a second time was seen by somebody else, or
// opened twice: the session ends, and a new link is handed out.
//
// Concurrency: requests run in their own goroutines; what they share is behind the lock of the gate. What a session has open ends with it.
//
// Failure: a request that is refused gets an api.Failure that says why. A host that is gone answers caller.host_unreachable, and the
// page goes on showing what it had. Serve fails with canceled.deadline if nobody came.
//
// Limits: only the routes in proxy.go, bodies up to 1 MiB, 64 connections, 48 requests at once, links 2 minutes, sessions 12 hours,
// an hour without a request, five links for one Serve.
package webui
