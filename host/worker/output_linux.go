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
// code cannot be interrupted; a timer sends for it. Whatever is killed within that time is not heard. A short run ends before
// a timer would be of use, and has none.
type output struct {
	ring *wire.WorkerRing

	mu     sync.Mutex // held while a frame of output is sent
	timer  *time.Timer
	timed  bool // the run is long
	stderr bool
	buf    []byte // of wire.FullPiece at most
	err    error  // of a piece that the timer sent

	piece  wire.Output // what is sent, without memory of its own
	answer wire.Result

	begin         time.Time // of the run, or later; zero: nobody has asked
	frames, bytes int64
}

func newOutput(ring *wire.WorkerRing) *output {
	o := &output{ring: ring}
	o.timer = time.AfterFunc(time.Hour, func() { _ = o.tell() })
	o.timer.Stop()
	return o
}

// reset begins a run.
func (o *output) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin, o.frames, o.bytes, o.timed = time.Time{}, 0, 0, false // a short run needs no reading of the clock
}

// long says that the run takes long: what it has written so far is sent, and a timer looks after what it will write.
func (o *output) long() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.timed {
		o.timed = true
		o.ageLocked()
		o.flushLocked()
		o.ring.Flush()
	}
	return o.err
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
			o.pieceLocked(stderr, p[:n])
			o.ring.Flush()
			p = p[n:]
			continue
		}
		if len(o.buf) == 0 && o.timed {
			o.timer.Reset(wire.GatherTime)
		}
		n := min(len(p), wire.FullPiece-len(o.buf))
		o.buf = append(o.buf, p[:n]...)
		p = p[n:]
		if len(o.buf) == wire.FullPiece {
			o.flushLocked()
			o.ring.Flush()
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
		o.answer.Data = p[:n]
		o.sendLocked(&o.answer, n)
		p = p[n:]
	}
	return o.err
}

// tell sends what was gathered, and wakes the host.
func (o *output) tell() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushLocked()
	o.ring.Flush()
	return o.err
}

// flush sends what was gathered. Afterwards nobody but its caller sends, until the next write.
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
	if o.timed {
		o.timer.Stop()
	}
	o.pieceLocked(o.stderr, o.buf)
	o.buf = o.buf[:0]
}

func (o *output) pieceLocked(stderr bool, p []byte) {
	o.piece = wire.Output{Stderr: stderr, Data: p}
	o.sendLocked(&o.piece, len(p))
	o.piece.Data = nil
}

// ageLocked returns for how long the run has been sending, and no more than the host knows: it counts from the first time that it
// is asked.
func (o *output) ageLocked() time.Duration {
	if o.begin.IsZero() {
		o.begin = time.Now()
	}
	return time.Since(o.begin)
}

// sendLocked sends a frame with n bytes of the guest's when it may.
func (o *output) sendLocked(m wire.Message, n int) {
	if o.err != nil {
		return
	}
	o.frames++
	o.bytes += int64(n)
	for o.frames > wire.Pieces(0, o.bytes) && o.frames > wire.Pieces(o.ageLocked(), o.bytes) {
		o.ring.Flush()
		<-time.After(wire.GatherTime)
	}
	o.err = o.ring.Send(m)
}

// stdin is what a guest reads in one run.
type stdin struct {
	ring  *wire.WorkerRing
	out   *output
	long  func() error
	end   bool
	frame wire.Frame
}

func (i *stdin) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if i.end { // the host said so, and takes no more questions
		return 0, io.EOF
	}
	if err := i.long(); err != nil {
		return 0, err
	}
	if err := i.out.flush(); err != nil {
		return 0, err
	}
	if err := i.ring.Send(wire.NeedStdin{Max: int64(min(len(p), wire.MaxChunk))}); err != nil {
		return 0, err
	}
	if err := i.ring.Next(&i.frame); err != nil {
		return 0, err
	}
	in := &i.frame.Stdin
	if i.frame.Type != wire.TypeStdin || len(in.Data) > len(p) {
		return 0, wire.ErrFrame
	}
	n := copy(p, in.Data)
	if i.end = n == 0 && in.EOF; i.end {
		return 0, io.EOF
	}
	return n, nil
}
