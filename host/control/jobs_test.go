package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// jobHost knows jobs; what a test leaves out must not be called.
type jobHost struct {
	fakeHost
	submit func(context.Context, host.JobRequest) (run.Job, error)
	list   func(host.JobFilter) ([]run.Job, string, error)
	watch  func(context.Context, string, int) (run.Job, error)
	warm   func(host.CodeRequest) (inspect.Warm, error)
}

func (f *jobHost) Submit(ctx context.Context, r host.JobRequest) (run.Job, error) {
	return f.submit(ctx, r)
}
func (f *jobHost) Job(_ context.Context, id string) (run.Job, error) {
	if id == "none" {
		return run.Job{}, fault.New(fault.CallerNotFound, "job", id, nil)
	}
	return run.Job{ID: id, State: run.JobQueued}, nil
}
func (f *jobHost) Jobs(_ context.Context, r host.JobFilter) ([]run.Job, string, error) {
	return f.list(r)
}
func (f *jobHost) WatchJob(ctx context.Context, id string, seen int) (run.Job, error) {
	return f.watch(ctx, id, seen)
}
func (f *jobHost) change(state run.JobState, words ...string) (run.Job, error) {
	_ = f.note(words...)
	if words[1] == "settled" {
		return run.Job{}, fault.New(fault.CallerConflict, "job", words[1], nil)
	}
	return run.Job{ID: words[1], State: state}, nil
}
func (f *jobHost) CancelJob(_ context.Context, id, by string) (run.Job, error) {
	return f.change(run.JobSettled, "cancel", id, by)
}
func (f *jobHost) RaiseJob(_ context.Context, id string, p run.Priority, by string) (run.Job, error) {
	return f.change(run.JobQueued, "raise", id, p.String(), by)
}
func (f *jobHost) RetryJob(_ context.Context, id, key string) (run.Job, error) {
	return f.change(run.JobQueued, "retry", id, key)
}
func (f *jobHost) Revoke(_ context.Context, tenant, tag string) (int, error) {
	return 3, f.note("revoke", tenant, tag)
}
func (f *jobHost) Warm(_ context.Context, r host.CodeRequest) (inspect.Warm, error) { return f.warm(r) }
func (f *jobHost) Unwarm(_ context.Context, tenant, hash string) error {
	return f.note("unwarm", tenant, hash)
}
func (f *jobHost) Warmed(context.Context) ([]inspect.Warm, error) {
	return []inspect.Warm{{CodeHash: keyA, State: "prepared"}}, nil
}

func TestSubmitPassesTheWholeRequest(t *testing.T) {
	var got host.JobRequest
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	h := &jobHost{submit: func(_ context.Context, r host.JobRequest) (run.Job, error) {
		got = r
		return run.Job{ID: "j1", State: run.JobQueued, SubmittedAt: at}, nil
	}}
	c := connect(t, h, control.Options{})
	j, err := c.Submit(t.Context(), api.Submit{
		Execute: api.Execute{
			Priority: "critical", Validity: "block-7", Imports: "trap", World: "real",
			Entry: api.Entry{Mode: "command", Args: []string{"a"}, Env: []string{"K=V"}}, Limits: api.Limits{CPUMicros: 1500},
		},
		Key: "k", KeepMicros: time.Hour.Microseconds(), Deadline: at,
	}, client.Work{Code: []byte("code"), Stdin: []byte("stdin")})
	if err != nil || j.ID != "j1" || !j.SubmittedAt.Equal(at) {
		t.Fatalf("%+v, %v", j, err)
	}
	want := host.JobRequest{
		Request: host.Request{
			Code: []byte("code"), Tenant: tenant(), Priority: run.Critical, Validity: "block-7", Imports: run.TrapMissing, Determinism: run.RealWorld, Isolation: run.Reset,
			Entry:  run.Entry{Mode: run.Command, Args: []string{"a"}, Env: []string{"K=V"}},
			Limits: run.Limits{CPU: 1500 * time.Microsecond},
		},
		StdinBytes: []byte("stdin"), Key: "k", Keep: time.Hour, Deadline: at,
	}
	if d := cmp.Diff(want, got, bare); d != "" {
		t.Errorf("request:\n%s", d)
	}
	if _, err := c.Submit(t.Context(), api.Submit{Execute: api.Execute{CodeHash: keyA}}, client.Work{Input: []byte("in")}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(host.JobRequest{Request: host.Request{CodeHash: keyA, Tenant: tenant(), Input: []byte("in"), Imports: run.RefuseMissing, Determinism: run.Deterministic, Isolation: run.Reset}}, got, bare); d != "" {
		t.Errorf("a small request:\n%s", d)
	}
}

func TestExecutePassesTheTag(t *testing.T) {
	h := &jobHost{fakeHost: fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		return run.Receipt{Verdict: "ok", Message: r.Validity}, nil
	}}}
	r, err := connect(t, h, control.Options{}).Execute(t.Context(), api.Execute{Validity: "block-7"}, client.Streams{})
	if err != nil || r.Message != "block-7" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Each call arrives with its parameters, on behalf of the caller.
