package control

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// fill puts ids of one tenant into a route.
func fillRoute(route, job, app, key, code string) (method, path string) {
	method, path, _ = strings.Cut(route, " ")
	id := job
	switch {
	case strings.Contains(path, "/cause/"):
		id = strings.Repeat("0", 32)
	case strings.Contains(path, "/explain/"):
		id = job
	case strings.Contains(path, "/plans/"), strings.Contains(path, "/operations/"):
		id = "x"
	}
	path = strings.NewReplacer("{id}", id, "{address}", app, "{key}", key, "{code_hash}", code, "{hash}", "sha256:"+code,
		"{path...}", "troupe/apps/"+app, "{view}", "jobs").Replace(path)
	return method, path
}

// Whoever may only look is refused each route that changes something, and what it is shown changes nothing: the host of this
// test panics when it is changed.
func TestViewIsRefusedWhatChanges(t *testing.T) {
	s := New(newWorld(), Options{})
	for _, spec := range api.Table {
		if spec.Stream() {
			continue
		}
		method, path := fillRoute(spec.Route, "j1", ourApp, ourKey, ourCode)
		w := as(s, ours, []api.Right{api.View}, method, path, nil)
		refused := w.Code == http.StatusForbidden
		if need := spec.Right != api.View || spec.And != ""; refused != need {
			t.Errorf("%s: status %d, %s", spec.Route, w.Code, w.Body)
		}
		if refused && (!strings.Contains(w.Body.String(), "lacks the right "+string(spec.Right)) && !strings.Contains(w.Body.String(), "lacks the right") || !strings.Contains(w.Body.String(), "file of tokens")) {
			t.Errorf("%s: %s names neither the right nor who gives it", spec.Route, w.Body)
		}
		if spec.Changes != "" && spec.Right == api.View && spec.Route != api.RouteApply {
			t.Errorf("%s changes something, and needs no more than view", spec.Route)
		}
	}
}

func FuzzViewChangesNothing(f *testing.F) {
	for i := range api.Table {
		method, path := fillRoute(api.Table[i].Route, "j1", ourApp, ourKey, ourCode)
		f.Add(uint8(i), method, path, []byte(`{"verb":"job.cancel","ids":["j1"],"reason":"x"}`), "application/json", "")
		f.Add(uint8(i), method, path+"?q=x", []byte("--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n{}\r\n--B--\r\n"), "multipart/form-data; boundary=B", "key")
	}
	methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "TRACE"}
	f.Fuzz(func(t *testing.T, pick uint8, method, target string, body []byte, kind, key string) {
		for _, c := range target + method {
			if c < ' ' || c > '~' {
				return // net/http takes no such line
			}
		}
		if !strings.HasPrefix(target, "/") || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // streams end with it
		defer cancel()
		s := New(newWorld(), Options{MaxCodeBytes: 1 << 10, MaxInputBytes: 1 << 10, MaxBlobBytes: 1 << 10})
		defer s.Close()
		for _, m := range []string{method, methods[int(pick)%len(methods)]} {
			if m == "" {
				continue
			}
			w := asCtx(ctx, s, ours, []api.Right{api.View}, m, target, strings.NewReader(string(body)), "Content-Type", kind, "Idempotency-Key", strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return -1
				}
				return r
			}, key))
			if strings.Contains(w.Body.String(), "secret") && !strings.Contains(target, "secret") && !strings.Contains(string(body), "secret") {
				t.Errorf("%s %s tells %s", m, target, w.Body)
			}
		}
	})
}

