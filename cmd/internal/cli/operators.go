package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/settings"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/client"
)

// operatorFlags say who may look at the host and change it, and how they come.
type operatorFlags struct {
	listen, cert, key, clients, tokens string
	max, groupRights                   []api.Right
	group                              string
	bodies                             int64
}

func (f *operatorFlags) add(fs *pflag.FlagSet) {
	f.groupRights = []api.Right{api.View, api.Operate}
	fs.Var(word{&f.listen, "ADDR"}, "listen-tls", "let operators in by TLS on ADDR, like 0.0.0.0:7443; they need a token or a certificate (default: nowhere)")
	fs.Var(word{&f.cert, "FILE"}, "tls-cert", "certificate of --listen-tls, in the form PEM")
	fs.Var(word{&f.key, "FILE"}, "tls-key", "key of --tls-cert (default the same file)")
	fs.Var(word{&f.clients, "FILE"}, "tls-clients", "certificates of the authorities that sign those of operators (default: none are asked for)")
	fs.Var(word{&f.tokens, "FILE"}, "tokens", "what the tokens and certificates of operators may do; see 'troupe token'")
	fs.Var(rightsFlag{&f.max}, "max-rights", "nobody may do more than this, however they come: of view, payload, operate and admin, joined by commas (default all)")
	fs.Var(word{&f.group, "GROUP"}, "operator-group", "members of this group may use the control socket, too, which must be where they can get to: see --socket (default: only this user and root)")
	fs.Var(rightsFlag{&f.groupRights}, "operator-rights", "what members of --operator-group may do")
	f.bodies = control.DefaultBodyBytes
	fs.Var((*size)(&f.bodies), "body-bytes", "the bodies of all requests to the host take at most SIZE of memory, and those of one caller half of it; who finds no room is told to come back")
	settings.MarkLive(fs, "tls-cert", "tls-key", "tls-clients", "tokens")
}

// tls is what the listener needs.
func (f *operatorFlags) tls() control.TLS {
	key := f.key
	if key == "" {
		key = f.cert
	}
	return control.TLS{CertFile: f.cert, KeyFile: key, GrantFile: f.tokens, CAFile: f.clients}
}

// check finds what cannot be meant.
func (f *operatorFlags) check() error {
	least := control.Options{}.LargestBody()
	switch {
	case f.bodies < least:
		return usage("--body-bytes "+(*size)(&f.bodies).String(), "the largest request has "+(*size)(&least).String())
	case f.listen != "" && f.cert == "":
		return usage("--listen-tls without --tls-cert", "name the certificate of this host")
	case f.listen != "" && f.tokens == "":
		return usage("--listen-tls without --tokens", "name the file that says who may come in: see 'troupe token new'")
	}
	return nil
}

// comeIn finds what fits no place where operators come in; held: the service manager has a socket for them.
func (f *operatorFlags) comeIn(held bool) error {
	switch {
	case held && f.listen != "":
		return usage("--listen-tls and a socket "+socketControlTLS+" of the service manager", "choose one of them")
	case held && (f.cert == "" || f.tokens == ""):
		return usage("a socket "+socketControlTLS+" of the service manager without --tls-cert or --tokens", "name the certificate of this host, and the file that says who may come in")
	case !held && f.listen == "" && (f.cert != "" || f.key != "" || f.clients != "" || f.tokens != ""):
		return usage("--tls-cert, --tls-key, --tls-clients or --tokens without --listen-tls", "say where operators come in, or give the service manager a socket "+socketControlTLS)
	}
	return nil
}

// options adds who may do what.
func (f *operatorFlags) options(o *control.Options) error {
	o.MaxRights, o.GroupRights, o.MaxBodyBytes = f.max, f.groupRights, f.bodies
	var err error
	o.Group, err = f.gid()
	return err
}

// gid is that of the group of operators, 0 if there is none.
func (f *operatorFlags) gid() (int, error) {
	if f.group == "" {
		return 0, nil
	}
	g, err := user.LookupGroup(f.group)
	if err != nil {
		g, err = user.LookupGroupId(f.group)
	}
	if err != nil {
		return 0, usage("--operator-group "+fault.Quote(f.group), "there is no such group")
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil || gid <= 0 {
		return 0, usage("--operator-group "+fault.Quote(f.group), "choose a group other than that of root")
	}
	return gid, nil
}

// place says whether the operators can get to a socket, before there is one.
func (f *operatorFlags) place(path string, named bool) error {
	gid, err := f.gid()
	if err == nil && named {
		err = placeSocket(path, gid)
	}
	if err == nil && gid != 0 {
		err = reaches(path, gid, f.group)
	}
	return err
}

const auditDir = "audit" // in the data directory

// operated makes the server of a 'serve', which can be told to reload, to drain and to write a bundle.
func (l *life) operated(cfg host.Config, f *operatorFlags, h running) (*control.Server, control.Options, error) {
	o := serverOptions(cfg)
	if err := f.options(&o); err != nil {
		return nil, o, err
	}
	o.AuditDir = filepath.Join(l.dir, auditDir)
	if err := os.MkdirAll(o.AuditDir, 0o700); err != nil {
		return nil, o, fault.New(fault.HostDataDir, "audit log", o.AuditDir, reason(err))
	}
	o.Settings = l.settings
	o.Drain = func(context.Context) error { l.drain(); return nil }
	o.Reload = func(context.Context) error { _, err := l.reload(); return err }
	o.Snapshot = func(ctx context.Context, w io.Writer) error { return l.snapshot(ctx, w, h, "request", 0) }
	return control.New(h, o), o, nil
}

// openTLS lets operators in by TLS, and reads their certificates and tokens again with each reload. nil: nobody comes so.
// held is a socket of the service manager for them, or nil.
func (l *life) openTLS(s *control.Server, f *operatorFlags, held net.Listener) (listener net.Listener, err error) {
	switch {
	case held != nil:
		listener, err = s.OverTLS(held, f.tls())
	case f.listen != "":
		listener, err = s.ListenTLS(f.listen, f.tls())
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks = append(l.hooks, func(f *serveFlags) error { return s.ReloadTLS(f.operators.tls()) })
	return listener, nil
}

const auditedLines = 1000 // of the audit log in a bundle

// snapshot writes a bundle; what the host does not tell within limit is left out. 0: the limit of package bundle.
func (l *life) snapshot(ctx context.Context, w io.Writer, h running, why string, limit time.Duration) error {
	extra := bundle.Extra{Config: l.settings(), Reason: why, At: time.Now().UTC(), Limit: limit}
	if c := l.host.Load(); c != nil {
		extra.Audit = func(ctx context.Context) ([]api.Audit, error) {
			page, err := c.Audit(ctx, client.Find{Limit: auditedLines})
			return page.Rows, err
		}
	}
	b, given, err := bundle.Collect(ctx, h, extra)
	if err != nil {
		return err
	}
	if len(given) == 0 { // a host that does not record
		return bundle.Write(w, b, nil)
	}
	return bundle.Write(w, b, bytes.NewReader(given))
}
