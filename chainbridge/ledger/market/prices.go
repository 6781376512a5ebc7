package market

import (
	"bytes"
	"math/bits"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Prices are what is paid for use. Nil asks for nothing.
type Prices struct {
	GeneralFeePerSecond *pallet.Balance `json:"general_fee_per_second"` // of running time
	Gas                 *pallet.Balance `json:"gas_price"`
	NetIngress          *pallet.Balance `json:"net_ingress_price"` // byte
	NetEgress           *pallet.Balance `json:"net_egress_price"`
	StorageRead         *pallet.Balance `json:"storage_read_price"`
	StorageWrite        *pallet.Balance `json:"storage_write_price"`
	Storage             *pallet.Balance `json:"storage_price"` // MB·s
	Memory              *pallet.Balance `json:"memory_price"`  // KB·s
	Tip                 *pallet.Balance `json:"tip_price"`
}

// What the metrics of package meter, which count milliseconds and byte-milliseconds, are divided by.
const (
	second    = 1000
	mbSecond  = 1_000_000 * second
	kbSeconds = 1_000 * second
)

// Cost returns what is paid for all of the metrics. What makes no whole unit of a price is free until it does. It saturates.
func (p Prices) Cost(m meter.Metrics) (sum pallet.Balance) {
	for _, row := range [...]struct {
		price *pallet.Balance
		units pallet.Balance
	}{
		{p.GeneralFeePerSecond, pallet.Units(m.RunningTimeMS / second)},
		{p.Gas, pallet.Units(m.Gas)},
		{p.NetIngress, pallet.Units(m.NetworkIngress)},
		{p.NetEgress, pallet.Units(m.NetworkEgress)},
		{p.StorageRead, pallet.Units(m.StorageRead)},
		{p.StorageWrite, pallet.Units(m.StorageWrite)},
		{p.Storage, divide(m.StorageUsed, mbSecond)},
		{p.Memory, divide(m.MemoryUsed, kbSeconds)},
		{p.Tip, pallet.Units(m.Tip)},
	} {
		if row.price != nil {
			sum = sum.Plus(row.price.Times(row.units))
		}
	}
	return sum
}

// divide drops the fraction.
func divide(n pallet.Balance, by uint64) pallet.Balance {
	lo, _ := bits.Div64(n.Hi%by, n.Lo, by)
	return pallet.Balance{Hi: n.Hi / by, Lo: lo}
}

// share returns the part of n that falls to the one of so many at a place: the first ones get what cannot be split.
func share(n pallet.Balance, place, of int) pallet.Balance {
	_, rest := bits.Div64(n.Hi%uint64(of), n.Lo, uint64(of))
	part := divide(n, uint64(of))
	if uint64(place) < rest {
		part = part.Plus(pallet.Units(1))
	}
	return part
}

// or returns the prices, and of others those that are not set.
func (p Prices) or(others Prices) Prices {
	mine, theirs := p.each(), others.each()
	for i := range mine {
		if *mine[i] == nil {
			*mine[i] = *theirs[i]
		}
	}
	return p
}

func (p *Prices) each() []**pallet.Balance {
	return []**pallet.Balance{&p.GeneralFeePerSecond, &p.Gas, &p.NetIngress, &p.NetEgress, &p.StorageRead, &p.StorageWrite, &p.Storage, &p.Memory, &p.Tip}
}

func (p Prices) empty() bool { return p == Prices{} }

func (p Prices) equal(o Prices) bool { return bytes.Equal(scale.Marshal(p), scale.Marshal(o)) }
