package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

func wish(t testing.TB, w api.Wish) io.Reader {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReader(string(text))
}

func planOf(t testing.TB, s *Server, w api.Wish) api.Plan {
	t.Helper()
	return decodeTo[api.Plan](t, as(s, "uid:0", api.Rights, "POST", "/v1/plans", wish(t, w)))
}

func applyTo(t testing.TB, s *Server, plan string) api.Operation {
	t.Helper()
	op := decodeTo[api.Operation](t, as(s, "uid:0", api.Rights, "POST", "/v1/plans/"+plan+"/apply", nil, api.HeaderIdempotency, "k"+plan))
	return decodeTo[api.Operation](t, as(s, "uid:0", api.Rights, "GET", "/v1/operations/"+op.ID+"?wait_us=20000000", nil))
}

func TestPlanThenApply(t *testing.T) {
	h := newWorld()
	h.allowed = true
	s := New(h, Options{})
	p := planOf(t, s, api.Wish{Verb: "job.cancel", Selector: "state=queued,settled", Reason: "too many"})
	if p.Count != 2 || len(p.Excluded) != 2 || p.Excluded[0].Code != string(fault.CallerConflict) || !p.Danger || !strings.Contains(p.Effect, "2 jobs") {
		t.Fatalf("%+v", p)
	}
	if len(h.did()) != 0 {
		t.Fatal("a plan changed something")
	}
	op := applyTo(t, s, p.ID)
	if op.State != "done" || op.Done != 2 || op.Failed != 0 || op.Reason != "too many" || op.EndedAt.IsZero() {
		t.Errorf("%+v", op)
	}
	got := h.did()
	slices.Sort(got)
	if fmt.Sprint(got) != "[cancel j1 by uid:0 cancel j2 by uid:0]" {
		t.Error(got)
	}
	again := decodeTo[api.Operation](t, as(s, "uid:0", api.Rights, "POST", "/v1/plans/"+p.ID+"/apply", nil, api.HeaderIdempotency, "k"+p.ID))
	if again.ID != op.ID || len(h.did()) != 2 {
		t.Errorf("the same key: %+v", again)
	}
	if w := as(s, "uid:0", api.Rights, "POST", "/v1/plans/"+p.ID+"/apply", nil, api.HeaderIdempotency, "another"); w.Code != http.StatusConflict {
		t.Errorf("applied twice: %d", w.Code)
	}
	if w := as(s, "uid:9", api.Rights, "POST", "/v1/plans/"+p.ID+"/apply", nil); w.Code != http.StatusNotFound {
		t.Errorf("somebody else's plan: %d", w.Code)
	}
	entries := decodeTo[api.Page[api.Audit]](t, as(s, "uid:0", api.Rights, "GET", "/v1/audit?after=0", nil))
	said := map[string]int{}
	for _, a := range entries.Rows {
		said[a.Outcome]++
		if a.Outcome != "refused" && (a.Reason != "too many" || a.Plan != p.ID || a.Verb != "job.cancel") {
			t.Errorf("%+v", a)
		}
	}
	if fmt.Sprint(said) != "map[done:2 planned:1 refused:2]" { // done: what was asked, and what came of it
		t.Errorf("audit: %v", said)
	}
}

