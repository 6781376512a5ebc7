package host

import (
	"crypto/sha256"
	"hash"
	"io"
	"sync"
	"sync/atomic"
)

// heard is what a cross-check knows of the streams of a caller. What is nil was not given by him.
type heard struct {
	stdin          *tap
	stdout, stderr *tee
}

// listen puts itself between a run and the streams of its caller.
func listen(r *Request) (h heard) {
	if r.Stdin != nil {
		h.stdin = &tap{r: r.Stdin}
		r.Stdin = h.stdin
	}
	if r.Stdout != nil {
		h.stdout = &tee{w: r.Stdout, sum: sha256.New()}
		r.Stdout = h.stdout
	}
	if r.Stderr != nil {
		h.stderr = &tee{w: r.Stderr, sum: sha256.New()}
		r.Stderr = h.stderr
	}
	return h
}

// tap tells whether a reader was asked for anything.
type tap struct {
	r    io.Reader
	read atomic.Bool
}

// Read implements io.Reader.
func (t *tap) Read(p []byte) (int, error) {
	t.read.Store(true)
	return t.r.Read(p)
}

// tee keeps the digest of what was written, up to checkBytes.
type tee struct {
	w io.Writer

	mu  sync.Mutex // a Write may be left behind when its run has ended
	sum hash.Hash
	n   int64
}

// Write implements io.Writer.
func (t *tee) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n += int64(len(p)); t.n <= checkBytes {
		t.sum.Write(p)
	}
	return n, err
}

// over reports whether too much was written to be compared.
func (t *tee) over() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n > checkBytes
}

// digest is that of what was written, or of what was captured if there was nobody to write to.
func (t *tee) digest(captured []byte) [32]byte {
	if t == nil {
		return sha256.Sum256(captured)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return [32]byte(t.sum.Sum(nil))
}
