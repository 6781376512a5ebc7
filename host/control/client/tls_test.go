package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/client"
)

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	c := a.sign(t, "ca")
	a.cert = c.Leaf
	a.pool.AddCert(c.Leaf)
	return a
}

// sign makes a certificate; the first one is its own.
func (a *authority) sign(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if name == "localhost" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		parent, signer, a.key = template, key, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// listen serves h with a certificate for a name.
func listen(t *testing.T, a *authority, name string, change func(*tls.Config), h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.sign(t, name)}, ClientCAs: a.pool}
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	known, unknown := a.sign(t, "ops"), other.sign(t, "ops")
	withToken := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, `{"error":{"class":"caller","code":"caller.denied"}}`, http.StatusForbidden)
		}
	}
	withCertificate := func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert }
	old := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	for name, tt := range map[string]struct {
		listens string
		options client.TLS
		want    fault.Code // "": it works
	}{
		"a token":                    {listen(t, a, "localhost", nil, withToken), client.TLS{Roots: a.pool, Token: "secret"}, ""},
		"another token":              {listen(t, a, "localhost", nil, withToken), client.TLS{Roots: a.pool, Token: "secrets"}, fault.CallerDenied},
		"a certificate":              {listen(t, a, "localhost", withCertificate, func(http.ResponseWriter, *http.Request) {}), client.TLS{Roots: a.pool, Certificate: &known}, ""},
		"somebody else's":            {listen(t, a, "localhost", withCertificate, func(http.ResponseWriter, *http.Request) {}), client.TLS{Roots: a.pool, Certificate: &unknown}, fault.CallerDenied},
		"no certificate":             {listen(t, a, "localhost", withCertificate, withToken), client.TLS{Roots: a.pool, Token: "secret"}, fault.CallerDenied},
		"another authority":          {listen(t, other, "localhost", nil, withToken), client.TLS{Roots: a.pool, Token: "secret"}, fault.CallerDenied},
		"another name":               {listen(t, a, "elsewhere", nil, withToken), client.TLS{Roots: a.pool, Token: "secret"}, fault.CallerDenied},
		"an old version of TLS":      {listen(t, a, "localhost", old, withToken), client.TLS{Roots: a.pool, Token: "secret"}, fault.CallerUnreachable},
		"authorities of the system":  {listen(t, a, "localhost", nil, withToken), client.TLS{Token: "secret"}, fault.CallerDenied},
		"nobody":                     {"127.0.0.1:1", client.TLS{Token: "secret"}, fault.CallerUnreachable},
		"nobody to be, and no token": {"127.0.0.1:1", client.TLS{}, fault.CallerConfig},
		"a token of two words":       {"127.0.0.1:1", client.TLS{Token: "a b"}, fault.CallerConfig},
		"a token with a header":      {"127.0.0.1:1", client.TLS{Token: "a\r\nX: y"}, fault.CallerConfig},
		"no port":                    {"localhost", client.TLS{Token: "a"}, fault.CallerConfig},
	} {
		tt.options.Address = tt.listens
		c, err := client.NewTLS(tt.options)
		if err == nil {
			err = c.Live(t.Context())
		}
		if fault.CodeOf(err) != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%s: %v, code %s", name, err, fault.CodeOf(err))
		}
	}
}

// A host that sends the caller elsewhere learns the token of nobody else, and nobody else learns it.
func TestTLSFollowsNobody(t *testing.T) {
	a := newAuthority(t)
	elsewhere := listen(t, a, "localhost", nil, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked with %q", r.Header) })
	c, err := client.NewTLS(client.TLS{Roots: a.pool, Token: "secret", Address: listen(t, a, "localhost", nil, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+elsewhere+"/", http.StatusTemporaryRedirect)
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Live(t.Context()); !errors.Is(err, fault.BugProtocol) {
		t.Error(err)
	}
}

// While nobody listens yet, a call tries again.
func TestTLSIsPatient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	c, err := client.NewTLS(client.TLS{Token: "a", Address: address, Patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Live(ctx); !errors.Is(err, fault.CanceledDeadline) && !errors.Is(err, fault.Canceled) {
		t.Error(err)
	}
}
