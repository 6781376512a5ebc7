package worker

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
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

// TestWhatLoadingLeftIsCollectedLater, when no run has come for a while, and once.
func TestWhatLoadingLeftIsCollectedLater(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	var m runtime.MemStats
	c := newCollector()
	runtime.ReadMemStats(&m)
	before := m.NumGC
	c.loads(growth)
	garbage = make([]byte, growth)
	c.begins() // a run is there before anything is collected
	c.loaded(growth)
	if runtime.ReadMemStats(&m); m.NumGC != before {
		t.Fatal("a collection before the first run")
	}
	<-time.After(3 * calm)
	if runtime.ReadMemStats(&m); m.NumGC != before {
		t.Fatal("a collection in a run")
	}
	c.tidy()
	for begin := time.Now(); m.NumGC == before; runtime.ReadMemStats(&m) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("what loading has left is never collected")
		}
		<-time.After(time.Millisecond)
	}
	// A large artifact is loaded as a program usually runs.
	c.loads(headroom)
	if got := debug.SetGCPercent(-1); got != usualPercent {
		t.Errorf("%d percent", got)
	}
}
