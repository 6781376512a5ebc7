package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/client"
)

// Completion asks the host that runs, within completionTime, and stays silent whatever happens. What it offers is one word: text
// that a shell would have to quote is left out.

// mostOffered is how many rows completion looks at.
const mostOffered = 1000

// offered asks for the ids of a list.
func offered[T any](a *app, l listing[T]) []string {
	return a.complete(func(ctx context.Context, n *node) (ids []string) {
		p, err := read(ctx, n, l, client.Find{Limit: mostOffered})
		if err != nil {
			return nil
		}
		for _, x := range p.Rows {
			if id := l.id(x); isWord(id) {
				ids = append(ids, id)
			}
		}
		return ids
	})
}

// isWord reports whether a shell takes text as it is.
func isWord(text string) bool {
	return text != "" && text == fault.Quote(text) && !strings.ContainsAny(text, " \t\"'`$&|;<>()*?[]{}~#!\\\uFFFD")
}

func (a *app) completeActors([]string) []string  { return offered(a, actorList) }
func (a *app) completeWorkers([]string) []string { return offered(a, workerList) }
func (a *app) completeQueues([]string) []string  { return offered(a, queueList) }
func (a *app) completeLetters([]string) []string { return offered(a, letterList) }

// completeLevels offers a level of the log, and then actors.
func (a *app) completeLevels(args []string) []string {
	if len(args) == 0 {
		return levels
	}
	return a.completeActors(args)
}

// completeAny offers ids of whatever waits most often.
func (a *app) completeAny(args []string) (all []string) {
	for _, ids := range []func([]string) []string{a.completeQueues, a.completeJobs, a.completeApps, a.completeWorkers, a.completeActors} {
		all = append(all, ids(args)...)
	}
	return all
}

// completeQuery offers fields, and values of fields: those that the grammar knows, and those that rows have now.
func (a *app) completeQuery(view, typed string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, s := range query.Complete(view, typed, len(typed)) {
		out = append(out, typed[:min(s.From, len(typed))]+s.Text+"\t"+s.Help)
	}
	word := typed[strings.LastIndexByte(typed, ' ')+1:]
	if i := strings.IndexAny(word, "=:~"); len(out) == 0 && i > 0 {
		at := len(typed) - len(word) + 1 + max(i, strings.LastIndexByte(word, ','))
		for _, v := range a.valuesOf(view, strings.TrimSuffix(word[:i], "!")) {
			out = append(out, typed[:at]+v)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// valuesOf asks which values a field of text has now.
func (a *app) valuesOf(view, field string) []string {
	fields := query.Fields(view)
	i := slices.IndexFunc(fields, func(f query.Field) bool { return f.Name == field || slices.Contains(f.Aliases, field) })
	if i < 0 || fields[i].Kind != query.Text {
		return nil
	}
	names := append([]string{fields[i].Name}, fields[i].Aliases...)
	return a.complete(func(ctx context.Context, n *node) []string {
		p, err := firstFrame[map[string]json.RawMessage](ctx, n, view, client.Find{Limit: mostOffered})
		if err != nil {
			return nil
		}
		var values []string
		for _, row := range p.Rows {
			for _, name := range names {
				var v string
				if json.Unmarshal(row[name], &v) == nil && isWord(v) {
					values = append(values, v)
				}
			}
		}
		slices.Sort(values)
		values = slices.Compact(values)
		return values[:min(len(values), query.MaxSuggestions)]
	})
}

// sortFields are the fields that a view can be sorted by.
func sortFields(view, typed string) (out []string) {
	sign := ""
	if strings.HasPrefix(typed, "-") {
		sign = "-"
	}
	for _, f := range query.Fields(view) {
		out = append(out, sign+f.Name+"\t"+f.Help)
	}
	return out
}
