package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
)

// tree makes the commands of the table.
func (a *app) tree(ctx context.Context) *cobra.Command {
	root := a.command(a.table())
	root.SetContext(ctx)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(a.command(verb{
		use: "help [command|topic]", short: "Explain a command, or a topic: " + strings.Join(topicNames(), ", "), args: cobra.ArbitraryArgs,
		complete: func(args []string) []string {
			names := topicNames()
			for _, sub := range root.Commands() {
				names = append(names, sub.Name())
			}
			if len(args) > 0 {
				return nil
			}
			return names
		},
		run: func(_ context.Context, args []string) error {
			if len(args) == 1 && helpTopic(a.out, args[0]) {
				return nil
			}
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				if n := nearest(args[0], topicNames()); n != "" {
					return usage("no help about '"+fault.Quote(args[0])+"'", "did you mean 'troupe help "+n+"'?")
				}
				return unknown(c, slices.Concat(rest, args)[0])
			}
			return c.Help()
		},
	}))
	p := root.PersistentFlags()
	p.VarP(&a.format, "format", "o", "form of what is printed: wide has more columns than table; the JSON is a contract, tables are not; see 'troupe help output'")
	p.Var(word{&a.dataDir, "DIR"}, "data-dir", "data directory (default $XDG_DATA_HOME/troupe, else ~/.local/share/troupe)")
	p.Var(word{&a.worker, "FILE"}, "worker", "worker program (default troupe-worker beside this program)")
	p.Var(&a.progress, "progress", "progress on stderr; auto is a line on a terminal and silence in a pipe, plain and json a line for each stage")
	p.Var(limit{&a.timeout, minSpan, maxTimeout}, "timeout", "give up after D (default none)")
	p.BoolVarP(&a.quiet, "quiet", "q", false, "no receipt, notes or progress on stderr; errors only")
	p.BoolVarP(&a.verbose, "verbose", "v", false, "log of the private host on stderr")
	a.addShared(p)
	onlyOnce(p)
	a.completeFlags(root, p, "")
	return root
}

// verb is one row of the table.
type verb struct {
	use      string   // name and arguments
	short    string   // one line, no full stop
	long     string   // what short leaves out
	examples []string // command, then what it does
	exits    []int
	args     func(c *cobra.Command, args []string) error // nil: takes none
	complete func(args []string) []string
	flags    func(*pflag.FlagSet)
	run      func(ctx context.Context, args []string) error // nil: a group
	view     string                                         // of package query, that --selector and --sort are about
	rows     bool                                           // it prints a list: -o jsonl and -o template are for each row, and -o name is possible
	settle   settle                                         // which settings it is given beside its flags
	atOnce   bool                                           // it goes by a plan only if a flag of plans is given
	verbs    []verb
}

func (a *app) command(v verb) *cobra.Command {
	c := &cobra.Command{
		Use: v.use, Short: v.short, Long: v.long, Args: v.args,
		SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
	}
	if v.args == nil {
		c.Args = exactly(0, "")
	}
	if v.run == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown(c, args[0])
			}
			a.help(c, v, a.err)
			return exit{code: exitUsage}
		}
	} else {
		c.RunE = func(c *cobra.Command, args []string) error {
			if err := a.settleFlags(c, v.settle); err != nil {
				return err
			}
			if err := a.refuseForm(v, c.CommandPath()); err != nil {
				return err
			}
			ctx, cancel := within(c.Context(), a.timeout)
			defer cancel()
			return v.run(ctx, args)
		}
	}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if v.complete == nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		if a.settleFlags(c, v.settle) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return v.complete(args), cobra.ShellCompDirectiveNoFileComp
	}
	if v.flags != nil {
		v.flags(c.Flags())
		onlyOnce(c.Flags())
		a.completeFlags(c, c.Flags(), v.view)
	}
	c.SetHelpFunc(func(c *cobra.Command, _ []string) { a.help(c, v, a.out) })
	c.SetFlagErrorFunc(flagError)
	for _, sub := range v.verbs {
		c.AddCommand(a.command(sub))
	}
	return c
}

// exactly wants n arguments.
func exactly(n int, what string) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > n && n == 0:
			return usage("'"+c.CommandPath()+"' takes no arguments", seeHelp(c))
		case len(args) != n:
			return usage("'"+c.CommandPath()+"' takes "+what, seeHelp(c))
		}
		return nil
	}
}

// between wants from least to most arguments.
func between(least, most int, what string) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return usage("'"+c.CommandPath()+"' takes "+what, seeHelp(c))
	}
}

func atMost(n int, what string) func(*cobra.Command, []string) error {
	return between(0, n, "nothing, or "+what)
}

// atLeast wants n arguments or more.
func atLeast(n int, what string) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("'"+c.CommandPath()+"' takes "+what, seeHelp(c))
		}
		return nil
	}
}

func seeHelp(c *cobra.Command) string { return "see '" + c.CommandPath() + " --help'" }

func unknown(c *cobra.Command, word string) error {
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	hint := seeHelp(c)
	if n := nearest(word, names); n != "" {
		hint = "did you mean '" + c.CommandPath() + " " + n + "'?"
	}
	return usage("unknown command '"+fault.Quote(word)+"' for '"+c.CommandPath()+"'", hint)
}

func flagError(c *cobra.Command, err error) error {
	hint := seeHelp(c)
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		c.InheritedFlags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if n := nearest(missing.GetSpecifiedName(), names); n != "" && len(missing.GetSpecifiedName()) > 1 {
			hint = "did you mean '--" + n + "'?"
		}
	}
	return usage(strings.TrimPrefix(err.Error(), "pflag: "), hint)
}
