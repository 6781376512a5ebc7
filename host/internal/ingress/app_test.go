package ingress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

func TestHandlerSeesTheRequest(t *testing.T) {
	var got string
	a := aHandler(func(in []byte) string {
		got = string(in)
		return "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nX-App: 1\r\nSet-Cookie: a=b\r\nConnection: X-Gone\r\nX-Gone: 1\r\nX-Troupe-Signature: 00\r\nService-Worker-Allowed: /\r\n\r\nhello"
	})
	base := serve(t, a)
	status, h, body, err := ask(t, "PUT", base+"/app/"+addrText+"/a%2Fb?q=1&r", strings.NewReader("payload"),
		"Cookie", "secret=1", "X-Forwarded-For", "6.6.6.6", "X-Troupe-Origin", "me", "Proxy", "http://evil", "X_Forwarded_For", "7.7.7.7", "X-Mine", "yes", "User-Agent", "u", "Accept-Encoding", "x")
	if err != nil || status != 201 || body != "hello" {
		t.Fatal(status, body, err)
	}
	want := "PUT /a%2Fb?q=1&r HTTP/1.1\r\nHost: " + strings.TrimPrefix(base, "http://") + "\r\nContent-Length: 7\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Prefix: /app/" + addrText +
		"\r\nAccept-Encoding: x\r\nUser-Agent: u\r\nX-Mine: yes\r\n\r\npayload"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	h.Del("Date")
	if d := cmp.Diff(http.Header{"Content-Type": {"text/plain"}, "X-App": {"1"}, "Content-Length": {"5"}, "X-Content-Type-Options": {"nosniff"}}, h); d != "" {
		t.Error(d)
	}
	use, _, _ := a.used()
	if use.Ingress != 7+AcceptBytes || use.Egress != 5+ShutdownBytes {
		t.Errorf("metered %+v", use)
	}
}

func TestHandlerResponsesThatCannotBe(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":              "",
		"no end of the head":   "HTTP/1.1 200 OK\r\nA: b\r\n",
		"no status line":       "Content-Type: text/plain\r\n\r\nx",
		"an informal status":   "HTTP/1.1 101 Switching\r\n\r\n",
		"a status of letters":  "HTTP/1.1 2oo OK\r\n\r\n",
		"a short body":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		"a long body":          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd",
		"two lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"a signed length":      "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
		"length and chunks":    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"broken chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"a carriage return":    "HTTP/1.1 200 OK\r\nA: b\rX: c\r\n\r\n",
		"a NUL":                "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n",
		"a space in a name":    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"a folded line":        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"a name of many lines": "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxLines+1) + "\r\n",
		"a large head":         "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", maxHead) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, aHandler(func([]byte) string { return text }))
			status, _, body, err := ask(t, "GET", base+"/app/"+addrText+"/", nil)
			if err != nil || status != 502 || failure(t, body).Code != string(fault.GuestBadReply) {
				t.Error(status, body, err)
			}
		})
	}
}

func TestHandlerResponseInChunks(t *testing.T) {
	base := serve(t, aHandler(func([]byte) string {
		return "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
	}))
	status, h, body, err := ask(t, "GET", base+"/app/"+addrText, nil)
	if err != nil || status != 200 || body != "abcde" || h.Get("Content-Length") != "5" {
		t.Error(status, h, body, err)
	}
}

