package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// deed is one row of api.Verbs as a verb of the command line: a plan, a confirmation, and an operation that is followed to its end.
type deed struct {
	name    string // in api.Verbs
	use     string // of the verb; default: its action and the ids
	what    string // "actor", for words
	view    string // of package query, for --selector; "": it takes none
	long    string
	example string // an id
	own     string // the id of what there is only one of, which is not named
	far     reach
	args    func() map[string]string              // of the wish
	flags   func(*pflag.FlagSet)                  // of its own
	first   func(args []string) ([]string, error) // takes what stands before the ids
	least   int                                   // arguments that first takes
	offer   func(args []string) []string          // completes
	resolve func(context.Context, *node, string) (string, error)
	last    func(context.Context, *node) error // waits for the end of the host, which the deed brings about; nil: it lives on
}

// acting are the flags of verbs that change something by a plan.
type acting struct {
	find
	reason     string
	yes, dry   bool
	generation uint64
}

func (f *acting) add(fs *pflag.FlagSet, d deed, spec api.Verb) {
	if d.view != "" {
		f.addSelector(fs, "all that match QUERY instead of ids, as they are now; see 'troupe help query' (default none)")
	}
	reason := "why, for the audit log; a selector needs one (default none)"
	switch {
	case spec.Danger:
		reason = "why, for the audit log (required)"
	case d.view == "":
		reason = "why, for the audit log (default none)"
	}
	fs.Var(word{&f.reason, "TEXT"}, "reason", reason)
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	fs.BoolVar(&f.dry, "dry-run", false, "print the plan, and change nothing")
	if d.own == "" {
		fs.Uint64Var(&f.generation, "generation", 0, "only if the target is still of this generation; of a single id (default any)")
	}
}

// maxReason is how long a reason may be, in bytes.
const maxReason = 512

// check finds what cannot be meant before there is a host.
func (f *acting) check(ids []string, d deed, spec api.Verb) error {
	switch {
	case d.own != "":
	case f.selector != "" && len(ids) > 0:
		return usage("both --selector and ids", "choose one of them")
	case f.selector == "" && len(ids) == 0 && d.view != "":
		return usage("no "+d.what, "name one or more, or pass --selector")
	case len(ids) == 0 && f.selector == "":
		return usage("no "+d.what, "name one or more")
	case f.generation != 0 && len(ids) != 1:
		return usage("--generation without a single id", "name the one that it is of")
	}
	return f.explained(spec)
}

// explained finds a reason that is missing or too long.
func (f *acting) explained(spec api.Verb) error {
	switch {
	case len(f.reason) > maxReason:
		return usage(fmt.Sprintf("--reason of %d bytes", len(f.reason)), fmt.Sprintf("say it in %d bytes", maxReason))
	case strings.TrimSpace(f.reason) == "" && spec.Danger:
		return usage("no --reason", "'"+spec.Action+"' cannot be undone: pass --reason TEXT for the audit log")
	case strings.TrimSpace(f.reason) == "" && f.selector != "":
		return usage("no --reason", "a selector may find much: pass --reason TEXT for the audit log")
	}
	return nil
}

// verbOf is the row of api.Verbs.
func specOf(name string) api.Verb {
	i := slices.IndexFunc(api.Verbs, func(v api.Verb) bool { return v.Name == name })
	if i < 0 {
		panic("no verb " + name) // of our own table
	}
	return api.Verbs[i]
}

// actVerb makes a verb of a deed.
func (a *app) actVerb(d deed, short string) verb {
	spec := specOf(d.name)
	f := &acting{}
	if d.use == "" {
		d.use = spec.Action + " [flags] " + strings.ToUpper(d.what) + "..."
		if d.own != "" {
			d.use = spec.Action + " [flags]"
		}
	}
	if d.far == 0 {
		d.far = served
	}
	name := "troupe " + spec.Kind + " " + spec.Action
	if spec.Kind == "letter" {
		name = "troupe dead " + spec.Action
	}
	v := verb{
		use: d.use, short: short, view: d.view,
		long:  strings.TrimSpace(d.long + "\nThe plan is shown first, and asked about; see 'troupe help plans'."),
		exits: exitsOnKey, complete: d.offer,
		flags: func(fs *pflag.FlagSet) {
			f.add(fs, d, spec)
			if d.flags != nil {
				d.flags(fs)
			}
		},
		run: func(ctx context.Context, args []string) error {
			ids := args
			if d.first != nil {
				var err error
				if ids, err = d.first(args); err != nil {
					return err
				}
			}
			if err := f.check(ids, d, spec); err != nil {
				return err
			}
			return a.at(ctx, d.far, func(ctx context.Context, n *node) error { return a.act(ctx, n, d, f, ids) })
		},
	}
	v.args = func(c *cobra.Command, args []string) error {
		switch {
		case d.own != "" && len(args) > d.least:
			return usage("'"+c.CommandPath()+"' takes no ids", seeHelp(c))
		case len(args) < d.least:
			return usage("'"+c.CommandPath()+"' takes "+d.use[strings.LastIndex(d.use, "] ")+2:], seeHelp(c))
		}
		return nil
	}
	reason := exampleReason(d.name)
	if d.example != "" || d.own != "" {
		v.examples = append(v.examples, strings.TrimSpace(name+reason+" "+d.example), spec.Effect)
	}
	if d.view != "" {
		v.examples = append(v.examples, name+` --selector 'age>10m' --reason "clean up" --dry-run`, "what would be done, and to what")
	}
	return v
}

