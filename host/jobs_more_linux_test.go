package host_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

func TestAJobIsRaised(t *testing.T) {
	h := start(t, host.Config{})
	r := spinning(t)
	r.Priority = run.Background
	j := until(t, h, submit(t, h, r).ID, isRunning)
	j, err := h.RaiseJob(t.Context(), j.ID, run.High, "me")
	if err != nil || j.Priority != "high" {
		t.Fatal(j, err)
	}
	e := j.Events[len(j.Events)-1]
	if e.What != "raised" || e.From != "background" || e.To != "high" || e.By != "me" {
		t.Errorf("%+v", e)
	}
	for _, p := range []run.Priority{run.Background, run.Normal, run.High} {
		if _, err := h.RaiseJob(t.Context(), j.ID, p, "me"); !errors.Is(err, fault.CallerConflict) {
			t.Errorf("%v: %v", p, err)
		}
	}
	for _, p := range []run.Priority{0, 9} {
		if _, err := h.RaiseJob(t.Context(), j.ID, p, "me"); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%v: %v", p, err)
		}
	}
	if _, err := h.CancelJob(t.Context(), j.ID, "me"); err != nil {
		t.Fatal(err)
	}
	until(t, h, j.ID, isSettled)
	if _, err := h.RaiseJob(t.Context(), j.ID, run.Critical, "me"); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("a settled one: %v", err)
	}
}

// TestAJobIsRetried repeats a job of which the host has forgotten the code and the artifact.
func TestAJobIsRetried(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir})
	running := until(t, h, submit(t, h, spinning(t)).ID, isRunning)
	if _, err := h.RetryJob(t.Context(), running.ID, ""); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("a running one: %v", err)
	}
	if _, err := h.CancelJob(t.Context(), running.ID, "me"); err != nil {
		t.Fatal(err)
	}
	old := until(t, h, submit(t, h, puzzle(t)).ID, isSettled)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	if err := h.Evict(t.Context(), old.Receipt.Artifact); err != nil {
		t.Fatal(err)
	}
	j, err := h.RetryJob(t.Context(), old.ID, "again")
	if err != nil || j.RetryOf != old.ID || j.ID == old.ID {
		t.Fatal(j, err)
	}
	if same, err := h.RetryJob(t.Context(), old.ID, "again"); err != nil || same.ID != j.ID {
		t.Errorf("with the same key: %v, %v", same.ID, err)
	}
	if j = until(t, h, j.ID, isSettled); j.Receipt == nil || string(j.Receipt.Result) != "3" || j.Receipt.Cache != "miss" || j.Starts != 1 {
		t.Errorf("%+v %+v", j, j.Receipt)
	}
}

func TestAJobOfCodeThatNobodyHas(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir})
	r := puzzle(t)
	code := r.Code
	r.Code, r.CodeHash = nil, "00000000000000000000000000000000000000000000000000000000000000ff"
	if _, err := h.Submit(t.Context(), r); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("never seen: %v", err)
	}
	known := execute(t, h, host.Request{Code: code, Entry: r.Entry})
	r.CodeHash = known.CodeHash
	first := until(t, h, submit(t, h, r).ID, isSettled) // from the table of codes
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	second := until(t, h, submit(t, h, r).ID, isSettled) // from the first job
	if string(first.Receipt.Result) != "3" || string(second.Receipt.Result) != "3" {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestAJobExpires(t *testing.T) {
	h := start(t, host.Config{})
	r := puzzle(t)
	r.Keep, r.Key = time.Second, "k"
	j := until(t, h, submit(t, h, r).ID, isSettled)
	waitFor(t, "its end", func() bool {
		_, err := h.Job(t.Context(), j.ID)
		return errors.Is(err, fault.CallerNotFound)
	})
	if other := submit(t, h, r); other.ID == j.ID {
		t.Error("its key is still taken")
	}
}

// TestAJobThatDoesNotStartInTimeIsCanceled lets a job wait behind others.
func TestAJobThatDoesNotStartInTimeIsCanceled(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1, ExecuteWorkersCritical: 1, SpareWorkers: host.NoLimit})
	spins := until(t, h, submit(t, h, spinning(t)).ID, isRunning)
	waitFor(t, "its worker", func() bool {
		in, err := h.Inspect(t.Context())
		return err == nil && len(in.Workers) == 1
	})
	r := puzzle(t)
	r.Deadline = time.Now().Add(300 * time.Millisecond)
	late := submit(t, h, r)
	if late = until(t, h, late.ID, isSettled); late.Fault != string(fault.CanceledDeadline) || late.Receipt != nil {
		t.Errorf("%+v", late)
	}
	if !late.Deadline.Equal(r.Deadline) {
		t.Errorf("deadline %v, want %v", late.Deadline, r.Deadline)
	}
	r.Deadline = time.Now().Add(-time.Second)
	if _, err := h.Submit(t.Context(), r); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("in the past: %v", err)
	}
	if _, err := h.CancelJob(t.Context(), spins.ID, ""); err != nil {
		t.Error(err)
	}
}

