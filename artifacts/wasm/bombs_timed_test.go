//go:build timed

package wasm_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestTimedRefusals holds the line of a machine at rest: whatever is refused is refused in 50 ms.
func TestTimedRefusals(t *testing.T) {
	load, _ := os.ReadFile("/proc/loadavg")
	slowest, name, refused := time.Duration(0), "", 0
	for _, b := range bombs() {
		took, err := judged(b, 5, refusalLine)
		if err == nil {
			continue
		}
		refused++
		if took > slowest {
			slowest, name = took, b.Name
		}
		if took > refusalLine {
			t.Errorf("%s: refused in %v, line %v", b.Name, took, refusalLine)
		}
	}
	t.Logf("%d refusals, the slowest (%s) %v, line %v, load %s", refused, name, slowest, refusalLine, strings.Fields(string(load) + " ?")[0])
	if refused < 90 {
		t.Errorf("only %d refusals", refused)
	}
}
