package artifacts

import (
	"errors"
	"reflect"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// TestKeyCoversEachInput toggles one input at a time: each must change the key, and no two may collide by shifting a
// boundary between fields.
func TestKeyCoversEachInput(t *testing.T) {
	code := HashCode([]byte("code"))
	b := Build{Engine: "wazero v1", Format: 1, Instrument: 2, CPU: "amd64"}
	seen := map[Key]string{}
	add := func(name string, k Key) {
		if other, dup := seen[k]; dup {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[k] = name
	}
	add("base", KeyOf(code, b, Options{}))
	add("canonical NaNs", KeyOf(code, b, Options{CanonicalNaNs: true}))
	add("code", KeyOf(HashCode([]byte("other")), b, Options{}))
	add("engine", KeyOf(code, Build{Engine: "wazero v2", Format: 1, Instrument: 2, CPU: "amd64"}, Options{}))
	add("format", KeyOf(code, Build{Engine: "wazero v1", Format: 2, Instrument: 2, CPU: "amd64"}, Options{}))
	add("instrument", KeyOf(code, Build{Engine: "wazero v1", Format: 1, Instrument: 3, CPU: "amd64"}, Options{}))
	add("cpu", KeyOf(code, Build{Engine: "wazero v1", Format: 1, Instrument: 2, CPU: "arm64"}, Options{}))
	add("swapped", KeyOf(code, Build{Engine: "wazero v1", Format: 2, Instrument: 1, CPU: "amd64"}, Options{}))
	if got, want := KeyOf(code, b, Options{}).String(), "1586847424716aa2371d9e1543ab0915a0ef44c0b0ae4192557b1141396daa26"; got != want {
		t.Errorf("the key changed: %s, want %s; stored artifacts would be lost", got, want)
	}
}

func TestKeyRoundTrip(t *testing.T) {
	k := KeyOf(HashCode(nil), Build{}, Options{})
	if got, err := ParseKey(k.String()); err != nil || got != k {
		t.Errorf("ParseKey: %v, %v", got, err)
	}
	for _, s := range []string{"", "00", "zz", k.String() + "00", "\x1b[31m"} {
		if _, err := ParseKey(s); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("ParseKey(%q): %v", s, err)
		}
	}
}

// TestWhatWasJudgedUnderOtherLimits: a failure for being too large holds for less and not for more, and an artifact is
// refused as its code would be.
func TestWhatWasJudgedUnderOtherLimits(t *testing.T) {
	for _, row := range []struct {
		code             fault.Code
		memory, inflated int64
		want             bool
	}{
		{fault.GuestDecompressionBomb, 1, 100, true}, {fault.GuestDecompressionBomb, 1, 99, true}, {fault.GuestDecompressionBomb, 1, 101, false},
		{fault.GuestCodeTooLarge, 99, 100, true}, {fault.GuestCodeTooLarge, 1, 101, false},
		{fault.GuestPrepareMemory, 50, 100, true}, {fault.GuestPrepareMemory, 51, 100, false}, {fault.GuestPrepareMemory, 50, 101, false},
		{fault.GuestInvalid, 1 << 40, 1 << 40, true},
	} {
		f := Failure{Fault: row.code, MemoryBytes: 50, InflatedBytes: 100, Policy: "then"}
		if got := f.Holds(row.memory, row.inflated, "now"); got != row.want {
			t.Errorf("%s under %d, %d: %v", row.code, row.memory, row.inflated, got)
		}
	}
	for _, code := range []fault.Code{fault.GuestFeature, fault.GuestTooComplex} {
		if f := (Failure{Fault: code, Policy: "then"}); f.Holds(1, 1, "now") || !f.Holds(1, 1, "then") {
			t.Errorf("%s does not hold under its policy alone", code)
		}
	}
	plain := Meta{GivenBytes: 100, Module: Module{WasmBytes: 100}}
	packed := Meta{GivenBytes: 30, Module: Module{WasmBytes: 100}}
	for _, row := range []struct {
		m               Meta
		given, inflated int64
		want            fault.Code
	}{
		{plain, 100, 100, ""}, {plain, 99, 100, fault.GuestCodeTooLarge}, {plain, 100, 99, fault.GuestCodeTooLarge},
		{packed, 30, 100, ""}, {packed, 29, 100, fault.GuestCodeTooLarge}, {packed, 30, 99, fault.GuestDecompressionBomb},
	} {
		if got := row.m.TooLarge(row.given, row.inflated); got != row.want {
			t.Errorf("%d bytes of %d, under %d and %d: %q", row.m.GivenBytes, row.m.Module.WasmBytes, row.given, row.inflated, got)
		}
	}
}

// TestAShapeSurvivesItsForm fills every number with another value.
func TestAShapeSurvivesItsForm(t *testing.T) {
	s := Shape{Features: "simd,bulk-memory"}
	for i, f := range s.fields() {
		*f = 1<<40 + i
	}
	if n := reflect.TypeFor[Caps]().NumField(); n != len(s.fields()) {
		t.Errorf("%d of %d numbers", len(s.fields()), n)
	}
	if got, err := ParseShape(s.Compact()); err != nil || got != s {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"1 2 3", "x", s.Compact()[1:5]} {
		if _, err := ParseShape(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
