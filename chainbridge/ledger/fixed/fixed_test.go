package fixed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

func num(t testing.TB, s string) U64F64 {
	t.Helper()
	a, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func bigOf(a U64F64) *big.Int {
	n := new(big.Int).SetUint64(a.Int)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(a.Frac))
}

// some returns numbers of all sizes, with many zeros and ones among their bits.
func some(r *rand.Rand) U64F64 {
	part := func() uint64 {
		switch r.IntN(6) {
		case 0:
			return 0
		case 1:
			return ^uint64(0)
		case 2:
			return 1 << r.IntN(64)
		case 3:
			return ^uint64(0) >> r.IntN(64)
		}
		return r.Uint64() >> r.IntN(64)
	}
	return U64F64{part(), part()}
}

// Each operation against integers of any size.
func TestArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	top := new(big.Int).Lsh(big.NewInt(1), 128)
	check := func(op string, a, b, got U64F64, ok bool, saturated U64F64, want *big.Int) {
		t.Helper()
		fits := want != nil && want.Sign() >= 0 && want.Cmp(top) < 0
		if ok != fits || fits && bigOf(got).Cmp(want) != 0 || fits && got != saturated {
			t.Fatalf("%s of %v and %v is %v, %v, want %v", op, a, b, got, ok, want)
		}
		if edge := (U64F64{}); !fits && saturated != Max && (op != "Sub" || saturated != edge) {
			t.Fatalf("%s of %v and %v saturates at %v", op, a, b, saturated)
		}
	}
	for range 300_000 {
		a, b := some(r), some(r)
		x, y := bigOf(a), bigOf(b)
		sum, ok := a.Add(b)
		check("Add", a, b, sum, ok, a.Plus(b), new(big.Int).Add(x, y))
		diff, ok := a.Sub(b)
		check("Sub", a, b, diff, ok, a.Minus(b), new(big.Int).Sub(x, y))
		product := new(big.Int).Mul(x, y)
		p, ok := a.Mul(b)
		check("Mul", a, b, p, ok, a.Times(b), product.Rsh(product, 64))
		var quotient *big.Int
		if !b.IsZero() {
			quotient = new(big.Int).Lsh(x, 64)
			quotient.Quo(quotient, y)
		}
		q, ok := a.Div(b)
		check("Div", a, b, q, ok, a.Over(b), quotient)
		root := new(big.Int).Sqrt(x)
		if s := a.Sqrt(); bigOf(s).Cmp(root.Lsh(root, 32)) != 0 {
			t.Fatalf("the root of %v is %v", a, s)
		}
		if a.Cmp(b) != x.Cmp(y) || bigOf(a.Min(b)).Cmp(x) > 0 || bigOf(a.Min(b)).Cmp(y) > 0 {
			t.Fatalf("%v and %v compare as %d", a, b, a.Cmp(b))
		}
		if unit := b.Frac | 1; true {
			lo, hi := a.Units(unit)
			n := new(big.Int).Mul(x, new(big.Int).SetUint64(unit))
			if bigOf(FromBits(lo, hi)).Cmp(n.Rsh(n, 64)) != 0 {
				t.Fatalf("%v of %d units is %x %x", a, unit, hi, lo)
			}
			back := FromUnits(lo, hi, unit)
			if n.Lsh(n, 64).Quo(n, new(big.Int).SetUint64(unit)); n.Cmp(top) < 0 && bigOf(back).Cmp(n) != 0 {
				t.Fatalf("%x %x of %d units is %v", hi, lo, unit, back)
			}
		}
	}
	if FromUnits(0, 7, 7) != Max {
		t.Error("a number of 2^64")
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "1": "1", "007.50": "7.5", "18446744073709551615": "18446744073709551615", "0.1": "0.1", "1.000000666600231": "1.000000666600231",
		"2999.9999999999999999729": "2999.9999999999999999729", "100.00055963912991258423": "100.00055963912991258423",
		"0.00000000000000000005":                    "0.00000000000000000005", // the smallest step is 5.4e-20
		"0.00000000000000000002":                    "0",
		"0.99999999999999999999":                    "1",
		"18446744073709551615.99999999999999999995": "18446744073709551615.99999999999999999995",
	} {
		if got := num(t, in).String(); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	for _, bad := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", " 1", "1.2.3", "0x1", "18446744073709551616", "٣",
		"18446744073709551615.99999999999999999999", strings.Repeat("0", 21), "0." + strings.Repeat("0", 41)} {
		if _, err := Parse(bad); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		a := some(r)
		s := a.String()
		if num(t, s) != a {
			t.Fatalf("%s is another number than %x %x", s, a.Int, a.Frac)
		}
		if _, frac, ok := strings.Cut(s, "."); ok && len(frac) > 1 { // no shorter text would do
			cut := num(t, s[:len(s)-1])
			if up, _ := cut.Add(num(t, "0."+strings.Repeat("0", len(frac)-2)+"1")); cut == a || up == a {
				t.Fatalf("%s is too long", s)
			}
		}
	}
}

// Text is rounded to the nearest.
func TestParseRounds(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	step := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 64))
	for range 20_000 {
		s := big.NewInt(int64(r.Uint32())).String() + "." + big.NewInt(r.Int64()).String()
		got := new(big.Rat).Mul(new(big.Rat).SetInt(bigOf(num(t, s))), step)
		want, _ := new(big.Rat).SetString(s)
		off := got.Sub(got, want)
		if off.Abs(off).Mul(off, big.NewRat(2, 1)).Cmp(step) > 0 {
			t.Fatalf("%s is off by %v", s, off)
		}
	}
	if a := num(t, "0.5"); a != (U64F64{Frac: 1 << 63}) {
		t.Error(a)
	}
}

func TestCodecs(t *testing.T) {
	type record struct {
		A U64F64 `json:"a"`
		B *U64F64
	}
	v := record{A: U64F64{3, 1 << 63}}
	if b := scale.Marshal(v); len(b) != 17 || binary.LittleEndian.Uint64(b) != 1<<63 || binary.LittleEndian.Uint64(b[8:]) != 3 {
		t.Errorf("%x", b)
	}
	var back record
	if err := scale.Unmarshal(scale.Marshal(v), &back); err != nil || back != v {
		t.Error(back, err)
	}
	text, err := json.Marshal(v)
	if err != nil || string(text) != `{"a":"3.5","B":null}` {
		t.Errorf("%s %v", text, err)
	}
	back = record{}
	if err := json.Unmarshal(text, &back); err != nil || back != v {
		t.Error(back, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "1.5", "18446744073709551615.9", "..", "-0", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			if !errors.Is(err, fault.CallerInvalid) {
				t.Fatal(err)
			}
			return
		}
		if b, err := Parse(a.String()); err != nil || a != b {
			t.Fatalf("%q is %v, and then %v", s, a, b)
		}
	})
}

func BenchmarkDiv(b *testing.B) {
	x, y := U64F64{12345, 678}, U64F64{3, 1 << 60}
	for b.Loop() {
		x.Div(y)
	}
}

func BenchmarkSqrt(b *testing.B) {
	x := U64F64{12345678, 678}
	for b.Loop() {
		x.Sqrt()
	}
}
