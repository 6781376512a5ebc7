package ingress

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

// Apps is what the host has deployed.
type Apps interface {
	// Admit asks for one event, of a kind that package abi names, to be let into an app. It may wait for an instance to start.
	// Faults: caller.not_found, caller.app_state, busy.
	Admit(ctx context.Context, app manifest.Address, kind uint32) (Admission, error)
	// Lookup finds the app that has a TLS server name, in lower case.
	Lookup(name string) (manifest.Address, bool)
	// Query asks an app; the limits of its manifest are judged here, too.
	Query(ctx context.Context, q Query) ([]byte, error)
}

// Query is bytes for an app.
type Query struct {
	App     manifest.Address
	Path    string
	Payload []byte
	Origin  *[32]byte // the account that signed it; nil: nobody did
}

// Admission is one event that was let in. Leave ends it, and comes last.
type Admission interface {
	Entry() manifest.Entry // never Auto
	Manifest() *manifest.Manifest
	// Deliver hands an event to a service. Without an error, e.Out is closed exactly once.
	Deliver(ctx context.Context, e calls.Event) error
	// Run runs a command or a handler. It keeps nothing of r once it has returned.
	Run(ctx context.Context, r Run) (run.Receipt, error)
	// Commit returns when use, and what runs of this admission used, is written.
	Commit(ctx context.Context, use meter.Use) error
	// NoReply says that a service has not begun to respond within its time.
	NoReply()
	Leave()
}

// Run is one run: of a command with arguments, environment and streams, or of a handler with its input.
type Run struct {
	Args, Env []string
	Stdin     io.Reader
	Stdout    io.Writer

	Export string
	Input  []byte
}

// Sealed is a query that came encrypted.
type Sealed struct {
	App       manifest.Address
	Path      string
	Payload   []byte
	Signature []byte                    // may be empty
	Seal      func(reply []byte) []byte // encrypts the reply
}

// Config is what a Server is made of.
type Config struct {
	Apps Apps
	// Sign signs with the worker key. Nil: replies are not signed.
	Sign func(message []byte) [64]byte
	// Info is the public facts of the worker, as JSON. Nil: there is no such page.
	Info func() []byte
	// Verify says who signed a query. Nil: signed queries are refused.
	Verify func(app manifest.Address, path string, payload, signature []byte) (account [32]byte, err error)
	// Open decrypts a query that was sealed with the pair of pubkey. Nil: there are no such queries.
	Open func(pubkey [32]byte, sealed []byte) (Sealed, error)
	// Certificate has the certificate of a server name that an app has.
	Certificate Certificates
	// Report is told of faults of our own. Nil: nobody is.
	Report func(error)
	Limits Limits
}

// Limits bounds what users may take. A zero field means its default.
type Limits struct {
	MaxConns       int           // at once, HTTP and TLS each; default 4096. More are closed at once
	MaxRequests    int           // at once; default 1024. More are answered with 503
	MaxHeaderBytes int           // default 64 KiB
	MaxBodyBytes   int64         // of a request; default 10 MiB
	CollectBytes   int64         // of replies that are held to be signed, at once; default 256 MiB. What is more is streamed, unsigned
	BodyBytes      int64         // of requests that are taken whole, at once; default 256 MiB. More are answered with 503; small ones do not count
	HeaderTimeout  time.Duration // of the head of a request; default 10 s
	KeepAlive      time.Duration // between requests; default 60 s
	ReadTimeout    time.Duration // of a client that should send; default 30 s, for each piece, and for all of what is taken whole
	WriteTimeout   time.Duration // of a client that should read; default 30 s, for each piece
	RequestTime    time.Duration // of a request to a command or service, and of a query; default 1 h
	StreamIdle     time.Duration // of an upgraded or TLS connection that carries nothing; default 5 min
	StreamTime     time.Duration // of such a connection in all; default 24 h
	MaxHandshakes  int           // at once; default 1024
	HandshakeTime  time.Duration // default 10 s
	MaxQueued      int           // TLS connections of one name that wait for their app; default 32
	QueueTime      time.Duration // how long they do; default 30 s
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	long := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	last := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.MaxConns, 4096)
	set(&l.MaxRequests, 1024)
	set(&l.MaxHeaderBytes, 64<<10)
	long(&l.MaxBodyBytes, 10<<20)
	long(&l.CollectBytes, 256<<20)
	long(&l.BodyBytes, 256<<20)
	last(&l.HeaderTimeout, 10*time.Second)
	last(&l.KeepAlive, time.Minute)
	last(&l.ReadTimeout, 30*time.Second)
	last(&l.WriteTimeout, 30*time.Second)
	last(&l.RequestTime, time.Hour)
	last(&l.StreamIdle, 5*time.Minute)
	last(&l.StreamTime, 24*time.Hour)
	set(&l.MaxHandshakes, 1024)
	last(&l.HandshakeTime, 10*time.Second)
	set(&l.MaxQueued, 32)
	last(&l.QueueTime, 30*time.Second)
	return l
}