func TestJobsAreChangedForTheCaller(t *testing.T) {
	h := &jobHost{warm: func(r host.CodeRequest) (inspect.Warm, error) {
		return inspect.Warm{CodeHash: keyB, Tenant: r.Tenant, State: "preparing", Bytes: int64(len(r.Code))}, nil
	}}
	c := connect(t, h, control.Options{})
	ctx := t.Context()
	for name, call := range map[string]func() (run.Job, error){
		"cancel j1 " + tenant():     func() (run.Job, error) { return c.CancelJob(grave(ctx), "j1") },
		"raise j1 high " + tenant(): func() (run.Job, error) { return c.RaiseJob(ctx, "j1", "high") },
		"retry j1 a key/&=":         func() (run.Job, error) { return c.RetryJob(ctx, "j1", "a key/&=") },
	} {
		h.calls = nil
		if j, err := call(); err != nil || j.ID != "j1" || len(h.calls) != 1 || h.calls[0] != name {
			t.Errorf("%s: %+v %v, %v", name, j, err, h.calls)
		}
	}
	if _, err := c.CancelJob(grave(ctx), "settled"); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("a settled job: %v", err)
	}
	if _, err := c.Job(ctx, "none"); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("no such job: %v", err)
	}
	h.calls = nil
	if r, err := c.Revoke(ctx, "block 7"); err != nil || r != (api.Revoked{Tag: "block 7", Ended: 3}) || h.calls[0] != "revoke "+tenant()+" block 7" {
		t.Errorf("%+v %v, %v", r, err, h.calls)
	}
	if w, err := c.Warm(ctx, api.Code{Priority: "high"}, []byte("code")); err != nil || w.Tenant != tenant() || w.Bytes != 4 {
		t.Errorf("%+v %v", w, err)
	}
	if all, err := c.Warmed(ctx); err != nil || len(all) != 1 || all[0].CodeHash != keyA {
		t.Errorf("%+v %v", all, err)
	}
	h.calls = nil
	if d, err := c.Cool(ctx, strings.ToUpper(keyA)); err != nil || d.State != "cooled" || d.Key != keyA || h.calls[0] != "unwarm "+tenant()+" "+keyA {
		t.Errorf("%+v %v, %v", d, err, h.calls)
	}
}

