package host_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// workerOf waits for a busy worker of a kind, and returns it.
func workerOf(t *testing.T, h *host.Host, kind string) (w inspect.Worker) {
	t.Helper()
	waitFor(t, "a busy worker", func() bool {
		in, err := h.Inspect(t.Context())
		if err != nil {
			return false
		}
		for _, w = range in.Workers {
			if w.Kind == kind && w.State == "busy" {
				return true
			}
		}
		return false
	})
	return w
}

// suspects runs a guest whose worker is killed, as often as it is tried.
func suspects(t *testing.T, h *host.Host) run.Receipt {
	t.Helper()
	ended := make(chan run.Receipt, 1)
	go func() {
		r, err := h.Execute(t.Context(), host.Request{Code: guest(t, "loop")})
		if err != nil {
			t.Error(err)
		}
		ended <- r
	}()
	last := 0
	for {
		select {
		case r := <-ended:
			return r
		case <-time.After(time.Millisecond):
			in, _ := h.Inspect(t.Context())
			for _, w := range in.Workers {
				if w.Kind == "execute" && w.State == "busy" && w.PID != last {
					last = w.PID
					_ = unix.Kill(w.PID, unix.SIGKILL)
				}
			}
		}
	}
}

func TestSettingsOfBlame(t *testing.T) {
	h := start(t, host.Config{QuarantineAfter: 1, Quarantine: time.Second})
	if r := suspects(t, h); !r.Counted || !r.Repeated || *r.Attempts != 2 {
		t.Fatalf("%+v", r)
	}
	if r := execute(t, h, host.Request{Code: guest(t, "loop")}); fault.Code(r.Fault) != fault.GuestQuarantined {
		t.Errorf("%s", r.Fault)
	}
	waitFor(t, "the end of the quarantine", func() bool {
		r := execute(t, h, host.Request{Code: guest(t, "loop"), Limits: run.Limits{CPU: 10 * time.Millisecond}})
		return fault.Code(r.Fault) == fault.GuestCPULimit
	})

	h = start(t, host.Config{QuarantineAfter: 1, ForgiveSuspects: true})
	if r := suspects(t, h); r.Counted || !r.Repeated {
		t.Errorf("%+v", r)
	}
	if r := execute(t, h, host.Request{Code: guest(t, "loop"), Limits: run.Limits{CPU: 10 * time.Millisecond}}); fault.Code(r.Fault) != fault.GuestCPULimit {
		t.Errorf("%s", r.Fault)
	}
}

func TestSettingsOfRetries(t *testing.T) {
	h := start(t, host.Config{RetryCooldown: 300 * time.Millisecond, Retries: 1})
	judge := func() host.Judgement {
		t.Helper()
		r, err := h.Execute(t.Context(), host.Request{Code: guest(t, "go-hello")})
		if err != nil {
			t.Fatal(err)
		}
		return host.Judgement{Fault: r.Fault, Cache: r.Cache}
	}
	killed := func() host.Judgement {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = unix.Kill(workerOf(t, h, "prepare").PID, unix.SIGKILL)
		}()
		j := judge()
		<-done
		return j
	}
	for try := range 2 { // once, and the one retry
		begin := time.Now()
		if j := killed(); fault.Code(j.Fault) != fault.SuspectPrepareDied {
			t.Fatalf("try %d: %+v", try, j)
		}
		if j := judge(); fault.Code(j.Fault) != fault.SuspectPrepareDied || j.Cache != "hit" {
			if time.Since(begin) < 300*time.Millisecond {
				t.Errorf("try %d: %+v within the cool-down", try, j)
			}
		}
		<-time.After(400 * time.Millisecond)
	}
	if j := judge(); fault.Code(j.Fault) != fault.SuspectPrepareDied || j.Cache != "hit" {
		t.Errorf("after all retries: %+v", j)
	}
}

func TestSettingsOfPreparation(t *testing.T) {
	large := host.CodeRequest{Code: guest(t, "go-hello")}
	for _, row := range []struct {
		name        string
		cfg         host.Config
		judge, runs fault.Code
	}{
		{"PrecheckCPU", host.Config{PrecheckCPU: 10 * time.Millisecond}, fault.GuestPrepareCPU, ""},
		{"PrepareCPU", host.Config{PrepareCPU: 10 * time.Millisecond}, fault.GuestPrepareCPU, fault.GuestPrepareCPU},
		{"default", host.Config{}, "", ""},
	} {
		h := start(t, row.cfg)
		j, err := h.Precheck(t.Context(), large)
		if err != nil || fault.Code(j.Fault) != row.judge {
			t.Errorf("%s: judged %q, %v", row.name, j.Fault, err)
		}
		if r := execute(t, h, host.Request{Code: large.Code}); fault.Code(r.Fault) != row.runs {
			t.Errorf("%s: ran %q (%s)", row.name, r.Fault, r.Message)
		}
	}
}

func TestSettingsOfJobs(t *testing.T) {
	dir := t.TempDir()
	h := start(t, host.Config{DataDir: dir, HoldJobs: true, MaxWarm: 1})
	r := puzzle(t)
	j := submit(t, h, r)
	if got := execute(t, h, r.Request); got.Verdict != "ok" { // while it is held
		t.Errorf("%+v", got)
	}
	if j, err := h.Job(t.Context(), j.ID); err != nil || j.State != run.JobQueued {
		t.Errorf("held: %+v, %v", j, err)
	}
	for n, want := range []error{nil, fault.CallerQuota} {
		if _, err := h.Warm(t.Context(), host.CodeRequest{Code: guest(t, []string{"hash-puzzle", "kernels"}[n])}); !errors.Is(err, want) {
			t.Errorf("warm code %d: %v", n+1, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir, JobKeep: time.Second, Name: "second", Owner: "test", Socket: "there"})
	until(t, h, j.ID, isSettled)
	if o, ok := host.ReadOwner(dir); !ok || o.Kind != "test" || !strings.HasSuffix(o.Socket, "there") {
		t.Errorf("%+v", o)
	}
	short := submit(t, h, puzzle(t))
	waitFor(t, "the end of JobKeep", func() bool {
		_, err := h.Job(t.Context(), short.ID)
		return errors.Is(err, fault.CallerNotFound)
	})
	if _, err := h.Job(t.Context(), j.ID); err != nil {
		t.Errorf("what was submitted for a day: %v", err)
	}
}
