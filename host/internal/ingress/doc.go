// Package ingress brings HTTP and TLS from the users of apps to the apps.
//
// # Purpose
//
// [Server.ServeHTTP] is the users' HTTP: /app/ADDRESS/... goes to the app, /query/ADDRESS and /sealed take queries, /info says who
// the worker is. There is no method of operators here. [Server.ServeTLS] hands connections to apps by their server name.
//
// # HTTP
//
// A command is run as CGI/1.1 has it; see env. A handler is given the whole request and returns the whole response, as HTTP/1.1
// has them. A service gets an event, and both directions are streamed; if the client asked for an upgrade, the service may respond
// with 101, and then the bytes are its own. What a request cannot carry to an app, or a response out of it: cookies, since all apps
// share one name; headers of the hop; headers that speak for a whole name (of service workers, of transport security); X-Troupe
// and X-Forwarded headers of clients. The Host is passed on and used for nothing. Pages of one app can read what other apps have stored in the same browser:
// those who mind give an app a server name of its own.
//
// # Signed replies
//
// A reply of known size up to [MaxSigned] bears X-Troupe-Signature, sr25519 by the worker key in hex, unless the request has
// "X-Troupe-Sign: no", which saves some 50 us. [ReplyMessage] makes what is signed: 0xff, 0x01, and the BLAKE2b-256
//
//	of the request: u32 length, method, u32 length, target, BLAKE2b-256 of the body   (little-endian; target as in the request line)
//	of the reply:   u16 status, BLAKE2b-256 of the body
//
// Headers are not covered. A client that needs to tell two equal requests apart puts a nonce into the target. A reply is not signed
// if its size is not known when it begins, or if the app left more than 256 KiB of the request unread.
//
// # Metering
//
// Bytes of bodies and connections count in both directions, besides the constants in count.go. [Admission.Commit] comes before the
// last byte of a response, and on long streams once in a while.
//
// # Lifecycle
//
// New makes a Server; Close ends what it has under way, and waits for it. Listeners are the caller's, and closed by Close.
//
// # Concurrency
//
// Everything may be called by anybody. net/http has a goroutine for each connection, ServeTLS as well; a request has none of its own.
// Body and Responder of an event are used by at most one reader and one writer at a time, and ended by anybody.
//
// # Failure
//
// A failure before the response begins is a page {"code", "message", "hint"} with a status by its class; one after it aborts the
// connection, so that no client takes half a response for a whole one. Headers of guests are parsed strictly, and a response
// with one that cannot be is refused.
//
// # Limits
//
// See [Limits]. Buffers are bounded by the size of a query (handlers), by MaxSigned (replies that are collected to be signed, of
// which no more than Limits.CollectBytes are held at once) and by 32 KiB otherwise. Bodies that are taken whole share Limits.BodyBytes.
package ingress
