package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

func (a *app) appVerb() verb {
	return verb{
		use: "app COMMAND", short: "Build, deploy and look after apps",
		examples: []string{
			"troupe app build app.toml", "manifest, blobs and address of an app, without a host",
			"troupe app deploy app.app", "hand it to the host of a 'troupe serve'",
			"troupe app query 3f9a2c /hello", "ask it something",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.appBuildVerb(), a.appDeployVerb(), a.appListVerb(), a.appShowVerb(), a.appQueryVerb(), a.appLogsVerb(),
			a.appChangeVerb("start", "Have stopped apps run again", "An app that is on demand is started by who asks it.", (*client.Client).StartApp),
			a.appChangeVerb("stop", "End the instances of apps, which stay deployed", "Returns when they are gone: what does not end by itself within a second is killed.", (*client.Client).StopApp),
			a.actVerb(deed{name: "app.restart", what: "app", view: "apps", example: "3f9a2c", offer: a.completeApps, resolve: resolveApp}, "End the instances of apps, and begin new ones"),
			a.appResizeVerb(), a.appRaiseVerb(), a.appRemoveVerb(), a.appBenchVerb(),
		},
	}
}

const hintAddress = "a unique beginning of the address is enough"

func (a *app) appListVerb() verb {
	tenant, f := "", &find{}
	return verb{
		use: "list [flags]", short: "List apps in the order of their deployment",
		rows: true, view: "apps",
		examples: []string{
			"troupe app list", "what is deployed, and what it does",
			"troupe app list -o json | jq '.apps[] | select(.state == \"failed\")'", "for scripts",
		},
		exits: exitsHost,
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.Var(word{&tenant, "NAME"}, "tenant", "only apps of this tenant, like uid:0 (default all)")
		},
		run: func(ctx context.Context, _ []string) error {
			if f.selector != "" || f.sort != "" || f.watch {
				if tenant != "" {
					f.selector = strings.TrimSpace(f.selector + " tenant=" + quoteValue(tenant))
				}
				return a.at(ctx, served, func(ctx context.Context, n *node) error { return list(ctx, a, n, appList, f) })
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				all, err := n.Apps(ctx, tenant)
				more := len(all) - f.limit
				if more > 0 {
					all = all[:f.limit]
				}
				switch {
				case err != nil:
					return err
				case a.json():
					printRows(a, api.AppList{Apps: all}, all, func(x inspect.App) string { return x.Address })
				default:
					_, _ = a.out.Write(tableOf(appList, all, a.format.value == formWide))
					if more > 0 {
						a.note(fmt.Sprintf("there are %d more: pass a higher --limit, or a --selector", more))
					}
				}
				return nil
			})
		},
	}
}

func (a *app) appShowVerb() verb {
	return verb{
		use: "show ADDRESS...", short: "Show everything about apps: state, instances, use",
		long:     "The JSON of one app is the app; of several, a list.",
		examples: []string{"troupe app show 3f9a2c", hintAddress},
		exits:    exitsOnKey, args: atLeast(1, "one or more addresses of apps"), complete: a.completeApps,
		run: func(ctx context.Context, args []string) error {
			between := ""
			return a.onApps(ctx, "show", args, (*client.Client).App, func(x inspect.App) {
				_, _ = io.WriteString(a.out, between)
				between = "\n"
				a.printApp(x)
			})
		},
	}
}

