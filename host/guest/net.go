package guest

import (
	"io"
	"strconv"
	"strings"
	"time"
)

// Conn is a connection: one that was dialled, accepted, or came by its server name. It has the methods of net.Conn but for the
// addresses, since package net would double the size of a small program.
type Conn struct {
	*stream
	peer string
}

// Peer is the address of the other side, or what was dialled.
func (c *Conn) Peer() string { return c.peer }

// Dial connects to "host:port", if the manifest allows that.
func Dial(address string, timeout time.Duration) (*Conn, error) { return dial(address, 0, timeout) }

// DialTLS does so with TLS, for the name in the address.
func DialTLS(address string, timeout time.Duration) (*Conn, error) { return dial(address, 1, timeout) }

func dial(address string, tls uint32, timeout time.Duration) (*Conn, error) {
	var h uint32
	if errno := sysConnect(text(address), length(address), tls, millis(timeout), &h); errno != 0 {
		return nil, Errno(errno)
	}
	return &Conn{&stream{handle: Handle(h)}, address}, nil
}

// Listener accepts connections.
type Listener struct{ handle Handle }

// Listen listens on "ip:port" or ":port", if manifest and host allow that port.
func Listen(address string) (*Listener, error) {
	var h uint32
	if errno := sysListen(text(address), length(address), &h); errno != 0 {
		return nil, Errno(errno)
	}
	return &Listener{Handle(h)}, nil
}

// Accept waits for a connection.
func (l *Listener) Accept(timeout time.Duration) (*Conn, error) {
	var h uint32
	var n uint64
	buf := make([]byte, 256)
	errno := wait(uint32(l.handle), true, timeout, func(ms int64) uint32 {
		return sysConnAccept(uint32(l.handle), ms, &h, place(buf), length(buf), &n)
	})
	if errno != 0 {
		return nil, Errno(errno)
	}
	return &Conn{&stream{handle: Handle(h)}, string(buf[:min(n, uint64(len(buf)))])}, nil
}

// Close ends it.
func (l *Listener) Close() error { return l.handle.Close() }

// Fetched is the response to a request that the host made.
type Fetched struct {
	Status int
	Header Header
	Body   io.ReadCloser
}

// Fetch makes an HTTP request to an absolute URL, if the manifest allows its host. Redirects are not followed.
func Fetch(method, url string, h Header, body []byte, timeout time.Duration) (*Fetched, error) {
	if strings.ContainsAny(method+url, " \r\n\x00") || method == "" {
		return nil, ErrParam
	}
	if len(body) > 0 && h.Get("Content-Length") == "" {
		h = append(Header{{"Content-Length", strconv.Itoa(len(body))}}, h...)
	}
	message := append([]byte(method+" "+url+" HTTP/1.1\r\n"+h.lines()+"\r\n"), body...)
	var handle uint32
	if errno := sysFetch(place(message), length(message), millis(timeout), &handle); errno != 0 {
		return nil, Errno(errno)
	}
	s := &stream{handle: Handle(handle)}
	out, err := fetched(s)
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return out, nil
}

func fetched(s *stream) (*Fetched, error) {
	top, err := head(s.handle)
	if err != nil {
		return nil, err
	}
	first, header, _, err := cutHead(top)
	if err != nil {
		return nil, err
	}
	words := strings.SplitN(first, " ", 3)
	if len(words) < 2 {
		return nil, errMessage
	}
	status, err := strconv.Atoi(words[1])
	if err != nil || status < 100 || status > 999 {
		return nil, errMessage
	}
	return &Fetched{status, header, s}, nil
}
