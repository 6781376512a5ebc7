package control

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

const (
	ours   = "token:ci"
	theirs = "token:rival"
)

var (
	ourApp   = strings.Repeat("a", 64)
	theirApp = strings.Repeat("b", 64)
	ourCode  = strings.Repeat("c", 64)
	secret   = strings.Repeat("d", 64) // hash of their code; whatever is theirs and can be told has it, or "secret", in it
	ourKey   = strings.Repeat("e", 64)
	theirKey = strings.Repeat("f", 64)
)

// world is a host with two tenants. What would change it is not implemented, and so ends the test, unless changes is set.
type world struct {
	Host
	mu      sync.Mutex
	changes []string
	allowed bool
	jobs    []run.Job
	actors  []inspect.Actor
	lines   []inspect.LogLine
	first   uint64 // sequence of the oldest line that is kept
	watched int
	letters []inspect.Letter
}

func newWorld() *world {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	return &world{
		first: 1,
		jobs: []run.Job{
			{ID: "j1", Tenant: ours, State: run.JobQueued, Priority: "normal", CodeHash: ourCode, SubmittedAt: at},
			{ID: "j2", Tenant: theirs, State: run.JobQueued, Priority: "normal", CodeHash: secret, Message: "secret", SubmittedAt: at},
			{ID: "j3", Tenant: ours, State: run.JobSettled, Priority: "normal", CodeHash: ourCode, SettledAt: at,
				Receipt: &run.Receipt{Verdict: "guest", Fault: "guest.trap", Stdout: run.Blob("payload"), Result: run.Blob("payload")}},
			{ID: "j4", Tenant: theirs, State: run.JobSettled, Priority: "normal", CodeHash: secret, SettledAt: at,
				Receipt: &run.Receipt{Verdict: "guest", Fault: "guest.trap", Message: "secret", Stdout: run.Blob("secret")}},
		},
		actors: []inspect.Actor{
			{Path: "troupe", Kind: "root", State: "idle", Incarnation: 1, Children: 2},
			{Path: "troupe/execute/worker-1", Kind: "worker", State: "busy", Incarnation: 3, Handling: "x", Depth: 9, Cap: 10},
			{Path: "troupe/apps/" + theirApp, Kind: "secret", State: "idle", App: theirApp},
			{Path: "troupe/apps/secret-" + theirApp, Kind: "app", State: "idle"},
			{Path: "troupe/apps/" + ourApp, Kind: "app", State: "idle", App: ourApp, Incarnation: 2},
		},
	}
}

func (w *world) note(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.allowed {
		panic("something was changed: " + what)
	}
	w.changes = append(w.changes, what)
	return nil
}

func (w *world) did() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes)
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) Boot() string { return "boot1" }
func (w *world) Inspect(context.Context) (inspect.Host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return inspect.Host{Name: "h", Ready: true, StartedAt: time.Unix(1, 0), Actors: slices.Clone(w.actors), Jobs: map[string]int{"queued": 2},
		Artifacts: []inspect.Artifact{{Key: ourKey, CodeHash: ourCode, State: "failed", Fault: "guest.invalid_module", Generation: 4, Pins: []string{ours}},
			{Key: theirKey, CodeHash: secret, State: "failed", Message: "secret"}},
		Queues:  []inspect.Queue{{Name: "prepare", Cap: 4, Parked: map[string]int{"normal": 3}, Preparations: []inspect.Preparation{{Tenant: theirs, CodeHash: secret}, {Tenant: ours}}}},
		Workers: []inspect.Worker{{ID: "w1", State: "busy", PID: 7, Tenant: ours}, {ID: "w2", State: "busy", PID: 8, Tenant: theirs, Artifact: secret, App: theirApp, Job: "secret"}}}, nil
}

func (w *world) Overview(ctx context.Context) (inspect.Host, error) {
	h, err := w.Inspect(ctx)
	h.Actors = nil
	return h, err
}

func (w *world) Actors(_ context.Context, dst []inspect.Actor) ([]inspect.Actor, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(dst, w.actors...), nil
}

func (w *world) Workers(ctx context.Context) ([]inspect.Worker, error) {
	h, err := w.Inspect(ctx)
	return h.Workers, err
}

func (w *world) Guests(context.Context) ([]inspect.Guest, error) {
	return []inspect.Guest{{ID: "g1", Tenant: ours, Stage: "running"}, {ID: "secret", Tenant: theirs, Stage: "running"}}, nil
}

func (w *world) Actor(ctx context.Context, path string) (inspect.ActorDetail, error) {
	h, _ := w.Inspect(ctx)
	for _, a := range h.Actors {
		if a.Path == path {
			return inspect.ActorDetail{Actor: a}, nil
		}
	}
	return inspect.ActorDetail{}, fault.New(fault.CallerNotFound, "actor", path, nil)
}

