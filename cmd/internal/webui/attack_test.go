package webui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// via is a way to a host that is a handler.
type via func(*http.Request) (*http.Response, error)

func (v via) RoundTrip(r *http.Request) (*http.Response, error) { return v(r) }

// echo answers with what arrived.
func echo(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	text, err := json.Marshal(map[string]any{"method": r.Method, "url": r.URL.String(), "header": r.Header, "body": string(body), "host": r.Host})
	h := http.Header{"Content-Type": {api.TypeJSON}, "Set-Cookie": {"stolen=1"}, "Access-Control-Allow-Origin": {"*"}}
	return &http.Response{StatusCode: http.StatusOK, Header: h, Body: io.NopCloser(strings.NewReader(string(text)))}, err
}

// console is a server under test, and a browser that behaves.
type console struct {
	t        *testing.T
	base     string
	cookie   *http.Cookie
	key      string
	mu       sync.Mutex
	notices  []Notice
	finished chan error
}

func open(t *testing.T, opts Options) *console {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := &console{t: t, finished: make(chan error, 1)}
	links := make(chan string, maxLinks)
	opts.Tell = func(n Notice) {
		c.mu.Lock()
		c.notices = append(c.notices, n)
		c.mu.Unlock()
		if n.Kind == NoticeLink {
			links <- n.Link
		}
	}
	if opts.Host == nil {
		opts.Host = via(echo)
	}
	go func() { c.finished <- Serve(ctx, opts) }()
	c.base = <-links
	return c
}

func (c *console) origin() string { return c.base[:strings.Index(c.base, "/#")] }
func (c *console) token() string  { return c.base[strings.Index(c.base, "=")+1:] }

// last returns the link that was told last.
func (c *console) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.notices) - 1; i >= 0; i-- {
		if c.notices[i].Kind == NoticeLink {
			return c.notices[i].Link
		}
	}
	return ""
}

// do sends what a page of the console would, changed by f.
func (c *console) do(method, path, body string, f func(*http.Request)) *http.Response {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.origin()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Origin", c.origin())
	r.Header.Set("Content-Type", api.TypeJSON)
	if c.cookie != nil {
		r.AddCookie(c.cookie)
		r.Header.Set(headerKey, c.key)
	}
	if f != nil {
		f(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (c *console) enter(token string) int {
	c.t.Helper()
	resp := c.do("POST", "/enter", `{"link":"`+token+`"}`, nil)
	if resp.StatusCode == http.StatusOK {
		var v struct{ Key string }
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
			c.t.Fatal(err)
		}
		c.cookie, c.key = resp.Cookies()[0], v.Key
	}
	return resp.StatusCode
}

func TestLinkIsTradedForASession(t *testing.T) {
	c := open(t, Options{})
	if got := c.do("GET", "/api/v1/me", "", nil).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("without a session: %d", got)
	}
	if got := c.enter(c.token()); got != http.StatusOK {
		t.Fatalf("enter: %d", got)
	}
	if !c.cookie.HttpOnly || c.cookie.SameSite != http.SameSiteStrictMode || c.cookie.Path != "/" || c.cookie.Domain != "" {
		t.Errorf("cookie %v", c.cookie)
	}
	if len(c.cookie.Value) < 43 || len(c.key) < 43 || len(c.token()) < 22 || c.cookie.Value == c.key {
		t.Errorf("secrets are too short, or the same")
	}
	resp := c.do("GET", "/api/v1/actors?q=state%3Dbusy&limit=5", "", func(r *http.Request) {
		r.Header.Set("X-Forwarded-For", "10.0.0.1")
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set(api.HeaderOrigin, "cli")
		r.Header.Set("Last-Event-ID", "7")
	})
	var got struct {
		Method, URL, Host string
		Header            http.Header
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := http.Header{"Content-Type": {api.TypeJSON}, "Last-Event-Id": {"7"}, api.HeaderOrigin: {"web"}}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("headers to the host (-want +got):\n%s", diff)
	}
	if got.URL != "http://troupe/v1/actors?q=state%3Dbusy&limit=5" || got.Host != api.HostName {
		t.Errorf("passed on to %s at %s", got.URL, got.Host)
	}
	if len(resp.Header["Set-Cookie"])+len(resp.Header["Access-Control-Allow-Origin"]) > 0 {
		t.Errorf("headers of the host that came through: %v", resp.Header)
	}
	// Who opens the link again in the same browser keeps the session.
	if got := c.enter(c.token()); got != http.StatusNoContent {
		t.Errorf("the same browser once more: %d", got)
	}
	if got := c.do("GET", "/api/v1/me", "", nil).StatusCode; got != http.StatusOK {
		t.Errorf("after that: %d", got)
	}
}

func TestAStolenLinkEndsTheSession(t *testing.T) {
	hanging := make(chan error, 1)
	c := open(t, Options{Host: via(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, "/v1/watch") {
			body, w := io.Pipe()
			context.AfterFunc(r.Context(), func() { hanging <- context.Cause(r.Context()); _ = w.CloseWithError(r.Context().Err()) })
			go func() { _, _ = fmt.Fprint(w, ": here\n\n") }()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {api.TypeSSE}}, Body: body}, nil
		}
		return echo(r)
	})})
	c.enter(c.token())
	live := c.do("GET", "/api/v1/watch/actors", "", nil)
	if line, err := bufio.NewReader(live.Body).ReadString('\n'); line != ": here\n" || err != nil {
		t.Fatalf("stream: %q, %v", line, err)
	}
	thief := &console{t: t, base: c.base}
	if got := thief.enter(c.token()); got != http.StatusForbidden {
		t.Errorf("the second use of a link: %d", got)
	}
	if err := <-hanging; !errors.Is(err, errStolen) {
		t.Errorf("the stream of the first ended with %v", err)
	}
	if got := c.do("GET", "/api/v1/me", "", nil).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("the session of the first still works: %d", got)
	}
	again := c.last()
	if again == c.base {
		t.Fatal("no new link")
	}
	c.base, c.cookie = again, nil
	if got := c.enter(c.token()); got != http.StatusOK {
		t.Errorf("the new link: %d", got)
	}
}

