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
	"github.com/troupehost/troupe/host"
)

func (a *app) chainStatusVerb() verb {
	return verb{
		use: "status", short: "Show how far the chain is, what this host owes to it, and what waits",
		long:     "Each line says in words what it waits for, and since when.",
		examples: []string{"troupe chain status -o json | jq .chain.outbox", "how many calls are on their way, by state"},
		exits:    exitsChain,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				v, err := n.Chain(ctx)
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(v)
				default:
					a.printChain(v)
				}
				return nil
			})
		},
	}
}

// chainLine is what 'troupe status' tells of the chain; "" if the host has none, or does not say.
func chainLine(v inspect.ChainView, err error) string {
	c := v.Chain
	switch {
	case err != nil:
		return ""
	case !c.Connected:
		return "lost " + ago(c.Since) + "  " + oneLine(cmp.Or(c.Waiting, c.LastError)) + "  " + counted(total(c.Outbox), "call") + " waiting"
	}
	return fmt.Sprintf("block %d %s  finalized %d  %s on the way  %s", c.Head, ago(c.HeadTime), c.Finalized, counted(total(c.Outbox), "call"),
		cmp.Or(oneLine(v.Follower.State), "not followed"))
}

func (a *app) printChain(v inspect.ChainView) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	tell := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, oneLine(text))
		}
	}
	c, r, f := v.Chain, v.Reporter, v.Follower
	tell("chain", v.URL)
	tell("genesis", c.Genesis)
	state := "connected " + ago(c.Since)
	if !c.Connected {
		state = "lost " + ago(c.Since)
	}
	tell("state", state)
	tell("waits for", c.Waiting)
	tell("head", fmt.Sprintf("%d  %s", c.Head, blockClock(c.HeadTime)))
	tell("finalized", fmt.Sprintf("%d, %d behind the tip", c.Finalized, c.Lag))
	waiting := ""
	if total(c.Outbox) > 0 {
		waiting = " (" + countsText(c.Outbox) + ")"
	}
	tell("outbox", fmt.Sprintf("%d of %d%s", total(c.Outbox), c.Cap, waiting))
	tell("sent", fmt.Sprintf("%d final, %d failed, %d dropped, %d signed again", c.Finished, c.Failed, c.Dropped, c.Resigned))
	tell("last error", c.LastError)
	tell("worker", r.Worker)
	tell("attestation", r.Attestation)
	tell("session", cmp.Or(r.Session, "none is open"))
	tell("reports", fmt.Sprintf("%d settled, %d open, %d refused", r.Settled, r.Open, r.Refused))
	tell("next report", clockOr(r.NextReport, "-"))
	tell("follower", strings.TrimSpace(f.State+" "+f.Reason))
	tell("demand", fmt.Sprintf("%d tickets, %d compute requests", f.Tickets, f.Requests))
	tell("heartbeat", r.Heartbeat.Alarm)
	_ = w.Flush()
	if len(r.Duties) == 0 {
		return
	}
	fmt.Fprintln(w, "\nDUTY\tSTATE\tSINCE\tDONE\tNEXT\tREASON")
	for _, d := range r.Duties {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", fault.Quote(d.Name), fault.Quote(d.State), since(d.Since), d.Done, clockOr(d.Next, "-"), cmp.Or(oneLine(cmp.Or(d.Error, d.Reason)), "-"))
	}
	_ = w.Flush()
}

func total(n map[string]int) (sum int) {
	for _, v := range n {
		sum += v
	}
	return sum
}

func clockOr(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return clock(t)
}

func (a *app) chainCallsOutVerb() verb {
	var history bool
	return verb{
		use: "outbox [flags]", short: "List the calls of this host on their way to the chain",
		rows: true,
		examples: []string{
			"troupe chain outbox", "what waits, in the order in which it goes",
			"troupe chain outbox --history", "what became of the last hundred",
		},
		exits: exitsChain,
		flags: func(fs *pflag.FlagSet) { fs.BoolVar(&history, "history", false, "the last hundred that are settled") },
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				all := []inspect.Outgoing{}
				for filter := (host.CallFilter{History: history, Newest: history}); ; {
					page, err := n.ChainCalls(ctx, filter)
					if err != nil {
						return err
					}
					all = append(all, page.Calls...)
					if filter.After = page.Next; filter.After == 0 || history {
						break
					}
				}
				if history {
					slices.Reverse(all)
				}
				a.printOutbox(all)
				return nil
			})
		},
	}
}

