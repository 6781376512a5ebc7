package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

func (a *app) actorVerb() verb {
	level := &levelFor{level: choice{"", levels}}
	return verb{
		use: "actor COMMAND", short: "See the actors that a host is made of, and pause, restart or kill one",
		examples: []string{
			"troupe actor tree", "who owns whom, and what each does now",
			"troupe actor list --selector 'oldest>5s' --sort -mailbox", "where messages wait",
			"troupe actor trace troupe/execute", "its messages as they come",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			listVerb(a, actorList, verb{
				use: "list [flags]", short: "List actors",
				long: "MAILBOX is what waits, and how much may. HANDLED is a rate while somebody watches, otherwise the total since the start.",
				examples: []string{
					"troupe actor list --selector 'state!=idle'", "those that do something",
					"troupe actor list --watch --sort -rate", "the busiest, as they change",
				},
			}),
			a.actorTreeVerb(), a.actorShowVerb(), a.actorMailboxVerb(), a.actorTraceVerb(),
			a.actVerb(deed{
				name: "actor.log_level", use: "log-level [flags] LEVEL PATH...", what: "actor", view: "actors", least: 1,
				long: "LEVEL is " + strings.Join(levels, ", ") + ". It ends by itself.", example: "debug troupe/execute",
				first: level.first, args: level.args, flags: level.add, offer: a.completeLevels, resolve: resolveActor,
			}, "Log more, or less, of actors for a while"),
			a.actorDeed("actor.pause", "Have actors do no more work for now"),
			a.actorDeed("actor.resume", "Have paused actors go on"),
			a.actorDeed("actor.restart", "Begin actors anew"),
			a.actorDeed("actor.kill", "End the worker or the app that is behind actors"),
		},
	}
}

func (a *app) actorDeed(name, short string) verb {
	return a.actVerb(deed{
		name: name, use: specOf(name).Action + " [flags] PATH...", what: "actor", view: "actors", example: "troupe/execute/worker-3",
		offer: a.completeActors, resolve: resolveActor,
	}, short)
}

var levels = []string{"trace", "debug", "info", "warn", "error"}

// levelFor is a level of the log, and how long it holds.
type levelFor struct {
	level choice
	lasts span
}

func (l *levelFor) add(fs *pflag.FlagSet) {
	fs.Var(limit{&l.lasts, time.Second, 24 * time.Hour}, "for", "the level ends after D (default 10m)")
}

func (l *levelFor) first(args []string) ([]string, error) {
	if err := l.level.Set(args[0]); err != nil {
		hint := err.Error()
		if n := nearest(args[0], levels); n != "" {
			hint = "did you mean '" + n + "'?"
		}
		return nil, usage("level "+fault.Quote(args[0]), hint)
	}
	return args[1:], nil
}

func (l *levelFor) args() map[string]string {
	args := map[string]string{"level": l.level.value}
	if l.lasts > 0 {
		args["for_us"] = fmt.Sprint(time.Duration(l.lasts).Microseconds())
	}
	return args
}

// mostActors is how many actors are asked for, when all are.
const mostActors = 100_000

// resolveActor completes the last part of a path, if one actor only has it.
func resolveActor(ctx context.Context, n *node, name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	p, err := read(ctx, n, actorList, client.Find{Limit: mostActors})
	if err != nil {
		return "", err
	}
	var found []string
	for _, x := range p.Rows {
		if x.Path == name {
			return name, nil
		}
		if strings.HasSuffix(x.Path, "/"+name) {
			found = append(found, fault.Quote(x.Path))
		}
	}
	switch {
	case len(found) == 0:
		return "", fault.New(fault.CallerNotFound, "actor", fault.Quote(name), nil).WithHint("'troupe actor tree' shows what there is")
	case len(found) == 1:
		return found[0], nil
	case len(found) > candidates:
		found[candidates] = "and more"
		found = found[:candidates+1]
	}
	return "", fault.New(fault.CallerConflict, "actor", fault.Quote(name), nil).WithHint("several have this name: " + strings.Join(found, ", "))
}

