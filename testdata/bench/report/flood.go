package report

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Flood sends one request of HTTP over so many connections that are kept, again and again for a span, and returns how long each took,
// and how many there were in a second. It costs little itself: the request is bytes, and of a response only its status and its end
// are looked at, which must be this.
func Flood(addr string, request, end []byte, conns int, span time.Duration) (all Samples, rate float64, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	begin := time.Now()
	for range conns {
		group.Go(func() {
			mine, e := flood(addr, request, end, begin.Add(span))
			mu.Lock()
			defer mu.Unlock()
			all, err = append(all, mine...), errors.Join(err, e)
		})
	}
	group.Wait()
	return all, float64(len(all)) / time.Since(begin).Seconds(), err
}

func flood(addr string, request, end []byte, until time.Time) (took Samples, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := make([]byte, 4096)
	for last := time.Now(); last.Before(until); {
		if _, err := c.Write(request); err != nil {
			return nil, err
		}
		n := 0
		for !bytes.HasSuffix(b[:n], end) {
			got, err := c.Read(b[n:])
			if n += got; err != nil || n == len(b) {
				return nil, fmt.Errorf("%q: %w", b[:n], err)
			}
		}
		if !bytes.HasPrefix(b[:n], []byte("HTTP/1.1 200 OK\r\n")) {
			return nil, fmt.Errorf("%q", b[:n])
		}
		now := time.Now()
		took = append(took, now.Sub(last))
		last = now
	}
	return took, nil
}

// HandlerRequest is a request to the guest c-handler, or to a server that runs it: each response ends as the second one says, if
// the state of the guest was a fresh one.
func HandlerRequest(target, header string) (request, end []byte) {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", target, header), []byte("\r\n\r\nhello from C, 1\n")
}
