package artifacts

import (
	"errors"
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
	add("base", KeyOf(code, b))
	add("code", KeyOf(HashCode([]byte("other")), b))
	add("engine", KeyOf(code, Build{Engine: "wazero v2", Format: 1, Instrument: 2, CPU: "amd64"}))
	add("format", KeyOf(code, Build{Engine: "wazero v1", Format: 2, Instrument: 2, CPU: "amd64"}))
	add("instrument", KeyOf(code, Build{Engine: "wazero v1", Format: 1, Instrument: 3, CPU: "amd64"}))
	add("cpu", KeyOf(code, Build{Engine: "wazero v1", Format: 1, Instrument: 2, CPU: "arm64"}))
	add("swapped", KeyOf(code, Build{Engine: "wazero v1", Format: 2, Instrument: 1, CPU: "amd64"}))
	if got, want := KeyOf(code, b).String(), "425195723ec42df58c27bfd0ec7055e151465601775dbd639933fd2df2355e2a"; got != want {
		t.Errorf("the key changed: %s, want %s; stored artifacts would be lost", got, want)
	}
}

func TestKeyRoundTrip(t *testing.T) {
	k := KeyOf(HashCode(nil), Build{})
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
		f := Failure{Fault: row.code, MemoryBytes: 50, InflatedBytes: 100}
		if got := f.Holds(row.memory, row.inflated); got != row.want {
			t.Errorf("%s under %d, %d: %v", row.code, row.memory, row.inflated, got)
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
