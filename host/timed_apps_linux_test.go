//go:build timed

package host_test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestW16W17TimedEndlessApps holds the lines of a machine at rest: a limit and a query's time are kept within 200 ms, and a stop takes
// a second at most.
func TestW16W17TimedEndlessApps(t *testing.T) {
	for try := range 2 {
		b, _ := os.ReadFile("/proc/loadavg")
		good := true
		for what, took := range endlessApps(t) {
			line := 200 * time.Millisecond
			if strings.HasPrefix(what, "stop") || what == "remove all" {
				line = time.Second
			}
			t.Logf("%s: %v, line %v, load %s", what, took, line, strings.Fields(string(b))[0])
			good = good && took < line && took > -10*time.Millisecond
		}
		if good {
			return
		}
		if try == 1 {
			t.Error("over a line twice")
		}
	}
}

// TestS20S21TimedSchedule holds the line of a machine at rest: each run begins within 0.3 s of its time.
func TestS20S21TimedSchedule(t *testing.T) {
	for try := range 2 {
		good := true
		for n, d := range delays(t) {
			t.Logf("run %d: late by %v", n, d)
			good = good && d >= 0 && d < 300*time.Millisecond
		}
		if good {
			return
		}
		if try == 1 {
			t.Error("over the line twice")
		}
	}
}

// TestTimedManyApps has 10,000 apps deployed, stopped and removed, three times.
func TestTimedManyApps(t *testing.T) { manyApps(t, 3, 10_000) }
