package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
)

func (a *app) bundleVerb() verb {
	f := &topFlags{}
	return verb{
		use: "bundle COMMAND", short: "Look at what 'troupe node snapshot' has written",
		examples: []string{"troupe bundle open host.bundle", "what the host looked like then"},
		exits:    []int{exitOK, exitUsage},
		verbs: []verb{{
			use: "open [flags] FILE", short: "Show what a host published when a snapshot was made",
			long:     "On a terminal it is the console of 'troupe top'; elsewhere, and with -o, a summary or all of it. No host is needed. The file is verified first, all of it.",
			examples: []string{"troupe bundle open host.bundle", "the console, with the host as it was", "troupe bundle open -o json host.bundle | jq .actors", "all of it"},
			exits:    []int{exitOK, exitOther, exitUsage, exitNotFound, exitCanceled, exitHost}, args: exactly(1, "one file"),
			flags: f.add,
			run: func(ctx context.Context, args []string) error {
				if in, ok := a.in.(*os.File); ok && isTerminal(in) && a.outTerminal && a.format.value == formTable {
					f.file = args[0]
					return a.top(ctx, f)
				}
				return a.openBundle(ctx, args[0])
			},
		}},
	}
}

func (a *app) openBundle(ctx context.Context, path string) error {
	_, stop := a.untilInterrupt(ctx)
	defer stop()
	f, err := os.Open(path)
	if err != nil {
		return fileError(path, err)
	}
	defer f.Close()
	b, err := bundle.Read(f)
	switch {
	case err != nil:
		return err
	case a.json():
		a.printJSON(b)
	default:
		a.printBundle(b)
	}
	return nil
}

// printBundle is a summary: where and when, what was wrong, and how much there is of each.
func (a *app) printBundle(b *api.Bundle) {
	h := b.Host
	facts := []fact{
		{"host", fmt.Sprintf("%s  version %s  boot %s", h.Name, h.Version, h.Boot)},
		{"taken", clock(b.At) + "  " + ago(b.At) + "  " + b.Reason},
	}
	if !h.StartedAt.IsZero() {
		facts = append(facts, fact{"started", clock(h.StartedAt)})
	}
	for _, x := range h.Health {
		facts = append(facts, fact{"health", x.Level + "  " + x.Code + "  " + x.Message})
	}
	states := map[string]int{}
	dead := 0
	for _, x := range b.Actors {
		if x.Dead {
			dead++
			continue
		}
		states[x.State]++
	}
	if dead > 0 {
		states["dead"] = dead
	}
	jobs := map[string]int{}
	for _, j := range b.Jobs {
		if j.State == run.JobSettled {
			verdict, _, _ := ending(j)
			jobs[verdict]++
		} else {
			jobs[string(j.State)]++
		}
	}
	facts = append(facts,
		fact{"actors", countsText(states)}, fact{"jobs", countsText(jobs)},
		fact{"others", strings.Join([]string{
			counted(len(h.Workers), "worker"), counted(len(b.Guests), "guest"), counted(len(h.Artifacts), "artifact"), counted(len(b.Apps), "app"),
			counted(len(b.Dead), "dead letter"), counted(len(b.Log), "line") + " of log", fmt.Sprintf("%d audited", len(b.Audit)),
		}, "  ")})
	for _, part := range sortedKeys(b.Missing) {
		facts = append(facts, fact{"missing", part + ": " + b.Missing[part]})
	}
	a.printFacts(facts)
}
