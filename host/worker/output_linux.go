package worker

import (
	"io"
	"sync"
	"time"

	"github.com/troupehost/troupe/host/wire"
)

// output sends what guests write and return.
//
// What is written to one stream is gathered until it is wire.FullPiece, or wire.GatherTime after its first byte, or until
// the guest writes to the other stream, reads, or ends, so that small writes do not cost the host a frame each. The guest's
// code cannot be interrupted; a timer sends for it. Whatever is killed within that time is not heard.
type output struct {
	conn *wire.WorkerConn

	mu     sync.Mutex // held while a frame of output is sent
	timer  *time.Timer
	stderr bool
	buf    []byte // of wire.FullPiece at most
	err    error  // of a piece that the timer sent

	begin         time.Time
	frames, bytes int64
}

func newOutput(conn *wire.WorkerConn) *output {
	o := &output{conn: conn}
	o.timer = time.AfterFunc(time.Hour, func() { _ = o.flush() })
	o.timer.Stop()
	return o
}

// reset begins a run.
func (o *output) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin, o.frames, o.bytes = time.Now(), 0, 0
}

// write takes a piece of output.
func (o *output) write(stderr bool, p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stderr != o.stderr {
		o.flushLocked()
		o.stderr = stderr
	}
	for len(p) > 0 && o.err == nil {
		if len(o.buf) == 0 && len(p) >= wire.FullPiece {
			n := min(len(p), wire.MaxChunk)
			o.sendLocked(wire.Output{Stderr: stderr, Data: p[:n]}, n)
			p = p[n:]
			continue
		}
		if len(o.buf) == 0 {
			o.timer.Reset(wire.GatherTime)
		}
		n := min(len(p), wire.FullPiece-len(o.buf))
		o.buf = append(o.buf, p[:n]...)
		p = p[n:]
		if len(o.buf) == wire.FullPiece {
			o.flushLocked()
		}
	}
	return o.err
}

// result sends the result of a run.
func (o *output) result(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
	for len(p) > 0 && o.err == nil {
		n := min(len(p), wire.MaxChunk)
		o.sendLocked(wire.Result{Data: p[:n]}, n)
		p = p[n:]
	}
	return o.err
}

// flush sends what was gathered. Afterwards nobody but its caller uses the connection, until the next write.
func (o *output) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
	return o.err
}

func (o *output) flushLocked() {
	if len(o.buf) == 0 {
		return
	}
	o.timer.Stop()
	o.sendLocked(wire.Output{Stderr: o.stderr, Data: o.buf}, len(o.buf))
	o.buf = o.buf[:0]
}

// sendLocked sends a frame with n bytes of the guest's when it may.
func (o *output) sendLocked(m wire.Message, n int) {
	if o.err != nil {
		return
	}
	o.frames++
	o.bytes += int64(n)
	for o.frames > wire.Pieces(time.Since(o.begin), o.bytes) {
		<-time.After(wire.GatherTime)
	}
	o.err = o.conn.Send(m)
}

// stdin is what a guest reads in one run.
type stdin struct {
	conn *wire.WorkerConn
	out  *output
	end  bool
}

func (i *stdin) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := i.out.flush(); err != nil {
		return 0, err
	}
	if i.end { // the host said so, and takes no more questions
		return 0, io.EOF
	}
	if err := i.conn.Send(wire.NeedStdin{Max: int64(min(len(p), wire.MaxChunk))}); err != nil {
		return 0, err
	}
	m, err := i.conn.Receive()
	if err != nil {
		return 0, err
	}
	in, ok := m.(wire.Stdin)
	if !ok || len(in.Data) > len(p) {
		return 0, wire.ErrFrame
	}
	n := copy(p, in.Data)
	if i.end = n == 0 && in.EOF; i.end {
		return 0, io.EOF
	}
	return n, nil
}
