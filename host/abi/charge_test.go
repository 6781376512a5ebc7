package abi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestChargesHaveTheirVersion: a charge that changes needs another ChargeVersion, and then another digest here.
func TestChargesHaveTheirVersion(t *testing.T) {
	const version, digest = 3, "8e2c465012303cf6"
	var lines []string
	for module, functions := range map[string]map[string]signature{WASI: wasi, Env: env} {
		for name := range functions {
			lines = append(lines, fmt.Sprintf("%s.%s %+v", module, name, ChargeOf(module, name)))
		}
	}
	for _, f := range TroupeFunctions {
		lines = append(lines, fmt.Sprintf("%s.%s %+v", Troupe, f.Name, ChargeOf(Troupe, f.Name)))
	}
	slices.Sort(lines)
	lines = append(lines, fmt.Sprintf("others %+v", ChargeOf("", "")))
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	if got := hex.EncodeToString(sum[:8]); ChargeVersion != version || got != digest {
		t.Errorf("version %d with digest %s, want %d with %s", ChargeVersion, got, version, digest)
	}
}

// TestChargesNameParameters: a charge by amount reads a parameter that the function has, of type i32, and belongs to a
// function that there is.
func TestChargesNameParameters(t *testing.T) {
	n := 0
	for module, functions := range charges {
		for name, c := range functions {
			s, ok := lookup(module, name)
			if !ok || c.Base == 0 {
				t.Errorf("%s.%s: %+v, known %v", module, name, c, ok)
			}
			if c.PerUnit == 0 {
				continue
			}
			if n++; c.Param >= len(s.params) || s.params[c.Param] != 'i' {
				t.Errorf("%s.%s%s: parameter %d", module, name, s, c.Param)
			}
		}
	}
	if n != 7 {
		t.Errorf("%d charges by amount", n)
	}
	for i := range TroupeFunctions {
		f := &TroupeFunctions[i]
		c, types := ChargeOf(Troupe, f.Name), f.Types()
		if heavy := f.Heavy(); (c.PerUnit > 0) != (heavy >= 0) || c.Base == 0 {
			t.Errorf("%s: %+v, heavy %d", f.Name, c, heavy)
		} else if heavy >= 0 && (c.Param < 1 || c.Param >= len(types) || types[c.Param-1:c.Param+1] != "ii") {
			t.Errorf("%s(%s): parameter %d is no length", f.Name, types, c.Param)
		}
	}
}
