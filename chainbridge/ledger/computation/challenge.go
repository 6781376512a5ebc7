package computation

import (
	"bytes"
	"math/big"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// U256 is a number of 256 bits, the highest first. In JSON it is a text of decimal digits.
type U256 [32]byte

// MarshalText returns the decimal digits.
func (n U256) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

func (n U256) String() string { return new(big.Int).SetBytes(n[:]).String() }

// maxTarget is hit by everybody.
var maxTarget = U256(bytes.Repeat([]byte{0xff}, 32))

// Target returns what a challenge is to be below so that about wanted of the workers are hit by each, and none of them more than
// twice in an hour.
func Target(wanted, workers, blockSeconds uint32) (t U256) {
	if workers == 0 {
		return t
	}
	// The original reckons in steps of 2^-32.
	blocks := uint64(max(3600/max(blockSeconds, 1), 1)) // in an hour
	most := uint64(workers) << 33 / blocks
	if workers >= 1<<31 {
		most = 1 << 63 // more than any wanted
	}
	part := min(uint64(wanted)<<32, most) / uint64(workers)
	frac := new(big.Int).SetUint64(min(part>>8, 1<<24)) // in steps of 2^-24
	steps := new(big.Int).Lsh(big.NewInt(1), 256-24)
	frac.Mul(frac, steps.Sub(steps, big.NewInt(1))).FillBytes(t[:])
	return t
}

// seed returns that of a block. There is no randomness that a sequencer could not foresee; it is as good as the time of the block.
func seed(c *pallet.Context) U256 {
	var e scale.Encoder
	e.Raw(c.Genesis[:])
	e.U64(c.Height)
	e.U64(c.Time)
	return blake2b.Sum256(e.Encoded())
}

// Challenged says whether a worker has to answer a challenge.
func Challenged(worker pallet.Account, seed, target U256) bool {
	return hit(blake2b.Sum256(worker[:]), seed, target)
}

func hit(hash pallet.Hash, seed, target U256) bool {
	for i := range hash {
		if x := hash[i] ^ seed[i]; x != target[i] {
			return x < target[i]
		}
	}
	return true
}