// Server serves the users of apps.
type Server struct {
	cfg       Config
	lim       Limits
	http      *http.Server
	requests  chan struct{} // a place for each request under way
	handshake chan struct{}
	collected atomic.Int64
	taken     atomic.Int64 // of Limits.BodyBytes

	ctx context.Context // ends with the server
	end context.CancelCauseFunc

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	waiting   map[string]int // TLS connections that wait for their app, by name
	under     sync.WaitGroup // requests, and TLS connections
}

// New returns a Server that listens nowhere yet.
func New(cfg Config) *Server {
	l := cfg.Limits.withDefaults()
	s := &Server{cfg: cfg, lim: l, requests: make(chan struct{}, l.MaxRequests), handshake: make(chan struct{}, l.MaxHandshakes), waiting: map[string]int{}}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: l.HeaderTimeout, IdleTimeout: l.KeepAlive, MaxHeaderBytes: l.MaxHeaderBytes,
		WriteTimeout: l.WriteTimeout, // begins anew for each request, and is moved on with each piece of a response
		ErrorLog:     log.New(io.Discard, "", 0),
		Protocols:    new(http.Protocols),
		BaseContext:  func(net.Listener) context.Context { return s.ctx },
	}
	s.http.Protocols.SetHTTP1(true)
	return s
}

// ServeHTTPOn serves HTTP on a listener, until the server is closed.
func (s *Server) ServeHTTPOn(l net.Listener) error {
	if err := s.adopt(l); err != nil {
		return err
	}
	err := s.http.Serve(newBounded(l, s.lim.MaxConns))
	if errors.Is(err, http.ErrServerClosed) || s.ctx.Err() != nil {
		return nil
	}
	return fault.New(fault.HostGaveUp, "serve HTTP", l.Addr().String(), err).WithHint("see the message, and restart the host")
}

func (s *Server) adopt(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = l.Close()
		return fault.New(fault.CallerClosed, "serve", "", nil)
	}
	s.listeners = append(s.listeners, l)
	return nil
}

// enter counts a request or a connection that Close waits for.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.under.Add(1)
	return true
}

// Close closes the listeners, ends what is under way and waits until it has ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.end(fault.New(fault.CanceledStopped, "serve", "", nil))
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	_ = s.http.Close()
	s.under.Wait()
}

func (s *Server) report(err error) {
	if s.cfg.Report != nil {
		s.cfg.Report(err)
	}
}

// bounded is a listener that closes connections beyond a number.
type bounded struct {
	net.Listener
	places chan struct{}
}

func newBounded(l net.Listener, n int) bounded { return bounded{l, make(chan struct{}, n)} }

func (b bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.places <- struct{}{}:
			return &counted{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
		default:
			_ = c.Close()
		}
	}
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// CloseWrite lets the other end see the end of what it is sent, where the connection can say so.
func (c *counted) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
