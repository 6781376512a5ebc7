package control_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", nil)
	return a
}

func (a *authority) issue(name string, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"node.example"}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	signer := a.key
	if parent == nil {
		parent, signer = c, key
		c.ExtKeyUsage = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}))
	c, _ = x509.ParseCertificate(der)
	return c, key
}

func (a *authority) write(name string, b []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) config(cert string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	c := &tls.Config{RootCAs: pool}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(a.path(cert+".pem"), a.path(cert+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

func overTLS(address string, cfg *tls.Config, token string) *client.Client {
	o := client.TLS{Address: address, Roots: cfg.RootCAs, Token: token}
	if len(cfg.Certificates) > 0 {
		o.Certificate = &cfg.Certificates[0]
	}
	c, err := client.NewTLS(o)
	if err != nil {
		panic(err)
	}
	return c
}

func sum(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}

func (a *authority) grants(g control.Grants) string {
	text, err := json.Marshal(g)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write("grants.json", text)
}

func TestCallersOverTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", a.cert)
	a.issue("ops", a.cert)
	a.issue("nobody", a.cert)
	other := newAuthority(t)
	other.issue("ops", other.cert)
	grants := control.Grants{
		Tokens: []control.Grant{{Name: "ci", SHA256: sum("s3cret"), Rights: []api.Right{api.Operate}},
			{Name: "old", SHA256: sum("stale"), Rights: []api.Right{api.View}, Expires: time.Now().Add(-time.Minute)},
			{Name: "chief", SHA256: sum("chief"), Rights: []api.Right{api.Admin}}},
		Certificates: []control.Grant{{Name: "ops", Rights: []api.Right{api.Operate, api.Payload}}},
	}
	settings := control.TLS{CertFile: a.path("server.pem"), KeyFile: a.path("server.key"), CAFile: a.path("ca.pem"), GrantFile: a.grants(grants),
		MaxRights: []api.Right{api.View, api.Operate, api.Payload}}
	s := control.New(&fakeHost{}, control.Options{MaxRights: api.Rights})
	l, err := s.ListenTLS("127.0.0.1:0", settings)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	address := l.Addr().String()
	for name, tt := range map[string]struct {
		cfg   *tls.Config
		token string
		want  string // caller and rights, or a code
	}{
		"a token":                  {a.config(""), "s3cret", "token:ci [view operate]"},
		"a wrong token":            {a.config(""), "s3cre", "caller.denied"},
		"an expired token":         {a.config(""), "stale", "caller.denied"},
		"more than the listener":   {a.config(""), "chief", "token:chief [view payload operate]"},
		"a certificate":            {a.config("ops"), "", "cert:ops [view payload operate]"},
		"a certificate of nobody":  {a.config("nobody"), "", "caller.denied"},
		"a certificate of another": {func() *tls.Config { c := a.config(""); c.Certificates = other.config("ops").Certificates; return c }(), "", "caller.denied"},
		"another host":             {other.config(""), "s3cret", "caller.denied"},
	} {
		t.Run(name, func(t *testing.T) {
			me, err := overTLS(address, tt.cfg, tt.token).Me(t.Context())
			got := fmt.Sprint(me.Caller, " ", me.Rights)
			if err != nil {
				got = string(fault.CodeOf(err))
			}
			if got != tt.want || err == nil && me.Listener != "tls" {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	t.Run("an old protocol", func(t *testing.T) {
		c := a.config("")
		c.MaxVersion = tls.VersionTLS12
		if conn, err := tls.Dial("tcp", address, c); err == nil {
			_ = conn.Close()
			t.Error("TLS 1.2 is spoken")
		}
	})
	t.Run("no token", func(t *testing.T) {
		conn, err := tls.Dial("tcp", address, a.config(""))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "GET /v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n")
		b := make([]byte, 64)
		if n, _ := conn.Read(b); !strings.Contains(string(b[:n]), " 403 ") {
			t.Errorf("%s", b[:n])
		}
	})
	t.Run("no TLS at all", func(t *testing.T) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "GET /v1/me HTTP/1.1\r\nHost: troupe\r\nAuthorization: Bearer s3cret\r\n\r\n")
		b := make([]byte, 64)
		n, _ := conn.Read(b)
		if strings.Contains(string(b[:n]), "200") {
			t.Errorf("%s", b[:n])
		}
	})
	t.Run("a token that is taken back", func(t *testing.T) {
		ended := make(chan error, 1)
		begun := make(chan struct{}, 64)
		go func() {
			_, err := overTLS(address, a.config(""), "s3cret").Watch(t.Context(), "audit", client.Find{}, 250*time.Millisecond, "", func(api.Frame) error {
				begun <- struct{}{}
				return nil
			})
			ended <- err
		}()
		select {
		case <-begun:
		case err := <-ended:
			t.Fatal(err)
		}
		grants.Tokens = grants.Tokens[1:]
		settings.GrantFile = a.grants(grants)
		if err := s.ReloadTLS(settings); err != nil {
			t.Fatal(err)
		}
		if _, err := overTLS(address, a.config(""), "s3cret").Me(t.Context()); !errors.Is(err, fault.CallerDenied) {
			t.Errorf("got %v", err)
		}
		if err := <-ended; !errors.Is(err, fault.CallerDenied) {
			t.Errorf("a stream of it ends with %v", err)
		}
		settings.KeyFile = a.path("none")
		if err := s.ReloadTLS(settings); !errors.Is(err, fault.CallerConfig) {
			t.Errorf("a reload that fails: %v", err)
		}
		if _, err := overTLS(address, a.config(""), "chief").Me(t.Context()); err != nil {
			t.Errorf("what held before does not hold on: %v", err)
		}
	})
}

// There is no listener on TCP that anybody could use without being known.
func TestDoorsThatAreNotOpened(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", a.cert)
	good := control.Grants{Tokens: []control.Grant{{Name: "ci", SHA256: sum("x")}}}
	for name, tt := range map[string]struct {
		grants control.Grants
		change func(*control.TLS)
	}{
		"no token and no CA":       {control.Grants{}, nil},
		"a CA and no certificate":  {control.Grants{}, func(o *control.TLS) { o.CAFile = a.path("ca.pem") }},
		"certificates and no CA":   {control.Grants{Certificates: []control.Grant{{Name: "ops"}}}, nil},
		"the empty token":          {control.Grants{Tokens: []control.Grant{{Name: "ci", SHA256: sum("")}}}, nil},
		"a token without its hash": {control.Grants{Tokens: []control.Grant{{Name: "ci"}}}, nil},
		"a short hash":             {control.Grants{Tokens: []control.Grant{{Name: "ci", SHA256: "00"}}}, nil},
		"no name":                  {control.Grants{Tokens: []control.Grant{{SHA256: sum("x")}}}, nil},
		"a name with a line break": {control.Grants{Tokens: []control.Grant{{Name: "a\nb", SHA256: sum("x")}}}, nil},
		"one name twice":           {control.Grants{Tokens: []control.Grant{{Name: "ci", SHA256: sum("x")}, {Name: "ci", SHA256: sum("y")}}}, nil},
		"an unknown right":         {control.Grants{Tokens: []control.Grant{{Name: "ci", SHA256: sum("x"), Rights: []api.Right{"all"}}}}, nil},
		"no key":                   {good, func(o *control.TLS) { o.KeyFile = "" }},
		"no file of tokens":        {good, func(o *control.TLS) { o.GrantFile = "" }},
		"an empty CA":              {good, func(o *control.TLS) { o.CAFile = a.write("empty.pem", nil) }},
	} {
		o := control.TLS{CertFile: a.path("server.pem"), KeyFile: a.path("server.key"), GrantFile: a.grants(tt.grants)}
		if tt.change != nil {
			tt.change(&o)
		}
		s := control.New(&fakeHost{}, control.Options{})
		if l, err := s.ListenTLS("127.0.0.1:0", o); !errors.Is(err, fault.CallerConfig) {
			t.Errorf("%s: %v %v", name, l, err)
		}
	}
}

func (f *fakeHost) Boot() string { return "b" }

func (f *fakeHost) Watched() func() { return func() {} }

func TestVersionsThatDifferAreToldOnce(t *testing.T) {
	var said []string
	c := connect(t, &fakeHost{}, control.Options{Version: "v2"}).WhenVersionsDiffer("v1", func(v string) { said = append(said, v) })
	for range 3 {
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(said) != "[v2]" {
		t.Error(said)
	}
	c = connect(t, &fakeHost{}, control.Options{Version: "v2"}).WhenVersionsDiffer("v2", func(v string) { t.Error("they are the same") })
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}