func TestJobRequestsThatAreTurnedAway(t *testing.T) {
	never := func(context.Context, host.JobRequest) (run.Job, error) { panic("it came through") }
	socket := serve(t, &jobHost{submit: never}, control.Options{MaxInputBytes: 10, MaxCodeBytes: 20, FormTimeout: 100 * time.Millisecond})
	form := "multipart/form-data; boundary=B"
	part := func(name, text string) string {
		return fmt.Sprintf("--B\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, text)
	}
	request := func(text string) io.Reader { return strings.NewReader(part("request", text) + "--B--\r\n") }
	slow, open := io.Pipe()
	defer open.Close()
	long := strings.Repeat("k", 129)
	for name, tt := range map[string]struct {
		method, path, kind string
		body               io.Reader
		status             int
		code               fault.Code
	}{
		"no form":              {"POST", "/v1/jobs", "text/plain", strings.NewReader("x"), 400, fault.CallerInvalid},
		"no json":              {"POST", "/v1/jobs", form, request("x"), 400, fault.CallerInvalid},
		"no time":              {"POST", "/v1/jobs", form, request(`{"deadline":"tomorrow"}`), 400, fault.CallerInvalid},
		"kept for ever":        {"POST", "/v1/jobs", form, request(`{"keep_us":9223372036854775807}`), 400, fault.CallerInvalid},
		"kept for no time":     {"POST", "/v1/jobs", form, request(`{"keep_us":1000}`), 400, fault.CallerInvalid},
		"a long key":           {"POST", "/v1/jobs", form, request(`{"idempotency_key":"` + long + `"}`), 400, fault.CallerInvalid},
		"an unknown priority":  {"POST", "/v1/jobs", form, request(`{"priority":"urgent"}`), 400, fault.CallerInvalid},
		"much code":            {"POST", "/v1/jobs", form, strings.NewReader(part("request", "{}") + part("code", strings.Repeat("c", 21)) + "--B--\r\n"), 413, fault.GuestCodeTooLarge},
		"much input":           {"POST", "/v1/jobs", form, strings.NewReader(part("request", "{}") + part("input", strings.Repeat("i", 11)) + "--B--\r\n"), 413, fault.CallerParamsTooBig},
		"much stdin":           {"POST", "/v1/jobs", form, strings.NewReader(part("request", "{}") + part("stdin", strings.Repeat("s", 11)) + "--B--\r\n"), 413, fault.CallerParamsTooBig},
		"a huge request":       {"POST", "/v1/jobs", form, request(strings.Repeat(" ", api.MaxRequestBytes+1)), 413, fault.CallerParamsTooBig},
		"stdin that stalls":    {"POST", "/v1/jobs", form, io.MultiReader(strings.NewReader(part("request", "{}")+"--B\r\nContent-Disposition: form-data; name=\"stdin\"\r\n\r\nab"), slow), 504, fault.CanceledDeadline},
		"a wrong method":       {"PUT", "/v1/jobs", "", nil, 404, fault.CallerNotFound},
		"a job is not deleted": {"DELETE", "/v1/jobs/j1", "", nil, 404, fault.CallerNotFound},
		"a get of cancel":      {"GET", "/v1/jobs/j1/cancel", "", nil, 404, fault.CallerNotFound},
		"an unknown verb":      {"POST", "/v1/jobs/j1/explode", "", nil, 404, fault.CallerNotFound},
		"a bad id":             {"GET", "/v1/jobs/a%20b", "", nil, 400, fault.CallerInvalid},
		"a path as id":         {"GET", "/v1/jobs/..%2Fstatus", "", nil, 400, fault.CallerInvalid},
		"a long id":            {"GET", "/v1/jobs/" + strings.Repeat("j", 65), "", nil, 400, fault.CallerInvalid},
		"a bad id to cancel":   {"POST", "/v1/jobs/%1b/cancel", "", nil, 400, fault.CallerInvalid},
		"a bad id to raise":    {"POST", "/v1/jobs/%1b/raise?priority=high", "", nil, 400, fault.CallerInvalid},
		"a bad id to retry":    {"POST", "/v1/jobs/%1b/retry", "", nil, 400, fault.CallerInvalid},
		"raised to nothing":    {"POST", "/v1/jobs/j1/raise", "", nil, 400, fault.CallerInvalid},
		"raised too high":      {"POST", "/v1/jobs/j1/raise?priority=urgent", "", nil, 400, fault.CallerInvalid},
		"retried by long key":  {"POST", "/v1/jobs/j1/retry?idempotency_key=" + long, "", nil, 400, fault.CallerInvalid},
		"seen less than none":  {"GET", "/v1/jobs/j1?seen=-1", "", nil, 400, fault.CallerInvalid},
		"a wait that is none":  {"GET", "/v1/jobs/j1?wait_us=long", "", nil, 400, fault.CallerInvalid},
		"an unknown state":     {"GET", "/v1/jobs?state=dead", "", nil, 400, fault.CallerInvalid},
		"a bad limit of jobs":  {"GET", "/v1/jobs?limit=10001", "", nil, 400, fault.CallerInvalid},
		"a bad place":          {"GET", "/v1/jobs?after=%00", "", nil, 400, fault.CallerInvalid},
		"a long tenant":        {"GET", "/v1/jobs?tenant=" + long, "", nil, 400, fault.CallerInvalid},
		"no tag":               {"POST", "/v1/revoke", "", nil, 400, fault.CallerInvalid},
		"a long tag":           {"POST", "/v1/revoke?tag=" + long, "", nil, 400, fault.CallerInvalid},
		"a big body":           {"POST", "/v1/revoke?tag=t", "", bytes.NewReader(make([]byte, api.MaxRequestBytes+1)), 413, fault.CallerParamsTooBig},
		"no code hash":         {"DELETE", "/v1/warm/xyz", "", nil, 400, fault.CallerInvalid},
		"warm without form":    {"POST", "/v1/warm", "text/plain", strings.NewReader("x"), 400, fault.CallerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://localhost"+tt.path, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.kind != "" {
				req.Header.Set("Content-Type", tt.kind)
			}
			req.Header.Set(api.HeaderReason, "a test")
			status, e := raw(t, socket, req)
			if status != tt.status || e.Code != string(tt.code) || e.Message == "" {
				t.Errorf("status %d, %+v", status, e)
			}
		})
	}
}

