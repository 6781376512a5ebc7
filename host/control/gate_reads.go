package control

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

func (g gate) Job(ctx context.Context, id string) (run.Job, error) {
	j, err := g.Host.Job(ctx, id)
	return g.seenJob(ctx, id, j, err)
}

func (g gate) WatchJob(ctx context.Context, id string, seen int) (run.Job, error) {
	if err := g.ownJob(ctx, id); err != nil {
		return run.Job{}, err
	}
	j, err := g.Host.WatchJob(ctx, id, seen)
	return g.seenJob(ctx, id, j, err)
}

func (g gate) seenJob(ctx context.Context, id string, j run.Job, err error) (run.Job, error) {
	if tenant, yes := confinedTo(ctx); yes && j.ID != "" && j.Tenant != tenant {
		return run.Job{}, hidden("job", id)
	}
	return withhold(ctx, j), err
}

func (g gate) Jobs(ctx context.Context, f host.JobFilter) ([]run.Job, string, error) {
	tenant, yes := confinedTo(ctx)
	if yes {
		if f.Tenant != "" && f.Tenant != tenant {
			return nil, "", nil
		}
		f.Tenant = tenant
	}
	jobs, next, err := g.Host.Jobs(ctx, f)
	for i := range jobs {
		jobs[i] = withhold(ctx, jobs[i])
	}
	if yes {
		jobs = slices.DeleteFunc(jobs, func(j run.Job) bool { return j.Tenant != tenant })
	}
	return jobs, next, err
}

func (g gate) Timeline(ctx context.Context, id string) (inspect.Timeline, error) {
	if err := g.ownJob(ctx, id); err != nil {
		return inspect.Timeline{}, err
	}
	return g.Host.Timeline(ctx, id)
}

func (g gate) Warmed(ctx context.Context) ([]inspect.Warm, error) {
	all, err := g.Host.Warmed(ctx)
	if tenant, yes := confinedTo(ctx); yes {
		all = slices.DeleteFunc(slices.Clone(all), func(w inspect.Warm) bool { return w.Tenant != tenant })
	}
	return all, err
}

func (g gate) Apps(ctx context.Context, f host.AppFilter) ([]inspect.App, uint64, error) {
	tenant, yes := confinedTo(ctx)
	if yes {
		if f.Tenant != "" && f.Tenant != tenant {
			return nil, 0, nil
		}
		f.Tenant = tenant
	}
	apps, next, err := g.Host.Apps(ctx, f)
	if yes {
		apps = slices.DeleteFunc(apps, func(a inspect.App) bool { return a.Tenant != tenant })
	}
	return apps, next, err
}

func (g gate) App(ctx context.Context, address string) (inspect.App, error) {
	a, err := g.Host.App(ctx, address)
	if tenant, yes := confinedTo(ctx); yes && err == nil && a.Tenant != tenant {
		return inspect.App{}, hidden("app", address)
	}
	return a, err
}

func (g gate) AppLog(ctx context.Context, address string, after uint64, most int, wait time.Duration) ([]host.LogLine, uint64, error) {
	if err := g.ownApp(ctx, address); err != nil {
		return nil, 0, err
	}
	return g.Host.AppLog(ctx, address, after, most, wait)
}

func (g gate) AppMetrics(ctx context.Context, addresses ...string) ([]inspect.AppMetrics, error) {
	if _, yes := confinedTo(ctx); !yes {
		return g.Host.AppMetrics(ctx, addresses...)
	}
	o, err := g.own(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if !o.apps[a] {
			return nil, hidden("app", a)
		}
	}
	all, err := g.Host.AppMetrics(ctx, addresses...)
	return slices.DeleteFunc(all, func(m inspect.AppMetrics) bool { return !o.apps[m.Address] }), err
}

func (g gate) AppHistory(ctx context.Context, address string) ([]host.AppSample, time.Duration, error) {
	if err := g.ownApp(ctx, address); err != nil {
		return nil, 0, err
	}
	return g.Host.AppHistory(ctx, address)
}

// ownBlob hides blobs that no app of the caller needs, unless the caller has stored them and no app needs them.
func (g gate) ownBlob(ctx context.Context, hash string) error {
	if _, yes := confinedTo(ctx); !yes {
		return nil
	}
	o, err := g.own(ctx)
	if err != nil {
		return err
	}
	blobs, _, _, err := g.Host.Blobs(ctx)
	if err != nil {
		return err
	}
	mine := func(a string) bool { return o.apps[a] }
	for _, b := range blobs {
		if b.Hash == hash || b.SHA512 == hash {
			if slices.ContainsFunc(b.Apps, mine) || g.shown.by(ctx, b.Hash) {
				return nil
			}
			return hidden("blob", hash)
		}
	}
	return hidden("blob", hash)
}

