// Package fake is a scripted chain for tests: it forks, stalls, forgets, lies and falls silent when it is told to.
//
// Purpose: [Chain] implements chain.Port, and counts how often each wish took effect, so that a test can assert that it was once.
//
// Lifecycle: [New] makes a chain of no blocks, [Chain.Mine] each further one. Nothing to close.
//
// Concurrency: everything may be called from any goroutine. Nothing in it has a goroutine, a clock or chance of its own: time comes
// from Config.Now, so it is the same in a test with virtual time, and a simulation without goroutines steps it with [Chain.Next].
//
// Failure: what a method of the port returns is scripted by [Chain.Set]. A call that hangs ends with its context.
//
// Limits: all blocks stay in memory. Calls are those of the pallet "Fake": effect, with the arguments key, fail and times.
package fake
