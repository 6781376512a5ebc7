package host_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// guests returns those under way.
func guests(t testing.TB, h *host.Host) []inspect.Guest {
	t.Helper()
	list, err := h.Guests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// guestThat waits for a guest.
func guestThat(t testing.TB, h *host.Host, wanted func(g *inspect.Guest) bool) (found inspect.Guest) {
	t.Helper()
	waitFor(t, "a guest", func() bool {
		for _, g := range guests(t, h) {
			if wanted(&g) {
				found = g
				return true
			}
		}
		return false
	})
	return found
}

func seenWorker(t testing.TB, h *host.Host, id string) *inspect.Worker {
	t.Helper()
	list, err := h.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range list {
		if list[n].ID == id {
			return &list[n]
		}
	}
	return nil
}

func queueOf(t testing.TB, h *host.Host, name string) inspect.Queue {
	t.Helper()
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range s.Queues {
		if q.Name == name {
			return q
		}
	}
	t.Fatalf("no queue %s in %+v", name, s.Queues)
	return inspect.Queue{}
}

// brief is a run that ends well.
func brief(t testing.TB) host.Request {
	return host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}
}

type executed struct {
	receipt run.Receipt
	err     error
}

func executing(ctx context.Context, h *host.Host, r host.Request) <-chan executed {
	got := make(chan executed, 1)
	go func() {
		receipt, err := h.Execute(ctx, r)
		got <- executed{receipt, err}
	}()
	return got
}

// TestStoryOfASpinningGuest finds a guest that spins, its worker and its rising use, and kills the worker: twice, since a run is
// repeated once.
func TestStoryOfASpinningGuest(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1})
	got := executing(t.Context(), h, spinning(t).Request)
	runs := func(g *inspect.Guest) bool { return g.Kind == "run" && g.Stage == "running" && g.Worker != "" }
	g := guestThat(t, h, runs)
	later := guestThat(t, h, func(o *inspect.Guest) bool { return o.ID == g.ID && o.CPUMicros > g.CPUMicros })
	if later.Worker != g.Worker || later.CPUCap != time.Hour.Microseconds() || later.CodeHash == "" || later.Cause == "" {
		t.Errorf("%+v", later)
	}
	w := seenWorker(t, h, g.Worker)
	if w == nil || w.Job != g.ID || w.CPUMicros <= 0 || w.RSSBytes <= 0 || w.Actor != "troupe/execute/worker-1" || w.BuildID == "" || len(w.Defences) == 0 {
		t.Fatalf("worker %+v", w)
	}
	for _, d := range w.Defences {
		if d.Held != (d.State == "held") || !d.Held && d.Why == "" {
			t.Errorf("%+v", d)
		}
	}
	line, err := h.Timeline(t.Context(), g.ID)
	if err != nil || len(line.Stages) < 2 || line.Stages[len(line.Stages)-1].Name != "running" || line.WallMicros <= 0 || line.CPUMicros <= 0 {
		t.Errorf("%+v, %v", line, err)
	}
	if err := h.KillWorker(t.Context(), g.Worker); err != nil {
		t.Fatal(err)
	}
	next := guestThat(t, h, func(o *inspect.Guest) bool { return runs(o) && o.Worker != g.Worker })
	if next.ID != g.ID {
		t.Errorf("%s goes on as %s", g.ID, next.ID)
	}
	if err := h.KillWorker(t.Context(), next.Worker); err != nil {
		t.Fatal(err)
	}
	if e := <-got; e.err != nil || e.receipt.Fault != string(fault.SuspectWorkerDied) || *e.receipt.Attempts != 2 || !e.receipt.Repeated {
		t.Errorf("%+v, %v", e.receipt, e.err)
	}
	if err := h.KillWorker(t.Context(), g.Worker); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("a worker that is gone: %v", err)
	}
}