func (g gate) GetBlob(ctx context.Context, hash string) (io.ReadCloser, int64, error) {
	if err := g.ownBlob(ctx, hash); err != nil {
		return nil, 0, err
	}
	return g.Host.GetBlob(ctx, hash)
}

func (g gate) Blobs(ctx context.Context) ([]inspect.Blob, int64, int64, error) {
	blobs, used, quota, err := g.Host.Blobs(ctx)
	if _, yes := confinedTo(ctx); !yes || err != nil {
		return blobs, used, quota, err
	}
	o, err := g.own(ctx)
	mine := []inspect.Blob{}
	for _, b := range blobs {
		b.Apps = slices.DeleteFunc(slices.Clone(b.Apps), func(a string) bool { return err != nil || !o.apps[a] })
		if len(b.Apps) > 0 {
			mine = append(mine, b)
		}
	}
	return mine, used, quota, err
}

func (g gate) Artifact(ctx context.Context, key string) (inspect.Artifact, artifacts.Module, error) {
	if err := g.ownArtifact(ctx, key); err != nil {
		return inspect.Artifact{}, artifacts.Module{}, err
	}
	a, m, err := g.Host.Artifact(ctx, key)
	if tenant, yes := confinedTo(ctx); yes {
		a = shareless(a, tenant)
	}
	return a, m, err
}

// shareless is an artifact without what it tells of other tenants.
func shareless(a inspect.Artifact, tenant string) inspect.Artifact {
	a.Pins = slices.DeleteFunc(slices.Clone(a.Pins), func(p string) bool { return p != tenant })
	a.Escalations = nil
	return a
}

// Inspect shows a confined caller the host itself, and what is its own.
func (g gate) Inspect(ctx context.Context) (inspect.Host, error) {
	h, err := g.Host.Inspect(ctx)
	return g.reveal(ctx, h, err)
}

// Overview is Inspect without the actors.
func (g gate) Overview(ctx context.Context) (inspect.Host, error) {
	h, err := g.Host.Overview(ctx)
	return g.reveal(ctx, h, err)
}

// Actors shows a confined caller those that serve apps of nobody else.
func (g gate) Actors(ctx context.Context, dst []inspect.Actor) ([]inspect.Actor, error) {
	all, err := g.Host.Actors(ctx, dst)
	if _, yes := confinedTo(ctx); !yes || err != nil {
		return all, err
	}
	o, err := g.own(ctx)
	if err != nil {
		return nil, err
	}
	return ownActors(all, o), nil
}

func (g gate) reveal(ctx context.Context, h inspect.Host, err error) (inspect.Host, error) {
	if why := g.audited(); why != nil {
		h.Health = append(slices.Clone(h.Health), inspect.Health{Code: "audit.unwritten", Level: "error", Message: "who changes what is not written to disk: " + why.Error(),
			Hint: "look at the disk and at the rights of the data directory; what is lost shows as a gap in the sequence"})
	}
	tenant, yes := confinedTo(ctx)
	if !yes || err != nil {
		return h, err
	}
	o, err := g.own(ctx)
	if err != nil {
		return inspect.Host{}, err
	}
	h.Actors = ownActors(h.Actors, o)
	h.Workers = ownWorkers(h.Workers, tenant)
	h.Queues = ownQueues(h.Queues, tenant)
	list := []inspect.Artifact{}
	for _, a := range h.Artifacts {
		if o.codes[bareHash(a.CodeHash)] || slices.Contains(a.Pins, tenant) {
			list = append(list, shareless(a, tenant))
		}
	}
	h.Artifacts, h.Jobs = list, nil
	return h, nil
}

// foreign reports whether an actor serves an app of somebody else. The address of the app may be in its path only.
func foreign(a inspect.Actor, o *ownSet) bool {
	if a.App != "" {
		return !o.apps[a.App]
	}
	for part := range strings.SplitSeq(a.Path, "/") {
		if i := strings.LastIndexAny(part, "-:."); i >= 0 && len(part)-i > 64 {
			part = part[i+1:]
		}
		if len(part) >= 64 && strings.Trim(part[:64], "0123456789abcdef") == "" && !o.apps[part[:64]] {
			return true
		}
	}
	return false
}

