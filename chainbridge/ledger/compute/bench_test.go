package compute_test

import (
	"fmt"
	"testing"

	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// BenchmarkEmptyBlock is what the compute pallets cost a block in which nothing happens: with no nodes, and with as many as there may be,
// none of which suits the requests that wait.
func BenchmarkEmptyBlock(b *testing.B) {
	for _, n := range []int{0, nodes.MaxNodes} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			c := market(b)
			for i := range n {
				c.do(root, &nodes.ForceRegisterColdkeyNode{Owner: miner1, NodeType: nodes.ComputeMiner, NodeID: fmt.Sprintf("%064d", i)})
			}
			for i := range 100 {
				if _, err := requests.Create(c.context(root), pallet.Account{byte(i), 0xbb}, plan1, description, requests.ImageMetadata{}, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
			c.next(1)
			for b.Loop() {
				for _, p := range c.pallets {
					if p.Begin != nil {
						if err := p.Begin(c.context(pallet.Origin{})); err != nil {
							b.Fatal(err)
						}
					}
					if p.End != nil {
						if err := p.End(c.context(pallet.Origin{})); err != nil {
							b.Fatal(err)
						}
					}
				}
				c.height = c.height%400 + 1
			}
		})
	}
}
