package host

import (
	"context"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/blob"
)

// byOperator is who raises or retries for an operator that has no name.
const byOperator = "an operator"

// RetryArtifact has a failed preparation begin again now, whatever its cool-down, and returns when it has ended. When ctx ends first, it
// goes on. generation, if not 0, is that of the failure that was looked at.
//
// # Errors
//
// caller.invalid_request, caller.stale, caller.conflict for what has not failed; caller.not_found, also if the code is not known any
// more; busy.*; canceled.* for ctx; that of the preparation, if it fails again.
func (h *Host) RetryArtifact(ctx context.Context, key string, generation uint64) error {
	a, _, err := h.Artifact(ctx, key)
	if err != nil {
		return err
	}
	k, err := artifacts.ParseKey(key)
	if err != nil {
		return err
	}
	code, err := artifacts.ParseCodeHash(a.CodeHash)
	if err != nil {
		return err
	}
	if err := h.enter(); err != nil {
		return err
	}
	c := &heldCode{table: h.codes, hash: code, key: k}
	if h.keyOf(code, c.options) != k { // a failure does not say what it was made with
		c.options.CanonicalNaNs = true
	}
	if err := h.findCode(ctx, c); err != nil {
		h.leave()
		return err
	}
	settled := make(chan error, 1)
	go func() {
		defer h.leave()
		defer c.release()
		a, err := h.judge(h.life, CodeRequest{}, c, cache.Request{Kind: cache.HeadsUp, Priority: run.Normal, Budget: h.budget(h.cfg.PrepareCPU),
			Again: true, Generation: generation, By: byOperator})
		if f := a.Outcome.Fault; err == nil && f != nil {
			err = f
		}
		settled <- err
	}()
	select {
	case err := <-settled:
		return err
	case <-ctx.Done():
		return fault.From(context.Cause(ctx)).WithHint("it goes on being prepared: 'troupe explain " + key[:12] + "' says how far it is")
	}
}

// findCode holds code that somebody has: a request of late, a job, an app or the warm-up list.
func (h *Host) findCode(ctx context.Context, c *heldCode) error {
	if c.held = h.codes.hold(c.hash); c.held {
		return nil
	}
	code, err := h.blobs.Get(ctx, blob.Hash(c.hash))
	switch {
	case fault.CodeOf(err) == fault.CallerNotFound:
		return fault.New(fault.CallerNotFound, "code", c.hash.String(), nil).WithHint("nobody has the code any more: submit it again")
	case err != nil:
		return err
	}
	if err := h.codes.put(c.hash, code); err != nil {
		return err
	}
	c.held = true
	return nil
}

// RaiseArtifact raises the priority of a preparation that waits or runs, by one if p is 0. by goes into its record.
//
// # Errors
//
// caller.invalid_request, caller.not_found; caller.conflict if it is not being prepared, or for a priority that is not higher.
func (h *Host) RaiseArtifact(ctx context.Context, key string, p run.Priority, by string) error {
	k, err := artifacts.ParseKey(key)
	if err != nil {
		return err
	}
	if p > run.Critical {
		return fault.New(fault.CallerInvalid, "priority", p.String(), nil).WithHint("choose background, normal, high or critical")
	}
	who := byOperator
	if by != "" {
		who = h.by(by)
	}
	_, err = control(ctx, h, h.cache, func(r kernel.Reply[struct{}]) cache.Message {
		return cache.Lift{Key: k, Priority: p, By: who, Reply: r}
	})
	return err
}
