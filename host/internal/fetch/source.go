package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/internal/reach"
)

// Where 'troupe app build' puts things.
const (
	fileText    = "manifest.json"
	fileEncoded = "manifest.scale"
	dirBlobs    = "blobs"
)

var errNotThere = errors.New("it is not there")

// Source is what became of asking a source.
type Source struct {
	Name   string    `json:"name"`
	Served uint64    `json:"served"`
	Absent uint64    `json:"absent"` // it did not have what was wanted
	Failed uint64    `json:"failed"`
	Wrong  uint64    `json:"wrong"` // it had other bytes under the name
	Marked time.Time `json:"marked_until,omitzero"`
	Error  string    `json:"error,omitempty"` // the last one
}

// source is one place to ask.
type source struct {
	name   string
	dir    string // "": a gateway
	base   *url.URL
	client *http.Client

	mu   sync.Mutex
	seen Source
}

func open(name string, cfg Config) (*source, error) {
	shown := fault.Quote(name)
	refuse := func(err error) error {
		return fault.New(fault.CallerConfig, "fetch", shown, err).WithHint("a source is a directory, or an http:// or https:// gateway")
	}
	u, err := url.Parse(name)
	if err != nil {
		return nil, refuse(err)
	}
	switch u.Scheme {
	case "", "file":
		dir := name
		if u.Scheme != "" {
			dir = u.Path
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, refuse(err)
		}
		_ = root.Close() // opened anew each time: who builds an app again puts another directory in its place
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, refuse(err)
		}
		return &source{name: shown, dir: dir}, nil
	case "http", "https":
		if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, refuse(errors.New("it has no host, or a query"))
		}
		s := &source{name: fault.Quote(u.Redacted()), base: u}
		s.client = client(u, cfg)
		return s, nil
	}
	return nil, refuse(fmt.Errorf("nothing is known of %s://", u.Scheme))
}

// client reaches a gateway, and what it redirects to.
func client(base *url.URL, cfg Config) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: cfg.Connect, Resolver: cfg.resolver}
			if !strings.EqualFold(addr, placeOf(base)) {
				d.Control = publicOnly // the operator did not name it, a gateway did
			}
			return d.DialContext(ctx, network, addr)
		},
		TLSHandshakeTimeout:    cfg.Connect,
		MaxIdleConnsPerHost:    cfg.Parallel,
		MaxConnsPerHost:        cfg.Parallel,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a small answer must not become a large one
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case r.URL.Scheme != "https" && (r.URL.Scheme != "http" || base.Scheme != "http"):
			return fmt.Errorf("a redirect to %s://", r.URL.Scheme)
		}
		if r.URL.Host != base.Host {
			r.Header.Del("Authorization")
		}
		return nil
	}}
}

// placeOf is what a client dials for a URL.
func placeOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// publicOnly sees the address that is dialled, whatever a name meant before. It refuses addresses that mean something else here than elsewhere.
func publicOnly(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !anyGateway && !reach.Public(to.Addr()) {
		return fmt.Errorf("a redirect to %s, which is no public address", to.Addr())
	}
	return nil
}

func (s *source) close() error {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	return nil
}

// open begins to read what the source has under a name. errNotThere: nothing.
func (s *source) open(ctx context.Context, name string, most int64) (io.ReadCloser, error) {
	if s.dir != "" {
		root, err := os.OpenRoot(s.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNotThere
		}
		if err != nil {
			return nil, err
		}
		defer func() { _ = root.Close() }()
		for _, p := range []string{name, path.Join(dirBlobs, name)} {
			f, err := root.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold it up
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
				_ = f.Close()
				continue
			}
			return f, nil
		}
		return nil, errNotThere
	}
	if name == fileText || name == fileEncoded {
		return nil, errNotThere // a gateway has many apps
	}
	reading, cancel := context.WithCancel(ctx) // as long as the body is read
	r, err := http.NewRequestWithContext(reading, http.MethodGet, s.base.JoinPath(name).String(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	answer, err := s.client.Do(r) //nolint:bodyclose // body closes it
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	body := &body{answer.Body, cancel}
	switch {
	case answer.StatusCode == http.StatusNotFound, answer.StatusCode == http.StatusGone, answer.StatusCode == http.StatusBadRequest:
		_ = body.Close()
		return nil, errNotThere
	case answer.StatusCode != http.StatusOK:
		_ = body.Close()
		return nil, fmt.Errorf("it answers %d", answer.StatusCode)
	case answer.ContentLength > most:
		_ = body.Close()
		return nil, fault.New(fault.CallerBlobTooLarge, "fetch", "", fmt.Errorf("it has %d bytes, and %d are allowed", answer.ContentLength, most))
	}
	return body, nil
}

type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// note remembers what became of asking.
func (s *source) note(err error, marked time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.seen.Served++
		return
	case errors.Is(err, errNotThere):
		s.seen.Absent++
		return
	case fault.CodeOf(err) == fault.CallerBlobMismatch:
		s.seen.Wrong++
		s.seen.Marked = time.Now().Add(marked)
	default:
		s.seen.Failed++
	}
	s.seen.Error = fault.Quote(err.Error())
}

func (s *source) marked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.seen.Marked)
}

// order is that of the configuration, but for those that are marked: they come last.
func (f *Fetcher) order() []*source {
	out := slices.Clone(f.sources)
	late := map[*source]int{}
	for _, s := range out {
		if s.marked() {
			late[s] = 1
		}
	}
	slices.SortStableFunc(out, func(a, b *source) int { return late[a] - late[b] })
	return out
}

// Sources says what became of asking each of them.
func (f *Fetcher) Sources() []Source {
	var out []Source
	for _, s := range f.sources {
		s.mu.Lock()
		seen := s.seen
		s.mu.Unlock()
		seen.Name = s.name
		out = append(out, seen)
	}
	return out
}
