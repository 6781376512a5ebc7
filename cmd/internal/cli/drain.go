package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// nodeID is the id of the host among the targets of plans.
const nodeID = "node"

const (
	drainLook   = 200 * time.Millisecond
	reloadAfter = 30 * time.Second // a reload reads a few files
)

func (a *app) drainVerb() verb {
	var timeout span
	reason := ""
	return verb{
		use: "drain [flags]", short: "Have the host take nothing new, wait for what runs, and end",
		long: `Returns when the host has ended, and shows on stderr what it still waits for. What runs has as long as --drain-timeout of 'troupe serve'
says. Jobs that are not settled go on with the next start.`,
		examples: []string{
			"troupe node drain --reason 'kernel update'", "before a restart of the machine",
			"troupe node drain --reason upgrade --timeout 1m", "and give up waiting, not draining, after a minute",
		},
		exits: with(exitsHost, exitNotFound, exitConflict, exitSome),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&reason, "TEXT"}, "reason", "why, for the audit log; it must be said")
			fs.Var(&timeout, "timeout", "wait for the end for D (default as long as it takes)")
		},
		run: func(ctx context.Context, _ []string) error {
			if reason == "" {
				return usage("no reason", "say why, for the audit log: --reason TEXT")
			}
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			return a.at(ctx, served, func(ctx context.Context, n *node) error { return a.drain(ctx, n, reason) })
		},
	}
}

func (a *app) drain(ctx context.Context, n *node, reason string) error {
	if err := n.operate(ctx, "node.drain", reason); err != nil {
		return err
	}
	p := a.startProgress()
	defer p.stop()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for {
		h, err := n.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return fault.From(context.Cause(ctx)).WithHint("the host goes on draining: 'troupe status' shows what it waits for")
		case errors.Is(err, fault.CallerUnreachable), errors.Is(err, fault.CallerClosed):
			p.stop()
			if a.json() {
				a.printJSON(map[string]string{"state": "drained"})
			} else {
				fmt.Fprintln(a.out, "drained")
			}
			return nil
		case err == nil:
			p.set(api.Progress{Stage: fmt.Sprintf("draining: %d requests, %d workers", h.Requests, len(h.Workers))})
		}
		select {
		case <-ctx.Done():
		case <-look.C:
		}
	}
}

func (a *app) reloadVerb() verb {
	return verb{
		use: "reload", short: "Have the host read its settings, tokens and certificates again",
		long: `What is wrong changes nothing: see 'troupe config check'. What needs a restart is in the log; 'troupe config show --running --origin'
shows what holds.`,
		examples: []string{"troupe config check && troupe node reload", "as SIGHUP does"},
		exits:    with(exitsHost, exitNotFound, exitConflict, exitSome),
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				if err := n.operate(ctx, "node.reload", ""); err != nil {
					return err
				}
				if a.json() {
					a.printJSON(map[string]string{"state": "reloaded"})
				} else {
					fmt.Fprintln(a.out, "reloaded")
				}
				return nil
			})
		},
	}
}

// operate carries out a verb of the table on the host itself, and returns when it is settled.
func (n *node) operate(ctx context.Context, name, reason string) error {
	plan, err := n.Plan(ctx, api.Wish{Verb: name, IDs: []string{nodeID}, Reason: reason})
	if err != nil {
		return err
	}
	for _, x := range plan.Excluded {
		return outcomeError(name, x)
	}
	op, err := n.Apply(ctx, plan.ID, rand.Text())
	for until := time.Now().Add(reloadAfter); err == nil && op.State == "running"; {
		if time.Now().After(until) {
			return fault.New(fault.CanceledDeadline, name, op.ID, nil).WithHint("it goes on: see 'troupe node audit'")
		}
		op, err = n.Operation(ctx, op.ID, time.Second)
	}
	if err != nil {
		return err
	}
	for _, x := range op.Results {
		if x.State != "done" {
			return outcomeError(name, x)
		}
	}
	return nil
}

// outcomeError is why a target of a plan did not come to what was wished.
func outcomeError(name string, x api.PlanOutcome) error {
	return fault.New(cmp.Or(fault.Code(x.Code), fault.BugUnexpected), name, fault.Quote(x.Why), nil)
}