// servesOwn reports whether an actor serves an app of the caller.
func servesOwn(a inspect.Actor, o *ownSet) bool {
	if a.App != "" {
		return o.apps[a.App]
	}
	for part := range strings.SplitSeq(a.Path, "/") {
		if i := strings.LastIndexAny(part, "-:."); i >= 0 && len(part)-i > 64 {
			part = part[i+1:]
		}
		if len(part) >= 64 && o.apps[part[:64]] {
			return true
		}
	}
	return false
}

func ownActors(all []inspect.Actor, o *ownSet) []inspect.Actor {
	return slices.DeleteFunc(slices.Clone(all), func(a inspect.Actor) bool { return foreign(a, o) })
}

// ownWorkers shows that there are workers of others, and nothing of what they do.
func ownWorkers(all []inspect.Worker, tenant string) []inspect.Worker {
	all = slices.Clone(all)
	for i := range all {
		if w := &all[i]; w.Tenant != "" && w.Tenant != tenant {
			w.Tenant, w.Artifact, w.App, w.Job = "", "", "", ""
		}
	}
	return all
}

func ownQueues(all []inspect.Queue, tenant string) []inspect.Queue {
	all = slices.Clone(all)
	for i := range all {
		all[i].Preparations = slices.DeleteFunc(slices.Clone(all[i].Preparations), func(p inspect.Preparation) bool { return p.Tenant != tenant })
		for k := range all[i].Preparations {
			all[i].Preparations[k].Escalations = nil
		}
	}
	return all
}

func (g gate) Workers(ctx context.Context) ([]inspect.Worker, error) {
	all, err := g.Host.Workers(ctx)
	if tenant, yes := confinedTo(ctx); yes {
		all = ownWorkers(all, tenant)
	}
	return all, err
}

func (g gate) Guests(ctx context.Context) ([]inspect.Guest, error) {
	all, err := g.Host.Guests(ctx)
	if tenant, yes := confinedTo(ctx); yes {
		all = slices.DeleteFunc(slices.Clone(all), func(x inspect.Guest) bool { return x.Tenant != tenant })
	}
	return all, err
}

func (g gate) Actor(ctx context.Context, path string) (inspect.ActorDetail, error) {
	a, err := g.Host.Actor(ctx, path)
	if _, yes := confinedTo(ctx); yes && err == nil {
		o, err := g.own(ctx)
		if err == nil && foreign(a.Actor, o) {
			err = hidden("actor", path)
		}
		if err != nil {
			return inspect.ActorDetail{}, err
		}
	}
	return a, err
}

func (g gate) Mailbox(ctx context.Context, path string) ([]inspect.Letter, error) {
	if _, yes := confinedTo(ctx); yes {
		if _, err := g.Actor(ctx, path); err != nil {
			return nil, err
		}
	}
	return g.Host.Mailbox(ctx, path)
}

func (g gate) DeadLetters(ctx context.Context) ([]inspect.Letter, error) {
	all, err := g.Host.DeadLetters(ctx)
	if _, yes := confinedTo(ctx); !yes || err != nil {
		return all, err
	}
	o, err := g.own(ctx)
	return slices.DeleteFunc(slices.Clone(all), func(l inspect.Letter) bool { return err != nil || foreign(inspect.Actor{Path: l.Actor}, o) }), err
}

func (g gate) Cause(ctx context.Context, id string) ([]inspect.Trace, error) {
	all, err := g.Host.Cause(ctx, id)
	if _, yes := confinedTo(ctx); !yes || err != nil {
		return all, err
	}
	o, err := g.own(ctx)
	return slices.DeleteFunc(all, func(t inspect.Trace) bool { return err != nil || strange(t, o) }), err
}

func strange(t inspect.Trace, o *ownSet) bool {
	return foreign(inspect.Actor{Path: t.Actor}, o) || foreign(inspect.Actor{Path: t.From}, o)
}

func (g gate) Trace(ctx context.Context, f inspect.TraceFilter, each func(inspect.Trace) error) error {
	if _, yes := confinedTo(ctx); !yes {
		return g.Host.Trace(ctx, f, each)
	}
	o, err := g.own(ctx)
	if err != nil {
		return err
	}
	return g.Host.Trace(ctx, f, func(t inspect.Trace) error {
		if strange(t, o) {
			return nil
		}
		return each(t)
	})
}