// TestStoryOfAWaitingJob has a job wait behind one that spins, is told so by its timeline, raises it, and ends the other one.
func TestStoryOfAWaitingJob(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1})
	spin := submit(t, h, spinning(t))
	guestThat(t, h, func(g *inspect.Guest) bool { return g.ID == spin.ID && g.Stage == "running" })
	waits := submit(t, h, host.JobRequest{Request: brief(t)})
	g := guestThat(t, h, func(g *inspect.Guest) bool { return g.ID == waits.ID && g.Stage == "queued" })
	if g.Kind != "job" || g.Job != waits.ID || g.Priority != "normal" || g.Cause == "" {
		t.Errorf("%+v", g)
	}
	line, err := h.Timeline(t.Context(), waits.ID)
	if err != nil || line.State != "running" || line.Cause != g.Cause {
		t.Fatalf("%+v, %v", line, err)
	}
	if last := line.Stages[len(line.Stages)-1]; last.Name != "queued" || last.Owner != "execute" || last.Waits == "" {
		t.Errorf("the last stage is %+v", last)
	}
	all, _, err := h.Jobs(t.Context(), host.JobFilter{State: run.JobRunning})
	if err != nil || len(all) != 2 || all[0].Stage != run.JobExecuting || all[1].Stage != run.JobWaiting || all[1].Shown() != "waiting" {
		t.Errorf("what is under way is listed as %+v, %v", all, err)
	}
	if _, err := h.RaiseJob(t.Context(), waits.ID, run.High, "me"); err != nil {
		t.Fatal(err)
	}
	guestThat(t, h, func(g *inspect.Guest) bool { return g.ID == waits.ID && g.Priority == "high" })
	if _, err := h.CancelJob(t.Context(), spin.ID, "me"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{spin.ID, waits.ID} {
		j := until(t, h, id, func(j run.Job) bool { return j.State == run.JobSettled })
		addsUp(t, h, j)
	}
}

// addsUp checks that the stages of a settled job are all of its time.
func addsUp(t testing.TB, h *host.Host, j run.Job) inspect.Timeline {
	t.Helper()
	line, err := h.Timeline(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	names := map[string]bool{}
	for _, s := range line.Stages {
		sum += s.Micros
		names[s.Name] = true
	}
	wall := j.SettledAt.UnixMicro() - j.SubmittedAt.UnixMicro()
	if sum != wall || line.WallMicros != wall || line.WaitMicros > wall || !names["received"] || !names["running"] || !names["delivered"] {
		t.Errorf("%d us of %d: %+v", sum, wall, line)
	}
	return line
}

// TestTimelineSurvivesTheHost reads the timeline of a job from another host on the same directory.
func TestTimelineSurvivesTheHost(t *testing.T) {
	dir := t.TempDir()
	h, err := host.Start(t.Context(), host.Config{DataDir: dir, BallastBytes: host.NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	j := submit(t, h, host.JobRequest{Request: brief(t)})
	j = until(t, h, j.ID, func(j run.Job) bool { return j.State == run.JobSettled })
	before := addsUp(t, h, j)
	boot := h.Boot()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, host.Config{DataDir: dir})
	if after := addsUp(t, h, j); len(after.Stages) != len(before.Stages) || after.Cause != before.Cause || len(after.Workers) == 0 {
		t.Errorf("%+v\n%+v", before, after)
	}
	if h.Boot() == boot || boot == "" {
		t.Errorf("boot %q and %q", boot, h.Boot())
	}
}

// TestStoryOfAFailedPreparation has one that fails begin again for an operator, also after a restart.
func TestStoryOfAFailedPreparation(t *testing.T) {
	h := start(t, host.Config{})
	bad := host.Request{Code: guest(t, "bad-body"), Entry: invoke("run")}
	r := execute(t, h, bad)
	a, _, err := h.Artifact(t.Context(), r.Artifact)
	if err != nil || a.State != "failed" {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := h.RetryArtifact(t.Context(), a.Key, a.Generation+1); !errors.Is(err, fault.CallerStale) {
		t.Errorf("of another generation: %v", err)
	}
	if err := h.RetryArtifact(t.Context(), a.Key, a.Generation); fault.CodeOf(err) != fault.Code(a.Fault) {
		t.Errorf("the second failure: %v, and the first %s", err, a.Fault)
	}
	if b, _, err := h.Artifact(t.Context(), a.Key); err != nil || b.State != "failed" || b.Generation <= a.Generation {
		t.Errorf("after the second failure: %+v, %v", b, err)
	}
	if err := h.RaiseArtifact(t.Context(), a.Key, 0, ""); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("of what is not being prepared: %v", err)
	}
}

// TestPausedQueues pauses each queue, and looks at who is refused and what waits.
func TestPausedQueues(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1})
	add := brief(t)
	execute(t, h, add)
	execute(t, h, add)
	pause := func(name string) {
		if err := h.PauseQueue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if q := queueOf(t, h, name); !q.Paused || q.PausedSince.IsZero() {
			t.Errorf("%+v", q)
		}
	}
	resume := func(name string) {
		if err := h.ResumeQueue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if queueOf(t, h, name).Paused {
			t.Errorf("%s is paused", name)
		}
	}
	warned := func() bool {
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range s.Health {
			if w.Code == "queue.paused" && !w.Since.IsZero() {
				return true
			}
		}
		return false
	}
	pause("execute")
	if _, err := h.Execute(t.Context(), add); !errors.Is(err, fault.BusyPaused) {
		t.Errorf("a warm run: %v", err)
	}
	j := submit(t, h, host.JobRequest{Request: add})
	if line, err := h.Timeline(t.Context(), j.ID); err != nil || line.Stages[len(line.Stages)-1].Owner != "execute" {
		t.Errorf("%+v, %v", line, err)
	}
	if !warned() {
		t.Error("nobody is warned")
	}
	pause("jobs")
	resume("execute")
	if n := queueOf(t, h, "jobs").Parked["normal"]; n != 1 {
		t.Errorf("%d jobs wait", n)
	}
	if n, err := h.PurgeQueue(t.Context(), "jobs"); n != 1 || err != nil {
		t.Errorf("%d jobs purged, %v", n, err)
	}
	if j, err := h.Job(t.Context(), j.ID); err != nil || j.State != run.JobSettled || j.Fault != string(fault.CanceledStopped) {
		t.Errorf("%+v, %v", j, err)
	}
	resume("jobs")
	pause("prepare")
	if r := execute(t, h, add); r.Verdict != "ok" {
		t.Errorf("what is prepared: %+v", r)
	}
	if err := h.HeadsUp(t.Context(), host.CodeRequest{Code: guest(t, "kernels")}); !errors.Is(err, fault.BusyPaused) {
		t.Errorf("an announcement: %v", err)
	}
	resume("prepare")
	if warned() {
		t.Error("the warning stays")
	}
	if err := h.PauseQueue(t.Context(), "none"); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("no queue: %v", err)
	}
	if r := execute(t, h, add); r.Verdict != "ok" {
		t.Errorf("%+v", r)
	}
}

