package control

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/host/control/api"
)

// street is a listener in memory, whose callers choose where they come from. It works in a bubble of synctest.
type street struct {
	conns chan net.Conn
	done  chan struct{}
}

func newStreet() *street { return &street{make(chan net.Conn), make(chan struct{})} }

func (s *street) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *street) Close() error { close(s.done); return nil }

func (s *street) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7443} }

// from connects as an address.
func (s *street) from(address string) net.Conn {
	near, far := net.Pipe()
	s.conns <- &walker{far, address}
	return near
}

type walker struct {
	net.Conn
	address string
}

func (w *walker) RemoteAddr() net.Addr {
	a, err := net.ResolveTCPAddr("tcp", w.address)
	if err != nil {
		panic(err)
	}
	return a
}

// shopkeeper serves h by TLS on a street, for the holders of two tokens, "ours" and "theirs", and one that has expired, "old".
func shopkeeper(t *testing.T, h Host, o Options) (*Server, *street) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "h"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"node.example"}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	rights := []api.Right{api.View, api.Payload, api.Operate}
	grants, err := json.Marshal(Grants{Tokens: []Grant{{Name: "ci", SHA256: sum("ours"), Rights: rights}, {Name: "rival", SHA256: sum("theirs"), Rights: rights},
		{Name: "old", SHA256: sum("old"), Rights: rights, Expires: time.Now().Add(-time.Second)}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"pem": append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text})...), "json": grants} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, road := New(h, o), newStreet()
	l, err := s.OverTLS(road, TLS{CertFile: filepath.Join(dir, "pem"), KeyFile: filepath.Join(dir, "pem"), GrantFile: filepath.Join(dir, "json")})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	return s, road
}

// greet makes the handshake.
func greet(c net.Conn) *tls.Conn {
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is no test of certificates
}

// visitor asks who it is on a connection, which stays open.
func visitor(t *testing.T, c net.Conn, token string) (status int) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "GET /v1/me HTTP/1.1\r\nHost: node.example\r\nAuthorization: Bearer %s\r\n\r\n", token); err != nil {
		return 0
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return r.StatusCode
}

// crowded opens n connections each from the addresses that at returns, does with each what greeting does, and returns how many are
// open.
func crowded(road *street, n int, at func(int) string, greeting func(net.Conn)) (open func() int) {
	var left atomic.Int64
	for i := range n {
		c := road.from(at(i))
		go func() {
			greeting(c)
			_, _ = io.Copy(io.Discard, c)
			left.Add(1)
		}()
		synctest.Wait()
	}
	return func() int { synctest.Wait(); return n - int(left.Load()) }
}

var (
	oneAddress = func(int) string { return "192.0.2.7:999" }
	manyOfThem = func(i int) string { return fmt.Sprintf("198.51.100.%d:999", i%250) }
	oneNetwork = func(i int) string { return fmt.Sprintf("[2001:db8:0:1::%x]:999", i) }
	silent     = func(net.Conn) {}
	shaking    = func(c net.Conn) { _ = greet(c).Handshake() }
)

// Connections of strangers are bounded, from one address and from all, and who says who it is is let in while they flood.
func TestStrangersAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		at    func(int) string
		greet func(net.Conn)
		most  int
	}{
		"one address that is silent": {oneAddress, silent, 4}, "many that are silent": {manyOfThem, silent, 16}, "one network of version 6": {oneNetwork, silent, 4},
		"one address, without a token": {oneAddress, shaking, 4}, "many, without a token": {manyOfThem, shaking, 16},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, road := shopkeeper(t, newWorld(), Options{MaxStrangers: 16, AddressMost: 4})
				defer s.Close()
				first := greet(road.from("203.0.113.9:999"))
				if status := visitor(t, first, "ours"); status != 200 {
					t.Errorf("before: status %d", status)
				}
				open := crowded(road, 100, tt.at, tt.greet)
				if got := open(); got > tt.most {
					t.Errorf("%d strangers have a connection, want %d", got, tt.most)
				}
				for _, from := range []string{"203.0.113.10:999", tt.at(0)} {
					c := greet(road.from(from))
					if status := visitor(t, c, "ours"); status != 200 {
						t.Errorf("%s: status %d", from, status)
					}
					_ = c.Close()
				}
				if status := visitor(t, first, "ours"); status != 200 {
					t.Errorf("who was known is cut off: status %d", status)
				}
				_ = first.Close()
				<-time.After(3 * headerTimeout) // for the handshake, and then for a request
				if got := open(); got != 0 {
					t.Errorf("%d are open when their time is over", got)
				}
			})
		})
	}
}

// Who is known does not count, and who has gone does not either.
func TestTheLobbyIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, road := shopkeeper(t, newWorld(), Options{MaxStrangers: 2, AddressMost: 2})
		defer s.Close()
		for i := range 8 {
			c := greet(road.from(oneAddress(i)))
			defer c.Close()
			if status := visitor(t, c, "ours"); status != 200 {
				t.Errorf("the %d. connection of a holder of a token: status %d", i, status)
			}
		}
		for _, token := range []string{"wrong", "old", ""} {
			if status := visitor(t, greet(road.from(oneAddress(0))), token); status != http.StatusForbidden {
				t.Errorf("token %q: status %d", token, status)
			}
		}
		<-time.After(3 * headerTimeout) // a pipe has no room for the last words of a server
	})
}
