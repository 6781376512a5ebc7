package control

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// judge says what a verb would do to one thing as it is now, or why it cannot. A row that is nil is looked up.
func (s *Server) judge(ctx context.Context, verb *api.Verb, w api.Wish, id string, row any) (api.PlanTarget, error) {
	if len(id) == 0 || len(id) > maxActorPath {
		return api.PlanTarget{}, invalid("id", "an id has 1 to 1024 bytes")
	}
	if row == nil {
		var err error
		if row, err = s.lookUp(ctx, verb.Kind, id); err != nil {
			return api.PlanTarget{}, err
		}
	}
	t := api.PlanTarget{ID: id}
	if err := s.mayTouch(ctx, verb.Kind, id); err != nil {
		return t, err
	}
	switch row := row.(type) {
	case *inspect.Actor:
		lost := 0
		if ends(verb) {
			lost = s.workOf(ctx, row.Path)
		}
		return judgeActor(verb, t, row, lost)
	case *inspect.Worker:
		t.Generation, t.Label, t.State = uint64(max(row.PID, 0)), row.Kind, row.State
		if row.State == "busy" && verb.Action == "kill" {
			t.Lost = 1
		}
		return t, unless(verb.Action != "recycle" || row.Recycle == "", "it will end already")
	case *inspect.Queue:
		t.Label, t.State = row.Name, "open"
		if row.Paused {
			t.State = "paused"
		}
		if verb.Action == "purge" {
			for _, n := range row.Parked {
				t.Lost += n
			}
		}
		return t, pausable(verb.Action, row.Paused)
	case *inspect.Letter:
		t.Label, t.State = row.Type, row.Code
		return t, unless(verb.Action != "replay" || row.Replayable, "whoever sent it was told, and may have sent it again")
	case *run.Job:
		return judgeJob(verb, w, t, row)
	case *inspect.Artifact:
		return judgeArtifact(ctx, verb, w, t, row)
	case *inspect.App:
		return judgeApp(verb, t, row)
	case *inspect.ChainView:
		t.State = "running"
		return t, nil
	}
	return t, s.judgeNode(verb)
}

// mayTouch refuses a confined caller, when a plan is made, what the gate would refuse it later.
func (s *Server) mayTouch(ctx context.Context, kind, id string) error {
	if _, yes := confinedTo(ctx); !yes {
		return nil
	}
	g, nothing := s.host.(gate), func() error { return nil }
	switch kind {
	case "actor":
		return g.ownActor(ctx, id)
	case "worker":
		return g.onWorker(ctx, id, nothing)
	case "letter":
		return g.onLetter(ctx, id, nothing)
	case "queue", "chain", "node":
		return serves(ctx)
	}
	return nil
}

func unless(ok bool, why string) error {
	if ok {
		return nil
	}
	return fault.New(fault.CallerConflict, "", "", errors.New(why))
}

func pausable(action string, paused bool) error {
	switch {
	case action == "pause" && paused:
		return unless(false, "it is paused already")
	case action == "resume" && !paused:
		return unless(false, "it is not paused")
	}
	return nil
}

// ends reports whether a verb ends what an actor does.
func ends(verb *api.Verb) bool { return verb.Action == "restart" || verb.Action == "kill" }

func judgeActor(verb *api.Verb, t api.PlanTarget, a *inspect.Actor, lost int) (api.PlanTarget, error) {
	t.Generation, t.Label, t.State = a.Incarnation, a.Kind, a.State
	if ends(verb) {
		t.Children = a.Children
		if t.Lost = lost; lost == 0 && a.Handling != "" {
			t.Lost = 1
		}
		if a.State == "stopped" || a.State == "stopping" {
			return t, unless(false, "it has stopped")
		}
	}
	return t, pausable(verb.Action, a.Paused)
}

// workOf counts what ends with an actor, or begins again: jobs, or what the workers below it do. What does not answer counts nothing.
func (s *Server) workOf(ctx context.Context, path string) (n int) {
	if _, part, _ := strings.Cut(path, "/"); part == "jobs" {
		guests, _ := s.host.Guests(ctx)
		for _, g := range guests {
			if g.Kind == "job" {
				n++
			}
		}
		return n
	}
	workers, _ := s.host.Workers(ctx)
	for _, w := range workers {
		if w.State == "busy" && (w.Actor == path || strings.HasPrefix(w.Actor, path+"/")) {
			n++
		}
	}
	return n
}

