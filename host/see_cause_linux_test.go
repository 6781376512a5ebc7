package host_test

import (
	"path"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
)

// TestCauseOfAJobThatWaits: the messages that carry a job on belong to the job, not to another one whose end made room for it.
func TestCauseOfAJobThatWaits(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1, ExecuteWorkersCritical: 1, SpareWorkers: host.NoLimit})
	spin := submit(t, h, spinning(t))
	guestThat(t, h, func(g *inspect.Guest) bool { return g.ID == spin.ID && g.Stage == "running" })
	first, second := submit(t, h, host.JobRequest{Request: brief(t)}), submit(t, h, host.JobRequest{Request: brief(t)})
	ids := []string{spin.ID, first.ID, second.ID}
	for _, id := range ids[1:] {
		guestThat(t, h, func(g *inspect.Guest) bool { return g.ID == id && g.Stage == "queued" })
	}
	if _, err := h.CancelJob(t.Context(), spin.ID, "me"); err != nil {
		t.Fatal(err)
	}
	causes := map[string]string{}
	prepared := 0
	for _, id := range ids {
		until(t, h, id, isSettled)
		line, err := h.Timeline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if other := causes[line.Cause]; line.Cause == "" || other != "" {
			t.Errorf("%s has the cause %q of %q", id, line.Cause, other)
		}
		causes[line.Cause] = id
		rows, err := h.Cause(t.Context(), line.Cause)
		if err != nil {
			t.Fatal(err)
		}
		through, ran := map[string]int{}, 0
		for _, r := range rows {
			through[r.Actor+" "+r.Type]++
			if dir, name := path.Split(r.Actor); dir == "troupe/execute/" && strings.HasPrefix(name, "worker-") && r.Type == "execute.ran" {
				ran++
			}
			if r.Actor == "troupe/prepare" && r.Type == "prepare.Enqueue" {
				prepared++
			}
		}
		for _, step := range []string{"troupe/jobs jobs.Submit", "troupe/jobs jobs.opened", "troupe/cache cache.Ask", "troupe/execute execute.Enqueue",
			"troupe/execute execute.finished", "troupe/cache cache.executed", "troupe/jobs jobs.ended"} {
			if through[step] == 0 && (id != spin.ID || !strings.HasSuffix(step, ".finished")) { // its worker is killed under it
				t.Errorf("%s: no %s", id, step)
			}
		}
		if ran != 1 && id != spin.ID {
			t.Errorf("%s: %d runs on a worker", id, ran)
		}
		if t.Failed() {
			t.Fatalf("%s went through %v", id, through)
		}
	}
	if prepared != 2 { // that of the first serves the second
		t.Errorf("%d preparations", prepared)
	}
}

// TestCauseOfARide: a run that goes past the actors has a cause all the same.
func TestCauseOfARide(t *testing.T) {
	w := wait(t, start(t, host.Config{}))
	g := guestThat(t, w.h, func(g *inspect.Guest) bool { return g.Kind == "run" && g.Stage == "running" })
	if len(g.Cause) != 32 {
		t.Errorf("%+v", g)
	}
	w.cancel()
	<-w.ended
}