// A caller that is confined to its tenant is told nothing of the other one, by any route, with any right but admin.
func TestNothingOfOtherTenantsIsTold(t *testing.T) {
	s := New(newWorld(), Options{})
	rights := []api.Right{api.View, api.Payload, api.Operate}
	seen := 0
	for _, spec := range api.Table {
		if spec.Right == api.Admin || spec.Form != nil || spec.Stream() {
			continue
		}
		for _, who := range []struct{ job, app, key, code string }{{"j1", ourApp, ourKey, ourCode}, {"j2", theirApp, theirKey, secret}} {
			method, path := fillRoute(spec.Route, who.job, who.app, who.key, who.code)
			named := strings.Contains(path, who.app) || strings.Contains(path, who.key) || strings.Contains(path, "/jobs/")
			if spec.Changes != "" && (who.job == "j1" || !named) {
				continue // would be done
			}
			for _, params := range []string{"", "?tenant=" + theirs, "?address=" + who.app, "?wait_us=1", "?q=secret", "?after=0", "?priority=high&instances=1&tag=x"} {
				w := as(s, ours, rights, method, path+params, strings.NewReader(""))
				text := w.Body.String()
				for _, own := range []string{who.job, who.app, who.key, who.code, "sha256:" + who.code} { // what the caller said itself is no news
					text = strings.ReplaceAll(text, own, "")
				}
				text = strings.ReplaceAll(text, "q=secret", "")
				if strings.Contains(text, "secret") && !(who.job == "j1" && (strings.Contains(path, "/log") && strings.HasPrefix(path, "/v1/apps/") || strings.HasPrefix(path, "/v1/blobs/"))) ||
					strings.Contains(text, secret) || strings.Contains(text, theirApp) || strings.Contains(text, theirs) {
					t.Errorf("%s %s%s tells %s", method, path, params, text)
				}
				if w.Code == http.StatusOK {
					seen++
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d answers", seen)
	}
	for _, target := range []string{"GET /v1/jobs/j2", "GET /v1/jobs/j2/timeline", "GET /v1/apps/" + theirApp, "GET /v1/apps/" + theirApp + "/log", "POST /v1/jobs/j2/cancel", "POST /v1/apps/" + theirApp + "/stop",
		"GET /v1/history?address=" + theirApp, "GET /v1/artifacts/" + theirKey, "GET /v1/blobs/sha256:" + secret, "GET /v1/actor/troupe/apps/" + theirApp, "GET /v1/explain/j2", "POST /v1/apps/" + theirApp + "/query"} {
		method, path, _ := strings.Cut(target, " ")
		if w := as(s, ours, rights, method, path, strings.NewReader(""), api.HeaderReason, "a test"); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d %s", target, w.Code, w.Body)
		}
		if method == "GET" && !strings.Contains(path, "/actor/") {
			if w := as(s, "uid:0", api.Rights, method, path, nil); w.Code != http.StatusOK {
				t.Errorf("%s is not shown to an admin: %d %s", target, w.Code, w.Body)
			}
		}
	}
}

// A1: what strangers try.
func TestStrangersAttempts(t *testing.T) {
	s := New(newWorld(), Options{MaxBlobBytes: 1 << 20})
	all := []api.Right{api.View, api.Payload, api.Operate}
	for name, tt := range map[string]struct {
		method, target string
		body           io.Reader
		headers        []string
		status         int
	}{
		"no rights":            {"GET", "/v1/status", nil, []string{"rights", "none"}, 403},
		"dots":                 {"GET", "/v1/actor/../status", nil, nil, 400},
		"dots that are hidden": {"GET", "/v1/jobs/j1/../j2", nil, nil, 400},
		"two slashes":          {"GET", "//v1/status", nil, nil, 400},
		"a NUL":                {"GET", "/v1/jobs/j1\x00", nil, nil, 400},
		"a line break":         {"GET", "/v1/jobs/j1\n", nil, nil, 400},
		"a slash behind":       {"GET", "/v1/jobs/", nil, nil, 400},
		"a long path":          {"GET", "/v1/actor/" + strings.Repeat("x/", 5000) + "x", nil, nil, 400},
		"a body of a gigabyte": {"POST", "/v1/artifacts/prune", io.LimitReader(zeros{}, 1<<30), nil, 413},
		"a plan of a gigabyte": {"POST", "/v1/plans", io.LimitReader(zeros{}, 1<<30), nil, 413},
		"an origin":            {"GET", "/v1/status", nil, []string{"Origin", "null"}, 403},
		"a fetch":              {"GET", "/v1/status", nil, []string{"Sec-Fetch-Mode", "cors"}, 403},
		"a long reason":        {"POST", "/v1/artifacts/prune", nil, []string{api.HeaderReason, strings.Repeat("x", 513)}, 400},
		"a strange dry run":    {"POST", "/v1/artifacts/prune", nil, []string{api.HeaderDryRun, "perhaps"}, 400},
		"all apps":             {"DELETE", "/v1/apps", nil, nil, 403},
		"the key":              {"POST", "/v1/key/backup", strings.NewReader("{}"), nil, 403},
		"a backup":             {"GET", "/v1/node/backup", nil, nil, 403},
		"another's tenant":     {"GET", "/v1/jobs?tenant=" + theirs, nil, nil, 200},
		"If-Match on a job":    {"POST", "/v1/jobs/j1/cancel", nil, []string{api.HeaderIfMatch, "1"}, 400},
		"an old generation":    {"POST", "/v1/artifacts/" + ourKey + "/verify", nil, []string{api.HeaderIfMatch, "3"}, 412},
	} {
		t.Run(name, func(t *testing.T) {
			rights := all
			if len(tt.headers) > 0 && tt.headers[0] == "rights" {
				rights = nil
			}
			w := as(s, ours, rights, tt.method, tt.target, tt.body, tt.headers...)
			if got := w.Result(); got.StatusCode != tt.status {
				text, _ := io.ReadAll(got.Body)
				t.Errorf("status %d, %s", got.StatusCode, text)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Each method of a host is either one that the gate has, or one that shows only what is nobody's.
func TestTheGateKnowsEachMethod(t *testing.T) {
	open := map[string]bool{"Boot": true, "Session": true, "Chain": true, "Watched": true, "WriteMetrics": true}
	own := map[string]bool{}
	for _, file := range []string{"gate.go", "gate_parts.go", "gate_reads.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if m, ok := d.(*ast.FuncDecl); ok && m.Recv != nil {
				own[m.Name.Name] = true
			}
		}
	}
	h := reflect.TypeFor[Host]()
	for i := range h.NumMethod() {
		if name := h.Method(i).Name; own[name] == open[name] {
			t.Errorf("%s goes past the gate, or need not be named here: say there who may call it", name)
		}
	}
}

func TestNarrowing(t *testing.T) {
	for _, tt := range []struct {
		max, socket, group []api.Right
		want               string
	}{
		{nil, nil, nil, "[view]"},
		{nil, nil, api.Rights, "[view payload operate admin]"},
		{[]api.Right{api.Operate}, nil, api.Rights, "[view operate]"},
		{nil, []api.Right{api.Payload}, []api.Right{api.Payload, api.Operate}, "[view payload]"},
		{[]api.Right{api.View}, nil, []api.Right{api.Admin}, "[view]"},
		{[]api.Right{}, nil, []api.Right{api.Admin}, "[]"},
	} {
		s := New(newWorld(), Options{MaxRights: tt.max, SocketRights: tt.socket, Group: 77, GroupRights: tt.group})
		s.uid = 1000
		r, _ := http.NewRequest("GET", "http://troupe/", nil)
		c, err := s.identify(r.WithContext(context.WithValue(t.Context(), callerKey{}, caller{Peer: api.Peer{UID: 1001, Groups: []int{5, 77}}})))
		if err != nil || fmt.Sprint(c.rights) != tt.want || !c.confined() && len(c.rights) < 4 {
			t.Errorf("%+v: %v, %v", tt, c.rights, err)
		}
		if _, err := s.identify(r.WithContext(context.WithValue(t.Context(), callerKey{}, caller{Peer: api.Peer{UID: 1001, GID: 5}}))); fault.CodeOf(err) != fault.CallerDenied {
			t.Errorf("a stranger: %v", err)
		}
	}
}

func TestMe(t *testing.T) {
	s := New(newWorld(), Options{Version: "v9"})
	me := decodeTo[api.Me](t, as(s, ours, []api.Right{api.Operate}, "GET", "/v1/me", nil))
	if fmt.Sprint(me) != fmt.Sprint(api.Me{Caller: ours, Rights: []api.Right{api.View, api.Operate}, Listener: "tls", Version: "v9", Boot: "boot1", Host: "h"}) {
		t.Errorf("%+v", me)
	}
}

// Bodies need a right of their own.
func TestPayloadIsWithheld(t *testing.T) {
	s := New(newWorld(), Options{})
	for _, path := range []string{"/v1/jobs/j3", "/v1/jobs/j3?wait_us=5", "/v1/jobs", "/v1/jobs?q=j3"} {
		if w := as(s, ours, []api.Right{api.Operate}, "GET", path, nil); w.Code != 200 || strings.Contains(w.Body.String(), "payload") || !strings.Contains(w.Body.String(), "guest.trap") {
			t.Errorf("%s without the right: %s", path, w.Body)
		}
	}
	if w := as(s, ours, []api.Right{api.Payload}, "GET", "/v1/jobs/j3", nil); !strings.Contains(w.Body.String(), "payload") {
		t.Errorf("with the right: %s", w.Body)
	}
}
