package host

import (
	"context"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// maxAppPage is the most apps in one list.
const maxAppPage = 1000

// onApp asks the actors something about one app.
func onApp[R any](ctx context.Context, h *Host, address string, build func(manifest.Address, kernel.Reply[R]) sessions.Message) (R, error) {
	var none R
	addr, err := manifest.ParseAddress(address)
	if err != nil {
		return none, err
	}
	if err := h.enter(); err != nil {
		return none, err
	}
	defer h.leave()
	return kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[R]) sessions.Message { return build(addr, to) })
}

// Apps lists deployed apps in the order of their deployment. next is After of the next page, 0 behind the last.
func (h *Host) Apps(ctx context.Context, f AppFilter) (apps []inspect.App, next uint64, err error) {
	if f.Limit <= 0 || f.Limit > maxAppPage {
		f.Limit = maxAppPage
	}
	p, err := kernel.Ask(kernel.Looking(ctx), h.apps.actor, func(to kernel.Reply[sessions.Page]) sessions.Message {
		return sessions.List{After: f.After, Limit: f.Limit, Tenant: f.Tenant, Reply: to}
	})
	return p.Apps, p.Next, err
}

// App shows one app.
//
// # Errors
//
// caller.not_found, caller.invalid_request.
func (h *Host) App(ctx context.Context, address string) (inspect.App, error) {
	app, err := onApp(kernel.Looking(ctx), h, address, func(a manifest.Address, to kernel.Reply[inspect.App]) sessions.Message {
		return sessions.Show{Address: a, Reply: to}
	})
	if err == nil {
		app.LogDropped = h.apps.logDropped(app.Address)
	}
	return app, err
}

// changeApp changes an app and shows it, with what the change itself said of it.
func (h *Host) changeApp(ctx context.Context, address string, build func(manifest.Address, kernel.Reply[sessions.Standing]) sessions.Message) (inspect.App, error) {
	s, err := onApp(ctx, h, address, build)
	if err != nil {
		return inspect.App{}, err
	}
	return h.shown(ctx, s)
}

// shown is an app as it stood after a change.
func (h *Host) shown(ctx context.Context, s sessions.Standing) (inspect.App, error) {
	app, err := h.App(ctx, s.Record.Address.String())
	app.Running, app.Wanted, app.State, app.Reason = s.Running, s.Wanted, s.State, s.Reason
	return app, err
}

// StartApp has a stopped app run again.
//
// # Errors
//
// caller.not_found; caller.app_state for an app on demand, which is started by who asks it.
func (h *Host) StartApp(ctx context.Context, address string) (inspect.App, error) {
	return h.changeApp(ctx, address, func(a manifest.Address, to kernel.Reply[sessions.Standing]) sessions.Message {
		return sessions.Start{Address: a, Reply: to}
	})
}

// StopApp ends the instances of an app, which stays deployed, with its session and its totals. It returns when they are gone: what
// does not end by itself in time is killed, within a second.
//
// # Errors
//
// caller.not_found.
func (h *Host) StopApp(ctx context.Context, address string) (inspect.App, error) {
	return h.changeApp(ctx, address, func(a manifest.Address, to kernel.Reply[sessions.Standing]) sessions.Message {
		return sessions.Stop{Address: a, Reply: to}
	})
}

// holdApp is StopApp, and also one that is on demand begins nothing before it is started.
func (h *Host) holdApp(ctx context.Context, address string) (inspect.App, error) {
	return h.changeApp(ctx, address, func(a manifest.Address, to kernel.Reply[sessions.Standing]) sessions.Message {
		return sessions.Stop{Address: a, Hold: true, Reply: to}
	})
}

