//go:build timed

package host_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/host"
)

// TestTimedR2Storm: beside runs whose workers are killed, others take at most half as long again as beside as many that live.
func TestTimedR2Storm(t *testing.T) {
	const pairs, rate = 200, 10
	for try := range 3 {
		var p99 [2]time.Duration
		for i, deadly := range []bool{false, true} {
			h := start(t, host.Config{})
			storm(t, h, 8, 4, 0, deadly)
			p99[i] = quantile(storm(t, h, pairs, 0, rate, deadly), 0.99, func(s sample) (time.Duration, bool) { return s.late, true })
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		}
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("healthy p99 beside %d deaths per second: limit %v, measured %v, load %s", rate, p99[0]*3/2, p99[1], strings.Fields(string(load))[0])
		if p99[1] <= p99[0]*3/2 {
			return
		}
		if try == 2 {
			t.Error("over the line three times")
		}
	}
}
