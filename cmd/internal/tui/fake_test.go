package tui

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/host/control/client"
)

// fake is a host that a bundle describes. It does what a plan says to operations, not to its rows.
type fake struct {
	*bundle.Offline
	b      *api.Bundle
	rights []api.Right

	mu      sync.Mutex
	plans   map[string]api.Plan
	applied []api.Plan
	watched []string
}

func newFake(b *api.Bundle, rights ...api.Right) *fake {
	if len(rights) == 0 {
		rights = api.Rights
	}
	return &fake{Offline: bundle.Host(b), b: b, rights: rights, plans: map[string]api.Plan{}}
}

func (f *fake) Me(context.Context) (api.Me, error) {
	return api.Me{Caller: "uid:1000", Rights: f.rights, Listener: "unix", Version: f.b.Host.Version, Boot: f.b.Host.Boot, Host: f.b.Host.Name}, nil
}

func (f *fake) Mailbox(ctx context.Context, path string) (p api.Page[inspect.Letter], err error) {
	p.Rows, err = f.Offline.Mailbox(ctx, path)
	return p, err
}

func (f *fake) Cause(ctx context.Context, id string) (p api.Page[inspect.Trace], err error) {
	p.Rows, err = f.Offline.Cause(ctx, id)
	return p, err
}

// failing is what has failed.
func failing(b *api.Bundle) (list []api.Failing) {
	for _, j := range b.Jobs {
		if _, code, message := ending(j); code != "" {
			list = append(list, api.Failing{ID: j.ID, Kind: "job", Blame: j.Receipt.Verdict, Code: code, Message: message, At: j.SettledAt, Retryable: true, Tenant: j.Tenant})
		}
	}
	for _, a := range b.Host.Artifacts {
		if a.Fault != "" {
			list = append(list, api.Failing{ID: a.Key, Kind: "artifact", Blame: "suspect", Code: a.Fault, Message: a.Message, At: a.LastNeeded, Retryable: true, RetryAt: a.RetryAt})
		}
	}
	for _, a := range b.Apps {
		if a.State == "failed" {
			list = append(list, api.Failing{ID: a.Address, Kind: "app", Blame: "guest", Code: a.LastEnd, Message: a.Reason, At: a.LastEndAt, Retryable: true, Tenant: a.Tenant})
		}
	}
	return list
}

// frameOf makes a full frame of a view, as a host does.
func frameOf(b *api.Bundle, view string, find client.Find) (api.Frame, error) {
	switch view {
	case "overview":
		return rowsOf(b, view, []inspect.Host{b.Host}, find)
	case "actors":
		return rowsOf(b, view, b.Host.Actors, find)
	case "guests":
		return rowsOf(b, view, b.Guests, find)
	case "jobs":
		return rowsOf(b, view, b.Jobs, find)
	case "queues":
		return rowsOf(b, view, b.Host.Queues, find)
	case "artifacts":
		return rowsOf(b, view, b.Host.Artifacts, find)
	case "workers":
		return rowsOf(b, view, b.Host.Workers, find)
	case "dead":
		return rowsOf(b, view, b.Dead, find)
	case "failures":
		return rowsOf(b, view, failing(b), find)
	case "apps":
		return rowsOf(b, view, b.Apps, find)
	case "health":
		return rowsOf(b, view, b.Host.Health, find)
	case "log":
		return rowsOf(b, view, b.Log, find)
	case "outbox":
		return rowsOf(b, view, b.Calls, find)
	case "demands":
		return rowsOf(b, view, b.Demands, find)
	case "audit":
		return rowsOf(b, view, b.Audit, find)
	case "chain":
		if b.Chain != nil {
			return rowsOf(b, view, []inspect.ChainView{*b.Chain}, find)
		}
		return api.Frame{}, fault.New(fault.CallerNotFound, "chain", "", nil)
	}
	return api.Frame{}, fault.New(fault.CallerNotFound, "view", view, nil)
}

func rowsOf[T any](b *api.Bundle, view string, all []T, find client.Find) (api.Frame, error) {
	f := api.Frame{View: view, Full: true, Total: len(all), Boot: b.Host.Boot, At: b.At}
	q, err := query.Parse(view, find.Query, b.At)
	if err != nil {
		return f, err
	}
	rows := query.Select(q, slices.Clone(all))
	if find.Sort != "" {
		if err := query.Sort(view, rows, find.Sort, b.At); err != nil {
			return f, err
		}
	}
	f.Matched = len(rows)
	if find.Limit > 0 {
		rows = rows[:min(len(rows), find.Limit)]
	}
	for i, r := range rows {
		raw, err := json.Marshal(r)
		if err != nil {
			return f, err
		}
		id := query.ID(view, r)
		if id == "" {
			id = fmt.Sprint(view, i)
		}
		f.Rows = append(f.Rows, api.Row{ID: id, Row: raw})
	}
	return f, nil
}

func (f *fake) Watch(ctx context.Context, view string, find client.Find, _ time.Duration, _ string, show func(api.Frame) error) (string, error) {
	f.mu.Lock()
	f.watched = append(f.watched, view)
	f.mu.Unlock()
	frame, err := frameOf(f.b, view, find)
	if err != nil {
		return "", err
	}
	if err := show(frame); err != nil {
		return "", err
	}
	<-ctx.Done()
	return "", ctx.Err()
}

func (f *fake) Plan(_ context.Context, w api.Wish) (api.Plan, error) {
	p := planOf(w)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plans[p.ID] = p
	return p, nil
}

// planOf is what a host would answer to a wish.
func planOf(w api.Wish) api.Plan {
	p := api.Plan{ID: "plan-1", Verb: w.Verb, Reason: w.Reason, Selector: w.Selector, At: bundletest.At, Until: bundletest.At.Add(time.Minute)}
	for _, v := range api.Verbs {
		if v.Name == w.Verb {
			p.Effect, p.Danger = v.Effect, v.Danger
		}
	}
	for i, id := range w.IDs {
		if i > 0 && i%3 == 0 {
			p.Excluded = append(p.Excluded, api.PlanOutcome{ID: id, State: "excluded", Code: "caller.conflict", Why: "it is settled"})
			continue
		}
		p.Targets = append(p.Targets, api.PlanTarget{ID: id, Generation: w.Match[id], State: "busy", Children: 1, Lost: 1})
	}
	p.Count = len(p.Targets)
	return p
}

func (f *fake) Apply(_ context.Context, plan, _ string) (api.Operation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.plans[plan]
	f.applied = append(f.applied, p)
	return api.Operation{ID: "op-1", Plan: plan, Verb: p.Verb, State: "running"}, nil
}

func (f *fake) Operation(_ context.Context, id string, _ time.Duration) (api.Operation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.applied[len(f.applied)-1]
	o := api.Operation{ID: id, Plan: p.ID, Verb: p.Verb, State: "done", Done: len(p.Targets)}
	for _, t := range p.Targets {
		o.Results = append(o.Results, api.PlanOutcome{ID: t.ID, State: "done"})
	}
	return o, nil
}

// Trace replays what the recorders hold; then it waits, as a host does until the budget is used up.
func (f *fake) Trace(ctx context.Context, filter inspect.TraceFilter, show func(inspect.Trace) error) error {
	if err := f.Offline.Trace(ctx, filter, show); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

var (
	_ Source = (*fake)(nil)
	_ Source = (*client.Client)(nil)
)
