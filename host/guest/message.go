package guest

import (
	"bytes"
	"io"
	"strconv"
	"strings"
)

// AnswerQuery serves a query as one message: "path\norigin\n" and the payload. Package handler calls it.
func AnswerQuery(in []byte, f func(*Query) ([]byte, error)) ([]byte, error) {
	path, rest, ok := bytes.Cut(in, []byte("\n"))
	origin, payload, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok || !ok2 {
		return nil, ErrEncoding
	}
	return f(&Query{Path: string(path), Origin: string(origin), Payload: payload})
}

// AnswerHTTP serves a whole HTTP/1.1 message and returns another one. Package handler calls it.
func AnswerHTTP(in []byte, f func(*Response, *Request)) []byte {
	m := &message{}
	w := &Response{sink: m}
	r, err := parseRequest(string(in))
	if err != nil {
		w.WriteHeader(400)
	} else {
		f(w, r)
	}
	_ = w.finish() // writing to memory does not fail
	h := m.header
	if h.Get("Content-Length") == "" {
		h.Add("Content-Length", strconv.Itoa(m.body.Len()))
	}
	var out strings.Builder
	out.WriteString("HTTP/1.1 " + strconv.Itoa(m.status) + " \r\n" + h.lines() + "\r\n")
	return append([]byte(out.String()), m.body.Bytes()...)
}

// message is a response that is sent at once.
type message struct {
	status int
	header Header
	body   bytes.Buffer
}

func (m *message) respond(status int, h Header) error {
	m.status, m.header = status, h
	return nil
}

func (m *message) Read([]byte) (int, error)    { return 0, io.EOF }
func (m *message) Write(p []byte) (int, error) { return m.body.Write(p) }
func (m *message) Close() error                { return nil }
