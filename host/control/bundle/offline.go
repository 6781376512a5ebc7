package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// Offline is a host that stands still: what a bundle holds, as a control server asks for it. Nothing can be changed.
type Offline struct {
	b      *api.Bundle
	actors map[string]int // index in b.Actors by path
}

// Host returns the host of a bundle, which must not be changed any more.
func Host(b *api.Bundle) *Offline {
	o := &Offline{b: b, actors: map[string]int{}}
	for i, a := range b.Actors {
		o.actors[a.Path] = i
	}
	return o
}

// Bundle returns what the host shows.
func (o *Offline) Bundle() *api.Bundle { return o.b }

// Audit returns the audit log, the oldest first.
func (o *Offline) Audit() []api.Audit { return o.b.Audit }

// Config returns what the host ran with.
func (o *Offline) Config() []api.Setting { return o.b.Config }

func notFound(what, id string) error {
	return fault.New(fault.CallerNotFound, what, fault.Quote(id), nil).WithHint("it is not in this bundle")
}

// Boot names the start of the host that the bundle is of.
func (o *Offline) Boot() string { return o.b.Host.Boot }

// Overview is Inspect without the actors.
func (o *Offline) Overview(ctx context.Context) (inspect.Host, error) {
	h, err := o.Inspect(ctx)
	h.Actors = nil
	return h, err
}

// Actors appends all actors to dst.
func (o *Offline) Actors(ctx context.Context, dst []inspect.Actor) ([]inspect.Actor, error) {
	h, err := o.Inspect(ctx)
	return append(dst, h.Actors...), err
}

// Inspect returns everything at once. The host of a bundle is not ready: it takes no work.
func (o *Offline) Inspect(context.Context) (inspect.Host, error) {
	h := o.b.Host
	h.Ready = false
	if h.At.IsZero() {
		h.At = o.b.At
	}
	if len(o.b.Missing) > 0 {
		var parts []string
		for _, part := range slices.Sorted(maps.Keys(o.b.Missing)) {
			parts = append(parts, part+" ("+o.b.Missing[part]+")")
		}
		h.Health = append(slices.Clone(h.Health), inspect.Health{Code: "bundle.partial", Level: "warning", Since: o.b.At,
			Message: fault.Quote("not all is in this bundle: " + strings.Join(parts, ", ")), Hint: "what is missing may be what was wedged"})
	}
	if len(h.Actors) == 0 {
		for _, a := range o.b.Actors {
			if !a.Dead {
				h.Actors = append(h.Actors, a.Actor)
			}
		}
	}
	if len(h.Jobs) == 0 {
		h.Jobs = map[string]int{}
		for _, j := range o.b.Jobs {
			h.Jobs[string(j.State)]++
		}
	}
	return h, nil
}

// Actor returns one actor, dead ones too.
func (o *Offline) Actor(_ context.Context, path string) (inspect.ActorDetail, error) {
	i, ok := o.actors[path]
	if !ok {
		return inspect.ActorDetail{}, notFound("actor", path)
	}
	return o.b.Actors[i], nil
}

// Mailbox returns what waited for an actor.
func (o *Offline) Mailbox(ctx context.Context, path string) ([]inspect.Letter, error) {
	if _, err := o.Actor(ctx, path); err != nil {
		return nil, err
	}
	return o.b.Mailboxes[path], nil
}

// Cause returns what the flight recorders hold of one cause, the oldest first.
func (o *Offline) Cause(_ context.Context, id string) ([]inspect.Trace, error) {
	return o.traces(func(_ inspect.ActorDetail, f inspect.Flight) bool { return f.Cause == id }), nil
}

