package guest

import (
	"errors"
	"io"
	"strings"
)

// Query is bytes in, for bytes out.
type Query struct {
	Path    string
	Origin  string // account that signed it, in hex; empty: nobody did
	Payload []byte
}

// Failure is an error of a query that has a number of the app's own, which must not be 0.
type Failure struct {
	Code uint32
	Text string
}

func (f *Failure) Error() string { return f.Text }

// Handlers says what a service does with each kind of event. One that is missing closes the event.
type Handlers struct {
	Query      func(*Query) ([]byte, error) // an error is answered as its text: with the Code of a Failure, else with 1
	HTTP       func(*Response, *Request)
	Connection func(name string, c *Conn) // by TLS, for a server name of the app; closed when it returns
	Concurrent int                        // how many events may be under way; default 1
}

// The kinds of events.
const (
	eventQuery      = 1
	eventHTTP       = 2
	eventConnection = 3
)

// Serve handles events until the host has no more for this instance.
func Serve(h Handlers) error {
	if h.Concurrent <= 1 {
		for {
			kind, handle, errno := accept(-1)
			if errno != 0 {
				return served(errno)
			}
			h.handle(kind, handle)
		}
	}
	l := &loop{}
	shared = l
	defer func() { shared = nil }()
	for {
		l.settle()
		event, err := l.poll(l.active < h.Concurrent, -1)
		if err != nil {
			return err
		}
		if !event {
			continue
		}
		kind, handle, errno := accept(0)
		if Errno(errno) == ErrPending {
			continue
		}
		if errno != 0 {
			return l.drain(errno)
		}
		l.begin(&h, arrival{kind, handle})
	}
}

// arrival is an event that was accepted.
type arrival struct {
	kind   uint32
	handle Handle
}

// begin handles an event in a goroutine that has handled others before, if there is one: its stack has the size that this takes.
func (l *loop) begin(h *Handlers, a arrival) {
	l.active++
	l.running++
	if last := len(l.free) - 1; last >= 0 {
		next := l.free[last]
		l.free = l.free[:last]
		next <- a
		return
	}
	go func() {
		for next := make(chan arrival); ; a = <-next {
			h.handle(a.kind, a.handle)
			l.active--
			l.running--
			l.free = append(l.free, next)
		}
	}()
}

// drain finishes what is under way.
func (l *loop) drain(errno uint32) error {
	for l.settle(); l.active > 0; l.settle() {
		if _, err := l.poll(false, -1); err != nil {
			return err
		}
	}
	return served(errno)
}

func served(errno uint32) error {
	if Errno(errno) == ErrEOF {
		return nil
	}
	return failure(errno)
}

func accept(ms int64) (kind uint32, h Handle, errno uint32) {
	var handle uint32
	errno = sysAccept(ms, &kind, &handle)
	return kind, Handle(handle), errno
}

func head(h Handle) (string, error) {
	b, err := sized(1<<10, func(p *byte, room uint32, size *uint64) uint32 { return sysHead(uint32(h), p, room, size) })
	return string(b), err
}

// handle serves one event. A panic leaves it to the host, which tells the caller how the instance ended.
func (h *Handlers) handle(kind uint32, handle Handle) {
	s := &stream{handle: handle}
	h.serve(kind, handle, s)
	_ = s.Close()
}

// serve does so. What fails is that the caller has left, which is no reason to end.
func (h *Handlers) serve(kind uint32, handle Handle, s *stream) {
	first, err := head(handle)
	if err != nil {
		return
	}
	switch {
	case kind == eventQuery && h.Query != nil:
		q := &Query{}
		q.Path, q.Origin, _ = strings.Cut(strings.TrimSuffix(first, "\n"), "\n")
		if q.Payload, err = io.ReadAll(s); err != nil {
			return
		}
		code, reply := uint32(0), []byte(nil)
		if reply, err = h.Query(q); err != nil {
			code, reply = 1, []byte(err.Error())
			if f, ok := errors.AsType[*Failure](err); ok && f.Code != 0 {
				code = f.Code
			}
		}
		s.closed = s.reply(code, reply) == nil // which gave the handle back
	case kind == eventHTTP && h.HTTP != nil:
		w := &Response{sink: s}
		r, err := parseRequest(first)
		if err != nil {
			w.WriteHeader(400)
		} else {
			r.Body = s
			h.HTTP(w, r)
		}
		_ = w.finish()
	case kind == eventConnection && h.Connection != nil:
		name, peer, _ := strings.Cut(first, "\n")
		h.Connection(name, &Conn{stream: s, peer: strings.TrimSuffix(peer, "\n")})
	}
}

// reply answers a query. What one call cannot carry goes before.
func (s *stream) reply(code uint32, reply []byte) error {
	front := max(0, len(reply)-MaxBytes)
	_, err := s.Write(reply[:front])
	if err == nil {
		err = failure(sysReply(uint32(s.handle), code, place(reply[front:]), length(reply[front:])))
	}
	if errors.Is(err, ErrLimited) {
		why := "the reply is too long"
		err = failure(sysReply(uint32(s.handle), 1, text(why), length(why)))
	}
	return err
}
