package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// submitFlags are the flags of 'submit'.
type submitFlags struct {
	*workFlags
	stdin, key    string
	keep, timeout span
	deadline      moment
	wait          bool
}

// The range of --keep.
const (
	leastKeep = time.Second
	mostKeep  = 366 * 24 * time.Hour
)

func (a *app) submitVerb() verb {
	f := &submitFlags{workFlags: newWorkFlags()}
	return verb{
		use: "submit [flags] app.wasm [-- args]", short: "Hand a run to the host of a 'troupe serve', which keeps it as a job",
		long: `Prints the id of the job, or the job as JSON. It is on disk then: it is run at least once and settled exactly once,
whatever happens to the host. Its output, at most 32MiB, is captured; 'troupe job wait' prints it.`,
		examples: []string{
			"troupe submit hello.wasm -- Ann Bob", "a WASI command; the id goes to stdout",
			"troupe submit --key order-17 --deadline 1h app.wasm", "the same key names the same job; it must have started within the hour",
			"troupe submit --gas 5G app.wasm", "with a limit that hits at the same point on each machine",
			"troupe job wait $(troupe submit app.wasm)", "submit, wait and print the result",
			"troupe submit --wait --stdin in.txt app.wasm", "the same in one go, with input",
		},
		exits: with(exitsCode, exitConflict),
		args:  oneProgram("submit"),
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.Var(word{&f.stdin, "FILE"}, "stdin", "stdin of a command: FILE, or - for all of ours (default none)")
			fs.Var(word{&f.key, "KEY"}, "key", "submit only once: the same key names the same job as long as that is kept (default none)")
			fs.Var(limit{&f.keep, leastKeep, mostKeep}, "keep", "keep the result for D after the end (default: as the host does)")
			fs.Var(&f.deadline, "deadline", "when it must have started: D from now or an RFC 3339 TIME (default none)")
			fs.BoolVar(&f.wait, "wait", false, "wait for the end and print the result, as 'troupe job wait' does")
			fs.Var(&f.timeout, "timeout", "stop waiting after D; the job goes on (default none)")
		},
		run: func(ctx context.Context, args []string) error { return a.submit(ctx, f, args[0], args[1:]) },
	}
}

func (f *submitFlags) request(ctx context.Context, a *app, args []string) (api.Submit, client.Work, error) {
	req := api.Submit{Key: f.key, KeepMicros: time.Duration(f.keep).Microseconds(), Deadline: f.deadline.from(time.Now())}
	var w client.Work
	switch {
	case f.stdin != "" && (f.invoke != "" || f.entry != ""):
		return req, w, usage("--stdin with --invoke or --entry", "only a command reads stdin")
	case f.timeout > 0 && !f.wait:
		return req, w, usage("--timeout without --wait", "--deadline is when a job must have started; --timeout ends --wait")
	}
	var err error
	if req.Execute, w.Input, err = f.workFlags.request(ctx, a, args); err != nil {
		return req, w, err
	}
	req.Capture = false // a job's always is
	if f.stdin != "" {
		w.Stdin, err = a.readInput(ctx, f.stdin)
	}
	return req, w, err
}

func (a *app) submit(ctx context.Context, f *submitFlags, file string, args []string) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	ctx, cancel := within(ctx, f.timeout)
	defer cancel()
	req, work, err := f.request(ctx, a, args)
	if err != nil {
		return err
	}
	if work.Code, err = readFile(ctx, file); err != nil {
		return err
	}
	n, err := a.open(ctx, served) // a private host would end before the job
	if err != nil {
		return err
	}
	defer n.close()
	j, err := n.Submit(ctx, req, work)
	switch {
	case err != nil:
		return unanswered(err, f.key)
	case f.wait:
		a.note("job " + j.ID)
		return a.waitOne(ctx, n, j.ID)
	case a.json():
		a.printJSON(j)
	default:
		fmt.Fprintf(a.out, "%s\n", fault.Quote(j.ID))
	}
	return nil
}

// unanswered says what to do when nobody knows whether there is a job.
func unanswered(err error, key string) error {
	if errors.Is(err, fault.CanceledRevoked) || !errors.Is(err, fault.CallerUnreachable) && !errors.Is(err, fault.Canceled) {
		return err
	}
	if key != "" {
		return fault.From(err).WithHint("the job may have been accepted: submit it again with the same --key, which makes no second one")
	}
	return fault.From(err).WithHint("the job may have been accepted: see 'troupe job list --all'")
}

// waitOne waits for a job, prints its result as 'run' does, and returns its exit.
func (a *app) waitOne(ctx context.Context, n *node, id string) error {
	p := a.startProgress()
	defer p.stop()
	j, err := awaitJob(ctx, n, id, p)
	p.stop()
	if err != nil {
		return err
	}
	return a.printSettled(j)
}

// awaitJob returns a job when it is settled.
func awaitJob(ctx context.Context, n *node, id string, p *progress) (run.Job, error) {
	for seen := -1; ; {
		j, err := n.WatchJob(ctx, id, max(0, seen))
		switch {
		case errors.Is(err, fault.CallerUnreachable), errors.Is(err, fault.CanceledStopped):
			return j, fault.From(err).WithHint("the job is kept: start 'troupe serve' again, then 'troupe job wait " + id + "'")
		case errors.Is(err, fault.Canceled):
			return j, fault.From(err).WithHint("the job goes on: 'troupe job wait " + id + "' waits again, 'troupe job cancel --reason WHY " + id + "' ends it")
		case err != nil, j.State == run.JobSettled:
			return j, err
		}
		p.set(api.Progress{Stage: fault.Quote(string(j.State))})
		if len(j.Events) > seen {
			seen = len(j.Events)
			continue
		}
		select { // nothing new: whoever answers too early is not asked without a pause
		case <-time.After(retry):
		case <-ctx.Done():
		}
	}
}

// printSettled prints how a job ended, and returns nil or the exit.
func (a *app) printSettled(j run.Job) error {
	if a.json() {
		a.printJSON(j)
	}
	if j.Receipt == nil {
		code := fault.Code(j.Fault)
		class := fault.Describe(code).Class
		if a.out.err != nil {
			return a.out.err
		}
		printError(a.err, cmp.Or(j.Message, fault.Describe(code).Text), code, j.Hint)
		return exit{code: exitOf(class, code)}
	}
	if !a.json() {
		a.printOutput(j)
	}
	return a.verdict(*j.Receipt)
}

// printOutput prints what a job wrote, as it wrote it, but what a terminal takes for commands.
func (a *app) printOutput(j run.Job) {
	seen := &line{}
	out := io.Writer(a.out)
	if a.outTerminal && a.errTerminal { // one screen
		out = seen.of(out)
	}
	_, _ = seen.of(a.err).Write(shown(j.Receipt.Stderr, a.errTerminal))
	_, _ = out.Write(shown(j.Receipt.Stdout, a.outTerminal))
	if seen.open {
		fmt.Fprintln(a.err)
	}
	a.printResult(j.Receipt.Result, j.Mode)
}

// shown is the output of a guest; on a terminal, without what would do more than print.
func shown(b []byte, terminal bool) []byte {
	if !terminal {
		return b
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, b)
}
