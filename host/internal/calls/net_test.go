package calls

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

// cloud is a network within the process.
type cloud struct {
	names   map[string][]string
	servers map[string]func(c net.Conn) // by address

	loopback bool

	mu        sync.Mutex
	lookups   []string
	dials     []string
	listeners map[string]*gateway
}

func (c *cloud) LookupNetIP(_ context.Context, _, host string) (out []netip.Addr, err error) {
	c.mu.Lock()
	c.lookups = append(c.lookups, host)
	c.mu.Unlock()
	for _, a := range c.names[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{IsNotFound: true}
	}
	return out, nil
}

func (c *cloud) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	c.mu.Lock()
	c.dials = append(c.dials, address)
	c.mu.Unlock()
	serve := c.servers[address]
	if serve == nil {
		return nil, syscall.ECONNREFUSED
	}
	if c.loopback {
		return loopback(serve)
	}
	a, b := net.Pipe()
	go serve(b)
	return a, nil
}

// loopback connects by TCP, which takes bytes that nobody reads yet, as TLS wants it.
func loopback(serve func(net.Conn)) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		defer l.Close()
		if c, err := l.Accept(); err == nil {
			serve(c)
		}
	}()
	return net.Dial("tcp", l.Addr().String())
}

// gateway is a listener.
type gateway struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func (c *cloud) Listen(_ context.Context, _, address string) (net.Listener, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listeners[address] != nil {
		return nil, syscall.EADDRINUSE
	}
	if c.listeners == nil {
		c.listeners = map[string]*gateway{}
	}
	g := &gateway{conns: make(chan net.Conn), over: make(chan struct{})}
	c.listeners[address] = g
	return g, nil
}

func (g *gateway) Accept() (net.Conn, error) {
	select {
	case c := <-g.conns:
		return c, nil
	case <-g.over:
		return nil, net.ErrClosed
	}
}
func (g *gateway) Close() error   { g.once.Do(func() { close(g.over) }); return nil }
func (g *gateway) Addr() net.Addr { return &net.TCPAddr{} }

func online(t *testing.T, c *cloud, cfg Config, egress ...string) (*guest, *tally) {
	m := &tally{}
	cfg.Net = Net{Private: everywhere, Resolver: c, Dialer: c, Listener: c, Roots: cfg.Net.Roots}
	g := newGuest(t, New(cfg).App(AppConfig{Grants: manifest.Grants{Egress: egress, Listen: []manifest.Ports{{From: 7000, To: 7100}, {From: 9000, To: 9000}}}}), InstanceConfig{Meter: m})
	return g, m
}

func echo(c net.Conn) {
	_, _ = io.Copy(c, c)
	_ = c.Close()
}

// echoed sends a MiB through a handle that echoes, and returns what came back.
func (g *guest) echoed(h int64, size int) string {
	g.t.Helper()
	text := strings.Repeat("0123456789abcdef", size/16)
	var got strings.Builder
	sent := 0
	for got.Len() < size {
		if sent < size {
			a := g.ask(abi.OpWrite, n(h, 0), text[sent:min(size, sent+abi.MaxBytes)])
			if a.Errno == 0 {
				sent += int(a.Nums[0])
			} else if a.Errno != abi.ErrPending {
				g.t.Fatalf("write failed with %d", a.Errno)
			}
		}
		a := g.ask(abi.OpRead, n(h, 1, 20000))
		if a.Errno == 0 {
			got.Write(a.Data)
		} else if a.Errno != abi.ErrPending {
			g.t.Fatalf("read failed with %d", a.Errno)
		}
	}
	if got.String() != text {
		g.t.Error("what came back is not what was sent")
	}
	return got.String()
}

