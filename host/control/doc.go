// Package control serves the control API of a host over a Unix socket.
//
// Purpose: one way in for the command line, consoles and curl, so that whatever a person sees or does can be scripted.
// [Listen] makes the socket, [Pair] the same inside one process, [New] the server.
//
// Lifecycle: New allocates, [Server.Serve] blocks until [Server.Drain] (what runs may end, at once after
// [Server.Cancel]) or [Server.Close] (it is cut off). The server never starts or stops the host.
//
// Concurrency: every request has its own goroutine and calls the host directly. A caller that goes away cancels its
// request; this is noticed within a second, since a stream carries a progress event at least that often.
//
// Failure: each failed request answers api.Failure with a status by class. Who connects is asked of the kernel: only
// the user that runs the host and root are served, and the tenant of a run is "uid:<n>", whatever the request says. An app may
// be deployed for another tenant: who may connect may do anything here. A blob that is too large or whose sender breaks off is an
// error for the store that reads it, never an end.
//
// Limits: [Options], each with a default; bodies, headers, requests at once, the time to send a request and the time
// that a slow reader may take are all bounded.
package control
