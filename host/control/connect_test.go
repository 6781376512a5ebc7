package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// raw sends one request as written and returns the status and the error that came back.
func raw(t *testing.T, socket string, req *http.Request) (int, api.Error) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var f api.Failure
	body, _ := io.ReadAll(resp.Body)
	_ = json.Unmarshal(body, &f)
	return resp.StatusCode, f.Error
}

func get(t *testing.T, socket, path string, v any) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	resp, err := hc.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", path, resp.Status, err)
	}
}

func TestRequestsThatAreTurnedAway(t *testing.T) {
	socket := serve(t, &fakeHost{}, control.Options{FormTimeout: 50 * time.Millisecond})
	form := "multipart/form-data; boundary=B"
	slow, never := io.Pipe()
	defer never.Close()
	for name, tt := range map[string]struct {
		method, path, host, kind string
		header                   [2]string
		body                     io.Reader
		status                   int
		code                     fault.Code
	}{
		"a name of a web page":      {method: "GET", path: "/v1/status", host: "evil.example", status: 403, code: fault.CallerDenied},
		"a web page":                {method: "GET", path: "/v1/status", header: [2]string{"Origin", "http://localhost"}, status: 403, code: fault.CallerDenied},
		"an unknown route":          {method: "GET", path: "/v2/status", status: 404, code: fault.CallerNotFound},
		"a bad limit":               {method: "GET", path: "/v1/artifacts?limit=0", status: 400, code: fault.CallerInvalid},
		"no form":                   {method: "POST", path: "/v1/execute", kind: "text/plain", body: strings.NewReader("x"), status: 400, code: fault.CallerInvalid},
		"an empty form":             {method: "POST", path: "/v1/execute", kind: form, body: strings.NewReader("--B--\r\n"), status: 400, code: fault.CallerInvalid},
		"code before the request":   {method: "POST", path: "/v1/execute", kind: form, body: parts("code"), status: 400, code: fault.CallerInvalid},
		"a part twice":              {method: "POST", path: "/v1/execute", kind: form, body: parts("request", "code", "code"), status: 400, code: fault.CallerInvalid},
		"an unknown part":           {method: "POST", path: "/v1/execute", kind: form, body: parts("request", "virus"), status: 400, code: fault.CallerInvalid},
		"a form that breaks off":    {method: "POST", path: "/v1/execute", kind: form, body: strings.NewReader("--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n{"), status: 400, code: fault.CallerInvalid},
		"a form that never arrives": {method: "POST", path: "/v1/execute", kind: form, body: slow, status: 504, code: fault.CanceledDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://localhost"+tt.path, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.host != "" {
				req.Host = tt.host
			}
			if tt.kind != "" {
				req.Header.Set("Content-Type", tt.kind)
			}
			if tt.header[0] != "" {
				req.Header.Set(tt.header[0], tt.header[1])
			}
			status, e := raw(t, socket, req)
			if status != tt.status || e.Code != string(tt.code) || e.Message == "" {
				t.Errorf("status %d, %+v", status, e)
			}
		})
	}
}

