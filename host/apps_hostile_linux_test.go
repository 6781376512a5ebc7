package host_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// TestAPathNamesNoCaller: a guest reads the path of a query in one line and the account of its caller in the next, so a path with
// lines of its own would name any caller, without a signature.
func TestAPathNamesNoCaller(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	l := httptest.NewServer(h.AppHandler())
	defer l.Close()
	victim := strings.Repeat("ab", 32)
	for _, file := range []string{"c-handler", "c-service", "c-cgi"} {
		a := deploy(t, h, appOf(t, h, file, nil))
		for _, path := range []string{"x\n" + victim, "x\n" + victim + "\n", "x\r", "x\x00", "x\x7f", "x\xff", "x\u0085"} {
			_, err := h.Query(t.Context(), host.AppQuery{Address: a.Address, Path: path, Payload: []byte("hello")})
			isFault(t, err, fault.CallerInvalid)
			r, err := http.Post(l.URL+"/query/"+a.Address+"?path="+url.QueryEscape(path), "", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %q was answered with %d", file, path, r.StatusCode)
			}
		}
		ask(t, h, a.Address, "x/ü y", "hello")
	}
}

// initLoop computes without end in its start function, before anything of it is called.
var initLoop = []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01`\x00\x00\x03\x03\x02\x00\x00\x05\x03\x01\x00\x01\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x01" +
	"\x08\x01\x00\n\x0c\x02\x07\x00\x03@\x0c\x00\x0b\x0b\x02\x00\x0b")

// TestInitialisationIsNotFree: a guest that computes before it begins, and is ended there, is charged for it.
func TestInitialisationIsNotFree(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	b, err := h.PutBlob(t.Context(), "", bytes.NewReader(initLoop))
	if err != nil {
		t.Fatal(err)
	}
	a := deploy(t, h, &manifest.Manifest{Version: 2, CodeHash: b.Hash, OnDemand: true, MaxQueryBytes: 100,
		Terms: &manifest.Terms{QueryTimeout: time.Minute, Limits: manifest.Limits{Wall: 300 * time.Millisecond}}})
	if _, err = h.Query(t.Context(), host.AppQuery{Address: a.Address, Path: "x"}); err == nil {
		t.Fatal("it ended")
	}
	const much = 1_000_000_000 / 1024 // 10 ms of the 300 ms: the machine may be busy
	if m := app(t, h, a.Address).Metrics; m.Gas < much || m.Starts == 0 {
		t.Errorf("it is metered as %+v", m)
	}
}

// TestARequestThatNeverEndsHoldsNobody: a service that computes without end in an HTTP request is ended as one is in a query, and the
// next request has another instance.
func TestARequestThatNeverEndsHoldsNobody(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	l := httptest.NewServer(h.AppHandler())
	defer l.Close()
	a := deploy(t, h, appOf(t, h, "go-app", func(m *manifest.Manifest) { m.Terms.Grants.HTTP, m.Terms.QueryTimeout = true, 2*time.Second }))
	get := func(path string) int {
		r, err := http.Get(l.URL + "/app/" + a.Address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	waitFor(t, "the first answer", func() bool { return get("/hello") == http.StatusOK })
	if got := get("/spin"); got != http.StatusGatewayTimeout {
		t.Errorf("it answered with %d", got)
	}
	becomes(t, h, a.Address, "idle", func(a inspect.App) bool { return a.Running == 0 && a.Active == 0 })
	if got := get("/hello"); got != http.StatusOK {
		t.Errorf("the next request was answered with %d", got)
	}
}
