package host

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/internal/pool"
)

// runTable finds the input and output of a run by its id, since these never travel in a message. A run whose output was
// seen, or whose input was read, is not started a second time, whoever asks for it.
type runTable struct {
	mu   sync.Mutex
	next uint64
	runs map[uint64]*runEntry
}

type runEntry struct {
	io      pool.RunIO
	using   int
	unused  chan struct{} // closed when nobody uses it any more after remove
	leaving bool
	touched atomic.Bool // the caller's streams were used
	reading atomic.Int32
	writing chan struct{} // holds a token while a call of the caller's writers is under way
	closed  atomic.Bool   // the streams are not used any more
}

func newRunTable() *runTable { return &runTable{runs: map[uint64]*runEntry{}} }

func (t *runTable) add(r pool.RunIO) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
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
	e.io.Release = func() { t.release(e) }
	t.next++
	t.runs[t.next] = e
	return t.next
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
	timer := time.NewTimer(grace)
	defer timer.Stop()
	defer e.closed.Store(true)
	select {
	case <-e.unused:
	case <-timer.C:
		return false
	}
	select {
	case e.writing <- struct{}{}:
		e.closed.Store(true) // before the token is given back
		<-e.writing
		return true
	case <-timer.C:
		return false
	}
}

// Open implements pool.Runs.
func (t *runTable) Open(id uint64) (pool.RunIO, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.runs[id]
	if !ok || e.using > 0 || e.touched.Load() || e.reading.Load() > 0 {
		return pool.RunIO{}, false
	}
	e.using++
	return e.io, true
}

var errRunEnded = fault.New(fault.CanceledCaller, "stream", "the run has ended", nil)

type gatedReader struct {
	e *runEntry
	r io.Reader
}

func (g gatedReader) Read(p []byte) (int, error) {
	if g.e.closed.Load() {
		return 0, errRunEnded
	}
	g.e.reading.Add(1) // who is left behind in a Read may still take something
	n, err := g.r.Read(p)
	if n > 0 {
		g.e.touched.Store(true)
	}
	g.e.reading.Add(-1)
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
	if g.e.closed.Load() {
		return 0, errRunEnded
	}
	g.e.touched.Store(true)
	return g.w.Write(p)
}
