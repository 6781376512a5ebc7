package guest

import (
	"io"
	"io/fs"
	"time"
)

// stream is what an event or a connection has in common: bytes both ways.
type stream struct {
	handle              Handle
	readUntil, putUntil time.Time
	closed              bool
}

// Read returns io.EOF after the last byte.
func (s *stream) Read(p []byte) (int, error) {
	if s.closed {
		return 0, fs.ErrClosed
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(len(p), MaxBytes)]
	var n uint64
	errno := wait(uint32(s.handle), true, left(s.readUntil), func(ms int64) uint32 {
		return sysRead(uint32(s.handle), ms, place(p), length(p), &n)
	})
	if errno != 0 {
		return 0, ended(errno)
	}
	return int(min(n, uint64(len(p)))), nil
}

// Write waits while the other side does not read.
func (s *stream) Write(p []byte) (int, error) {
	if s.closed {
		return 0, fs.ErrClosed
	}
	done := 0
	for done < len(p) {
		part := p[done:min(len(p), done+MaxBytes)]
		var n uint64
		errno := wait(uint32(s.handle), false, left(s.putUntil), func(ms int64) uint32 {
			return sysWrite(uint32(s.handle), ms, place(part), length(part), &n)
		})
		if errno != 0 {
			return done, failure(errno)
		}
		if n == 0 || n > uint64(len(part)) {
			return done, io.ErrShortWrite
		}
		done += int(n)
	}
	return done, nil
}

// CloseWrite says that no more will be written.
func (s *stream) CloseWrite() error { return failure(sysShutdown(uint32(s.handle))) }

func (s *stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return s.handle.Close()
}

// SetDeadline sets both deadlines; the zero time is none.
func (s *stream) SetDeadline(t time.Time) error {
	s.readUntil, s.putUntil = t, t
	return nil
}

// SetReadDeadline says until when reads wait.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.readUntil = t
	return nil
}

// SetWriteDeadline says until when writes wait.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.putUntil = t
	return nil
}

// left is the timeout of a deadline.
func left(until time.Time) time.Duration {
	if until.IsZero() {
		return Forever
	}
	return max(time.Until(until), 0)
}
