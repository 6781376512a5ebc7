package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
)

// seenServer is the control API of a host in trouble, whose plans go as their ids say: what begins with "no-" is not there, with
// "bad-" fails, with "old-" has changed meanwhile; all else is done. It holds to the wire form, and to nothing else.
type seenServer struct {
	b       *api.Bundle
	version string

	mu      sync.Mutex
	wishes  []api.Wish
	applied []string // "plan key"
	plans   map[string]api.Plan
	ops     map[string]api.Operation
	frames  []api.Frame // of a watch, after the first
	traces  []inspect.Trace
	fault   error // of each answer but that it lives
}

func newSeenServer(names ...string) *seenServer {
	s := &seenServer{b: bundletest.Rich(20, names...), version: host.Version, plans: map[string]api.Plan{}, ops: map[string]api.Operation{}}
	return s
}

// serve listens on a socket until stop is called.
func (s *seenServer) serve(socket string) (stop func(), err error) {
	inner, dial := control.Pair()
	old := control.New(bundle.Host(s.b), control.Options{Version: s.version})
	go func() { _ = old.Serve(inner) }()
	rest := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", api.HostName, api.HostName
		},
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }, DisableKeepAlives: true},
	}
	mux := http.NewServeMux()
	s.routes(mux)
	mux.Handle("/", rest)
	l, err := control.Listen(socket)
	if err != nil {
		_ = old.Close()
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderVersion, s.version)
		if s.fault != nil && !strings.HasPrefix(r.URL.Path, "/livez") {
			reply(w, nil, s.fault)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	ended := make(chan struct{})
	go func() { _ = server.Serve(l); close(ended) }()
	return func() {
		_ = server.Close()
		<-ended
		_ = old.Close()
	}, nil
}

// newSeen is a console beside such a host.
func newSeen(t *testing.T, s *seenServer) *console {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	stop, err := s.serve(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	c := newConsole(t, &fakeHost{})
	c.start = func(context.Context, host.Config) (running, error) {
		return nil, fault.New(fault.HostDataDirLocked, "start", "", nil)
	}
	c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
	return c
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		f := fault.From(err)
		w.WriteHeader(api.StatusOf(f))
		v = api.Failure{Error: api.ErrorOf(err)}
	}
	_ = json.NewEncoder(w).Encode(v)
}

func paged[T any](mux *http.ServeMux, route, view string, rows func(r *http.Request) ([]T, error)) {
	mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		all, err := rows(r)
		var p api.Page[T]
		if err == nil {
			p, err = found(view, all, r)
		}
		reply(w, p, err)
	})
}

func found[T any](view string, all []T, r *http.Request) (p api.Page[T], err error) {
	q := query.Query{}
	if r.FormValue("q") != "" {
		if q, err = query.Parse(view, r.FormValue("q"), bundletest.At); err != nil {
			return p, err
		}
	}
	rows := slices.Clone(query.Select(q, all))
	if err := query.Sort(view, rows, r.FormValue("sort"), bundletest.At); err != nil {
		return p, err
	}
	p = api.Page[T]{Rows: rows, Matched: len(rows), Total: len(all), At: bundletest.At}
	after, _ := strconv.Atoi(r.FormValue("after"))
	p.Rows = p.Rows[min(after, len(p.Rows)):]
	if limit, _ := strconv.Atoi(r.FormValue("limit")); limit > 0 && len(p.Rows) > min(limit, 7) { // small pages, so that there are some
		p.Rows = p.Rows[:min(limit, 7)]
		p.Next = strconv.Itoa(after + len(p.Rows))
	}
	return p, nil
}

