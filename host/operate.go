package host

import (
	"context"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Inspect returns a snapshot of everything. It costs nothing while nobody asks. From a host that is stopping it returns
// what is left to be seen. An actor that does not answer within a second is left out, and a warning names it.
//
// # Errors
//
// caller.host_closed.
func (h *Host) Inspect(ctx context.Context) (inspect.Host, error) {
	actors, err := h.Actors(ctx, nil)
	if err != nil {
		return inspect.Host{}, err
	}
	out, err := h.Overview(ctx)
	out.Actors = actors
	return out, err
}

// Overview is Inspect without the actors, which may be many.
//
// # Errors
//
// caller.host_closed.
func (h *Host) Overview(ctx context.Context) (inspect.Host, error) {
	if _, err := h.actors(); err != nil {
		return inspect.Host{}, err
	}
	out, err := h.overview(ctx)
	if out.Draining && ctx.Err() == nil {
		err = nil // parts that have stopped already are not a failure
	}
	return out, err
}

func (h *Host) overview(ctx context.Context) (inspect.Host, error) {
	out := inspect.Host{Version: Version, BuildID: h.pool.Facts().BuildID, Name: h.cfg.Name, StartedAt: h.started, DataDir: h.cfg.DataDir,
		Sandbox: h.pool.Facts().Sandbox, Health: h.health.list(), Store: h.storeState(), Boot: h.boot, At: time.Now()}
	out.CPUMicros, out.RSSBytes = ownUse()
	out.Draining, out.Requests = h.gate.look()
	out.Ready = !out.Draining
	counts := asked(h, onlooker(h.jobs), func(r kernel.Reply[map[run.JobState]int]) jobs.Message { return jobs.Count{Reply: r} })
	list := asked(h, onlooker(h.cache), func(r kernel.Reply[[]inspect.Artifact]) cache.Message { return cache.List{Reply: r} })
	flights := asked(h, onlooker(h.jobs), func(r kernel.Reply[[]jobs.Flight]) jobs.Message { return jobs.Underway{Reply: r} })
	q := h.askQueues()
	within, cancel := context.WithTimeout(ctx, silentAfter)
	defer cancel()
	p, s := &parts{ctx: within}, &seen{at: out.At}
	s.prepare, s.execute, s.jobs = q.take(p)
	s.flights = take(p, queueJobs, flights)
	out.Jobs = map[string]int{}
	for state, n := range take(p, queueJobs, counts) {
		out.Jobs[string(state)] = n
	}
	out.Artifacts = take(p, "cache", list)
	if ctx.Err() != nil {
		return out, fault.From(context.Cause(ctx))
	}
	s.look(h)
	out.Workers = s.workers
	out.Queues = []inspect.Queue{s.prepare, s.execute.Queue, s.jobs}
	if !out.Draining {
		out.Health = append(out.Health, p.health(out.At)...)
	}
	return out, p.err
}

func (h *Host) storeState() inspect.Store {
	st := h.store.Stats()
	space := h.dir.Space.Status()
	st.DiskBytes, st.LimitBytes = h.dir.Cache.DiskBytes(), h.cfg.CacheBytes
	st.FreeBytes, st.ReserveBytes, st.BallastBytes, st.ReadOnlySince = space.FreeBytes, space.ReserveBytes, space.BallastBytes, space.ShortSince
	return st
}

// Artifact returns one entry of the artifact cache with what preparation learned of the code.
//
// # Errors
//
// caller.invalid_request, caller.not_found.
func (h *Host) Artifact(ctx context.Context, key string) (inspect.Artifact, artifacts.Module, error) {
	k, err := artifacts.ParseKey(key)
	if err != nil {
		return inspect.Artifact{}, artifacts.Module{}, err
	}
	d, err := kernel.Ask(kernel.Looking(ctx), h.cache, func(r kernel.Reply[cache.Detail]) cache.Message { return cache.Show{Key: k, Reply: r} })
	return d.Artifact, d.Meta.Module, err
}

// Verify reads an artifact back from disk and checks all of it; a bad one is dropped.
//
// # Errors
//
// caller.not_found, host.artifact_corrupt, host.artifact_missing.
func (h *Host) Verify(ctx context.Context, key string) error {
	return h.operate(ctx, key, func(k artifacts.Key, r kernel.Reply[struct{}]) cache.Message { return cache.Verify{Key: k, Reply: r} })
}

// Pin keeps an artifact from being pruned, for a tenant. The pin survives a restart.
//
// # Errors
//
// caller.not_found, caller.quota, busy.disk_space.
func (h *Host) Pin(ctx context.Context, tenant, key string) error {
	return h.pin(ctx, tenant, key, false)
}

// Unpin takes a pin back.
//
// # Errors
//
// caller.not_found.
func (h *Host) Unpin(ctx context.Context, tenant, key string) error {
	return h.pin(ctx, tenant, key, true)
}

func (h *Host) pin(ctx context.Context, tenant, key string, off bool) error {
	tenant = or(tenant, h.cfg.Tenant)
	if strings.HasPrefix(tenant, warmTenant) {
		return fault.New(fault.CallerInvalid, "pin", fault.Quote(tenant), nil).WithHint("these pins belong to the warm-up list: take the code off the list")
	}
	return h.operate(ctx, key, func(k artifacts.Key, r kernel.Reply[struct{}]) cache.Message {
		return cache.Pin{Key: k, Tenant: tenant, Off: off, Reply: r}
	})
}

// Evict removes an artifact.
//
// # Errors
//
// caller.not_found, caller.conflict while it is in use or pinned.
func (h *Host) Evict(ctx context.Context, key string) error {
	return h.operate(ctx, key, func(k artifacts.Key, r kernel.Reply[struct{}]) cache.Message { return cache.Evict{Key: k, Reply: r} })
}

func (h *Host) operate(ctx context.Context, key string, build func(artifacts.Key, kernel.Reply[struct{}]) cache.Message) error {
	k, err := artifacts.ParseKey(key)
	if err != nil {
		return err
	}
	_, err = kernel.Ask(ctx, h.cache, func(r kernel.Reply[struct{}]) cache.Message { return build(k, r) })
	return err
}

// Prune looks at age and size now.
func (h *Host) Prune(ctx context.Context) (PruneReport, error) {
	p, err := kernel.Ask(ctx, h.cache, func(r kernel.Reply[cache.Pruned]) cache.Message { return cache.Prune{Reply: r} })
	return PruneReport(p), err
}
