package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

const drainLook = 200 * time.Millisecond

func (a *app) drainVerb() verb {
	var timeout span
	v := a.actVerb(deed{
		name: "node.drain", what: "node", own: theNode,
		long: `Returns when the host has ended, and shows on stderr what it still waits for. What runs has as long as --drain-timeout of 'troupe serve'
says. Jobs that are not settled go on with the next start.`,
		flags: func(fs *pflag.FlagSet) {
			fs.Var(&timeout, "timeout", "wait for the end for D (default as long as it takes)")
		},
		last: func(ctx context.Context, n *node) error {
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			return a.drained(ctx, n)
		},
	}, "Have the host take nothing new, wait for what runs, and end")
	v.examples = []string{
		"troupe node drain --reason 'kernel update'", "before a restart of the machine",
		"troupe node drain --yes --reason upgrade --timeout 1m", "and give up waiting, not draining, after a minute",
	}
	return v
}

// drained waits until a host that drains is gone.
func (a *app) drained(ctx context.Context, n *node) error {
	p := a.startProgress()
	defer p.stop()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	for {
		h, err := n.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return fault.From(context.Cause(ctx)).WithHint("the host goes on draining: 'troupe status' shows what it waits for")
		case hasEnded(err):
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

// hasEnded reports whether an answer is that of a host which is not there any more.
func hasEnded(err error) bool {
	return errors.Is(err, fault.CallerUnreachable) || errors.Is(err, fault.CallerClosed)
}

func (a *app) reloadVerb() verb {
	v := a.actVerb(deed{
		name: "node.reload", what: "node", own: theNode,
		long: `What is wrong changes nothing: see 'troupe config check'. What needs a restart is in the log; 'troupe config show --running --origin'
shows what holds.`,
	}, "Have the host read its settings, tokens and certificates again")
	v.examples = []string{
		"troupe config check && troupe node reload", "what SIGHUP does, and asked about",
		"troupe node reload --yes", "for scripts",
	}
	return v
}
