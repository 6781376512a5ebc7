package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/client"
)

// runFlags are the flags of 'run'.
type runFlags struct {
	*workFlags
	timeout   span
	clockStep span
	guestExit bool
	sandbox   choice
}

func (a *app) runVerb() verb {
	f := &runFlags{workFlags: newWorkFlags(), sandbox: choice{host.SandboxDefault, []string{host.SandboxDefault, host.SandboxStrict}}}
	return verb{
		use: "run [flags] app.wasm [-- args]", short: "Run a WebAssembly program once, in a confined process",
		long: `The guest's output, or the result, goes to stdout as it is, escape codes too: 'troupe submit --wait' and 'troupe job wait' clean
it. A one-line receipt goes to stderr. While a 'troupe serve' holds
the data directory, its host is used; otherwise a private host that ends with the run. A guest
that reads may be given more of stdin than it uses; one that never reads takes nothing. In a receipt, what nobody could
measure is unknown (JSON: null): the memory peak of a run that was killed, and all but the code of one that --timeout ended.`,
		examples: []string{
			"troupe run hello.wasm -- Ann Bob", "a WASI command with two arguments",
			"troupe run --invoke run hash-puzzle.wasm -- 0 4", "an exported function over numbers",
			"troupe run --entry validate_block --params block.bin pvf.wasm > head.bin", "bytes in, bytes out",
			"troupe run --gas 5G --stack 16k app.wasm", "limits that hit at the same point on each machine",
			"troupe run -o json --cpu 2s --memory 64MiB app.wasm", "limits, and the receipt as JSON",
		},
		exits: with(exitsCode, exitOurs),
		args:  oneProgram("run"),
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.Var(&f.timeout, "timeout", "give up after D, preparation and queues included (default none)")
			fs.Var(&f.sandbox, "sandbox", "POLICY for layers of confinement that do not hold: default (warn) or strict (refuse)")
			fs.Var(step{&f.clockStep}, "clock-step", "with --real, show the guest clocks in steps of D; a 'troupe serve' has its own (default 100us)")
			fs.BoolVar(&f.guestExit, "guest-exit", false, "exit with the guest's own code, and with 125 on any other failure")
		},
		run: func(ctx context.Context, args []string) error { return a.run(ctx, f, args[0], args[1:]) },
	}
}

func (a *app) run(ctx context.Context, f *runFlags, file string, args []string) error {
	a.guestExit, a.clockStep = f.guestExit, time.Duration(f.clockStep)
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	ctx, cancel := within(ctx, f.timeout)
	defer cancel()
	req, input, err := f.request(ctx, a, args)
	if err != nil {
		return err
	}
	code, err := readFile(ctx, file)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Class == fault.Guest {
		return a.printReceipt(receiptOf(f, ""), req.Entry.Mode)
	}
	if err != nil {
		return err
	}
	p := a.startProgress()
	defer p.stop()
	a.sandbox = f.sandbox.value
	n, err := a.open(ctx, anywhere)
	if err != nil {
		return err
	}
	if err := a.confined(ctx, n); err != nil {
		_ = n.close()
		return err
	}
	defer n.close() // the receipt is out by then; a host that stops badly is not the run's failure

	seen := &line{}
	s := client.Streams{Code: code, Input: input, Progress: p.event, Stdout: p.over(a.out), Stderr: p.over(seen.of(a.err))}
	if a.outTerminal && a.errTerminal { // one screen
		s.Stdout = p.over(seen.of(a.out))
	}
	if req.Entry.Mode == run.Command.String() {
		s.Stdin = p.before(a.in)
	}
	receipt, err := n.Execute(ctx, req, s)
	p.stop()
	if seen.open {
		fmt.Fprintln(a.err)
	}
	why, ok := errors.AsType[*fault.Error](err)
	if ok && (why.Class == fault.Guest || why.Class == fault.Canceled) { // refused at the door, or ended before there was an answer
		receipt, err = receiptOf(why, artifacts.HashCode(code).String()), nil
	}
	if err != nil {
		return err
	}
	return a.printReceipt(receipt, req.Entry.Mode)
}

// receiptOf is the receipt of a run that ended without one: nobody has said what it used. Code that is too large to be
// read has no hash.
func receiptOf(f *fault.Error, codeHash string) run.Receipt {
	return run.Receipt{
		Verdict: f.Class.String(), Fault: string(f.Code), Message: f.Error(), Hint: f.Hint, CodeHash: codeHash,
	}
}

// printReceipt says how a run ended, and returns nil or the exit.
func (a *app) printReceipt(r run.Receipt, mode string) error {
	if a.json() {
		a.printJSON(r)
	} else {
		a.printResult(r.Result, mode)
	}
	return a.verdict(r)
}

