package ingress

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

// fakeApp is an app that is Go code.
type fakeApp struct {
	entry   manifest.Entry
	m       manifest.Manifest
	admit   error
	commit  error
	deliver func(context.Context, calls.Event) error
	run     func(context.Context, Run) (run.Receipt, error)

	mu      sync.Mutex
	silent  int // requests without a reply
	use     meter.Use
	commits int
	inside  int // admissions that did not leave
	entered int
}

func (a *fakeApp) Entry() manifest.Entry        { return a.entry }
func (a *fakeApp) Manifest() *manifest.Manifest { return &a.m }
func (a *fakeApp) used() (meter.Use, int, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.use, a.inside, a.entered
}
func (a *fakeApp) Deliver(ctx context.Context, e calls.Event) error    { return a.deliver(ctx, e) }
func (a *fakeApp) Run(ctx context.Context, r Run) (run.Receipt, error) { return a.run(ctx, r) }

func (a *fakeApp) Commit(_ context.Context, u meter.Use) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.commits++
	a.use.Ingress += u.Ingress
	a.use.Egress += u.Egress
	return a.commit
}

func (a *fakeApp) NoReply() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent++
}

func (a *fakeApp) Leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inside--
}

type fakeApps struct {
	apps  map[manifest.Address]*fakeApp
	names map[string]manifest.Address
	query func(context.Context, Query) ([]byte, error)
}

func (f *fakeApps) Admit(_ context.Context, at manifest.Address, _ uint32) (Admission, error) {
	a := f.apps[at]
	if a == nil {
		return nil, fault.New(fault.CallerNotFound, "admit", "", nil)
	}
	if a.admit != nil {
		return nil, a.admit
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inside++
	a.entered++
	return a, nil
}

func (f *fakeApps) Lookup(name string) (manifest.Address, bool) {
	a, ok := f.names[name]
	return a, ok
}

func (f *fakeApps) Query(ctx context.Context, q Query) ([]byte, error) { return f.query(ctx, q) }

var (
	addr     = manifest.Address{1, 2, 3}
	addrText = hex.EncodeToString(addr[:])
)

// serve serves one app, and returns the base of URLs.
func serve(t testing.TB, a *fakeApp, change ...func(*Config)) string {
	t.Helper()
	cfg := Config{Apps: &fakeApps{apps: map[manifest.Address]*fakeApp{addr: a}}, Report: func(err error) { t.Log("reported:", err) }}
	for _, c := range change {
		c(&cfg)
	}
	s := New(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeHTTPOn(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if a != nil {
			if _, inside, _ := a.used(); inside != 0 {
				t.Errorf("%d admissions were not left", inside)
			}
		}
	})
	return "http://" + l.Addr().String()
}

// service makes an app whose events are handled by f, each in a goroutine, like the calls of an instance.
func aService(f func(e calls.Event)) *fakeApp {
	return &fakeApp{entry: manifest.Service, deliver: func(_ context.Context, e calls.Event) error {
		go f(e)
		return nil
	}}
}

func aHandler(f func(in []byte) string) *fakeApp {
	return &fakeApp{entry: manifest.Handler, m: manifest.Manifest{MaxQueryBytes: 1 << 20}, run: func(_ context.Context, r Run) (run.Receipt, error) {
		return run.Receipt{Verdict: "ok", Result: []byte(f(r.Input))}, nil
	}}
}

func aCommand(f func(ctx context.Context, r Run) (exit int)) *fakeApp {
	return &fakeApp{entry: manifest.Command, m: manifest.Manifest{Args: []string{"one"}, Env: []manifest.Pair{{Key: "K", Value: "V"}}}, run: func(ctx context.Context, r Run) (run.Receipt, error) {
		if f(ctx, r) != 0 {
			return run.Receipt{Verdict: "guest", Fault: string(fault.GuestExit)}, nil
		}
		return run.Receipt{Verdict: "ok"}, nil
	}}
}

// get asks and returns status, header and body; a body that was cut off is an error.
func ask(t testing.TB, method, url string, body io.Reader, header ...string) (int, http.Header, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Add(header[n], header[n+1])
	}
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b), err
}

// raw sends bytes as they are and returns the connection.
func raw(t testing.TB, base, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := fmt.Fprint(c, text); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// failure reads an error page.
func failure(t testing.TB, body string) Failure {
	t.Helper()
	var f Failure
	if err := json.Unmarshal([]byte(body), &f); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return f
}
