package host_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// puzzle is a small job.
func puzzle(t testing.TB) host.JobRequest {
	return host.JobRequest{Request: host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}}
}

// spinning is a job that does not end.
func spinning(t testing.TB) host.JobRequest {
	return host.JobRequest{Request: host.Request{Code: guest(t, "loop"), Entry: invoke("run"), Limits: run.Limits{CPU: time.Hour}}}
}

func submit(t testing.TB, h *host.Host, r host.JobRequest) run.Job {
	t.Helper()
	j, err := h.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// until watches a job until it is as wanted.
func until(t testing.TB, h *host.Host, id string, wanted func(run.Job) bool) run.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for seen := -1; ; {
		j, err := h.WatchJob(ctx, id, seen)
		if err != nil {
			t.Fatalf("%v; the job: %+v", err, j)
		}
		if wanted(j) {
			return j
		}
		if j.State == run.JobSettled {
			t.Fatalf("it is settled: %+v", j)
		}
		seen = len(j.Events)
	}
}

func isSettled(j run.Job) bool { return j.State == run.JobSettled }
func isRunning(j run.Job) bool { return j.State == run.JobRunning }

func whats(j run.Job) (out []string) {
	for _, e := range j.Events {
		out = append(out, e.What)
	}
	return out
}

func TestAJobRunsAndItsResultIsKept(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir})
	j := submit(t, h, puzzle(t))
	if len(j.ID) != 26 || j.State == run.JobSettled || j.SubmittedAt.IsZero() || j.Priority != "normal" || j.Tenant != "default" {
		t.Errorf("accepted: %+v", j)
	}
	j = until(t, h, j.ID, isSettled)
	if d := cmp.Diff([]string{"submitted", "started", "settled"}, whats(j)); d != "" || j.Starts != 1 {
		t.Error(d, j.Starts)
	}
	check := func(j run.Job) {
		t.Helper()
		if j.Receipt == nil || j.Receipt.Verdict != "ok" || string(j.Receipt.Result) != "3" || j.Fault != "" || j.Receipt.CodeHash != j.CodeHash || j.Receipt.Artifact == "" {
			t.Errorf("settled: %+v, receipt %+v", j, j.Receipt)
		}
		if left := time.Until(j.ExpiresAt); left < 23*time.Hour || left > 25*time.Hour {
			t.Errorf("it expires in %v", left)
		}
	}
	check(j)
	list, next, err := h.Jobs(t.Context(), host.JobFilter{})
	if err != nil || next != "" || len(list) != 1 || list[0].Events != nil || list[0].Receipt == nil || list[0].Receipt.Result != nil || list[0].Receipt.Verdict != "ok" {
		t.Errorf("%+v, %q, %v", list, next, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	again, err := h.Job(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	check(again)
	if d := cmp.Diff(j.Events, again.Events); d != "" {
		t.Error(d)
	}
}

// TestAGuestsFailureIsAVerdict runs a guest that traps, and one that writes much and exits.
func TestAGuestsFailureIsAVerdict(t *testing.T) {
	h := start(t, host.Config{})
	trap := submit(t, h, host.JobRequest{Request: host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("nothing")}})
	if j := until(t, h, trap.ID, isSettled); j.Receipt == nil || j.Receipt.Verdict != "guest" || j.Receipt.Fault != string(fault.GuestMissingExport) {
		t.Errorf("%+v %+v", j, j.Receipt)
	}
}

// TestInputAndOutputOfAnySizeSurvive passes input to a command through the disk, and its output comes back through it.
func TestInputAndOutputOfAnySizeSurvive(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir})
	var ids []string
	sizes := []int{0, 100, 15 << 10, 17 << 10, 1 << 20}
	for _, n := range sizes {
		ids = append(ids, submit(t, h, host.JobRequest{Request: host.Request{Code: guest(t, "echo-wasi"), Entry: run.Entry{Mode: run.Command}},
			StdinBytes: []byte(strings.Repeat("x", n))}).ID)
	}
	for range 2 {
		for n, id := range ids {
			if j := until(t, h, id, isSettled); j.Receipt == nil || j.Receipt.Verdict != "ok" || len(j.Receipt.Stdout) != sizes[n] {
				t.Errorf("%d bytes: %+v", sizes[n], j)
			}
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h = start(t, host.Config{DataDir: dir})
	}
}

func TestAKeyNamesOneJob(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir})
	r := puzzle(t)
	r.Key = "k"
	ids := make(chan string, 20)
	for range cap(ids) {
		go func() {
			j, err := h.Submit(context.WithoutCancel(t.Context()), r)
			if err != nil {
				t.Error(err)
			}
			ids <- j.ID
		}()
	}
	id := <-ids
	for range cap(ids) - 1 {
		if other := <-ids; other != id {
			t.Errorf("%s and %s", id, other)
		}
	}
	until(t, h, id, isSettled)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	if j := submit(t, h, r); j.ID != id || j.Receipt == nil {
		t.Errorf("after a restart: %+v, want %s", j, id)
	}
	other := r
	other.Entry = invoke("run", "0", "2")
	if _, err := h.Submit(t.Context(), other); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("another request: %v", err)
	}
	other.Tenant = "other"
	if j := submit(t, h, other); j.ID == id {
		t.Error("tenants share a key")
	}
	list, _, err := h.Jobs(t.Context(), host.JobFilter{Tenant: "default"})
	if err != nil || len(list) != 1 {
		t.Errorf("%d jobs, %v", len(list), err)
	}
}

func TestAJobIsCanceled(t *testing.T) {
	h := start(t, host.Config{SpareWorkers: host.NoLimit})
	j := until(t, h, submit(t, h, spinning(t)).ID, isRunning)
	if j, err := h.CancelJob(t.Context(), j.ID, "me"); err != nil || j.State == run.JobQueued {
		t.Fatal(j, err)
	}
	j = until(t, h, j.ID, isSettled)
	if j.Fault != string(fault.CanceledCaller) || j.Receipt != nil || !strings.Contains(j.Message, "me") {
		t.Errorf("%+v", j)
	}
	if d := cmp.Diff([]string{"submitted", "started", "cancel_requested", "settled"}, whats(j)); d != "" {
		t.Error(d)
	}
	if _, err := h.CancelJob(t.Context(), j.ID, "me"); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("twice: %v", err)
	}
	if _, err := h.CancelJob(t.Context(), "NONE", "me"); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("none: %v", err)
	}
	waitFor(t, "the worker's death", func() bool {
		in, err := h.Inspect(t.Context())
		return err == nil && len(in.Workers) == 0
	})
}