// verdict prints the line of a receipt on stderr, and the fault if there is one.
func (a *app) verdict(r run.Receipt) error {
	if a.out.err != nil {
		return a.out.err
	}
	class, known := fault.ParseClass(r.Verdict)
	if !a.quiet {
		fmt.Fprintln(a.err, receiptLine(r))
	}
	if r.Verdict == "ok" {
		return nil
	}
	if !known {
		class = fault.Bug
	}
	message := r.Message
	if message == "" {
		message = fault.Describe(fault.Code(r.Fault)).Text
	}
	printError(a.err, message, fault.Code(r.Fault), r.Hint)
	return exit{code: exitOf(class, fault.Code(r.Fault)), guest: r.GuestExit}
}

func (a *app) printResult(result []byte, mode string) {
	switch {
	case result == nil:
	case mode == run.Invoke.String():
		if len(result) > 0 {
			fmt.Fprintf(a.out, "%s\n", result)
		}
	case a.outTerminal && !printable(result):
		a.note(fmt.Sprintf("the result is %s of binary data, not shown on a terminal: redirect stdout or use -o json", sizeText(int64(len(result)))))
	default:
		_, _ = a.out.Write(result)
	}
}

func printable(b []byte) bool {
	for _, r := range string(b) {
		if r == utf8.RuneError || (r != '\n' && r != '\t' && !unicode.IsPrint(r)) {
			return false
		}
	}
	return true
}

// receiptLine is the receipt for people.
func receiptLine(r run.Receipt) string {
	head := r.Verdict
	if r.Fault != "" {
		head += "  " + r.Fault
	}
	line := fmt.Sprintf("%s  cache %s  cpu %s  wall %s  memory %s  gas %s", fault.Quote(head), fault.Quote(cmp.Or(r.Cache, unmeasured)),
		measured(r.CPUMicros, micros), measured(r.WallMicros, micros), measured(r.MemoryPeakBytes, sizeText), measured(r.GasUsed, grouped))
	if r.InitGas != nil && *r.InitGas > 0 {
		line += "  init gas " + grouped(*r.InitGas)
	}
	if r.Attempts != nil && *r.Attempts > 1 {
		line += fmt.Sprintf("  attempts %d", *r.Attempts)
	}
	if r.Sandbox != "" {
		line += "  sandbox " + levelText(r.Sandbox)
	}
	return line
}

const unmeasured = "unknown"

// measured prints a number that a receipt may lack.
func measured(n *int64, text func(int64) string) string {
	if n == nil {
		return unmeasured
	}
	return text(*n)
}

// grouped prints a number with a comma between each three digits.
func grouped(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

// micros prints a duration with three digits or so.
func micros(us int64) string {
	d := time.Duration(us) * time.Microsecond
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// escapeUnprintable writes what encoding/json leaves as it is, though a terminal obeys it or hides it, as escapes: DEL, the control
// characters behind it, marks of direction and of no width. Such text comes from guests. The JSON means the same.
func escapeUnprintable(text []byte) []byte {
	hides := func(r rune) bool {
		return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)
	}
	if bytes.IndexFunc(text, hides) < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for _, r := range string(text) {
		switch {
		case !hides(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

const maxFile = 1 << 30

// readFile reads code; the host judges its size.
func readFile(ctx context.Context, path string) ([]byte, error) {
	return readUntil(ctx, path, func() ([]byte, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, fileError(path, err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > maxFile {
			return nil, fault.New(fault.GuestCodeTooLarge, "read", fault.Quote(path), nil)
		}
		return readAll(path, file, fault.GuestCodeTooLarge)
	})
}

// readInput reads the input of a bytes entry; without a name there is none.
func (a *app) readInput(ctx context.Context, path string) ([]byte, error) {
	switch path {
	case "":
		return []byte{}, nil
	case "-":
		return readUntil(ctx, "stdin", func() ([]byte, error) { return readAll("stdin", a.in, fault.CallerParamsTooBig) })
	}
	return readUntil(ctx, path, func() ([]byte, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, fileError(path, err)
		}
		defer file.Close()
		return readAll(path, file, fault.CallerParamsTooBig)
	})
}

// readUntil reads as long as ctx lasts. A pipe may be silent for ever, or have nobody who opens its other end: such a
// read is abandoned, as one of the guest's stdin is.
func readUntil(ctx context.Context, name string, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b, err := read()
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		return r.b, r.err
	case <-ctx.Done():
		return nil, fault.From(context.Cause(ctx)).WithHint(fault.Quote(name) + " had not come to its end")
	}
}

func readAll(name string, r io.Reader, tooLarge fault.Code) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fileError(name, err)
	}
	if len(b) > maxFile {
		return nil, fault.New(tooLarge, "read", fault.Quote(name), nil)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// fileError blames the caller for a file that cannot be read.
func fileError(name string, err error) error {
	code, hint := fault.CallerInvalid, "name a file that can be read"
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		code, hint = fault.CallerNotFound, "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		code, hint = fault.CallerDenied, "this user may not read the file"
	case errors.Is(err, syscall.EISDIR):
		hint = "this is a directory: name a file"
	}
	return fault.New(code, "read", fault.Quote(name), reason(err)).WithHint(hint)
}

// reason takes the name of a file out of err, which may be long and hostile.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
