package control

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/audit"
)

// Host is what the server needs of a *host.Host.
type Host interface {
	Seen

	Execute(context.Context, host.Request) (run.Receipt, error)
	Precheck(context.Context, host.CodeRequest) (host.Judgement, error)
	HeadsUp(context.Context, host.CodeRequest) error
	Inspect(context.Context) (inspect.Host, error)
	Overview(context.Context) (inspect.Host, error) // without the actors
	Artifact(ctx context.Context, key string) (inspect.Artifact, artifacts.Module, error)
	Verify(ctx context.Context, key string) error
	Pin(ctx context.Context, tenant, key string) error
	Unpin(ctx context.Context, tenant, key string) error
	Evict(ctx context.Context, key string) error
	Prune(context.Context) (host.PruneReport, error)

	Submit(context.Context, host.JobRequest) (run.Job, error)
	Job(ctx context.Context, id string) (run.Job, error)
	Jobs(context.Context, host.JobFilter) (jobs []run.Job, next string, err error)
	WatchJob(ctx context.Context, id string, seen int) (run.Job, error)
	CancelJob(ctx context.Context, id, by string) (run.Job, error)
	RaiseJob(ctx context.Context, id string, p run.Priority, by string) (run.Job, error)
	RetryJob(ctx context.Context, id, key string) (run.Job, error)
	Revoke(ctx context.Context, tenant, tag string) (int, error)

	Warm(context.Context, host.CodeRequest) (inspect.Warm, error)
	Unwarm(ctx context.Context, tenant, codeHash string) error
	Warmed(context.Context) ([]inspect.Warm, error)
	WriteMetrics(context.Context, io.Writer) error

	Deploy(context.Context, host.DeployRequest) (inspect.App, error)
	Announce(context.Context, host.DeployRequest) error
	Apps(context.Context, host.AppFilter) (apps []inspect.App, next uint64, err error)
	App(ctx context.Context, address string) (inspect.App, error)
	StartApp(ctx context.Context, address string) (inspect.App, error)
	StopApp(ctx context.Context, address string) (inspect.App, error)
	ResizeApp(ctx context.Context, address string, instances uint32) (inspect.App, error)
	RaiseApp(ctx context.Context, address string, p run.Priority) (inspect.App, error)
	RemoveApp(ctx context.Context, address string) (inspect.AppMetrics, error)
	RemoveAllApps(context.Context) (int, error)
	Query(context.Context, host.AppQuery) (host.AppReply, error)
	SealedQuery(ctx context.Context, public [32]byte, sealed []byte) ([]byte, error)
	AppLog(ctx context.Context, address string, after uint64, most int, wait time.Duration) (lines []host.LogLine, dropped uint64, err error)

	PutBlob(ctx context.Context, hash string, r io.Reader) (inspect.Blob, error)
	GetBlob(ctx context.Context, hash string) (io.ReadCloser, int64, error)
	Blobs(context.Context) (blobs []inspect.Blob, used, quota int64, err error)
	RemoveBlob(ctx context.Context, hash string) error

	Session(context.Context) (inspect.Session, error)
	OpenSession(context.Context, host.SessionRequest) (host.Signed, error)
	SetBench(ctx context.Context, address string, instances uint32) (inspect.Session, error)
	AppMetrics(ctx context.Context, addresses ...string) ([]inspect.AppMetrics, error)
	ReportMetrics(ctx context.Context, addresses ...string) ([]host.SignedReport, error)
	SignEndpoints(ctx context.Context, endpoints []string) (host.Signed, error)
	SignDescription(ctx context.Context, text string, prices meter.Prices) (host.Signed, error)
	SignRegistration(ctx context.Context, genesis [32]byte, operator *[32]byte, paraID uint32) (host.Signed, error)
	BackupKey(ctx context.Context, passphrase []byte) ([]byte, error)
	RestoreKey(ctx context.Context, backup, passphrase []byte) error
	RotateKey(context.Context) (inspect.Session, error)
	LockKey(ctx context.Context, passphrase []byte) error

	Chain(context.Context) (inspect.ChainView, error)
	ChainCalls(context.Context, host.CallFilter) (calls []inspect.Outgoing, next uint64, err error)
	ChainDemands(ctx context.Context, after string, limit int) (demands []inspect.Demand, next string, err error)
	ChainPay(ctx context.Context, after string, limit int) (apps []inspect.Pay, next string, err error)
	ReportToChain(ctx context.Context, addresses ...string) (reports int, height uint64, err error)
	SendToChain(ctx context.Context, key string, call chain.Call) (chain.Outcome, error)
	AdoptChain(ctx context.Context, genesis [32]byte) error
}