func TestAConnectionIsCounted(t *testing.T) { // W39
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{names: map[string][]string{"echo.example.org": {"8.8.8.8"}}, servers: map[string]func(net.Conn){"8.8.8.8:7": echo}}
		g, m := online(t, c, Config{}, "*.example.org:7")
		h := int64(g.ok(abi.OpConnect, n(0, -1), "Echo.Example.org.:7").Nums[0])
		g.echoed(h, 1<<20)
		g.ok(abi.OpShutdown, n(h))
		g.fails(abi.ErrCondition, abi.OpWrite, n(h, 0), "more")
		g.ok(abi.OpClose, n(h))
		synctest.Wait()
		g.i.End(nil)
		if u := m.total(); u.Egress != 512+1<<20+128 || u.Ingress != 512+1<<20 {
			t.Errorf("counted %d out and %d in", u.Egress, u.Ingress)
		}
	})
}

// certificate returns one for a name, and the roots that vouch for it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestTLSIsVerifiedByName(t *testing.T) { // W39
	cert, roots := certificate(t, "good.example.org")
	serve := func(c net.Conn) { echo(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})) }
	c := &cloud{loopback: true, names: map[string][]string{"good.example.org": {"8.8.8.8"}, "bad.example.org": {"8.8.8.8"}}, servers: map[string]func(net.Conn){"8.8.8.8:443": serve}}
	g, m := online(t, c, Config{Net: Net{Roots: roots}}, "*.example.org:443")
	g.fails(abi.ErrCorrupt, abi.OpConnect, n(1, -1), "bad.example.org:443")
	h := int64(g.ok(abi.OpConnect, n(1, -1), "good.example.org:443").Nums[0])
	g.echoed(h, 1<<16)
	g.ok(abi.OpClose, n(h))
	g.i.End(nil)
	if u := m.total(); u.Egress != 2*4096+1<<16 || u.Ingress != 4096+1<<16 {
		t.Errorf("counted %d out and %d in", u.Egress, u.Ingress)
	}
}

func TestTheAddressOfANameIsCheckedAndDialled(t *testing.T) { // W31
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{servers: map[string]func(net.Conn){"8.8.8.8:80": echo}, names: map[string][]string{
			"public.example.org": {"8.8.8.8"}, "rebound.example.org": {"127.0.0.1"}, "mapped.example.org": {"::ffff:10.0.0.1"},
			"both.example.org": {"192.168.0.1", "8.8.8.8"}, "down.example.org": {"8.8.4.4"}}}
		g, m := online(t, c, Config{}, "*.example.org:80")
		for _, name := range []string{"rebound.example.org:80", "mapped.example.org:80", "elsewhere.net:80", "public.example.org:81", "8.8.8.8:80", "127.0.0.1:80", "[::1]:80", "localhost:80"} {
			g.fails(abi.ErrForbidden, abi.OpConnect, n(0, -1), name)
			g.fails(abi.ErrForbidden, abi.OpFetch, n(-1), "GET http://"+name+"/ HTTP/1.1\r\n\r\n")
		}
		if slices.Contains(c.lookups, "elsewhere.net") || slices.Contains(c.lookups, "localhost") {
			t.Error("a name that the list does not have was looked up")
		}
		g.i.Flush()
		if u := m.total(); len(c.dials) != 0 || u.Egress != 4*connectPlain { // of what was looked up
			t.Errorf("dialled %v, counted %d", c.dials, u.Egress)
		}
		g.ok(abi.OpConnect, n(0, -1), "both.example.org:80")
		if diff := cmp.Diff([]string{"8.8.8.8:80"}, c.dials); diff != "" {
			t.Error(diff)
		}
		g.fails(abi.ErrNotFound, abi.OpConnect, n(0, -1), "none.example.org:80")
		g.fails(abi.ErrIO, abi.OpConnect, n(0, -1), "down.example.org:80")
		for _, bad := range []string{"", "example.org", "example.org:0", "example.org:99999", "a b.example.org:80", strings.Repeat("a", 254) + ":80", "[fe80::1%eth0]:80", "ex\x00.example.org:80"} {
			g.fails(abi.ErrParam, abi.OpConnect, n(0, -1), bad)
		}
		g.fails(abi.ErrParam, abi.OpConnect, n(2, -1), "public.example.org:80")
	})
}

func TestAConnectEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{names: map[string][]string{"mute.example.org": {"8.8.8.8"}}, servers: map[string]func(net.Conn){"8.8.8.8:443": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }}}
		g, _ := online(t, c, Config{}, "*.example.org:443")
		start := time.Now()
		g.fails(abi.ErrPending, abi.OpConnect, n(1, second), "mute.example.org:443")
		if d := time.Since(start); d != time.Second {
			t.Errorf("it took %v, want 1s", d)
		}
		g.fails(abi.ErrIO, abi.OpConnect, n(1, -1), "mute.example.org:443")
		if d := time.Since(start); d != 61*time.Second {
			t.Errorf("it took %v, want 1m1s", d)
		}
		wait := g.begin(abi.OpFetch, n(-1), "GET https://mute.example.org/ HTTP/1.1\r\n\r\n")
		synctest.Wait()
		pending(t, wait)
		g.i.End(errors.New("killed"))
		synctest.Wait()
		answered(t, wait, abi.ErrClosed)
	})
}

func TestWhereAGuestMayListen(t *testing.T) { // W30
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{}
		g, m := online(t, c, Config{ListenRange: manifest.Ports{From: 7050, To: 8000}})
		for _, at := range []string{":7049", ":7101", ":9000", ":0", ":80"} {
			g.fails(abi.ErrForbidden, abi.OpListen, nil, at)
		}
		for _, at := range []string{"", "7050", "name:7050", ":70500", ":-1"} {
			g.fails(abi.ErrParam, abi.OpListen, nil, at)
		}
		h := int64(g.ok(abi.OpListen, nil, "127.0.0.1:7050").Nums[0])
		g.fails(abi.ErrExists, abi.OpListen, nil, "127.0.0.1:7050")
		if c.listeners["127.0.0.1:7050"] == nil {
			t.Fatalf("listening at %v", c.listeners)
		}
		g.fails(abi.ErrPending, abi.OpConnAccept, n(h, 0, 100))
		wait := g.begin(abi.OpConnAccept, n(h, -1, 2))
		synctest.Wait()
		pending(t, wait)
		a, b := net.Pipe()
		go echo(b)
		c.listeners["127.0.0.1:7050"].conns <- a
		synctest.Wait()
		got := answered(t, wait, 0)
		if string(got.Data) != "pi" || got.Nums[1] != 4 { // of "pipe"
			t.Errorf("the peer is %q of %d", got.Data, got.Nums[1])
		}
		g.echoed(int64(got.Nums[0]), 1<<12)
		g.i.Flush()
		if u := m.total(); u.Ingress != 128+1<<12 || u.Egress != 1<<12 {
			t.Errorf("counted %d in and %d out", u.Ingress, u.Egress)
		}
		for k := range maxListeners - 1 {
			g.ok(abi.OpListen, nil, "127.0.0.1:"+[]string{"7051", "7052", "7053", "7054", "7055", "7056", "7057", "7058", "7059", "7060", "7061", "7062", "7063", "7064", "7065"}[k])
		}
		g.fails(abi.ErrLimited, abi.OpListen, nil, "127.0.0.1:7080")

		// What nobody accepts is closed with the listener, and no more is taken from it than there is room for.
		l := c.listeners["127.0.0.1:7050"]
		taken := 0
		var others []net.Conn
		for range 3 * maxPending {
			a, b := net.Pipe()
			select {
			case l.conns <- a:
				taken++
				others = append(others, b)
			case <-time.After(time.Second):
			}
		}
		if taken != maxPending {
			t.Errorf("%d connections were taken, want %d", taken, maxPending)
		}
		g.i.End(nil)
		for _, b := range others {
			if _, err := b.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a connection that nobody accepted said %v", err)
			}
		}
	})
	none, _ := online(t, &cloud{}, Config{}) // the host allows no port
	none.fails(abi.ErrForbidden, abi.OpListen, nil, ":7050")
}

// serveHTTP answers one request with what a function returns for it.
func serveHTTP(answer func(r *http.Request, body string) string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(c, answer(r, string(body)))
	}
}

