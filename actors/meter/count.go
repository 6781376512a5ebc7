package meter

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

// GasUnit is how much gas of Use.Gas makes one of Metrics.Gas.
const GasUnit = 1 << gasBits

const gasBits = 10

// Add adds what was used. rest is kept beside the metrics, begins as 0, and holds what makes no whole unit yet: gas in its lower
// 10 bits, and above them running time in nanoseconds, less than a millisecond.
func (m *Metrics) Add(u Use, rest *uint64) {
	gas, carry := bits.Add64(u.Gas, *rest&(GasUnit-1), 0)
	m.Gas = plus(m.Gas, gas>>gasBits|carry<<(64-gasBits))

	running := plus(uint64(max(u.Running, 0)), *rest>>gasBits)
	m.RunningTimeMS = plus(m.RunningTimeMS, running/uint64(time.Millisecond))
	*rest = gas&(GasUnit-1) | running%uint64(time.Millisecond)<<gasBits

	m.NetworkIngress = plus(m.NetworkIngress, u.Ingress)
	m.NetworkEgress = plus(m.NetworkEgress, u.Egress)
	m.StorageRead = plus(m.StorageRead, u.StorageRead)
	m.StorageWrite = plus(m.StorageWrite, u.StorageWrite)
	m.StorageUsed = m.StorageUsed.Plus(u.StorageUsed)
	m.MemoryUsed = m.MemoryUsed.Plus(u.MemoryUsed)
	m.Tip = plus(m.Tip, u.Tip)
	m.Starts = plus(m.Starts, u.Starts)
}

// Merge adds v, so that one Add stands for both.
func (u *Use) Merge(v Use) {
	u.Running = time.Duration(min(plus(uint64(max(u.Running, 0)), uint64(max(v.Running, 0))), math.MaxInt64))
	u.Gas = plus(u.Gas, v.Gas)
	u.Ingress = plus(u.Ingress, v.Ingress)
	u.Egress = plus(u.Egress, v.Egress)
	u.StorageRead = plus(u.StorageRead, v.StorageRead)
	u.StorageWrite = plus(u.StorageWrite, v.StorageWrite)
	u.StorageUsed = u.StorageUsed.Plus(v.StorageUsed)
	u.MemoryUsed = u.MemoryUsed.Plus(v.MemoryUsed)
	u.Tip = plus(u.Tip, v.Tip)
	u.Starts = plus(u.Starts, v.Starts)
}

// plus saturates.
func plus(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return sum
}

// Plus returns the sum, or the largest number if there is none.
func (n Uint128) Plus(o Uint128) Uint128 {
	lo, carry := bits.Add64(n.Lo, o.Lo, 0)
	hi, carry := bits.Add64(n.Hi, o.Hi, carry)
	if carry != 0 {
		return Uint128{math.MaxUint64, math.MaxUint64}
	}
	return Uint128{lo, hi}
}

// Cmp is below, equal to or above 0 as n is to o.
func (n Uint128) Cmp(o Uint128) int {
	switch {
	case n == o:
		return 0
	case n.Hi < o.Hi, n.Hi == o.Hi && n.Lo < o.Lo:
		return -1
	}
	return 1
}

// Minus returns the difference, and whether there is one.
func (n Uint128) Minus(o Uint128) (Uint128, bool) {
	lo, borrow := bits.Sub64(n.Lo, o.Lo, 0)
	hi, borrow := bits.Sub64(n.Hi, o.Hi, borrow)
	if borrow != 0 {
		return Uint128{}, false
	}
	return Uint128{lo, hi}, true
}

// Times returns the product, or the largest number if there is none.
func (n Uint128) Times(o Uint128) Uint128 {
	over := Uint128{math.MaxUint64, math.MaxUint64}
	if n.Hi != 0 && o.Hi != 0 {
		return over
	}
	hi, lo := bits.Mul64(n.Lo, o.Lo)
	for _, cross := range [2][2]uint64{{n.Hi, o.Lo}, {n.Lo, o.Hi}} {
		high, low := bits.Mul64(cross[0], cross[1])
		sum, carry := bits.Add64(hi, low, 0)
		if high != 0 || carry != 0 {
			return over
		}
		hi = sum
	}
	return Uint128{lo, hi}
}

// Over returns the quotient without its fraction. The divisor must not be 0.
func (n Uint128) Over(o Uint128) Uint128 {
	q := n.big()
	return fromBig(q.Quo(q, o.big()))
}

// IsZero says whether it is 0.
func (n Uint128) IsZero() bool { return n == Uint128{} }

func (n Uint128) big() *big.Int {
	v := new(big.Int).SetUint64(n.Hi)
	return v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(n.Lo))
}

func fromBig(v *big.Int) Uint128 {
	var b [16]byte
	v.FillBytes(b[:])
	return Uint128{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:8])}
}

// String returns the decimal digits.
func (n Uint128) String() string { return n.big().String() }

// MarshalText is String, so that no reader of JSON rounds it.
func (n Uint128) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads decimal digits.
func (n *Uint128) UnmarshalText(b []byte) error {
	v, ok := new(big.Int).SetString(string(b), 10)
	if !ok || v.Sign() < 0 || v.BitLen() > 128 || len(b) > 39 || b[0] == '+' {
		return fault.New(fault.CallerInvalid, "number", fault.Quote(string(b)), nil).WithHint("it has decimal digits only, and is below 2^128")
	}
	*n = fromBig(v)
	return nil
}

// EncodeScale appends the 16 bytes.
func (n *Uint128) EncodeScale(e *scale.Encoder) { e.U128(n.Lo, n.Hi) }

// DecodeScale reads the 16 bytes.
func (n *Uint128) DecodeScale(d *scale.Decoder) { n.Lo, n.Hi = d.U128() }

// ByteTime returns how much it is to hold so many bytes for so long, in byte-milliseconds; what makes no whole one is dropped.
// So who counts in steps counts from times that are whole milliseconds.
func ByteTime(bytes uint64, d time.Duration) Uint128 {
	hi, lo := bits.Mul64(bytes, uint64(max(d, 0)))
	const unit = uint64(time.Millisecond)
	q, r := hi/unit, hi%unit
	lo, _ = bits.Div64(r, lo, unit)
	return Uint128{lo, q}
}
