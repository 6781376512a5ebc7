package ingress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/troupehost/troupe/artifacts/manifest"
)

// BenchmarkHandler is what this layer takes of a request to a handler that answers at once, the client's part included: 32
// connections that ask one request after the other.
func BenchmarkHandler(b *testing.B) {
	a := aHandler(func([]byte) string {
		return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	})
	for name, change := range map[string]func(*Config){"unsigned": func(*Config) {}, "signed": func(c *Config) { signs(c) }} {
		b.Run(name, func(b *testing.B) {
			base := strings.TrimPrefix(serve(b, a, change), "http://")
			hammer(b, base, "GET /app/"+addrText+"/ HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\n\r\n")
		})
	}
}

// BenchmarkBare is a net/http server that does nothing, to compare.
func BenchmarkBare(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	hammer(b, l.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\n\r\n")
}

func hammer(b *testing.B, at, request string) {
	const conns = 32
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for n := range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", at)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for range b.N/conns + min(1, max(0, b.N%conns-n)) {
				if _, err := io.WriteString(c, request); err != nil {
					b.Error(err)
					return
				}
				size := 0
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						b.Error(err)
						return
					}
					if len(line) == 2 {
						break
					}
					if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
						size, _ = strconv.Atoi(strings.TrimSpace(v))
					}
				}
				if _, err := r.Discard(size); err != nil || size != 5 {
					b.Error(size, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// TestAllocationsOfARequest holds what the hot path allocates, net/http's part included.
func TestAllocationsOfARequest(t *testing.T) {
	a := aHandler(func([]byte) string { return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello" })
	s := New(Config{Apps: &fakeApps{apps: map[manifest.Address]*fakeApp{addr: a}}})
	defer s.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://x/app/"+addrText+"/", nil)
	r.RequestURI = r.URL.RequestURI()
	r.RemoteAddr = "127.0.0.1:1"
	w := nowhere{http.Header{}}
	got := testing.AllocsPerRun(200, func() {
		clear(w.h)
		s.ServeHTTP(w, r)
	})
	if got > 50 {
		t.Errorf("%.0f allocations", got)
	}
	t.Logf("%.0f allocations", got)
}

// nowhere is a ResponseWriter that keeps nothing.
type nowhere struct{ h http.Header }

func (n nowhere) Header() http.Header         { return n.h }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}
