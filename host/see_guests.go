package host

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/pool"
)

// Kinds of guests, which are also what their ids begin with, but for jobs, which have their own.
const (
	guestRun      = "run"
	guestJob      = "job"
	guestInstance = "instance"
	guestPrepare  = "preparation"
)

func preparationID(job uint64) string { return guestPrepare + "-" + strconv.FormatUint(job, 10) }

// guestID names the guest of a run.
func (s *seen) guestID(id uint64) string {
	if f := s.jobOf[id]; f != nil {
		return f.ID
	}
	if i := s.instance[id]; i != 0 {
		return guestInstance + "-" + strconv.FormatUint(i, 10)
	}
	return guestRun + "-" + strconv.FormatUint(id, 10)
}

// engineOfGuests is the engine of all workers that guests are run by; the interpreter only repeats runs, for a comparison.
const engineOfGuests = "compiler"

// Guests returns every run that is under way: those of requests, whatever way they go, of jobs, of instances of apps, and
// preparations.
//
// What is known, and when: stage, priority, limits and worker always. CPU time while a worker has the run, by the account that the
// system keeps of its process: of runs that stand behind one another in one worker, only the first is charged. Gas and memory of a
// guest of an app as it said last, with a question or with its turn; of any other run only its worker knows, and tells at the end.
// A memory never shrinks, so that what it was last is its peak. Engine of a guest that has a worker. Calls by import and open handles of
// instances of apps. Preparations show the CPU time of their worker.
func (h *Host) Guests(ctx context.Context) ([]inspect.Guest, error) {
	s, err := h.see(ctx)
	if err != nil {
		return nil, err
	}
	return h.guests(s), nil
}

func (h *Host) guests(s *seen) []inspect.Guest {
	byRun := make(map[uint64]*inspect.Guest, len(s.asks)+len(s.rides))
	out := make([]*inspect.Guest, 0, len(s.asks)+len(s.rides)+len(s.prepare.Preparations))
	add := func(id uint64, g *inspect.Guest) *inspect.Guest {
		out = append(out, g)
		if id != 0 {
			byRun[id] = g
		}
		return g
	}
	for n := range s.asks {
		if a := &s.asks[n]; a.Kind == cache.Execute {
			add(a.ID, s.ofAsk(a))
		}
	}
	for n := range s.flights {
		if f := &s.flights[n]; byRun[f.Run] == nil || f.Run == 0 {
			at := lastOf(f.Trail, run.Step{Stage: run.Admitted, At: s.at})
			add(f.Run, &inspect.Guest{ID: f.ID, Kind: guestJob, Job: f.ID, Cause: f.Cause, Tenant: f.Tenant, CodeHash: f.Code.String(), Priority: f.Priority.String(), Stage: at.Stage.String(), Since: at.At, StartedAt: at.At})
		}
	}
	for n := range s.rides {
		r := &s.rides[n]
		g := byRun[r.Job.Run]
		if g == nil {
			g = add(r.Job.Run, s.ofRide(r))
		}
		g.Worker, g.Engine, g.Gas, g.MemoryBytes, g.MemoryPeak = r.Worker, engineOfGuests, r.Gas, r.Memory, r.Memory
		if r.Runs {
			g.CPUMicros = r.CPU.Microseconds()
		}
	}
	for n := range s.waiting {
		if w := &s.waiting[n]; byRun[w.Job.Run] == nil {
			r := pool.Ride{Job: w.Job}
			g := add(w.Job.Run, s.ofRide(&r))
			g.Since, g.StartedAt = w.Since, w.Since
		}
	}
	cpu := make(map[string]int64, len(s.workers))
	for n := range s.workers {
		cpu[s.workers[n].ID] = s.workers[n].CPUMicros
	}
	for n := range s.prepare.Preparations {
		p := &s.prepare.Preparations[n]
		g := add(0, &inspect.Guest{ID: preparationID(p.Job), Kind: "prepare", Tenant: p.Tenant, CodeHash: p.CodeHash, Artifact: p.Artifact, Worker: p.Worker,
			Priority: p.Priority, Stage: run.Queued.String(), Since: p.Since, StartedAt: p.Since, CPUMicros: cpu[p.Worker], CPUCap: p.BudgetCPU})
		if !p.StartedAt.IsZero() {
			g.Stage, g.Since = run.Running.String(), p.StartedAt
		}
	}
	h.apps.showInstances(byRun)
	list := make([]inspect.Guest, len(out))
	for n, g := range out {
		list[n] = *g
	}
	slices.SortFunc(list, func(a, b inspect.Guest) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), strings.Compare(a.ID, b.ID))
	})
	return list
}