// TestRecycledWorker ends a worker that idles, or is lent, and the next run has another one.
func TestRecycledWorker(t *testing.T) {
	h := start(t, host.Config{SpareWorkers: -1})
	add := brief(t)
	execute(t, h, add)
	var id string
	list, err := h.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range list {
		if w.Kind == "execute" && w.Actor != "" {
			id = w.ID
		}
	}
	if err := h.RecycleWorker(t.Context(), id); err != nil {
		t.Fatal(id, err)
	}
	waitFor(t, "its end", func() bool { return seenWorker(t, h, id) == nil })
	if r := execute(t, h, add); r.Verdict != "ok" {
		t.Errorf("%+v", r)
	}
	if err := h.RecycleWorker(t.Context(), id); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("a worker that is gone: %v", err)
	}
}

// TestPauseSurvivesTheActor has the actors fail while they are paused: their next incarnations are paused, too.
func TestPauseSurvivesTheActor(t *testing.T) {
	h := start(t, host.Config{})
	for _, name := range []string{"prepare", "execute", "jobs"} {
		if err := h.PauseQueue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := h.Crash(name); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the next incarnation of "+name, func() bool {
			s, err := h.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range s.Actors {
				if a.Path == "troupe/"+name && a.Incarnation > 1 {
					for _, q := range s.Queues {
						if q.Name == name && q.Paused {
							return true
						}
					}
				}
			}
			return false
		})
		if err := h.ResumeQueue(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if queueOf(t, h, name).Paused {
			t.Errorf("%s is paused", name)
		}
	}
}

// TestGuestOfAnApp finds an instance that spins by turns: the host knows its gas, its memory and its worker.
func TestGuestOfAnApp(t *testing.T) {
	h := appsHost(t, host.Config{})
	m := appOf(t, h, "loop", func(m *manifest.Manifest) { m.OnDemand = false })
	address := deploy(t, h, m).Address
	g := guestThat(t, h, func(g *inspect.Guest) bool { return g.Kind == "instance" && g.App == address && g.Gas > 0 })
	if g.Stage != "running" || g.Worker == "" || g.CodeHash == "" || g.CPUMicros <= 0 || g.MemoryCap <= 0 ||
		g.Engine != "compiler" || g.MemoryPeak != g.MemoryBytes || g.Cause == "" {
		t.Errorf("%+v", g)
	}
	guestThat(t, h, func(o *inspect.Guest) bool { return o.ID == g.ID && o.Gas > g.Gas })
	if line, err := h.Timeline(t.Context(), g.ID); err != nil || len(line.Stages) == 0 || line.CPUMicros <= 0 {
		t.Errorf("%+v, %v", line, err)
	}
	if w := seenWorker(t, h, g.Worker); w == nil || w.App != address || w.Job != g.ID || w.Actor != "" {
		t.Errorf("%+v", w)
	}
	if err := h.RecycleWorker(t.Context(), g.Worker); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("the worker of an instance: %v", err)
	}
}