func (a *app) printApp(x inspect.App) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	tell := func(name string, parts ...string) {
		for i := range parts {
			parts[i] = oneLine(parts[i])
		}
		if text := strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "  "); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	mode := "long-running"
	switch {
	case x.Bench:
		mode = "benchmark"
	case x.OnDemand:
		mode = "on demand"
	case x.Resizable:
		mode += ", resizable"
	}
	tell("app", x.Address)
	tell("label", x.Label)
	tell("state", x.State, x.Reason)
	tell("tenant", x.Tenant)
	tell("session", x.Session)
	tell("entry", x.Entry, x.Reuse, mode, "weight "+fmt.Sprint(x.Weight))
	tell("code", x.CodeHash, "manifest version "+fmt.Sprint(x.Version))
	if !x.Deployed.IsZero() {
		tell("deployed", clock(x.Deployed), ago(x.Deployed))
	}
	tell("instances", fmt.Sprintf("%d of %d running", x.Running, x.Wanted), fmt.Sprintf("%d restarts", x.Restarts))
	for _, i := range x.Instances {
		tell("", fmt.Sprintf("%d", i.ID), i.State, since(i.Since), i.Reason)
	}
	if !x.LastEndAt.IsZero() {
		tell("last end", ago(x.LastEndAt), x.LastEnd)
	}
	tell("next start", clock(x.NextAt))
	tell("requests", fmt.Sprintf("%d under way  %d waiting  %d refused", x.Active, x.Queued, x.Refused), "last "+ago(x.LastQuery))
	if x.Scheduled > 0 {
		tell("schedule", fmt.Sprintf("%d runs  %d complete  %d timed out  %d skipped", x.Scheduled, x.Complete, x.TimedOut, x.Skipped))
	}
	writeUse(w, x.Metrics)
	if x.LogDropped > 0 {
		tell("log", sizeText(int64(x.LogDropped))+" lost")
	}
	_ = w.Flush()
}

// writeUse writes the totals of an app for people.
func writeUse(w io.Writer, m inspect.AppMetrics) {
	fmt.Fprintf(w, "use\trunning %s  gas %d units  starts %d  tip %d\n", micros(int64(min(m.RunningTimeMS, 1<<50))*1000), m.Gas, m.Starts, m.Tip)
	fmt.Fprintf(w, "\tnetwork in %s, out %s  storage read %s, written %s\n", bytesText(m.NetworkIngress), bytesText(m.NetworkEgress), bytesText(m.StorageRead), bytesText(m.StorageWrite))
	fmt.Fprintf(w, "\tbyte-milliseconds of storage %s, of memory %s\n", oneLine(cmp.Or(m.StorageUsed, "0")), oneLine(cmp.Or(m.MemoryUsed, "0")))
}

func bytesText(n uint64) string { return sizeText(int64(min(n, 1<<62))) }

// appChangeVerb is a verb that changes apps one by one.
func (a *app) appChangeVerb(name, text, long string, f onApp) verb {
	return a.planned(verb{
		use: name + " [flags] ADDRESS...", short: text, long: long,
		examples: []string{"troupe app " + name + exampleReason("app."+name) + " 3f9a2c", hintAddress},
		exits:    exitsOnKey, args: atLeast(1, "one or more addresses of apps"), complete: a.completeApps,
		run: func(ctx context.Context, args []string) error { return a.onApps(ctx, name, args, f, a.printState) },
	}, deed{name: "app." + name, what: "app", view: "apps", resolve: resolveApp})
}

func (a *app) printState(x inspect.App) {
	text := oneLine(x.State)
	if x.Reason != "" {
		text += "  " + oneLine(x.Reason)
	}
	fmt.Fprintf(a.out, "%s %s\n", fault.Quote(x.Address), text)
}

func (a *app) appResizeVerb() verb {
	return verb{
		use: "resize ADDRESS N", short: "Change how many instances an app has",
		long:     "Prints how many run. More than one is only for apps whose manifest says that they are resizable.",
		examples: []string{"troupe app resize 3f9a2c 4", hintAddress},
		exits:    with(exitsHost, exitNotFound, exitConflict), args: exactly(2, "an address of an app and a number of instances"), complete: a.completeApps,
		run: func(ctx context.Context, args []string) error {
			count, err := instances(args[1])
			if err != nil {
				return err
			}
			resize := func(c *client.Client, ctx context.Context, address string) (inspect.App, error) {
				return c.ResizeApp(ctx, address, count)
			}
			return a.onApps(ctx, "resize", args[:1], resize, func(x inspect.App) {
				fmt.Fprintf(a.out, "%s %d of %d running\n", fault.Quote(x.Address), x.Running, x.Wanted)
			})
		},
	}
}

