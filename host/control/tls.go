package control

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// TLS says how callers on TCP are known. There is no way to serve TCP without it, and none without tokens or certificates.
type TLS struct {
	CertFile  string      // of the server, PEM
	KeyFile   string      // PEM
	GrantFile string      // JSON, see Grants: what tokens and certificates may do
	CAFile    string      // PEM: who signs client certificates. Default: none are asked for
	MaxRights []api.Right // of whoever comes this way. Default: all
}

// door is the TLS listener as it stands; a reload replaces it.
type door struct {
	grants Grants
	max    []api.Right
	config *tls.Config
	leaf   *x509.Certificate
}

// vouches reports whether the CA that holds now has signed a certificate that is valid now: a connection may be older than both.
func (d *door) vouches(chain []*x509.Certificate, at time.Time) bool {
	if d.config.ClientCAs == nil {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: d.config.ClientCAs, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

const maxGrantFile = 1 << 20

func openDoor(t TLS) (*door, error) {
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fault.New(fault.CallerConfig, "tls", "certificate and key", err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fault.New(fault.CallerConfig, "tls", t.CertFile, err)
	}
	d := &door{max: t.MaxRights, leaf: leaf}
	if len(d.max) == 0 {
		d.max = api.Rights
	}
	if d.grants, err = readGrants(t.GrantFile); err != nil {
		return nil, err
	}
	d.config = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
		SessionTicketsDisabled: true} // a ticket would outlive a certificate that is taken back
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fault.New(fault.CallerConfig, "tls", t.CAFile, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fault.New(fault.CallerConfig, "tls", t.CAFile, nil).WithHint("it holds no certificate in PEM")
		}
		d.config.ClientCAs, d.config.ClientAuth = pool, tls.VerifyClientCertIfGiven
	}
	if len(d.grants.Tokens) == 0 && (t.CAFile == "" || len(d.grants.Certificates) == 0) {
		return nil, fault.New(fault.CallerConfig, "tls", t.GrantFile, nil).WithHint("name a token, or a CA and a certificate: nobody could connect otherwise")
	}
	return d, nil
}

func readGrants(path string) (g Grants, err error) {
	f, err := os.Open(path)
	if err != nil {
		return g, fault.New(fault.CallerConfig, "tokens", path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxGrantFile+1))
	if err != nil || len(text) > maxGrantFile {
		return g, fault.New(fault.CallerConfig, "tokens", path, err).WithHint("the file has at most 1 MiB")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return g, fault.New(fault.CallerConfig, "tokens", path, err)
	}
	return g, g.check()
}

// ListenTLS opens TCP for callers with a token or a certificate; pass what it returns to Serve. A server has one of them.
func (s *Server) ListenTLS(address string, t TLS) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.New(fault.CallerConfig, "listen", address, err)
	}
	over, err := s.OverTLS(l, t)
	if err != nil {
		_ = l.Close()
	}
	return over, err
}

// OverTLS is ListenTLS on a listener that there is already. If it fails, the listener is still the caller's to close.
func (s *Server) OverTLS(l net.Listener, t TLS) (net.Listener, error) {
	d, err := openDoor(t)
	if err != nil {
		return nil, err
	}
	if !s.door.CompareAndSwap(nil, d) {
		return nil, fault.New(fault.CallerConflict, "listen", l.Addr().String(), nil).WithHint("a server has one TLS listener")
	}
	// Each connection takes what holds now, so that a reload needs no new listener.
	return tls.NewListener(newLobby(l, s.opts.MaxStrangers, s.opts.AddressMost, s.opts.Log), &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.door.Load().config, nil }}), nil
}

// ReloadTLS reads certificates and tokens again. If they are not valid, what held before holds on. Each request is judged by what
// holds then, so a token that is gone is refused at once; a stream that is under way ends with the next look.
func (s *Server) ReloadTLS(t TLS) error {
	d, err := openDoor(t)
	if err != nil {
		return err
	}
	if s.door.Load() == nil {
		return fault.New(fault.CallerConflict, "reload", "tls", nil).WithHint("there is no TLS listener")
	}
	s.door.Store(d)
	return nil
}
