package webui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
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
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// fake is a host that is a set of records, over a control API that behaves like the real one.
type fake struct {
	mu       sync.Mutex // guards what follows
	boot     string
	large    bool // frames come as they were asked for, not sooner
	rights   []api.Right
	started  time.Time
	actors   []inspect.Actor
	guests   []inspect.Guest
	jobs     []run.Job
	queues   []inspect.Queue
	arts     []inspect.Artifact
	workers  []inspect.Worker
	dead     []inspect.Letter
	failing  []api.Failing
	apps     []inspect.App
	chain    inspect.ChainView
	calls    []inspect.Outgoing
	demands  []inspect.Demand
	health   []inspect.Health
	log      []inspect.LogLine
	audit    []api.Audit
	plans    map[string]api.Plan
	ops      map[string]api.Operation
	applied  []api.Plan
	watching map[string]int
	wishes   []api.Wish
	refuse   error  // of the next plan
	news     string // what an explanation says instead
	moves    func() // changes something before each frame
}

// serve puts the fake behind a Unix socket, and returns the way to it.
func (f *fake) serve(t *testing.T) http.RoundTripper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: f.handler()}}
	srv.Start()
	t.Cleanup(srv.CloseClientConnections)
	return client.Over(func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "unix", path) }).Transport()
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", api.TypeJSON)
	if err != nil {
		w.WriteHeader(api.StatusOf(fault.From(err)))
		v = api.Failure{Error: api.ErrorOf(err)}
	}
	_ = json.NewEncoder(w).Encode(v)
}

func missing(id string) error { return fault.New(fault.CallerNotFound, "look", fault.Quote(id), nil) }

func (f *fake) handler() http.Handler {
	mux := http.NewServeMux()
	on := func(route string, h func(r *http.Request) (any, error)) {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			v, err := h(r)
			f.mu.Unlock()
			answer(w, v, err)
		})
	}
	on(api.RouteMe, func(*http.Request) (any, error) {
		return api.Me{Caller: "uid:1000", Rights: f.rights, Listener: "unix", Version: "v1.0.0", Boot: f.boot, Host: "node-7"}, nil
	})
	for route, view := range map[string]string{api.RouteActors: "actors", api.RouteWorkers: "workers", api.RouteQueues: "queues"} {
		on(route, func(r *http.Request) (any, error) {
			ids, rows, total, err := f.rows(view, r)
			all := []json.RawMessage{}
			for _, id := range ids {
				all = append(all, rows[id])
			}
			return map[string]any{"rows": all, "matched": len(ids), "total": total, "at": time.Now()}, err
		})
	}
	on(api.RouteList, func(*http.Request) (any, error) { return api.ArtifactList{Artifacts: f.arts}, nil })
	on(api.RouteJobs, func(*http.Request) (any, error) { return api.JobList{Jobs: f.jobs}, nil })
	on(api.RouteApps, func(*http.Request) (any, error) { return api.AppList{Apps: f.apps}, nil })
	on(api.RouteActor, func(r *http.Request) (any, error) {
		for _, a := range f.actors {
			if a.Path == r.PathValue("path") {
				return inspect.ActorDetail{Actor: a, Flights: flights(a)}, nil
			}
		}
		return nil, missing(r.PathValue("path"))
	})
	on(api.RouteMailbox, func(r *http.Request) (any, error) {
		return api.Page[inspect.Letter]{Rows: []inspect.Letter{{At: time.Now().Add(-time.Second), Actor: r.PathValue("path"), Type: "execute.Assign", Lane: "work"}}}, nil
	})
	on(api.RouteTimeline, func(r *http.Request) (any, error) { return timeline(r.PathValue("id")), nil })
	on(api.RouteJob, func(r *http.Request) (any, error) {
		for _, j := range f.jobs {
			if j.ID == r.PathValue("id") {
				return j, nil
			}
		}
		return nil, missing(r.PathValue("id"))
	})
	mux.HandleFunc("GET /v1/explain/{id...}", func(w http.ResponseWriter, r *http.Request) {
		x := explained(r.PathValue("id"))
		f.mu.Lock()
		if f.news != "" {
			x.Summary = f.news
		}
		f.mu.Unlock()
		answer(w, x, nil)
	})
	on(api.RouteCause, func(r *http.Request) (any, error) {
		return api.Page[inspect.Trace]{Rows: traces(r.PathValue("id")), At: time.Now()}, nil
	})
	on(api.RouteHistory, func(r *http.Request) (any, error) { return history(r.URL.Query().Get("address")), nil })
	on(api.RouteChainCalls, func(r *http.Request) (any, error) { return api.CallList{Calls: f.calls}, nil })
	on(api.RouteChainDemands, func(r *http.Request) (any, error) { return api.DemandList{Demands: f.demands}, nil })
	on(api.RoutePlan, f.plan)
	on(api.RouteApply, f.apply)
	on(api.RouteOperation, func(r *http.Request) (any, error) {
		if o, ok := f.ops[r.PathValue("id")]; ok {
			return o, nil
		}
		return nil, missing(r.PathValue("id"))
	})
	mux.HandleFunc(api.RouteWatch, f.watch)
	mux.HandleFunc(api.RouteTrace, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.TypeSSE)
		for _, m := range traces(strings.Repeat("ab", 16)) {
			b, _ := json.Marshal(m)
			fmt.Fprintf(w, "data: %s\n\n", b)
		}
		fmt.Fprintf(w, "event: end\ndata: {}\n\n")
	})
	return mux
}