func (a *app) printOutbox(all []inspect.Outgoing) {
	if a.json() {
		printRows(a, all, all, func(c inspect.Outgoing) string { return fmt.Sprint(c.Number) })
		return
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tCALL\tSTATE\tSINCE\tNONCE\tBLOCK\tTRIES\tKEY\tERROR")
	for _, c := range all {
		nonce := "-"
		if c.Nonce != nil {
			nonce = fmt.Sprint(*c.Nonce)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", c.Number, oneLine(c.Call), oneLine(c.State), since(c.Since), nonce, c.Block, c.Tries, oneLine(c.Key), cmp.Or(oneLine(c.Error), "-"))
	}
	_ = w.Flush()
}

// rows prints all pages of a list of the host, as a table with one line for each.
func rows[T any](a *app, head string, page func(after string) ([]T, string, error), name, line func(T) string) error {
	all := []T{}
	for after, more := "", true; more; more = after != "" {
		part, next, err := page(after)
		if err != nil {
			return err
		}
		all, after = append(all, part...), next
	}
	if a.json() {
		printRows(a, all, all, name)
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, one := range all {
		fmt.Fprintln(w, line(one))
	}
	return w.Flush()
}

func (a *app) chainDemandVerb() verb {
	return verb{
		use: "demand", short: "List what the chain wants of this host, and how it stands with it",
		rows:     true,
		examples: []string{"troupe chain demand", "apps of tickets, the benchmark app, and compute requests"},
		exits:    exitsChain,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				return rows(a, "DEMAND\tKIND\tSTATE\tSINCE\tBALANCE\tREASON", func(after string) ([]inspect.Demand, string, error) {
					page, err := n.ChainDemands(ctx, after)
					return page.Demands, page.Next, err
				}, func(d inspect.Demand) string { return d.ID }, func(d inspect.Demand) string {
					return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", oneLine(d.ID), oneLine(d.Kind), oneLine(d.State), since(d.Since), cmp.Or(oneLine(d.Balance), "-"), cmp.Or(oneLine(d.Reason), "-"))
				})
			})
		},
	}
}

func (a *app) chainPayVerb() verb {
	return verb{
		use: "pay", short: "List what apps have earned on the chain since the host started",
		rows:     true,
		examples: []string{"troupe chain pay", "what was paid, and what the tickets could not pay"},
		exits:    exitsChain,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				return rows(a, "APP\tPAID\tDEBT\tTICKETS\tAT", func(after string) ([]inspect.Pay, string, error) {
					page, err := n.ChainPay(ctx, after)
					return page.Apps, page.Next, err
				}, func(p inspect.Pay) string { return p.Address }, func(p inspect.Pay) string {
					return fmt.Sprintf("%s\t%s\t%s\t%v\t%s", oneLine(p.Address), oneLine(p.Paid), oneLine(p.Debt), p.Tickets, clockOr(p.At, "-"))
				})
			})
		},
	}
}

func (a *app) chainReportVerb() verb {
	return verb{
		use: "report [ADDRESS...]", short: "Have what apps have used settled on the chain now",
		long:     "Without an address that of all apps. It waits until that is final; prints the reports that were made, and the height of the last one's block.",
		examples: []string{"troupe chain report", "in place of waiting for --report-every"},
		exits:    with(exitsChain, exitConflict), complete: a.completeApps,
		run: func(ctx context.Context, given []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				addresses, err := resolveApps(ctx, n, given)
				if err != nil {
					return err
				}
				r, err := n.ReportToChain(ctx, addresses...)
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(r)
				default:
					if r.Reports == 0 {
						fmt.Fprintln(a.out, "nothing to report")
						return nil
					}
					fmt.Fprintf(a.out, "%s  block %d\n", counted(r.Reports, "report"), r.Height)
				}
				return nil
			})
		},
	}
}

func (a *app) chainAdoptVerb() verb {
	return verb{
		use: "adopt GENESIS", short: "Take the chain that is there now in place of the one that this host knew",
		long: `A host that finds another chain than before stops sending, and keeps everything. Name the genesis of the new one to have all that is
on its way signed anew for it.`,
		examples: []string{"troupe chain adopt 3f9a…", "the genesis that 'troupe chain status' shows, 64 hex digits"},
		exits:    with(exitsChain, exitConflict), args: exactly(1, "a genesis hash"),
		run: func(ctx context.Context, given []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				d, err := n.AdoptChain(ctx, given[0])
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(d)
				default:
					fmt.Fprintf(a.out, "%s\n", fault.Quote(d.State))
				}
				return nil
			})
		},
	}
}