func TestErrorPages(t *testing.T) {
	handler := func(receipt run.Receipt, err error) *fakeApp {
		return &fakeApp{entry: manifest.Handler, m: manifest.Manifest{MaxQueryBytes: 4}, run: func(context.Context, Run) (run.Receipt, error) { return receipt, err }}
	}
	for name, tt := range map[string]struct {
		app    *fakeApp
		method string
		path   string
		body   string
		status int
		code   fault.Code
		retry  string
	}{
		"no such page":     {path: "/", status: 404, code: fault.CallerNotFound},
		"an operator's":    {path: "/v1/status", status: 404, code: fault.CallerNotFound},
		"no address":       {path: "/app/xyz/", status: 404, code: fault.CallerNotFound},
		"a long address":   {path: "/app/" + addrText + "00/", status: 404, code: fault.CallerNotFound},
		"no such app":      {path: "/app/" + strings.Repeat("ff", 32) + "/", status: 404, code: fault.CallerNotFound},
		"a full queue":     {app: &fakeApp{admit: fault.New(fault.BusyApp, "", "", nil)}, status: 429, code: fault.BusyApp, retry: "1"},
		"no slot":          {app: &fakeApp{admit: fault.New(fault.BusySlots, "", "", nil).WithRetryAfter(2500 * time.Millisecond)}, status: 503, code: fault.BusySlots, retry: "3"},
		"a stopped app":    {app: &fakeApp{admit: fault.New(fault.CallerAppState, "", "", nil)}, status: 409, code: fault.CallerAppState},
		"a trap":           {app: handler(run.Receipt{Verdict: "guest", Fault: string(fault.GuestTrap)}, nil), status: 502, code: fault.GuestTrap},
		"a lost worker":    {app: handler(run.Receipt{Verdict: "suspect", Fault: string(fault.SuspectWorkerDied)}, nil), status: 502, code: fault.SuspectWorkerDied},
		"no answer":        {app: handler(run.Receipt{}, context.DeadlineExceeded), status: 504, code: fault.GuestNoReply},
		"a large body":     {app: handler(run.Receipt{}, nil), body: "12345", status: 413, code: fault.CallerParamsTooBig},
		"not for apps":     {app: handler(run.Receipt{}, nil), method: "TRACE", status: 400, code: fault.CallerInvalid},
		"a full disk":      {app: handler(run.Receipt{}, fault.New(fault.HostDiskFull, "", "/secret/path", nil)), status: 500, code: fault.HostDiskFull},
		"no grant of HTTP": {app: &fakeApp{entry: manifest.Handler, m: manifest.Manifest{Terms: &manifest.Terms{}}}, status: 403, code: fault.CallerDenied},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, tt.app)
			if tt.path == "" {
				tt.path = "/app/" + addrText + "/"
			}
			if tt.method == "" {
				tt.method = "POST"
			}
			status, h, body, err := ask(t, tt.method, base+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			f := failure(t, body)
			if status != tt.status || f.Code != string(tt.code) || f.Message == "" || h.Get("Retry-After") != tt.retry || strings.Contains(body, "secret") {
				t.Error(status, h, body)
			}
		})
	}
}

// TestCommitComesBeforeTheReply: what cannot be written is not answered.
func TestCommitComesBeforeTheReply(t *testing.T) {
	full := fault.New(fault.HostDiskFull, "commit", "", nil)
	a := aHandler(func([]byte) string { return "HTTP/1.1 200 OK\r\n\r\nhello" })
	a.commit = full
	status, _, body, err := ask(t, "GET", serve(t, a)+"/app/"+addrText+"/", nil)
	if err != nil || status != 500 || failure(t, body).Code != string(fault.HostDiskFull) {
		t.Error(status, body, err)
	}
	// A response of known length that is streamed lacks its last piece.
	b := aCommand(func(_ context.Context, r Run) int {
		_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\nContent-Length: 6\n\nabc")
		_, _ = io.WriteString(r.Stdout, "def")
		return 0
	})
	b.commit = full
	status, _, body, err = ask(t, "GET", serve(t, b)+"/app/"+addrText+"/", nil)
	if err == nil || strings.Contains(body, "def") {
		t.Error(status, body, err)
	}
	// And one of unknown length lacks its end.
	c := aCommand(func(_ context.Context, r Run) int {
		_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\n\nabc")
		return 0
	})
	c.commit = full
	if status, _, body, err = ask(t, "GET", serve(t, c)+"/app/"+addrText+"/", nil); err == nil {
		t.Error(status, body)
	}
}

