package host

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestGateIsEmptyOnceTheLastHasLeft(t *testing.T) {
	isEmpty := func(g *gate) bool {
		select {
		case <-g.empty:
			return true
		default:
			return false
		}
	}
	g := newGate()
	for range 2 {
		if !g.enter() {
			t.Fatal("an open gate refuses")
		}
	}
	g.leave()
	g.leave()
	if isEmpty(g) {
		t.Error("it is open")
	}
	g.enter()
	g.shut()
	if g.enter() || isEmpty(g) {
		t.Error("somebody came in, or one inside is forgotten")
	}
	if closed, n := g.look(); !closed || n != 1 {
		t.Errorf("shut %v, %d inside", closed, n)
	}
	g.leave()
	if g.enter() || !isEmpty(g) {
		t.Error("the last one has left")
	}
	none := newGate()
	none.shut()
	if !isEmpty(none) {
		t.Error("nobody was inside")
	}
}

func TestGateUnderStress(t *testing.T) {
	for range 200 {
		g := newGate()
		var inside, in atomic.Int64
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for g.enter() {
					inside.Add(1)
					in.Add(1)
					inside.Add(-1)
					g.leave()
				}
			})
		}
		for in.Load() < 100 {
			g.look()
		}
		g.shut()
		<-g.empty
		if n := inside.Load(); n != 0 {
			t.Fatalf("%d are inside", n)
		}
		all.Wait()
	}
}
