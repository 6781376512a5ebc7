package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

// Main runs one command line and returns the exit code of the process.
func Main() int {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a closed stdout is then an error of Write, and not our death
	interrupts := make(chan os.Signal, 2)
	var asked []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // nohup, or a job in the background of a script
			asked = append(asked, s)
			signal.Notify(interrupts, s)
		}
	}
	a := &app{
		in: os.Stdin, out: &sink{w: os.Stdout}, err: os.Stderr,
		getenv: os.Getenv, inTerminal: isTerminal(os.Stdin), outTerminal: isTerminal(os.Stdout), errTerminal: isTerminal(os.Stderr) && os.Getenv("TERM") != "dumb",
		interrupts: interrupts, releaseInterrupts: func() { signal.Reset(asked...) },
		start: func(ctx context.Context, cfg host.Config) (running, error) {
			h, err := host.Start(ctx, cfg)
			if err != nil {
				return nil, err // not a nil *Host in an interface
			}
			return h, nil
		},
		owner: host.ReadOwner,
	}
	return a.main(os.Args[1:])
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// running is a started *host.Host.
type running interface {
	control.Host
	Close() error
	Done() <-chan struct{}
	Wait() error
}

// app is one invocation of the program: everything that it gets from outside.
type app struct {
	in                                   io.Reader
	out                                  *sink
	err                                  io.Writer
	getenv                               func(string) string
	inTerminal, outTerminal, errTerminal bool
	interrupts                           <-chan os.Signal
	// releaseInterrupts gives the next signal back to the operating system, which ends the process.
	releaseInterrupts func()
	start             func(context.Context, host.Config) (running, error)
	owner             func(dataDir string) (host.Owner, bool)

	// The flags that all verbs share.
	dataDir, worker string
	format          choice
	progress        choice
	quiet, verbose  bool

	guestExit bool // --guest-exit of run
}

func (a *app) main(args []string) int {
	a.format = choice{"table", []string{"table", "json"}}
	a.progress = choice{"auto", []string{"auto", "plain", "none"}}
	// Wanted even when the flags before or after it do not parse.
	a.guestExit = len(args) > 0 && args[0] == "run" && slices.Contains(untilDashes(args), "--guest-exit")

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	root := a.tree(ctx)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = a.out.err
	}
	return finish(a.err, err, a.guestExit)
}

func untilDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

// untilInterrupt returns a context that the first signal ends; the second one ends the process.
func (a *app) untilInterrupt(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case s := <-a.interrupts:
			a.releaseInterrupts()
			cancel(fault.New(fault.CanceledCaller, "signal", s.String(), nil))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// sink remembers the first failed write, so that nobody who prints has to check.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	if err != nil {
		s.err = other{err}
	}
	return n, s.err
}

// note tells something that is neither result nor error.
func (a *app) note(text string) {
	if !a.quiet {
		_, _ = io.WriteString(a.err, "note:  "+oneLine(text)+"\n")
	}
}

// log returns the host's log: for people on a terminal, JSON lines otherwise.
func (a *app) log(level zerolog.Level) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	w := a.err
	if a.errTerminal {
		w = zerolog.ConsoleWriter{Out: a.err, TimeFormat: "15:04:05.000", NoColor: a.getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// revision returns the commit that the go command stamped into this program, if any.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// tree makes the commands of the table.
func (a *app) tree(ctx context.Context) *cobra.Command {
	root := a.command(a.table())
	root.SetContext(ctx)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(a.command(verb{
		use: "help [command]", short: "Explain a command", args: cobra.ArbitraryArgs,
		run: func(_ context.Context, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknown(c, slices.Concat(rest, args)[0])
			}
			return c.Help()
		},
	}))
	p := root.PersistentFlags()
	p.VarP(&a.format, "format", "o", "form of what is printed; the JSON is a contract, the table is not")
	p.Var(word{&a.dataDir, "DIR"}, "data-dir", "data directory (default $XDG_DATA_HOME/troupe, else ~/.local/share/troupe)")
	p.Var(word{&a.worker, "FILE"}, "worker", "worker program (default troupe-worker beside this program)")
	p.Var(&a.progress, "progress", "progress on stderr; auto is a line on a terminal and silence in a pipe")
	p.BoolVarP(&a.quiet, "quiet", "q", false, "no receipt, notes or progress on stderr; errors only")
	p.BoolVarP(&a.verbose, "verbose", "v", false, "log of the private host on stderr")
	onlyOnce(p)
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
		c.RunE = func(c *cobra.Command, args []string) error { return v.run(c.Context(), args) }
	}
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if v.complete == nil {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return v.complete(args), cobra.ShellCompDirectiveNoFileComp
	}
	if v.flags != nil {
		v.flags(c.Flags())
		onlyOnce(c.Flags())
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