// rows returns what a view lists: ids in order, and the rows by id.
func (f *fake) rows(view string, r *http.Request) ([]string, map[string]json.RawMessage, int, error) {
	q := r.URL.Query()
	switch view {
	case "overview":
		up := time.Since(f.started)
		wave := math.Sin(2 * up.Seconds())
		h := inspect.Host{Version: "v1.0.0", Boot: f.boot, At: time.Now(), CPUMicros: up.Microseconds()/9 + int64(30_000*wave), RSSBytes: int64(400+12*wave) << 20, Name: "node-7", StartedAt: f.started.Add(-76 * time.Hour), DataDir: "/var/lib/troupe",
			Sandbox: "namespaces+landlock+seccomp", Ready: true, Requests: 37 + int(9*wave), Health: f.health, Store: inspect.Store{Entries: len(f.arts), Bytes: 900 << 20, LimitBytes: 4 << 30, FreeBytes: 61 << 30}, Jobs: map[string]int{"queued": 3, "running": 4, "settled": 212}}
		b, err := json.Marshal(h)
		return []string{"node-7"}, map[string]json.RawMessage{"node-7": b}, 1, err
	case "chain":
		if f.chain.Chain.Name == "" {
			return nil, nil, 0, nil
		}
		b, err := json.Marshal(f.chain)
		return []string{"chain"}, map[string]json.RawMessage{"chain": b}, 1, err
	case "actors":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.actors)
	case "guests":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.guests)
	case "jobs":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.jobs)
	case "queues":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.queues)
	case "artifacts":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.arts)
	case "workers":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.workers)
	case "dead":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.dead)
	case "failures":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.failing)
	case "apps":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.apps)
	case "health":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.health)
	case "log":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.log)
	case "audit":
		return found(view, q.Get("q"), q.Get("sort"), q.Get("limit"), f.audit)
	}
	return nil, nil, 0, missing(view)
}

func found[T any](view, q, sort, limit string, rows []T) ([]string, map[string]json.RawMessage, int, error) {
	now := time.Now()
	parsed, err := query.Parse(view, q, now)
	if err != nil {
		return nil, nil, 0, err
	}
	some := slices.Clone(query.Select(parsed, rows))
	if err := query.Sort(view, some, sort, now); err != nil {
		return nil, nil, 0, err
	}
	if n, err := strconv.Atoi(limit); err == nil && len(some) > n {
		some = some[:n]
	}
	ids, byID := []string{}, map[string]json.RawMessage{}
	for i := range some {
		id := query.ID(view, &some[i])
		b, err := json.Marshal(some[i])
		if err != nil {
			return nil, nil, 0, err
		}
		ids, byID[id] = append(ids, id), b
	}
	return ids, byID, len(rows), nil
}

