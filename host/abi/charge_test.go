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
	const version, digest = 2, "3f04346f3b0bafd3"
	var lines []string
	for module, functions := range map[string]map[string]signature{WASI: wasi, Env: env} {
		for name := range functions {
			lines = append(lines, fmt.Sprintf("%s.%s %+v", module, name, ChargeOf(module, name)))
		}
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
}