// ResizeApp changes how many instances an app has, and returns how many run.
//
// # Errors
//
// caller.not_found; caller.app_state for more than one instance of an app that is not resizable, which is left as it is.
func (h *Host) ResizeApp(ctx context.Context, address string, instances uint32) (inspect.App, error) {
	return h.changeApp(ctx, address, func(a manifest.Address, to kernel.Reply[sessions.Standing]) sessions.Message {
		return sessions.Resize{Address: a, Instances: instances, Reply: to}
	})
}

// RaiseApp lifts the priority at which an app's code is prepared.
//
// # Errors
//
// caller.not_found.
func (h *Host) RaiseApp(ctx context.Context, address string, p run.Priority) (inspect.App, error) {
	_, err := onApp(ctx, h, address, func(a manifest.Address, to kernel.Reply[struct{}]) sessions.Message {
		return sessions.RaiseApp{Address: a, Priority: p, Reply: to}
	})
	if err != nil {
		return inspect.App{}, err
	}
	return h.App(ctx, address)
}

// RemoveApp ends an app and its session, and returns its last totals. Its key-value space and its log stay for its next deployment.
//
// # Errors
//
// caller.not_found.
func (h *Host) RemoveApp(ctx context.Context, address string) (inspect.AppMetrics, error) {
	m, err := h.removeApp(ctx, address)
	if err == nil {
		h.nudge()
	}
	return m, err
}

func (h *Host) removeApp(ctx context.Context, address string) (inspect.AppMetrics, error) {
	m, err := onApp(ctx, h, address, func(a manifest.Address, to kernel.Reply[meter.Metrics]) sessions.Message {
		return sessions.Remove{Address: a, Reply: to}
	})
	if err != nil {
		return inspect.AppMetrics{}, err
	}
	return sessions.Shown(m), nil
}

// RemoveAllApps ends all apps and returns how many there were.
func (h *Host) RemoveAllApps(ctx context.Context) (int, error) {
	if err := h.enter(); err != nil {
		return 0, err
	}
	defer h.leave()
	defer h.nudge()
	return kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[int]) sessions.Message { return sessions.RemoveAll{Reply: to} })
}

// SetBench says which app is the benchmark, and how many slots it may fill; "": none.
//
// # Errors
//
// caller.not_found, caller.app_state.
func (h *Host) SetBench(ctx context.Context, address string, instances uint32) (inspect.Session, error) {
	m := sessions.SetBench{None: address == "", Instances: instances}
	if !m.None {
		addr, err := manifest.ParseAddress(address)
		if err != nil {
			return inspect.Session{}, err
		}
		m.Address = addr
	}
	_, err := kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[sessions.Standing]) sessions.Message { m.Reply = to; return m })
	if err != nil {
		return inspect.Session{}, err
	}
	return h.Session(ctx)
}

// AppMetrics returns the totals of apps, of all of them without addresses, in the order of their deployment.
//
// # Errors
//
// caller.not_found, caller.invalid_request.
func (h *Host) AppMetrics(ctx context.Context, addresses ...string) ([]inspect.AppMetrics, error) {
	which, err := parseAddresses(addresses)
	if err != nil {
		return nil, err
	}
	if err := h.apps.countAll(ctx, which); err != nil {
		return nil, err
	}
	if len(addresses) > 0 {
		out := make([]inspect.AppMetrics, 0, len(addresses))
		for _, address := range addresses {
			app, err := h.App(ctx, address)
			if err != nil {
				return nil, err
			}
			out = append(out, app.Metrics)
		}
		return out, nil
	}
	var out []inspect.AppMetrics
	for f := (AppFilter{}); ; {
		page, next, err := h.Apps(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, app := range page {
			out = append(out, app.Metrics)
		}
		if f.After = next; next == 0 {
			return out, nil
		}
	}
}

// parseAddresses reads addresses; nil of none.
func parseAddresses(list []string) (which []manifest.Address, err error) {
	for _, s := range list {
		a, err := manifest.ParseAddress(s)
		if err != nil {
			return nil, err
		}
		which = append(which, a)
	}
	return which, nil
}
