package meter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAdd(t *testing.T) {
	var m Metrics
	var rest uint64
	u := Use{Running: 1500 * time.Microsecond, Gas: 1500, Ingress: 1, Egress: 2, StorageRead: 3, StorageWrite: 4, StorageUsed: Uint128{Lo: 5},
		MemoryUsed: Uint128{Lo: 6}, Tip: 7, Starts: 1}
	m.Add(u, &rest)
	m.Add(u, &rest)
	want := Metrics{RunningTimeMS: 3, Gas: 2, NetworkIngress: 2, NetworkEgress: 4, StorageRead: 6, StorageWrite: 8, StorageUsed: Uint128{Lo: 10},
		MemoryUsed: Uint128{Lo: 12}, Tip: 14, Starts: 2}
	if diff := cmp.Diff(want, m); diff != "" || rest != 3000-2048 {
		t.Error(rest, diff)
	}
}

// Many short runs are as much as one long run, whether they are added one by one or merged before.
func TestNothingIsLost(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var one, merged Metrics
	var restOne, restMerged uint64
	var batch Use
	var running, gas uint64
	for i := range 10_000 {
		u := Use{Running: time.Duration(rng.Uint64N(3e6)), Gas: rng.Uint64N(3000), Tip: 1, MemoryUsed: ByteTime(rng.Uint64N(1<<40), time.Second)}
		running, gas = running+uint64(u.Running), gas+u.Gas
		one.Add(u, &restOne)
		if batch.Merge(u); i%7 == 0 {
			merged.Add(batch, &restMerged)
			batch = Use{}
		}
		if one.RunningTimeMS != running/1e6 || one.Gas != gas/GasUnit || restOne != gas%GasUnit|running%1e6<<10 {
			t.Fatalf("after %d: %d ms, %d gas, rest %d; used %d ns, %d", i, one.RunningTimeMS, one.Gas, restOne, running, gas)
		}
	}
	merged.Add(batch, &restMerged)
	if diff := cmp.Diff(one, merged); diff != "" || restOne != restMerged {
		t.Error(restOne, restMerged, diff)
	}
}

// Whatever comes, no total goes down: neither by large, nor by negative, nor by damaged numbers.
func TestTotalsNeverGoDown(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	edge := func() uint64 {
		return [...]uint64{0, 1, 1023, 1024, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 1, math.MaxUint64, rng.Uint64()}[rng.IntN(9)]
	}
	for range 2000 {
		var m Metrics
		rest := edge()
		for range 6 {
			before := m
			u := Use{Running: time.Duration(edge()), Gas: edge(), Ingress: edge(), Egress: edge(), StorageRead: edge(), StorageWrite: edge(),
				StorageUsed: Uint128{edge(), edge()}, MemoryUsed: Uint128{edge(), edge()}, Tip: edge(), Starts: edge()}
			if rng.IntN(2) == 0 {
				u.Merge(u)
			}
			m.Add(u, &rest)
			a, b := reflect.ValueOf(before), reflect.ValueOf(m)
			for i := range a.NumField() {
				var down bool
				switch v := a.Field(i).Interface().(type) {
				case uint64:
					down = b.Field(i).Uint() < v
				case Uint128:
					down = b.Field(i).Interface().(Uint128).Cmp(v) < 0
				}
				if down {
					t.Fatalf("%s: from %v to %v with %+v", a.Type().Field(i).Name, a.Field(i), b.Field(i), u)
				}
			}
			if rest>>10 >= 1e6 {
				t.Fatalf("rest %d", rest)
			}
		}
	}
	m := Metrics{Tip: math.MaxUint64 - 1}
	var rest uint64
	m.Add(Use{Tip: 7, Gas: math.MaxUint64}, &rest)
	m.Add(Use{Gas: 1}, &rest)
	if m.Tip != math.MaxUint64 || m.Gas != 1<<54 || rest != 0 {
		t.Errorf("%+v, rest %d", m, rest)
	}
}

func TestUint128(t *testing.T) {
	all := Uint128{math.MaxUint64, math.MaxUint64}
	if got := all.Plus(Uint128{Lo: 1}); got != all {
		t.Error(got)
	}
	if got := (Uint128{Lo: math.MaxUint64}).Plus(Uint128{Lo: 1}); got != (Uint128{Hi: 1}) {
		t.Error(got)
	}
	if got := fmt.Sprint(Uint128{}, Uint128{Hi: 1}, all); got != "0 18446744073709551616 340282366920938463463374607431768211455" {
		t.Error(got)
	}
	if (Uint128{1, 2}).Cmp(Uint128{2, 1}) != 1 || (Uint128{1, 2}).Cmp(Uint128{2, 2}) != -1 || all.Cmp(all) != 0 {
		t.Error("order")
	}
}

func TestByteTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 1000 {
		b, d := rng.Uint64()>>rng.IntN(64), time.Duration(rng.Int64()>>rng.IntN(63))
		if i == 0 {
			b, d = math.MaxUint64, math.MaxInt64
		}
		want := new(big.Int).SetUint64(b)
		want.Mul(want, big.NewInt(int64(d))).Div(want, big.NewInt(1e6))
		if got := ByteTime(b, d).String(); got != want.String() {
			t.Fatalf("%d bytes for %d ns: %s, want %s", b, d, got, want)
		}
	}
	if got := ByteTime(65536, time.Second); got != (Uint128{Lo: 65536000}) {
		t.Error(got)
	}
	if got := ByteTime(1, -time.Second); got != (Uint128{}) {
		t.Error(got)
	}
}

// TestArithmeticOfUint128 compares with numbers of any size.
func TestArithmeticOfUint128(t *testing.T) {
	big128 := new(big.Int).Lsh(big.NewInt(1), 128)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() Uint128 {
		n := Uint128{r.Uint64() >> r.IntN(64), r.Uint64() >> r.IntN(64)}
		if r.IntN(2) == 0 {
			n.Hi = 0
		}
		return n
	}
	for range 100_000 {
		a, b := pick(), pick()
		if d, ok := a.Minus(b); ok != (a.Cmp(b) >= 0) || ok && d.Plus(b) != a {
			t.Fatalf("%s - %s = %s, %t", a, b, d, ok)
		}
		want := new(big.Int).Mul(a.big(), b.big())
		if want.Cmp(big128) >= 0 {
			want.Sub(big128, big.NewInt(1))
		}
		if got := a.Times(b); got.big().Cmp(want) != 0 {
			t.Fatalf("%s * %s = %s, not %s", a, b, got, want)
		}
		if !b.IsZero() {
			if got := a.Over(b); got.big().Cmp(new(big.Int).Quo(a.big(), b.big())) != 0 {
				t.Fatalf("%s / %s = %s", a, b, got)
			}
		}
		text, err := a.MarshalText()
		var back Uint128
		if err != nil || back.UnmarshalText(text) != nil || back != a {
			t.Fatalf("%s is read as %s", text, back)
		}
	}
	for _, bad := range []string{"", "-1", "+1", "0x1", "1e3", " 1", "340282366920938463463374607431768211456", strings.Repeat("0", 40)} {
		var n Uint128
		if err := n.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is %s", bad, n)
		}
	}
}