func (s *seenServer) routes(mux *http.ServeMux) {
	offline := bundle.Host(s.b)
	mux.HandleFunc(api.RouteMe, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, api.Me{Caller: "uid:0", Rights: api.Rights, Host: s.b.Host.Name, Version: s.version}, nil)
	})
	actors := func(*http.Request) ([]inspect.Actor, error) { return s.b.Host.Actors, nil }
	paged(mux, api.RouteActors, "actors", actors)
	paged(mux, api.RouteWorkers, "workers", func(*http.Request) ([]inspect.Worker, error) { return s.b.Host.Workers, nil })
	paged(mux, api.RouteQueues, "queues", func(*http.Request) ([]inspect.Queue, error) { return s.b.Host.Queues, nil })
	paged(mux, api.RouteGuests, "guests", func(*http.Request) ([]inspect.Guest, error) { return s.b.Guests, nil })
	paged(mux, api.RouteDead, "dead", func(*http.Request) ([]inspect.Letter, error) { return s.b.Dead, nil })
	paged(mux, api.RouteFailures, "failures", func(*http.Request) ([]api.Failing, error) { return s.failures(), nil })
	paged(mux, api.RouteLog, "log", func(*http.Request) ([]inspect.LogLine, error) { return s.b.Log, nil })
	paged(mux, api.RouteAudit, "audit", func(*http.Request) ([]api.Audit, error) { return s.b.Audit, nil })
	path := func(r *http.Request) string { return strings.ReplaceAll(r.PathValue("path"), "%2F", "/") }
	mux.HandleFunc(api.RouteActor, func(w http.ResponseWriter, r *http.Request) {
		x, err := offline.Actor(r.Context(), path(r))
		reply(w, x, err)
	})
	mux.HandleFunc(api.RouteMailbox, func(w http.ResponseWriter, r *http.Request) {
		x, err := offline.Mailbox(r.Context(), path(r))
		reply(w, api.Page[inspect.Letter]{Rows: x, Matched: len(x), Total: len(x)}, err)
	})
	mux.HandleFunc(api.RouteTimeline, func(w http.ResponseWriter, r *http.Request) {
		x, err := offline.Timeline(r.Context(), r.PathValue("id"))
		reply(w, x, err)
	})
	mux.HandleFunc(api.RouteExplain, func(w http.ResponseWriter, r *http.Request) {
		x, err := offline.Explain(r.Context(), r.PathValue("id"))
		reply(w, x, err)
	})
	mux.HandleFunc(api.RouteCause, func(w http.ResponseWriter, r *http.Request) {
		reply(w, api.Page[inspect.Trace]{Rows: s.traces, Matched: len(s.traces), Total: len(s.traces)}, nil)
	})
	mux.HandleFunc(api.RouteSnapshot, func(w http.ResponseWriter, _ *http.Request) {
		if err := bundle.Write(w, s.b, nil); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc(api.RouteTrace, func(w http.ResponseWriter, r *http.Request) {
		stream(w, s.traces)
		fmt.Fprintf(w, "event: %s\ndata: {}\n\n", api.EventEnd)
	})
	mux.HandleFunc(api.RouteWatch, s.watch)
	mux.HandleFunc(api.RoutePlan, func(w http.ResponseWriter, r *http.Request) {
		var wish api.Wish
		if err := json.NewDecoder(r.Body).Decode(&wish); err != nil {
			reply(w, nil, fault.New(fault.CallerInvalid, "plan", "", err))
			return
		}
		p, err := s.plan(wish)
		reply(w, p, err)
	})
	mux.HandleFunc(api.RouteApply, func(w http.ResponseWriter, r *http.Request) {
		op, err := s.apply(r.PathValue("id"), r.Header.Get(api.HeaderIdempotency))
		reply(w, op, err)
	})
	mux.HandleFunc(api.RouteOperation, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		reply(w, s.ops[r.PathValue("id")], nil)
	})
}

func stream[T any](w http.ResponseWriter, rows []T) {
	w.Header().Set("Content-Type", api.TypeSSE)
	for i, x := range rows {
		text, _ := json.Marshal(x)
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i, text)
	}
}

func (s *seenServer) failures() (all []api.Failing) {
	for _, x := range s.b.Host.Artifacts {
		if x.Fault != "" {
			all = append(all, api.Failing{ID: x.Key, Kind: "artifact", Blame: "suspect", Code: x.Fault, Message: x.Message, At: x.LastNeeded, Retryable: true, RetryAt: x.RetryAt})
		}
	}
	return append(all, api.Failing{ID: "j", Kind: "job", Blame: "guest", Code: "guest.trap", Message: "unreachable", At: bundletest.At, Tenant: "uid:0", Retryable: true})
}

