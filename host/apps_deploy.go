package host

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/manifest"
)

const maxAppConfig = 64 << 10 // bytes

// Deploy registers an app and returns it. Its code is prepared from then on; an app that is not on demand starts its instance when
// that is done and a slot is free. Nothing is registered with an error: who leaves once the app is being written waits for that.
//
// # Errors
//
// caller.manifest_*, caller.blob_missing, caller.no_session, caller.app_exists, caller.invalid_request, guest.*, busy.*, host.*.
func (h *Host) Deploy(ctx context.Context, r DeployRequest) (inspect.App, error) {
	if err := ownTenant(r.Tenant); err != nil {
		return inspect.App{}, err
	}
	a, err := h.deploy(ctx, r)
	if err == nil {
		h.nudge()
	}
	return a, err
}

// ownTenant refuses the names that stand for what the chain asked for.
func ownTenant(name string) error {
	if stranger(name) {
		return fault.New(fault.CallerInvalid, "deploy", fault.Quote(name), nil).WithHint("this tenant is the chain: choose another name")
	}
	return nil
}

func (h *Host) deploy(ctx context.Context, r DeployRequest) (inspect.App, error) {
	if err := h.enter(); err != nil {
		return inspect.App{}, err
	}
	defer h.leave()
	rec, m, err := h.apps.record(ctx, r)
	if err != nil {
		return inspect.App{}, err
	}
	if _, err := rand.Read(rec.Session[:]); err != nil {
		return inspect.App{}, fault.New(fault.HostUnsupported, "deploy", "", err)
	}
	if err := h.apps.holdBlobs(ctx, rec.Address, m); err != nil {
		return inspect.App{}, err
	}
	ctx = context.WithoutCancel(ctx) // from here on it is either all there or not at all
	err = h.apps.claim(rec.Address, m.Settled().Grants.Names)
	var s sessions.Standing
	if err == nil {
		s, err = kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[sessions.Standing]) sessions.Message {
			return sessions.Deploy{Record: rec, Manifest: m, Reply: to}
		})
	}
	if err != nil {
		// What is there, or is being written for another caller, needs its names and blobs.
		_, there := h.App(ctx, rec.Address.String())
		if fault.CodeOf(err) != fault.CallerAppExists && fault.CodeOf(there) == fault.CallerNotFound {
			h.apps.gone(rec.Address)
			h.apps.dropBlobs(ctx, rec.Address)
		}
		return inspect.App{}, err
	}
	return h.shown(ctx, s)
}

// Announce says that an app may be deployed soon: its code is prepared in the background.
//
// # Errors
//
// As Deploy, but for those of sessions and of apps that are there already.
func (h *Host) Announce(ctx context.Context, r DeployRequest) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.leave()
	rec, m, err := h.apps.record(ctx, r)
	if err != nil {
		return err
	}
	_, err = kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[struct{}]) sessions.Message {
		return sessions.Announce{Record: rec, Manifest: m, Reply: to}
	})
	return err
}

// record reads a manifest and settles what it leaves to the code.
func (a *apps) record(ctx context.Context, r DeployRequest) (sessions.Record, *manifest.Manifest, error) {
	m, err := manifest.Decode(r.Manifest)
	if err != nil {
		return sessions.Record{}, nil, err
	}
	bad := func(hint string) error { return fault.New(fault.CallerInvalid, "deploy", "", nil).WithHint(hint) }
	switch {
	case len(r.Tenant) > MaxTenantBytes:
		return sessions.Record{}, nil, bad("a tenant has at most 64 bytes")
	case len(r.Config) > maxAppConfig:
		return sessions.Record{}, nil, bad("the configuration of an app has at most 64 KiB")
	}
	if err := m.Validate(); err != nil {
		return sessions.Record{}, nil, err
	}
	if err := strangerMay(r.Tenant, m); err != nil {
		return sessions.Record{}, nil, err
	}
	for _, hash := range needs(m) {
		if _, err := a.blob(hash); err != nil {
			return sessions.Record{}, nil, err
		}
	}
	rec := sessions.Record{Address: m.Address(), Manifest: m.Encode(), Config: r.Config, Deployed: time.Now(), Tenant: or(r.Tenant, a.h.cfg.Tenant), Bench: r.Bench}
	rec.State.Complete = r.Complete
	kind, err := a.kindOf(ctx, m.CodeHash)
	if err != nil {
		return sessions.Record{}, nil, err
	}
	if rec.Entry, rec.Reuse, err = m.Resolve(kind); err != nil {
		return sessions.Record{}, nil, err
	}
	if m.Version == 1 && m.OnDemand && rec.Entry == manifest.Service && !r.ReuseInstances {
		rec.Reuse = manifest.Reset // version 1 leaves that to the deployment
	}
	if rec.Entry == manifest.Handler && !m.OnDemand {
		return sessions.Record{}, nil, fault.New(fault.CallerManifestConflict, "deploy", fault.Quote(m.Label), nil).
			WithHint("a handler has no life between its requests: set on_demand")
	}
	return rec, m, nil
}

// needs lists the blobs of an app, its code first.
func needs(m *manifest.Manifest) []string {
	out := []string{m.CodeHash}
	for _, b := range m.Blobs {
		if !slices.Contains(out, b.Key) {
			out = append(out, b.Key)
		}
	}
	return out
}

// blob finds a blob by its name.
func (a *apps) blob(name string) (blob.Hash, error) {
	n, err := blob.ParseName(name)
	if err != nil {
		return blob.Hash{}, err
	}
	h, ok := a.blobs.Find(n)
	if !ok {
		return blob.Hash{}, fault.New(fault.CallerBlobMissing, "blob", fault.Quote(name), nil)
	}
	return h, nil
}

// holdBlobs names the blobs of an app, so that they cannot be removed under it.
func (a *apps) holdBlobs(ctx context.Context, addr manifest.Address, m *manifest.Manifest) error {
	var names []blob.Name
	for _, hash := range needs(m) {
		n, err := blob.ParseName(hash)
		if err != nil {
			return err
		}
		names = append(names, n)
	}
	return a.blobs.Hold(ctx, addr.String(), names...)
}

func (a *apps) dropBlobs(ctx context.Context, addr manifest.Address) {
	if err := a.blobs.Release(context.WithoutCancel(ctx), addr.String()); err != nil {
		a.h.log.Warn().Err(err).Str("app", addr.String()).Msg("blobs are still named by an app that is gone; the next start sees to it")
	}
}