func judgeJob(verb *api.Verb, w api.Wish, t api.PlanTarget, j *run.Job) (api.PlanTarget, error) {
	t.Generation, t.Label, t.State = uint64(max(j.Starts, 0)), j.Tenant, string(j.State)
	settled := j.State == run.JobSettled
	switch verb.Action {
	case "cancel":
		if j.State == run.JobRunning {
			t.Lost = 1
		}
		return t, unless(!settled, "it has ended already")
	case "raise":
		if settled {
			return t, unless(false, "it has ended already")
		}
		return t, rises(j.Priority, w)
	case "retry":
		return t, unless(settled, "it has not ended yet")
	}
	return t, nil
}

// raised is the priority that a wish asks for: the one that it names, or the next one up.
func raised(from string, w api.Wish) (run.Priority, error) {
	if name := w.Args["priority"]; name != "" {
		return run.ParsePriority(name)
	}
	p, err := run.ParsePriority(from)
	if err != nil {
		p = run.Background
	}
	return min(p+1, run.Critical), nil
}

func rises(from string, w api.Wish) error {
	to, err := raised(from, w)
	if err != nil {
		return err
	}
	p, err := run.ParsePriority(from)
	return unless(err != nil || to > p, "it is as urgent already")
}

func judgeArtifact(ctx context.Context, verb *api.Verb, w api.Wish, t api.PlanTarget, a *inspect.Artifact) (api.PlanTarget, error) {
	t.Generation, t.Label, t.State = a.Generation, a.CodeHash, a.State
	mine := ""
	if v := visitOf(ctx); v != nil {
		mine = v.caller.Tenant()
	}
	switch verb.Action {
	case "retry":
		return t, unless(a.State == "failed", "it has not failed")
	case "raise":
		if a.State != "preparing" {
			return t, unless(false, "it is not being prepared")
		}
		return t, rises(a.Priority, w)
	case "pin":
		return t, unless(!slices.Contains(a.Pins, mine), "it is pinned already")
	case "unpin":
		return t, unless(slices.Contains(a.Pins, mine), "it is not pinned by "+mine)
	case "verify":
		return t, unless(a.State == "prepared", "there are no bytes to check")
	case "evict":
		t.Lost = a.InUse
		return t, unless(a.State != "absent", "it is not there")
	}
	return t, nil
}

func judgeApp(verb *api.Verb, t api.PlanTarget, a *inspect.App) (api.PlanTarget, error) {
	t.Generation, t.Label, t.State = a.Sequence, a.Label, a.State
	switch verb.Action {
	case "start":
		return t, unless(a.State == "stopped" || a.State == "failed" || a.State == "backoff", "it has been started")
	case "stop", "restart":
		t.Children, t.Lost = int(a.Running), a.Active
		return t, unless(a.State != "stopped", "it is stopped")
	case "remove":
		t.Children, t.Lost = int(a.Running), a.Active
	}
	return t, nil
}

func (s *Server) judgeNode(verb *api.Verb) error {
	switch {
	case verb.Name == "node.drain" && s.opts.Drain == nil:
		return unsupported("to drain it")
	case verb.Name == "node.reload" && s.opts.Reload == nil:
		return unsupported("a reload")
	}
	return nil
}

