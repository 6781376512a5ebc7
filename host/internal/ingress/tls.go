package ingress

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/calls"
)

// Certificates finds the certificate of a server name, which is a name of DNS in lower case.
type Certificates func(name string) (*tls.Certificate, error)

// OneCertificate has one certificate for all names.
func OneCertificate(c *tls.Certificate) Certificates {
	return func(string) (*tls.Certificate, error) { return c, nil }
}

// maxCertificates is how many certificates of a directory are kept in memory.
const maxCertificates = 4096

// CertificateDir has NAME.pem and NAME.key in a directory for each name, and reads them anew when they change.
func CertificateDir(dir string) Certificates {
	type entry struct {
		c    *tls.Certificate
		when [2]time.Time
	}
	var mu sync.Mutex
	known := map[string]entry{}
	return func(name string) (*tls.Certificate, error) {
		var when [2]time.Time
		files := [2]string{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")}
		for n, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				return nil, fault.New(fault.CallerConfig, "read a certificate", fault.Quote(name), err).WithHint("put NAME.pem and NAME.key there")
			}
			when[n] = info.ModTime()
		}
		mu.Lock()
		defer mu.Unlock()
		if e, ok := known[name]; ok && e.when == when {
			return e.c, nil
		}
		c, err := tls.LoadX509KeyPair(files[0], files[1])
		if err != nil {
			return nil, fault.New(fault.CallerConfig, "read a certificate", fault.Quote(name), err)
		}
		if len(known) >= maxCertificates {
			clear(known)
		}
		known[name] = entry{&c, when}
		return &c, nil
	}
}

// serverName says what a server name is in our tables, "" if it cannot be one: it becomes part of a path.
func serverName(s string) string {
	if len(s) > 253 || strings.HasPrefix(s, ".") {
		return ""
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	for n := range len(s) {
		switch c := s[n]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && s[n-1] != '.':
		default:
			return ""
		}
	}
	return s
}

// ServeTLS hands connections to apps by their server name, until the server is closed.
func (s *Server) ServeTLS(l net.Listener) error {
	if s.cfg.Certificate == nil {
		return fault.New(fault.CallerConfig, "serve TLS", "", nil).WithHint("give a certificate")
	}
	if err := s.adopt(l); err != nil {
		return err
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// A resumed session would skip the question for a certificate, and with it that for the app of the name.
		SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := serverName(hello.ServerName)
			if _, ok := s.cfg.Apps.Lookup(name); !ok || name == "" {
				return nil, nil // unrecognized_name
			}
			c, err := s.cfg.Certificate(name)
			if err != nil {
				s.report(err)
			}
			return c, err
		},
	}
	b := newBounded(l, s.lim.MaxConns)
	for pause := time.Duration(0); ; {
		c, err := b.Accept()
		if err == nil {
			pause = 0
			s.accepted(c, cfg)
			continue
		}
		if s.ctx.Err() != nil {
			return nil
		}
		if t, ok := err.(interface{ Temporary() bool }); !ok || !t.Temporary() { // out of descriptors is temporary
			return fault.New(fault.HostGaveUp, "serve TLS", l.Addr().String(), err).WithHint("see the message, and restart the host")
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-s.ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (s *Server) accepted(c net.Conn, cfg *tls.Config) {
	select {
	case s.handshake <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	if !s.enter() {
		<-s.handshake
		_ = c.Close()
		return
	}
	go func() {
		defer s.under.Done()
		conn := tls.Server(c, cfg)
		ctx, cancel := context.WithTimeout(s.ctx, s.lim.HandshakeTime)
		err := conn.HandshakeContext(ctx)
		cancel()
		<-s.handshake
		if err == nil {
			s.connection(conn)
		}
		_ = conn.Close()
	}()
}

// queue takes a place among the connections of a name that wait for their app.
func (s *Server) queue(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[name] >= s.lim.MaxQueued {
		return false
	}
	s.waiting[name]++
	return true
}

func (s *Server) unqueue(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[name]--; s.waiting[name] == 0 {
		delete(s.waiting, name)
	}
}

// connection serves one TLS connection after its handshake.
func (s *Server) connection(conn *tls.Conn) {
	name := serverName(conn.ConnectionState().ServerName)
	app, ok := s.cfg.Apps.Lookup(name)
	if !ok || !s.queue(name) {
		return
	}
	queued := sync.OnceFunc(func() { s.unqueue(name) })
	defer queued()
	wait, cancel := context.WithTimeout(s.ctx, s.lim.QueueTime)
	defer cancel()
	adm, err := s.cfg.Apps.Admit(wait, app, abi.EventConnection)
	if err != nil {
		s.refused(err)
		return
	}
	defer adm.Leave()
	ctx, end := context.WithTimeout(s.ctx, s.lim.StreamTime)
	defer end()
	var bytes traffic
	bytes.in.Add(TLSAcceptBytes)
	bytes.out.Add(TLSAcceptBytes)
	t := newStream(s, conn, conn, &bytes, func(u meter.Use) error { return adm.Commit(ctx, u) })
	switch adm.Entry() {
	case manifest.Service:
		peer := conn.RemoteAddr().String()
		err = adm.Deliver(wait, calls.Event{Kind: abi.EventConnection, Head: []byte(name + "\n" + peer), Body: input{t}, Out: t})
		queued()
		if err == nil {
			t.wait(ctx)
		}
	case manifest.Command:
		queued()
		err = s.converse(ctx, adm, app, name, t)
	default:
		err = fault.New(fault.CallerAppState, "serve TLS", "", nil)
	}
	if err != nil {
		s.refused(err)
	}
	t.stop()
	bytes.out.Add(ShutdownBytes)
	if err := adm.Commit(context.WithoutCancel(ctx), bytes.take()); err != nil {
		s.report(err)
	}
}

// converse gives a command the connection as its input and output.
func (s *Server) converse(ctx context.Context, adm Admission, app manifest.Address, name string, t *stream) error {
	idle, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a run says nothing of a connection that carries nothing
		t.wait(idle)
		cancel()
	}()
	m := adm.Manifest()
	env := []string{"TROUPE_SERVER_NAME=" + name, "REMOTE_ADDR=" + t.conn.RemoteAddr().String()}
	for _, p := range m.Env {
		env = append(env, p.Key+"="+p.Value)
	}
	_, err := adm.Run(idle, Run{Args: append([]string{hex.EncodeToString(app[:])}, m.Args...), Env: env, Stdin: t, Stdout: t})
	return err
}

// refused reports what is our own fault; a client of a raw connection cannot be told why.
func (s *Server) refused(err error) {
	if f := fault.From(err); f.Class == fault.Host || f.Class == fault.Bug {
		s.report(f)
	}
}
