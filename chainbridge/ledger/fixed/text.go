package fixed

import (
	"math/big"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

const (
	maxIntDigits  = 20
	maxFracDigits = 40
)

// Parse reads decimal digits, with a point among them or not, and rounds to the nearest number.
//
// # Errors
//
// caller.invalid_request.
func Parse(s string) (U64F64, error) {
	whole, frac, point := strings.Cut(s, ".")
	digits := whole + frac
	if whole == "" || point && frac == "" || len(whole) > maxIntDigits || len(frac) > maxFracDigits || strings.Trim(digits, "0123456789") != "" {
		return U64F64{}, notANumber(s)
	}
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return U64F64{}, notANumber(s)
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(frac))), nil)
	rest := new(big.Int)
	n.QuoRem(n.Lsh(n, 64), unit, rest)
	if rest.Lsh(rest, 1).Cmp(unit) > 0 { // what lies in the middle of two numbers has more digits than are taken
		n.Add(n, big.NewInt(1))
	}
	if n.BitLen() > 128 {
		return U64F64{}, notANumber(s)
	}
	var b [16]byte
	n.FillBytes(b[:])
	d := U64F64{}
	for i := range 8 {
		d.Int, d.Frac = d.Int<<8|uint64(b[i]), d.Frac<<8|uint64(b[8+i])
	}
	return d, nil
}

func notANumber(s string) error {
	return fault.New(fault.CallerInvalid, "number", fault.Quote(s), nil).WithHint("it has decimal digits and at most one point, and is below 2^64")
}

// String returns as few decimal digits as Parse needs to find the number again.
func (a U64F64) String() string {
	s := new(big.Int).SetUint64(a.Int).String()
	if a.Frac == 0 {
		return s
	}
	// All in units of 2^-65: what is left of the number, and half a step of it, each multiplied by 10 with each digit.
	left := new(big.Int).SetUint64(a.Frac)
	left.Lsh(left, 1)
	half, ten := big.NewInt(1), big.NewInt(10)
	one := new(big.Int).Lsh(half, 65)
	out := append([]byte(s), '.')
	for digit, up := new(big.Int), new(big.Int); ; {
		left.Mul(left, ten)
		half.Mul(half, ten)
		digit.Rsh(left, 65)
		left.Sub(left, up.Lsh(digit, 65))
		c := '0' + byte(digit.Uint64())
		up.Sub(one, left)
		low, high := left.Cmp(half) < 0, up.Cmp(half) < 0
		if high && (!low || up.Cmp(left) <= 0) {
			c++ // never above 9: an earlier digit would have been the last
		}
		out = append(out, c)
		if low || high {
			return string(out)
		}
	}
}

// MarshalText is String, so that no reader of JSON rounds it.
func (a U64F64) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is Parse.
func (a *U64F64) UnmarshalText(b []byte) (err error) {
	*a, err = Parse(string(b))
	return err
}

// EncodeScale appends the bits as an integer of 128 bits.
func (a *U64F64) EncodeScale(e *scale.Encoder) { e.U128(a.Frac, a.Int) }

// DecodeScale reads the bits.
func (a *U64F64) DecodeScale(d *scale.Decoder) { a.Frac, a.Int = d.U128() }
