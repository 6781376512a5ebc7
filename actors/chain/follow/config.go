package follow

import (
	"time"

	"github.com/troupehost/troupe/actors/chain"
)

// Limits and names of the follower. The zero value of a field means its default.
type Limits struct {
	// Worker is the worker's public key. No default.
	Worker chain.Hash
	// NodeID is the name of this node among the miners. Default: Worker in hex digits.
	NodeID string
	// MaxApps is how many apps tickets may have here, beside the benchmark app. Default 128.
	MaxApps int
	// Ahead is how many more are fetched and announced. Default 32.
	Ahead int
	// MaxTickets is how many tickets are known at a time. Default 100,000.
	MaxTickets int
	// Images says that the agent takes manifests, which are fetched for it. Default false: it fetches images itself.
	Images bool
	// NoRequests leaves compute requests alone: there is no agent. Default false.
	NoRequests bool
	// HypervisorIP is where what the agent runs answers. Default: the address that was assigned.
	HypervisorIP string
	// RetryMin and RetryMax bound the back-off. Default 5 s, doubling to 5 min.
	RetryMin, RetryMax time.Duration
	// Relist is how often the host's apps are listed. Default 15 s.
	Relist time.Duration
	// Poll is how often a job is asked for its status. Default 2 s, growing to 30 s.
	Poll time.Duration
	// AnyGenesis follows a chain with another genesis than before, and forgets what was kept of the one before. Default false.
	AnyGenesis bool
}

// MaxClaims is how many tickets of one app a report may name.
const MaxClaims = 3

const (
	refusedFor   = time.Hour // what a guest did wrong is not tried again for so long
	maxPoll      = 30 * time.Second
	maxActs      = 32 // under way for apps, and as many for requests
	maxReads     = 8  // under way
	pageTickets  = 100
	maxRecent    = 1024 // blocks that are not final
	saveEvery    = 10 * time.Second
	chainRetry   = time.Second // doubles to maxChainWait
	maxChainWait = 30 * time.Second
	dust         = 1 // a ticket that has no more than what its account must keep pays nothing
)

func (l Limits) withDefaults() Limits {
	settle(&l.NodeID, l.Worker.String())
	settle(&l.MaxApps, 128)
	settle(&l.Ahead, 32)
	settle(&l.MaxTickets, 100_000)
	settle(&l.RetryMin, 5*time.Second)
	settle(&l.RetryMax, 5*time.Minute)
	settle(&l.Relist, 15*time.Second)
	settle(&l.Poll, 2*time.Second)
	return l
}

func settle[T comparable](field *T, byDefault T) {
	var zero T
	if *field == zero {
		*field = byDefault
	}
}