// 202 says that there is something to wait for.
func TestStatusOfAcceptedJobs(t *testing.T) {
	h := &jobHost{
		submit: func(_ context.Context, r host.JobRequest) (run.Job, error) {
			return run.Job{ID: "j1", State: run.JobState(r.Key)}, nil
		},
		warm: func(host.CodeRequest) (inspect.Warm, error) { return inspect.Warm{}, nil },
	}
	socket := serve(t, h, control.Options{})
	for _, tt := range []struct {
		path, request string
		want          int
	}{
		{"/v1/jobs", `{"idempotency_key":"queued"}`, 202},
		{"/v1/jobs", `{"idempotency_key":"running"}`, 202},
		{"/v1/jobs", `{"idempotency_key":"settled"}`, 200},
		{"/v1/jobs/j1/retry", `{}`, 202},
		{"/v1/jobs/j1/cancel", `{}`, 200},
		{"/v1/warm", `{}`, 202},
	} {
		body := "--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n" + tt.request + "\r\n--B--\r\n"
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost"+tt.path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "multipart/form-data; boundary=B")
		req.Header.Set(api.HeaderReason, "a test")
		if status, e := raw(t, socket, req); status != tt.want {
			t.Errorf("%s %s: status %d, %+v", tt.path, tt.request, status, e)
		}
	}
}

func TestPagesOfJobs(t *testing.T) {
	var asked []host.JobFilter
	h := &jobHost{list: func(f host.JobFilter) ([]run.Job, string, error) {
		asked = append(asked, f)
		from, _ := strconv.Atoi(strings.TrimPrefix(f.After, "j"))
		var jobs []run.Job
		for i := from + 1; i <= 25000 && len(jobs) < f.Limit; i++ {
			jobs = append(jobs, run.Job{ID: fmt.Sprintf("j%05d", i)})
		}
		if n := len(jobs); n > 0 && jobs[n-1].ID != "j25000" {
			return jobs, jobs[n-1].ID, nil
		}
		return jobs, "", nil
	}}
	socket := serve(t, h, control.Options{})
	c := client.New(socket, 0)
	all, more, err := c.Jobs(t.Context(), client.JobFilter{Tenant: "uid:0", State: run.JobSettled})
	if err != nil || more || len(all) != 25000 || all[24999].ID != "j25000" || len(asked) != 3 {
		t.Errorf("all: %d jobs in %d pages, more %v, %v", len(all), len(asked), more, err)
	}
	if want := (host.JobFilter{Tenant: "uid:0", State: run.JobSettled, After: "j20000", Limit: api.MaxPage}); asked[2] != want {
		t.Errorf("asked for %+v", asked[2])
	}
	some, more, err := c.Jobs(t.Context(), client.JobFilter{Limit: 10002})
	if err != nil || !more || len(some) != 10002 {
		t.Errorf("some: %d jobs, more %v, %v", len(some), more, err)
	}
	rest, more, err := c.Jobs(t.Context(), client.JobFilter{After: "j24999", Limit: 1})
	if err != nil || more || len(rest) != 1 {
		t.Errorf("the last: %d jobs, more %v, %v", len(rest), more, err)
	}
	asked = nil
	var page api.JobList
	get(t, socket, "/v1/jobs", &page)
	if asked[0].Limit != api.DefaultPage || len(page.Jobs) != api.DefaultPage || page.Next != "j01000" {
		t.Errorf("%+v, next %q", asked, page.Next)
	}
}

// A server that leads in circles does not hold its callers.
func TestJobsEnd(t *testing.T) {
	h := &jobHost{list: func(host.JobFilter) ([]run.Job, string, error) { return []run.Job{{ID: "j1"}}, "j1", nil }}
	all, _, err := connect(t, h, control.Options{}).Jobs(t.Context(), client.JobFilter{})
	if err != nil || len(all) != 2 {
		t.Errorf("%d jobs, %v", len(all), err)
	}
}

