package ledger

import (
	"fmt"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// VerifyState walks through a whole state and finds out whether it is what its app hash commits to.
//
// # Errors
//
// host.chain_corrupt, and those of the Source.
func VerifyState(src state.Source) (Head, error) {
	h, err := readHead(src)
	if err != nil {
		return Head{}, err
	}
	sum, err := state.Count(src)
	if err != nil {
		return Head{}, err
	}
	if *sum != *h.sum {
		is := sum.Sum()
		return Head{}, fault.New(fault.HostChainCorrupt, "verify state", fmt.Sprintf("block %d", h.Height),
			fmt.Errorf("its hash is %x, and %s is what the chain says", is, h.AppHash))
	}
	return h.Head, nil
}
