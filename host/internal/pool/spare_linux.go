package pool

import (
	"context"
	"slices"
	"sync"
	"time"
)

// The back-off between two attempts to start a spare worker.
const (
	minSpareBackoff = 100 * time.Millisecond
	maxSpareBackoff = time.Minute
)

// A process that starts takes the cores from the worker that was taken just now, which somebody waits for. So its place is filled
// when none was taken for spareCalm, or after spareHaste at the latest; and at once when somebody found no spare worker.
const (
	spareCalm  = 20 * time.Millisecond
	spareHaste = 100 * time.Millisecond
)

const stateSpare = "spare" // of a worker that belongs to nobody yet

// spares are execute workers that have confined themselves and greeted, and wait to be told whose they are. They have seen
// nothing but the host.
type spares struct {
	mu    sync.Mutex
	ready []*worker // oldest first
	shut  bool      // no more are taken in
	low   chan struct{}
	taken time.Time     // when the last was
	none  chan struct{} // somebody found none
}

// KeepSpares keeps Config.Spares workers ready, one start at a time, until ctx ends, the pool is closed, or workers of another
// build are met. What fails is tried again after a back-off. What is ready by then stays so until Close.
func (p *Pool) KeepSpares(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for backoff := time.Duration(0); p.cfg.Spares > 0; {
		select {
		case <-ctx.Done():
			return
		case <-p.closing:
			return
		case <-again.C: // nothing can be done earlier: low is looked at when it has passed
		}
		more, err := p.spare(ctx)
		switch {
		case err != nil && p.mismatched(nil) != nil:
			return
		case err != nil:
			backoff = min(max(2*backoff, minSpareBackoff), maxSpareBackoff)
			again.Reset(backoff)
			continue
		}
		backoff = 0
		if more {
			again.Reset(0)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-p.closing:
			return
		case <-p.spares.low:
			p.spares.awaitCalm(ctx, p.closing)
			again.Reset(0)
		}
	}
}

// awaitCalm waits until a start disturbs nobody, or somebody needs it.
func (s *spares) awaitCalm(ctx context.Context, closing <-chan struct{}) {
	haste := time.NewTimer(spareHaste)
	defer haste.Stop()
	for rest := s.calmIn(); rest > 0; rest = s.calmIn() {
		calm := time.NewTimer(rest)
		select {
		case <-calm.C:
			continue
		case <-haste.C:
		case <-s.none:
		case <-ctx.Done():
		case <-closing:
		}
		calm.Stop()
		return
	}
}

// calmIn returns for how long none must be taken from now on.
func (s *spares) calmIn() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return spareCalm - time.Since(s.taken)
}

// spare starts one more spare worker if there are too few, and reports whether there may still be.
func (p *Pool) spare(ctx context.Context) (more bool, err error) {
	if p.spares.count() >= p.cfg.Spares {
		return false, nil
	}
	if err := p.enter(); err != nil {
		return false, err
	}
	defer p.calls.Done()
	w := newWorker(p, kindExecute)
	w.spare = true
	if err := w.start(ctx, rlimits{}); err != nil {
		return false, err
	}
	w.setState(stateSpare)
	if !p.spares.put(w) {
		w.bury()
		return false, errStopped()
	}
	if w.proc.isReaped() && p.spares.remove(w) { // before it could be found among them
		_ = w.conn.Close()
	}
	return true, nil
}

// blank returns a worker that is nobody's yet, with limits: a spare one if there is one.
func (p *Pool) blank(ctx context.Context, l rlimits) (*worker, error) {
	for w := p.spares.take(); w != nil; w = p.spares.take() {
		if !w.proc.hasEnded() && w.proc.limit(l) == nil {
			return w, nil
		}
		w.bury()
	}
	return p.start(ctx, kindExecute, l)
}

func (s *spares) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ready)
}

func (s *spares) put(w *worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		s.ready = append(s.ready, w)
		select {
		case <-s.none: // now there is one
		default:
		}
	}
	return !s.shut
}

// take returns the oldest, nil if there is none. Its place is filled again.
func (s *spares) take() *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 {
		select {
		case s.none <- struct{}{}:
		default: // it is known
		}
		return nil
	}
	s.taken = time.Now()
	w := s.ready[0]
	s.ready = slices.Delete(s.ready, 0, 1)
	s.lackLocked()
	return w
}

// remove reports whether w was among them. Its place is filled again.
func (s *spares) remove(w *worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.Index(s.ready, w)
	if n < 0 {
		return false
	}
	s.ready = slices.Delete(s.ready, n, n+1)
	s.lackLocked()
	return true
}

func (s *spares) lackLocked() {
	select {
	case s.low <- struct{}{}:
	default: // it is known
	}
}

// close returns all, and takes in no more.
func (s *spares) close() []*worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.ready
	s.ready, s.shut = nil, true
	return all
}