// Options is plain data; a zero field means its default.
type Options struct {
	Version       string         // sent with each reply
	MaxCodeBytes  int64          // default 32 MiB; more is refused before the host sees it
	MaxInputBytes int64          // default 16 MiB
	MaxBlobBytes  int64          // default 64 MiB
	MaxBodyBytes  int64          // of bodies of requests in memory; at least LargestBody. Default 512 MiB, or twice that
	MaxRequests   int            // requests at once. Default 256
	FormTimeout   time.Duration  // for a caller to send all but the stdin of a run. Default 60 s
	PlainTimeout  time.Duration  // for a caller to send a request without a form, and to take a reply. Default 10 s
	SlowReader    time.Duration  // for a caller to take one event; at least a run's wall limit. Default 60 s
	Beat          time.Duration  // between progress events. Default 1 s; a fifth of it if stages are asked for
	Log           zerolog.Logger // default: silent

	MaxRights    []api.Right   // of anybody, however they come. Default: all
	SocketRights []api.Right   // of whoever comes by the Unix socket. Default: all
	Group        int           // id of the group of operators, who may use the socket too. Default 0: there is none
	GroupRights  []api.Right   // what they may do there. Default: view
	MaxStreams   int           // event streams at once. Default 256
	CallerMost   int           // event streams at once of one caller. Default a quarter of MaxStreams
	SlowStream   time.Duration // for a caller to take one event of such a stream. Default 30 s
	MaxStrangers int           // TLS connections over which nobody is known yet; of more, the oldest are cut off. Default 256
	AddressMost  int           // of them from one address. Default a quarter of MaxStrangers
	Heartbeat    time.Duration // between signs of life on them. Default 15 s
	AuditDir     string        // where the audit log is. Default: in memory

	Settings func() []api.Setting                   // what the host runs with. Default: nothing is said
	Drain    func(ctx context.Context) error        // begins to end the host, and returns at once: verb node.drain. Default: unsupported
	Reload   func(ctx context.Context) error        // reads the configuration again: verb node.reload. Default: unsupported
	Snapshot func(context.Context, io.Writer) error // writes a bundle. Default: unsupported
}

// DefaultBodyBytes is that of Options.MaxBodyBytes.
const DefaultBodyBytes = 512 << 20

// LargestBody is what the largest request takes of MaxBodyBytes: code, input and stdin in one form.
func (o Options) LargestBody() int64 { return o.withDefaults().largestBody() }

func (o Options) largestBody() int64 {
	return o.MaxCodeBytes + 2*o.MaxInputBytes + api.MaxRequestBytes
}

func (o Options) withDefaults() Options {
	orBytes := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	orTime := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	orBytes(&o.MaxCodeBytes, 32<<20)
	orBytes(&o.MaxInputBytes, 16<<20)
	orBytes(&o.MaxBlobBytes, 64<<20)
	orBytes(&o.MaxBodyBytes, max(DefaultBodyBytes, 2*o.largestBody()))
	if o.MaxRequests == 0 {
		o.MaxRequests = 256
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 256
	}
	if o.CallerMost == 0 {
		o.CallerMost = max(1, o.MaxStreams/4)
	}
	if o.MaxStrangers == 0 {
		o.MaxStrangers = 256
	}
	if o.AddressMost == 0 {
		o.AddressMost = max(1, o.MaxStrangers/4)
	}
	orRights := func(p *[]api.Right, v ...api.Right) {
		if *p == nil {
			*p = v
		}
	}
	orRights(&o.MaxRights, api.Rights...)
	orRights(&o.SocketRights, api.Rights...)
	orRights(&o.GroupRights, api.View)
	orTime(&o.SlowStream, 30*time.Second)
	orTime(&o.Heartbeat, 15*time.Second)
	orTime(&o.FormTimeout, time.Minute)
	orTime(&o.PlainTimeout, 10*time.Second)
	orTime(&o.SlowReader, time.Minute)
	orTime(&o.Beat, time.Second)
	return o
}

const (
	headerTimeout = 5 * time.Second  // for a TLS handshake, and then for the header of a request
	jsonTimeout   = 15 * time.Second // for the host to answer a request that is not a run, a precheck or a wait for a job
	lingerTimeout = time.Second      // for a caller to hang up after the last event
	maxHeader     = 16 << 10
)

// Server serves the control API of one host.
type Server struct {
	host     Host // behind the gate
	opts     Options
	uid      int
	slots    chan struct{}
	probes   chan struct{} // slots of RouteLive: a host that is merely busy is alive
	streams  chan struct{} // slots of event streams
	making   chan struct{} // slots of frames that are being made
	held     atomic.Int64  // see sse
	mine     tally         // streams by caller
	door     atomic.Pointer[door]
	audit    *audit.Log
	auditErr error
	bodies   *bodies
	answers  *answers
	plans    *plans
	views    *viewSet
	changes  atomic.Uint64 // by operators: what was told before one is not told on
	began    time.Time
	http     *http.Server
	base     context.Context         // of all requests
	end      context.CancelCauseFunc // of base
}

