package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

// jobHost is a host that knows jobs, which a test may change.
type jobHost struct {
	fakeHost
	submitted []host.JobRequest
	calls     []string
	warmed    []inspect.Warm
	watch     func(ctx context.Context, id string, seen int) (run.Job, error) // nil: the job as it is

	mu   sync.Mutex
	jobs map[string]run.Job
}

// Timeline is that of a host which keeps none.
func (h *jobHost) Timeline(context.Context, string) (inspect.Timeline, error) {
	return inspect.Timeline{}, fault.New(fault.HostUnsupported, "timeline", "", nil)
}

func newJobHost(jobs ...run.Job) *jobHost {
	h := &jobHost{jobs: map[string]run.Job{}}
	for _, j := range jobs {
		h.jobs[j.ID] = j
	}
	return h
}

func (h *jobHost) Submit(_ context.Context, r host.JobRequest) (run.Job, error) {
	h.submitted = append(h.submitted, r)
	j := run.Job{ID: "job-0001", State: run.JobQueued, Key: r.Key, Events: []run.JobEvent{{What: "submitted"}}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.jobs[j.ID]; ok {
		return old, nil
	}
	h.jobs[j.ID] = j
	return j, nil
}

func (h *jobHost) Job(_ context.Context, id string) (run.Job, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j, ok := h.jobs[id]
	if !ok {
		return run.Job{}, fault.New(fault.CallerNotFound, "job", id, nil)
	}
	return j, nil
}

func (h *jobHost) Jobs(_ context.Context, f host.JobFilter) ([]run.Job, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for id, j := range h.jobs {
		if id > f.After && (f.State == "" || f.State == j.State) && (f.Tenant == "" || f.Tenant == j.Tenant) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []run.Job
	for i, id := range ids {
		if i == f.Limit {
			return out, ids[i-1], nil
		}
		j := h.jobs[id]
		j.Events = nil
		out = append(out, j)
	}
	return out, "", nil
}

func (h *jobHost) WatchJob(ctx context.Context, id string, seen int) (run.Job, error) {
	if h.watch != nil {
		return h.watch(ctx, id, seen)
	}
	return h.Job(ctx, id)
}

func (h *jobHost) change(id, call string, f func(*run.Job)) (run.Job, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, call)
	j := h.jobs[id]
	if (j.State == run.JobSettled) != strings.HasPrefix(call, "retry") {
		return run.Job{}, fault.New(fault.CallerConflict, "job", id, errors.New("it is "+string(j.State)))
	}
	f(&j)
	return j, nil
}

func (h *jobHost) CancelJob(_ context.Context, id, _ string) (run.Job, error) {
	return h.change(id, "cancel "+id, func(j *run.Job) {
		if j.State == run.JobQueued {
			j.State = run.JobSettled
		}
	})
}

func (h *jobHost) RaiseJob(_ context.Context, id string, p run.Priority, _ string) (run.Job, error) {
	return h.change(id, "raise "+id+" "+p.String(), func(j *run.Job) { j.Priority = p.String() })
}

func (h *jobHost) RetryJob(_ context.Context, id, key string) (run.Job, error) {
	return h.change(id, "retry "+id+" "+key, func(j *run.Job) { *j = run.Job{ID: "again-" + id, State: run.JobQueued, RetryOf: id} })
}

func (h *jobHost) Revoke(_ context.Context, _, tag string) (int, error) {
	h.calls = append(h.calls, "revoke "+tag)
	return 7, nil
}

func (h *jobHost) Warm(_ context.Context, r host.CodeRequest) (inspect.Warm, error) {
	w := inspect.Warm{CodeHash: artifacts.HashCode(r.Code).String(), State: "preparing", Bytes: int64(len(r.Code))}
	h.calls = append(h.calls, fmt.Sprintf("warm %s", w.CodeHash[:4]))
	return w, nil
}
func (h *jobHost) Warmed(context.Context) ([]inspect.Warm, error) { return h.warmed, nil }
func (h *jobHost) Unwarm(_ context.Context, _, hash string) error {
	h.calls = append(h.calls, "unwarm "+hash[:5])
	return nil
}

func (h *jobHost) Artifact(_ context.Context, key string) (inspect.Artifact, artifacts.Module, error) {
	for _, x := range h.state.Artifacts {
		if x.Key == key {
			return x, artifacts.Module{}, nil
		}
	}
	return inspect.Artifact{}, artifacts.Module{}, fault.New(fault.CallerNotFound, "artifact", key, nil)
}

// newServed is a console beside a serve of h.
func newServed(t *testing.T, h control.Host) *console {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := control.New(h, control.Options{Version: host.Version})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	c := newConsole(t, &fakeHost{})
	c.start = func(context.Context, host.Config) (running, error) {
		return nil, fault.New(fault.HostDataDirLocked, "start", "", nil)
	}
	c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
	return c
}

func TestSubmitPassesItsFlags(t *testing.T) {
	h := newJobHost()
	c := newServed(t, h)
	input := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(input, []byte("input"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2030, 1, 31, 18, 0, 0, 0, time.UTC)
	code := c.main([]string{
		"submit", "--cpu", "2s", "--memory", "64MiB", "--priority", "critical", "--validity", "block-7", "--env", "A=1", "--key", "order-17", "--keep", "1h", "--isolation", "process",
		"--deadline", "2030-01-31T19:00:00+01:00", "--stdin", input, wasmFile(t), "--", "x", "--key",
	})
	if code != 0 || c.out.String() != "job-0001\n" || c.err.String() != "" {
		t.Fatalf("exit code %d, %q\n%s", code, c.out.String(), c.err.String())
	}
	want := host.JobRequest{
		Request: host.Request{
			Code: []byte("\x00asm\x01\x00\x00\x00"), Tenant: fmt.Sprintf("uid:%d", os.Geteuid()), Priority: run.Critical, Validity: "block-7",
			Imports: run.RefuseMissing, Determinism: run.Deterministic, Isolation: run.Process,
			Entry:  run.Entry{Mode: run.Command, Args: []string{"x", "--key"}, Env: []string{"A=1"}},
			Limits: run.Limits{CPU: 2 * time.Second, MemoryBytes: 64 << 20},
		},
		StdinBytes: []byte("input"), Key: "order-17", Keep: time.Hour, Deadline: at,
	}
	if d := cmp.Diff(want, h.submitted[0], bare); d != "" {
		t.Error(d)
	}

	// A deadline may be counted from now, stdin may be ours, and nothing is sent that was not asked for.
	c.in = strings.NewReader("typed")
	c.out.Reset()
	before := time.Now()
	if code := c.main([]string{"submit", "--deadline", "1h", "--stdin", "-", "-o", "json", wasmFile(t)}); code != 0 {
		t.Fatalf("exit code %d\n%s", code, c.err.String())
	}
	got := h.submitted[1]
	if got.Deadline.Before(before.Add(time.Hour)) || got.Deadline.After(time.Now().Add(time.Hour)) || string(got.StdinBytes) != "typed" || got.Key != "" || got.Keep != 0 {
		t.Errorf("%+v", got)
	}
	var j run.Job
	if err := json.Unmarshal(c.out.Bytes(), &j); err != nil || j.ID != "job-0001" {
		t.Errorf("%v\n%s", err, c.out.String())
	}
	if code := c.main([]string{"submit", wasmFile(t)}); code != 0 || h.submitted[2].StdinBytes != nil || !h.submitted[2].Deadline.IsZero() {
		t.Errorf("exit code %d, %+v", code, h.submitted[2])
	}
}

// A private host would end before the job.
func TestJobsNeedAServe(t *testing.T) {
	for _, args := range [][]string{
		{"submit", wasmFile(t)}, {"job", "list"}, {"job", "show", "job-1"}, {"job", "wait", "job-1"}, {"job", "timeline", "job-1"},
		{"job", "retry", "job-1"}, {"job", "cancel", "--reason", "r", "job-1"}, {"job", "escalate", "job-1"}, {"queue", "show"}, {"queue", "revoke", "tag"},
	} {
		c := newConsole(t, &fakeHost{})
		if code := c.main(args); code != exitUnreachable || len(c.configs) > 0 || !strings.Contains(c.err.String(), "code:  caller.host_unreachable\nhint:  start one with 'troupe serve --data-dir ") {
			t.Errorf("%s: exit code %d\n%s", args, code, c.err.String())
		}
	}
}

func TestWordsOfJobsThatMakeNoSense(t *testing.T) {
	file := wasmFile(t)
	for name, args := range map[string][]string{
		"no file": {"submit"}, "two files": {"submit", file, file}, "stdin of a function": {"submit", "--invoke", "f", "--stdin", "-", file},
		"stdin of bytes": {"submit", "--entry", "f", "--stdin", "-", file}, "a timeout of nothing": {"submit", "--timeout", "1s", file},
		"kept for no time": {"submit", "--keep", "10ms", file}, "kept for ever": {"submit", "--keep", "100000h", file},
		"no time": {"submit", "--deadline", "tomorrow", file}, "a time gone by": {"submit", "--deadline", "-5s", file}, "an empty key": {"submit", "--key", "", file},
		"all of some": {"job", "list", "--all", "--state", "queued"}, "no state": {"job", "list", "--state", "dead"}, "no jobs": {"job", "list", "--limit", "0"},
		"no id": {"job", "show"}, "nobody": {"job", "wait"}, "two timelines": {"job", "timeline", "job-1", "job-2"}, "two of a key": {"job", "retry", "--key", "k", "job-1", "job-2"},
		"to the bottom": {"job", "escalate", "--priority", "background", "job-1"}, "no tag": {"queue", "revoke"}, "no verb": {"job"}, "no code": {"artifact", "warm"},
		"list and files": {"artifact", "warm", "--list", file}, "nothing to cool": {"artifact", "cool"},
	} {
		c := newConsole(t, &fakeHost{})
		if code := c.main(args); code != exitUsage {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		if len(c.configs) > 0 {
			t.Errorf("%s: a host was started", name)
		}
	}
}

// Nobody knows whether there is a job when the answer to submit is lost.
func TestSubmitWithoutAnAnswer(t *testing.T) {
	for key, hint := range map[string]string{"": "see 'troupe job list --all'", "k": "submit it again with the same --key"} {
		gone := &silent{newJobHost(), make(chan struct{})}
		c := newServed(t, gone)
		go func() { <-gone.asked; c.interrupts <- os.Interrupt }()
		args := []string{"submit", wasmFile(t)}
		if key != "" {
			args = append(args, "--key", key)
		}
		if code := c.main(args); code != exitCanceled || !strings.Contains(c.err.String(), hint) {
			t.Errorf("%q: exit code %d\n%s", key, code, c.err.String())
		}
	}
}

// A revoked tag is an answer: there is no job.
func TestSubmitWithARevokedTag(t *testing.T) {
	c := newServed(t, &revoked{newJobHost()})
	if code := c.main([]string{"submit", wasmFile(t)}); code != exitCanceled || strings.Contains(c.err.String(), "may have been accepted") {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
}

type revoked struct{ *jobHost }

func (r *revoked) Submit(context.Context, host.JobRequest) (run.Job, error) {
	return run.Job{}, fault.New(fault.CanceledRevoked, "submit", "", nil)
}

type silent struct {
	*jobHost
	asked chan struct{}
}

func (s *silent) Submit(ctx context.Context, _ host.JobRequest) (run.Job, error) {
	close(s.asked)
	<-ctx.Done()
	return run.Job{}, ctx.Err()
}

var (
	day   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hash  = strings.Repeat("c0de", 16)
	trial = []run.Job{
		{
			ID: "job-0001", State: run.JobSettled, Priority: "normal", Tenant: "uid:0", CodeHash: hash, Mode: "invoke", Starts: 1, Key: "order-17",
			ExpiresAt: day.Add(24 * time.Hour), Receipt: &run.Receipt{Verdict: "ok", Result: run.Blob("69732"), Cache: "hit", Sandbox: "env", Artifact: "a1"},
		},
		{ID: "job-0002", State: run.JobRunning, Priority: "critical", Tenant: "uid:0", CodeHash: hash, Starts: 2, Validity: "block-7", Deadline: day},
		{ID: "job-0003", State: run.JobQueued, Priority: "background", Tenant: "uid:7", CodeHash: hash, RetryOf: "job-0001"},
		{ID: "job-0004", State: run.JobSettled, Priority: "normal", Tenant: "uid:0", CodeHash: hash, Fault: "canceled.deadline", Message: "it was too late", Hint: "give it more time"},
	}
)

// tried returns jobs that were submitted an hour and a half ago.
func tried() *jobHost {
	h := newJobHost(trial...)
	for id, j := range h.jobs {
		j.SubmittedAt = time.Now().Add(-90 * time.Minute)
		h.jobs[id] = j
	}
	return h
}

// Tables are for people, and this is what they see.
func TestTablesOfJobs(t *testing.T) {
	for name, args := range map[string][]string{
		"job_list.txt":      {"job", "list"},
		"job_list_all.txt":  {"job", "list", "--all"},
		"job_list_wide.txt": {"job", "list", "--all", "-o", "wide"},
	} {
		c := newServed(t, tried())
		if code := c.main(args); code != 0 || c.err.Len() > 0 {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		golden(t, name, c.out.Bytes())
	}
	story := trial[1]
	story.SubmittedAt, story.StartedAt = day, day.Add(1500*time.Millisecond)
	story.Events = []run.JobEvent{
		{At: day, What: "submitted", By: "uid:0"},
		{At: day.Add(400 * time.Microsecond), What: "raised", From: "normal", To: "critical", By: "uid:7"},
		{At: day.Add(1500 * time.Millisecond), What: "started", By: "host"},
	}
	ended := trial[0]
	ended.SubmittedAt, ended.SettledAt = day, day.Add(time.Second)
	failed := trial[3]
	failed.SubmittedAt, failed.SettledAt = day, day.Add(time.Second)
	ages := regexp.MustCompile(`\d+d ago`)
	for name, args := range map[string][]string{
		"job_show.txt":      {"job", "show", "job-0001", "job-0002", "job-0004"},
		"job_timeline.txt":  {"job", "timeline", "job-0002"},
		"job_timeline.json": {"job", "timeline", "-o", "json", "job-0002"},
		"job.json":          {"job", "show", "-o", "json", "job-0001"},
		"jobs.json":         {"job", "list", "-o", "json", "--all", "--limit", "2"},
	} {
		c := newServed(t, newJobHost(ended, story, failed))
		if code := c.main(args); code != 0 || c.err.Len() > 0 {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		golden(t, name, ages.ReplaceAll(c.out.Bytes(), []byte("Nd ago")))
	}
}

func TestListOfJobs(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
		more string
	}{
		"not settled": {nil, "2 3", ""}, "all": {[]string{"--all"}, "1 2 3 4", ""}, "settled": {[]string{"--state", "settled"}, "1 4", ""},
		"a tenant": {[]string{"--tenant", "uid:7"}, "3", ""}, "after": {[]string{"--all", "--after", "job-0002"}, "3 4", ""},
		"some": {[]string{"--all", "--limit", "3"}, "1 2 3", "job-0003"}, "all there are": {[]string{"--all", "--limit", "4"}, "1 2 3 4", ""},
		"one of two states": {[]string{"--limit", "1"}, "2", "job-0002"}, "none": {[]string{"--tenant", "uid:9"}, "", ""},
	} {
		c := newServed(t, tried())
		if code := c.main(append([]string{"job", "list", "-o", "json"}, tt.args...)); code != 0 {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		var list struct {
			Jobs []run.Job
			Next string
		}
		if err := json.Unmarshal(c.out.Bytes(), &list); err != nil || list.Jobs == nil {
			t.Errorf("%s: %v\n%s", name, err, c.out.String())
		}
		var ids []string
		for _, j := range list.Jobs {
			ids = append(ids, strings.TrimPrefix(j.ID, "job-000"))
		}
		if got := strings.Join(ids, " "); got != tt.want || list.Next != tt.more {
			t.Errorf("%s: %q, next %q", name, got, list.Next)
		}
	}
	c := newServed(t, tried())
	if code := c.main([]string{"job", "list", "--all", "--limit", "3"}); code != 0 || c.err.String() != "note:  there are more: pass --after job-0003, or a higher --limit\n" {
		t.Errorf("exit code %d, %q", code, c.err.String())
	}
}

// A job that begins while its list is made is in it once.
func TestListOfJobsThatMove(t *testing.T) {
	h := &moving{jobHost: tried()}
	c := newServed(t, h)
	if code := c.main([]string{"job", "list"}); code != 0 || strings.Count(c.out.String(), "job-0003") != 1 || !strings.Contains(c.out.String(), "job-0003  running") {
		t.Errorf("exit code %d\n%s", code, c.out.String())
	}
}

type moving struct{ *jobHost }

func (m *moving) Jobs(ctx context.Context, f host.JobFilter) ([]run.Job, string, error) {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		j := m.jobs["job-0003"]
		j.State = run.JobRunning
		m.jobs["job-0003"] = j
	}()
	return m.jobHost.Jobs(ctx, f)
}

func TestIdsMayBeShortened(t *testing.T) {
	h := tried()
	for i := range 9 {
		id := fmt.Sprintf("many-%d", i)
		h.jobs[id] = run.Job{ID: id}
	}
	h.jobs["many"] = run.Job{ID: "many"}
	h.jobs["01JQ7A"] = run.Job{ID: "01JQ7A"}
	for prefix, tt := range map[string]struct {
		want int
		say  string
	}{
		"job-0001": {0, "job-0001"}, "many": {0, "many\n"}, "many-3": {0, "many-3"},
		"01jq7": {0, "01JQ7A"}, "01jq7a": {0, "01JQ7A"},
		"job-":                  {exitConflict, "code:  caller.conflict\nhint:  several ids begin like this: job-0001, job-0002, job-0003, job-0004\n"},
		"many-":                 {exitConflict, "many-0, many-1, many-2, many-3, many-4, and more\n"},
		"zzzz":                  {exitNotFound, "hint:  'troupe job list --all' shows what there is"},
		"job":                   {exitUsage, "at least 4 characters"},
		"../../status":          {exitUsage, "caller.invalid_request"},
		"\x1b[2Jjob":            {exitUsage, "caller.invalid_request"},
		strings.Repeat("j", 65): {exitUsage, "caller.invalid_request"},
	} {
		c := newServed(t, h)
		if code := c.main([]string{"job", "show", prefix}); code != tt.want || !strings.Contains(c.out.String()+c.err.String(), tt.say) {
			t.Errorf("%q: exit code %d\n%s%s", prefix, code, c.out.String(), c.err.String())
		}
	}
	c := newServed(t, newJobHost(trial[:1]...))
	if code := c.main([]string{"job", "show", "job-"}); code != 0 {
		t.Errorf("the only one: exit code %d\n%s", code, c.err.String())
	}
	if code := c.main([]string{"__complete", "job", "show", ""}); code != 0 || !strings.Contains(c.out.String(), "job-0001\n") {
		t.Errorf("completion: exit code %d\n%s", code, c.out.String())
	}
}

func TestChangesOfJobs(t *testing.T) {
	for name, tt := range map[string]struct {
		args  []string
		want  int
		out   string
		calls string
	}{
		"cancel a queued one":       {[]string{"cancel", "--reason", "r", "job-0003"}, 0, "job-0003 canceled\n", "cancel job-0003"},
		"cancel a running one":      {[]string{"cancel", "--reason", "r", "job-0002"}, 0, "job-0002 cancel requested\n", "cancel job-0002"},
		"cancel a settled one":      {[]string{"cancel", "--reason", "r", "job-0001"}, exitConflict, "", "cancel job-0001"},
		"cancel some":               {[]string{"cancel", "--reason", "r", "job-0001", "job-0003", "nope"}, exitSome, "job-0003 canceled\n", "cancel job-0001, cancel job-0003"},
		"cancel none":               {[]string{"cancel", "--reason", "r", "job-0001", "job-0004"}, exitConflict, "", "cancel job-0001, cancel job-0004"},
		"retry":                     {[]string{"retry", "job-0001", "job-0004"}, 0, "again-job-0001\nagain-job-0004\n", "retry job-0001 , retry job-0004 "},
		"retry by key":              {[]string{"retry", "--key", "k", "job-0001"}, 0, "again-job-0001\n", "retry job-0001 k"},
		"retry one that runs":       {[]string{"retry", "job-0002"}, exitConflict, "", "retry job-0002 "},
		"escalate":                  {[]string{"escalate", "job-0003"}, 0, "job-0003 high\n", "raise job-0003 high"},
		"escalate to the top":       {[]string{"escalate", "--priority", "critical", "job-0003"}, 0, "job-0003 critical\n", "raise job-0003 critical"},
		"escalate one that settled": {[]string{"escalate", "job-0004"}, exitConflict, "", "raise job-0004 high"},
	} {
		h := tried()
		c := newServed(t, h)
		if code := c.main(append([]string{"job"}, tt.args...)); code != tt.want || c.out.String() != tt.out || strings.Join(h.calls, ", ") != tt.calls {
			t.Errorf("%s: exit code %d, %q, %q\n%s", name, code, c.out.String(), h.calls, c.err.String())
		}
		if tt.want == exitConflict && !strings.Contains(c.err.String(), "code:  caller.conflict") {
			t.Errorf("%s: %s", name, c.err.String())
		}
	}
	c := newServed(t, tried())
	var list struct {
		Jobs []struct {
			ID, State string
			Error     struct{ Code string }
		}
	}
	if code := c.main([]string{"job", "cancel", "--reason", "r", "-o", "json", "job-0001", "job-0003"}); code != exitSome {
		t.Errorf("exit code %d", code)
	}
	if err := json.Unmarshal(c.out.Bytes(), &list); err != nil || len(list.Jobs) != 2 || list.Jobs[0].Error.Code != "caller.conflict" || list.Jobs[1].State != "settled" {
		t.Errorf("%v\n%s", err, c.out.String())
	}
}
