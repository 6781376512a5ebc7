package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/inspect"
)

// tracedList is what is shown of messages.
var tracedList = listing[inspect.Trace]{
	view: "trace", plural: "messages", id: func(t inspect.Trace) string { return fmt.Sprint(t.Seq) },
	columns: []cellOf[inspect.Trace]{
		at("SENT", func(t inspect.Trace) string { return stamp(t.Sent) }),
		at("ACTOR", func(t inspect.Trace) string { return t.Actor }),
		at("TYPE", func(t inspect.Trace) string { return t.Type }),
		at("LANE", func(t inspect.Trace) string { return t.Lane }),
		at("WAITED", func(t inspect.Trace) string { return gap(t.Accepted, t.Started) }),
		at("TOOK", func(t inspect.Trace) string { return gap(t.Started, t.Finished) }),
		at("FROM", func(t inspect.Trace) string { return t.From }),
		{head: "CAUSE", text: func(t inspect.Trace, wide bool) string { return shortUnless(wide, t.Cause) }},
		at("FAULT", func(t inspect.Trace) string { return t.Fault }),
	},
}

// gap is the time between two stamps; nothing if one is missing.
func gap(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return micros(max(0, to.Sub(from).Microseconds()))
}

const (
	traceRows = 1000
	traceFor  = time.Minute
)

// traceFlags are the flags of 'actor trace'.
type traceFlags struct {
	kind, name, cause string
	min, lasts        span
	rows, sample      int
	refused, past     bool
}

func (f *traceFlags) add(fs *pflag.FlagSet) {
	fs.Var(word{&f.kind, "KIND"}, "kind", "only messages to actors of this kind (default all)")
	fs.Var(word{&f.name, "TEXT"}, "type", "only messages whose type has TEXT in it (default all)")
	fs.Var(word{&f.cause, "ID"}, "cause", "only messages of this cause, 32 hex digits (default all)")
	fs.Var(limit{&f.min, time.Microsecond, time.Hour}, "slow", "only messages that were handled for D or longer (default all)")
	fs.BoolVar(&f.refused, "refused", false, "only messages that were refused")
	fs.Var(count{p: &f.sample}, "sample", "one cause in N only (default each)")
	f.rows, f.lasts = traceRows, span(traceFor)
	fs.Var(count{p: &f.rows}, "limit", "end after N messages")
	fs.Var(limit{&f.lasts, time.Millisecond, time.Hour}, "for", "end after D")
	fs.BoolVar(&f.past, "recorded", false, "of --cause, what the flight recorders of all actors hold, also of dead ones")
}

func (a *app) actorTraceVerb() verb {
	f := &traceFlags{}
	return verb{
		use: "trace [flags] [PATH]", short: "Show messages as they are handled: when each was sent, how long it waited, how long it took",
		long: `Of one actor and all below it, or of all. It ends by itself: after --limit messages, after --for, or with Ctrl-C. What comes faster
than it can be shown is dropped and counted. While nobody traces, it costs nothing.`,
		examples: []string{
			"troupe actor trace troupe/execute", "the messages of the execute queue and its workers",
			"troupe actor trace --slow 100ms --for 10m", "whatever takes long",
			"troupe actor trace --recorded --cause 5d0c31f2a8e94b7785c0ffee0badf00d", "one cause across all actors, as far as they remember",
		},
		exits: exitsOnKey, args: atMost(1, "one path of an actor"), complete: a.completeActors, flags: f.add, rows: true,
		run: func(ctx context.Context, args []string) error {
			switch {
			case f.past && f.cause == "":
				return usage("--recorded without --cause", "name the cause: rows of a trace and of 'troupe actor show' have it")
			case f.past && len(args) > 0:
				return usage("--recorded with a path", "a cause goes through all actors: leave the path out")
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				if f.past {
					p, err := recorded(ctx, n, f.cause)
					if err == nil {
						printPage(a, tracedList, p)
					}
					return err
				}
				filter := inspect.TraceFilter{
					Kind: f.kind, Type: f.name, Cause: strings.ToLower(f.cause), MinMicros: time.Duration(f.min).Microseconds(), Rows: f.rows,
					ForMicros: time.Duration(f.lasts).Microseconds(), Refused: f.refused, Sample: f.sample,
				}
				if len(args) == 1 {
					var err error
					if filter.Actor, err = resolveActor(ctx, n, args[0]); err != nil {
						return err
					}
				}
				return a.trace(ctx, n, filter)
			})
		},
	}
}

// trace prints messages until the budget is used up or the user has seen enough.
func (a *app) trace(ctx context.Context, n *node, filter inspect.TraceFilter) error {
	wide := a.format.value == formWide
	all := []inspect.Trace{}
	var seen int
	var lost uint64
	if !a.json() {
		fmt.Fprintln(a.out, tabbed(heads(tracedList, wide)))
	}
	err := n.Trace(ctx, filter, func(t inspect.Trace) error {
		seen, lost = seen+1, max(lost, t.Dropped)
		switch {
		case a.format.value == formJSON:
			all = append(all, t)
		case a.json():
			a.printRow(t, tracedList.id(t))
		default:
			fmt.Fprintln(a.out, tabbed(cells(tracedList, t, wide)))
		}
		return cmp.Or(a.failed, a.out.err)
	})
	if ctx.Err() != nil {
		err = a.stopped(ctx)
	}
	if a.format.value == formJSON && err == nil {
		a.printJSON(map[string]any{"messages": all, "dropped_total": lost})
	}
	if lost > 0 {
		a.note(fmt.Sprintf("%s were dropped, since they came faster than they could be shown: narrow it down", counted(int(min(lost, 1<<53)), "message")))
	}
	if err == nil {
		a.note("the trace has ended after " + counted(seen, "message"))
	}
	return err
}