// New returns a server for h. If the directory of the audit log cannot be used, the log is kept in memory, and Audited says so.
func New(h Host, opts Options) *Server {
	opts = opts.withDefaults()
	base, end := context.WithCancelCause(context.Background())
	s := &Server{opts: opts, uid: os.Geteuid(), base: base, end: end, answers: newAnswers(), began: time.Now(), bodies: newBodies(opts.MaxBodyBytes, opts.LargestBody())}
	s.host = gate{h, s.Audited, newShown()}
	s.slots, s.probes = make(chan struct{}, opts.MaxRequests), make(chan struct{}, opts.MaxRequests)
	s.streams, s.making = make(chan struct{}, opts.MaxStreams), make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	var err error
	if s.audit, err = audit.Open(opts.AuditDir, audit.Options{}); err != nil {
		s.opts.Log.Error().Err(err).Msg("the audit log is in memory only")
		s.audit, _ = audit.Open("", audit.Options{})
		s.auditErr = err
	}
	s.plans, s.views = newPlans(), newViews(s)
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is answered by the guard too
		IdleTimeout:                  30 * time.Second,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     log.New(logWriter{opts.Log}, "", 0),
		BaseContext:                  func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if over, ok := c.(*tls.Conn); ok {
				return context.WithValue(ctx, strangerKey{}, over.NetConn())
			}
			peer, err := api.PeerOf(c)
			return context.WithValue(ctx, callerKey{}, caller{Peer: peer, err: err})
		},
	}
	return s
}

// Audited returns why the audit log is not on disk; nil: it is, or was not meant to be.
func (s *Server) Audited() error {
	if s.auditErr != nil {
		return s.auditErr
	}
	return s.audit.Failed()
}

// Serve answers on l until Drain or Close, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain stops accepting and waits for the requests that run, until ctx ends.
func (s *Server) Drain(ctx context.Context) error {
	s.views.stop()
	err := s.http.Shutdown(ctx)
	done := make(chan struct{})
	go func() { s.plans.busy.Wait(); close(done) }()
	select {
	case <-done: // what they did is in the audit log
	case <-ctx.Done():
	}
	_ = s.audit.Close()
	return err
}

// Cancel ends what runs and what comes; each caller still gets its answer, canceled.host_stopped. Drain waits for that.
func (s *Server) Cancel() { s.end(fault.New(fault.CanceledStopped, "control", "", nil)) }

// Close stops at once: what runs is cancelled, and nobody gets an answer.
func (s *Server) Close() error {
	defer s.Cancel() // not before the connections are cut: an answer would come now and then
	defer s.audit.Close()
	return s.http.Close()
}

// unhurried makes a handler of a request without a body, whose work may take as long as the caller waits.
func (s *Server) unhurried(f func(*http.Request, caller) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := any(nil), noBody(w, r)
		if err == nil {
			v, err = f(r, callerOf(r))
		}
		if err != nil {
			s.fail(w, err)
			return
		}
		s.reply(w, statusOf(v), v)
	}
}

// plain is unhurried, with a limit.
func (s *Server) plain(f func(*http.Request, caller) (any, error)) http.HandlerFunc {
	return s.unhurried(func(r *http.Request, c caller) (any, error) {
		ctx, cancel := context.WithTimeout(r.Context(), jsonTimeout)
		defer cancel()
		return f(r.WithContext(ctx), c)
	})
}

// handler builds the routes from their table. One without a row, or a row without a handler, is a mistake of ours.
func (s *Server) handler() http.Handler {
	all := map[string]http.HandlerFunc{}
	add := func(more map[string]http.HandlerFunc) {
		for route, f := range more {
			if all[route] != nil || api.SpecOf(route) == nil {
				panic("control: " + route + " comes twice, or has no row in the table")
			}
			all[route] = f
		}
	}
	add(s.runRoutes())
	add(s.appRoutes())
	add(s.chainRoutes())
	add(s.seenRoutes())
	mux := http.NewServeMux()
	for i := range api.Table {
		spec := &api.Table[i]
		f := all[spec.Route]
		if f == nil {
			panic("control: nothing answers " + spec.Route)
		}
		mux.HandleFunc(spec.Route, s.route(spec, f))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, fault.New(fault.CallerNotFound, api.OpRoute, fault.Quote(r.Method+" "+r.URL.Path), nil).WithHint("see the routes of version 1 in host/control/api, or at /v1/openapi.json"))
	})
	return s.guard(mux)
}

