package webui

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

// Options say what is shown, and to whom.
type Options struct {
	Host     http.RoundTripper // reaches the control API
	ReadOnly bool              // nothing that changes the host is offered or passed on, whatever the caller may do
	Addr     string            // a loopback address with a port. Default: 127.0.0.1:0
	Idle     time.Duration     // Serve ends after so long without a request. Default: DefaultIdle
	Tell     func(Notice)      // called from any goroutine, one call at a time; must not block for long

	now func() time.Time
}

// Notice is something that the person at the terminal should see.
type Notice struct {
	Kind string // link, entered, twice, left, policy
	Link string // of kind link: what to open; it is a secret
	Text string // in words
}

// Kinds of notices.
const (
	NoticeLink    = "link"
	NoticeEntered = "entered"
	NoticeTwice   = "twice"  // a link was used twice
	NoticeLeft    = "left"   // the session was closed in the browser
	NoticePolicy  = "policy" // the page broke its content policy, which it never should
)

const (
	cookieName  = "troupe_web_"    // and the port: cookies do not tell ports apart
	headerKey   = "Troupe-Console" // the half of the session that pages send
	policy      = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; report-uri /csp"
	maxConns    = 64
	maxRequests = 48
	maxHeader   = 32 << 10
	maxEnter    = 1 << 10
	maxReport   = 16 << 10

	maxSuggestions = 12
	shutTime       = 2 * time.Second
)

type server struct {
	opts   Options
	gate   *gate
	origin string // scheme://address
	addr   string
	port   string
	slots  chan struct{}
	check  chan struct{} // the gate has changed
	broken atomic.Uint64 // reports of broken policy
	ctx    context.Context

	telling sync.Mutex
}

// Serve shows the console until ctx ends (nil), the session is over (nil) or nobody came: fault.CanceledDeadline.
func Serve(ctx context.Context, opts Options) error {
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Idle <= 0 {
		opts.Idle = DefaultIdle
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	a, err := netip.ParseAddrPort(opts.Addr)
	if err != nil || !a.Addr().IsLoopback() {
		return fault.New(fault.CallerInvalid, "web", fault.Quote(opts.Addr), err).WithHint("the console listens on a loopback address only, like 127.0.0.1:8080; reach it from elsewhere through ssh -L")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Addr)
	if err != nil {
		return fault.New(fault.CallerInvalid, "web", opts.Addr, err).WithHint("choose another port, or 0 for any")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newServer(ctx, opts, l.Addr().String())
	web := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: quiet(),
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(bounded(l, maxConns)) }()
	s.invite()
	err = s.wait(ctx, failed)
	s.gate.leave()
	cancel()
	shut, stop := context.WithTimeout(context.WithoutCancel(ctx), shutTime)
	defer stop()
	if web.Shutdown(shut) != nil {
		_ = web.Close()
	}
	return err
}

func newServer(ctx context.Context, opts Options, addr string) *server {
	_, port, _ := net.SplitHostPort(addr)
	return &server{
		opts: opts, gate: &gate{now: opts.now, idle: opts.Idle}, addr: addr, origin: "http://" + addr, port: port,
		slots: make(chan struct{}, maxRequests), check: make(chan struct{}, 1), ctx: ctx,
	}
}

// wait returns when the console is over.
func (s *server) wait(ctx context.Context, failed <-chan error) error {
	for {
		due := time.NewTimer(s.gate.due())
		select {
		case <-ctx.Done():
			due.Stop()
			return nil
		case err := <-failed:
			due.Stop()
			return fault.New(fault.BugUnexpected, "web", "", err)
		case <-s.check:
			due.Stop()
		case <-due.C:
		}
		if over, err := s.gate.over(); over {
			return err
		}
	}
}

// poke has wait look at the gate again.
func (s *server) poke() {
	select {
	case s.check <- struct{}{}:
	default:
	}
}

func (s *server) tell(n Notice) {
	s.telling.Lock()
	defer s.telling.Unlock()
	if s.opts.Tell != nil {
		s.opts.Tell(n)
	}
}

// invite tells of a new link. The secret is behind the #, which browsers send to nobody.
func (s *server) invite() {
	if token, ok := s.gate.invite(); ok {
		s.tell(Notice{Kind: NoticeLink, Link: s.origin + "/#link=" + token, Text: "open this link within two minutes; it works once"})
	}
	s.poke()
}

// handler is all that the server answers.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		if s.opts.ReadOnly && method != http.MethodGet {
			continue
		}
		mux.HandleFunc(method+" "+prefix+pattern, s.pass)
	}
	mux.HandleFunc("POST /enter", s.enter)
	mux.HandleFunc("POST /leave", s.leave)
	mux.HandleFunc("POST /csp", s.report)
	mux.HandleFunc("GET /complete/{view}", complete)
	for name, f := range assetFiles(s.opts.ReadOnly) {
		mux.HandleFunc("GET "+name, f.serve)
	}
	return s.guard(mux)
}

