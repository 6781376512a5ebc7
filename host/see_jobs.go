package host

import (
	"context"

	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/run"
)

// stages fills in how far the jobs are that are under way. What does not say so in time leaves it out.
func (h *Host) stages(ctx context.Context, list []run.Job) {
	var s *seen
	for n := range list {
		j := &list[n]
		if j.State != run.JobRunning {
			continue
		}
		if s == nil {
			var err error
			if s, err = h.see(ctx); err != nil {
				return
			}
		}
		j.Stage = s.stageOf(j.ID)
	}
}

// stageOf is how far a job is; "": it is not under way any more.
func (s *seen) stageOf(id string) run.JobStage {
	var f *jobs.Flight
	for n := range s.flights {
		if s.flights[n].ID == id {
			f = &s.flights[n]
		}
	}
	if f == nil {
		return ""
	}
	t := f.Trail
	if there := s.trailOf(f.Run); f.Run != 0 && there != nil {
		t = there
	}
	switch last := lastOf(t, run.Step{Stage: run.Admitted}); {
	case last.Stage == run.ArtifactWait:
		return run.JobPreparing
	case last.Stage < run.Running:
		return run.JobWaiting
	}
	return run.JobExecuting
}
