package kernel

import "sync"

// pool runs mailboxes on goroutines that it uses again: a fresh one per run spends most of its time growing its stack.
type pool struct {
	mu     sync.Mutex
	idle   []chan func() // the last parked is the first used: its stack is warm
	closed bool
}

const (
	maxIdle    = 32
	throughput = 300 // messages before a run yields the processor
)

// Schedule runs f soon on another goroutine.
func (p *pool) Schedule(f func()) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w <- f // never blocks: the worker is parked on it
		return
	}
	p.mu.Unlock()
	go p.work(f)
}

// Throughput is part of the library's Dispatcher.
func (p *pool) Throughput() int { return throughput }

func (p *pool) work(f func()) {
	w := make(chan func(), 1)
	for f != nil {
		f()
		p.mu.Lock()
		if p.closed || len(p.idle) >= maxIdle {
			p.mu.Unlock()
			return
		}
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		f = <-w
	}
}

// close ends the parked goroutines; the others end with their run.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.idle {
		close(w)
	}
	p.idle = nil
}