func (w *world) Mailbox(context.Context, string) ([]inspect.Letter, error) {
	return []inspect.Letter{{Type: "t"}}, nil
}

func (w *world) DeadLetters(context.Context) ([]inspect.Letter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]inspect.Letter{{ID: "l1", Actor: "troupe", Type: "t", Replayable: true}, {ID: "secret", Actor: "troupe/apps/" + theirApp}}, w.letters...), nil
}

func (w *world) Cause(context.Context, string) ([]inspect.Trace, error) {
	return []inspect.Trace{{Actor: "troupe", Type: "t"}, {Actor: "troupe/apps/" + theirApp, Type: "secret"}}, nil
}

func (w *world) Trace(ctx context.Context, _ inspect.TraceFilter, f func(inspect.Trace) error) error {
	all, _ := w.Cause(ctx, "")
	for _, t := range all {
		if err := f(t); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Timeline(_ context.Context, id string) (inspect.Timeline, error) {
	if id == "j2" {
		return inspect.Timeline{State: "secret"}, nil
	}
	return inspect.Timeline{ID: id, State: "queued"}, nil
}

func (w *world) Explain(_ context.Context, id string) (inspect.Explanation, error) {
	kind := "job"
	if len(id) == 64 {
		kind = "app"
	}
	e := inspect.Explanation{ID: id, Kind: kind, Summary: "it waits for " + id}
	if id == "j1" {
		e.Because = []inspect.Because{{ID: "j2", Kind: "job", Words: "secret"}}
	}
	return e, nil
}

func (w *world) AppHistory(context.Context, string) ([]host.AppSample, time.Duration, error) {
	return []host.AppSample{{Running: 1}}, time.Second, nil
}

func (w *world) LogLines(_ context.Context, after uint64, most int, _ time.Duration) (out []inspect.LogLine, lost uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lines == nil {
		w.lines = []inspect.LogLine{{Seq: 1, Level: "info", Message: "started"}, {Seq: 2, Level: "info", Message: "secret", Fields: map[string]any{"tenant": theirs}},
			{Seq: 3, Level: "warn", Message: "secret", Fields: map[string]any{"job": "j2"}}, {Seq: 4, Level: "info", Message: "ours", Fields: map[string]any{"tenant": ours}}}
	}
	for _, l := range w.lines {
		if l.Seq > after && l.Seq >= w.first && len(out) < most {
			out = append(out, l)
		}
	}
	if len(out) > 0 && after > 0 {
		lost = out[0].Seq - after - 1
	}
	return out, lost, nil
}

func (w *world) Watched() func() {
	w.set(func() { w.watched++ })
	return func() { w.set(func() { w.watched-- }) }
}

func (w *world) Backup(_ context.Context, out io.Writer) (host.BackupReport, error) {
	_, err := io.WriteString(out, "secret")
	return host.BackupReport{}, err
}

func (w *world) Job(_ context.Context, id string) (run.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs {
		if j.ID == id {
			return j, nil
		}
	}
	return run.Job{}, fault.New(fault.CallerNotFound, "job", id, nil)
}

func (w *world) WatchJob(ctx context.Context, id string, _ int) (run.Job, error) {
	return w.Job(ctx, id)
}
func (w *world) Jobs(_ context.Context, f host.JobFilter) (out []run.Job, next string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, j := range w.jobs {
		if (f.Tenant == "" || f.Tenant == j.Tenant) && (f.State == "" || f.State == j.State) && j.ID > f.After {
			out = append(out, j)
		}
	}
	return out, "", nil
}

func (w *world) Warmed(context.Context) ([]inspect.Warm, error) {
	return []inspect.Warm{{Tenant: ours, CodeHash: ourCode}, {Tenant: theirs, CodeHash: secret}}, nil
}

func (w *world) Artifact(ctx context.Context, key string) (inspect.Artifact, artifacts.Module, error) {
	h, _ := w.Inspect(ctx)
	for _, a := range h.Artifacts {
		if a.Key == key {
			return a, artifacts.Module{}, nil
		}
	}
	return inspect.Artifact{}, artifacts.Module{}, fault.New(fault.CallerNotFound, "artifact", key, nil)
}

func (w *world) WriteMetrics(_ context.Context, out io.Writer) error {
	_, err := io.WriteString(out, "troupe_up 1\n")
	return err
}

func (w *world) Apps(context.Context, host.AppFilter) ([]inspect.App, uint64, error) {
	return []inspect.App{{Address: ourApp, Tenant: ours, CodeHash: ourCode, State: "running", Sequence: 1, Running: 2, Active: 1},
		{Address: theirApp, Tenant: theirs, Label: "secret", CodeHash: secret, State: "failed", Sequence: 2}}, 0, nil
}

func (w *world) App(ctx context.Context, address string) (inspect.App, error) {
	all, _, _ := w.Apps(ctx, host.AppFilter{})
	for _, a := range all {
		if a.Address == address {
			return a, nil
		}
	}
	return inspect.App{}, fault.New(fault.CallerNotFound, "app", address, nil)
}

func (w *world) AppLog(context.Context, string, uint64, int, time.Duration) ([]host.LogLine, uint64, error) {
	return []host.LogLine{{Seq: 1, Text: "secret"}}, 0, nil
}

func (w *world) AppMetrics(context.Context, ...string) ([]inspect.AppMetrics, error) {
	return []inspect.AppMetrics{{Address: ourApp}, {Address: theirApp, Session: "secret"}}, nil
}

func (w *world) GetBlob(context.Context, string) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader("secret")), 6, nil
}

