// Package chainbridge chooses a chain by its URL.
//
// Purpose: [Open] opens the embedded chain of a directory, and [Dial] reaches one that somebody else runs. Both are a chain.Port, which
// a host takes as its Config.Chain.Port.
//
// Lifecycle: Open makes a genesis document and an account that owns everything, if the directory is empty; Close ends what Open or Dial
// returned.
//
// Concurrency: as a chain.Port.
//
// Failure: caller.chain_url for a URL that no adapter knows; host.chain_corrupt and host.chain_other for a directory.
//
// Limits: those of package devchain.
package chainbridge
