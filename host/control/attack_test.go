package control

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// Whoever could not say who it is is no user in the audit log, least of all root.
func TestAStrangerIsNotTakenForRoot(t *testing.T) {
	s := New(newWorld(), Options{})
	s.door.Store(&door{max: api.Rights})
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+api.HostName+"/v1/me", nil)
	r.TLS, r.RemoteAddr = &tls.ConnectionState{}, "192.0.2.7:1234"
	unknown := r.Clone(context.Background())
	unknown.TLS = nil
	for want, r := range map[string]*http.Request{"tls:192.0.2.7": r, "unknown": unknown} {
		c, err := s.identify(r)
		if err == nil || c.Tenant() != want || len(c.rights) != 0 {
			t.Errorf("%s: %s %v %v", want, c.Tenant(), c.rights, err)
		}
	}
}

// A header that decides what happens comes once: nobody gets a change who asked for a dry run.
func TestDoubledHeadersAreRefused(t *testing.T) {
	s := New(newWorld(), Options{})
	for _, name := range singles {
		r, _ := http.NewRequestWithContext(context.WithValue(t.Context(), callerKey{}, caller{name: "uid:0", rights: api.Rights}), "POST", "http://"+api.HostName+"/v1/artifacts/prune", http.NoBody)
		r.Header.Add(name, "")
		r.Header.Add(name, "true")
		if _, err := s.enter(r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keeper is a world that runs code and keeps blobs.
type keeper struct {
	*world
	blobs []inspect.Blob
}

func (k *keeper) Execute(_ context.Context, r host.Request) (run.Receipt, error) {
	return run.Receipt{Verdict: "ok"}, k.note("execute")
}

func (k *keeper) PutBlob(_ context.Context, _ string, r io.Reader) (inspect.Blob, error) {
	b, err := io.ReadAll(r)
	blob := inspect.Blob{Hash: "sha256:" + sum(string(b))}
	k.blobs = append(k.blobs, blob)
	return blob, err
}

func (k *keeper) Blobs(context.Context) ([]inspect.Blob, int64, int64, error) {
	return k.blobs, 0, 0, nil
}

func (k *keeper) RemoveBlob(_ context.Context, hash string) error { return k.note("remove " + hash) }

func (k *keeper) SetBench(_ context.Context, address string, n uint32) (inspect.Session, error) {
	return inspect.Session{}, k.note(fmt.Sprint("bench ", n))
}

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

const confinedForm = "--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n%s\r\n%s--B--\r\n"

// A hash is no secret, and so no key: bytes of others are not there for who has never had them.
func TestAHashOpensNothingOfOthers(t *testing.T) {
	k := &keeper{world: newWorld()}
	k.allowed = true
	s := New(k, Options{})
	rights := []api.Right{api.Payload, api.Operate}
	run := func(who, request, code string) string {
		if code != "" {
			code = "--B\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\n" + code + "\r\n"
		}
		return as(s, who, rights, "POST", "/v1/execute", strings.NewReader(fmt.Sprintf(confinedForm, request, code)), "Content-Type", "multipart/form-data; boundary=B").Body.String()
	}
	byHash := `{"code_hash":"` + sum("wasm") + `"}`
	if got := run(theirs, "{}", "wasm"); !strings.Contains(got, `"ok"`) {
		t.Fatal(got)
	}
	if got := run(theirs, byHash, ""); !strings.Contains(got, `"ok"`) {
		t.Errorf("who has passed it: %s", got)
	}
	if got := run(ours, byHash, ""); !strings.Contains(got, string(fault.CallerNotFound)) || len(k.did()) != 2 {
		t.Errorf("somebody else: %s", got)
	}
	if got := run(ours, `{"code_hash":"`+ourCode+`"}`, ""); !strings.Contains(got, `"ok"`) {
		t.Errorf("the code of an own app: %s", got)
	}
	if w := as(s, theirs, rights, "POST", "/v1/blobs", strings.NewReader("blob")); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	path := "/v1/blobs/sha256:" + sum("blob")
	for _, method := range []string{"GET", "DELETE"} {
		if w := as(s, ours, rights, method, path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
		if w := as(s, theirs, rights, method, path, nil); w.Code != http.StatusOK {
			t.Errorf("%s by who has stored it: %d %s", method, w.Code, w.Body)
		}
	}
}

// What serves all tenants is not for one of them to stop.
func TestAConfinedCallerStopsNothingOfAll(t *testing.T) {
	h := newWorld()
	h.allowed = true
	s := New(h, Options{})
	rights := []api.Right{api.View, api.Payload, api.Operate}
	for _, w := range []api.Wish{
		{Verb: "queue.pause", IDs: []string{"prepare"}}, {Verb: "queue.pause", Selector: "name=prepare", Reason: "x"}, {Verb: "chain.pause"}, {Verb: "node.gc"},
		{Verb: "actor.pause", IDs: []string{"troupe"}}, {Verb: "actor.restart", IDs: []string{"troupe/execute/worker-1"}}, {Verb: "letter.drop", IDs: []string{"l1"}},
		{Verb: "letter.replay", IDs: []string{"secret"}},
	} {
		p := decodeTo[api.Plan](t, as(s, ours, rights, "POST", "/v1/plans", wish(t, w)))
		if p.Count != 0 || len(p.Excluded) != 1 {
			t.Errorf("%s: %+v", w.Verb, p)
		}
	}
	if w := as(s, ours, rights, "POST", "/v1/artifacts/prune", nil); w.Code != http.StatusForbidden {
		t.Errorf("prune: %d %s", w.Code, w.Body)
	}
	ctx := context.WithValue(t.Context(), visitKey{}, &visit{caller: caller{name: ours, rights: rights}})
	for name, err := range map[string]error{"queue": s.host.PauseQueue(ctx, "prepare"), "letter": s.host.DropLetter(ctx, "secret"), "chain": s.host.PauseChain(ctx), "actor": s.host.KillActor(ctx, "troupe", 1)} {
		if err == nil {
			t.Errorf("%s: the gate lets it pass", name)
		}
	}
	if p := decodeTo[api.Plan](t, as(s, ours, rights, "POST", "/v1/plans", wish(t, api.Wish{Verb: "actor.pause", IDs: []string{"troupe/apps/" + ourApp}}))); p.Count != 1 {
		t.Errorf("its own: %+v", p)
	}
	if did := h.did(); len(did) != 0 {
		t.Errorf("%v", did)
	}
}

// A field of the log that nobody has thought of may name somebody.
func TestLinesWithUnknownFieldsAreNotShown(t *testing.T) {
	h := newWorld()
	h.lines = []inspect.LogLine{{Seq: 1, Message: "secret", Fields: map[string]any{"call": theirApp}}, {Seq: 2, Message: "secret", Fields: map[string]any{"error": "of " + theirApp}},
		{Seq: 3, Message: "plain", Fields: map[string]any{"queue": "prepare"}}}
	w := as(New(h, Options{}), ours, []api.Right{api.View}, "GET", "/v1/log", nil)
	if text := w.Body.String(); strings.Contains(text, "secret") || !strings.Contains(text, "plain") {
		t.Error(text)
	}
}

// The same key with another body is another request.
func TestAKeyIsForOneBody(t *testing.T) {
	k := &keeper{world: newWorld()}
	k.allowed = true
	s := New(k, Options{})
	call := func(n int) int {
		return as(s, "uid:0", api.Rights, "POST", strings.TrimPrefix(api.RouteSetBench, "POST "), strings.NewReader(fmt.Sprintf(`{"instances":%d}`, n)), api.HeaderIdempotency, "k").Code
	}
	if a, b, c := call(1), call(1), call(2); a != 200 || b != 200 || c != http.StatusConflict || fmt.Sprint(k.did()) != "[bench 1]" {
		t.Errorf("%d %d %d %v", a, b, c, k.did())
	}
}

// Nobody pushes out what others have, and what is kept is bounded by its size.
func TestFloodsPushOutNothingOfOthers(t *testing.T) {
	s := New(newWorld(), Options{})
	first := planOf(t, s, api.Wish{Verb: "actor.restart", IDs: []string{"troupe"}})
	ids := make([]string, 5000)
	for i := range ids {
		ids[i] = fmt.Sprintf("x%d", i)
	}
	for i := range 2 * maxPlans {
		w := api.Wish{Verb: "artifact.retry", IDs: []string{"none"}, Reason: fmt.Sprint(i)}
		if i%64 == 0 {
			w.IDs = ids
		}
		decodeTo[api.Plan](t, as(s, ours, []api.Right{api.Operate}, "POST", "/v1/plans", wish(t, w)))
		s.answers.take(ours, fmt.Sprint(i), "x", one0)
	}
	if w := as(s, "uid:0", api.Rights, "POST", "/v1/plans/"+first.ID+"/apply", nil, api.HeaderDryRun, "true"); w.Code != http.StatusOK {
		t.Errorf("the plan of somebody else: %d %s", w.Code, w.Body)
	}
	if s.plans.plans.has > maxPlans {
		t.Errorf("plans weigh %d", s.plans.plans.has)
	}
}

func TestStreamsOfACallerAreBounded(t *testing.T) {
	s := New(newWorld(), Options{MaxStreams: 8})
	for range 2 {
		next, end := stream(t, t.Context(), s, "/v1/watch/actors")
		frameOf(t, next)
		defer end()
	}
	for who, want := range map[string]int{"uid:0": http.StatusServiceUnavailable, ours: http.StatusOK} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if w := asCtx(ctx, s, who, api.Rights, "GET", "/v1/watch/actors", nil); w.Code != want {
			t.Errorf("%s: %d %s", who, w.Code, w.Body)
		}
	}
}

// Who takes a backup has the keys: it is written down. That nothing can be written down is a matter of health.
func TestTheAuditLogMissesNothing(t *testing.T) {
	s := New(newWorld(), Options{AuditDir: filepath.Join(t.TempDir(), "none")})
	as(s, "uid:0", api.Rights, "GET", "/v1/node/backup", nil)
	if rows, _ := s.audit.Newest(1); len(rows) != 1 || rows[0].Route != api.RouteBackup || rows[0].Outcome != "done" {
		t.Errorf("%+v", rows)
	}
	if text := as(s, "uid:0", api.Rights, "GET", "/v1/health", nil).Body.String(); !strings.Contains(text, "audit.unwritten") {
		t.Error(text)
	}
}

func TestWebPagesAreTurnedAway(t *testing.T) {
	s := New(newWorld(), Options{})
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Host = "evil.example" },
		func(r *http.Request) { r.Host = "127.0.0.1:80" },
		func(r *http.Request) { r.Host = "troupe.evil.example" },
		func(r *http.Request) { r.Header.Set("Origin", "null") },
		func(r *http.Request) { r.Header.Set("Origin", "http://"+api.HostName) },
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") },
		func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "websocket") },
	} {
		r, _ := http.NewRequestWithContext(context.WithValue(t.Context(), callerKey{}, caller{name: "uid:0", rights: api.Rights}), "GET", "http://"+api.HostName+"/livez", http.NoBody)
		change(r)
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s %v: %d", r.Host, r.Header, w.Code)
		}
	}
}

// Words of callers do not break the lines of the audit log, and move no cursor.
func TestHostileTextIsQuoted(t *testing.T) {
	s := New(newWorld(), Options{})
	evil := "\x1b[2J\nroot did it\u202e\x00"
	as(s, ours, []api.Right{api.View}, "POST", "/v1/jobs/j1/cancel", nil, api.HeaderReason, evil, api.HeaderOrigin, evil)
	as(s, "uid:0", api.Rights, "POST", "/v1/plans", wish(t, api.Wish{Verb: evil, IDs: []string{evil}, Reason: evil}))
	as(s, "uid:0", api.Rights, "POST", "/v1/plans", wish(t, api.Wish{Verb: "job.cancel", Selector: evil, Reason: evil}))
	rows, _ := s.audit.Newest(10)
	if len(rows) != 3 {
		t.Errorf("%d entries", len(rows))
	}
	for _, a := range rows {
		for _, text := range []string{a.Reason, a.Origin, a.Target, a.Verb, a.Route, a.Caller} {
			if strings.ContainsAny(text, "\x1b\n\x00\u202e") {
				t.Errorf("%q", text)
			}
		}
	}
}
