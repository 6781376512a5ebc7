package host

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/db"
)

// Timeline returns where the time of a job went, or of a guest that is under way, by the id that Guests gives it. The stages add up to
// the wall time: of a settled job from its submission to its end, else until now. It survives the host for jobs.
//
// # Errors
//
// caller.not_found; host.disk_io for a record that cannot be read.
func (h *Host) Timeline(ctx context.Context, id string) (inspect.Timeline, error) {
	if kind, _, ok := strings.Cut(id, "-"); ok && (kind == guestRun || kind == guestInstance || kind == guestPrepare) {
		return h.timelineOfGuest(ctx, id)
	}
	ask := func() (jobs.Traced, error) {
		return control(ctx, h, h.jobs, func(r kernel.Reply[jobs.Traced]) jobs.Message { return jobs.Trace{ID: id, Reply: r} })
	}
	t, err := ask()
	if err != nil {
		return inspect.Timeline{}, err
	}
	out := inspect.Timeline{ID: id, State: string(t.State), Cause: t.Cause, At: time.Now()}
	if t.State != run.JobSettled && t.Run != 0 {
		s, err := h.see(ctx)
		if err != nil {
			return inspect.Timeline{}, err
		}
		trail := s.trailOf(t.Run)
		if trail == nil { // it has ended meanwhile, or the cache does not answer
			if t, err = ask(); err != nil {
				return inspect.Timeline{}, err
			}
			out.State = string(t.State)
		}
		for _, step := range trail {
			if step.Stage != run.Admitted {
				t.Trail = t.Trail.Add(step)
			}
		}
		out.CPUMicros = s.cpuOf(t.Run)
		out.At = time.Now()
	}
	if t.State == run.JobSettled {
		if t.Trail, err = h.journal.Trail(id); err != nil {
			return inspect.Timeline{}, err
		}
		if r, err := h.journal.Receipt(ctx, id, false); err == nil && r != nil && r.CPUMicros != nil {
			out.CPUMicros = *r.CPUMicros
		}
	}
	h.lay(&out, t.Trail)
	return out, nil
}

// lay fills a timeline in from a trail. The last step of what has ended takes no time.
func (h *Host) lay(t *inspect.Timeline, trail run.Trail) {
	for n, s := range trail {
		end := t.At
		switch {
		case n+1 < len(trail):
			end = trail[n+1].At
		case s.Stage == run.Delivered:
			end = s.At
		}
		micros := max(0, end.UnixMicro()-s.At.UnixMicro()) // of each stamp, so that they add up
		t.Stages = append(t.Stages, inspect.Stage{Name: s.Stage.String(), At: s.At, Micros: micros, Waits: s.Waits, Owner: h.ownerOf(s.Owner)})
		t.WallMicros += micros
		if !s.Works {
			t.WaitMicros += micros
		}
		if s.Stage == run.Running && s.Owner != "" && !slices.Contains(t.Workers, s.Owner) {
			t.Workers = append(t.Workers, s.Owner)
		}
	}
}

// ownerOf is what operators call an owner: actors by their whole path.
func (h *Host) ownerOf(owner string) string {
	if strings.HasPrefix(owner, queueExecute+"/") {
		return h.actorPath(owner)
	}
	return owner
}

