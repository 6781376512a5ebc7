package control

import (
	"context"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

func (g gate) change(ctx context.Context, target string, f func() error) error {
	if err := pass(ctx, target); err != nil {
		return err
	}
	return f()
}

// forAll is a change of what serves all tenants, which no caller makes that is confined to one.
func (g gate) forAll(ctx context.Context, target string, f func() error) error {
	if err := serves(ctx); err != nil {
		return err
	}
	return g.change(ctx, target, f)
}

// serves refuses callers that are confined what serves all tenants.
func serves(ctx context.Context) error {
	if _, yes := confinedTo(ctx); yes {
		return lacks(visitOf(ctx).caller, api.Admin)
	}
	return nil
}

// ownActor refuses a confined caller all actors but those of its apps. One that serves an app of somebody else is not there.
func (g gate) ownActor(ctx context.Context, path string) error {
	if _, yes := confinedTo(ctx); !yes {
		return nil
	}
	a, err := g.Actor(ctx, path)
	if err != nil {
		return err
	}
	o, err := g.own(ctx)
	if err != nil || servesOwn(a.Actor, o) {
		return err
	}
	return serves(ctx)
}

// onActor is a change of one actor.
func (g gate) onActor(ctx context.Context, path string, f func() error) error {
	if err := g.ownActor(ctx, path); err != nil {
		return err
	}
	return g.change(ctx, path, f)
}

func (g gate) PauseActor(ctx context.Context, path string, n uint64) error {
	return g.onActor(ctx, path, func() error { return g.Host.PauseActor(ctx, path, n) })
}

func (g gate) ResumeActor(ctx context.Context, path string, n uint64) error {
	return g.onActor(ctx, path, func() error { return g.Host.ResumeActor(ctx, path, n) })
}

func (g gate) RestartActor(ctx context.Context, path string, n uint64) error {
	return g.onActor(ctx, path, func() error { return g.Host.RestartActor(ctx, path, n) })
}

func (g gate) KillActor(ctx context.Context, path string, n uint64) error {
	return g.onActor(ctx, path, func() error { return g.Host.KillActor(ctx, path, n) })
}

func (g gate) ActorLogLevel(ctx context.Context, path, level string, lasts time.Duration) error {
	return g.onActor(ctx, path, func() error { return g.Host.ActorLogLevel(ctx, path, level, lasts) })
}

// onWorker is a change of one worker; one that belongs to somebody else is not there.
func (g gate) onWorker(ctx context.Context, id string, f func() error) error {
	if tenant, yes := confinedTo(ctx); yes {
		all, err := g.Host.Workers(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(w inspect.Worker) bool { return w.ID == id && (w.Tenant == "" || w.Tenant == tenant) }) {
			return hidden("worker", id)
		}
		if slices.ContainsFunc(all, func(w inspect.Worker) bool { return w.ID == id && w.Tenant == "" }) {
			return serves(ctx)
		}
	}
	return g.change(ctx, id, f)
}

func (g gate) RecycleWorker(ctx context.Context, id string) error {
	return g.onWorker(ctx, id, func() error { return g.Host.RecycleWorker(ctx, id) })
}

func (g gate) KillWorker(ctx context.Context, id string) error {
	return g.onWorker(ctx, id, func() error { return g.Host.KillWorker(ctx, id) })
}

func (g gate) PauseQueue(ctx context.Context, name string) error {
	return g.forAll(ctx, name, func() error { return g.Host.PauseQueue(ctx, name) })
}

func (g gate) ResumeQueue(ctx context.Context, name string) error {
	return g.forAll(ctx, name, func() error { return g.Host.ResumeQueue(ctx, name) })
}

func (g gate) PurgeQueue(ctx context.Context, name string) (n int, err error) {
	err = g.forAll(ctx, name, func() error { n, err = g.Host.PurgeQueue(ctx, name); return err })
	return n, err
}

// onLetter is a change of one dead letter; one that was for an actor of somebody else is not there.
func (g gate) onLetter(ctx context.Context, id string, f func() error) error {
	if _, yes := confinedTo(ctx); yes {
		all, err := g.DeadLetters(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(l inspect.Letter) bool { return l.ID == id })
		if i < 0 {
			return hidden("letter", id)
		}
		if err := g.ownActor(ctx, all[i].Actor); err != nil {
			return err
		}
	}
	return g.change(ctx, id, f)
}

func (g gate) ReplayLetter(ctx context.Context, id string) error {
	return g.onLetter(ctx, id, func() error { return g.Host.ReplayLetter(ctx, id) })
}

func (g gate) DropLetter(ctx context.Context, id string) error {
	return g.onLetter(ctx, id, func() error { return g.Host.DropLetter(ctx, id) })
}

func (g gate) PauseChain(ctx context.Context) error {
	return g.forAll(ctx, "", func() error { return g.Host.PauseChain(ctx) })
}

func (g gate) ResumeChain(ctx context.Context) error {
	return g.forAll(ctx, "", func() error { return g.Host.ResumeChain(ctx) })
}