func (w *world) Blobs(context.Context) ([]inspect.Blob, int64, int64, error) {
	return []inspect.Blob{{Hash: "sha256:" + ourCode, Apps: []string{ourApp}}, {Hash: "sha256:" + secret, Apps: []string{theirApp}}}, 1, 2, nil
}

func (w *world) Session(context.Context) (inspect.Session, error) { return inspect.Session{}, nil }
func (w *world) Chain(context.Context) (inspect.ChainView, error) { return inspect.ChainView{}, nil }
func (w *world) ChainCalls(_ context.Context, f host.CallFilter) ([]inspect.Outgoing, uint64, error) {
	if !f.History {
		return nil, 0, nil
	}
	return []inspect.Outgoing{{Number: 1, Key: "secret", Call: "Wapod.settle", State: "failed", Error: "secret"}}, 0, nil
}

func (w *world) ChainDemands(context.Context, string, int) ([]inspect.Demand, string, error) {
	return []inspect.Demand{{ID: "app/secret", App: theirApp}, {ID: "app/ours", App: ourApp}}, "", nil
}

func (w *world) ChainPay(context.Context, string, int) ([]inspect.Pay, string, error) {
	return []inspect.Pay{{Address: theirApp, Paid: "secret"}, {Address: ourApp}}, "", nil
}

func (w *world) RestartActor(_ context.Context, path string, n uint64) error {
	return w.note("restart " + path)
}
func (w *world) PauseActor(_ context.Context, path string, n uint64) error {
	return w.note("pause " + path)
}
func (w *world) KillActor(_ context.Context, path string, n uint64) error {
	return w.note("kill " + path)
}
func (w *world) RetryArtifact(_ context.Context, key string, n uint64) error {
	return w.note("retry " + key)
}
func (w *world) StopApp(_ context.Context, address string) (inspect.App, error) {
	return inspect.App{Address: address}, w.note("stop " + address)
}
func (w *world) RemoveApp(_ context.Context, address string) (inspect.AppMetrics, error) {
	return inspect.AppMetrics{}, w.note("remove " + address)
}
func (w *world) RemoveAllApps(context.Context) (int, error) { return 1, w.note("remove all") }
func (w *world) Evict(_ context.Context, key string) error  { return w.note("evict " + key) }
func (w *world) PauseQueue(_ context.Context, name string) error {
	return w.note("pause queue " + name)
}
func (w *world) CancelJob(ctx context.Context, id, by string) (run.Job, error) {
	_ = w.note("cancel " + id + " by " + by)
	return w.Job(ctx, id)
}
func (w *world) RaiseJob(ctx context.Context, id string, p run.Priority, by string) (run.Job, error) {
	_ = w.note("raise " + id + " to " + p.String())
	return w.Job(ctx, id)
}
func (w *world) Prune(context.Context) (host.PruneReport, error) {
	return host.PruneReport{Removed: 1}, w.note("prune")
}

// as calls a route as somebody with rights, on a listener of its own kind.
func as(s *Server, name string, rights []api.Right, method, target string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	return asCtx(context.Background(), s, name, rights, method, target, body, headers...)
}

func asCtx(ctx context.Context, s *Server, name string, rights []api.Right, method, target string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+api.HostName, body)
	if err != nil {
		panic(err)
	}
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	r.RequestURI = target
	if r.Body == nil {
		r.Body = http.NoBody
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r.WithContext(context.WithValue(ctx, callerKey{}, caller{name: name, rights: api.Narrow(rights), listener: "tls"})))
	return w
}

func decodeTo[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if w.Code/100 != 2 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func codeOf(w *httptest.ResponseRecorder) string {
	var f api.Failure
	_ = json.Unmarshal(w.Body.Bytes(), &f)
	return f.Error.Code
}
