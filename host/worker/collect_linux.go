package worker

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	growth    = 4 << 20  // bytes of garbage that are worth a collection between runs
	headroom  = 32 << 20 // bytes over what lives at which a run is interrupted for one
	tidyEvery = 32       // runs between looks
	// A worker that has had no run for so long after it loaded gives back what loading took, if that is growth or more.
	calm = 100 * time.Millisecond
)

// collector has the garbage of runs collected between them, when no call waits, instead of at any moment in one. A collection
// within a run is left for one that makes very much of it. A nil collector does nothing.
type collector struct {
	runs atomic.Int64
	busy atomic.Bool // there is a run

	mu   sync.Mutex
	base uint64 // bytes ever allocated, at the last collection
}

// newCollector takes the collections of this process over.
func newCollector() *collector {
	c := new(collector)
	debug.SetGCPercent(-1)
	c.collect(func() {})
	return c
}

// loads prepares for an artifact that is made from so many bytes, none of which can be collected before it is loaded: a small one
// is loaded without a collection, and a large one as any program collects.
func (c *collector) loads(bytes int64) {
	if c != nil && bytes > headroom/loadFactor {
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(usualPercent)
	}
}

const (
	loadFactor   = 4 // bytes that loading takes for each that is loaded, or fewer
	usualPercent = 100
)

// loaded is called when the artifact is there. What loading has left is collected when the worker is calm: its first caller waits.
func (c *collector) loaded(bytes int64) {
	if c == nil {
		return
	}
	if bytes > headroom/loadFactor {
		debug.SetGCPercent(-1)
		c.collect(runtime.GC)
	}
	if bytes >= growth/loadFactor {
		go c.settle()
	}
}

// settle collects once no run has come for a while, if it is worth it: a first collection takes more memory than a small artifact
// leaves.
func (c *collector) settle() {
	for before := int64(-1); ; {
		runs := c.runs.Load()
		if runs == before && !c.busy.Load() {
			break
		}
		before = runs
		<-time.After(calm)
	}
	if c.grown() >= growth {
		c.collect(debug.FreeOSMemory)
	}
}

// begins is called when a run begins.
func (c *collector) begins() {
	if c != nil {
		c.busy.Store(true)
	}
}

// tidy is called when nothing is to be done.
func (c *collector) tidy() {
	if c == nil {
		return
	}
	c.busy.Store(false)
	if c.runs.Add(1)%tidyEvery == 0 && c.grown() >= growth {
		c.collect(runtime.GC)
	}
}

// grown returns how many bytes were allocated since the last collection.
func (c *collector) grown() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var m runtime.MemStats // the package metrics takes a good part of what a worker takes
	runtime.ReadMemStats(&m)
	return m.TotalAlloc - c.base
}

func (c *collector) collect(how func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	how()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.base = m.TotalAlloc
	debug.SetMemoryLimit(int64(m.Sys-m.HeapReleased) + headroom)
}