func TestWatchingAJob(t *testing.T) {
	news := make(chan run.Job, 1)
	h := &jobHost{watch: func(ctx context.Context, id string, seen int) (run.Job, error) {
		select {
		case j := <-news:
			return j, nil
		case <-ctx.Done():
			return run.Job{ID: id, State: run.JobRunning, Events: make([]run.JobEvent, seen)}, fault.From(ctx.Err())
		}
	}}
	socket := serve(t, h, control.Options{PlainTimeout: 50 * time.Millisecond}) // a wait is longer than what a caller may take to send
	t.Run("news", func(t *testing.T) {
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			j, err := client.New(socket, 0).WatchJob(t.Context(), "j1", 2)
			if err != nil || j.State != run.JobSettled || len(j.Events) != 3 {
				t.Errorf("%+v, %v", j, err)
			}
		}()
		news <- run.Job{ID: "j1", State: run.JobSettled, Events: make([]run.JobEvent, 3)}
		<-waited
	})
	t.Run("no news", func(t *testing.T) {
		var j run.Job
		get(t, socket, "/v1/jobs/j1?seen=2&wait_us=150000", &j)
		if j.State != run.JobRunning || len(j.Events) != 2 {
			t.Errorf("%+v", j)
		}
	})
	t.Run("without a wait", func(t *testing.T) {
		j, err := client.New(socket, 0).Job(t.Context(), "j1")
		if err != nil || j.State != run.JobQueued {
			t.Errorf("%+v, %v", j, err)
		}
	})
}

// However long a caller wants to wait, and in whatever number, the host is asked for a bounded time.
func TestWaitsAreBounded(t *testing.T) {
	left := make(chan time.Duration, 1)
	h := &jobHost{watch: func(ctx context.Context, id string, _ int) (run.Job, error) {
		by, _ := ctx.Deadline()
		left <- time.Until(by)
		return run.Job{ID: id}, nil
	}}
	socket := serve(t, h, control.Options{})
	for _, wait := range []string{"9223372036854775807", "60000000", "1"} {
		var j run.Job
		get(t, socket, "/v1/jobs/j1?wait_us="+wait, &j)
		if d := <-left; d > api.MaxWait || wait != "1" && d < api.MaxWait/2 {
			t.Errorf("%s: %v", wait, d)
		}
	}
}

// A caller who leaves ends the wait, and so does a host that stops: that one is told.
func TestWaitsEndEarly(t *testing.T) {
	waiting, ended := make(chan struct{}, 1), make(chan error, 1)
	h := &jobHost{watch: func(ctx context.Context, id string, _ int) (run.Job, error) {
		waiting <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return run.Job{ID: id}, fault.From(context.Cause(ctx))
	}}
	t.Run("left", func(t *testing.T) {
		c := connect(t, h, control.Options{})
		ctx, leave := context.WithCancel(t.Context())
		go func() { <-waiting; leave() }()
		if _, err := c.WatchJob(ctx, "j1", 0); !errors.Is(err, fault.CanceledCaller) {
			t.Errorf("the caller sees %v", err)
		}
		<-ended
	})
	t.Run("stopped", func(t *testing.T) {
		l, dial := control.Pair()
		s := control.New(h, control.Options{})
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		go func() { <-waiting; s.Cancel() }()
		if _, err := client.Over(dial).WatchJob(t.Context(), "j1", 0); !errors.Is(err, fault.CanceledStopped) {
			t.Errorf("the caller sees %v", err)
		}
		<-ended
	})
}

// Who does not take a list of jobs keeps its slot for a bounded time only.
func TestSlowReaderOfJobs(t *testing.T) {
	asked := make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	h := &jobHost{list: func(f host.JobFilter) ([]run.Job, string, error) {
		ask()
		jobs := make([]run.Job, f.Limit)
		for i := range jobs {
			jobs[i].Message = strings.Repeat("m", 1000)
		}
		return jobs, "", nil
	}}
	socket := serve(t, h, control.Options{MaxRequests: 1, PlainTimeout: 300 * time.Millisecond})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/jobs?limit=10000 HTTP/1.1\r\nHost: troupe\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err = fault.BusyQueueFull; errors.Is(err, fault.BusyQueueFull); {
		err = client.New(socket, 0).Ready(ctx)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestAJobWithAllItsOutputComesBack has the worst that a guest may write: the client must be able to read the reply.
func TestAJobWithAllItsOutputComesBack(t *testing.T) {
	for _, worst := range []string{"\x00", "\n", "\xff"} {
		out := run.Blob(strings.Repeat(worst, int(host.MaxJobOutputBytes)))
		h := &jobHost{watch: func(_ context.Context, id string, _ int) (run.Job, error) {
			return run.Job{ID: id, State: run.JobSettled, Receipt: &run.Receipt{Stdout: out}}, nil
		}}
		j, err := connect(t, h, control.Options{}).WatchJob(t.Context(), "01JQ7", 0)
		if err != nil || j.Receipt == nil || !bytes.Equal(j.Receipt.Stdout, out) {
			t.Errorf("%q: %v", worst, err)
		}
	}
}
