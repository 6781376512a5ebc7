package worker

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	growth    = 4 << 20  // bytes of garbage that are worth a collection between runs
	headroom  = 32 << 20 // bytes over what lives at which a run is interrupted for one
	tidyEvery = 32       // runs between looks
)

// collector has the garbage of runs collected between them, when no call waits, instead of at any moment in one. A collection
// within a run is left for one that makes very much of it.
type collector struct {
	runs int
	made [1]metrics.Sample // bytes ever allocated
	base uint64            // made, at the last collection
}

// newCollector takes the collections of this process over.
func newCollector() *collector {
	c := &collector{made: [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}}
	debug.SetGCPercent(-1)
	c.collect()
	return c
}

// tidy is called when nothing is to be done. A nil collector does nothing.
func (c *collector) tidy() {
	if c == nil {
		return
	}
	if c.runs++; c.runs%tidyEvery != 0 {
		return
	}
	metrics.Read(c.made[:])
	if c.made[0].Value.Uint64()-c.base >= growth {
		c.collect()
	}
}

func (c *collector) collect() {
	runtime.GC()
	metrics.Read(c.made[:])
	c.base = c.made[0].Value.Uint64()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetMemoryLimit(int64(m.Sys-m.HeapReleased) + headroom)
}
