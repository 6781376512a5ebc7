package lanes

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/execute"
)

const (
	maxWaiting = 1024 // callers of a lane

	// Callers wait for a worker that was asked back during a part of Config.Patience, then not for as many times that, and not
	// before as many of them were turned away.
	hopePart    = 2
	hopePause   = 16
	hopeCallers = 32
)

// line is the callers that wait for a place in a lane, in their order.
type line struct {
	n  atomic.Int64
	mu sync.Mutex
	at []seat

	hope   atomic.Int64 // until then a worker that was asked back may return; since Table.base
	pause  atomic.Int64 // until then there is no further hope
	turned atomic.Int64 // callers that found no worker since the last hope
}

// seat is a caller that waits.
type seat struct {
	call chan struct{} // it may try again
	of   Waiting
}

// Waiting is a run whose caller waits for a place in a lane.
type Waiting struct {
	Job   execute.Job
	Since time.Time
}

// Waiting returns the runs whose callers wait for a place.
func (t *Table) Waiting() []Waiting {
	t.mu.Lock()
	var lines []*line
	for _, l := range t.lanes {
		if l.line.n.Load() > 0 {
			lines = append(lines, &l.line)
		}
	}
	t.mu.Unlock()
	var out []Waiting
	for _, l := range lines {
		l.mu.Lock()
		for _, s := range l.at {
			out = append(out, s.of)
		}
		l.mu.Unlock()
	}
	return out
}

// join puts a caller at the end, nil if there are too many.
func (l *line) join(w Waiting) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.at) >= maxWaiting {
		return nil
	}
	c := make(chan struct{}, 1)
	l.at = append(l.at, seat{call: c, of: w})
	l.n.Store(int64(len(l.at)))
	return c
}

// part takes a caller out that does not wait any more. If it was called meanwhile, the next one is.
func (l *line) part(c chan struct{}) {
	l.mu.Lock()
	for n := range l.at {
		if l.at[n].call == c {
			l.at = append(l.at[:n], l.at[n+1:]...)
			l.n.Store(int64(len(l.at)))
			l.mu.Unlock()
			return
		}
	}
	l.mu.Unlock()
	l.call(1)
}

// call has the first n callers try again.
func (l *line) call(n int) {
	if l.n.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.at))
	for _, c := range l.at[:n] {
		c.call <- struct{}{}
	}
	l.at = append(l.at[:0:0], l.at[n:]...)
	l.n.Store(int64(len(l.at)))
}

// await boards as soon as there is a place, for up to Config.Patience: while a code is called by more callers than its workers
// have places for, none of these has to go through the queue, where it would be a backlog that keeps the workers from being
// lent. A backlog of others has the workers asked back, and then everybody goes to the queue.
func (l *Lane) await(ctx context.Context, began time.Time, j *execute.Job) *lease {
	now, w := l.t.at(began), Waiting{Job: *j, Since: began}
	patience := int64(l.t.cfg.Patience)
	if l.workers() == 0 {
		if patience = l.hopes(now); patience <= 0 {
			return nil
		}
	}
	c := l.line.join(w)
	if c == nil {
		return nil
	}
	timer := time.NewTimer(time.Duration(patience))
	defer timer.Stop()
	for {
		x, full := l.board(l.t.at(l.t.cfg.Now()), false)
		if x != nil || !full && l.hopes(l.t.at(l.t.cfg.Now())) <= 0 {
			l.line.part(c)
			return x
		}
		select {
		case <-c:
			if c = l.line.join(w); c == nil {
				return nil
			}
		case <-ctx.Done():
			l.line.part(c)
			return nil
		case <-timer.C:
			l.line.part(c)
			return nil
		}
	}
}

// workers returns how many workers are lent.
func (l *Lane) workers() int { return len(*l.leases.Load()) }

// hopes returns how long a worker that was asked back is waited for. Those who wait leave the queue to those who are in it
// already: when these are served and nobody else waits, the worker is lent again. Of a lane that is little used nobody waits.
func (l *Lane) hopes(now int64) int64 {
	if left := l.line.hope.Load() - now; left > 0 {
		return left
	}
	if !l.short() {
		return 0
	}
	pause := l.line.pause.Load()
	if l.line.turned.Add(1) < hopeCallers || now < pause {
		return 0
	}
	patience := int64(l.t.cfg.Patience) / hopePart
	if l.line.pause.CompareAndSwap(pause, now+hopePause*patience) {
		l.line.turned.Store(0)
		l.line.hope.Store(now + patience)
	}
	return patience
}