// traces makes traces of the flights that are wanted. When a message was sent is not recorded, only how long it waited.
func (o *Offline) traces(want func(inspect.ActorDetail, inspect.Flight) bool) (list []inspect.Trace) {
	for _, a := range o.b.Actors {
		for _, f := range a.Flights {
			if f.Type == "" || !want(a, f) {
				continue
			}
			t := inspect.Trace{Actor: a.Path, Type: f.Type, Lane: f.Lane, Cause: f.Cause, Fault: f.Fault, Sent: f.At}
			if f.What != "refused" && f.What != "undelivered" {
				t.Finished = f.At
				t.Started = f.At.Add(-time.Duration(f.TookMicros) * time.Microsecond)
				t.Accepted = t.Started.Add(-time.Duration(f.WaitMicros) * time.Microsecond)
				t.Sent = t.Accepted
			}
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(x, y inspect.Trace) int { return x.Sent.Compare(y.Sent) })
	for i := range list {
		list[i].Seq = uint64(i + 1)
	}
	return list
}

// defaultRows is how many messages a trace shows if it is not said.
const defaultRows = 1000

// Trace replays what the flight recorders hold, and ends.
func (o *Offline) Trace(ctx context.Context, f inspect.TraceFilter, show func(inspect.Trace) error) error {
	list := o.traces(func(a inspect.ActorDetail, v inspect.Flight) bool {
		return (f.Actor == "" || a.Path == f.Actor || strings.HasPrefix(a.Path, f.Actor+"/")) && (f.Kind == "" || a.Kind == f.Kind) &&
			strings.Contains(v.Type, f.Type) && (f.Cause == "" || v.Cause == f.Cause) && v.TookMicros >= f.MinMicros &&
			(!f.Refused || v.What == "refused")
	})
	for _, t := range list[max(0, len(list)-cmp.Or(f.Rows, defaultRows)):] {
		if ctx.Err() != nil {
			return fault.From(context.Cause(ctx))
		}
		if err := show(t); err != nil {
			return err
		}
	}
	return nil
}

// Guests returns what ran.
func (o *Offline) Guests(context.Context) ([]inspect.Guest, error) { return o.b.Guests, nil }

// Workers returns the worker processes that there were.
func (o *Offline) Workers(context.Context) ([]inspect.Worker, error) { return o.b.Host.Workers, nil }

// DeadLetters returns what was refused or never delivered.
func (o *Offline) DeadLetters(context.Context) ([]inspect.Letter, error) { return o.b.Dead, nil }

// Timeline returns where the time of a job went.
func (o *Offline) Timeline(_ context.Context, id string) (inspect.Timeline, error) {
	t, ok := o.b.Timelines[id]
	if !ok {
		return t, notFound("job", id)
	}
	return t, nil
}

// Explain returns what the host said of a thing that waited or had failed.
func (o *Offline) Explain(_ context.Context, id string) (inspect.Explanation, error) {
	e, ok := o.b.Explanations[id]
	if !ok {
		return e, notFound("explanation", id)
	}
	return e, nil
}

// LogLines returns lines after a sequence. There will be no newer ones: who waits for them waits in vain, and as long as it
// wanted to.
func (o *Offline) LogLines(ctx context.Context, after uint64, most int, wait time.Duration) ([]inspect.LogLine, uint64, error) {
	var list []inspect.LogLine
	for _, l := range o.b.Log {
		if l.Seq > after && (most <= 0 || len(list) < most) {
			list = append(list, l)
		}
	}
	if len(list) == 0 && wait > 0 {
		idle(ctx, wait)
	}
	return list, 0, nil
}

func idle(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// AppHistory returns the last known use of an app: a bundle holds one moment.
func (o *Offline) AppHistory(ctx context.Context, address string) ([]host.AppSample, time.Duration, error) {
	a, err := o.App(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	return []host.AppSample{{At: o.b.At, Metrics: a.Metrics, Running: a.Running, Queued: a.Queued}}, time.Minute, nil
}

// Watched has nothing to start.
func (*Offline) Watched() func() { return func() {} }

// Recording writes nothing: see ReadRecording.
func (*Offline) Recording(context.Context, io.Writer) error { return nil }

// Artifact returns one artifact, without what its code asks for.
func (o *Offline) Artifact(_ context.Context, key string) (inspect.Artifact, artifacts.Module, error) {
	for _, a := range o.b.Host.Artifacts {
		if a.Key == key {
			return a, artifacts.Module{}, nil
		}
	}
	return inspect.Artifact{}, artifacts.Module{}, notFound("artifact", key)
}

// Job returns one job.
func (o *Offline) Job(_ context.Context, id string) (run.Job, error) {
	for _, j := range o.b.Jobs {
		if j.ID == id {
			return j, nil
		}
	}
	return run.Job{}, notFound("job", id)
}

const mostJobs = 1000 // of a page

// Jobs returns a page of jobs in the order of their ids.
func (o *Offline) Jobs(_ context.Context, f host.JobFilter) (list []run.Job, next string, err error) {
	all := slices.SortedFunc(slices.Values(o.b.Jobs), func(x, y run.Job) int { return strings.Compare(x.ID, y.ID) })
	most := cmp.Or(f.Limit, mostJobs)
	for _, j := range all {
		if j.ID <= f.After || f.Tenant != "" && j.Tenant != f.Tenant || f.State != "" && j.State != f.State {
			continue
		}
		if len(list) == most {
			return list, list[most-1].ID, nil
		}
		j.Events = nil
		list = append(list, j)
	}
	return list, "", nil
}

// WatchJob waits in vain.
func (o *Offline) WatchJob(ctx context.Context, id string, seen int) (run.Job, error) {
	j, err := o.Job(ctx, id)
	if err == nil && j.State != run.JobSettled && len(j.Events) <= seen {
		<-ctx.Done()
	}
	return j, err
}

// Warmed returns nothing: warm-up lists are not in a bundle.
func (*Offline) Warmed(context.Context) ([]inspect.Warm, error) { return nil, nil }

// WriteMetrics writes nothing.
func (*Offline) WriteMetrics(context.Context, io.Writer) error { return nil }

// Apps returns a page of apps in the order of their deployment.
func (o *Offline) Apps(_ context.Context, f host.AppFilter) (list []inspect.App, next uint64, err error) {
	all := slices.SortedStableFunc(slices.Values(o.b.Apps), func(x, y inspect.App) int { return cmp.Compare(x.Sequence, y.Sequence) })
	most := cmp.Or(f.Limit, mostJobs)
	for _, a := range all {
		if f.After > 0 && a.Sequence <= f.After || f.Tenant != "" && a.Tenant != f.Tenant {
			continue
		}
		if len(list) == most {
			return list, list[most-1].Sequence, nil
		}
		list = append(list, a)
	}
	return list, 0, nil
}

// App returns one app.
func (o *Offline) App(_ context.Context, address string) (inspect.App, error) {
	for _, a := range o.b.Apps {
		if a.Address == address {
			return a, nil
		}
	}
	return inspect.App{}, notFound("app", address)
}

// AppLog returns nothing: what guests wrote is not in a bundle.
func (o *Offline) AppLog(ctx context.Context, address string, _ uint64, _ int, wait time.Duration) ([]host.LogLine, uint64, error) {
	if _, err := o.App(ctx, address); err != nil {
		return nil, 0, err
	}
	idle(ctx, wait)
	return nil, 0, nil
}

// Blobs returns the names of blobs, and what they take.
func (o *Offline) Blobs(context.Context) (list []inspect.Blob, used, quota int64, err error) {
	for _, b := range o.b.Blobs {
		used += b.Bytes
	}
	return o.b.Blobs, used, used, nil
}

// Session returns the worker session.
func (o *Offline) Session(context.Context) (inspect.Session, error) {
	if o.b.Session == nil {
		return inspect.Session{}, notFound("session", "")
	}
	return *o.b.Session, nil
}

// AppMetrics returns the use of apps; of all without addresses.
func (o *Offline) AppMetrics(ctx context.Context, addresses ...string) (list []inspect.AppMetrics, err error) {
	for _, a := range o.b.Apps {
		if len(addresses) == 0 || slices.Contains(addresses, a.Address) {
			list = append(list, a.Metrics)
		}
	}
	return list, nil
}

func (o *Offline) chained() error {
	if o.b.Chain == nil {
		return notFound("chain", "")
	}
	return nil
}

// Chain returns what the host had to do with its chain.
func (o *Offline) Chain(context.Context) (inspect.ChainView, error) {
	if err := o.chained(); err != nil {
		return inspect.ChainView{}, err
	}
	return *o.b.Chain, nil
}

var settledCalls = []string{"done", "failed", "dropped"}

// ChainCalls returns a page of calls.
func (o *Offline) ChainCalls(_ context.Context, f host.CallFilter) (list []inspect.Outgoing, next uint64, err error) {
	all := slices.SortedFunc(slices.Values(o.b.Calls), func(x, y inspect.Outgoing) int { return cmp.Compare(x.Number, y.Number) })
	if f.Newest {
		slices.Reverse(all)
	}
	most := api.MaxChainPage
	if f.Limit > 0 {
		most = min(most, f.Limit)
	}
	for _, c := range all {
		before := f.After > 0 && (!f.Newest && c.Number <= f.After || f.Newest && c.Number >= f.After)
		if before || f.History != slices.Contains(settledCalls, c.State) {
			continue
		}
		if len(list) == most {
			return list, list[most-1].Number, nil
		}
		list = append(list, c)
	}
	return list, 0, o.chained()
}

// ChainDemands returns a page of what the chain wanted.
func (o *Offline) ChainDemands(_ context.Context, after string, limit int) ([]inspect.Demand, string, error) {
	list, next := pageOf(o.b.Demands, func(d inspect.Demand) string { return d.ID }, after, limit)
	return list, next, o.chained()
}

// ChainPay returns a page of what apps had earned.
func (o *Offline) ChainPay(_ context.Context, after string, limit int) ([]inspect.Pay, string, error) {
	list, next := pageOf(o.b.Pay, func(p inspect.Pay) string { return p.Address }, after, limit)
	return list, next, o.chained()
}

func pageOf[T any](rows []T, id func(T) string, after string, limit int) (list []T, next string) {
	all := slices.SortedFunc(slices.Values(rows), func(x, y T) int { return strings.Compare(id(x), id(y)) })
	most := api.MaxChainPage
	if limit > 0 {
		most = min(most, limit)
	}
	for _, v := range all {
		if id(v) <= after {
			continue
		}
		if len(list) == most {
			return list, id(list[most-1])
		}
		list = append(list, v)
	}
	return list, ""
}

// String names the bundle for people.
func (o *Offline) String() string {
	name, _ := json.Marshal(fault.Quote(o.b.Host.Name))
	return "bundle of " + string(name) + ", " + strconv.Itoa(len(o.b.Actors)) + " actors, " + o.b.At.UTC().Format(time.RFC3339)
}
