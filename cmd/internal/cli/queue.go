package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

func (a *app) queueVerb() verb {
	return verb{
		use: "queue COMMAND", short: "See what waits in a 'troupe serve', and end what is not wanted any more",
		examples: []string{
			"troupe queue show", "preparations with their priorities, and who waits for workers",
			"troupe queue revoke block-7", "end the requests that carry this tag",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.queueListVerb(), a.queueShowVerb(),
			a.queueDeed("queue.pause", "Have queues accept and start nothing new"), a.queueDeed("queue.resume", "Have paused queues go on"),
			a.queueDeed("queue.purge", "End all that waits in queues"), a.queueRevokeVerb(),
		},
	}
}

func (a *app) queueShowVerb() verb {
	return verb{
		use: "show [QUEUE...]", short: "Show the preparations and the runs that wait, and what holds them back",
		long: `HELD says how a preparation is slowed down while a critical one runs. RAISED says who raised its priority, from what, and
when; -o wide shows each time, otherwise the last one.`,
		examples: []string{
			"troupe queue show", "for people",
			"troupe queue show -o json | jq '.queues[0].preparations'", "for scripts",
		},
		exits: exitsList, args: atLeast(0, ""), complete: a.completeQueues, rows: true,
		run: func(ctx context.Context, names []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				h, err := n.Status(ctx)
				if err != nil {
					return err
				}
				queues := h.Queues
				for _, name := range names {
					if !slices.ContainsFunc(queues, func(q inspect.Queue) bool { return q.Name == name }) {
						return fault.New(fault.CallerNotFound, "queue", fault.Quote(name), nil).WithHint("'troupe queue list' shows what there is")
					}
				}
				if len(names) > 0 {
					queues = slices.DeleteFunc(queues, func(q inspect.Queue) bool { return !slices.Contains(names, q.Name) })
				}
				if a.json() {
					printRows(a, map[string]any{"queues": queues}, queues, queueList.id)
					return nil
				}
				a.printQueues(queues)
				return nil
			})
		},
	}
}

func (a *app) printQueues(queues []inspect.Queue) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "QUEUE\tCRITICAL\tHIGH\tNORMAL\tBACKGROUND\tROOM\tOLDEST\tRUNNING\tWORKERS\n")
	for _, q := range queues {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d of %d, %d while critical\n", fault.Quote(q.Name), q.Parked["critical"], q.Parked["high"],
			q.Parked["normal"], q.Parked["background"], q.Cap, since(q.OldestAt), q.Running, q.Workers, q.Soft, q.Hard)
	}
	_ = w.Flush()
	for _, q := range queues {
		if len(q.Preparations) == 0 {
			continue
		}
		fmt.Fprintf(w, "\nPREPARATION\tARTIFACT\tCODE\tTENANT\tPRIORITY\tSTATE\tFOR\tRUNNING\tBUDGET\tHELD\tRAISED\n")
		for _, p := range q.Preparations {
			row := []string{
				fmt.Sprint(p.Job), short(p.Artifact), short(p.CodeHash), p.Tenant, p.Priority, p.State, since(p.Since), since(p.StartedAt),
				micros(p.BudgetCPU), p.Held, a.raised(p.Escalations),
			}
			for i := range row {
				row[i] = cmp.Or(oneLine(row[i]), "-")
			}
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		_ = w.Flush()
	}
}

// raised tells the last escalation, or each on a wide table.
func (a *app) raised(all []inspect.Escalation) string {
	if a.format.value != formWide && len(all) > 1 {
		all = all[len(all)-1:]
	}
	var steps []string
	for _, e := range all {
		steps = append(steps, escalation(e))
	}
	return strings.Join(steps, ", ")
}

// escalation tells from what to what a priority was raised, by whom and when.
func escalation(e inspect.Escalation) string {
	return fmt.Sprintf("%s to %s by %s %s", fault.Quote(e.From), fault.Quote(e.To), fault.Quote(e.By), ago(e.At))
}

func (a *app) queueRevokeVerb() verb {
	return verb{
		use: "revoke TAG", short: "End the runs and jobs that carry a validity tag, and refuse those that come with it later",
		long:     "Prints how many were ended. The tag is that of 'troupe run --validity TAG'; only those of the same user are meant.",
		examples: []string{"troupe queue revoke block-7", "the block is obsolete, and so is all work on it"},
		exits:    exitsHost, args: exactly(1, "one validity tag"),
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				r, err := n.Revoke(ctx, args[0])
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(r)
				default:
					fmt.Fprintf(a.out, "%d\n", r.Ended)
				}
				return nil
			})
		},
	}
}
