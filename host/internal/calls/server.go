package calls

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Server is what the apps of a host share.
type Server struct {
	cfg Config

	mu     sync.Mutex
	shared map[sharedName]*shared
	socks  int                      // connections and listeners of all apps
	by     map[manifest.Address]int // of each
}

// sharedName names a channel or a topic of a tenant.
type sharedName struct {
	tenant, name string
	topic        bool
}

// shared is a channel or a topic that has a name, as long as somebody holds it. One that was closed stays so until all who hold
// it let go; then the name stands for a new one.
type shared struct {
	name    sharedName
	refs    int
	channel *channel
	topic   *topic
}

// New returns a server without apps.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Net.Resolver == nil {
		cfg.Net.Resolver = net.DefaultResolver
	}
	if cfg.Net.Dialer == nil {
		cfg.Net.Dialer = &net.Dialer{}
	}
	if cfg.Net.Listener == nil {
		cfg.Net.Listener = &net.ListenConfig{}
	}
	if cfg.Net.Rand == nil {
		cfg.Net.Rand = rand.Reader
	}
	cfg.Linger = cmp.Or(cfg.Linger, 30*time.Second)
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, 60*time.Second)
	cfg.MaxSockets = cmp.Or(cfg.MaxSockets, 4096)
	return &Server{cfg: cfg, shared: map[sharedName]*shared{}, by: map[manifest.Address]int{}}
}

// socket makes room for one more connection or listener of an app, which has at most as many as are left for all others.
func (s *Server) socket(app manifest.Address) (free func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[app] >= s.cfg.MaxSockets-s.socks {
		return nil, false
	}
	s.by[app]++
	s.socks++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.by[app]--; s.by[app] == 0 {
			delete(s.by, app)
		}
		s.socks--
	}), true
}

// counted is a connection that gives its room back when it is closed.
type counted struct {
	net.Conn
	free func()
}

func (c counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// CloseWrite implements what a wire looks for.
func (c counted) CloseWrite() error { return wire{c.Conn}.CloseWrite() }

// take returns what has a name, for one more holder.
func (s *Server) take(n sharedName) *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.shared[n]
	if h == nil {
		h = &shared{name: n}
		if n.topic {
			h.topic = &topic{}
		} else {
			h.channel = &channel{}
		}
		s.shared[n] = h
	}
	h.refs++
	return h
}

// hold has one more holder for what has a name; nil has none.
func (s *Server) hold(h *shared) {
	if h == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.refs++
}

// drop has one holder less.
func (s *Server) drop(h *shared) {
	if h == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.refs--; h.refs == 0 {
		delete(s.shared, h.name)
	}
}

// App is one deployed app.
type App struct {
	s      *Server
	cfg    AppConfig
	egress []pattern
	blobs  map[string]bool

	mu        sync.Mutex
	closed    bool
	instances map[*Instance]bool
	locks     map[string]*lock
	storage   integral // of the key-value space: all instances together count it once
}

// App returns an app without instances.
func (s *Server) App(cfg AppConfig) *App {
	a := &App{s: s, cfg: cfg, blobs: map[string]bool{}, instances: map[*Instance]bool{}, locks: map[string]*lock{}}
	for _, e := range cfg.Grants.Egress {
		if p, ok := parsePattern(e); ok { // a manifest that was validated has no others, and what matches nothing grants nothing
			a.egress = append(a.egress, p)
		}
	}
	for _, h := range cfg.Blobs {
		a.blobs[h] = true
	}
	a.storage.at = s.cfg.Now()
	a.storage.bytes = a.stored()
	return a
}

func (a *App) stored() int64 {
	if a.cfg.KV == nil {
		return 0
	}
	used, _ := a.cfg.KV.Used()
	return used
}

func (a *App) name() string { return hex.EncodeToString(a.cfg.Address[:]) }

// Stored returns what the storage of the app was used since an instance or a caller was told last: for apps without an instance.
func (a *App) Stored() meter.Use {
	bytes := a.stored()
	a.mu.Lock()
	defer a.mu.Unlock()
	return meter.Use{StorageUsed: a.storage.take(a.s.cfg.Now(), bytes)}
}

// Instance returns an instance that holds nothing.
func (a *App) Instance(cfg InstanceConfig) *Instance {
	cfg.Queue = cmp.Or(cfg.Queue, 20)
	i := &Instance{app: a, cfg: cfg, wake: make(chan struct{}, 1), handles: map[uint32]resource{}}
	i.life, i.kill = context.WithCancel(context.Background())
	i.used.begin(a.s.cfg.Now())
	a.mu.Lock()
	closed := a.closed
	if !closed {
		a.instances[i] = true
	}
	a.mu.Unlock()
	if closed {
		i.End(fault.New(fault.GuestNotServing, "calls", a.name(), nil))
	}
	return i
}

// Close ends all instances.
func (a *App) Close() {
	a.mu.Lock()
	a.closed = true
	all := slices.Collect(maps.Keys(a.instances))
	a.mu.Unlock()
	for _, i := range all {
		i.End(fault.New(fault.GuestNotServing, "calls", a.name(), nil))
	}
}

// granted reports whether a port is one that the manifest and the host let guests listen at.
func (a *App) granted(port uint16) bool {
	in := func(r manifest.Ports) bool { return port != 0 && r.From <= port && port <= r.To }
	return (a.cfg.ListenAt.IsValid() || in(a.s.cfg.ListenRange)) && slices.ContainsFunc(a.cfg.Grants.Listen, in)
}
