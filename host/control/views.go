package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// viewSet is all views, and who watches.
type viewSet struct {
	s      *Server
	by     map[string]lister
	host   *feed[inspect.Host] // without actors
	actors *table[inspect.Actor]
	jobs   *table[run.Job]
	apps   *table[inspect.App]
	cache  *table[inspect.Artifact]

	stopped chan struct{}
	once    sync.Once

	mu       sync.Mutex
	watching int
	unwatch  func()
}

func newViews(s *Server) *viewSet {
	v := &viewSet{s: s, stopped: make(chan struct{})}
	v.host = newFeed(freshFor, &s.changes, func(ctx context.Context, _ inspect.Host) (inspect.Host, error) { return s.host.Overview(ctx) })
	v.jobs = newTable(s, "jobs", true, v.fetchJobs)
	v.jobs.feed.fresh = time.Second // there may be many
	v.apps = newTable(s, "apps", false, v.fetchApps)
	v.cache = newTable(s, "artifacts", false, part(v, func(h inspect.Host) []inspect.Artifact { return h.Artifacts }))
	v.actors = newTable[inspect.Actor](s, "actors", false, nil)
	v.actors.feed.ask = func(ctx context.Context, old []inspect.Actor) ([]inspect.Actor, error) {
		return s.host.Actors(ctx, old[:0])
	}
	v.actors.id, v.actors.stamp = func(a *inspect.Actor) string { return a.Path }, stampOf
	v.by = map[string]lister{
		"queues": newTable(s, "queues", false, part(v, func(h inspect.Host) []inspect.Queue { return h.Queues })),
		"health": newTable(s, "health", false, part(v, func(h inspect.Host) []inspect.Health { return h.Health })),
		"actors": v.actors, "artifacts": v.cache, "jobs": v.jobs, "apps": v.apps,
		"guests":   newTable(s, "guests", false, s.host.Guests),
		"workers":  newTable(s, "workers", false, s.host.Workers),
		"dead":     newTable(s, "dead", true, s.host.DeadLetters),
		"failures": newTable(s, "failures", true, v.fetchFailures),
		"outbox":   newTable(s, "outbox", true, v.fetchCalls),
		"demands":  newTable(s, "demands", false, v.fetchDemands),
		"overview": v.overview(), "chain": v.chain(),
	}
	return v
}

// inspect returns the host, without its actors, as the caller may see it.
func (v *viewSet) inspect(ctx context.Context) (inspect.Host, error) {
	if _, yes := confinedTo(ctx); yes {
		return v.s.host.Overview(ctx)
	}
	h, _, err := v.host.get(ctx, v.s.base)
	return h, err
}

// part is a view that is a part of what the host tells of itself.
func part[T any](v *viewSet, of func(inspect.Host) []T) func(context.Context) ([]T, error) {
	return func(ctx context.Context) ([]T, error) {
		h, err := v.inspect(ctx)
		return of(h), err
	}
}

// overview is one row: the host without its lists.
func (v *viewSet) overview() lister {
	l := newTable(v.s, "overview", false, part(v, func(h inspect.Host) []inspect.Host {
		h.Artifacts, h.Workers = nil, nil
		h.Queues = slices.Clone(h.Queues)
		for i := range h.Queues {
			h.Queues[i].Preparations = nil
		}
		return []inspect.Host{h}
	}))
	l.id = func(*inspect.Host) string { return "host" }
	return l
}

// chain is one row, or none.
func (v *viewSet) chain() lister {
	l := newTable(v.s, "chain", false, func(ctx context.Context) ([]inspect.ChainView, error) {
		c, err := v.s.host.Chain(ctx)
		if fault.CodeOf(err) == fault.CallerNotFound {
			return nil, nil
		}
		return []inspect.ChainView{c}, err
	})
	l.id = func(*inspect.ChainView) string { return "chain" }
	return l
}

// maxViewRows bounds what is held of lists that the host gives in pages. Of jobs these are the newest.
const maxViewRows = 20_000

func (v *viewSet) fetchJobs(ctx context.Context) (all []run.Job, err error) {
	for after := ""; ; {
		page, next, err := v.s.host.Jobs(ctx, host.JobFilter{After: after, Limit: api.MaxPage})
		if err != nil {
			return nil, err
		}
		for i := range page { // lists are without output, whatever the host thinks
			page[i].Events = nil
			if r := page[i].Receipt; r != nil && (r.Result != nil || r.Stdout != nil || r.Stderr != nil) {
				page[i].Receipt = new(*r)
				page[i].Receipt.Result, page[i].Receipt.Stdout, page[i].Receipt.Stderr = nil, nil, nil
			}
		}
		if all = append(all, page...); len(all) > maxViewRows {
			all = slices.Clone(all[len(all)-maxViewRows:])
		}
		if next <= after {
			return all, nil
		}
		after = next
	}
}

func (v *viewSet) fetchApps(ctx context.Context) (all []inspect.App, err error) {
	for after := uint64(0); len(all) < maxViewRows; {
		page, next, err := v.s.host.Apps(ctx, host.AppFilter{After: after, Limit: api.MaxAppPage})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next <= after {
			break
		}
		after = next
	}
	return all, nil
}

// maxCalls bounds the calls to the chain that a view holds: those that are on their way, and the newest that are settled.
const maxCalls = 2000

func (v *viewSet) fetchCalls(ctx context.Context) ([]inspect.Outgoing, error) {
	settled, _, err := v.s.host.ChainCalls(ctx, host.CallFilter{History: true, Newest: true, Limit: api.MaxChainPage})
	if fault.CodeOf(err) == fault.CallerNotFound {
		return nil, nil
	}
	all := slices.Clone(settled)
	slices.Reverse(all)
	for after := uint64(0); err == nil && len(all) < maxCalls; {
		var (
			page []inspect.Outgoing
			next uint64
		)
		page, next, err = v.s.host.ChainCalls(ctx, host.CallFilter{After: after, Limit: api.MaxChainPage})
		all = append(all, page...)
		if next <= after {
			break
		}
		after = next
	}
	return all, err
}

func (v *viewSet) fetchDemands(ctx context.Context) (all []inspect.Demand, err error) {
	for after := ""; len(all) < maxCalls; {
		page, next, err := v.s.host.ChainDemands(ctx, after, api.MaxChainPage)
		if fault.CodeOf(err) == fault.CallerNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next <= after {
			break
		}
		after = next
	}
	return all, nil
}

// watch has the host sample rates until the function that it returns is called.
func (v *viewSet) watch() func() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watching++; v.watching == 1 {
		v.unwatch = v.s.host.Watched()
	}
	return sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.watching--; v.watching == 0 && v.unwatch != nil {
			v.unwatch()
			v.unwatch = nil
		}
	})
}

// stop ends all streams.
func (v *viewSet) stop() { v.once.Do(func() { close(v.stopped) }) }
