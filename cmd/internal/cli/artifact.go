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
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

type codeFlags struct {
	cpu, timeout      span
	priority, imports choice
	nan               choice
	noWait            bool
}

func newCodeFlags() *codeFlags {
	return &codeFlags{
		priority: choice{"normal", priorities},
		imports:  choice{api.ImportsRefuse, []string{api.ImportsRefuse, api.ImportsTrap}},
		nan:      choice{run.NaNDefault, []string{run.NaNDefault, run.NaNCanonical}},
	}
}

func (f *codeFlags) add(fs *pflag.FlagSet) {
	fs.Var(upTo(&f.cpu, run.MaxCPU), "cpu", "budget of CPU time D for the preparation")
	fs.Var(&f.imports, "missing-imports", "imports that the host does not offer: trap accepts them")
	fs.Var(&f.nan, "nan", "the artifact for runs with --nan as here; canonical NaNs are another one")
	fs.Var(&f.priority, "priority", "how urgent it is")
	fs.Var(&f.timeout, "timeout", "give up after D (default none)")
}

func (a *app) prepareVerb() verb {
	f := newCodeFlags()
	return verb{
		use: "prepare [flags] app.wasm", short: "Compile code ahead of its first run",
		examples: []string{
			"troupe artifact prepare app.wasm", "compile and wait",
			"troupe artifact prepare --no-wait app.wasm", "announce it to the running host, print the hash of the code and go on",
		},
		exits: exitsCode, args: exactly(1, "one .wasm file"),
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.BoolVar(&f.noWait, "no-wait", false, "only announce the code to the host of a 'troupe serve'")
		},
		run: func(ctx context.Context, args []string) error {
			if f.noWait {
				return a.announce(ctx, f, args[0])
			}
			if f.cpu == 0 {
				f.cpu = span(host.Default().PrepareCPU)
			}
			return a.judge(ctx, f, args[0])
		},
	}
}

// within is the context of a --timeout; 0 means none.
func within(ctx context.Context, timeout span) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(timeout))
}

func (a *app) judge(ctx context.Context, f *codeFlags, file string) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	ctx, cancel := within(ctx, f.timeout)
	defer cancel()
	code, err := readFile(ctx, file)
	if err != nil {
		return err
	}
	p := a.startProgress()
	defer p.stop()
	n, err := a.open(ctx, directory)
	if err != nil {
		return err
	}
	defer n.close()
	req := api.Code{Priority: f.priority.value, Imports: f.imports.value, CPUMicros: time.Duration(f.cpu).Microseconds(), CanonicalNaNs: f.nan.value == run.NaNCanonical}
	j, err := n.Precheck(ctx, req, client.Streams{Code: code, Progress: p.event})
	p.stop()
	if err != nil {
		return err
	}
	switch {
	case a.json():
		a.printJSON(j)
	case j.Verdict == "ok":
		fmt.Fprintf(a.out, "%s\n", j.Artifact)
	}
	if j.Verdict == "ok" {
		return a.kept(j, n.private)
	}
	class, known := fault.ParseClass(j.Verdict)
	if !known {
		class = fault.Bug
	}
	printError(a.err, cmp.Or(j.Message, fault.Describe(fault.Code(j.Fault)).Text), fault.Code(j.Fault), j.Hint)
	return exit{code: exitOf(class, fault.Code(j.Fault))}
}

// kept says when an artifact is in memory only; that is a failure if it was all that was wanted.
func (a *app) kept(j api.Judgement, wanted bool) error {
	switch {
	case j.Stored:
		return nil
	case wanted:
		return fault.New(fault.BusyDisk, "store", j.Artifact, nil)
	}
	a.note("the artifact could not be stored: it is kept in memory until the host ends")
	return nil
}

func (a *app) announce(ctx context.Context, f *codeFlags, file string) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	ctx, cancel := within(ctx, f.timeout)
	defer cancel()
	code, err := readFile(ctx, file)
	if err != nil {
		return err
	}
	n, err := a.open(ctx, served)
	if err != nil {
		return err
	}
	defer n.close()
	req := api.Code{Priority: f.priority.value, Imports: f.imports.value, CPUMicros: time.Duration(f.cpu).Microseconds(), CanonicalNaNs: f.nan.value == run.NaNCanonical}
	if err := n.HeadsUp(ctx, req, code); err != nil {
		return err
	}
	said := announced{CodeHash: artifacts.HashCode(code).String(), State: "announced"}
	if a.json() {
		a.printJSON(said)
	} else {
		fmt.Fprintf(a.out, "%s\n", said.CodeHash)
	}
	return nil
}

// announced is what can be said of code that is not prepared yet.
type announced struct {
	CodeHash string `json:"code_hash"`
	State    string `json:"state"` // "announced"
}

// at runs f on a host.
func (a *app) at(ctx context.Context, far reach, f func(context.Context, *node) error) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	n, err := a.open(ctx, far)
	if err != nil {
		return err
	}
	defer n.close()
	return f(ctx, n)
}

