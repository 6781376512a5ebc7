package worker

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

var garbage []byte

// TestGarbageIsCollectedBetweenRuns, when there is some, and not within them.
func TestGarbageIsCollectedBetweenRuns(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	collections := func(runs int, bytes int) uint32 {
		c := newCollector()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			garbage = make([]byte, bytes)
			c.tidy()
		}
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	if n := collections(10*tidyEvery, 100); n != 0 {
		t.Errorf("%d collections of nothing", n)
	}
	if n := collections(10*tidyEvery, growth/tidyEvery+1); n != 10 {
		t.Errorf("%d collections of 10 times as much as is worth one", n)
	}
	newCollector()
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		t.Error("a run may make as much garbage as it likes")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 8 * headroom >> 20 {
		garbage = make([]byte, 1<<20)
	}
	runtime.ReadMemStats(&after)
	if after.NumGC == before.NumGC {
		t.Error("a run that makes very much is never interrupted")
	}
	(*collector)(nil).tidy()
}
