package artifacts

import (
	"errors"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// TestKeyCoversEachInput toggles one input at a time: each must change the key, and no two may collide by shifting a
// boundary between fields.
func TestKeyCoversEachInput(t *testing.T) {
	code, p := HashCode([]byte("code")), Params{MaxInflatedBytes: 1 << 20}
	b := Build{Engine: "wazero v1", Format: 1, Instrument: 2, CPU: "amd64"}
	seen := map[Key]string{}
	add := func(name string, k Key) {
		if other, dup := seen[k]; dup {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[k] = name
	}
	add("base", KeyOf(code, p, b))
	add("code", KeyOf(HashCode([]byte("other")), p, b))
	add("inflated", KeyOf(code, Params{MaxInflatedBytes: 2 << 20}, b))
	add("engine", KeyOf(code, p, Build{Engine: "wazero v2", Format: 1, Instrument: 2, CPU: "amd64"}))
	add("format", KeyOf(code, p, Build{Engine: "wazero v1", Format: 2, Instrument: 2, CPU: "amd64"}))
	add("instrument", KeyOf(code, p, Build{Engine: "wazero v1", Format: 1, Instrument: 3, CPU: "amd64"}))
	add("cpu", KeyOf(code, p, Build{Engine: "wazero v1", Format: 1, Instrument: 2, CPU: "arm64"}))
	add("swapped", KeyOf(code, p, Build{Engine: "wazero v1", Format: 2, Instrument: 1, CPU: "amd64"}))
	if got, want := KeyOf(code, p, b).String(), "c905dbac29ab6ad43c83d05ff76958edca1201599e3a922713862828092daf22"; got != want {
		t.Errorf("the key changed: %s, want %s; stored artifacts would be lost", got, want)
	}
}

func TestKeyRoundTrip(t *testing.T) {
	k := KeyOf(HashCode(nil), Params{}, Build{})
	if got, err := ParseKey(k.String()); err != nil || got != k {
		t.Errorf("ParseKey: %v, %v", got, err)
	}
	for _, s := range []string{"", "00", "zz", k.String() + "00", "\x1b[31m"} {
		if _, err := ParseKey(s); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("ParseKey(%q): %v", s, err)
		}
	}
}