// What changed after it was planned is left alone.
func TestChangedTargetsAreSuperseded(t *testing.T) {
	for name, tt := range map[string]struct {
		wish   api.Wish
		change func(*world)
		state  string
	}{
		"a new incarnation": {api.Wish{Verb: "actor.restart", IDs: []string{"troupe/execute/worker-1"}}, func(w *world) { w.actors[1].Incarnation++ }, "superseded"},
		"an actor that is gone": {api.Wish{Verb: "actor.kill", IDs: []string{"troupe/execute/worker-1"}, Reason: "x"},
			func(w *world) { w.actors = w.actors[:1] }, "superseded"},
		"a job that began": {api.Wish{Verb: "job.cancel", IDs: []string{"j1"}, Reason: "x"}, func(w *world) { w.jobs[0].State = run.JobRunning }, "superseded"},
		"one of two": {api.Wish{Verb: "actor.restart", IDs: []string{"troupe/execute/worker-1", "troupe"}},
			func(w *world) { w.actors[1].Incarnation++ }, "failed"},
		"nothing": {api.Wish{Verb: "actor.restart", IDs: []string{"troupe"}}, func(*world) {}, "done"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newWorld()
			h.allowed = true
			s := New(h, Options{})
			s.views.actors.feed.fresh = 0
			p := planOf(t, s, tt.wish)
			h.set(func() { tt.change(h) })
			op := applyTo(t, s, p.ID)
			if op.State != tt.state || tt.state == "superseded" && len(h.did()) != 0 || len(op.Results) != p.Count {
				t.Errorf("%+v, and %v was done", op, h.did())
			}
			if tt.state != "done" && op.Results[0].State == "superseded" && op.Results[0].Code == "" {
				t.Errorf("why is not said: %+v", op.Results)
			}
		})
	}
}