func (f *fake) watch(w http.ResponseWriter, r *http.Request) {
	view := r.PathValue("view")
	every, _ := strconv.Atoi(r.URL.Query().Get("every_us"))
	f.mu.Lock()
	_, _, _, err := f.rows(view, r)
	f.watching[view]++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watching[view]--
	}()
	if err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", api.TypeSSE)
	pause := max(time.Duration(every)*time.Microsecond/4, 50*time.Millisecond)
	if f.large {
		pause = time.Duration(every) * time.Microsecond
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var last map[string]json.RawMessage
	var order []string
	for n := 1; ; n++ {
		f.mu.Lock()
		if f.moves != nil {
			f.moves()
		}
		ids, rows, total, _ := f.rows(view, r)
		frame := api.Frame{View: view, Full: last == nil, Matched: len(ids), Total: total, Boot: f.boot, At: time.Now()}
		f.mu.Unlock()
		for _, id := range ids {
			if !bytes.Equal(last[id], rows[id]) {
				frame.Rows = append(frame.Rows, api.Row{ID: id, Row: rows[id]})
			}
		}
		for id := range last {
			if _, ok := rows[id]; !ok {
				frame.Gone = append(frame.Gone, id)
			}
		}
		if !slices.Equal(order, ids) {
			frame.Order = ids
		}
		last, order = rows, ids
		b, _ := json.Marshal(frame)
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", n, b); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func (f *fake) plan(r *http.Request) (any, error) {
	var wish api.Wish
	if err := json.NewDecoder(r.Body).Decode(&wish); err != nil {
		return nil, err
	}
	if err := f.refuse; err != nil {
		f.refuse = nil
		return nil, err
	}
	f.wishes = append(f.wishes, wish)
	at := slices.IndexFunc(api.Verbs, func(v api.Verb) bool { return v.Name == wish.Verb })
	if at < 0 {
		return nil, missing(wish.Verb)
	}
	v := api.Verbs[at]
	if !slices.Contains(f.rights, v.Right) {
		return nil, fault.New(fault.CallerDenied, "plan", wish.Verb, nil)
	}
	if v.Danger && wish.Reason == "" {
		return nil, fault.New(fault.CallerReason, "plan", wish.Verb, nil)
	}
	p := api.Plan{ID: fmt.Sprintf("plan-%d", len(f.plans)+1), Verb: wish.Verb, Selector: wish.Selector, Reason: wish.Reason, Targets: []api.PlanTarget{}, Excluded: []api.PlanOutcome{}, Effect: v.Effect, Danger: v.Danger, Until: time.Now().Add(time.Minute), At: time.Now()}
	ids := wish.IDs
	if wish.Selector != "" {
		view := map[string]string{"actor": "actors", "job": "jobs"}[v.Kind]
		ids, _, _, _ = f.rows(view, &http.Request{URL: withQuery(wish.Selector)})
	}
	for _, id := range ids {
		t := api.PlanTarget{ID: id, Generation: wish.Match[id], State: "known"}
		if v.Kind == "actor" {
			t.Children, t.Lost = 2, 1
		}
		p.Targets = append(p.Targets, t)
	}
	p.Count = len(p.Targets)
	f.plans[p.ID] = p
	return p, nil
}

func (f *fake) apply(r *http.Request) (any, error) {
	p, ok := f.plans[r.PathValue("id")]
	if !ok || r.Header.Get(api.HeaderIdempotency) == "" || r.Header.Get(api.HeaderOrigin) != "web" {
		return nil, missing(r.PathValue("id"))
	}
	delete(f.plans, p.ID)
	f.applied = append(f.applied, p)
	o := api.Operation{ID: "op-" + p.ID, Plan: p.ID, Verb: p.Verb, State: "done", By: "uid:1000", Reason: p.Reason, At: time.Now(), EndedAt: time.Now()}
	for _, t := range p.Targets {
		f.change(p.Verb, t.ID)
		o.Done++
		o.Results = append(o.Results, api.PlanOutcome{ID: t.ID, State: "done"})
	}
	f.ops[o.ID] = o
	return o, nil
}

func (f *fake) change(verb, id string) {
	switch verb {
	case "actor.kill":
		f.guests = slices.DeleteFunc(f.guests, func(g inspect.Guest) bool { return id == "troupe/execute/"+g.Worker })
		for i := range f.actors {
			if f.actors[i].Path == id {
				f.actors[i].State, f.actors[i].Handling, f.actors[i].Incarnation = "starting", "", f.actors[i].Incarnation+1
			}
		}
	case "worker.kill":
		f.guests = slices.DeleteFunc(f.guests, func(g inspect.Guest) bool { return g.Worker == id })
	case "job.raise":
		for i := range f.jobs {
			if f.jobs[i].ID == id {
				f.jobs[i].Priority = "high"
			}
		}
	case "artifact.retry":
		for i := range f.arts {
			if f.arts[i].Key == id {
				f.arts[i].State, f.arts[i].Fault = "preparing", ""
			}
		}
		f.failing = slices.DeleteFunc(f.failing, func(x api.Failing) bool { return x.ID == id })
	}
}