// TestRevokedJobsEnd revokes what runs and what waits; later ones are refused, those of other tenants are not touched.
func TestRevokedJobsEnd(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1, ExecuteWorkersCritical: 1})
	r := spinning(t)
	r.Validity = "tag"
	runs := until(t, h, submit(t, h, r).ID, isRunning)
	var waits []run.Job
	for range 40 {
		waits = append(waits, submit(t, h, r))
	}
	r.Tenant = "other"
	other := submit(t, h, r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	revoked := make(chan struct{})
	go func() {
		defer close(revoked)
		if n, err := h.Revoke(ctx, "", "tag"); n != 41 && !errors.Is(err, fault.Canceled) {
			t.Errorf("%d, %v", n, err)
		}
	}()
	for _, j := range append(waits, runs) {
		if j = until(t, h, j.ID, isSettled); j.Fault != string(fault.CanceledRevoked) || j.Receipt != nil {
			t.Errorf("%+v", j)
		}
	}
	r.Tenant = ""
	if _, err := h.Submit(t.Context(), r); !errors.Is(err, fault.CanceledRevoked) {
		t.Errorf("a later one: %v", err)
	}
	if _, err := h.CancelJob(t.Context(), until(t, h, other.ID, isRunning).ID, ""); err != nil {
		t.Error(err)
	}
	cancel()
	<-revoked
}

// TestACloseLeavesJobsForTheNextStart closes a host while a job runs and others wait.
func TestACloseLeavesJobsForTheNextStart(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir, ExecuteWorkers: 1, ExecuteWorkersCritical: 1, StopTimeout: 500 * time.Millisecond})
	spins := until(t, h, submit(t, h, spinning(t)).ID, isRunning)
	waits := submit(t, h, puzzle(t))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Submit(t.Context(), puzzle(t)); !errors.Is(err, fault.CallerClosed) {
		t.Errorf("after Close: %v", err)
	}
	h = start(t, host.Config{DataDir: dir})
	if j := until(t, h, waits.ID, isSettled); j.Receipt == nil || string(j.Receipt.Result) != "3" {
		t.Errorf("%+v", j)
	}
	until(t, h, spins.ID, isRunning)
	if _, err := h.CancelJob(t.Context(), spins.ID, ""); err != nil {
		t.Error(err)
	}
}

// TestACloseWaitsForJobs closes a host while a job runs that ends by itself.
func TestACloseWaitsForJobs(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir})
	r := spinning(t)
	r.Limits = run.Limits{CPU: 300 * time.Millisecond, Wall: time.Minute}
	j := until(t, h, submit(t, h, r).ID, isRunning)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	if j, err := h.Job(t.Context(), j.ID); err != nil || j.State != run.JobSettled || j.Receipt.Fault != string(fault.GuestCPULimit) || j.Starts != 1 {
		t.Errorf("%+v, %v", j, err)
	}
}

// TestLeftJobsAreNotWaitedFor closes a host that would wait for an hour.
func TestLeftJobsAreNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir, StopTimeout: time.Hour})
	j := until(t, h, submit(t, h, spinning(t)).ID, isRunning)
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	h.LeaveJobs()
	h.LeaveJobs()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	until(t, h, j.ID, isRunning)
	if _, err := h.CancelJob(t.Context(), j.ID, ""); err != nil {
		t.Error(err)
	}
}

