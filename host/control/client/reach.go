package client

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/troupehost/troupe/actors/fault"
)

// OverTLS returns a client for a host that listens on TCP. It is known there by a token, or by a certificate of cfg, whose roots
// must have signed the one of the host.
func OverTLS(address string, cfg *tls.Config, token string) *Client {
	cfg = cfg.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.MinVersion, cfg.NextProtos = tls.VersionTLS13, []string{"http/1.1"}
	d := tls.Dialer{Config: cfg}
	c := Over(func(ctx context.Context) (net.Conn, error) {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, fault.New(fault.CallerUnreachable, "connect", address, err)
		}
		return conn, nil
	})
	c.token = token
	return c
}

// Origin names the face that the client belongs to, for the audit log: cli, top, web.
func (c *Client) Origin(name string) *Client {
	c.origin = name
	return c
}

// WhenVersionsDiffer calls f once with the version of the server, if that is another one than own. What they have in common works.
func (c *Client) WhenVersionsDiffer(own string, f func(server string)) *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.differs = func(server string) {
		if server != own {
			f(server)
		}
	}
	return c
}

// saw remembers the version that a reply named.
func (c *Client) saw(version string) {
	c.mu.Lock()
	c.version = version
	f := c.differs
	if version != "" {
		c.differs = nil
	}
	c.mu.Unlock()
	if f != nil && version != "" {
		f(version)
	}
}