// guard refuses what does not come from a page of this very server, and says in each reply what pages may do.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Embedder-Policy", "require-corp")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), usb=(), clipboard-write=(self)")
		h.Set("Cache-Control", "no-store")
		if why := s.alien(r); why != "" {
			status := http.StatusForbidden
			if why == alienHost {
				status = http.StatusMisdirectedRequest
			}
			refuse(w, status, fault.New(fault.CallerDenied, "web", why, nil))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Why a request is not one of our page.
const (
	alienHost    = "this name is not that of the console" // another name that leads here: DNS rebinding
	alienSite    = "the request comes from another page"
	alienMethod  = "this method is not used"
	alienUpgrade = "connections are not upgraded"
)

func (s *server) alien(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodHead:
	default:
		return alienMethod
	}
	if r.Host != s.addr || r.URL.IsAbs() {
		return alienHost
	}
	if r.Header.Get("Upgrade") != "" {
		return alienUpgrade
	}
	if o := r.Header.Get("Origin"); o != "" && o != s.origin {
		return alienSite
	}
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case site == "same-origin":
		return ""
	case r.Method == http.MethodPost:
		// A browser that says nothing of the site names the origin of each POST at least.
		if site == "" && r.Header.Get("Origin") == s.origin {
			return ""
		}
		return alienSite
	case site == "":
		return "" // not a browser, or an old one: it needs the key, which no page of another origin can send unasked
	case site == "none":
		return "" // typed, or opened from a terminal
	}
	// A link on another page may lead to the console, since that shows it nothing; frames, scripts and images may not.
	if r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" {
		return ""
	}
	return alienSite
}

func (s *server) cookie(r *http.Request) string {
	c, err := r.Cookie(cookieName + s.port)
	if err != nil {
		return ""
	}
	return c.Value
}

// enter trades a link for a session.
func (s *server) enter(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Link string `json:"link"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxEnter)).Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, fault.New(fault.CallerInvalid, "enter", "", nil))
		return
	}
	cookie, key, err := s.gate.enter(s.ctx, body.Link, s.cookie(r))
	switch {
	case errors.Is(err, errStolen):
		s.tell(Notice{Kind: NoticeTwice, Text: "the link was used twice, so the session is closed: whoever used it first or last may not have been you"})
		s.invite()
		fallthrough
	case err != nil:
		refuse(w, http.StatusForbidden, err)
		return
	case key == "":
		w.WriteHeader(http.StatusNoContent) // who has a session already keeps it
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName + s.port, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(sessionLife.Seconds()),
	})
	s.poke()
	s.tell(Notice{Kind: NoticeEntered, Text: "a browser has opened the link"})
	reply(w, http.StatusOK, map[string]string{"key": key})
}

// leave ends the session, and so the console.
func (s *server) leave(w http.ResponseWriter, r *http.Request) {
	_, done, err := s.gate.pass(s.cookie(r), r.Header.Get(headerKey))
	if err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}
	done()
	s.gate.leave()
	http.SetCookie(w, &http.Cookie{Name: cookieName + s.port, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
	s.tell(Notice{Kind: NoticeLeft, Text: "the session was closed in the browser"})
	w.WriteHeader(http.StatusNoContent)
	s.poke()
}

// complete says how a filter may go on at its end. It knows the grammar and nothing of the host.
func complete(w http.ResponseWriter, r *http.Request) {
	type suggestion struct {
		Text string `json:"text"` // all of the filter
		Help string `json:"help"`
	}
	q, list := r.URL.Query().Get("q"), []suggestion{}
	for _, x := range query.Complete(r.PathValue("view"), q, len(q)) {
		if len(list) < maxSuggestions {
			list = append(list, suggestion{q[:x.From] + x.Text + q[x.To:], x.Help})
		}
	}
	reply(w, http.StatusOK, list)
}

// report counts what browsers say of broken policy. The text is not used: anybody may send it.
func (s *server) report(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxReport)
	if s.broken.Add(1) == 1 {
		s.tell(Notice{Kind: NoticePolicy, Text: "the page tried what its policy forbids; please report this with the host's version"})
	}
	w.WriteHeader(http.StatusNoContent)
}

func refuse(w http.ResponseWriter, status int, err error) {
	reply(w, status, api.Failure{Error: api.ErrorOf(err)})
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
