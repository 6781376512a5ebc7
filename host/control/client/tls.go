package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// TLS says how to reach a host that listens with TLS, and who the caller is to it: by a certificate, a token, or both.
type TLS struct {
	Address     string           // HOST:PORT. The host must have a certificate for HOST
	Roots       *x509.CertPool   // who may have signed that. Default: those of the system
	Certificate *tls.Certificate // of the caller; nil: none
	Token       string           // of the caller; "": none
	Patience    time.Duration    // tries again for so long while nobody listens
}

// maxToken bounds a token, in bytes.
const maxToken = 512

// NewTLS returns a client for a host at the other end of a network. It speaks TLS 1.3 and follows no redirection, so that a token
// goes to nobody but the host that it was given for.
//
// # Errors
//
// caller.invalid_config. Calls fail with caller.denied if the host cannot prove its name or refuses the caller.
func NewTLS(o TLS) (*Client, error) {
	bad := func(what, hint string) error {
		return fault.New(fault.CallerConfig, "connect", what, nil).WithHint(hint)
	}
	host, port, err := net.SplitHostPort(o.Address)
	switch {
	case err != nil || host == "" || port == "":
		return nil, bad(fault.Quote(o.Address), "write an address like host.example:7443")
	case o.Token == "" && o.Certificate == nil:
		return nil, bad(fault.Quote(o.Address), "say who you are: with a token, or a certificate")
	case len(o.Token) > maxToken || strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, bad("token", "a token is one word of at most 512 letters and digits")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host, RootCAs: o.Roots, NextProtos: []string{"http/1.1"}}
	if o.Certificate != nil {
		cfg.Certificates = []tls.Certificate{*o.Certificate}
	}
	c := Over(func(ctx context.Context) (net.Conn, error) {
		raw, err := redialing(ctx, "tcp", o.Address, o.Patience)
		if err != nil {
			return nil, fault.New(fault.CallerUnreachable, "connect", fault.Quote(o.Address), err)
		}
		secured := tls.Client(raw, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, handshakeFault(o.Address, err)
		}
		return alerts{secured, o.Address}, nil
	})
	if o.Token != "" {
		c.http.Transport = bearer{c.http.Transport, "Bearer " + o.Token}
	}
	return c, nil
}

// redialing connects, and tries again for up to patience while nobody listens.
func redialing(ctx context.Context, network, address string, patience time.Duration) (net.Conn, error) {
	var d net.Dialer
	give := time.NewTimer(patience)
	defer give.Stop()
	for {
		c, err := d.DialContext(ctx, network, address)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-give.C:
			return nil, err
		case <-time.After(redial):
		}
	}
}

func handshakeFault(address string, err error) error {
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.New(fault.CallerDenied, "connect", fault.Quote(address), certificate.Err).WithHint("it cannot prove that it is this host: check the address, and the authorities that are trusted")
	}
	return fault.New(fault.CallerUnreachable, "connect", fault.Quote(address), err).WithHint("does a host of Troupe listen there, with TLS 1.3?")
}

// alerts is a connection of TLS 1.3, in which a server refuses a certificate after the client's handshake is over.
type alerts struct {
	*tls.Conn
	address string
}

// alertWait is how long an alert may be behind the end of the connection.
const alertWait = time.Second

func (c alerts) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.refused(err)
}

func (c alerts) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil { // the alert that says why may wait to be read
		_ = c.SetReadDeadline(time.Now().Add(alertWait))
		if _, why := c.Conn.Read(make([]byte, 1)); why != nil && c.refused(why) != why {
			err = c.refused(why)
		}
	}
	return n, err
}

func (c alerts) refused(err error) error {
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		return fault.New(fault.CallerDenied, "connect", fault.Quote(c.address), alert.Err).WithHint("the host refuses this certificate, or wants one")
	}
	return err
}

// bearer sends a token with each request.
type bearer struct {
	http.RoundTripper
	value string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a round tripper must not change the request
	r.Header.Set("Authorization", b.value)
	return b.RoundTripper.RoundTrip(r)
}