func writeModule(w *tabwriter.Writer, m artifacts.Module) {
	limit := "no maximum"
	if m.MemoryMax > 0 {
		limit = "at most " + sizeText(int64(m.MemoryMax)<<16)
	}
	native := "" // nothing is compiled for a check
	if m.CodeBytes > 0 {
		native = "  native code " + sizeText(m.CodeBytes)
	}
	many := "s"
	if m.NumFunctions == 1 {
		many = ""
	}
	fmt.Fprintf(w, "module\t%s  %d function%s  data %s%s\n", sizeText(m.WasmBytes), m.NumFunctions, many, sizeText(m.DataBytes), native)
	fmt.Fprintf(w, "memory\t%s at the start, %s\n", sizeText(int64(m.MemoryPages)<<16), limit)
	for _, i := range m.Imports {
		known := ""
		if !i.Known {
			known = "  not offered"
		}
		fmt.Fprintf(w, "import\t%s %s.%s %s%s\n", fault.Quote(i.Kind), fault.Quote(i.Module), fault.Quote(i.Name), fault.Quote(i.Type), known)
	}
	for _, e := range m.Exports {
		fmt.Fprintf(w, "export\t%s\n", strings.TrimSpace(fault.Quote(e.Kind)+" "+fault.Quote(e.Name)+" "+fault.Quote(e.Type)))
	}
}

func (a *app) listVerb() verb {
	f := &find{}
	return verb{
		use: "list [flags]", short: "List artifacts, the last needed first",
		examples: []string{
			"troupe artifact list", "of the host that holds the data directory, or of the directory itself",
			"troupe artifact list --selector 'idle>7d pins=' --sort -size", "what takes room in vain",
		},
		exits: exitsList, flags: f.add, rows: true, view: "artifacts",
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, directory, func(ctx context.Context, n *node) error {
				if f.selector != "" || f.sort != "" || f.watch {
					return list(ctx, a, n, artifactList, f)
				}
				all, err := n.Artifacts(ctx, "")
				if err != nil {
					return err
				}
				slices.SortStableFunc(all, func(x, y inspect.Artifact) int { return y.LastNeeded.Compare(x.LastNeeded) })
				more := len(all) - f.limit
				if more > 0 {
					all = all[:f.limit]
				}
				if a.json() {
					printRows(a, api.ArtifactList{Artifacts: all}, all, artifactList.id)
					return nil
				}
				_, _ = a.out.Write(tableOf(artifactList, all, a.format.value == formWide))
				if more > 0 {
					a.note(fmt.Sprintf("there are %d more: pass a higher --limit, or a --selector", more))
				}
				return nil
			})
		},
	}
}

func (a *app) showVerb() verb {
	return verb{
		use: "show KEY", short: "Show everything about an artifact",
		examples: []string{"troupe artifact show 3f9a2c", "a unique beginning of the key is enough"},
		exits:    exitsOnKey, args: exactly(1, "one artifact key"), complete: a.completeKeys,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, directory, func(ctx context.Context, n *node) error {
				key, err := resolve(ctx, n, args[0])
				if err != nil {
					return err
				}
				x, err := n.Artifact(ctx, key)
				if err != nil {
					return err
				}
				if a.json() {
					a.printJSON(x)
					return nil
				}
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				fmt.Fprintf(w, "artifact\t%s\ncode\t%s\nstate\t%s\n", x.Key, x.CodeHash, x.State)
				if x.Fault != "" {
					fmt.Fprintf(w, "fault\t%s  %s  (%d failures)\n", x.Fault, fault.Quote(x.Message), x.Failures)
				}
				fmt.Fprintf(w, "size\t%s\nstored\t%t\nin use\t%d\nwaiting\t%d\npins\t%s\n", sizeText(x.Bytes), x.Stored, x.InUse, x.Waiting, oneLine(strings.Join(x.Pins, " ")))
				fmt.Fprintf(w, "prepared\t%s  cpu %s\nlast needed\t%s\n", ago(x.PreparedAt), micros(x.PrepareCPU), ago(x.LastNeeded))
				if x.Priority != "" {
					fmt.Fprintf(w, "priority\t%s\n", fault.Quote(x.Priority))
				}
				for _, e := range x.Escalations {
					fmt.Fprintf(w, "raised\t%s\n", escalation(e))
				}
				if !x.RetryAt.IsZero() {
					what := "may be tried again from"
					if x.State == artifacts.Prepared.String() {
						what = "in quarantine until"
					}
					fmt.Fprintf(w, "blocked\t%s %s\n", what, clock(x.RetryAt))
				}
				if x.State == artifacts.Prepared.String() {
					writeModule(w, x.Module)
				}
				_ = w.Flush()
				return nil
			})
		},
	}
}

func (a *app) pruneVerb() verb {
	return verb{
		use: "prune", short: "Drop artifacts over the limits of size and age now",
		examples: []string{"troupe artifact prune", "the host does this by itself once an hour"},
		exits:    exitsHost,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, directory, func(ctx context.Context, n *node) error {
				rep, err := n.Prune(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					a.printJSON(rep)
					return nil
				}
				fmt.Fprintf(a.out, "removed %d artifacts, %s; kept %s\n", rep.Removed, sizeText(rep.RemovedBytes), sizeText(rep.KeptBytes))
				if rep.OverLimit {
					a.note("what is in use or pinned alone exceeds the limit")
				}
				return nil
			})
		},
	}
}

