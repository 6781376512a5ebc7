//go:build undefended

package engine

import (
	"fmt"
	"testing"
)

// TestUndefendedCanaryIsFound writes and looks in the same run, with nothing between: each canary is found.
func TestUndefendedCanaryIsFound(t *testing.T) {
	a := loadCode(t, canaries())
	for what := 1; what < litterTrap; what <<= 1 {
		out, _ := call(a, invoked("both", fmt.Sprint(what), "4096"))
		if out.Fault == nil && string(out.Result) == "0" {
			t.Errorf("litter %b is not found", what)
		}
	}
	out, _ := call(a, invoked("both", "0", "0"))
	if out.Fault != nil || string(out.Result) != "0" {
		t.Errorf("nothing was written, and %q found, %v", out.Result, out.Fault)
	}
}