// exampleReason is what an example of a verb says of why.
func exampleReason(name string) string {
	if specOf(name).Danger {
		return ` --reason "it hangs"`
	}
	return ""
}

// act makes the plan of a deed, asks, carries it out and follows it.
func (a *app) act(ctx context.Context, n *node, d deed, f *acting, ids []string) error {
	wish := api.Wish{Verb: d.name, Selector: f.selector, Reason: f.reason}
	if d.args != nil {
		wish.Args = d.args()
	}
	for _, id := range ids {
		if d.resolve != nil {
			full, err := d.resolve(ctx, n, id)
			if err != nil {
				return err
			}
			id = full
		}
		wish.IDs = append(wish.IDs, id)
	}
	if d.own != "" {
		wish.IDs = []string{d.own}
	}
	if f.generation != 0 {
		wish.Match = map[string]uint64{wish.IDs[0]: f.generation}
	}
	p, err := n.Plan(ctx, wish)
	if err != nil {
		return pointed(&f.find, err)
	}
	if f.dry {
		if a.json() {
			a.printJSON(p)
		} else {
			writePlan(a.out, p)
		}
		return nil
	}
	if len(p.Targets) == 0 {
		return a.nothing(p)
	}
	if !f.yes {
		writePlan(a.err, p)
		if err := a.confirm(ctx, p); err != nil {
			return err
		}
	} else if !a.quiet && len(p.Excluded) > 0 {
		writePlan(a.err, p)
	}
	op, err := n.Apply(ctx, p.ID, rand.Text())
	if err != nil {
		return err
	}
	op, err = a.follow(ctx, n, op, len(p.Targets))
	if d.last != nil && hasEnded(err) { // before it could say so
		op.State, op.Results, op.Done, err = "done", []api.PlanOutcome{{ID: d.own, State: "done"}}, 1, nil
	}
	if err != nil {
		return err
	}
	if d.last != nil && op.State == "done" {
		if err := d.last(ctx, n); err != nil {
			return err
		}
	}
	return a.outcome(p, op)
}

// nothing ends a verb whose plan has no target.
func (a *app) nothing(p api.Plan) error {
	if a.json() {
		a.printJSON(p)
	}
	if len(p.Excluded) == 0 {
		a.note("nothing matches")
		return nil
	}
	errs := make([]error, len(p.Excluded))
	for i, x := range p.Excluded {
		errs[i] = outcomeFault(x)
		if len(p.Excluded) > 1 {
			a.printFailure(p.Verb, x.ID, errs[i])
		}
	}
	return together(errs)
}

func outcomeFault(x api.PlanOutcome) error {
	code := fault.Code(x.Code)
	if code == "" {
		code = fault.CallerConflict
	}
	subject, why := fault.Quote(x.ID), oneLine(x.Why)
	if before, after, ok := strings.Cut(why, fault.Describe(code).Text); ok { // it says so itself
		if before = strings.TrimSuffix(before, ": "); strings.Contains(before, subject) {
			subject = before
		}
		why = strings.TrimLeft(after, ":; ")
	}
	var cause error
	if why != "" {
		cause = errors.New(why)
	}
	f := fault.New(code, "", subject, cause)
	if x.Hint != "" {
		f = f.WithHint(oneLine(x.Hint))
	}
	return f
}

// mostTargets is how many targets of a plan are listed.
const mostTargets = 10