// onKey is a change of one artifact.
type onKey func(ctx context.Context, n *node, key string) (api.Done, error)

func verifyKey(ctx context.Context, n *node, key string) (api.Done, error) { return n.Verify(ctx, key) }
func pinKey(ctx context.Context, n *node, key string) (api.Done, error)    { return n.Pin(ctx, key) }
func unpinKey(ctx context.Context, n *node, key string) (api.Done, error)  { return n.Unpin(ctx, key) }
func evictKey(ctx context.Context, n *node, key string) (api.Done, error)  { return n.Evict(ctx, key) }

// keyResult is one line of what a verb did to several artifacts.
type keyResult struct {
	Key   string     `json:"key"`
	State string     `json:"state"` // the state that was reached, or "failed"
	Error *api.Error `json:"error,omitempty"`
}

// onKeys applies f to each key of an artifact.
func (a *app) onKeys(name string, f onKey) func(context.Context, []string) error {
	return a.onEach(name, "artifacts", func(ctx context.Context, n *node, prefix string) (keyResult, error) {
		return changeKey(ctx, n, prefix, f)
	})
}

// onEach applies f to each key, and prints what came of it as a list under this name.
func (a *app) onEach(verb, list string, f func(ctx context.Context, n *node, prefix string) (keyResult, error)) func(context.Context, []string) error {
	return a.onEachAt(directory, verb, list, f)
}

// onEachAt is onEach on a host within reach.
func (a *app) onEachAt(far reach, verb, list string, f func(ctx context.Context, n *node, prefix string) (keyResult, error)) func(context.Context, []string) error {
	return func(ctx context.Context, keys []string) error {
		return a.at(ctx, far, func(ctx context.Context, n *node) error {
			results := make([]keyResult, 0, len(keys))
			errs := make([]error, len(keys))
			for i, k := range keys {
				r, err := f(ctx, n, k)
				if errs[i] = err; err != nil {
					r = keyResult{Key: k, State: "failed", Error: new(api.ErrorOf(err))}
					if len(keys) > 1 {
						a.printFailure(verb, k, err)
					}
				}
				results = append(results, r)
			}
			if a.json() {
				a.printJSON(map[string]any{list: results})
			} else {
				for _, r := range results {
					if r.Error == nil {
						fmt.Fprintf(a.out, "%s %s\n", r.Key, r.State)
					}
				}
			}
			return together(errs)
		})
	}
}

func changeKey(ctx context.Context, n *node, prefix string, f onKey) (keyResult, error) {
	key, err := resolve(ctx, n, prefix)
	if err != nil {
		return keyResult{}, err
	}
	d, err := f(ctx, n, key)
	return keyResult{Key: key, State: d.State}, err
}

const (
	keyLength = 64
	minPrefix = 4
)

// resolve completes the beginning of a key.
func resolve(ctx context.Context, n *node, prefix string) (string, error) {
	prefix = strings.ToLower(prefix)
	if len(prefix) == keyLength {
		_, err := artifacts.ParseKey(prefix)
		return prefix, err
	}
	if len(prefix) < minPrefix || len(prefix) > keyLength || strings.Trim(prefix, "0123456789abcdef") != "" {
		return "", fault.New(fault.CallerInvalid, "artifact key", fault.Quote(prefix), nil).WithHint(fmt.Sprintf("pass at least %d hex digits of a key from 'troupe artifact list'", minPrefix))
	}
	all, err := n.Artifacts(ctx, prefix)
	switch {
	case err != nil:
		return "", err
	case len(all) == 0:
		return "", fault.New(fault.CallerNotFound, "artifact", prefix, nil).WithHint("'troupe artifact list' shows what there is")
	case len(all) > 1:
		return "", fault.New(fault.CallerConflict, "artifact", prefix, nil).WithHint(fmt.Sprintf("%d keys begin like this: pass more digits", len(all)))
	}
	return all[0].Key, nil
}

const completionTime = 300 * time.Millisecond

func (a *app) completeKeys([]string) []string {
	return a.complete(func(ctx context.Context, n *node) (keys []string) {
		all, _ := n.Artifacts(ctx, "")
		for _, x := range all {
			keys = append(keys, x.Key)
		}
		return keys
	})
}

// complete asks a running host; without one it stays silent.
func (a *app) complete(ask func(context.Context, *node) []string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	a.quiet = true
	n, err := a.open(ctx, served)
	if err != nil {
		return nil
	}
	defer n.close()
	return ask(ctx, n)
}

// short cuts an id for a table.
func short(id string) string { return id[:min(12, len(id))] }

// ago prints a time for people.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return age(t) + " ago"
}

func age(t time.Time) string {
	d := max(0, time.Since(t))
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
