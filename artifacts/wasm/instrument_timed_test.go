//go:build timed

package wasm

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestTimedInstrument holds how fast code is judged and rewritten, on one core. The line has one more try.
func TestTimedInstrument(t *testing.T) {
	const line = 80.0 // million bytes of code in a second
	code := guest(t, "go-hello")
	for range 2 {
		best := time.Hour
		for range 20 {
			begin := time.Now()
			if _, err := Instrument(code, Policy{}, everythingAdded); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(begin))
		}
		speed := float64(len(code)) / 1e6 / best.Seconds()
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("rewriting: limit %.0f MB/s, measured %.0f MB/s, load %s", line, speed, strings.Fields(string(load) + " ?")[0])
		if speed >= line {
			return
		}
	}
	t.Error("too slow")
}
