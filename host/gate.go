package host

import (
	"sync"
	"sync/atomic"
)

// shut is the flag of gate.state that says that nobody comes in any more.
const shut = int64(1) << 62

// gate counts the requests under way without a lock, and says when the last one has left after it was shut.
type gate struct {
	state atomic.Int64 // requests under way, and the flag
	once  sync.Once
	empty chan struct{} // closed when the gate is shut and nobody is inside
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// enter admits a request; false: the gate is shut.
func (g *gate) enter() bool {
	if g.state.Add(1)&shut == 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.state.Add(-1) == shut {
		g.once.Do(func() { close(g.empty) })
	}
}

// shut lets nobody in from now on.
func (g *gate) shut() {
	if g.state.Or(shut) == 0 {
		g.once.Do(func() { close(g.empty) })
	}
}

// look returns whether the gate is shut, and how many requests are under way.
func (g *gate) look() (isShut bool, inside int) {
	n := g.state.Load()
	return n&shut != 0, int(n &^ shut)
}
