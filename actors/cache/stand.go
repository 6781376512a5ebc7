package cache

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// What a request waits for that has no artifact yet.
const (
	waitsPreparation = "the preparation of artifact"
	waitsStore       = "the store, to take artifact"
)

// awaits notes that a request waits for something of its artifact. works: what it waits for is under way.
func (a *ask) awaits(now time.Time, what string, works bool) {
	key := a.Key.String()
	a.trail = a.trail.Add(run.Step{Stage: run.ArtifactWait, At: now, Waits: what + " " + key[:12], Owner: key, Works: works})
}

// cannotRepeat says why the preparation of a request that asks for it cannot begin again.
func (s *State) cannotRepeat(e *entry, a *ask) *fault.Error {
	switch {
	case !a.Again:
		return nil
	case e == nil:
		return notFound(a.Key)
	case a.Generation != 0 && a.Generation != e.gen:
		return fault.New(fault.CallerStale, "retry", a.Key.String(), nil)
	case e.state != artifacts.Failed:
		return fault.New(fault.CallerConflict, "retry", "its preparation has not failed", nil).WithHint("'troupe artifact show' says more")
	}
	return nil
}

// lift raises a preparation for an operator.
func (s *State) lift(now time.Time, m Lift) []Effect {
	e := s.entries[m.Key]
	refuse := func(f *fault.Error) []Effect { return []Effect{Done{To: m.Reply, Err: f}} }
	switch {
	case e == nil:
		return refuse(notFound(m.Key))
	case e.state != artifacts.Preparing || e.storing:
		return refuse(fault.New(fault.CallerConflict, "raise", "it is not being prepared", nil).WithHint("'troupe artifact show' says more"))
	}
	p := cmp.Or(m.Priority, min(e.priority+1, run.Critical))
	if !e.escalate(now, p, m.By) {
		return refuse(fault.New(fault.CallerConflict, "raise", "its priority is "+e.priority.String()+" already, and a priority only rises", nil))
	}
	return []Effect{RaisePrepare{Job: e.gen, Priority: e.priority, Budget: e.budget, By: m.By}, Done{To: m.Reply}}
}

// standings says where all requests stand.
func (s *State) standings() []Standing {
	out := make([]Standing, 0, len(s.asks))
	for _, a := range s.asks {
		st := Standing{ID: a.ID, Kind: a.Kind, Key: a.Key, Code: a.Code, Tenant: a.Tenant, App: a.App, Priority: a.Priority, Limits: a.Limits,
			Deadline: a.Deadline, Runs: a.entry != nil, Cause: a.Cause, Trail: slices.Clone(a.trail)}
		if e := s.entries[a.Key]; e != nil && a.entry == nil && e.state == artifacts.Preparing && !e.storing {
			st.Job = e.gen
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b Standing) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
