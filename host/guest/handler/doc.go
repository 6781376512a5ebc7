// Package handler makes a Go program an app whose state is fresh for each request.
//
// # Purpose
//
// A program sets Query, HTTP or both in an init function and is built with -buildmode=c-shared, which makes a module that the host
// initialises and then calls for one request. Its main is never called.
//
// # Lifecycle
//
// init functions run before each request. With init_once or deterministic in the manifest they run once for many requests, each of
// which begins with what they made; they see a fixed clock and fixed random bytes then, and must ask the host for nothing else.
// Their gas is counted at each request all the same.
//
// # Concurrency
//
// One request at a time. Goroutines that are left behind do not go on.
//
// # Failure
//
// An error of Query is written to the log and ends the run, as a panic does: the caller is told that the guest trapped.
//
// # Limits
//
// Request and response are in memory as a whole.
package handler