func instances(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, usage("instances "+fault.Quote(text), "write a whole number, 0 or more")
	}
	return uint32(n), nil
}

func (a *app) appRaiseVerb() verb {
	to := choice{"high", priorities[1:]}
	return a.planned(verb{
		use: "raise [flags] ADDRESS...", short: "Raise the priority at which the code of apps is prepared",
		examples: []string{
			"troupe app raise 3f9a2c", "to high; " + hintAddress,
			"troupe app raise --priority critical 3f9a2c", "before everything else",
		},
		exits: exitsOnKey, args: atLeast(1, "one or more addresses of apps"), complete: a.completeApps,
		flags: func(fs *pflag.FlagSet) { fs.Var(&to, "priority", "the new priority") },
		run: func(ctx context.Context, args []string) error {
			raise := func(c *client.Client, ctx context.Context, address string) (inspect.App, error) {
				return c.RaiseApp(ctx, address, to.value)
			}
			return a.onApps(ctx, "raise", args, raise, a.printState)
		},
	}, deed{name: "app.raise", what: "app", view: "apps", resolve: resolveApp, args: func() map[string]string { return map[string]string{"priority": to.value} }})
}

func (a *app) appRemoveVerb() verb {
	all := false
	return a.planned(verb{
		use: "remove [flags] ADDRESS... | --all", short: "End apps and their sessions, and print what they used",
		long: `What an app has stored, and its log, stay for its next deployment. Totals that were not reported before are printed here for
the last time.`,
		examples: []string{
			`troupe app remove --reason "it is not needed" 3f9a2c`, hintAddress,
			`troupe app remove --reason "a new season" --all`, "each app; prints how many there were",
		},
		exits: exitsOnKey, complete: a.completeApps,
		args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usage("addresses or --all", "pass one of them")
			}
			return nil
		},
		flags: func(fs *pflag.FlagSet) { fs.BoolVar(&all, "all", false, "all apps") },
		run: func(ctx context.Context, args []string) error {
			if all {
				return a.removeAll(ctx)
			}
			var used []inspect.AppMetrics
			remove := func(c *client.Client, ctx context.Context, address string) (x inspect.App, err error) {
				x.Metrics, err = c.RemoveApp(ctx, address)
				if err == nil {
					used = append(used, x.Metrics)
				}
				x.Address = address
				return x, err
			}
			return a.eachApp(ctx, "remove", args, remove, func([]any) any { return api.AppMetricsList{Apps: used} }, func(x inspect.App) {
				fmt.Fprintf(a.out, "%s removed\n", fault.Quote(x.Address))
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				writeUse(w, x.Metrics)
				_ = w.Flush()
			})
		},
	}, deed{name: "app.remove", what: "app", view: "apps", resolve: resolveApp, first: func(ids []string) ([]string, error) {
		if all {
			return nil, usage("--all with a plan", "pass --selector QUERY for some of them, or --all and a reason alone")
		}
		return ids, nil
	}})
}

func (a *app) removeAll(ctx context.Context) error {
	return a.at(ctx, served, func(ctx context.Context, n *node) error {
		count, err := n.RemoveAllApps(ctx)
		switch {
		case err != nil:
			return err
		case a.json():
			a.printJSON(api.AppsRemoved{Removed: count})
		default:
			fmt.Fprintf(a.out, "%d\n", count)
		}
		return nil
	})
}