func TestCommandIsRunAsCGI(t *testing.T) {
	var got Run
	var in []byte
	a := aCommand(func(_ context.Context, r Run) int {
		got = r
		in, _ = io.ReadAll(r.Stdin)
		_, _ = io.WriteString(r.Stdout, "Sta")
		_, _ = io.WriteString(r.Stdout, "tus: 404 Not\nContent-Type: text/plain\n")
		_, _ = io.WriteString(r.Stdout, "\nbody")
		_, _ = io.WriteString(r.Stdout, " goes on")
		return 0
	})
	a.m.Env = append(a.m.Env, manifest.Pair{Key: "REQUEST_METHOD", Value: "evil"}, manifest.Pair{Key: "HTTP_PROXY", Value: "evil"}, manifest.Pair{Key: "CONTENT_TYPE", Value: "evil"})
	base := serve(t, a)
	status, h, body, err := ask(t, "POST", base+"/app/"+addrText+"/a%20b/c?x=%20y", strings.NewReader("input"), "X-One", "1", "X-One", "2", "Proxy", "evil", "Cookie", "c", "User-Agent", "u", "Accept-Encoding", "e")
	if err != nil || status != 404 || body != "body goes on" || h.Get("Content-Type") != "text/plain" || string(in) != "input" {
		t.Fatal(status, h, body, err, string(in))
	}
	hostport := strings.TrimPrefix(base, "http://")
	slices.Sort(got.Env)
	want := []string{
		"CONTENT_LENGTH=5", "GATEWAY_INTERFACE=CGI/1.1", "HTTP_ACCEPT_ENCODING=e", "HTTP_HOST=" + hostport, "HTTP_USER_AGENT=u", "HTTP_X_ONE=1, 2", "K=V", "PATH_INFO=/a b/c", "QUERY_STRING=x=%20y",
		"REMOTE_ADDR=127.0.0.1", "REMOTE_HOST=127.0.0.1", "REQUEST_METHOD=POST", "REQUEST_URI=/app/" + addrText + "/a%20b/c?x=%20y", "SCRIPT_NAME=/app/" + addrText,
		"SERVER_NAME=127.0.0.1", "SERVER_PORT=" + hostport[strings.LastIndex(hostport, ":")+1:], "SERVER_PROTOCOL=HTTP/1.1", "SERVER_SOFTWARE=troupe",
	}
	if d := cmp.Diff(want, got.Env); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{addrText, "one"}, got.Args); d != "" {
		t.Error(d)
	}
	if use, _, _ := a.used(); use.Ingress != 5+AcceptBytes || use.Egress != 12+ShutdownBytes {
		t.Errorf("metered %+v", use)
	}
}

// TestCommandStreamsBothWays: each piece goes out before the next comes in.
func TestCommandStreamsBothWays(t *testing.T) {
	base := serve(t, aCommand(func(_ context.Context, r Run) int {
		_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\r\n\r\n")
		_, _ = io.Copy(struct{ io.Writer }{r.Stdout}, struct{ io.Reader }{r.Stdin})
		return 0
	}))
	pr, pw := io.Pipe()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", base+"/app/"+addrText+"/", pr)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, piece := range []string{"one", "two"} {
		_, _ = io.WriteString(pw, piece)
		b := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != piece {
			t.Fatal(string(b), err)
		}
	}
	_ = pw.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Error(rest, err)
	}
}

