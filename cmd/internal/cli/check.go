package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/control/api"
)

// examined is the JSON of a check.
type examined struct {
	CodeHash string `json:"code_hash"`
	*wasm.Report
}

// features is a flag for what code may use.
type features struct{ set wasm.Features }

func (f *features) String() string {
	if f.set == 0 {
		return ""
	}
	return f.set.String()
}

func (f *features) Type() string { return "LIST" }

func (f *features) Set(text string) error {
	set, err := wasm.ParseFeatures(text)
	if err != nil {
		return fmt.Errorf("%s", fault.From(err).Hint)
	}
	f.set = set
	return nil
}

type checkFlags struct {
	features features
	imports  choice
	nans     bool
	timeout  span
}

func (a *app) checkVerb() verb {
	f := &checkFlags{imports: choice{api.ImportsRefuse, []string{api.ImportsRefuse, api.ImportsTrap}}}
	return verb{
		use: "check [flags] app.wasm", short: "Judge code without compiling or running it",
		long: "Prints the verdict of a host with default limits, features, imports, exports, sizes, how near the code comes to each bound,\n" +
			"and what metering will add. Needs no host: 'troupe artifact prepare' compiles.",
		examples: []string{
			"troupe artifact check app.wasm", "is it acceptable, and what does it need?",
			"troupe artifact check --wasm-features wasm2,tail-calls app.wasm", "on a host that allows more than the default",
			"troupe artifact check -o json app.wasm", "the same for scripts",
		},
		exits: []int{exitOK, exitOther, exitUsage, exitNotFound, exitDenied, exitCanceled, exitInvalid, exitLimit, exitBug},
		args:  exactly(1, "one .wasm file"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(&f.features, "wasm-features", "what the code may use, joined by commas (default wasm2)")
			fs.BoolVar(&f.nans, "canonical-nans", false, "reckon with one form for every NaN that arithmetic makes")
			fs.Var(&f.imports, "missing-imports", "imports that a host does not offer: trap accepts them")
			fs.Var(&f.timeout, "timeout", "give up after D (default none)")
		},
		run: func(ctx context.Context, args []string) error { return a.check(ctx, f, args[0]) },
	}
}

func (a *app) check(ctx context.Context, f *checkFlags, file string) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	ctx, cancel := within(ctx, f.timeout)
	defer cancel()
	code, err := readFile(ctx, file)
	if err != nil {
		return err
	}
	r, err := examine(code, f)
	if a.json() {
		a.printJSON(examined{artifacts.HashCode(code).String(), r})
	} else {
		a.printReport(artifacts.HashCode(code).String(), r)
	}
	if err == nil {
		return nil
	}
	refusal := fault.From(err)
	printError(a.err, r.Message, refusal.Code, r.Hint)
	return exit{code: exitOf(refusal.Class, refusal.Code)}
}

// examine holds code against what a host with default limits takes.
func examine(code []byte, f *checkFlags) (*wasm.Report, error) {
	d := host.Default()
	inflated, err := wasm.Inflate(code, d.MaxInflatedBytes)
	if err == nil && (int64(len(code)) > d.MaxCodeBytes || int64(len(inflated)) > d.MaxInflatedBytes) {
		err = fault.New(fault.GuestCodeTooLarge, "check", "", nil)
	}
	if err != nil {
		r := wasm.NewReport(code)
		return r, r.Refuse(err)
	}
	r, err := wasm.Examine(inflated, wasm.Policy{Features: f.features.set}, wasm.Options{Stack: true, CanonicalNaNs: f.nans})
	for i := range r.Module.Imports {
		im := &r.Module.Imports[i]
		im.Known = im.Kind == wasm.Memory.String() || im.Kind == wasm.Func.String() && abi.Known(im.Module, im.Name, im.Type)
		missing := !im.Known && (f.imports.value == api.ImportsRefuse || im.Kind != wasm.Func.String())
		if err == nil && missing {
			err = r.Refuse(fault.New(fault.GuestUnknownImport, "check", fault.Quote(im.Module+"."+im.Name), nil))
		}
	}
	return r, err
}

func (a *app) printReport(hash string, r *wasm.Report) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	verdict := r.Verdict
	if r.Fault != "" {
		verdict += "  " + r.Fault
	}
	fmt.Fprintf(w, "verdict\t%s\ncode\t%s\n", verdict, hash)
	if r.Scanned() {
		writeModule(w, r.Module)
		fmt.Fprintf(w, "sections\tfunctions %s  data %s  custom %s\n", sizeText(r.BodyBytes), sizeText(r.Module.DataBytes), sizeText(r.CustomBytes))
	}
	for _, f := range r.Features {
		fmt.Fprintf(w, "feature\t%s\n", f)
	}
	for _, c := range r.Caps {
		if c.Measured == 0 && a.format.value != "wide" {
			continue
		}
		where := ""
		if c.Function != nil {
			where = "  " + functionText(c.Function)
		}
		fmt.Fprintf(w, "cap\t%s  %d of %d  %.3g%%%s\n", c.Cap, c.Measured, c.Limit, 100*c.Used, where)
	}
	if x := r.Rewrite; x != nil {
		fmt.Fprintf(w, "rewrite\t%s  %+d bytes  symbols %s  mutable globals %d  unchecked gas %d\n", sizeText(x.Bytes), x.Added, sizeText(x.Symbols), x.Globals, x.Unchecked)
		for _, flag := range x.Resets {
			fmt.Fprintf(w, "reset\t%s\n", flag)
		}
	}
	switch s := r.Start; {
	case s == nil:
	case s.Complete:
		fmt.Fprintf(w, "start gas\t%d\n", s.Gas)
	default:
		fmt.Fprintf(w, "start gas\t%d up to offset %#x in %s\n", s.Gas, s.Offset, functionText(s.Function))
	}
	_ = w.Flush()
}

func functionText(f *wasm.Function) string {
	text := fmt.Sprintf("function %d", f.Index)
	if f.Name != "" {
		text += " " + fault.Quote(f.Name)
	}
	return text + fmt.Sprintf(" at %#x", f.Offset)
}
