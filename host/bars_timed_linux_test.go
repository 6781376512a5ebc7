//go:build timed

package host_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestBar01TimedEndlessJobs holds the line of a machine at rest: the verdict comes between once and 1.2 times the limit.
func TestBar01TimedEndlessJobs(t *testing.T) {
	const limit = time.Second / 2
	for try := range 2 {
		b, _ := os.ReadFile("/proc/loadavg")
		good := true
		for what, took := range endless(t, limit) {
			t.Logf("%s: %v, line %v to %v, load %s", what, took, limit, limit*12/10, strings.Fields(string(b))[0])
			good = good && took < limit*12/10 && (took >= limit || what == "preparation") // whose threads run side by side
		}
		if good {
			return
		}
		if try == 1 {
			t.Error("over the line twice")
		}
	}
}
