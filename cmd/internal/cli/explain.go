package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

func (a *app) explainVerb() verb {
	return verb{
		use: "explain ID", short: "Say what a thing waits for, who owns that, and since when",
		long: `Of an actor, job, artifact, worker, app, queue, ticket, request, call to the chain, blob or message: of whatever has an id in some
list. A unique beginning of the id of a job is enough, and so is the last part of the path of an actor. Ends with what can be done
about it.`,
		examples: []string{
			"troupe explain 01jq7", "why a job has not begun",
			"troupe explain execute", "what a queue waits for",
		},
		exits: exitsOnKey, args: exactly(1, "one id"), complete: a.completeAny,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				x, err := explainAny(ctx, n, args[0])
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(x)
				default:
					a.printExplanation(x)
				}
				return nil
			})
		},
	}
}

// explainAny asks about a thing by its id as people type it. The host knows whole ids, and the beginnings of hashes.
func explainAny(ctx context.Context, n *node, id string) (inspect.Explanation, error) {
	if id == "" {
		return inspect.Explanation{}, fault.New(fault.CallerInvalid, "explain", "", nil).WithHint("give an id from some list")
	}
	x, err := n.Explain(ctx, id)
	if fault.CodeOf(err) != fault.CallerNotFound {
		return x, err
	}
	path, no := resolveActor(ctx, n, id)
	if no == nil && path != id {
		return n.Explain(ctx, path)
	}
	if fault.CodeOf(no) == fault.CallerConflict {
		return x, no
	}
	j, no := resolveJob(ctx, n, id)
	switch {
	case no == nil:
		return n.Explain(ctx, j.ID)
	case fault.CodeOf(no) == fault.CallerConflict:
		return x, no
	}
	return x, err
}

func (a *app) printExplanation(x inspect.Explanation) {
	blame := ""
	if x.Blame != "" {
		blame = "  to blame: " + quoted(x.Blame, maxCell)
	}
	fmt.Fprintf(a.out, "%s %s  %s%s\n", quoted(x.Kind, maxCell), quoted(x.ID, maxCell), quoted(x.State, maxCell), blame)
	if x.Summary != "" {
		printWrapped(a.out, "", quoted(x.Summary, maxWords))
	}
	for i, b := range x.Because {
		words := quoted(b.Words, maxWords)
		var more []string
		if b.ID != "" {
			more = append(more, strings.TrimSpace(quoted(b.Kind, maxCell)+" "+quoted(b.ID, maxCell)))
		}
		if b.Owner != "" {
			more = append(more, "owner: "+quoted(b.Owner, maxCell))
		}
		if !b.Since.IsZero() {
			more = append(more, "for "+age(b.Since))
		}
		if len(more) > 0 {
			words += " (" + strings.Join(more, ", ") + ")"
		}
		printWrapped(a.out, cmp.Or(map[bool]string{true: "because  "}[i == 0], "     as  "), words)
	}
	for _, s := range x.Advice {
		printWrapped(a.out, "    try  ", quoted(s, maxWords))
	}
}

// maxWords bounds a sentence of the host, in bytes.
const maxWords = 1024