// lookUp returns one thing as the caller may see it.
func (s *Server) lookUp(ctx context.Context, kind, id string) (any, error) {
	switch kind {
	case "actor":
		if all, _, err := s.views.actors.rows(ctx); err != nil {
			return nil, err
		} else if i := slices.IndexFunc(all, func(a inspect.Actor) bool { return a.Path == id }); i >= 0 {
			return &all[i], nil
		}
	case "queue":
		if h, err := s.views.inspect(ctx); err != nil {
			return nil, err
		} else if i := slices.IndexFunc(h.Queues, func(q inspect.Queue) bool { return q.Name == id }); i >= 0 {
			return &h.Queues[i], nil
		}
	case "worker":
		if all, err := s.host.Workers(ctx); err != nil {
			return nil, err
		} else if i := slices.IndexFunc(all, func(w inspect.Worker) bool { return w.ID == id }); i >= 0 {
			return &all[i], nil
		}
	case "letter":
		if all, err := s.host.DeadLetters(ctx); err != nil {
			return nil, err
		} else if i := slices.IndexFunc(all, func(l inspect.Letter) bool { return l.ID == id }); i >= 0 {
			return &all[i], nil
		}
	case "job":
		if validJobID(id) {
			j, err := s.host.Job(ctx, id)
			return &j, err
		}
	case "artifact":
		a, _, err := s.host.Artifact(ctx, id)
		return &a, err
	case "app":
		a, err := s.host.App(ctx, id)
		return &a, err
	case "chain":
		c, err := s.host.Chain(ctx)
		return &c, err
	case "node":
		return struct{}{}, nil
	}
	return nil, hidden(kind, id)
}

// do carries out a verb on one target.
func (s *Server) do(ctx context.Context, verb *api.Verb, w api.Wish, t api.PlanTarget) error {
	h, id, by := s.host, t.ID, visitOf(ctx).caller.Tenant()
	var err error
	switch verb.Name {
	case "actor.pause":
		return h.PauseActor(ctx, id, t.Generation)
	case "actor.resume":
		return h.ResumeActor(ctx, id, t.Generation)
	case "actor.restart":
		return h.RestartActor(ctx, id, t.Generation)
	case "actor.kill":
		return h.KillActor(ctx, id, t.Generation)
	case "actor.log_level":
		d, err := lasts(w)
		if err != nil {
			return err
		}
		return h.ActorLogLevel(ctx, id, w.Args["level"], d)
	case "worker.recycle":
		return h.RecycleWorker(ctx, id)
	case "worker.kill":
		return h.KillWorker(ctx, id)
	case "queue.pause":
		return h.PauseQueue(ctx, id)
	case "queue.resume":
		return h.ResumeQueue(ctx, id)
	case "queue.purge":
		_, err = h.PurgeQueue(ctx, id)
	case "letter.replay":
		return h.ReplayLetter(ctx, id)
	case "letter.drop":
		return h.DropLetter(ctx, id)
	case "job.cancel":
		_, err = h.CancelJob(ctx, id, by)
	case "job.raise":
		j, err := h.Job(ctx, id)
		if err != nil {
			return err
		}
		p, err := raised(j.Priority, w)
		if err == nil {
			_, err = h.RaiseJob(ctx, id, p, by)
		}
		return err
	case "job.retry":
		_, err = h.RetryJob(ctx, id, "")
	case "artifact.retry":
		return h.RetryArtifact(ctx, id, t.Generation)
	case "artifact.raise":
		a, _, err := h.Artifact(ctx, id)
		if err != nil {
			return err
		}
		p, err := raised(a.Priority, w)
		if err == nil {
			err = h.RaiseArtifact(ctx, id, p, by)
		}
		return err
	case "artifact.pin":
		return h.Pin(ctx, by, id)
	case "artifact.unpin":
		return h.Unpin(ctx, by, id)
	case "artifact.verify":
		return h.Verify(ctx, id)
	case "artifact.evict":
		return h.Evict(ctx, id)
	case "app.start":
		_, err = h.StartApp(ctx, id)
	case "app.stop":
		_, err = h.StopApp(ctx, id)
	case "app.restart":
		if _, err = h.StopApp(ctx, id); err == nil {
			_, err = h.StartApp(ctx, id)
		}
	case "app.raise":
		p := run.Critical
		if name := w.Args["priority"]; name != "" {
			if p, err = run.ParsePriority(name); err != nil {
				return err
			}
		}
		_, err = h.RaiseApp(ctx, id, p)
	case "app.remove":
		_, err = h.RemoveApp(ctx, id)
	case "node.drain":
		return s.opts.Drain(ctx)
	case "node.gc":
		_, err = h.Prune(ctx)
	case "node.reload":
		return s.opts.Reload(ctx)
	case "chain.pause":
		return h.PauseChain(ctx)
	case "chain.resume":
		return h.ResumeChain(ctx)
	default:
		return unsupported(verb.Name)
	}
	return err
}