func (a *app) appBenchVerb() verb {
	return verb{
		use: "bench ADDRESS N | none", short: "Say which app is the benchmark, and how many slots it may fill",
		long: "It fills slots that no other app wants, yields to all others at once, and its code is prepared in the background.",
		examples: []string{
			"troupe app bench 3f9a2c 4", hintAddress,
			"troupe app bench none", "there is no benchmark app any more",
		},
		exits: with(exitsHost, exitNotFound, exitConflict), complete: a.completeApps,
		args: func(c *cobra.Command, args []string) error {
			if len(args) == 2 || len(args) == 1 && args[0] == "none" {
				return nil
			}
			return usage("'"+c.CommandPath()+"' takes an address of an app and a number of instances, or none", seeHelp(c))
		},
		run: func(ctx context.Context, args []string) error {
			var count uint32
			if len(args) == 2 {
				var err error
				if count, err = instances(args[1]); err != nil {
					return err
				}
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				address, err := "", error(nil)
				if len(args) == 2 {
					address, err = resolveApp(ctx, n, args[0])
				}
				if err != nil {
					return err
				}
				s, err := n.SetBench(ctx, address, count)
				if err != nil {
					return err
				}
				a.printSession(s)
				return nil
			})
		},
	}
}

// onApp is a call on one app.
type onApp func(c *client.Client, ctx context.Context, address string) (inspect.App, error)

// onApps applies f to each app, and prints those for which it did not fail. The JSON of one app is the app, of several a list.
func (a *app) onApps(ctx context.Context, name string, args []string, f onApp, show func(inspect.App)) error {
	return a.eachApp(ctx, name, args, f, func(list []any) any {
		if len(args) == 1 {
			return list[0]
		}
		return map[string]any{"apps": list}
	}, show)
}

// failedApp stands in a list of apps for one that something failed for.
type failedApp struct {
	Address string    `json:"address"`
	Error   api.Error `json:"error"`
}

// eachApp is onApps with a JSON form of its own; it gets none when the only target failed.
func (a *app) eachApp(ctx context.Context, name string, args []string, f onApp, form func([]any) any, show func(inspect.App)) error {
	return a.at(ctx, served, func(ctx context.Context, n *node) error {
		var list []any
		errs := make([]error, len(args))
		for i, prefix := range args {
			var x inspect.App
			address, err := resolveApp(ctx, n, prefix)
			if err == nil {
				x, err = f(n.Client, ctx, address)
			}
			if errs[i] = err; err == nil {
				list = append(list, x)
				if !a.json() {
					show(x)
				}
				continue
			}
			list = append(list, failedApp{cmp.Or(address, prefix), api.ErrorOf(err)})
			if len(args) > 1 {
				a.printFailure(name, prefix, err)
			}
		}
		if a.json() && (len(args) > 1 || errs[0] == nil) {
			a.printJSON(form(list))
		}
		return together(errs)
	})
}

// resolveApp completes the beginning of an address.
func resolveApp(ctx context.Context, n *node, prefix string) (string, error) {
	prefix = strings.TrimPrefix(strings.ToLower(prefix), "0x")
	if len(prefix) < minPrefix || len(prefix) > keyLength || strings.Trim(prefix, "0123456789abcdef") != "" {
		return "", fault.New(fault.CallerInvalid, "app", fault.Quote(prefix), nil).WithHint(fmt.Sprintf("pass at least %d hex digits of an address from 'troupe app list'", minPrefix))
	}
	if len(prefix) == keyLength {
		return prefix, nil
	}
	all, err := n.Apps(ctx, "")
	if err != nil {
		return "", err
	}
	var found []string
	for _, x := range all {
		if strings.HasPrefix(x.Address, prefix) {
			found = append(found, x.Address)
		}
	}
	switch {
	case len(found) == 0:
		return "", fault.New(fault.CallerNotFound, "app", prefix, nil).WithHint("'troupe app list' shows what there is")
	case len(found) > 1:
		return "", fault.New(fault.CallerConflict, "app", prefix, nil).WithHint(fmt.Sprintf("%d addresses begin like this: pass more digits", len(found)))
	}
	return found[0], nil
}

func (a *app) completeApps(args []string) []string {
	return a.complete(func(ctx context.Context, n *node) (addresses []string) {
		all, _ := n.Apps(ctx, "")
		for _, x := range all {
			addresses = append(addresses, fault.Quote(x.Address))
		}
		return addresses
	})
}