func TestCommandsThatFail(t *testing.T) {
	for name, tt := range map[string]struct {
		out    string
		exit   int
		status int // 0: the connection ends before the response does
		code   fault.Code
	}{
		"exit before the head": {"Content-Type: a/b\n", 1, 502, fault.GuestExit},
		"exit after the head":  {"Content-Type: a/b\n\nhalf", 1, 0, ""},
		"no head":              {"hello\n", 0, 502, fault.GuestBadReply},
		"nothing":              {"", 0, 502, fault.GuestBadReply},
		"no kind of response":  {"X: y\n\nbody", 0, 502, fault.GuestBadReply},
		"a status of 3 lines":  {"Status: 200\nStatus: 201\n\n", 0, 502, fault.GuestBadReply},
		"a status of words":    {"Status: fine\n\n", 0, 502, fault.GuestBadReply},
		"an upgrade":           {"Status: 101\n\n", 0, 502, fault.GuestBadReply},
		"its own encoding":     {"Content-Type: a/b\nTransfer-Encoding: chunked\n\n", 0, 502, fault.GuestBadReply},
		"an endless head":      {strings.Repeat("A: b\n", maxHead), 0, 502, fault.GuestBadReply},
		"less than it said":    {"Content-Type: a/b\nContent-Length: 9\n\nabc", 0, 0, ""},
		"more than it said":    {"Content-Type: a/b\nContent-Length: 2\n\nabc", 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, aCommand(func(_ context.Context, r Run) int {
				_, _ = io.WriteString(r.Stdout, tt.out)
				return tt.exit
			}))
			status, _, body, err := ask(t, "GET", base+"/app/"+addrText+"/", nil)
			if tt.status == 0 {
				if err == nil {
					t.Error(status, body)
				}
			} else if err != nil || status != tt.status || failure(t, body).Code != string(tt.code) {
				t.Error(status, body, err)
			}
		})
	}
}

func TestCommandRedirects(t *testing.T) {
	base := serve(t, aCommand(func(_ context.Context, r Run) int {
		_, _ = io.WriteString(r.Stdout, "Location: /elsewhere\n\n")
		return 0
	}))
	status, h, _, err := ask(t, "GET", base+"/app/"+addrText+"/", nil)
	if err != nil || status != 302 || h.Get("Location") != "/elsewhere" {
		t.Error(status, h, err)
	}
}

func TestServiceStreams(t *testing.T) {
	a := aService(func(e calls.Event) {
		b, err := io.ReadAll(e.Body)
		if err != nil {
			e.Out.Close(err)
			return
		}
		_ = e.Out.Respond(200, []byte("Content-Type: text/plain\r\nX-Head: "+strings.Fields(string(e.Head))[1]+"\r\n"))
		_, _ = e.Out.Write([]byte("got "))
		_, _ = e.Out.Write(b)
		e.Out.Close(nil)
	})
	base := serve(t, a)
	big := strings.Repeat("x", 1<<20)
	status, h, body, err := ask(t, "POST", base+"/app/"+addrText+"?q", strings.NewReader(big))
	if err != nil || status != 200 || body != "got "+big || h.Get("X-Head") != "/?q" {
		t.Error(status, h, len(body), err)
	}
	if use, _, _ := a.used(); use.Ingress != 1<<20+AcceptBytes || use.Egress != 1<<20+4+ShutdownBytes {
		t.Errorf("metered %+v", use)
	}
}

func TestServiceFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		f      func(e calls.Event)
		status int
		code   fault.Code
	}{
		"it ends":   {func(e calls.Event) { e.Out.Close(fault.New(fault.GuestNotServing, "", "", nil)) }, 502, fault.GuestNotServing},
		"it closes": {func(e calls.Event) { e.Out.Close(nil) }, 502, fault.GuestBadReply},
		"it ends midway": {func(e calls.Event) {
			_ = e.Out.Respond(200, nil)
			_, _ = e.Out.Write([]byte("x"))
			e.Out.Close(fault.New(fault.GuestTrap, "", "", nil))
		}, 0, ""},
		"it is silent":       {func(e calls.Event) {}, 504, fault.GuestNoReply},
		"it reads on":        {func(e calls.Event) { _, _ = io.Copy(io.Discard, e.Body) }, 504, fault.GuestNoReply},
		"bad lines are told": {func(e calls.Event) { e.Out.Close(e.Out.Respond(200, []byte("A: b\r\n\r\nHTTP/1.1 200 OK"))) }, 502, fault.GuestBadReply},
		"no upgrade":         {func(e calls.Event) { e.Out.Close(e.Out.Respond(101, nil)) }, 502, fault.GuestBadReply},
	} {
		t.Run(name, func(t *testing.T) {
			a := aService(tt.f)
			a.m.Terms = &manifest.Terms{QueryTimeout: 300 * time.Millisecond, Grants: manifest.Grants{HTTP: true}}
			status, _, body, err := ask(t, "POST", serve(t, a)+"/app/"+addrText+"/", strings.NewReader("body"))
			if tt.status == 0 {
				if err == nil {
					t.Error(status, body)
				}
			} else if err != nil || status != tt.status || failure(t, body).Code != string(tt.code) {
				t.Error(status, body, err)
			}
		})
	}
}

