package fixed

import (
	"math"
	"math/bits"
)

// U64F64 is a number from 0 to almost 2^64, in steps of 2^-64.
type U64F64 struct {
	Int  uint64 // what is before the point
	Frac uint64 // what is behind it, in units of 2^-64
}

// Max is the largest number.
var Max = U64F64{math.MaxUint64, math.MaxUint64}

// One is 1.
var One = U64F64{Int: 1}

// FromInt returns n.
func FromInt(n uint64) U64F64 { return U64F64{Int: n} }

// FromBits returns the number of lo and hi as one integer of 128 bits, in units of 2^-64.
func FromBits(lo, hi uint64) U64F64 { return U64F64{hi, lo} }

// Bits returns what FromBits takes.
func (a U64F64) Bits() (lo, hi uint64) { return a.Frac, a.Int }

// FromUnits returns n/unit, cut off, or Max. n is an integer of 128 bits; unit must not be 0.
func FromUnits(lo, hi, unit uint64) U64F64 {
	q2, r := hi/unit, hi%unit
	q1, r := bits.Div64(r, lo, unit)
	q0, _ := bits.Div64(r, 0, unit)
	if q2 != 0 {
		return Max
	}
	return U64F64{q1, q0}
}

// Units returns the number times unit, cut off: the integer of 128 bits that is never too large.
func (a U64F64) Units(unit uint64) (lo, hi uint64) {
	carried, _ := bits.Mul64(a.Frac, unit)
	hi, lo = bits.Mul64(a.Int, unit)
	lo, carry := bits.Add64(lo, carried, 0)
	return lo, hi + carry
}

// IsZero says whether it is 0.
func (a U64F64) IsZero() bool { return a == U64F64{} }

// Cmp is below, equal to or above 0 as a is to b.
func (a U64F64) Cmp(b U64F64) int {
	switch {
	case a == b:
		return 0
	case a.Int < b.Int, a.Int == b.Int && a.Frac < b.Frac:
		return -1
	}
	return 1
}

// Min returns the smaller one.
func (a U64F64) Min(b U64F64) U64F64 {
	if a.Cmp(b) > 0 {
		return b
	}
	return a
}

// Add returns the sum, and whether there is one.
func (a U64F64) Add(b U64F64) (U64F64, bool) {
	lo, carry := bits.Add64(a.Frac, b.Frac, 0)
	hi, carry := bits.Add64(a.Int, b.Int, carry)
	return U64F64{hi, lo}, carry == 0
}

// Sub returns the difference, and whether there is one.
func (a U64F64) Sub(b U64F64) (U64F64, bool) {
	lo, borrow := bits.Sub64(a.Frac, b.Frac, 0)
	hi, borrow := bits.Sub64(a.Int, b.Int, borrow)
	return U64F64{hi, lo}, borrow == 0
}

// Mul returns the product, cut off, and whether there is one.
func (a U64F64) Mul(b U64F64) (U64F64, bool) {
	over, whole := bits.Mul64(a.Int, b.Int)
	frac, _ := bits.Mul64(a.Frac, b.Frac)
	x1, x0 := bits.Mul64(a.Int, b.Frac)
	y1, y0 := bits.Mul64(a.Frac, b.Int)
	frac, c := bits.Add64(frac, x0, 0)
	whole, c = bits.Add64(whole, x1, c)
	over += c
	frac, c = bits.Add64(frac, y0, 0)
	whole, c = bits.Add64(whole, y1, c)
	over += c
	return U64F64{whole, frac}, over == 0
}

// Div returns the quotient, cut off, and whether there is one: b is not 0, and the quotient is not too large.
func (a U64F64) Div(b U64F64) (U64F64, bool) {
	if b.IsZero() {
		return U64F64{}, false
	}
	if b.Int == 0 { // the divisor has 64 bits
		q2, r := a.Int/b.Frac, a.Int%b.Frac
		q1, r := bits.Div64(r, a.Frac, b.Frac)
		q0, _ := bits.Div64(r, 0, b.Frac)
		return U64F64{q1, q0}, q2 == 0
	}
	if b.Frac == 0 { // it is an integer, as most are
		q1, r := a.Int/b.Int, a.Int%b.Int
		q0, _ := bits.Div64(r, a.Frac, b.Int)
		return U64F64{q1, q0}, true
	}
	// Long division of three digits, and a fourth of the shift, by two.
	s := uint(bits.LeadingZeros64(b.Int))
	d1, d0 := b.Int<<s|b.Frac>>1>>(63-s), b.Frac<<s
	n3, n2, n1 := a.Int>>1>>(63-s), a.Int<<s|a.Frac>>1>>(63-s), a.Frac<<s
	q1, n2, n1 := step(n3, n2, n1, d1, d0)
	q0, _, _ := step(n2, n1, 0, d1, d0)
	return U64F64{q1, q0}, true
}

// step divides three digits by two, of which the first has its highest bit set and is above what comes before the three. It returns
// the digit of the quotient and the rest.
func step(n2, n1, n0, d1, d0 uint64) (q, r1, r0 uint64) {
	q = math.MaxUint64
	if n2 < d1 {
		q, _ = bits.Div64(n2, n1, d1)
	}
	for { // q is too large by 2 at most
		h, l := bits.Mul64(q, d0)
		p2, p1 := bits.Mul64(q, d1)
		p1, c := bits.Add64(p1, h, 0)
		p2 += c
		var b uint64
		r0, b = bits.Sub64(n0, l, 0)
		r1, b = bits.Sub64(n1, p1, b)
		if _, b = bits.Sub64(n2, p2, b); b == 0 {
			return q, r1, r0
		}
		q--
	}
}

// Plus returns the sum, or Max.
func (a U64F64) Plus(b U64F64) U64F64 {
	if sum, ok := a.Add(b); ok {
		return sum
	}
	return Max
}

// Minus returns the difference, or 0.
func (a U64F64) Minus(b U64F64) U64F64 {
	if d, ok := a.Sub(b); ok {
		return d
	}
	return U64F64{}
}

// Times returns the product, or Max.
func (a U64F64) Times(b U64F64) U64F64 {
	if p, ok := a.Mul(b); ok {
		return p
	}
	return Max
}

// Over returns the quotient, or Max. That of 0 by 0 is Max, too.
func (a U64F64) Over(b U64F64) U64F64 {
	if q, ok := a.Div(b); ok {
		return q
	}
	return Max
}

// Sqrt returns the root, cut off at 32 bits behind the point: it is the integer root of the bits, as the original takes it.
func (a U64F64) Sqrt() U64F64 {
	if a.IsZero() {
		return a
	}
	// The root of a number that is shifted up by an even number of bits is the root shifted up by half of it.
	s := uint(bits.LeadingZeros64(a.Int))
	if a.Int == 0 {
		s = 64 + uint(bits.LeadingZeros64(a.Frac))
	}
	s &^= 1
	hi, lo := a.Int<<s|a.Frac>>(64-s), a.Frac<<s
	if s >= 64 {
		hi, lo = a.Frac<<(s-64), 0
	}
	r := root(hi, lo) >> (s / 2)
	return U64F64{r >> 32, r << 32}
}

// root returns the integer root of a number of 127 or 128 bits: Newton's method, from above.
func root(hi, lo uint64) uint64 {
	if hi >= math.MaxUint64-1 { // where quotients would not fit
		if hi == math.MaxUint64-1 && lo == 0 {
			return hi
		}
		return math.MaxUint64
	}
	for r := uint64(math.MaxUint64); ; {
		q, _ := bits.Div64(hi, lo, r)
		if q >= r {
			return r
		}
		r = q + (r-q)/2
	}
}
