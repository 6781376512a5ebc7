// Package bundletest makes a host in trouble for tests: one of everything that consoles show.
//
// Purpose: [Rich] is a bundle with a guest that spins, jobs that wait, a preparation that failed, an actor that is wedged,
// dead letters, apps, a chain, and names that are hostile. bundle.Host serves it as a host.
//
// Lifecycle, Concurrency: values only; two calls share nothing.
//
// Failure: none. Limits: none; it holds as many actors as are asked for.
package bundletest
