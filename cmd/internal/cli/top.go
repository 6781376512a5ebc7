package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/tui"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/client"
)

// topFlags are the flags of 'top'.
type topFlags struct {
	view, query, file string
	mono              bool
}

func (f *topFlags) add(fs *pflag.FlagSet) {
	fs.Var(word{&f.view, "VIEW"}, "view", "begin with this view, like actors, jobs or failures (default overview)")
	fs.Var(word{&f.query, "QUERY"}, "selector", "begin with these rows of it, like 'state=busy age>5s'")
	fs.BoolVar(&f.mono, "mono", false, "no colours and no attributes")
}

func (a *app) topVerb() verb {
	f := &topFlags{}
	return verb{
		use: "top [flags]", short: "Watch a host in the terminal, find out why something waits, and mend it",
		long: "Keys are explained by '?'. Keys that change something work only for who may. NO_COLOR is heeded.",
		examples: []string{
			"troupe top", "the console of the host that runs here",
			"troupe top --view failures", "begin with what has failed",
			"troupe top --bundle troupe.bundle", "look at a snapshot, without a host",
		},
		exits: with(exitsHost, exitInvalid),
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.Var(word{&f.file, "FILE"}, "bundle", "show this bundle of 'troupe node snapshot' instead of a host")
		},
		run: func(ctx context.Context, _ []string) error { return a.top(ctx, f) },
	}
}

// top runs the console.
func (a *app) top(ctx context.Context, f *topFlags) error {
	in, isFile := a.in.(*os.File)
	if !a.outTerminal || !isFile || !isTerminal(in) {
		return usage("'troupe top' needs a terminal", "use 'troupe status -o json' or 'troupe actor list' in scripts")
	}
	opts := a.consoleOptions(in, f.mono)
	opts.View, opts.Query = f.view, f.query
	if f.file != "" {
		source, at, stop, err := openBundle(f.file)
		if err != nil {
			return err
		}
		defer stop()
		opts.Source, opts.At, opts.Offline = source, at, f.file
		return a.shown(ctx, opts)
	}
	return a.at(ctx, served, func(ctx context.Context, n *node) error {
		opts.Source, opts.Verbs = n.Client, a.verbNames()
		opts.RunVerb = func(ctx context.Context, words []string) (string, int) { return a.verbInside(ctx, words, nil) }
		return a.shown(ctx, opts)
	})
}

// consoleOptions are those of a console on the terminal.
func (a *app) consoleOptions(in *os.File, mono bool) tui.Options {
	opts := tui.Options{In: in, Out: a.out.w, Clipboard: true, OpenBundle: openBundle}
	switch {
	case mono || a.getenv("TERM") == "dumb":
		opts.Looks = tui.Mono
	case a.getenv("NO_COLOR") != "":
		opts.Looks = tui.Plain
	}
	return opts
}

// shown runs the console until a signal ends it, in good order.
func (a *app) shown(ctx context.Context, opts tui.Options) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	return tui.Run(ctx, opts)
}

// openBundle serves a file as the host that it is of.
func openBundle(path string) (tui.Source, time.Time, func(), error) {
	file, err := os.Open(path)
	if err != nil {
		code := fault.CallerInvalid
		if errors.Is(err, os.ErrNotExist) {
			code = fault.CallerNotFound
		}
		return nil, time.Time{}, nil, fault.New(code, "bundle", fault.Quote(path), reason(err))
	}
	defer file.Close()
	b, err := bundle.Read(file)
	if err != nil {
		return nil, time.Time{}, nil, err
	}
	dial, stop := serveBundle(b, control.Options{Version: host.Version})
	return client.Over(dial), b.At, stop, nil
}
