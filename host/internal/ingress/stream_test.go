package ingress

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

// speaksWebSocket answers the handshake with the library's own server and echoes messages over the raw stream.
func speaksWebSocket(e calls.Event) {
	head := string(e.Head)
	key := ""
	for _, line := range strings.Split(head, "\r\n") {
		if name, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(name, "Sec-WebSocket-Key") {
			key = v
		}
	}
	if err := e.Out.Respond(101, []byte("Sec-WebSocket-Accept: "+acceptOf(key)+"\r\n")); err != nil {
		e.Out.Close(err)
		return
	}
	for {
		kind, p, err := readFrame(e.Body)
		if err != nil {
			e.Out.Close(nil)
			return
		}
		if _, err := e.Out.Write(frame(kind, p)); err != nil || kind == 8 {
			e.Out.Close(nil)
			return
		}
	}
}

func TestWebSocket(t *testing.T) {
	a := aService(speaksWebSocket)
	base := serve(t, a)
	c, _, err := websocket.Dial(t.Context(), base+"/app/"+addrText+"/ws", &websocket.DialOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", strings.Repeat("x", 20000)} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(t.Context()); err != nil || string(b) != text {
			t.Fatal(len(b), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	// Frames of a client are 4 bytes of mask larger.
	for use, inside, _ := a.used(); ; use, inside, _ = a.used() {
		if inside != 0 {
			continue
		}
		in, out := uint64(AcceptBytes+(3+6)+(20000+8)+(2+6)), uint64(ShutdownBytes+(3+2)+(20000+4)+(2+2))
		if use.Ingress != in || use.Egress != out {
			t.Errorf("metered %+v, want %d and %d", use, in, out)
		}
		break
	}
}

// TestWebSocketThatNeverCloses ends when it is idle, after its time, and when its app is removed.
func TestWebSocketThatNeverCloses(t *testing.T) {
	for name, tt := range map[string]struct {
		limits Limits
		remove bool
	}{
		"idle":    {limits: Limits{StreamIdle: 300 * time.Millisecond}},
		"old":     {limits: Limits{StreamTime: 500 * time.Millisecond}},
		"removed": {remove: true},
	} {
		t.Run(name, func(t *testing.T) {
			events := make(chan calls.Event, 1)
			a := aService(func(e calls.Event) { events <- e; speaksWebSocket(e) })
			base := serve(t, a, func(c *Config) { c.Limits = tt.limits })
			c, _, err := websocket.Dial(t.Context(), base+"/app/"+addrText+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if tt.remove {
				(<-events).Out.Close(fault.New(fault.CallerNotFound, "", "", nil))
			}
			if _, _, err := c.Read(t.Context()); err == nil {
				t.Error("it goes on")
			}
		})
	}
}

// TestServerClosesStreams: Close does not wait for clients.
func TestServerClosesStreams(t *testing.T) {
	a := aService(speaksWebSocket)
	s := New(Config{Apps: &fakeApps{apps: map[manifest.Address]*fakeApp{addr: a}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.ServeHTTPOn(l) }()
	c, _, err := websocket.Dial(t.Context(), "http://"+l.Addr().String()+"/app/"+addrText+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	s.Close()
	if _, inside, entered := a.used(); inside != 0 || entered != 1 {
		t.Error(inside, entered)
	}
	if err := s.ServeHTTPOn(l); fault.CodeOf(err) != fault.CallerClosed {
		t.Error(err)
	}
}

// TestClientThatStopsReading frees its service after Limits.WriteTimeout.
func TestClientThatStopsReading(t *testing.T) {
	failed := make(chan error, 1)
	a := aService(func(e calls.Event) {
		_ = e.Out.Respond(200, nil)
		p := make([]byte, 1<<20)
		for {
			if _, err := e.Out.Write(p); err != nil {
				e.Out.Close(nil)
				failed <- err
				return
			}
		}
	})
	base := serve(t, a, func(c *Config) { c.Limits.WriteTimeout = 50 * time.Millisecond })
	raw(t, base, "GET /app/"+addrText+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-failed; fault.From(err).Class != fault.Canceled {
		t.Error(err)
	}
	for _, inside, _ := a.used(); inside > 0; _, inside, _ = a.used() {
	}
}

func TestSlowClients(t *testing.T) {
	service := aService(func(e calls.Event) {
		_, err := io.ReadAll(e.Body)
		e.Out.Close(err)
	})
	handler := aHandler(func([]byte) string { return "HTTP/1.1 200 OK\r\n\r\n" })
	for name, tt := range map[string]struct {
		app  *fakeApp
		text string
	}{
		"half a head":          {handler, "GET /app/" + addrText + "/ HTTP/1.1\r\nHost: x\r\nA"},
		"no body of a handler": {handler, "POST /app/" + addrText + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"},
		"no body of a service": {service, "POST /app/" + addrText + "/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"},
		"no next request":      {handler, ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, tt.app, func(c *Config) {
				c.Limits = Limits{HeaderTimeout: 50 * time.Millisecond, ReadTimeout: 50 * time.Millisecond, KeepAlive: 50 * time.Millisecond}
			})
			_, r := raw(t, base, tt.text)
			if b, err := io.ReadAll(r); bytes.Contains(b, []byte(" 200 ")) {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

func TestMaxConnsAndRequests(t *testing.T) {
	in, out := make(chan int), make(chan int)
	a := aHandler(func([]byte) string { in <- 1; <-out; return "HTTP/1.1 200 OK\r\n\r\n" })
	base := serve(t, a, func(c *Config) { c.Limits = Limits{MaxConns: 2, MaxRequests: 1} })
	_, first := raw(t, base, "GET /app/"+addrText+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
	<-in
	status, h, body, err := ask(t, "GET", base+"/app/"+addrText+"/", nil)
	if err != nil || status != 503 || h.Get("Retry-After") == "" || failure(t, body).Code != string(fault.BusyQueueFull) {
		t.Error(status, h, body, err)
	}
	out <- 1
	if line, err := first.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Error(line, err)
	}
	for n := range 8 { // of which at most one is served, if the one before has gone
		c, r := raw(t, base, "")
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := r.ReadByte(); err == io.EOF || err != nil && !os.IsTimeout(err) {
			return
		}
		if n == 7 {
			t.Error("no connection was closed")
		}
	}
}

// authority makes a certificate for names, and writes it to dir if there is one.
func authority(t testing.TB, dir string, names ...string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	if dir != "" {
		k, _ := x509.MarshalPKCS8PrivateKey(key)
		for _, n := range names {
			_ = os.WriteFile(filepath.Join(dir, n+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
			_ = os.WriteFile(filepath.Join(dir, n+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}), 0o600)
		}
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serveTLS serves apps by name.
func serveTLS(t testing.TB, apps *fakeApps, certs Certificates, limits Limits) string {
	t.Helper()
	s := New(Config{Apps: apps, Certificate: certs, Limits: limits})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestTLSByServerName(t *testing.T) {
	dir := t.TempDir()
	_, pool := authority(t, dir, "one.example", "two.example")
	echo := func(who string) *fakeApp {
		return aService(func(e calls.Event) {
			_, _ = e.Out.Write([]byte(who + " " + strings.Split(string(e.Head), "\n")[0] + " "))
			p := make([]byte, 64<<10)
			for {
				n, err := e.Body.Read(p)
				if _, failed := e.Out.Write(p[:n]); err != nil || failed != nil {
					e.Out.Close(nil)
					return
				}
			}
		})
	}
	two := manifest.Address{9}
	command := manifest.Address{8}
	apps := &fakeApps{
		apps: map[manifest.Address]*fakeApp{addr: echo("first"), two: echo("second"), command: aCommand(func(_ context.Context, r Run) int {
			_, _ = io.Copy(r.Stdout, struct{ io.Reader }{r.Stdin})
			return 0
		})},
		names: map[string]manifest.Address{"one.example": addr, "two.example": two, "command.example": command},
	}
	_, more := authority(t, dir, "command.example")
	at := serveTLS(t, apps, CertificateDir(dir), Limits{})
	for name, want := range map[string]string{"one.example": "first one.example hello", "TWO.example": "second two.example hello", "command.example": "hello"} {
		roots := pool
		if name == "command.example" {
			roots = more
		}
		c, err := tls.Dial("tcp", at, &tls.Config{ServerName: name, RootCAs: roots})
		if err != nil {
			t.Fatal(name, err)
		}
		_, _ = io.WriteString(c, "hello")
		b := make([]byte, len(want))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
			t.Errorf("%s: %q %v", name, b, err)
		}
		_ = c.CloseWrite()
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("%s: %q %v", name, rest, err)
		}
		_ = c.Close()
	}
	for _, name := range []string{"three.example", "", "../one.example"} {
		_, err := tls.Dial("tcp", at, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, inside, _ := apps.apps[addr].used(); inside > 0; _, inside, _ = apps.apps[addr].used() {
	}
	use, _, _ := apps.apps[addr].used()
	if use.Ingress != TLSAcceptBytes+5 || use.Egress != TLSAcceptBytes+ShutdownBytes+uint64(len("first one.example hello")) {
		t.Errorf("metered %+v", use)
	}
}

// TestTLSQueueOfAName: a name whose app does not start holds so many connections, and no more; other names go on.
func TestTLSQueueOfAName(t *testing.T) {
	c, _ := authority(t, "", "one.example")
	waits := make(chan struct{}, 8)
	a := aService(nil)
	a.deliver = func(ctx context.Context, _ calls.Event) error { waits <- struct{}{}; <-ctx.Done(); return ctx.Err() }
	apps := &fakeApps{apps: map[manifest.Address]*fakeApp{addr: a}, names: map[string]manifest.Address{"one.example": addr}}
	at := serveTLS(t, apps, OneCertificate(c), Limits{MaxQueued: 2, QueueTime: time.Minute})
	dial := func() *tls.Conn {
		c, err := tls.Dial("tcp", at, &tls.Config{ServerName: "one.example", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 2 {
		c := dial()
		defer c.Close()
		<-waits
	}
	third := dial()
	defer third.Close()
	if _, err := third.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if len(waits) != 0 {
		t.Error("a third was let in")
	}
	if _, _, entered := a.used(); entered != 2 {
		t.Error(entered)
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	c, _ := authority(t, "", "one.example")
	at := serveTLS(t, &fakeApps{}, OneCertificate(c), Limits{MaxHandshakes: 1, HandshakeTime: time.Second})
	first, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a second handshake was not turned away")
	}
	_ = first.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := first.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Error("the second one ended with the first:", err)
	}
	_ = first.SetReadDeadline(time.Time{})
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("a handshake has no end")
	}
}

func TestServerNames(t *testing.T) {
	for in, want := range map[string]string{"a.Example.": "a.example", "../x": "", "a..b": "", ".a": "", "a/b": "", "": "", "x_y-1.z": "x_y-1.z", strings.Repeat("a", 254): "", "ä": "", "a\x00": ""} {
		if got := serverName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestStreamsHoldNoRequest: as many streams as there may be requests leave room for requests.
func TestStreamsHoldNoRequest(t *testing.T) {
	a := aService(func(e calls.Event) {
		if strings.Contains(string(e.Head), "Upgrade: websocket") {
			speaksWebSocket(e)
			return
		}
		e.Out.Close(e.Out.Respond(204, nil))
	})
	base := serve(t, a, func(c *Config) { c.Limits.MaxRequests = 1 })
	for range 3 {
		c, _, err := websocket.Dial(t.Context(), base+"/app/"+addrText+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if err := c.Write(t.Context(), websocket.MessageText, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(t.Context()); err != nil { // it is a stream by now, or about to be
			t.Fatal(err)
		}
		for status := 503; status == 503; {
			if status, _, _, err = ask(t, "GET", base+"/app/"+addrText+"/", nil); err != nil || status != 204 && status != 503 {
				t.Fatal(status, err)
			}
		}
	}
}

// TestBodyThatDrips: a body that is taken whole has one deadline, however often a byte of it comes.
func TestBodyThatDrips(t *testing.T) {
	base := serve(t, aHandler(func([]byte) string { return "HTTP/1.1 200 OK\r\n\r\n" }), func(c *Config) { c.Limits.ReadTimeout = 60 * time.Millisecond })
	c, r := raw(t, base, "POST /app/"+addrText+"/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	ended := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r)
		ended <- b
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			_, _ = c.Write([]byte("x"))
			if n > 4000 {
				t.Fatal("it goes on")
			}
		case b := <-ended:
			if !bytes.HasPrefix(b, []byte("HTTP/1.1 408 ")) {
				t.Errorf("%q", b)
			}
			return
		}
	}
}

// TestRestOfARequestIsNoRequest: what a client sends late of a body that nobody waits for is not taken for the next request.
func TestRestOfARequestIsNoRequest(t *testing.T) {
	second := "GET /app/" + addrText + "/second HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, a := range map[string]*fakeApp{
		"streamed": aService(func(e calls.Event) {
			_ = e.Out.Respond(200, nil)
			_, _ = e.Out.Write([]byte("x"))
			e.Out.Close(nil)
		}),
		"whole":   aService(func(e calls.Event) { e.Out.Close(e.Out.Respond(204, nil)) }),
		"failed":  aService(func(e calls.Event) { e.Out.Close(fault.New(fault.GuestTrap, "", "", nil)) }),
		"handler": {entry: manifest.Handler},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, a, func(c *Config) { c.Limits.ReadTimeout = 20 * time.Millisecond })
			c, r := raw(t, base, "POST /app/"+addrText+"/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil || !resp.Close {
				t.Fatal(resp, err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, second)
			_, _ = io.ReadAll(r)
			if _, _, entered := a.used(); entered != 1 {
				t.Error(entered, "requests")
			}
		})
	}
}