func (a *app) actorTreeVerb() verb {
	f := &find{}
	return verb{
		use: "tree [flags]", short: "Show who owns whom, and what each does now",
		long: "With --selector, those that match and all above them. The JSON has what is below an actor inside of it.",
		examples: []string{
			"troupe actor tree", "all of it",
			"troupe actor tree --selector 'fault~worker'", "where faults were, and in whose care",
		},
		exits: exitsList, view: "actors",
		flags: func(fs *pflag.FlagSet) {
			f.addSelector(fs, "only actors that match QUERY, and those above them; see 'troupe help query' (default all)")
			f.limit = mostActors
			fs.Var(count{p: &f.limit}, "limit", "at most N actors")
		},
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				p, err := read(ctx, n, actorList, f.asked())
				if err != nil {
					return pointed(f, err)
				}
				all := p
				if f.selector != "" {
					if all, err = read(ctx, n, actorList, client.Find{Limit: mostActors}); err != nil {
						return err
					}
				}
				tree := treeOf(all.Rows, p.Rows)
				if a.json() {
					a.printJSON(map[string]any{"actors": tree, "matched": p.Matched, "total": p.Total, "at": p.At})
					return nil
				}
				a.printTree(tree)
				if more := p.Matched - len(p.Rows); more > 0 {
					a.note(fmt.Sprintf("there are %d more: pass a higher --limit, or a --selector", more))
				}
				return nil
			})
		},
	}
}

// branch is an actor with those below it.
type branch struct {
	inspect.Actor
	Below []branch `json:"below,omitempty"`
}

// treeOf puts the actors that are wanted under those that own them.
func treeOf(all, wanted []inspect.Actor) []branch {
	known := map[string]inspect.Actor{}
	for _, x := range all {
		known[x.Path] = x
	}
	keep := map[string]bool{}
	for _, x := range wanted {
		known[x.Path] = x
		for path := x.Path; path != "" && !keep[path]; path = above(path) {
			keep[path] = true
		}
	}
	below := map[string][]string{}
	for path := range keep {
		if _, ok := known[path]; !ok {
			continue
		}
		owner := above(path)
		for owner != "" {
			if _, ok := known[owner]; ok {
				break
			}
			owner = above(owner)
		}
		below[owner] = append(below[owner], path)
	}
	var grow func(owner string) []branch
	grow = func(owner string) []branch {
		list := []branch{}
		slices.Sort(below[owner])
		for _, path := range below[owner] {
			b := branch{Actor: known[path]}
			if len(below[path]) > 0 {
				b.Below = grow(path)
			}
			list = append(list, b)
		}
		return list
	}
	return grow("")
}

// above is the path of the owner of an actor.
func above(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ""
	}
	return path[:i]
}

func (a *app) printTree(tree []branch) {
	l := actorList
	l.columns = slices.Clone(l.columns)
	depth := map[string]int{}
	l.columns[0] = at("ACTOR", func(x inspect.Actor) string { return x.Path[strings.LastIndexByte(x.Path, '/')+1:] })
	var rows []inspect.Actor
	var walk func(list []branch, deep int)
	walk = func(list []branch, deep int) {
		for _, b := range list {
			depth[b.Path] = deep
			rows = append(rows, b.Actor)
			walk(b.Below, deep+1)
		}
	}
	walk(tree, 0)
	wide := a.format.value == formWide
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	writeRow(w, heads(l, wide))
	for _, x := range rows {
		row := cells(l, x, wide)
		row[0] = strings.Repeat("  ", min(depth[x.Path], 32)) + row[0]
		writeRow(w, row)
	}
	_ = w.Flush()
}

func (a *app) actorShowVerb() verb {
	return verb{
		use: "show PATH", short: "Show everything about an actor, and the last that it did",
		long:     "Also of one that is dead, as long as the host remembers. The last lines are its flight recorder: what it handled, and what it became.",
		examples: []string{"troupe actor show troupe/execute/worker-3", "the last part of the path is enough, if only one actor has it"},
		exits:    exitsOnKey, args: exactly(1, "one path of an actor"), complete: a.completeActors,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				path, err := resolveActor(ctx, n, args[0])
				if err != nil {
					return err
				}
				x, err := n.Actor(ctx, path)
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(x)
				default:
					a.printActor(x)
				}
				return nil
			})
		},
	}
}