func TestWrongLinksAndHalves(t *testing.T) {
	c := open(t, Options{})
	for _, token := range []string{"", "x", strings.Repeat("A", 22), strings.Repeat("A", 900)} {
		if got := c.enter(token); got != http.StatusForbidden {
			t.Errorf("link %.30q: %d", token, got)
		}
	}
	if got := c.enter(c.token()); got != http.StatusOK {
		t.Fatalf("the right link after wrong ones: %d", got)
	}
	for name, f := range map[string]func(*http.Request){
		"no cookie":      func(r *http.Request) { r.Header.Del("Cookie") },
		"no key":         func(r *http.Request) { r.Header.Del(headerKey) }, // what a server on another port of this machine gets to see
		"wrong cookie":   func(r *http.Request) { r.Header.Set("Cookie", c.cookie.Name+"="+c.key) },
		"wrong key":      func(r *http.Request) { r.Header.Set(headerKey, c.cookie.Value) },
		"another's name": func(r *http.Request) { r.Header.Set("Cookie", cookieName+"1="+c.cookie.Value) },
		"link as cookie": func(r *http.Request) { r.Header.Set("Cookie", c.cookie.Name+"="+c.token()) },
		"empty":          func(r *http.Request) { r.Header.Set("Cookie", c.cookie.Name+"="); r.Header.Set(headerKey, "") },
	} {
		if got := c.do("GET", "/api/v1/me", "", f).StatusCode; got != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func TestRequestsOfOthersAreRefused(t *testing.T) {
	c := open(t, Options{})
	c.enter(c.token())
	set := func(pairs ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == "Host" {
					r.Host = pairs[i+1]
				} else if pairs[i+1] == "" {
					r.Header.Del(pairs[i])
				} else {
					r.Header.Set(pairs[i], pairs[i+1])
				}
			}
		}
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(c.origin(), "http://"))
	plan := `{"verb":"node.drain"}`
	for _, a := range []struct {
		name, method, path string
		f                  func(*http.Request)
		want               int
	}{
		{"rebinding", "GET", "/api/v1/me", set("Host", "evil.example:"+port), 421},
		{"rebinding, the page itself", "GET", "/", set("Host", "evil.example:"+port), 421},
		{"rebinding by localhost", "GET", "/", set("Host", "localhost:"+port), 421},
		{"rebinding by another port", "GET", "/", set("Host", "127.0.0.1:1"), 421},
		{"rebinding without a port", "GET", "/", set("Host", "127.0.0.1"), 421},
		{"rebinding by a dot", "GET", "/", set("Host", "127.0.0.1.:"+port), 421},
		{"cross-site post", "POST", "/api/v1/plans", set("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), 403},
		{"cross-site post that hides it", "POST", "/api/v1/plans", set("Sec-Fetch-Site", "", "Origin", "https://evil.example"), 403},
		{"post without any origin", "POST", "/api/v1/plans", set("Sec-Fetch-Site", "", "Origin", ""), 403},
		{"post of a sandboxed frame", "POST", "/api/v1/plans", set("Origin", "null"), 403},
		{"post from another port", "POST", "/api/v1/plans", set("Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"), 403},
		{"typed post", "POST", "/api/v1/plans", set("Sec-Fetch-Site", "none", "Origin", ""), 403},
		{"cross-site get", "GET", "/api/v1/me", set("Sec-Fetch-Site", "cross-site", "Origin", ""), 403},
		{"get from another port", "GET", "/api/v1/me", set("Sec-Fetch-Site", "same-site", "Origin", ""), 403},
		{"cross-site script", "GET", "/js/main.js", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script", "Origin", ""), 403},
		{"frame", "GET", "/", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Origin", ""), 403},
		{"link on another page", "GET", "/", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Origin", ""), 200},
		{"link on another page to data", "GET", "/api/v1/me", set("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Origin", ""), 403},
		{"cross-site enter", "POST", "/enter", set("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), 403},
		{"cross-site leave", "POST", "/leave", set("Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"), 403},
		{"form", "POST", "/api/v1/plans", set("Content-Type", "application/x-www-form-urlencoded"), 400},
		{"text form", "POST", "/api/v1/plans", set("Content-Type", "text/plain"), 400},
		{"websocket", "GET", "/api/v1/watch/actors", set("Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version", "13"), 403},
		{"h2c", "GET", "/", set("Connection", "Upgrade", "Upgrade", "h2c"), 403},
		{"preflight", "OPTIONS", "/api/v1/plans", set("Access-Control-Request-Method", "POST", "Origin", "https://evil.example"), 403},
		{"put", "PUT", "/api/v1/blobs/sha256:00", nil, 403},
		{"delete", "DELETE", "/api/v1/apps", nil, 403},
		{"trace", "TRACE", "/", nil, 403},
		{"override", "POST", "/api/v1/me", set("X-HTTP-Method-Override", "GET"), 405},
		{"method of a route", "POST", "/api/v1/actors", nil, 405},
		{"execute", "POST", "/api/v1/execute", nil, 404},
		{"key", "POST", "/api/v1/key/backup", nil, 404},
		{"send", "POST", "/api/v1/chain/send", nil, 404},
		{"backup", "GET", "/api/v1/node/backup", nil, 404},
		{"a blob", "GET", "/api/v1/blobs/sha256:00", nil, 404},
		{"outside", "GET", "/v1/me", nil, 404},
		{"another version", "GET", "/api/v2/me", nil, 404},
	} {
		resp := c.do(a.method, a.path, map[bool]string{true: plan}[a.method == "POST"], a.f)
		if resp.StatusCode != a.want {
			body, _ := io.ReadAll(resp.Body)
			t.Errorf("%s: %d, want %d: %.200s", a.name, resp.StatusCode, a.want, body)
		}
		if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: allows %s", a.name, got)
		}
		if resp.Header.Get("Content-Security-Policy") != policy || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", a.name, resp.Header)
		}
	}
	if got := c.do("POST", "/api/v1/plans", plan, nil).StatusCode; got != http.StatusOK {
		t.Errorf("a page that behaves: %d", got)
	}
	if got := c.do("POST", "/api/v1/plans", strings.Repeat("x", api.MaxRequestBytes+1), nil).StatusCode; got != http.StatusRequestEntityTooLarge {
		t.Errorf("a body without end: %d", got)
	}
}

func TestPathsCannotLeaveTheirRoute(t *testing.T) {
	c := open(t, Options{})
	c.enter(c.token())
	for _, path := range []string{
		"/api/v1/actor/../../v1/key/backup", "/api/v1/actor/%2e%2e/%2e%2e/execute", "/api/v1/actor/..%2f..%2fexecute", "/api/v1/actor//etc",
		"/api/v1/actor/a%5c..%5cb", "/api/v1/actor/a%00", "/api/v1/actor/a%0d%0aHost:x", "/api/../api/v1/execute", "//evil.example/api/v1/me",
		"/api/v1/jobs/..%2f..%2fme/timeline", "/api/v1/actor/a/%2e", "/api/%2e%2e/v1/me", "/js/..%2f..%2fserve.go", "/js/%2e%2e/index.html",
	} {
		u, err := url.Parse(c.origin() + "/")
		if err != nil {
			t.Fatal(err)
		}
		u.Opaque = "//" + u.Host + path
		r := &http.Request{Method: "GET", URL: u, Header: http.Header{"Sec-Fetch-Site": {"same-origin"}, headerKey: {c.key}}}
		r.AddCookie(c.cookie)
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Site: same-origin\r\n%s: %s\r\nCookie: %s=%s\r\n\r\n", path, u.Host, headerKey, c.key, c.cookie.Name, c.cookie.Value)
		resp, err := http.ReadResponse(bufio.NewReader(conn), r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = conn.Close()
		if resp.StatusCode == http.StatusOK {
			t.Errorf("%s went through: %s", path, body)
		}
		if resp.StatusCode/100 == 3 && !strings.HasPrefix(resp.Header.Get("Location"), "/") {
			t.Errorf("%s leads to %s", path, resp.Header.Get("Location"))
		}
	}
	// A path with escaped slashes and letters arrives as it was.
	var got struct{ URL string }
	if err := json.NewDecoder(c.do("GET", "/api/v1/actor/troupe/a%20b", "", nil).Body).Decode(&got); err != nil || got.URL != "http://troupe/v1/actor/troupe/a%20b" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheConsoleEnds(t *testing.T) {
	t.Run("nobody came", func(t *testing.T) {
		var mu sync.Mutex
		now := time.Now()
		g := &gate{now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }, idle: time.Hour}
		token, _ := g.invite()
		if over, _ := g.over(); over || g.due() != linkLife {
			t.Fatalf("at first: over %v, due %v", over, g.due())
		}
		now = now.Add(linkLife)
		if _, _, err := g.enter(t.Context(), token, ""); !errors.Is(err, errLate) {
			t.Errorf("a late guest: %v", err)
		}
		if over, err := g.over(); !over || !errors.Is(err, fault.CanceledDeadline) {
			t.Errorf("over %v, %v", over, err)
		}
	})
	t.Run("idle and old", func(t *testing.T) {
		now := time.Now()
		g := &gate{now: func() time.Time { return now }, idle: time.Hour}
		token, _ := g.invite()
		cookie, key, err := g.enter(t.Context(), token, "")
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := g.pass(cookie, key)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Hour)
		if over, _ := g.over(); over {
			t.Error("over, while a stream is open")
		}
		done()
		now = now.Add(time.Hour)
		if over, err := g.over(); !over || err != nil {
			t.Errorf("idle: over %v, %v", over, err)
		}
		if _, _, err := g.pass(cookie, key); err == nil {
			t.Error("a session that is over lets in")
		}
	})
	t.Run("too old", func(t *testing.T) {
		now := time.Now()
		g := &gate{now: func() time.Time { return now }, idle: 100 * time.Hour}
		token, _ := g.invite()
		cookie, key, _ := g.enter(t.Context(), token, "")
		now = now.Add(sessionLife)
		if _, _, err := g.pass(cookie, key); !errors.Is(err, errOver) {
			t.Errorf("after its life: %v", err)
		}
	})
	t.Run("left", func(t *testing.T) {
		c := open(t, Options{})
		c.enter(c.token())
		if got := c.do("POST", "/leave", "", nil).StatusCode; got != http.StatusNoContent {
			t.Errorf("leave: %d", got)
		}
		if err := <-c.finished; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("links are few", func(t *testing.T) {
		g := &gate{now: time.Now, idle: time.Hour}
		for range maxLinks {
			if _, ok := g.invite(); !ok {
				t.Fatal("too early")
			}
		}
		if _, ok := g.invite(); ok {
			t.Error("links without end")
		}
	})
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "localhost:0", "[::]:0", "nonsense"} {
		if err := Serve(t.Context(), Options{Addr: addr, Host: via(echo)}); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestAHostThatIsGone(t *testing.T) {
	c := open(t, Options{Host: via(func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") })})
	c.enter(c.token())
	resp := c.do("GET", "/api/v1/me", "", nil)
	var f api.Failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || resp.StatusCode != http.StatusBadGateway || f.Error.Code != string(fault.CallerUnreachable) {
		t.Errorf("%d, %v, %v", resp.StatusCode, f, err)
	}
}
