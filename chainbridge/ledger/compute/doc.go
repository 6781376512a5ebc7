// Package compute is Hippius' compute side as pallets of the ledger: who asks for compute, who gives it, and what it costs.
//
// Purpose: [Pallets] are Compute and the pallets that it needs. Their calls, storage, events and errors have the names, indices and
// encodings of the original; what this chain adds comes behind them. The parts:
//
//	requests  Compute: requests, miners' records, placement
//	ip        PalletIp: addresses
//	nodes     Registration, ExecutionUnit: nodes and their metrics
//	plans     Marketplace: plans, subscriptions, charges
//	credits   Credits, SubAccount: what accounts may spend, and who acts for them
//
// Lifecycle: as the ledger's.
//
// Concurrency: as the ledger's.
//
// Failure: see the parts.
//
// Limits: see the parts. No call and no block walks through more than what is bounded there.
package compute

import (
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/ip"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/plans"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Pallets returns the pallets, in the order in which they begin a block, and end it, and have their genesis: nodes that are gone first,
// then requests, then what they cost.
func Pallets() []pallet.Pallet {
	return []pallet.Pallet{
		credits.Credits(), credits.SubAccount(), nodes.Registration(), nodes.ExecutionUnit(), ip.Pallet(), requests.Pallet(), plans.Pallet(),
	}
}