func (a *app) printActor(x inspect.ActorDetail) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	tell := func(name string, parts ...string) {
		for i := range parts {
			parts[i] = quoted(parts[i], maxCell)
		}
		if text := strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "  "); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	tell("actor", x.Path)
	tell("kind", x.Kind)
	tell("app", x.App)
	state := actorState(x.Actor)
	if x.Dead {
		state = "dead"
	}
	tell("state", state, "since "+ago(x.Since), fmt.Sprintf("incarnation %d", x.Incarnation))
	if x.Dead {
		tell("died", clock(x.DiedAt), ago(x.DiedAt))
	}
	tell("mailbox", fmt.Sprintf("%d of %d", x.Depth, x.Cap), "oldest "+since(x.OldestSince))
	for _, l := range x.Lanes {
		room := fmt.Sprint(l.Depth)
		if l.Cap > 0 {
			room += fmt.Sprintf(" of %d", l.Cap)
		}
		tell("", l.Name, room, "oldest "+since(l.OldestSince))
	}
	tell("messages", fmt.Sprintf("%s accepted  %s handled  %s refused (total)", manyText(x.Accepted), manyText(x.Handled), manyText(x.Refused)))
	for _, code := range sortedKeys(x.Dropped) {
		tell("", fmt.Sprintf("%d dropped, %s (total)", x.Dropped[code], code))
	}
	if r := x.Rates; r != nil {
		tell("per second", fmt.Sprintf("handled %.1f (1 s)  %.1f (10 s)  %.1f (60 s)", r.Handled.S1, r.Handled.S10, r.Handled.S60))
	}
	if t := x.Handler; t.Count > 0 {
		tell("handler", fmt.Sprintf("p50 %s  p99 %s  max %s", micros(t.P50Micros), micros(t.P99Micros), micros(t.MaxMicros)), fmt.Sprintf("of %s", manyText(t.Count)))
	}
	tell("restarts", fmt.Sprintf("%d of %d", x.Restarts, x.MaxRestarts), x.LastFault)
	out := []string{}
	for what, n := range map[string]int{"question": x.Requests, "task": x.Tasks, "timer": x.Timers, "child": x.Children} {
		if n > 0 {
			out = append(out, strings.Replace(counted(n, what), "childs", "children", 1))
		}
	}
	slices.Sort(out)
	tell("has", out...)
	if !x.NextTimer.IsZero() {
		tell("next timer", "in "+untilText(x.NextTimer))
	}
	tell("log level", x.LogLevel)
	tell("shown", ago(x.At))
	_ = w.Flush()
	if len(x.Flights) == 0 {
		return
	}
	fmt.Fprintln(w, "\nAT\tWHAT\tTYPE OR STATE\tLANE\tWAITED\tTOOK\tCAUSE\tFAULT")
	for _, e := range x.Flights {
		row := []string{stamp(e.At), e.What, cmp.Or(e.Type, e.State), e.Lane, spanOrNone(e.WaitMicros), spanOrNone(e.TookMicros), shortUnless(a.format.value == formWide, e.Cause), e.Fault}
		for i := range row {
			row[i] = cmp.Or(quoted(row[i], maxCell), "-")
		}
		writeRow(w, row)
	}
	_ = w.Flush()
}

// stamp is a point in time for a row of many.
func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (a *app) actorMailboxVerb() verb {
	return verb{
		use: "mailbox PATH", short: "List what waits in the mailbox of an actor, the oldest first",
		long:     "Headers only: the type of each message, its lane, and the id of what caused it.",
		examples: []string{"troupe actor mailbox troupe/execute", "what it will handle next"},
		exits:    exitsOnKey, args: exactly(1, "one path of an actor"), complete: a.completeActors, rows: true,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				path, err := resolveActor(ctx, n, args[0])
				if err != nil {
					return err
				}
				p, err := n.Mailbox(ctx, path)
				if err != nil {
					return err
				}
				if p.Rows == nil {
					p.Rows = []inspect.Letter{}
				}
				printPage(a, waitingList, p)
				return nil
			})
		},
	}
}

// page of one cause, for 'actor trace --recorded'.
func recorded(ctx context.Context, n *node, cause string) (api.Page[inspect.Trace], error) {
	p, err := n.Cause(ctx, cause)
	if p.Rows == nil {
		p.Rows = []inspect.Trace{}
	}
	return p, err
}
