//go:build timed

package outbox

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
)

// TestTimedOutbox holds a line for calls of 2 KiB that are accepted on disk, signed, submitted, seen in a final block and filed.
func TestTimedOutbox(t *testing.T) {
	const num, limit = 2000, 200.0
	ref, _, _ := outboxOn(t, chain.Limits{})
	for try := range 2 {
		begin := time.Now()
		run(t, ref, try*num, num)
		rate := num / time.Since(begin).Seconds()
		load, _ := os.ReadFile("/proc/loadavg")
		t.Logf("calls in a second, from accepted to filed: limit %.0f, measured %.0f, load %s", limit, rate, strings.Fields(string(load) + " ?")[0])
		if rate >= limit {
			return
		}
	}
	t.Error("under the line twice")
}