func TestJobsAreBounded(t *testing.T) {
	h := start(t, host.Config{JobQueue: 3, JobBytes: 1 << 20})
	var ids []string
	for range 3 {
		ids = append(ids, submit(t, h, spinning(t)).ID)
	}
	if _, err := h.Submit(t.Context(), puzzle(t)); !errors.Is(err, fault.BusyQueueFull) {
		t.Errorf("a fourth: %v", err)
	}
	for _, id := range ids {
		if _, err := h.CancelJob(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		until(t, h, id, isSettled)
	}
	// The settled ones make room, the oldest first; what alone is too large does not fit.
	large := host.JobRequest{Request: host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1"), Input: make([]byte, 700<<10)}}
	for range 3 {
		j := submit(t, h, large)
		until(t, h, j.ID, isSettled)
	}
	list, _, err := h.Jobs(t.Context(), host.JobFilter{})
	if err != nil || len(list) != 1 {
		t.Errorf("%d jobs, %v", len(list), err)
	}
	large.Input = make([]byte, 1100<<10)
	if _, err := h.Submit(t.Context(), large); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("too large: %v", err)
	}
}

// TestWhatNeverFitsHasNothingForgotten submits more than all jobs may take: what is kept stays.
func TestWhatNeverFitsHasNothingForgotten(t *testing.T) {
	h := start(t, host.Config{JobBytes: 1 << 20})
	kept := until(t, h, submit(t, h, puzzle(t)).ID, isSettled)
	r := puzzle(t)
	r.Code, r.Entry, r.StdinBytes = guest(t, "echo-wasi"), run.Entry{Mode: run.Command}, make([]byte, 2<<20)
	if _, err := h.Submit(t.Context(), r); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("too much input: %v", err)
	}
	r.Code, r.StdinBytes = make([]byte, 2<<20), nil
	if _, err := h.Submit(t.Context(), r); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("too much code: %v", err)
	}
	if j, err := h.Job(t.Context(), kept.ID); err != nil || j.Receipt == nil {
		t.Errorf("a kept job: %+v, %v", j, err)
	}
}

func TestBadJobRequests(t *testing.T) {
	h := start(t, host.Config{MaxInputBytes: 1 << 10})
	for what, change := range map[string]func(*host.JobRequest){
		"a stream":     func(r *host.JobRequest) { r.Stdout = discard{} },
		"no code":      func(r *host.JobRequest) { r.Code = nil },
		"a long key":   func(r *host.JobRequest) { r.Key = string(make([]byte, 129)) },
		"a short keep": func(r *host.JobRequest) { r.Keep = time.Millisecond },
		"a long keep":  func(r *host.JobRequest) { r.Keep = 400 * 24 * time.Hour },
		"much output":  func(r *host.JobRequest) { r.Limits.OutputBytes = host.MaxJobOutputBytes + 1 },
		"much stdin":   func(r *host.JobRequest) { r.StdinBytes = make([]byte, 1<<10+1) },
	} {
		r := puzzle(t)
		change(&r)
		if _, err := h.Submit(t.Context(), r); !errors.Is(err, fault.Caller) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := h.Jobs(t.Context(), host.JobFilter{Limit: 10_001}); !errors.Is(err, fault.CallerInvalid) {
		t.Error(err)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestAListHasPages(t *testing.T) {
	h := start(t, host.Config{})
	var ids, got []string
	for range 7 {
		ids = append(ids, submit(t, h, puzzle(t)).ID)
	}
	for f := (host.JobFilter{Limit: 3}); ; {
		list, next, err := h.Jobs(t.Context(), f)
		if err != nil || len(list) > 3 {
			t.Fatal(len(list), err)
		}
		for _, j := range list {
			got = append(got, j.ID)
		}
		if f.After = next; next == "" {
			break
		}
	}
	if d := cmp.Diff(ids, got); d != "" {
		t.Error(d)
	}
}

// TestAWatcherThatLeavesHasTheJob watches a job of which nothing new comes.
func TestAWatcherThatLeavesHasTheJob(t *testing.T) {
	h := start(t, host.Config{})
	j := until(t, h, submit(t, h, spinning(t)).ID, isRunning)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got, err := h.WatchJob(ctx, j.ID, len(j.Events))
	if !errors.Is(err, fault.CanceledDeadline) || got.ID != j.ID || got.State != run.JobRunning {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := h.WatchJob(t.Context(), "NONE", 0); !errors.Is(err, fault.CallerNotFound) {
		t.Error(err)
	}
	if _, err := h.CancelJob(t.Context(), j.ID, ""); err != nil {
		t.Error(err)
	}
}
