package cache

import "github.com/troupehost/troupe/actors/fault"

// Observer is told what the cache does. It must not block, and may be called from several goroutines at once.
type Observer interface {
	// Asked says that a request got a verdict; hit: it waited for no preparation.
	Asked(k Kind, hit bool)
	// Answered says that a request was answered; nil is ok.
	Answered(k Kind, f *fault.Error)
	// Removed says that n artifacts are gone from the cache, and what they took on disk. Why: age, size, operator; unstored:
	// too many were in memory only; rejected: no worker could load it; corrupt: its bytes on disk are bad; failures: too many
	// failures were remembered.
	Removed(reason string, n int, bytes int64)
	// Retried says that a run is repeated, or prepared anew, since f is not believed.
	Retried(f *fault.Error)
	// Quarantined says that a code is refused from now on.
	Quarantined()
}