func (s *Server) runRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		api.RouteLive: s.plain(s.live), api.RouteReady: s.plain(s.ready), api.RouteStartup: s.plain(s.startup), api.RouteStatus: s.plain(s.status),
		api.RouteList: s.plain(s.list), api.RouteShow: s.plain(s.show), api.RoutePrune: s.plain(s.prune),
		api.RouteVerify:  s.plain(s.change("verified", func(ctx context.Context, _, key string) error { return s.host.Verify(ctx, key) })),
		api.RoutePin:     s.plain(s.change("pinned", s.host.Pin)),
		api.RouteUnpin:   s.plain(s.change("unpinned", s.host.Unpin)),
		api.RouteEvict:   s.plain(s.change("evicted", func(ctx context.Context, _, key string) error { return s.host.Evict(ctx, key) })),
		api.RouteJob:     s.unhurried(s.job),
		api.RouteJobs:    s.plain(s.jobs),
		api.RouteMetrics: s.metrics,

		api.RouteCancelJob: s.plain(s.cancelJob), api.RouteRaiseJob: s.plain(s.raiseJob), api.RouteRetryJob: s.plain(s.retryJob),
		api.RouteRevoke: s.plain(s.revoke), api.RouteWarmed: s.plain(s.warmed), api.RouteCool: s.plain(s.cool),
		api.RouteSubmit: s.submit, api.RouteWarm: s.warm, api.RouteExecute: s.execute, api.RouteCheck: s.precheck, api.RouteHeadsUp: s.headsUp,
	}
}

// guard admits a request: who calls, and under which name.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		w := &recorder{ResponseWriter: raw}
		w.Header().Set(api.HeaderVersion, s.opts.Version)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil {
				s.opts.Log.Error().Interface("panic", p).Str("route", fault.Quote(r.Pattern)).Bytes("stack", debug.Stack()).Msg("request panicked")
				panic(http.ErrAbortHandler) // the reply may be half written: cut it off, so that nobody takes it for whole
			}
		}()
		_ = http.NewResponseController(w).EnableFullDuplex() // only HTTP/1 is served, and it can: a reply does not wait for the body
		s.hurry(w)
		if len(r.TransferEncoding) > 0 { // who stands before us may see another end of this body: nothing that follows it is a request
			w.Header().Set("Connection", "close")
		}
		v, err := s.enter(r)
		w.visit = v
		if err != nil {
			s.fail(w, err)
			s.audited(r, v, w)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

// checkNames turns web pages away: the API has a name that no page can have, and browsers say where a request comes from.
func (s *Server) checkNames(r *http.Request) error {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	ok := name == api.HostName || name == "localhost"
	if d := s.door.Load(); !ok && r.TLS != nil && d != nil {
		ok = d.leaf.VerifyHostname(name) == nil
	}
	if !ok {
		return denied("host "+fault.Quote(r.Host), "use the host name "+api.HostName)
	}
	for _, h := range []string{"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"} {
		if r.Header.Get(h) != "" {
			return denied("a web page", "this API is not for browsers")
		}
	}
	return nil
}

// hurry bounds the time that a caller may take from now on to send what is left of a request, and to take its reply.
func (s *Server) hurry(w http.ResponseWriter) {
	rc, by := http.NewResponseController(w), time.Now().Add(s.opts.PlainTimeout)
	_ = rc.SetReadDeadline(by)
	_ = rc.SetWriteDeadline(by)
}

// noBody takes the body of a request that needs none, within the time that hurry gave. After that nothing is read but
// the end of the connection, which may come at any time.
func noBody(w http.ResponseWriter, r *http.Request) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, api.MaxRequestBytes+1))
	switch {
	case err != nil:
		return cutOff(err)
	case n > api.MaxRequestBytes:
		return fault.New(fault.CallerParamsTooBig, "control", "", nil).WithHint("this route takes no body")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return nil
}

func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.hurry(w)
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that left needs no reply
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	if s.answerDry(w, err) {
		return
	}
	f := fault.From(err)
	note(w, f)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	w.Header().Set("Connection", "close") // who knows what is left of the body
	s.reply(w, api.StatusOf(f), api.Failure{Error: api.ErrorOf(f)})
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTimeout)) // net/http reads on for a while
}

// logWriter takes net/http's own complaints.
type logWriter struct{ log zerolog.Logger }

func (l logWriter) Write(p []byte) (int, error) {
	l.log.Debug().Str("http", fault.Quote(strings.TrimSpace(string(p)))).Msg("control")
	return len(p), nil
}