func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen *http.Request
		var seenBody string
		reply := ""
		c := &cloud{names: map[string][]string{"web.example.org": {"8.8.8.8"}}, servers: map[string]func(net.Conn){
			"8.8.8.8:80": serveHTTP(func(r *http.Request, body string) string { seen, seenBody = r, body; return reply })}}
		g, m := online(t, c, Config{}, "web.example.org:80")

		reply = "HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
		h := int64(g.ok(abi.OpFetch, n(-1), "POST http://web.example.org/p?q=1 HTTP/1.1\r\nHost: forged\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-A: b\r\nContent-Length: 4\r\n\r\nbody").Nums[0])
		if seen.Host != "web.example.org" || seen.RequestURI != "/p?q=1" || seenBody != "body" || seen.Header.Get("X-A") != "b" || seen.Header.Get("X-Hop") != "" || seen.Header.Get("User-Agent") != "" {
			t.Errorf("the server saw %+v %q", seen, seenBody)
		}
		head := string(g.ok(abi.OpHead, n(h, 1000)).Data)
		if head != "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n" {
			t.Errorf("the head is %q", head)
		}
		var body strings.Builder
		for {
			a := g.ask(abi.OpRead, n(h, -1, 4))
			if a.Errno == abi.ErrEOF {
				break
			}
			if a.Errno != 0 {
				t.Fatalf("read failed with %d", a.Errno)
			}
			body.Write(a.Data)
		}
		if body.String() != "hello world" {
			t.Errorf("the body is %q", body.String())
		}
		g.fails(abi.ErrParam, abi.OpWrite, n(h, 0), "x")
		g.ok(abi.OpClose, n(h))
		g.i.Flush()
		sent := len("POST /p?q=1 HTTP/1.1\r\nHost: web.example.org\r\nConnection: close\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody")
		if u := m.total(); int(u.Egress) != 512+sent || int(u.Ingress) != 512+len(head)+11 {
			t.Errorf("counted %d out and %d in, want %d and %d", u.Egress, u.Ingress, 512+sent, 512+len(head)+11)
		}

		get := "GET http://web.example.org/ HTTP/1.1\r\n\r\n"
		reply = "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxResponseHead) + "\r\n\r\n"
		g.fails(abi.ErrLimited, abi.OpFetch, n(-1), get)
		reply = "nonsense"
		g.fails(abi.ErrIO, abi.OpFetch, n(-1), get)
		reply = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
		g.fails(abi.ErrIO, abi.OpFetch, n(-1), get)
		reply = strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)
		g.fails(abi.ErrIO, abi.OpFetch, n(-1), get)
		reply = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
		h = int64(g.ok(abi.OpFetch, n(-1), get).Nums[0])
		g.ok(abi.OpRead, n(h, -1, 100))
		g.fails(abi.ErrIO, abi.OpRead, n(h, -1, 100))

		for req, want := range map[string]uint32{
			"": abi.ErrEncoding, "GET": abi.ErrEncoding,
			"GET / HTTP/1.1\r\nHost: web.example.org\r\n\r\n":                                 abi.ErrParam,
			"GET ftp://web.example.org/ HTTP/1.1\r\n\r\n":                                     abi.ErrParam,
			"GET http://user@web.example.org/ HTTP/1.1\r\n\r\n":                               abi.ErrParam,
			"CONNECT web.example.org:80 HTTP/1.1\r\n\r\n":                                     abi.ErrParam,
			"GET http://web.example.org/ HTTP/1.0\r\n\r\n":                                    abi.ErrParam,
			"GET http://web.example.org/ HTTP/1.1\r\n\r\nGET":                                 abi.ErrEncoding,
			"GET http://web.example.org/ HTTP/1.1\r\nA b: c\r\n\r\n":                          abi.ErrEncoding,
			"POST http://web.example.org/ HTTP/1.1\r\nContent-Length: 10\r\n\r\nshort":        abi.ErrEncoding,
			"GET http://web.example.org:0/ HTTP/1.1\r\n\r\n":                                  abi.ErrParam,
			"GET http://web.example.org:81/ HTTP/1.1\r\n\r\n":                                 abi.ErrForbidden,
			"GET https://web.example.org/ HTTP/1.1\r\n\r\n":                                   abi.ErrForbidden,
			"GET http://web.example.org/ HTTP/1.1\r\nX: " + strings.Repeat("x", abi.MaxBytes): abi.ErrParam,
		} {
			g.fails(want, abi.OpFetch, n(-1), req)
		}
	})
}

func TestASlowResponseIsPolledFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{names: map[string][]string{"web.example.org": {"8.8.8.8"}}, servers: map[string]func(net.Conn){
			"8.8.8.8:80": func(c net.Conn) {
				defer c.Close()
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				pass(time.Minute)
				_, _ = io.WriteString(c, "late")
			}}}
		g, _ := online(t, c, Config{}, "web.example.org:80")
		h := g.ok(abi.OpFetch, n(-1), "GET http://web.example.org/ HTTP/1.1\r\n\r\n").Nums[0]
		list := string([]byte{byte(h), 0, 0, 0})
		g.fails(abi.ErrPending, abi.OpPoll, n(59*second), list)
		g.ok(abi.OpPoll, n(-1), list)
		if a := g.ok(abi.OpRead, n(int64(h), 0, 100)); string(a.Data) != "late" {
			t.Errorf("read %q", a.Data)
		}
	})
}

// TestConnectionsAreBounded: an app has as many connections as are left for all others, whatever its instances hold, and gives them back.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{servers: map[string]func(net.Conn){"8.8.8.8:7": echo}}
		s := New(Config{Net: Net{Private: everywhere, Resolver: c, Dialer: c, Listener: c}, MaxSockets: 8, ListenRange: manifest.Ports{From: 7000, To: 7100}})
		grants := manifest.Grants{Egress: []string{"8.8.8.8:7"}, Listen: []manifest.Ports{{From: 7000, To: 7100}}}
		app := s.App(AppConfig{Grants: grants})
		one, two := newGuest(t, app, InstanceConfig{}), newGuest(t, app, InstanceConfig{})
		other := newGuest(t, s.App(AppConfig{Address: manifest.Address{1}, Grants: grants}), InstanceConfig{})
		for range 2 {
			one.ok(abi.OpConnect, n(0, -1), "8.8.8.8:7")
		}
		first := int64(two.ok(abi.OpConnect, n(0, -1), "8.8.8.8:7").Nums[0])
		two.ok(abi.OpListen, nil, ":7000")
		for _, g := range []*guest{one, two} {
			g.fails(abi.ErrLimited, abi.OpConnect, n(0, -1), "8.8.8.8:7")
			g.fails(abi.ErrLimited, abi.OpListen, nil, ":7001")
		}
		a, b := net.Pipe()
		two.fails(abi.ErrPending, abi.OpConnAccept, n(first+1, 0, 100))
		c.listeners[":7000"].conns <- a
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a connection that is too many said %v", err)
		}
		for range 2 {
			other.ok(abi.OpConnect, n(0, -1), "8.8.8.8:7")
		}
		two.ok(abi.OpClose, n(first))
		synctest.Wait()
		other.ok(abi.OpConnect, n(0, -1), "8.8.8.8:7")
		for _, g := range []*guest{one, two, other} {
			g.i.End(nil)
		}
		synctest.Wait()
		if s.socks != 0 || len(s.by) != 0 {
			t.Errorf("%d are left, of %v", s.socks, s.by)
		}
	})
}

// TestALookupIsCounted: names that lead nowhere tell their owner as much as others do.
func TestALookupIsCounted(t *testing.T) {
	g, m := online(t, &cloud{}, Config{}, "*.example.org:7")
	g.fails(abi.ErrNotFound, abi.OpConnect, n(0, -1), "a-secret.example.org:7")
	g.i.Flush()
	if u := m.total(); u.Egress != connectPlain {
		t.Errorf("counted %d", u.Egress)
	}
}
