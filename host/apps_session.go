package host

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/keys"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Session shows the worker session.
func (h *Host) Session(ctx context.Context) (inspect.Session, error) {
	v, err := kernel.Ask(kernel.Looking(ctx), h.apps.actor, func(to kernel.Reply[sessions.SessionView]) sessions.Message { return sessions.Session{Reply: to} })
	if err != nil {
		return inspect.Session{}, err
	}
	public := h.apps.keys.Worker().Public()
	s := inspect.Session{WorkerKey: hex.EncodeToString(public[:]), KeyLocked: h.apps.keys.Locked(), Apps: v.Apps, Slots: v.Slots, SlotsUsed: v.SlotsUsed}
	if v.HasBench {
		s.Bench = v.Bench.String()
	}
	if o := v.Open; o != nil {
		s.ID, s.CNonce, s.PNonce, s.Recipient = hex.EncodeToString(o.ID[:]), hex.EncodeToString(o.CNonce[:]), hex.EncodeToString(o.PNonce), hex.EncodeToString(o.Recipient)
		s.SN, s.Opened = o.SN, o.Opened
	}
	return s, nil
}

// OpenSession opens a worker session, and returns what tells the chain of it: id = BLAKE2b-256 of a random number and PNonce, and
// reports count from 1. With Resume the session that is open is told again.
//
// # Errors
//
// caller.session_in_use while apps are deployed, caller.invalid_request, host.disk_*.
func (h *Host) OpenSession(ctx context.Context, r SessionRequest) (Signed, error) {
	if err := h.enter(); err != nil {
		return Signed{}, err
	}
	defer h.leave()
	s, err := kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[sessions.WorkerSession]) sessions.Message {
		return sessions.OpenSession{PNonce: r.PNonce, Recipient: r.Recipient, Resume: r.Resume, Reply: to}
	})
	if err != nil {
		return Signed{}, err
	}
	h.nudge()
	return h.apps.sign(meter.SessionUpdated, meter.SessionUpdate{Session: s.ID, Nonce: s.CNonce, Recipient: s.Recipient}.Encode()), nil
}

// sign signs what the chain is told.
func (a *apps) sign(c meter.Content, body []byte) Signed {
	k := a.keys.Worker()
	sig, public := k.Sign(meter.Message(c, body)), k.Public()
	return Signed{Encoded: body, Signature: sig[:], WorkerKey: public[:]}
}

// ReportMetrics signs the totals of apps, of all of them without addresses: one report for each meter.MaxApps. Each has a sequence
// number above all before it and a nonce of its own; the totals are on disk before they are signed.
//
// # Errors
//
// caller.no_session, caller.not_found, busy.queue_full, host.disk_*.
func (h *Host) ReportMetrics(ctx context.Context, addresses ...string) ([]SignedReport, error) {
	which, err := parseAddresses(addresses)
	if err != nil {
		return nil, err
	}
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.leave()
	if err := h.apps.countAll(ctx, which); err != nil {
		return nil, err
	}
	pages, err := kernel.Ask(ctx, h.apps.actor, func(to kernel.Reply[[]sessions.ReportPage]) sessions.Message {
		return sessions.Report{Addresses: which, Reply: to}
	})
	if err != nil {
		return nil, err
	}
	out := make([]SignedReport, 0, len(pages))
	for _, p := range pages {
		b, err := meter.SignReport(h.apps.keys.Worker(), p.Token, p.Apps)
		if err != nil {
			return nil, err
		}
		out = append(out, SignedReport{Encoded: b, SN: p.Token.SN, Apps: len(p.Apps)})
	}
	return out, nil
}

// token gives a guest the number of a report of its own.
func (a *apps) token(addr manifest.Address) func(ctx context.Context) (uint64, meter.Token, error) {
	return func(ctx context.Context) (uint64, meter.Token, error) {
		t, err := kernel.Ask(ctx, a.actor, func(to kernel.Reply[meter.Token]) sessions.Message { return sessions.NextToken{Reply: to} })
		if err != nil {
			return 0, t, err
		}
		app, err := a.h.App(ctx, addr.String())
		return app.Metrics.Gas, t, err
	}
}

