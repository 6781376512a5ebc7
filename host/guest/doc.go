// Package guest is what a Go program imports to be an app: it calls the module troupe_v1 of the host.
//
// # Purpose
//
// Programs are built with GOOS=wasip1 GOARCH=wasm. A service is a main package that calls Serve:
//
//	GOOS=wasip1 GOARCH=wasm go build -o app.wasm .
//
// A handler, whose state is fresh for each request, is a main package that sets functions of package handler in an init function:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o app.wasm .
//
// Heads of events are text. Of a query: its path, a newline, the account of its origin in hex or nothing, a newline. Of an HTTP
// request or response: its head as HTTP/1.1 has it, to the empty line. Of a connection: the server name, a newline, the peer's
// address. A handler gets a query as that head and the payload, and an HTTP request as one whole message.
//
// # Lifecycle
//
// What has a Close holds a handle of the host, of which an instance has at most 1024; its end gives all of them back.
//
// # Concurrency
//
// WebAssembly has one thread, so a call that waits stops the whole instance. Within Serve with Concurrent above 1, reads and writes
// of events, connections and timers, accepts and receives let other goroutines run meanwhile. Sends, locks, dials and fetches stop
// everything until they are done, or until their timeout. Goroutines that a handler starts are started by Go, and sleep by Sleep: one that
// waits for something that this package does not know, as time.Sleep, costs turns for as long as it lasts.
//
// # Failure
//
// Errors are an Errno, as the host numbers them; errors.Is knows them as fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, fs.ErrClosed,
// os.ErrDeadlineExceeded and errors.ErrUnsupported. Readers return io.EOF at the end. On other systems than wasip1 every call
// fails with ErrUnsupported.
//
// # Limits
//
// A call carries at most MaxBytes each way; readers, writers and replies split what is longer, sends and keys cannot. A
// reply has at most what the manifest allows as output.
package guest