// caps fills in what a run may use.
func caps(g *inspect.Guest, l run.Limits) {
	g.MemoryCap, g.GasCap, g.CPUCap, g.WallCap = l.MemoryBytes, l.Gas, l.CPU.Microseconds(), l.Wall.Microseconds()
}

// ofAsk is the guest of a request that the cache has.
func (s *seen) ofAsk(a *cache.Standing) *inspect.Guest {
	at := lastOf(a.Trail, run.Step{Stage: run.Admitted, At: s.at})
	g := &inspect.Guest{ID: s.guestID(a.ID), Kind: guestRun, Tenant: a.Tenant, App: a.App, CodeHash: a.Code.String(), Artifact: a.Key.String(),
		Priority: a.Priority.String(), StartedAt: at.At, Deadline: a.Deadline, Cause: causeText(a.Cause)}
	if len(a.Trail) > 0 {
		g.StartedAt = a.Trail[0].At
	}
	if st := s.standing(a.ID); st != nil && a.Runs {
		at = lastOf(st.Trail, at)
		g.Worker = st.Process
	}
	g.Stage, g.Since = at.Stage.String(), at.At
	if f := s.jobOf[a.ID]; f != nil {
		g.Kind, g.Job, g.Cause = guestJob, f.ID, f.Cause
		if len(f.Trail) > 0 {
			g.StartedAt = f.Trail[0].At
		}
	}
	caps(g, a.Limits)
	return g
}

// ofRide is the guest of a run that passed by the actors.
func (s *seen) ofRide(r *pool.Ride) *inspect.Guest {
	j := &r.Job
	stage := run.Queued
	switch {
	case r.Answers:
		stage = run.ResultRead
	case r.Runs:
		stage = run.Running
	case !r.Asked.IsZero():
		stage = run.Assigned
	}
	g := &inspect.Guest{ID: s.guestID(j.Run), Kind: guestRun, Tenant: j.Binding.Tenant, App: j.Binding.App, Artifact: j.Binding.Key.String(), Worker: r.Worker,
		Priority: j.Priority.String(), Stage: stage.String(), Since: orNow(r.Asked, s.at), StartedAt: orNow(r.Asked, s.at), Deadline: j.Deadline, Cause: causeText(j.Cause)}
	if s.instance[j.Run] != 0 {
		g.Kind = guestInstance
	}
	caps(g, j.Limits.WithDefaults())
	return g
}

// orNow returns a time, or another one if there is none.
func orNow(at, otherwise time.Time) time.Time {
	if at.IsZero() {
		return otherwise
	}
	return at
}

// askedCounts are the questions of an instance, by operation.
type askedCounts [abi.OpGasLeft + 1]atomic.Int64

// instanceRuns returns the live instances of apps, by their runs.
func (a *apps) instanceRuns() map[uint64]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[uint64]uint64, len(a.instances))
	for id, g := range a.instances {
		out[g.run] = id
	}
	return out
}

// showInstances fills in what only the host of an instance knows.
func (a *apps) showInstances(byRun map[uint64]*inspect.Guest) {
	a.mu.Lock()
	instances := maps.Clone(a.instances)
	a.mu.Unlock()
	for id, g := range instances {
		v := byRun[g.run]
		if v == nil {
			continue
		}
		v.ID, v.Kind = guestInstance+"-"+strconv.FormatUint(id, 10), guestInstance
		v.CodeHash, v.Handles = g.code, g.Handles()
		if g.asks == nil {
			continue
		}
		for n := range abi.TroupeFunctions {
			f := &abi.TroupeFunctions[n]
			if count := g.asks[f.Op].Load(); count > 0 {
				if v.Calls == nil {
					v.Calls = map[string]int64{}
				}
				v.Calls[abi.Troupe+"."+f.Name] = count
			}
		}
	}
}