// TestNobodyWritesTooLate: what a service does after its request has ended touches nothing.
func TestNobodyWritesTooLate(t *testing.T) {
	type tried struct{ respond, write, read error }
	got := make(chan tried, 1)
	release := make(chan struct{})
	a := aService(func(e calls.Event) {
		<-release
		var x tried
		x.respond = e.Out.Respond(200, nil)
		_, x.write = e.Out.Write([]byte("x"))
		_, x.read = e.Body.Read(make([]byte, 1))
		e.Out.Close(nil)
		got <- x
	})
	a.m.Terms = &manifest.Terms{QueryTimeout: 10 * time.Millisecond, Grants: manifest.Grants{HTTP: true}}
	if status, _, _, _ := ask(t, "POST", serve(t, a)+"/app/"+addrText+"/", strings.NewReader("body")); status != 504 {
		t.Error(status)
	}
	close(release)
	if x := <-got; !errors.Is(x.respond, fault.Canceled) || !errors.Is(x.write, fault.Canceled) || x.read == nil {
		t.Errorf("%+v", x)
	}
}

// TestBodiesOfServicesAreBounded: a service that is sent too much reads a fault, in chunks or not.
func TestBodiesOfServicesAreBounded(t *testing.T) {
	a := aService(func(e calls.Event) {
		_, err := io.Copy(io.Discard, e.Body)
		e.Out.Close(err)
	})
	base := serve(t, a, func(c *Config) { c.Limits.MaxBodyBytes = 10 })
	for name, body := range map[string]io.Reader{"of known length": strings.NewReader(strings.Repeat("x", 11)), "in chunks": struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 11))}} {
		status, _, text, err := ask(t, "POST", base+"/app/"+addrText+"/", body)
		if err != nil || status != 413 || failure(t, text).Code != string(fault.CallerParamsTooBig) {
			t.Error(name, status, text, err)
		}
	}
}

// TestABodyThatIsKnownToBeTooLongReachesNoApp: a command cannot tell a body that was cut from one that ended.
func TestABodyThatIsKnownToBeTooLongReachesNoApp(t *testing.T) {
	for _, entry := range []manifest.Entry{manifest.Command, manifest.Handler, manifest.Service} {
		a := &fakeApp{entry: entry, m: manifest.Manifest{MaxQueryBytes: 1 << 20}, run: func(context.Context, Run) (run.Receipt, error) {
			t.Errorf("%s: it ran", entry)
			return run.Receipt{}, nil
		}, deliver: func(context.Context, calls.Event) error {
			t.Errorf("%s: it was delivered", entry)
			return nil
		}}
		base := serve(t, a, func(c *Config) { c.Limits.MaxBodyBytes = 10 })
		status, _, text, err := ask(t, "POST", base+"/app/"+addrText+"/", strings.NewReader(strings.Repeat("x", 11)))
		if f := failure(t, text); err != nil || status != 413 || f.Code != string(fault.CallerParamsTooBig) || !strings.Contains(f.Message, "10 bytes") {
			t.Error(entry, status, text, err)
		}
	}
}
