package ledger

import (
	"slices"
	"sync"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/computation"
	"github.com/troupehost/troupe/chainbridge/ledger/compute"
	"github.com/troupehost/troupe/chainbridge/ledger/governance"
	"github.com/troupehost/troupe/chainbridge/ledger/market"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

// Pallets returns all pallets, in the order in which they begin a block, and end it, and have their genesis.
func Pallets() []pallet.Pallet {
	return slices.Concat(
		accounts.Pallets(),
		[]pallet.Pallet{governance.Pallet(), registry.Pallet()},
		computation.Pallets(),
		compute.Pallets(),
		[]pallet.Pallet{market.Pallet(market.Deps{Heartbeat: heartbeat})},
	)
}

// heartbeat has what the market learns of a worker taken for the answer to its challenge.
func heartbeat(c *pallet.Context, worker pallet.Account, iterations, at uint64) (market.Beat, error) {
	b, err := computation.Heartbeat(c, worker, iterations, at)
	return market.Beat(b), err
}

// standard is made once: the tables of calls never change.
var standard = sync.OnceValue(func() *Runtime { return NewRuntime(Pallets()...) })
