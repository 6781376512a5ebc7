package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

func (a *app) statusVerb() verb {
	var wait span
	return verb{
		use: "status", short: "Show the host of a 'troupe serve': health, jobs, queues, workers, actors, artifacts",
		examples: []string{
			"troupe status", "what is going on, for people",
			"troupe status -o json | jq .queues", "the same for scripts",
			"troupe status --wait 10s", "wait until the host accepts work",
		},
		exits: exitsHost,
		flags: func(fs *pflag.FlagSet) {
			fs.Var(&wait, "wait", "wait until the host accepts work (default: do not wait)")
		},
		run: func(ctx context.Context, _ []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			if wait > 0 {
				if err := a.waitReady(ctx, time.Duration(wait)); err != nil {
					return err
				}
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				h, err := n.Status(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					a.printJSON(h)
					return nil
				}
				v, err := n.Chain(ctx)
				if !a.colours() {
					a.printStatus(a.out, h, chainLine(v, err))
					return nil
				}
				var text strings.Builder
				a.printStatus(&text, h, chainLine(v, err))
				_, _ = io.WriteString(a.out, painted(text.String()))
				return nil
			})
		},
	}
}

// waitReady returns when the host accepts work, or says why it does not.
func (a *app) waitReady(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		n, err := a.open(ctx, served)
		if err == nil {
			err = n.Ready(ctx)
		}
		if err == nil || !(errors.Is(err, fault.CallerUnreachable) || errors.Is(err, fault.Busy)) {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return err // why it was not ready, rather than that we waited in vain
			}
			return fault.From(context.Cause(ctx))
		case <-time.After(retry):
		}
	}
}

// printStatus prints a host, and a line about its chain if there is one.
func (a *app) printStatus(out io.Writer, h inspect.Host, chain string) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	state := "starting"
	switch {
	case h.Draining:
		state = "draining"
	case h.Ready:
		state = "ready"
	}
	fmt.Fprintf(w, "host\t%s  %s  up %s  %d requests  version %s\n", h.Name, state, age(h.StartedAt), h.Requests, h.Version)
	fmt.Fprintf(w, "data\t%s\nsandbox\t%s\n", oneLine(h.DataDir), levelText(h.Sandbox))
	s := h.Store
	fmt.Fprintf(w, "store\t%d artifacts  %s of %s  on disk %s  in memory %s  disk free %s\n",
		s.Entries, sizeText(s.Bytes), sizeText(s.LimitBytes), sizeText(s.DiskBytes), sizeText(s.MemoryBytes), sizeText(s.FreeBytes))
	states := map[string]int{}
	for _, x := range h.Artifacts {
		states[x.State]++
	}
	fmt.Fprintf(w, "artifacts\t%s\njobs\t%s\n", countsText(states), countsText(h.Jobs))
	if chain != "" {
		fmt.Fprintf(w, "chain\t%s\n", chain)
	}
	if len(h.Health) == 0 {
		fmt.Fprintf(w, "health\tok\n")
	}
	for _, x := range h.Health {
		fmt.Fprintf(w, "health\t%s  %s  %s  for %s\n", x.Level, x.Code, oneLine(x.Message), age(x.Since))
		if x.Hint != "" {
			fmt.Fprintf(w, "\thint: %s\n", oneLine(x.Hint))
		}
	}
	_ = w.Flush()

	fmt.Fprintf(w, "\nQUEUE\tWAITING\tROOM\tOLDEST\tRUNNING\tWORKERS\tREFUSED (TOTAL)\n")
	for _, q := range h.Queues {
		waiting := 0
		for _, n := range q.Parked {
			waiting += n
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d of %d\t%d\n", fault.Quote(q.Name), waiting, q.Cap, since(q.OldestAt), q.Running, q.Workers, q.Hard, q.Refused)
	}
	_ = w.Flush()

	fmt.Fprintf(w, "\nWORKER\tKIND\tPID\tSTATE\tFOR\tTENANT\tARTIFACT\tRUNS (TOTAL)\tSANDBOX\n")
	for _, x := range h.Workers {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d\t%s\n", x.ID, x.Kind, x.PID, x.State, age(x.Since), oneLine(x.Tenant), short(x.Artifact), x.Runs, levelText(x.Sandbox))
	}
	_ = w.Flush()

	fmt.Fprintf(w, "\nACTOR\tSTATE\tFOR\tMAILBOX\tOLDEST\tHANDLED (TOTAL)\tREFUSED (TOTAL)\tRESTARTS\tLAST FAULT\n")
	for _, x := range h.Actors {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d\t%s\t%d\t%d\t%d of %d\t%s\n",
			x.Path, x.State, since(x.Since), x.Depth, x.Cap, since(x.OldestSince), x.Handled, x.Refused, x.Restarts, x.MaxRestarts, x.LastFault)
	}
	_ = w.Flush()
}

// colours reports whether stdout may be coloured.
func (a *app) colours() bool {
	return a.outTerminal && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// paints are the words of a status that say how it is, by the beginning of their line.
var paints = []struct{ begin, word, colour string }{
	{"host", "ready", "32"}, {"host", "starting", "33"}, {"host", "draining", "33"},
	{"health", "ok", "32"}, {"health", "warning", "33"}, {"health", "error", "31"},
}

// painted colours lines that have been put into columns.
func painted(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		for _, p := range paints {
			if len(words) > 1 && words[0] == p.begin && slices.Contains(words[:min(3, len(words))], p.word) {
				line = strings.Replace(line, p.word, "\x1b["+p.colour+"m"+p.word+"\x1b[0m", 1)
				break
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// countsText tells how many there are of each.
func countsText(n map[string]int) string {
	var counts []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		if n[k] > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n[k], fault.Quote(k)))
		}
	}
	return cmp.Or(strings.Join(counts, "  "), "none")
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(t)
}