// A caller that does not send, or does not read, keeps its slot for a bounded time only.
func TestSlowCallersLoseTheirSlot(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		reply   string // how it begins, if anybody reads it
	}{
		"no body":             {"POST /v1/artifacts/prune HTTP/1.1\r\nHost: troupe\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 504 "},
		"no end of a body":    {"GET /v1/status HTTP/1.1\r\nHost: troupe\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n", "HTTP/1.1 504 "},
		"no body of a denied": {"GET /v1/status HTTP/1.1\r\nHost: evil\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 403 "},
		"no reader":           {"GET /v1/status HTTP/1.1\r\nHost: troupe\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			ask := sync.OnceFunc(func() { close(asked) })
			h := &fakeHost{inspect: func() inspect.Host {
				ask()
				return inspect.Host{Ready: true, Artifacts: make([]inspect.Artifact, 20000)} // more than any socket buffers
			}}
			socket := serve(t, h, control.Options{MaxRequests: 1, PlainTimeout: 300 * time.Millisecond})
			c, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, tt.request); err != nil {
				t.Fatal(err)
			}
			if tt.reply != "" {
				begin := make([]byte, len(tt.reply))
				if _, err := io.ReadFull(c, begin); err != nil || string(begin) != tt.reply {
					t.Errorf("%q, %v", begin, err)
				}
			} else {
				<-asked
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for err = fault.BusyQueueFull; errors.Is(err, fault.BusyQueueFull); {
				err = client.New(socket, 0).Ready(ctx)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A caller may take as long as its run, but not when that is over.
func TestWallLimitEndsWithTheRun(t *testing.T) {
	big := make([]byte, 8<<20) // more than any socket buffers
	for name, finish := range map[string]func(host.Request, <-chan struct{}) run.Receipt{
		"last event": func(r host.Request, taken <-chan struct{}) run.Receipt {
			_, _ = r.Stdout.Write([]byte("x"))
			<-taken
			return run.Receipt{Verdict: "ok", Result: big}
		},
		"event under way": func(r host.Request, taken <-chan struct{}) run.Receipt {
			go func() { _, _ = r.Stdout.Write(big) }()
			<-taken
			return run.Receipt{Verdict: "ok"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			taken, gate, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
			take := sync.OnceFunc(func() { close(taken) })
			h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) { return finish(r, taken), nil }}
			socket := serve(t, h, control.Options{MaxRequests: 1, SlowReader: 300 * time.Millisecond, Beat: time.Hour})
			go func() {
				defer close(left)
				_, _ = client.New(socket, 0).Execute(t.Context(), api.Execute{Limits: api.Limits{WallMicros: (7 * 24 * time.Hour).Microseconds()}},
					client.Streams{Stdout: writerFunc(func([]byte) { take(); <-gate })})
			}()
			<-taken
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := error(fault.BusyQueueFull)
			for errors.Is(err, fault.BusyQueueFull) {
				err = client.New(socket, 0).Ready(ctx)
			}
			if err != nil {
				t.Error(err)
			}
			close(gate)
			<-left
		})
	}
}

func parts(names ...string) io.Reader {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "--B\r\nContent-Disposition: form-data; name=%q\r\n\r\n{}\r\n", n)
	}
	b.WriteString("--B--\r\n")
	return strings.NewReader(b.String())
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	go func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}(l)
	if _, err := control.Listen(path); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("a socket that answers: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	l, err = control.Listen(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	_ = l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(file); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("a file: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "data" {
		t.Error("the file was touched")
	}
	if _, err := control.Listen(filepath.Join(dir, strings.Repeat("x", 200))); !errors.Is(err, fault.CallerConfig) {
		t.Errorf("a long path: %v", err)
	}
	if _, err := control.Listen(filepath.Join(dir, "none", "s")); !errors.Is(err, fault.HostDataDir) {
		t.Errorf("no directory: %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := client.New(filepath.Join(t.TempDir(), "s"), 0)
	if err := c.Live(t.Context()); !errors.Is(err, fault.CallerUnreachable) {
		t.Errorf("got %v", err)
	}
}

// A client waits for a host that is still starting.
func TestClientIsPatient(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	done := make(chan error, 1)
	go func() { done <- client.New(socket, time.Minute).Live(t.Context()) }()
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := control.New(&fakeHost{}, control.Options{})
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHostThatDiesMidRunIsNamed(t *testing.T) {
	started := make(chan struct{})
	h := &fakeHost{execute: func(ctx context.Context, _ host.Request) (run.Receipt, error) {
		close(started)
		<-ctx.Done()
		return run.Receipt{}, ctx.Err()
	}}
	l, dial := control.Pair()
	s := control.New(h, control.Options{})
	go func() { _ = s.Serve(l) }()
	go func() { <-started; _ = s.Close() }()
	if _, err := client.Over(dial).Execute(t.Context(), api.Execute{}, client.Streams{}); !errors.Is(err, fault.CallerUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestAPanicCutsTheReplyOff(t *testing.T) {
	h := &fakeHost{execute: func(context.Context, host.Request) (run.Receipt, error) { panic("boom") }}
	c := connect(t, h, control.Options{})
	if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{}); err == nil {
		t.Error("no error")
	}
	if err := c.Live(t.Context()); err != nil {
		t.Errorf("the server died with it: %v", err)
	}
}