func TestWishesThatAreRefused(t *testing.T) {
	s := New(newWorld(), Options{})
	for name, tt := range map[string]struct {
		w    api.Wish
		code fault.Code
	}{
		"no verb":              {api.Wish{IDs: []string{"j1"}}, fault.CallerInvalid},
		"danger, no reason":    {api.Wish{Verb: "job.cancel", IDs: []string{"j1"}}, fault.CallerReason},
		"a blank reason":       {api.Wish{Verb: "job.cancel", IDs: []string{"j1"}, Reason: " "}, fault.CallerReason},
		"selector, no reason":  {api.Wish{Verb: "job.raise", Selector: "state=queued"}, fault.CallerReason},
		"a bad selector":       {api.Wish{Verb: "job.raise", Selector: "stat=queued", Reason: "x"}, fault.CallerQuery},
		"everything":           {api.Wish{Verb: "job.raise", Selector: "  ", Reason: "x"}, fault.CallerInvalid},
		"nothing":              {api.Wish{Verb: "job.raise"}, fault.CallerInvalid},
		"both":                 {api.Wish{Verb: "job.raise", IDs: []string{"j1"}, Selector: "x", Reason: "x"}, fault.CallerInvalid},
		"an unknown argument":  {api.Wish{Verb: "job.raise", IDs: []string{"j1"}, Args: map[string]string{"x": "y"}}, fault.CallerInvalid},
		"a bad priority":       {api.Wish{Verb: "job.raise", IDs: []string{"j1"}, Args: map[string]string{"priority": "huge"}}, fault.CallerInvalid},
		"no level":             {api.Wish{Verb: "actor.log_level", IDs: []string{"troupe"}}, fault.CallerInvalid},
		"a level for a year":   {api.Wish{Verb: "actor.log_level", IDs: []string{"troupe"}, Args: map[string]string{"level": "debug", "for_us": "31536000000000"}}, fault.CallerInvalid},
		"a drain without hook": {api.Wish{Verb: "node.drain", Reason: "x"}, ""},
		"a selector of a node": {api.Wish{Verb: "node.gc", Selector: "x", Reason: "x"}, fault.CallerInvalid},
		"a long reason":        {api.Wish{Verb: "job.retry", IDs: []string{"j1"}, Reason: strings.Repeat("x", 513)}, fault.CallerInvalid},
	} {
		w := as(s, "uid:0", api.Rights, "POST", "/v1/plans", wish(t, tt.w))
		if got := codeOf(w); got != string(tt.code) {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	p := planOf(t, s, api.Wish{Verb: "node.drain", Reason: "x"})
	if p.Count != 0 || p.Excluded[0].Code != string(fault.HostUnsupported) {
		t.Errorf("%+v", p)
	}
	for verb, rights := range map[string][]api.Right{"job.cancel": {api.View, api.Payload}, "actor.kill": {api.Operate}} {
		w := as(s, ours, rights, "POST", "/v1/plans", wish(t, api.Wish{Verb: verb, IDs: []string{"j1"}, Reason: "x"}))
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "lacks the right") {
			t.Errorf("%s: %d %s", verb, w.Code, w.Body)
		}
	}
}

// Each verb of the table can be planned and done, or is not offered by this host.
func TestEachVerbIsCarriedOut(t *testing.T) {
	for _, v := range api.Verbs {
		ctx := context.WithValue(t.Context(), visitKey{}, &visit{caller: caller{name: "uid:0", rights: api.Rights}})
		s := New(&touchy{}, Options{Drain: func(context.Context) error { return errTouched }, Reload: func(context.Context) error { return errTouched }})
		err := func() (err error) {
			defer func() {
				if recover() != nil {
					err = errTouched
				}
			}()
			return s.do(ctx, &v, api.Wish{Args: map[string]string{"level": "debug", "priority": "high"}}, api.PlanTarget{ID: "x"})
		}()
		if !errors.Is(err, errTouched) {
			t.Errorf("%s: %v", v.Name, err)
		}
		if v.Right != api.Operate && v.Right != api.Admin {
			t.Errorf("%s needs only %s", v.Name, v.Right)
		}
		if v.Danger && v.Effect == "" {
			t.Errorf("%s does not say what it does", v.Name)
		}
	}
}

var errTouched = errors.New("touched")

type touchy struct{ Host } // whatever is called panics

func TestMatchExcludesWhatHasChanged(t *testing.T) {
	s := New(newWorld(), Options{})
	p := planOf(t, s, api.Wish{Verb: "actor.restart", IDs: []string{"troupe", "troupe/execute/worker-1"}, Match: map[string]uint64{"troupe": 1, "troupe/execute/worker-1": 2}})
	if p.Count != 1 || p.Targets[0].ID != "troupe" || p.Targets[0].Children != 2 || p.Excluded[0].Code != string(fault.CallerStale) {
		t.Errorf("%+v", p)
	}
}

// A plan of a caller that is confined reaches nothing of others, however it names it.
func TestPlansAreConfined(t *testing.T) {
	h := newWorld()
	h.allowed = true
	s := New(h, Options{})
	rights := []api.Right{api.Operate}
	for _, w := range []api.Wish{
		{Verb: "job.cancel", IDs: []string{"j2"}, Reason: "x"}, {Verb: "artifact.retry", IDs: []string{theirKey}}, {Verb: "app.stop", IDs: []string{theirApp}, Reason: "x"},
		{Verb: "worker.recycle", IDs: []string{"w2"}}, {Verb: "actor.restart", IDs: []string{"troupe/apps/" + theirApp}},
	} {
		p := decodeTo[api.Plan](t, as(s, ours, rights, "POST", "/v1/plans", wish(t, w)))
		if p.Count != 0 || len(p.Excluded) != 1 || p.Excluded[0].Code != string(fault.CallerNotFound) {
			t.Errorf("%s: %+v", w.Verb, p)
		}
	}
	p := decodeTo[api.Plan](t, as(s, ours, rights, "POST", "/v1/plans", wish(t, api.Wish{Verb: "job.cancel", Selector: "state=queued", Reason: "x"})))
	if p.Count != 1 || p.Targets[0].ID != "j1" || len(p.Excluded) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestPlansAndOperationsAreBounded(t *testing.T) {
	s := New(newWorld(), Options{})
	var ids []string
	for i := range maxPlans + 10 {
		ids = append(ids, planOf(t, s, api.Wish{Verb: "actor.restart", IDs: []string{"troupe"}, Reason: fmt.Sprint(i)}).ID)
	}
	if n := s.plans.plans.old.Len(); n != maxPlans || len(s.plans.plans.by) != n {
		t.Errorf("%d plans", n)
	}
	if w := as(s, "uid:0", api.Rights, "POST", "/v1/plans/"+ids[0]+"/apply", nil); w.Code != http.StatusNotFound {
		t.Errorf("the oldest is still there: %d", w.Code)
	}
}

// A dry run of any change says what it would do.
func TestDryRun(t *testing.T) {
	s := New(newWorld(), Options{}) // which panics when it is changed
	form := "--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n{}\r\n--B\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\nx\r\n--B--\r\n"
	bodies := map[string]string{
		api.RouteChainAdopt: `{"genesis":"` + ourKey + `"}`, api.RouteChainSend: `{"key":"k","pallet":"p","name":"n"}`, api.RouteSignRegistration: `{"genesis":"` + ourKey + `"}`,
	}
	for _, spec := range api.Table {
		if spec.Changes == "" || spec.Route == api.RouteApply {
			continue
		}
		method, path := fillRoute(spec.Route, "j1", ourApp, ourKey, ourCode)
		body, kind := bodies[spec.Route], api.TypeJSON
		if spec.Form != nil {
			body, kind = fmt.Sprintf(form, spec.Form[1]), "multipart/form-data; boundary=B"
		}
		w := as(s, "uid:0", api.Rights, method, path+"?priority=high&instances=1&tag=x", strings.NewReader(body), api.HeaderDryRun, "true", "Content-Type", kind)
		var would api.Would
		if err := json.Unmarshal(w.Body.Bytes(), &would); err != nil || w.Code != http.StatusOK || !would.DryRun || would.Would != spec.Changes {
			t.Errorf("%s: %d %s", spec.Route, w.Code, w.Body)
		}
	}
	for _, bad := range []string{"/v1/jobs/none/cancel", "/v1/apps/" + ourCode + "/stop", "/v1/artifacts/" + ourCode + "/pin"} {
		if w := as(s, "uid:0", api.Rights, "POST", bad, nil, api.HeaderDryRun, "true"); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
	last, _ := s.audit.Newest(1)
	if !last[0].DryRun {
		t.Errorf("%+v", last)
	}
}

// What cannot be undone has a reason in the audit log, whether it goes by a plan or by a route of its own.
func TestDangerousRoutesNeedAReason(t *testing.T) {
	h := newWorld()
	s := New(h, Options{})
	grave := map[string]bool{}
	for _, spec := range api.Table {
		if spec.Does != "" && api.VerbOf(spec.Does) == nil {
			t.Errorf("%s does what is no verb: %s", spec.Route, spec.Does)
		}
		if !spec.Grave() {
			continue
		}
		grave[spec.Does] = true
		method, path := fillRoute(spec.Route, "j1", ourApp, ourKey, ourCode)
		for _, reason := range []string{"", "  "} {
			w := as(s, "uid:0", api.Rights, method, path, nil, api.HeaderReason, reason)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), string(fault.CallerReason)) {
				t.Errorf("%s for %q: %d %s", spec.Route, reason, w.Code, w.Body)
			}
		}
		h.allowed = true
		if w := as(s, "uid:0", api.Rights, method, path, nil, api.HeaderReason, "a test"); w.Code != http.StatusOK {
			t.Errorf("%s with a reason: %d %s", spec.Route, w.Code, w.Body)
		}
		h.allowed = false
		if rows, _ := s.audit.Newest(2); rows[0].Code != string(fault.CallerReason) || rows[1].Reason != "a test" {
			t.Errorf("%s: %+v", spec.Route, rows)
		}
	}
	for _, v := range api.Verbs {
		if v.Danger && (v.Kind == "job" || v.Kind == "artifact" || v.Kind == "app") && !grave[v.Name] {
			t.Errorf("%s has a route of its own, which asks for no reason", v.Name)
		}
	}
}

func TestTheSameKeyIsTheSameAnswer(t *testing.T) {
	h := newWorld()
	h.allowed = true
	s := New(h, Options{})
	call := func(who, key, path string) (int, string) {
		w := as(s, who, api.Rights, "POST", path, nil, api.HeaderIdempotency, key, api.HeaderReason, "a test")
		return w.Code, w.Body.String()
	}
	_, first := call("uid:0", "k", "/v1/artifacts/prune")
	if code, again := call("uid:0", "k", "/v1/artifacts/prune"); code != 200 || again != first || len(h.did()) != 1 {
		t.Errorf("%d %s, %v", code, again, h.did())
	}
	if code, _ := call("uid:0", "k", "/v1/jobs/j1/cancel"); code != http.StatusConflict {
		t.Errorf("another request: %d", code)
	}
	if code, _ := call("uid:1", "k", "/v1/artifacts/prune"); code != 200 || len(h.did()) != 2 {
		t.Errorf("another caller: %d %v", code, h.did())
	}
	if code, _ := call("uid:0", "k2", "/v1/key/rotate"); code != http.StatusBadRequest {
		t.Errorf("a route without: %d", code)
	}
	for i := range 2 * maxAnswers {
		one, _ := s.answers.take("x", fmt.Sprint(i), "x", one0)
		close(one.done)
	}
	if n := s.answers.all.old.Len(); n > maxAnswers {
		t.Errorf("%d answers are kept", n)
	}
}

var one0 = (inspect.Host{}).At

func TestAuditTellsChangesAndRefusals(t *testing.T) {
	h := newWorld()
	h.allowed = true
	s := New(h, Options{})
	as(s, ours, []api.Right{api.View}, "GET", "/v1/jobs", nil)
	as(s, ours, []api.Right{api.View}, "POST", "/v1/jobs/j1/cancel", nil, api.HeaderOrigin, "top", api.HeaderReason, "it\nspins")
	as(s, ours, nil, "GET", "/v1/jobs", nil)
	as(s, "uid:0", api.Rights, "POST", "/v1/jobs/j1/cancel", nil, api.HeaderReason, "it spins")
	rows, _ := s.audit.Newest(10)
	if len(rows) != 3 {
		t.Fatalf("%+v", rows)
	}
	if a := rows[0]; a.Outcome != "refused" || a.Code != string(fault.CallerDenied) || a.Caller != ours || a.Origin != "tls top" || a.Target != "j1" || a.Route != api.RouteCancelJob || strings.Contains(a.Reason, "\n") {
		t.Errorf("%+v", a)
	}
	if a := rows[1]; a.Outcome != "refused" || a.Route != api.RouteJobs {
		t.Errorf("%+v", a)
	}
	if a := rows[2]; a.Outcome != "done" || a.Code != "" || a.Reason != "it spins" {
		t.Errorf("%+v", a)
	}
}

// atWork is a world in which three jobs are under way, two of them with a worker.
type atWork struct{ *world }

func (atWork) Guests(context.Context) ([]inspect.Guest, error) {
	return []inspect.Guest{{ID: "j1", Kind: "job"}, {ID: "j2", Kind: "job"}, {ID: "j3", Kind: "job"}, {ID: "preparation-1", Kind: "preparation"}}, nil
}

func (atWork) Workers(context.Context) ([]inspect.Worker, error) {
	return []inspect.Worker{{ID: "execute-1", State: "busy", Actor: "troupe/execute/worker-1"}, {ID: "execute-2", State: "busy", Actor: "troupe/execute/worker-2"},
		{ID: "execute-3", State: "idle", Actor: "troupe/execute/worker-3"}, {ID: "prepare-1", State: "busy", Actor: "troupe/prepare/worker-1"}}, nil
}

// TestPlansCountWhatIsLost: what a part of the host has under way ends with it, also where its actor has nothing in hand.
func TestPlansCountWhatIsLost(t *testing.T) {
	h := atWork{newWorld()}
	for _, path := range []string{"troupe/jobs", "troupe/execute", "troupe/execute/worker-2", "troupe/execute/worker-3", "troupe/prepare", "troupe/cache"} {
		h.actors = append(h.actors, inspect.Actor{Path: path, State: "idle", Incarnation: 1})
	}
	s := New(h, Options{})
	for path, lost := range map[string]int{"troupe/jobs": 3, "troupe/execute": 2, "troupe/execute/worker-2": 1, "troupe/execute/worker-3": 0, "troupe/prepare": 1, "troupe/cache": 0, "troupe": 3} {
		if p := planOf(t, s, api.Wish{Verb: "actor.restart", IDs: []string{path}}); p.Count != 1 || p.Targets[0].Lost != lost {
			t.Errorf("%s: %+v", path, p.Targets)
		}
	}
}
