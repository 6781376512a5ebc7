package calls

import (
	"errors"
	"io"
	"sync"

	"github.com/troupehost/troupe/host/abi"
)

const (
	maxBuffered = 32 << 10 // bytes of a stream, each way
	readSize    = 16 << 10 // bytes that are asked for at once
)

// source reads ahead, by a goroutine that lives as long as a Read does and there is room.
type source struct {
	r      io.Reader // nil: nothing comes
	notify func()

	mu    sync.Mutex
	buf   []byte
	err   error // after buf
	busy  bool
	held  bool // an upgrade is under way: nothing is read until it is done
	again bool // what the Read that was under way at an upgrade says of an end is of the time before
	dead  bool
}

// take returns up to room bytes: ok says whether there are any, or an end.
func (s *source) take(room int) (p []byte, errno uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.fillLocked()
	if n := min(room, len(s.buf)); n > 0 || (room == 0 && len(s.buf) > 0) {
		p = append(p, s.buf[:n]...)
		if s.buf = s.buf[n:]; len(s.buf) == 0 {
			s.buf = nil
		}
		return p, abi.ErrNone, true
	}
	if b, is := s.r.(atHand); is && !s.held && s.err == nil && !s.dead {
		if b.Len() > 0 {
			p = make([]byte, min(room, b.Len()))
			n, _ := b.Read(p)
			return p[:n], abi.ErrNone, true
		}
		return nil, abi.ErrEOF, true
	}
	switch {
	case s.held:
		return nil, 0, false
	case s.dead:
		return nil, abi.ErrClosed, true
	case s.r == nil || errors.Is(s.err, io.EOF):
		return nil, abi.ErrEOF, true
	case s.err != nil:
		return nil, abi.ErrIO, true
	}
	return nil, 0, false
}

func (s *source) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fillLocked()
	_, is := s.r.(atHand)
	return len(s.buf) > 0 || !s.held && (s.dead || is || s.r == nil || s.err != nil)
}

// fillLocked has the buffer filled, if nobody does.
func (s *source) fillLocked() {
	if _, is := s.r.(atHand); is || s.r == nil || s.busy || s.held || s.dead || s.err != nil || len(s.buf) >= maxBuffered {
		return
	}
	s.busy = true
	go s.fill()
}

func (s *source) fill() {
	chunk := make([]byte, readSize)
	for {
		s.mu.Lock()
		room := min(maxBuffered-len(s.buf), len(chunk))
		if room <= 0 || s.err != nil || s.dead || s.held {
			s.busy = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		n, err := s.r.Read(chunk[:room])
		s.mu.Lock()
		s.buf = append(s.buf, chunk[:n]...)
		if !s.again {
			s.err = err
		}
		s.again = false
		s.mu.Unlock()
		s.notify()
	}
}

// hold has nothing read until reopen, which forgets an end.
func (s *source) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

func (s *source) reopen() {
	s.mu.Lock()
	s.held, s.err, s.again = false, nil, s.busy
	s.mu.Unlock()
	s.notify()
}

// kill drops what is buffered. Who calls it closes what is read, which ends the goroutine.
func (s *source) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead, s.buf = true, nil
}

// target is where a sink writes.
type target interface {
	Respond(status int, header []byte) error
	Write(p []byte) (int, error)
	CloseWrite() error
}

// sink writes behind, in order, by a goroutine that lives as long as there is something to write.
type sink struct {
	to     target
	notify func()

	mu      sync.Mutex
	header  []byte
	status  int    // 0: there is no head to write
	headed  func() // after it was written
	buf     []byte
	writing int // bytes that are being written
	shut    bool
	shutNow bool   // CloseWrite comes after the bytes
	then    func() // once, when all is written or cannot be
	busy    bool
	err     error
}

// respond begins with a head.
func (s *sink) respond(status int, header []byte, headed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.header, s.headed = status, append([]byte(nil), header...), headed
	s.drainLocked()
}

// put takes as much as there is room for: ok says whether that is anything, or an error.
func (s *sink) put(p []byte) (n int, errno uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shut:
		return 0, abi.ErrCondition, true
	case s.err != nil:
		return 0, abi.ErrIO, true
	}
	n = min(len(p), maxBuffered-len(s.buf)-s.writing)
	if n <= 0 {
		return 0, 0, len(p) == 0
	}
	s.buf = append(s.buf, p[:n]...)
	s.drainLocked()
	return n, abi.ErrNone, true
}

// shutdown says that nothing follows. It reports whether that is new.
func (s *sink) shutdown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return false
	}
	s.shut, s.shutNow = true, true
	s.drainLocked()
	return true
}

// finish calls then when all is written. Nothing more is taken.
func (s *sink) finish(then func()) {
	s.mu.Lock()
	s.shut = true
	if s.busy {
		s.then = then
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	go then() // it may wait for the disk, and the guest need not
}

// kill drops what is not written.
func (s *sink) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut, s.buf, s.status, s.shutNow = true, nil, 0, false
	if s.err == nil {
		s.err = io.ErrClosedPipe
	}
}

func (s *sink) drainLocked() {
	if !s.busy {
		s.busy = true
		go s.drain()
	}
}

func (s *sink) drain() {
	s.mu.Lock()
	for {
		var err error
		status, header, headed, p := s.status, s.header, s.headed, s.buf
		shut := s.shutNow
		switch {
		case s.err != nil, status == 0 && len(p) == 0 && !shut:
			s.buf, s.status, s.shutNow, s.busy = nil, 0, false, false
			then := s.then
			s.then = nil
			s.mu.Unlock()
			s.notify()
			if then != nil {
				then()
			}
			return
		case status != 0:
			s.status, s.header, s.headed = 0, nil, nil
			s.mu.Unlock()
			if err = s.to.Respond(status, header); headed != nil {
				headed()
			}
			s.mu.Lock()
		case len(p) > 0:
			s.buf, s.writing = nil, len(p)
			s.mu.Unlock()
			_, err = s.to.Write(p)
			s.mu.Lock()
			s.writing = 0
		default:
			s.shutNow = false
			s.mu.Unlock()
			err = s.to.CloseWrite()
			s.mu.Lock()
		}
		if err != nil && s.err == nil {
			s.err = err
		}
		s.notify()
	}
}