// trailOf joins what cache, queues and workers know of a run; nil: it is not under way.
func (s *seen) trailOf(id uint64) run.Trail {
	for n := range s.asks {
		a := &s.asks[n]
		if a.ID != id {
			continue
		}
		t := a.Trail
		if st := s.standing(id); st != nil && a.Runs {
			t = t.Join(st.Trail)
		}
		for n := range s.prepare.Preparations {
			p := &s.prepare.Preparations[n]
			if a.Job == 0 || p.Job != a.Job || len(t) == 0 {
				continue
			}
			last := t[len(t)-1]
			switch {
			case !p.StartedAt.IsZero():
				t = t.Add(run.Step{Stage: run.ArtifactWait, At: p.StartedAt, Waits: last.Waits + ", running on " + p.Worker, Owner: p.Worker, Works: true})
			case s.prepare.Paused:
				t[len(t)-1].Waits += ", which waits for the prepare queue to be resumed"
			default:
				t[len(t)-1].Waits += ", which is " + p.State + " in the prepare queue"
			}
		}
		return t
	}
	for n := range s.rides {
		if r := &s.rides[n]; r.Job.Run == id {
			g := s.ofRide(r)
			t := run.Trail{{Stage: run.Received, At: g.StartedAt}}
			for _, stage := range [...]run.Stage{run.Queued, run.Assigned, run.Running, run.ResultRead} {
				if stage.String() == g.Stage {
					works := stage >= run.Running
					return t.Add(run.Step{Stage: stage, At: g.Since, Owner: r.Worker, Works: works})
				}
			}
			return t
		}
	}
	return nil
}

// cpuOf is what a run has used until now, as far as that is known.
func (s *seen) cpuOf(id uint64) int64 {
	for n := range s.rides {
		if s.rides[n].Job.Run == id {
			return s.rides[n].CPU.Microseconds()
		}
	}
	return 0
}

// timelineOfGuest is the timeline of what is under way and no job.
func (h *Host) timelineOfGuest(ctx context.Context, id string) (inspect.Timeline, error) {
	s, err := h.see(ctx)
	if err != nil {
		return inspect.Timeline{}, err
	}
	out := inspect.Timeline{ID: id, State: string(run.JobRunning), At: time.Now()}
	for n := range s.prepare.Preparations {
		if p := &s.prepare.Preparations[n]; preparationID(p.Job) == id {
			t := run.Trail{{Stage: run.Queued, At: p.Since, Waits: "a place in the prepare queue", Owner: queuePrepare}}
			if !p.StartedAt.IsZero() {
				t = t.Add(run.Step{Stage: run.Running, At: p.StartedAt, Owner: p.Worker, Works: true})
			}
			for _, w := range s.workers {
				if w.ID == p.Worker && p.Worker != "" {
					out.CPUMicros = w.CPUMicros
				}
			}
			out.State = p.State
			h.lay(&out, t)
			return out, nil
		}
	}
	for _, runs := range [...]func(yield func(uint64) bool){s.askIDs, s.rideIDs} {
		for n := range runs {
			if s.guestID(n) == id {
				out.CPUMicros = s.cpuOf(n)
				h.lay(&out, s.trailOf(n))
				return out, nil
			}
		}
	}
	return out, fault.New(fault.CallerNotFound, "guest", fault.Quote(id), nil).WithHint("it is not under way any more; a job has a timeline for as long as it is kept")
}

func (s *seen) askIDs(yield func(uint64) bool) {
	for n := range s.asks {
		if !yield(s.asks[n].ID) {
			return
		}
	}
}

func (s *seen) rideIDs(yield func(uint64) bool) {
	for n := range s.rides {
		if !yield(s.rides[n].Job.Run) {
			return
		}
	}
}

// Trail returns the trail of a job as it is on disk.
func (j *journal) Trail(id string) (run.Trail, error) {
	var r jobs.Record
	err := j.db.Get(jobKey(prefixRecord, id), func(v []byte) error { return json.Unmarshal(v, &r) })
	switch {
	case errors.Is(err, db.ErrNotFound):
		return nil, fault.New(fault.CallerNotFound, "job", fault.Quote(id), nil)
	case err != nil:
		return nil, fault.New(fault.HostDiskIO, "read job", fault.Quote(id), err)
	}
	if len(r.Trail) == 0 && r.State == run.JobSettled { // of a host that kept none
		r.Trail = run.Trail{{Stage: run.Received, At: r.Submitted.Time()}, {Stage: run.Delivered, At: r.Settled.Time()}}
	}
	return r.Trail, nil
}
