package calls

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

const (
	maxResponseHead = 64 << 10 // bytes, with those of interim responses
	maxInterim      = 8        // responses that come before the one that was asked for, and itself
)

// hops are the fields that are about one connection, which here is the host's.
var hops = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// parseRequest reads what a guest fetches. Its target is an absolute URL, and nothing follows its body.
func parseRequest(b []byte) (*http.Request, uint32) {
	br := bufio.NewReader(bytes.NewReader(b))
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil, abi.ErrEncoding
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, abi.ErrEncoding
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return nil, abi.ErrEncoding
	}
	u := r.URL
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Method == http.MethodConnect:
		return nil, abi.ErrParam
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" || r.RequestURI == "*":
		return nil, abi.ErrParam
	}
	for name, values := range r.Header {
		if !validName(name) || slices.ContainsFunc(values, func(v string) bool { return !validValue([]byte(v)) }) {
			return nil, abi.ErrEncoding
		}
	}
	out := &http.Request{Method: r.Method, URL: u, Host: u.Host, Header: r.Header, Close: true,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	for _, field := range strings.Split(strings.Join(r.Header["Connection"], ","), ",") {
		out.Header.Del(strings.TrimSpace(field))
	}
	for _, field := range hops {
		out.Header.Del(field)
	}
	if len(out.Header["User-Agent"]) == 0 {
		out.Header["User-Agent"] = []string{""} // else one is made up
	}
	out.Body, out.ContentLength = http.NoBody, 0
	if len(body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return out, abi.ErrNone
}

// fetch sends one request and waits for the head of the response. Redirects are the guest's to follow: they are fetched anew,
// and checked anew.
func (i *Instance) fetch(r *request) run.Answer {
	req, errno := parseRequest(r.args[0])
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	secure := req.URL.Scheme == "https"
	port := req.URL.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[secure]
	}
	host, addr, num, ok := splitTarget(net.JoinHostPort(req.URL.Hostname(), port))
	if !ok {
		return refuse(abi.ErrParam)
	}
	var out *conn
	errno = i.dialing(r, r.nums[0], func(ctx context.Context) uint32 {
		c, errno := i.dial(ctx, host, addr, num, secure)
		if errno != abi.ErrNone {
			return errno
		}
		stop := context.AfterFunc(ctx, func() { abort(c) }) // has reads and writes fail
		out, errno = i.roundTrip(c, req)
		if !stop() && errno == abi.ErrNone { // it was closed under the response
			out.release(nil)
			errno = abi.ErrIO
		}
		if errno != abi.ErrNone {
			abort(c)
		}
		return errno
	})
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	i.ingress(len(out.head))
	return i.give(out)
}

// roundTrip writes a request and reads the head of its response. A server may answer before it has read all, so nobody waits for the
// write: it ends with the connection.
func (i *Instance) roundTrip(c net.Conn, req *http.Request) (*conn, uint32) {
	var raw bytes.Buffer
	if err := req.Write(&raw); err != nil {
		return nil, abi.ErrEncoding
	}
	i.egress(raw.Len())
	go func() { _, _ = c.Write(raw.Bytes()) }() // that it failed, the read says
	limited := &io.LimitedReader{R: c, N: maxResponseHead}
	br := bufio.NewReaderSize(limited, 4096)
	for range maxInterim {
		resp, err := http.ReadResponse(br, req) //nolint:bodyclose // it ends with the connection, which the handle has
		switch {
		case err != nil && limited.N <= 0:
			return nil, abi.ErrLimited
		case err != nil:
			return nil, abi.ErrIO
		case resp.StatusCode == http.StatusSwitchingProtocols: // nobody asked for it
			return nil, abi.ErrIO
		case resp.StatusCode >= 200:
			limited.N = math.MaxInt64
			return &conn{i: i, head: responseHead(resp), c: c, in: source{r: resp.Body, notify: i.notify}}, abi.ErrNone
		}
	}
	return nil, abi.ErrIO
}

// responseHead writes the head of a response as it was, but for what was about the connection.
func responseHead(r *http.Response) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %03d %s\r\n", r.StatusCode, strings.TrimSpace(strings.TrimPrefix(r.Status, fmt.Sprintf("%03d", r.StatusCode))))
	for _, field := range hops {
		r.Header.Del(field)
	}
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
