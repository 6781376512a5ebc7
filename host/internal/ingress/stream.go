package ingress

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/meter"
)

// stream is a connection that belongs to an app: after an upgrade, or by TLS. It is what an event reads from and writes to.
type stream struct {
	s      *Server
	conn   net.Conn
	from   io.Reader // conn, or what was read ahead of it
	bytes  *traffic
	commit func(meter.Use) error
	active atomic.Int64

	committing sync.Mutex
	commits    time.Time // guarded by committing

	reading, writing sync.Mutex  // held while something is read or written
	over             atomic.Bool // nothing is any more

	once sync.Once
	done chan struct{}
	why  error // once done is closed
}

func newStream(s *Server, conn net.Conn, from io.Reader, bytes *traffic, commit func(meter.Use) error) *stream {
	t := &stream{s: s, conn: conn, from: from, bytes: bytes, commit: commit, commits: time.Now(), done: make(chan struct{})}
	t.touch()
	return t
}

func (t *stream) touch()               { t.active.Store(int64(time.Since(epoch))) }
func (t *stream) quiet() time.Duration { return time.Since(epoch) - time.Duration(t.active.Load()) }

func (t *stream) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if t.over.Load() {
		return 0, os.ErrClosed
	}
	n, err := t.from.Read(p)
	if n > 0 {
		t.touch()
		t.bytes.in.Add(uint64(n))
	}
	if failed := t.commitLong(); err == nil {
		err = failed
	}
	return n, err
}

// Write implements calls.Responder.
func (t *stream) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.over.Load() {
		return 0, errLeft
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(t.s.lim.WriteTimeout))
	if t.over.Load() { // or what ends writes was overwritten just now
		return 0, errLeft
	}
	n, err := t.conn.Write(p)
	t.bytes.out.Add(uint64(n))
	if err != nil {
		return n, errLeft
	}
	t.touch()
	return n, t.commitLong()
}

func (t *stream) commitLong() error {
	if !t.committing.TryLock() {
		return nil
	}
	defer t.committing.Unlock()
	if t.over.Load() || t.bytes.pending() == 0 || t.bytes.pending() < commitBytes && time.Since(t.commits) < commitEvery {
		return nil
	}
	t.commits = time.Now()
	return t.commit(t.bytes.take())
}

// CloseWrite implements calls.Responder.
func (t *stream) CloseWrite() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.over.Load() {
		return errLeft
	}
	return closeWrite(t.conn)
}

// Close implements calls.Responder.
func (t *stream) Close(why error) {
	t.once.Do(func() {
		t.why = why
		close(t.done)
	})
}

// Reply and Respond implement calls.Responder.
func (t *stream) Reply(uint32, []byte) error { return badReply("a connection is no query") }

// Respond implements calls.Responder.
func (t *stream) Respond(int, []byte) error { return badReply("a connection is no request") }

// stop ends reads and writes, and waits for those that are under way. The connection stays open, so that what was used can be
// written before the other end sees that it is over.
func (t *stream) stop() {
	t.over.Store(true)
	_ = t.conn.SetReadDeadline(past)
	_ = t.conn.SetWriteDeadline(past)
	t.reading.Lock()
	defer t.reading.Unlock()
	// A write that was about to begin may have given itself a deadline of its own; it has seen over then.
	t.writing.Lock()
	defer t.writing.Unlock()
	t.committing.Lock()
	defer t.committing.Unlock()
}

// wait returns when the app is done with the stream, it is idle for too long, or ctx ends.
func (t *stream) wait(ctx context.Context) {
	timer := time.NewTimer(t.s.lim.StreamIdle)
	defer timer.Stop()
	for {
		select {
		case <-t.done:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
			left := t.s.lim.StreamIdle - t.quiet()
			if left <= 0 {
				return
			}
			timer.Reset(left)
		}
	}
}

// input is the reading side of a stream, as an event has it.
type input struct{ *stream }

// Close ends reads.
func (i input) Close() error {
	i.over.Store(true)
	_ = i.conn.SetReadDeadline(past)
	return nil
}

// waits is the input of a request that may become a stream: nobody knows what to read before the app has responded.
type waits struct {
	v      *service
	closed chan struct{}
	once   sync.Once
}

func (w *waits) Read(p []byte) (int, error) {
	select {
	case <-w.v.decided:
	case <-w.closed:
		return 0, os.ErrClosed
	}
	if w.v.stream == nil {
		return 0, io.EOF
	}
	return w.v.stream.Read(p)
}

func (w *waits) Close() error {
	w.once.Do(func() { close(w.closed) })
	select {
	case <-w.v.decided:
		if w.v.stream != nil {
			return input{w.v.stream}.Close()
		}
	default:
	}
	return nil
}
