package ingress

import (
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

var past = time.Unix(1, 0)

// body is what a client sends with a request: bounded, counted, digested, each piece with a deadline.
type body struct {
	x    *exchange
	from io.Reader
	sum  hash.Hash   // nil: nothing is signed
	eof  atomic.Bool // all of it was read

	until time.Time // by when all of it must be here; zero: each piece has its time

	reading sync.Mutex // held while something is read
	mu      sync.Mutex // guards what follows, and is never held over a read
	under   bool       // a read is under way
	closed  bool
}

func newBody(x *exchange) *body {
	b := &body{x: x, from: x.r.Body}
	if x.r.ContentLength == 0 {
		b.eof.Store(true)
	} else {
		b.from = http.MaxBytesReader(nil, x.r.Body, x.s.lim.MaxBodyBytes) // nil: reads must not touch the response
	}
	return b
}

// begin says that a read may begin, and gives it a deadline. Ours may after the app has closed the body.
func (b *body) begin(ours bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed && !ours || b.x.ctx.Err() != nil {
		return false
	}
	b.under = true
	until := b.until
	if until.IsZero() {
		until = time.Now().Add(b.x.s.lim.ReadTimeout)
	}
	_ = b.x.rc.SetReadDeadline(until)
	return true
}

func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	return b.read(p, false)
}

func (b *body) read(p []byte, ours bool) (int, error) {
	if b.eof.Load() {
		return 0, io.EOF
	}
	if !b.begin(ours) {
		return 0, fault.New(fault.CanceledCaller, "read a request", "", os.ErrClosed)
	}
	n, err := b.from.Read(p)
	b.mu.Lock()
	if b.under = false; !b.closed || ours {
		// A deadline that stays would end the request when it passes: net/http watches the connection from the end of a body on.
		_ = b.x.rc.SetReadDeadline(time.Time{})
	}
	b.mu.Unlock()
	b.x.touch()
	b.x.bytes.in.Add(uint64(n))
	if b.sum != nil {
		_, _ = b.sum.Write(p[:n])
	}
	if err == io.EOF {
		b.eof.Store(true)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = fault.New(fault.CallerParamsTooBig, "read a request", "", tooLarge)
	} else if err != nil && err != io.EOF {
		err = fault.New(fault.CanceledCaller, "read a request", "", err)
	}
	return n, err
}

// busy says whether a read waits for the client.
func (b *body) busy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.under
}

// Close ends reads, also one that is under way, and waits for it.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	if b.under {
		_ = b.x.rc.SetReadDeadline(past)
	}
	b.mu.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
	return nil
}

var emptySum = blake2b.Sum256(nil)

// digest returns that of the whole body, after what the app left unread, if that is little.
func (b *body) digest() (sum [32]byte, ok bool) {
	if b.sum == nil {
		return emptySum, b.eof.Load()
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.x.r.ContentLength > 0 && b.x.r.Header["Expect"] != nil && !b.eof.Load() {
		return sum, false // the client may wait for a sign that it is not given any more
	}
	if !b.eof.Load() {
		p := buffer()
		defer release(p)
		for left := maxDrain; left > 0 && !b.eof.Load(); {
			n, err := b.read((*p)[:min(left, cap(*p))], true)
			left -= n
			if err != nil && err != io.EOF {
				return sum, false
			}
		}
	}
	b.sum.Sum(sum[:0])
	return sum, b.eof.Load()
}

const bufferBytes = 32 << 10

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, bufferBytes)) }}

func buffer() *[]byte { return buffers.Get().(*[]byte) }

// release gives a buffer back, which may have grown, but not if it is much larger than most need.
func release(p *[]byte) {
	if cap(*p) <= 1<<20 {
		*p = (*p)[:0]
		buffers.Put(p)
	}
}
