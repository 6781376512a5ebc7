package guest

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Header has the fields of a message, in their order.
type Header []Field

// Field is a line of a header.
type Field struct{ Name, Value string }

// Get returns the first value of a field, whatever the case of its name, or nothing.
func (h Header) Get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Has reports whether a comma-separated field has this word in it.
func (h Header) Has(name, word string) bool {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			for w := range strings.SplitSeq(f.Value, ",") {
				if strings.EqualFold(strings.TrimSpace(w), word) {
					return true
				}
			}
		}
	}
	return false
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Set replaces all fields of this name.
func (h *Header) Set(name, value string) {
	*h = slices.DeleteFunc(*h, func(f Field) bool { return strings.EqualFold(f.Name, name) })
	h.Add(name, value)
}

// lines writes the header without what would begin another line.
func (h Header) lines() string {
	var b strings.Builder
	for _, f := range h {
		b.WriteString(clean(f.Name))
		b.WriteString(": ")
		b.WriteString(clean(f.Value))
		b.WriteString("\r\n")
	}
	return b.String()
}

func clean(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(s)
}

// Request is an HTTP request.
type Request struct {
	Method   string
	Target   string // as it was sent
	Path     string // of the target, not decoded
	RawQuery string
	Proto    string
	Header   Header
	Body     io.Reader
}

// Param returns the first value of a parameter of the query string, decoded, or nothing.
func (r *Request) Param(name string) string {
	for pair := range strings.SplitSeq(r.RawQuery, "&") {
		if k, v, _ := strings.Cut(pair, "="); decode(k) == name {
			return decode(v)
		}
	}
	return ""
}

// decode undoes the encoding of a query string; what is none stays as it is.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b.WriteByte(' ')
		case c == '%' && i+2 < len(s):
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				b.WriteByte(c)
				continue
			}
			b.WriteByte(byte(v))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var errMessage = errors.New("not an HTTP/1.1 message")

// cutHead separates the head of a message, which ends in an empty line, from its body.
func cutHead(message string) (first string, h Header, body string, err error) {
	end, width := strings.Index(message, "\r\n\r\n"), 4
	if end < 0 {
		if end, width = strings.Index(message, "\n\n"), 2; end < 0 {
			return "", nil, "", errMessage
		}
	}
	n := 0
	for line := range strings.SplitSeq(message[:end], "\n") {
		line = strings.TrimSuffix(line, "\r")
		if n++; n == 1 {
			first = line
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return "", nil, "", errMessage
		}
		h = append(h, Field{name, strings.TrimSpace(value)})
	}
	return first, h, message[end+width:], nil
}

func parseRequest(message string) (*Request, error) {
	first, h, body, err := cutHead(message)
	if err != nil {
		return nil, err
	}
	words := strings.Split(first, " ")
	if len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") {
		return nil, errMessage
	}
	r := &Request{Method: words[0], Target: words[1], Proto: words[2], Header: h, Body: strings.NewReader(body)}
	r.Path, r.RawQuery, _ = strings.Cut(r.Target, "?")
	return r, nil
}

// sink is where a response goes: to the host while it is made, or into one message.
type sink interface {
	io.ReadWriteCloser
	respond(status int, h Header) error
}

func (s *stream) respond(status int, h Header) error {
	lines := h.lines()
	return failure(sysRespond(uint32(s.handle), uint32(status), text(lines), length(lines)))
}

// Response answers a request. What is written is kept until it is more than 4 KiB, or Flush is called, or the handler returns.
type Response struct {
	Header Header

	sink   sink
	status int
	kept   []byte
	begun  bool // the head is out
	taken  bool // the connection is the handler's
	err    error
}

const keptBytes = 4 << 10

// WriteHeader sets the status, which is 200 without it.
func (w *Response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *Response) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.WriteHeader(200)
	if !w.begun && len(w.kept)+len(p) <= keptBytes {
		w.kept = append(w.kept, p...)
		return len(p), nil
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	n, err := w.sink.Write(p)
	w.err = err
	return n, err
}

// WriteString writes text.
func (w *Response) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Flush sends what was kept.
func (w *Response) Flush() error {
	if w.err == nil && !w.begun {
		w.begun = true
		w.WriteHeader(200)
		w.err = w.sink.respond(w.status, w.Header)
	}
	if w.err == nil && len(w.kept) > 0 {
		_, w.err = w.sink.Write(w.kept)
		w.kept = nil
	}
	return w.err
}

// finish sends what is left, with its length if that is all.
func (w *Response) finish() error {
	if w.taken {
		return nil
	}
	w.WriteHeader(200)
	if !w.begun && w.status >= 200 && w.status != 204 && w.status != 304 && w.Header.Get("Content-Length") == "" {
		w.Header.Add("Content-Length", strconv.Itoa(len(w.kept)))
	}
	return w.Flush()
}

// Upgrade answers 101 and hands out the connection, which is the handler's then until the handler returns.
func (w *Response) Upgrade() (io.ReadWriteCloser, error) {
	if w.begun || w.status != 0 {
		return nil, ErrCondition
	}
	if _, ok := w.sink.(*stream); !ok {
		return nil, ErrUnsupported
	}
	w.status, w.begun = 101, true
	if err := w.sink.respond(101, w.Header); err != nil {
		return nil, err
	}
	w.taken = true
	return w.sink, nil
}