// writePlan tells people what a plan would do.
func writePlan(out io.Writer, p api.Plan) {
	fmt.Fprintf(out, "%s: %s\n", oneLine(p.Verb), oneLine(p.Effect))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, t := range p.Targets {
		if i == mostTargets {
			break
		}
		more := ""
		if t.Children > 0 {
			more += "  " + counted(t.Children, "part") + " with it"
		}
		if t.Lost > 0 {
			more += "  " + counted(t.Lost, "run") + " lost"
		}
		label := t.Label
		if label == t.ID {
			label = ""
		}
		if t.Generation > 0 {
			more = fmt.Sprintf("generation %d", t.Generation) + more
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", quoted(t.ID, maxCell), quoted(label, maxCell), quoted(t.State, maxCell), strings.TrimSpace(more))
	}
	_ = w.Flush()
	if more := len(p.Targets) - mostTargets; more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	for i, x := range p.Excluded {
		if i == mostTargets {
			fmt.Fprintf(out, "  and %d more that cannot be done\n", len(p.Excluded)-mostTargets)
			break
		}
		fmt.Fprintf(out, "  not %s: %s\n", quoted(x.ID, maxCell), quoted(trimmed(x.Code, x.Why), maxCell))
	}
	fmt.Fprintf(out, "%s, %d excluded\n", counted(max(p.Count, len(p.Targets)), "target"), len(p.Excluded))
}

// confirm asks on a terminal, and refuses anywhere else.
func (a *app) confirm(ctx context.Context, p api.Plan) error {
	if !a.inTerminal || !a.errTerminal {
		return usage("nobody to ask", "stdin and stderr are no terminal: pass --yes, or --dry-run to see the plan only")
	}
	want, ask := "y", "Go ahead? [y/N] "
	if p.Danger || len(p.Targets) > 1 {
		want = strconv.Itoa(len(p.Targets))
		ask = "Type the number of targets to go ahead: "
	}
	_, _ = io.WriteString(a.err, ask)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(a.in, 64)).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return fault.From(context.Cause(ctx))
	case said := <-answer:
		if strings.EqualFold(said, want) || want == "y" && strings.EqualFold(said, "yes") {
			return nil
		}
	}
	a.note("nothing was changed")
	return exit{code: exitCanceled}
}

// followFor is how long one question after an operation waits.
const followFor = 2 * time.Second

// follow waits until an operation is settled, and tells how far it is.
func (a *app) follow(ctx context.Context, n *node, op api.Operation, targets int) (api.Operation, error) {
	p := a.startProgress()
	defer p.stop()
	for op.State == "running" {
		if p.event != nil {
			p.event(api.Progress{Stage: fmt.Sprintf("%s: %d of %d", op.Verb, op.Done+op.Failed, targets)})
		}
		next, err := n.Operation(ctx, op.ID, followFor)
		switch {
		case err != nil && ctx.Err() != nil:
			a.note("the operation goes on without us: " + op.ID)
			return op, fault.From(context.Cause(ctx))
		case err != nil:
			return op, err
		}
		op = next
	}
	return op, nil
}

// outcome prints what became of each target: exit code 8 if some failed, that of the fault if all did, 6 if all had changed.
func (a *app) outcome(p api.Plan, op api.Operation) error {
	if a.json() {
		a.printJSON(op)
	}
	errs := make([]error, 0, len(op.Results))
	for _, r := range op.Results {
		var err error
		switch r.State {
		case "done":
			if !a.json() {
				fmt.Fprintf(a.out, "%s %s\n", quoted(r.ID, maxCell), quoted(doneText(r), maxCell))
			}
		case "superseded":
			if r.Code == "" {
				r.Code = string(fault.CallerStale)
			}
			err = outcomeFault(r)
		default:
			err = outcomeFault(r)
		}
		if errs = append(errs, err); err != nil && len(op.Results) > 1 {
			a.printFailure(op.Verb, r.ID, err)
		}
	}
	switch {
	case len(errs) > 0:
		return together(errs)
	case op.State == "superseded":
		return fault.New(fault.CallerStale, op.Verb, "", errors.New("all targets have changed since the plan was made"))
	case op.State == "failed":
		return fault.New(fault.CallerConflict, op.Verb, "", errors.New("all targets failed"))
	}
	if !a.json() {
		fmt.Fprintf(a.out, "%s done\n", counted(len(p.Targets), "target"))
	}
	return nil
}

// doneText says what became of a target: in the words of the host, if it has any.
func doneText(r api.PlanOutcome) string {
	if r.Why != "" {
		return r.Why
	}
	return r.State
}

// planned lets a verb that changes what it is told at once do so by a plan as well, when it is given a selector or one of the flags of a
// plan. A reason is none of them: what cannot be undone has one in any case.
func (a *app) planned(v verb, d deed) verb {
	spec := specOf(d.name)
	f := &acting{}
	flags, args, run := v.flags, v.args, v.run
	if d.far == 0 {
		d.far = served
	}
	v.view, v.atOnce = d.view, true
	v.flags = func(fs *pflag.FlagSet) {
		if flags != nil {
			flags(fs)
		}
		f.add(fs, d, spec)
	}
	v.args = func(c *cobra.Command, given []string) error {
		if f.selector != "" && len(given) == 0 {
			return nil
		}
		return args(c, given)
	}
	v.run = func(ctx context.Context, ids []string) error {
		if f.selector == "" && !f.yes && !f.dry && f.generation == 0 {
			if err := f.explained(spec); err != nil {
				return err
			}
			return run(client.Under(ctx, client.Terms{Reason: f.reason}), ids)
		}
		if d.first != nil {
			if _, err := d.first(ids); err != nil {
				return err
			}
		}
		if err := f.check(ids, d, spec); err != nil {
			return err
		}
		return a.at(ctx, d.far, func(ctx context.Context, n *node) error { return a.act(ctx, n, d, f, ids) })
	}
	v.long = strings.TrimSpace(v.long + "\nWith --selector, --generation, --dry-run or --yes it goes by a plan, as 'troupe help plans' says.")
	return v
}
