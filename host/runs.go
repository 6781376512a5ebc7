package host

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/pool"
)

// runTable finds the input and output of a run by its id, since these never travel in a message. A run whose output was
// seen, or whose input was read, is not started a second time, whoever asks for it.
type runTable struct {
	last atomic.Uint64 // newest id
	mu   sync.Mutex
	runs map[uint64]*runEntry
}

type runEntry struct {
	io      pool.RunIO
	app     *appRun // nil: bare code
	using   int
	unused  chan struct{} // closed when nobody uses it any more after remove
	leaving bool
	touched atomic.Bool   // the caller's streams were used
	writing chan struct{} // holds a token while a call of the caller's writers is under way

	mu      sync.Mutex
	reading int  // calls of the caller's reader under way
	closed  bool // no call begins any more
}

func newRunTable() *runTable { return &runTable{runs: map[uint64]*runEntry{}} }

// newID names a run.
func (t *runTable) newID() uint64 { return t.last.Add(1) }

// add puts a run into the table.
func (t *runTable) add(r pool.RunIO) uint64 {
	id := t.newID()
	t.put(id, t.gated(r))
	return id
}

// gated returns the streams of a run that is not in the table so far, behind gates.
func (t *runTable) gated(r pool.RunIO) *runEntry {
	e := &runEntry{io: r, unused: make(chan struct{}), writing: make(chan struct{}, 1)}
	if r.Stdin != nil {
		e.io.Stdin = gatedReader{e, r.Stdin}
	}
	if r.Stdout != nil {
		e.io.Stdout = gatedWriter{e, r.Stdout}
	}
	if r.Stderr != nil {
		e.io.Stderr = gatedWriter{e, r.Stderr}
	}
	if r.Calls != nil {
		e.io.Calls = gatedCalls{e, r.Calls}
	}
	e.io.Release = func() { t.release(e) }
	return e
}

func (t *runTable) put(id uint64, e *runEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs[id] = e
}

func (t *runTable) release(e *runEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.using--; e.using == 0 && e.leaving {
		close(e.unused)
	}
}

// remove takes a run out and waits until nobody uses its streams and its input, for up to grace. false: somebody still
// does, in a call of the caller's own that does not return. There is no further call: what a run leaves behind when it is
// killed finds the streams closed.
func (t *runTable) remove(id uint64, grace time.Duration) bool {
	t.mu.Lock()
	e := t.runs[id]
	delete(t.runs, id)
	e.leaving = true
	if e.using == 0 {
		close(e.unused)
	}
	t.mu.Unlock()
	defer e.close()
	select {
	case <-e.unused:
		return e.settle(grace)
	default:
	}
	begin := time.Now()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-e.unused:
		return e.settle(grace - time.Since(begin))
	case <-timer.C:
		return false
	}
}

// settle closes the streams once no call of the caller's writers is under way, and waits for that for up to grace.
func (e *runEntry) settle(grace time.Duration) bool {
	defer e.close()
	select {
	case e.writing <- struct{}{}:
	default:
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case e.writing <- struct{}{}:
		case <-timer.C:
			return false
		}
	}
	e.close() // before the token is given back
	<-e.writing
	return true
}

// Open implements pool.Runs.
func (t *runTable) Open(id uint64) (pool.RunIO, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.runs[id]
	if !ok || e.using > 0 || e.touched.Load() || e.isReading() {
		return pool.RunIO{}, false
	}
	e.using++
	e.app.begin()
	return e.io, true
}

func (e *runEntry) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

func (e *runEntry) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// beginRead counts a call of the caller's reader: who is left behind in one may still take something.
func (e *runEntry) beginRead() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.reading++
	return true
}

func (e *runEntry) endRead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading--
}

func (e *runEntry) isReading() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reading > 0
}

var errRunEnded = fault.New(fault.CanceledCaller, "stream", "the run has ended", nil)

type gatedReader struct {
	e *runEntry
	r io.Reader
}

func (g gatedReader) Read(p []byte) (int, error) {
	if !g.e.beginRead() {
		return 0, errRunEnded
	}
	n, err := g.r.Read(p)
	if n > 0 {
		g.e.touched.Store(true)
	}
	g.e.endRead()
	return n, err
}

type gatedWriter struct {
	e *runEntry
	w io.Writer
}

func (g gatedWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	g.e.writing <- struct{}{}
	defer func() { <-g.e.writing }()
	if g.e.isClosed() {
		return 0, errRunEnded
	}
	g.e.touched.Store(true)
	return g.w.Write(p)
}

// gatedCalls serve a run until it has ended. One that was asked is not started a second time: what it asked has happened.
type gatedCalls struct {
	e *runEntry
	c run.Calls
}

func (g gatedCalls) Call(ctx context.Context, a run.Ask) run.Answer {
	if !g.e.beginRead() {
		return run.Answer{Errno: abi.ErrIO}
	}
	defer g.e.endRead()
	g.e.touched.Store(true)
	return g.c.Call(ctx, a)
}
