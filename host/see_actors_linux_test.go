package host_test

import (
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestActorsAreSeenAndMended looks at a run through the recorders of the actors that carried it, restarts the cache under it and
// kills its worker.
func TestActorsAreSeenAndMended(t *testing.T) {
	h := start(t, host.Config{})
	ctx := t.Context()
	q := host.Request{Code: guest(t, "small-call"), Entry: run.Entry{Mode: run.Bytes, Name: "call"}}
	execute(t, h, q) // it waits for the index, which has a cause of its own
	execute(t, h, host.Request{Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}})

	d, err := h.Actor(ctx, "troupe/cache")
	if err != nil || len(d.Flights) == 0 || d.Handler.Count == 0 || len(d.Lanes) != 4 {
		t.Fatalf("%+v, %v", d, err)
	}
	var asked inspect.Flight
	for _, f := range d.Flights {
		if f.Type == "cache.Ask" {
			asked = f
		}
	}
	rows, err := h.Cause(ctx, asked.Cause)
	if err != nil {
		t.Fatal(err)
	}
	through := map[string]bool{}
	for _, r := range rows {
		through[r.Actor] = true
	}
	var worker string
	for path := range through {
		if strings.HasPrefix(path, "troupe/execute/worker-") {
			worker = path
		}
	}
	if !through["troupe/cache"] || !through["troupe/prepare"] || !through["troupe/execute"] || worker == "" {
		t.Fatalf("the run went through %v", through)
	}

	for path, code := range map[string]fault.Code{"troupe/cache": fault.CallerDenied, "troupe/none": fault.CallerNotFound} {
		if err := h.KillActor(ctx, path, 0); fault.CodeOf(err) != code {
			t.Errorf("kill %s: %v", path, err)
		}
	}
	if err := h.RestartActor(ctx, worker, 0); fault.CodeOf(err) != fault.CallerDenied {
		t.Errorf("restart %s: %v", worker, err)
	}
	if err := h.KillActor(ctx, worker, 1); err != nil {
		t.Fatal(err)
	}
	dead := eventually(t, func() bool {
		d, err := h.Actor(ctx, worker)
		return err == nil && d.Dead
	})
	if !dead {
		t.Fatal("the worker lives")
	}
	if err := h.RestartActor(ctx, "troupe/cache", 1); err != nil {
		t.Fatal(err)
	}
	if err := h.RestartActor(ctx, "troupe/cache", 1); fault.CodeOf(err) != fault.CallerStale {
		t.Errorf("restarted again: %v", err)
	}
	if r := execute(t, h, q); r.Verdict != "ok" || r.Cache != "hit" {
		t.Errorf("%+v", r)
	}
	for _, path := range []string{"troupe/prepare", "troupe/execute", "troupe/jobs", "troupe/sessions"} {
		err := h.RestartActor(ctx, path, 1)
		if fault.CodeOf(err) == fault.CallerConflict { // its workers take their time
			err = nil
			eventually(t, func() bool {
				d, err := h.Actor(ctx, path)
				return err == nil && d.Incarnation == 2 && d.State == "idle"
			})
		}
		if err != nil {
			t.Errorf("restart %s: %v", path, err)
		}
		if r := execute(t, h, q); r.Verdict != "ok" {
			t.Errorf("after %s: %+v", path, r)
		}
	}
	if err := h.ActorLogLevel(ctx, "troupe/cache", "debug", time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := h.Mailbox(ctx, "troupe/cache"); err != nil {
		t.Error(err)
	}
	if err := h.ReplayLetter(ctx, "0"); fault.CodeOf(err) != fault.CallerNotFound {
		t.Error(err)
	}
}