// SignEndpoints signs where this worker can be reached.
//
// # Errors
//
// caller.invalid_request.
func (h *Host) SignEndpoints(_ context.Context, endpoints []string) (Signed, error) {
	k := h.apps.keys.Worker()
	b, sig, err := meter.SignEndpoints(k, endpoints, time.Now())
	public := k.Public()
	return Signed{Encoded: b, Signature: sig[:], WorkerKey: public[:]}, err
}

// SignDescription signs what this worker says of itself: a text of at most 1024 bytes, and its prices, of which none means nothing.
//
// # Errors
//
// caller.invalid_request.
func (h *Host) SignDescription(_ context.Context, text string, prices meter.Prices) (Signed, error) {
	d := meter.Description{Text: text, Prices: prices}
	if _, err := meter.SignDescription(h.apps.keys.Worker(), d); err != nil {
		return Signed{}, err
	}
	return h.apps.sign(meter.WorkerDescribed, d.Encode()), nil
}

// SignRegistration signs what registers this worker on the chain with this first block. Its attestation is none: no hardware
// speaks for this worker.
func (h *Host) SignRegistration(_ context.Context, genesis [32]byte, operator *[32]byte, paraID uint32) (Signed, error) {
	return h.apps.sign(meter.WorkerAttestation, meter.NewRegistration(h.apps.keys.Public(), genesis, operator, paraID).Encode()), nil
}

// BackupKey returns the worker key and the root of all secrets of apps, locked with a passphrase.
//
// # Errors
//
// caller.invalid_request for an empty passphrase.
func (h *Host) BackupKey(_ context.Context, passphrase []byte) ([]byte, error) {
	return h.apps.keys.Backup(passphrase)
}

// RestoreKey puts a backup in the place of the worker key. No app may be deployed, and the session ends.
//
// # Errors
//
// caller.session_in_use, caller.conflict for a host with a chain, caller.invalid_request, host.disk_*.
func (h *Host) RestoreKey(ctx context.Context, backup, passphrase []byte) error {
	return h.changeKey(ctx, func() error { return h.apps.keys.Restore(backup, passphrase) })
}

// RotateKey makes a new worker key. The secrets and the stored values of apps stay readable; the session ends, since it was that
// of the old key.
//
// # Errors
//
// caller.session_in_use, caller.conflict for a host with a chain, host.disk_*.
func (h *Host) RotateKey(ctx context.Context) (inspect.Session, error) {
	err := h.changeKey(ctx, func() error { _, _, err := h.apps.keys.Rotate(); return err })
	if err != nil {
		return inspect.Session{}, err
	}
	return h.Session(ctx)
}

// LockKey locks the worker key with another passphrase, or keeps it in clear without one.
//
// # Errors
//
// caller.invalid_config, host.disk_*.
func (h *Host) LockKey(_ context.Context, passphrase []byte) error {
	return h.apps.keys.Lock(keys.Unlock{Passphrase: passphrase})
}

// changeKey replaces the worker key while no app is deployed.
func (h *Host) changeKey(ctx context.Context, change func() error) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.leave()
	s, err := h.Session(ctx)
	switch {
	case err != nil:
		return err
	case h.cfg.Chain.Port != nil:
		return fault.New(fault.CallerConflict, "change the worker key", "chain", nil).
			WithHint("the chain knows this worker by its key: stop the host, and change the key while it has no chain")
	case s.Apps > 0:
		return fault.New(fault.CallerSession, "change the worker key", "", nil)
	}
	if err := change(); err != nil {
		return err
	}
	h.apps.origin.SetWorker(h.apps.keys.Public())
	return nil
}
