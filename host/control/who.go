package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

type (
	callerKey   struct{}
	strangerKey struct{} // the connection, if it may be that of a stranger
)

// caller is who is at the other end, or why that is not known.
type caller struct {
	api.Peer
	err error

	name     string // "uid:1000", "token:ci", "cert:ops": the tenant of what it starts
	listener string
	rights   []api.Right
}

// Tenant is the owner of what the caller starts.
func (c caller) Tenant() string {
	if c.name == "" {
		return c.Peer.Tenant()
	}
	return c.name
}

// confined reports whether the caller sees and touches only what is its own.
func (c caller) confined() bool { return !slices.Contains(c.rights, api.Admin) }

func callerOf(r *http.Request) caller {
	if v := visitOf(r.Context()); v != nil {
		return v.caller
	}
	return connectedAs(r.Context())
}

// connectedAs is what the kernel told when the connection was made.
func connectedAs(ctx context.Context) caller {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		c.err = denied("who calls is not known", "connect through the Unix socket")
	}
	if c.err != nil {
		c.name = "unknown" // no uid is 0, which would be root
	}
	return c
}

func denied(subject, hint string) *fault.Error {
	return fault.New(fault.CallerDenied, "control", subject, nil).WithHint(hint)
}

// identify says who sent a request, and what it may do: what the caller is given, narrowed by its listener, narrowed by the
// deployment.
func (s *Server) identify(r *http.Request) (caller, error) {
	if r.TLS != nil {
		return s.overTLS(r)
	}
	c := connectedAs(r.Context())
	if c.err != nil || c.rights != nil { // known already: the connection is one of a listener that said so
		return c, c.err
	}
	c.name, c.listener = c.Peer.Tenant(), "unix"
	var given []api.Right
	switch {
	case api.Trusts(s.uid, c.Peer):
		given = api.Rights
	case s.opts.Group != 0 && c.In(s.opts.Group):
		given = s.opts.GroupRights
	default:
		return c, denied(c.name, "only the user that runs the host, root and the group of its operators may connect")
	}
	c.rights = api.Narrow(s.opts.MaxRights, s.opts.SocketRights, given)
	return c, nil
}

// overTLS knows a caller by a certificate that the CA of the deployment signed, or by a token.
func (s *Server) overTLS(r *http.Request) (caller, error) {
	c := caller{listener: "tls", name: "unknown"}
	if from, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.name = "tls:" + fault.Quote(from) // until more is known, for the audit log
	}
	door := s.door.Load()
	if door == nil {
		return c, denied("a TLS connection", "this host has no TLS listener")
	}
	bearer := r.Header.Get("Authorization")
	var grant Grant
	if len(r.TLS.VerifiedChains) > 0 && bearer == "" {
		cn := r.TLS.PeerCertificates[0].Subject.CommonName
		if !door.vouches(r.TLS.PeerCertificates, time.Now()) {
			return c, denied("certificate "+fault.Quote(cn), "it has expired, or who signed it is trusted no more")
		}
		g, ok := door.grants.cert(cn)
		if !ok {
			return c, denied("certificate "+fault.Quote(cn), "name it in the file of tokens and certificates")
		}
		c.name, grant = "cert:"+cn, g
	} else {
		token, ok := strings.CutPrefix(bearer, "Bearer ")
		if !ok || token == "" {
			return c, denied("no token and no certificate", "send 'Authorization: Bearer' and a token, or a client certificate")
		}
		g, ok := door.grants.token(token)
		if !ok {
			return c, denied("the token", "it is not in the file of tokens")
		}
		c.name, grant = "token:"+g.Name, g
	}
	if !grant.Expires.IsZero() && !time.Now().Before(grant.Expires) {
		return c, denied(c.name+" has expired", "ask whoever runs the host for a new one")
	}
	c.rights = api.Narrow(s.opts.MaxRights, door.max, grant.Rights)
	if n, ok := r.Context().Value(strangerKey{}).(*stranger); ok {
		n.known()
	}
	return c, nil
}

// Grant says what one token or certificate may do.
type Grant struct {
	Name    string      `json:"name"` // at most 64 bytes
	Rights  []api.Right `json:"rights"`
	Expires time.Time   `json:"expires,omitzero"`
	SHA256  string      `json:"sha256,omitempty"` // of a token, in hex digits; none: the name is that of a certificate
}

// Grants is the file of tokens and certificates: what callers over TLS may do.
type Grants struct {
	Tokens       []Grant `json:"tokens,omitempty"`
	Certificates []Grant `json:"certificates,omitempty"`

	sums [][sha256.Size]byte
}

// MaxGrants bounds the file.
const MaxGrants = 1024

// check validates the file and prepares it for look-ups.
func (g *Grants) check() error {
	if len(g.Tokens)+len(g.Certificates) > MaxGrants {
		return badGrant("too many entries")
	}
	empty := sha256.Sum256(nil)
	for kind, list := range map[string][]Grant{"token": g.Tokens, "certificate": g.Certificates} {
		names := map[string]bool{}
		for _, one := range list {
			named := kind + " " + fault.Quote(one.Name)
			if one.Name == "" || len(one.Name) > 64 || fault.Quote(one.Name) != one.Name || strings.ContainsAny(one.Name, " :/\"") {
				return badGrant(named + ": a name has 1 to 64 plain characters")
			}
			if names[one.Name] {
				return badGrant(named + " comes twice")
			}
			names[one.Name] = true
			for _, r := range one.Rights {
				if !slices.Contains(api.Rights, r) {
					return badGrant(named + ": the rights are view, payload, operate and admin")
				}
			}
			if (kind == "token") != (one.SHA256 != "") {
				return badGrant(named + ": a token has a sha256, a certificate has none")
			}
		}
	}
	g.sums = nil
	for _, one := range g.Tokens {
		sum, err := hex.DecodeString(one.SHA256)
		if err != nil || len(sum) != sha256.Size {
			return badGrant("token " + one.Name + ": sha256 has 64 hex digits")
		}
		if [sha256.Size]byte(sum) == empty {
			return badGrant("token " + one.Name + " is the empty one")
		}
		g.sums = append(g.sums, [sha256.Size]byte(sum))
	}
	return nil
}

func badGrant(why string) error {
	return fault.New(fault.CallerConfig, "tokens", why, nil)
}

// token finds the grant of a token in a time that does not depend on it.
func (g *Grants) token(text string) (Grant, bool) {
	sum, at := sha256.Sum256([]byte(text)), -1
	for i := range g.sums {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], g.sums[i][:]), i, at)
	}
	if text == "" || at < 0 {
		return Grant{}, false
	}
	return g.Tokens[at], true
}

func (g *Grants) cert(cn string) (Grant, bool) {
	for _, one := range g.Certificates {
		if one.Name == cn {
			return one, true
		}
	}
	return Grant{}, false
}
