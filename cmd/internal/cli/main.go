package cli

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

// Main runs one command line and returns the exit code of the process.
func Main() int { return program().main(os.Args[1:]) }

// program is an app with all that is outside of it.
func program() *app {
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
		getenv: os.Getenv, inTerminal: isTerminal(os.Stdin), outTerminal: isTerminal(os.Stdout), screen: screenOf(os.Stdout), errTerminal: isTerminal(os.Stderr) && os.Getenv("TERM") != "dumb",
		interrupts: interrupts, releaseInterrupts: func() { signal.Reset(asked...) },
		start: func(ctx context.Context, cfg host.Config) (running, error) {
			h, err := host.Start(ctx, cfg)
			if err != nil {
				return nil, err // not a nil *Host in an interface
			}
			return h, nil
		},
		confinement: host.Sandbox, owner: host.ReadOwner, askSecret: askTerminal(os.Stdin, os.Stderr), patience: patience, reaction: reaction,
		sharedFlags: sharedFlags{systemConfig: systemFile(), environ: os.Environ}, outside: process(),
	}
	a.setKnobs()
	return a
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// screenOf tells how large the terminal behind f is now.
func screenOf(f *os.File) func() (int, int) {
	return func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return width, height
	}
}

// running is a started *host.Host.
type running interface {
	control.Host
	Close() error
	LeaveJobs()
	ServeApps(net.Listener) error
	ServeTLS(net.Listener) error
	Done() <-chan struct{}
	Wait() error
}

// app is one invocation of the program: everything that it gets from outside.
type app struct {
	in                       io.Reader
	out                      *sink
	err                      io.Writer
	getenv                   func(string) string
	outTerminal, errTerminal bool
	inTerminal               bool
	screen                   func() (width, height int) // of the terminal behind out; nil: not known
	interrupts               <-chan os.Signal
	// releaseInterrupts gives the next signal back to the operating system, which ends the process.
	releaseInterrupts func()
	start             func(context.Context, host.Config) (running, error)
	confinement       func(ctx context.Context, worker string) (inspect.Sandbox, error)
	owner             func(dataDir string) (host.Owner, bool)
	askSecret         func(prompt string) ([]byte, error) // without echo
	patience          time.Duration                       // for another process to release the data directory, or for a 'serve' to listen
	reaction          time.Duration                       // for a host that listens to say that it is there

	// The flags that all verbs share.
	dataDir, worker string
	format          form
	progress        choice
	quiet, verbose  bool
	timeout         span // of all that a verb does; some have one of their own instead
	sharedFlags
	outside

	inside    *node         // that the console which runs this verb shows; nil: it is looked for
	sandbox   string        // --sandbox of run
	guestExit bool          // --guest-exit of run
	clockStep time.Duration // --clock-step of run; 0: the default
	live      *progress     // what is being told now; nil: nothing yet
	failed    error         // what a template failed for
}

func (a *app) main(args []string) int { return a.mainIn(context.Background(), args) }

func (a *app) mainIn(parent context.Context, args []string) int {
	a.format = form{value: formTable}
	a.progress = choice{"auto", []string{"auto", "plain", "json", "none"}}
	// Wanted even when the flags before or after it do not parse.
	a.guestExit = slices.Contains(untilDashes(args), "--guest-exit")

	ctx, stop := context.WithCancel(parent)
	defer stop()
	root := a.tree(ctx)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = a.failed
	}
	if err == nil {
		err = a.out.err
	}
	return a.asPlugin(args, err, finish(a.err, err, a.guestExit))
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
		s.err = fault.New(fault.CallerOutput, "write", "stdout", reason(err))
	}
	return n, s.err
}

// note tells something that is neither result nor error.
func (a *app) note(text string) {
	line := "note:  " + oneLine(text) + "\n"
	switch {
	case a.quiet:
	case a.live != nil:
		a.live.above(line)
	default:
		_, _ = io.WriteString(a.err, line)
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