// watch sends all rows of a view, then the frames of the test, and holds the line.
func (s *seenServer) watch(w http.ResponseWriter, r *http.Request) {
	view := r.PathValue("view")
	var f api.Frame
	var err error
	switch view {
	case "actors":
		f, err = frameOf(view, s.b.Host.Actors, r)
	case "workers":
		f, err = frameOf(view, s.b.Host.Workers, r)
	case "queues":
		f, err = frameOf(view, s.b.Host.Queues, r)
	case "artifacts":
		f, err = frameOf(view, s.b.Host.Artifacts, r)
	case "jobs":
		f, err = frameOf(view, s.b.Jobs, r)
	case "apps":
		f, err = frameOf(view, s.b.Apps, r)
	case "log":
		f, err = frameOf(view, s.b.Log, r)
	default:
		err = fault.New(fault.CallerNotFound, "view", view, nil)
	}
	if err != nil {
		reply(w, nil, err)
		return
	}
	stream(w, append([]api.Frame{f}, s.frames...))
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func frameOf[T any](view string, all []T, r *http.Request) (api.Frame, error) {
	p, err := found(view, all, r)
	f := api.Frame{View: view, Full: true, Matched: p.Matched, Total: p.Total, At: bundletest.At}
	for _, x := range p.Rows {
		text, _ := json.Marshal(x)
		f.Rows = append(f.Rows, api.Row{ID: query.ID(view, x), Row: text})
	}
	return f, err
}

func (s *seenServer) plan(w api.Wish) (api.Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wishes = append(s.wishes, w)
	spec := specOf(w.Verb)
	if spec.Danger && w.Reason == "" {
		return api.Plan{}, fault.New(fault.CallerReason, "plan", w.Verb, nil)
	}
	ids := w.IDs
	if w.Selector != "" {
		view := map[string]string{"actor": "actors", "job": "jobs", "worker": "workers", "artifact": "artifacts", "letter": "dead", "queue": "queues", "app": "apps"}[spec.Kind]
		if _, err := query.Parse(view, w.Selector, bundletest.At); err != nil {
			return api.Plan{}, err
		}
		ids = strings.Fields(strings.TrimSuffix(strings.TrimPrefix(w.Selector, "-nothing"), " ")) // each word of the query is an id
	}
	p := api.Plan{ID: fmt.Sprintf("p%d", len(s.wishes)), Verb: w.Verb, Selector: w.Selector, Reason: w.Reason, Effect: spec.Effect, Danger: spec.Danger, Targets: []api.PlanTarget{}, Excluded: []api.PlanOutcome{}, At: bundletest.At, Until: bundletest.At.Add(time.Minute)}
	for _, id := range ids {
		switch {
		case strings.HasPrefix(id, "no-"):
			p.Excluded = append(p.Excluded, api.PlanOutcome{ID: id, State: "excluded", Code: "caller.not_found", Why: "there is none"})
		default:
			p.Targets = append(p.Targets, api.PlanTarget{ID: id, Generation: 3, State: "busy", Label: "label", Children: 2, Lost: 1})
		}
	}
	p.Count = len(p.Targets)
	s.plans[p.ID] = p
	return p, nil
}

func (s *seenServer) apply(id, key string) (api.Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans[id]
	if !ok {
		return api.Operation{}, fault.New(fault.CallerNotFound, "plan", id, nil)
	}
	s.applied = append(s.applied, id+" "+key)
	op := api.Operation{ID: "o-" + id, Plan: id, Verb: p.Verb, State: "done", By: "uid:0", Reason: p.Reason, At: bundletest.At, Results: []api.PlanOutcome{}}
	for _, t := range p.Targets {
		r := api.PlanOutcome{ID: t.ID, State: "done"}
		switch {
		case strings.HasPrefix(t.ID, "bad-"):
			r.State, r.Code, r.Why = "failed", "host.disk_io", "the disk is gone"
			op.State, op.Failed = "failed", op.Failed+1
		case strings.HasPrefix(t.ID, "old-"):
			r.State, r.Code, r.Why = "superseded", "caller.stale", "it is of generation 4"
			op.State, op.Failed = "superseded", op.Failed+1
		default:
			op.Done++
		}
		op.Results = append(op.Results, r)
	}
	s.ops[op.ID] = op
	running := op
	running.State, running.Results, running.Done, running.Failed = "running", nil, 0, 0
	return running, nil
}
