package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/wire"
)

// examined is the JSON of a check.
type examined struct {
	CodeHash string `json:"code_hash"`
	GasTable string `json:"gas_table"` // by which unchecked_gas and start_gas are counted: as in receipts
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

// caps is a flag for the bounds of code.
type caps struct {
	text string
	caps wasm.Caps
}

func (c *caps) String() string { return c.text }

func (c *caps) Type() string { return "LIST" }

func (c *caps) Set(text string) error {
	p, err := host.ParsePolicy("", text)
	if err != nil {
		return fmt.Errorf("%s", fault.From(err).Hint)
	}
	if c.text, c.caps = text, p.Caps; text == "" {
		return fmt.Errorf("it must not be empty")
	}
	return nil
}

type checkFlags struct {
	features features
	caps     caps
	imports  choice
	nan      choice
	timeout  span
}

func (a *app) checkVerb() verb {
	f := &checkFlags{
		imports: choice{api.ImportsRefuse, []string{api.ImportsRefuse, api.ImportsTrap}},
		nan:     choice{run.NaNDefault, []string{run.NaNDefault, run.NaNCanonical}},
	}
	return verb{
		use: "check [flags] app.wasm", short: "Judge code without compiling or running it",
		long: "Prints the verdict of a host with default limits, features, imports, exports, sizes, how near the code comes to each bound,\n" +
			"and what metering will add. Needs no host: 'troupe artifact prepare' compiles.",
		examples: []string{
			"troupe artifact check app.wasm", "is it acceptable, and what does it need?",
			"troupe artifact check --wasm-features wasm2,tail-calls app.wasm", "on a host that allows more than the default",
			"troupe artifact check --wasm-caps locals=4000 app.wasm", "on a host that bounds code otherwise",
			"troupe artifact check -o wide app.wasm", "with the bounds that are far away",
			"troupe artifact check -o json app.wasm", "the same for scripts",
		},
		exits: []int{exitOK, exitOther, exitUsage, exitNotFound, exitDenied, exitCanceled, exitInvalid, exitLimit, exitBug},
		args:  exactly(1, "one .wasm file"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(&f.features, "wasm-features", "what the code may use, joined by commas (default wasm2)")
			fs.Var(&f.caps, "wasm-caps", "the bounds of code: NAME=N joined by commas, like functions=200000 (default: built in)")
			fs.Var(&f.nan, "nan", "what NaNs that arithmetic makes look like: canonical takes more code")
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
		a.printJSON(examined{artifacts.HashCode(code).String(), wire.GasTable(), r})
	} else {
		a.printReport(artifacts.HashCode(code).String(), r)
	}
	if err == nil {
		return nil
	}
	refusal := fault.From(err)
	hint, _, _ := strings.Cut(r.Hint, "; 'troupe artifact check'") // whoever reads it has asked already
	printError(a.err, r.Message, refusal.Code, hint)
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
	r, err := wasm.Examine(inflated, wasm.Policy{Features: f.features.set, Caps: f.caps.caps}, wasm.Options{
		Weights: wasm.Weights1(), Stack: true, CanonicalNaNs: f.nan.value == run.NaNCanonical,
		Charge: func(module, name string) wasm.Charge { return wasm.Charge(abi.ChargeOf(module, name)) },
	})
	if m, bad := wasm.Scan(inflated); bad == nil {
		if refused := wire.Admit(r.Module, len(m.Tables)); refused != nil {
			err = r.Refuse(refused)
		}
	}
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
	if len(r.Features) > 0 {
		fmt.Fprintf(w, "features\t%s\n", strings.Join(r.Features, "\n\t"))
	}
	if x := r.Rewrite; x != nil {
		fmt.Fprintf(w, "rewrite\t%s  %+d bytes  symbols %s  mutable globals %d\n", sizeText(x.Bytes), x.Added, sizeText(x.Symbols), x.Globals)
		if len(x.Resets) > 0 {
			fmt.Fprintf(w, "not reset\t%s\n", strings.Join(x.Resets, ", "))
		}
		fmt.Fprintf(w, "gas\ttable %s  unchecked %d\n", wire.GasTable(), x.Unchecked)
	}
	switch s := r.Start; {
	case s == nil:
	case s.Complete:
		fmt.Fprintf(w, "start gas\t%d\n", s.Gas)
	default:
		fmt.Fprintf(w, "start gas\t%d up to %#x in %s\n", s.Gas, s.Offset, functionText(s.Function))
	}
	_ = w.Flush()
	a.printCaps(r.Caps)
}

// near is how far a bound must be used to be shown.
const near = 0.01

// printCaps shows the bounds that the code comes near to.
func (a *app) printCaps(caps []wasm.CapUse) {
	shown := caps
	if a.format.value != formWide {
		shown = slices.DeleteFunc(slices.Clone(caps), func(c wasm.CapUse) bool { return c.Used < near })
	}
	if len(caps) > 0 {
		fmt.Fprintln(a.out)
	}
	if len(shown) > 0 {
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "CAP\tUSED\tOF\tSHARE\tWORST FUNCTION\n")
		for _, c := range shown {
			where := "-"
			if c.Function != nil {
				where = functionText(c.Function)
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%.1f%%\t%s\n", c.Cap, c.Measured, c.Limit, 100*c.Used, where)
		}
		_ = w.Flush()
	}
	if far := len(caps) - len(shown); far > 0 {
		fmt.Fprintf(a.out, "%d of %d caps are used to less than 1%%; -o wide shows them\n", far, len(caps))
	}
}

func functionText(f *wasm.Function) string {
	text := fmt.Sprintf("function %d", f.Index)
	if f.Name != "" {
		text += " " + fault.Quote(f.Name)
	}
	return text + fmt.Sprintf(" at %#x", f.Offset)
}