// Explain tells a confined caller of its own things, and of the parts of the host. The reasons may lead to things of others:
// what those are is left out.
func (g gate) Explain(ctx context.Context, id string) (inspect.Explanation, error) {
	e, err := g.Host.Explain(ctx, id)
	tenant, yes := confinedTo(ctx)
	if !yes || err != nil {
		return e, err
	}
	may := func(kind, id string) bool {
		switch kind {
		case "job":
			return g.ownJob(ctx, id) == nil
		case "app":
			return g.ownApp(ctx, id) == nil
		case "artifact":
			return g.ownArtifact(ctx, id) == nil
		case "actor":
			_, err := g.Actor(ctx, id)
			return err == nil
		case "worker":
			all, err := g.Host.Workers(ctx)
			return err == nil && !slices.ContainsFunc(all, func(w inspect.Worker) bool { return w.ID == id && w.Tenant != "" && w.Tenant != tenant })
		case "blob":
			return g.ownBlob(ctx, id) == nil
		case "queue":
			return true
		}
		return false
	}
	if !may(e.Kind, e.ID) {
		return inspect.Explanation{}, hidden("thing", id)
	}
	e.Because = slices.Clone(e.Because)
	for i, b := range e.Because {
		if b.ID != "" && !may(b.Kind, b.ID) {
			e.Because[i] = inspect.Because{Kind: b.Kind, Words: "something that belongs to somebody else", Since: b.Since}
			e.Summary = "it waits for something that belongs to somebody else"
		}
	}
	return e, nil
}

// LogLines leaves lines out that name what a confined caller must not see.
func (g gate) LogLines(ctx context.Context, after uint64, most int, wait time.Duration) ([]inspect.LogLine, uint64, error) {
	all, dropped, err := g.Host.LogLines(ctx, after, most, wait)
	tenant, yes := confinedTo(ctx)
	if !yes {
		return all, dropped, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(l inspect.LogLine) bool { return !ownLine(l, tenant) }), dropped, err
}

// plainFields are fields of the log that can name nobody. A line with another field, and no tenant, is shown to no confined caller.
var plainFields = map[string]bool{"component": true, "version": true, "sandbox": true, "queue": true, "time": true, "level": true}

// ownLine shows lines that name this tenant, and those of warnings about the host, which name nobody.
func ownLine(l inspect.LogLine, tenant string) bool {
	if who, ok := l.Fields["tenant"]; ok {
		return who == tenant
	}
	for name := range l.Fields {
		if !plainFields[name] {
			return false
		}
	}
	return true
}

func (g gate) ChainDemands(ctx context.Context, after string, limit int) ([]inspect.Demand, string, error) {
	all, next, err := g.Host.ChainDemands(ctx, after, limit)
	if _, yes := confinedTo(ctx); !yes || err != nil {
		return all, next, err
	}
	o, err := g.own(ctx)
	return slices.DeleteFunc(all, func(d inspect.Demand) bool { return err != nil || !o.apps[d.App] }), next, err
}

func (g gate) ChainPay(ctx context.Context, after string, limit int) ([]inspect.Pay, string, error) {
	all, next, err := g.Host.ChainPay(ctx, after, limit)
	if _, yes := confinedTo(ctx); !yes || err != nil {
		return all, next, err
	}
	o, err := g.own(ctx)
	return slices.DeleteFunc(all, func(p inspect.Pay) bool { return err != nil || !o.apps[p.Address] }), next, err
}

// ChainCalls names what the worker sends for all tenants, so a confined caller sees no more than that there are calls.
func (g gate) ChainCalls(ctx context.Context, f host.CallFilter) ([]inspect.Outgoing, uint64, error) {
	all, next, err := g.Host.ChainCalls(ctx, f)
	if _, yes := confinedTo(ctx); yes {
		all = slices.Clone(all)
		for i := range all {
			all[i].Key, all[i].Events, all[i].Error = "", nil, ""
		}
	}
	return all, next, err
}

func (g gate) Backup(ctx context.Context, w io.Writer) (host.BackupReport, error) {
	if err := adminOnly(ctx); err != nil {
		return host.BackupReport{}, err
	}
	return g.Host.Backup(ctx, w)
}

func (g gate) Recording(ctx context.Context, w io.Writer) error {
	if err := adminOnly(ctx); err != nil {
		return err
	}
	return g.Host.Recording(ctx, w)
}

func adminOnly(ctx context.Context) error {
	if v := visitOf(ctx); v != nil && !api.Holds(v.caller.rights, api.Admin) {
		return lacks(v.caller, api.Admin)
	}
	return nil
}
