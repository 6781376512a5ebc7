package guest

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestsAreRead(t *testing.T) {
	r, err := parseRequest("GET /a/b?x=1&y=a%20b+c&z HTTP/1.1\r\nHost: example\r\nAccept:  a, b \r\naccept: c\r\n\r\nbody")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = nil
	want := &Request{Method: "GET", Target: "/a/b?x=1&y=a%20b+c&z", Path: "/a/b", RawQuery: "x=1&y=a%20b+c&z", Proto: "HTTP/1.1",
		Header: Header{{"Host", "example"}, {"Accept", "a, b"}, {"accept", "c"}}}
	if d := cmp.Diff(want, r); d != "" || string(body) != "body" {
		t.Errorf("%s %q", d, body)
	}
	if r.Param("y") != "a b c" || r.Param("z") != "" || r.Param("none") != "" || decode("%zz%4") != "%zz%4" {
		t.Error("wrong parameters")
	}
	if !r.Header.Has("ACCEPT", "B") || !r.Header.Has("accept", "c") || r.Header.Has("accept", "d") || r.Header.Get("host") != "example" {
		t.Error("wrong header")
	}
	for _, bad := range []string{"", "GET / HTTP/1.1", "GET /\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\n: x\r\n\r\n", "GET / HTTP/1.1\r\nA : x\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n"} {
		if _, err := parseRequest(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestHeadersCannotBeSplit(t *testing.T) {
	var h Header
	h.Add("A", "1\r\nB: 2")
	h.Set("C", "3")
	h.Set("c", "4\x00")
	if got := h.lines(); got != "A: 1  B: 2\r\nc: 4 \r\n" {
		t.Errorf("%q", got)
	}
}

func TestResponsesOfHandlers(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(w *Response, r *Request)
		want  string
	}{
		"nothing":  {func(*Response, *Request) {}, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"},
		"a body":   {func(w *Response, _ *Request) { _, _ = w.WriteString("body") }, "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody"},
		"a status": {func(w *Response, _ *Request) { w.WriteHeader(404); w.WriteHeader(200) }, "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"},
		"in parts": {func(w *Response, _ *Request) { _, _ = w.WriteString("a"); _ = w.Flush(); _, _ = w.WriteString("b") }, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab"},
		"much": {func(w *Response, _ *Request) {
			for range 5 {
				_, _ = w.WriteString(strings.Repeat("x", 1000))
			}
		}, "HTTP/1.1 200 \r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000)},
		"no upgrade": {func(w *Response, _ *Request) {
			if _, err := w.Upgrade(); err != ErrUnsupported {
				w.WriteHeader(500)
			}
		}, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"},
	} {
		if got := AnswerHTTP([]byte("GET / HTTP/1.1\r\n\r\n"), c.serve); string(got) != c.want {
			t.Errorf("%s: %.100q", name, got)
		}
	}
	if _, err := AnswerQuery([]byte("path\n"), nil); err != ErrEncoding {
		t.Error(err)
	}
}

// pipe is a connection whose other side said all that it will.
type pipe struct {
	io.Reader
	bytes.Buffer
	closed bool
}

func (p *pipe) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func (p *pipe) Close() error {
	p.closed = true
	return nil
}

func TestWebSocketFrames(t *testing.T) {
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // of RFC 6455
		t.Errorf("%q", got)
	}
	hello := "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" // of RFC 6455, "Hello"
	for name, c := range map[string]struct {
		in, want, sent string
		err            error
	}{
		"a message":         {in: hello, want: "Hello"},
		"a ping before":     {in: "\x89\x80\x00\x00\x00\x00" + hello, want: "Hello", sent: "\x8a\x00"},
		"pieces":            {in: "\x01\x81\x00\x00\x00\x00a\x80\x81\x00\x00\x00\x00b", want: "ab"},
		"the end":           {in: "\x88\x82\x00\x00\x00\x00\x03\xe8", sent: "\x88\x02\x03\xe8", err: io.EOF},
		"nothing":           {err: io.EOF},
		"not masked":        {in: "\x81\x01a", err: errFrame},
		"reserved bits":     {in: "\xc1\x80\x00\x00\x00\x00", err: errFrame},
		"unknown kind":      {in: "\x83\x80\x00\x00\x00\x00", err: errFrame},
		"a piece of none":   {in: "\x80\x80\x00\x00\x00\x00", err: errFrame},
		"two first pieces":  {in: "\x01\x80\x00\x00\x00\x00\x01\x80\x00\x00\x00\x00", err: errFrame},
		"a ping in pieces":  {in: "\x09\x80\x00\x00\x00\x00", err: errFrame},
		"a long ping":       {in: "\x89\xfe\x00\x7e\x00\x00\x00\x00", err: errFrame},
		"too long":          {in: "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", err: errLong},
		"too long together": {in: "\x01\xe4\x00\x00\x00\x00" + strings.Repeat("a", 100) + "\x80\x81\x00\x00\x00\x00b", err: errLong},
		"cut":               {in: hello[:8], err: io.ErrUnexpectedEOF},
	} {
		p := &pipe{Reader: strings.NewReader(c.in)}
		got, _, err := newWebSocket(p, 100).Read()
		if err != c.err || string(got) != c.want || p.String() != c.sent {
			t.Errorf("%s: %q, sent %q, %v", name, got, p.String(), err)
		}
	}
	p := &pipe{Reader: strings.NewReader("")}
	s := newWebSocket(p, 100)
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		if err := s.Write(make([]byte, n), true); err != nil {
			t.Fatal(err)
		}
		head := p.Next(p.Len() - n)
		want := map[int]string{0: "\x82\x00", 125: "\x82\x7d", 126: "\x82\x7e\x00\x7e", 65535: "\x82\x7e\xff\xff", 65536: "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"}[n]
		if string(head) != want {
			t.Errorf("%d: %q", n, head)
		}
		p.Reset()
	}
	_, _ = s.Close(), s.Close()
	if got := p.String(); got != "\x88\x02\x03\xe8" || !p.closed {
		t.Errorf("%q", got)
	}
}

// FuzzWebSocket: whatever a client sends, a message is never longer than was agreed.
func FuzzWebSocket(f *testing.F) {
	f.Add([]byte("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := newWebSocket(&pipe{Reader: bytes.NewReader(in)}, 50)
		for {
			m, _, err := s.Read()
			if len(m) > 50 {
				t.Fatalf("%d bytes", len(m))
			}
			if err != nil {
				return
			}
		}
	})
}

// FuzzRequest: a request that is read has no byte in its header that would make another line.
func FuzzRequest(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nA: b\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := parseRequest(in)
		if err != nil {
			return
		}
		if slices.ContainsFunc(r.Header, func(f Field) bool { return strings.Contains(f.Name+f.Value, "\n") }) {
			t.Fatalf("%q", r.Header)
		}
		_ = r.Param("x")
	})
}
