package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
)

// The manual pages and the reference are made from the table of verbs, as help and completion are.

func (a *app) docsVerb() verb {
	return verb{
		use: "docs COMMAND", short: "Print the reference of all commands, as manual pages or in one file",
		examples: []string{"troupe docs man ~/.local/share/man/man1", "then 'man troupe-job-list' shows one"},
		exits:    []int{exitOK, exitUsage},
		verbs: []verb{
			{
				use: "man DIR", short: "Write a manual page for each command into a directory, which is made if there is none",
				examples: []string{"troupe docs man man1 && man ./man1/troupe-job-list.1", "made anew, those that are there are overwritten"},
				exits:    with(exitsText, exitNotFound), args: exactly(1, "one directory"),
				run: func(ctx context.Context, args []string) error { return a.writeMan(ctx, args[0]) },
			},
			{
				use: "markdown", short: "Print the reference of all commands as Markdown",
				examples: []string{"troupe docs markdown >REFERENCE.md", "what this program understands"},
				exits:    exitsText,
				run: func(ctx context.Context, _ []string) error {
					a.writeMarkdown(ctx, a.out)
					return nil
				},
			},
		},
	}
}

// page is one command with what is known of it.
type page struct {
	verb
	command *cobra.Command
}

func (p page) name() string { return strings.ReplaceAll(p.command.CommandPath(), " ", "-") }

// pages are all commands, in the order of their names below each group.
func (a *app) pages(ctx context.Context) []page {
	root := a.tree(ctx)
	var all []page
	var walk func(v verb, c *cobra.Command)
	walk = func(v verb, c *cobra.Command) {
		all = append(all, page{v, c})
		for _, sub := range slices.SortedFunc(slices.Values(v.verbs), func(x, y verb) int { return strings.Compare(x.use, y.use) }) {
			i := slices.IndexFunc(c.Commands(), func(c *cobra.Command) bool { return c.Use == sub.use })
			walk(sub, c.Commands()[i])
		}
	}
	walk(a.table(), root)
	return all
}

// flagsOf are the flags of a command that it does not share with all others.
func (p page) flags() (own []*pflag.Flag) {
	p.command.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden {
			own = append(own, f)
		}
	})
	return own
}

func flagText(f *pflag.Flag) (spelt, what string) {
	kind, what := pflag.UnquoteUsage(f)
	spelt = "--" + f.Name
	if f.Shorthand != "" {
		spelt = "-" + f.Shorthand + ", " + spelt
	}
	if kind != "" {
		spelt += " " + kind
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && !strings.Contains(what, "(default") {
		what += " (default " + f.DefValue + ")"
	}
	return spelt, what
}

// shared are the flags that all commands have.
func (a *app) shared(ctx context.Context) (all []*pflag.Flag) {
	a.tree(ctx).PersistentFlags().VisitAll(func(f *pflag.Flag) { all = append(all, f) })
	return all
}

func (a *app) writeMan(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fileError(dir, err)
	}
	if info, err := os.Stat(dir); err != nil {
		return fileError(dir, err)
	} else if !info.IsDir() {
		return usage(fault.Quote(dir)+" is no directory", "name a directory for the pages")
	}
	shared := a.shared(ctx)
	for _, p := range a.pages(ctx) {
		err := toFile(filepath.Join(dir, p.name()+".1"), func(w io.Writer) error {
			_, err := io.WriteString(w, p.roff(shared))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// roff is the manual page of a command.
func (p page) roff(shared []*pflag.Flag) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"troupe\" \"Troupe\"\n.SH NAME\n%s \\- %s\n", roffText(strings.ToUpper(p.name())), roffText(p.name()), roffText(p.short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roffText(p.command.UseLine()))
	if p.long != "" {
		fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roffText(p.long))
	}
	if len(p.verbs) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range p.verbs {
			name, _, _ := strings.Cut(sub.use, " ")
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roffText(p.name()+"-"+name), roffText(sub.short))
		}
	}
	for _, group := range []struct {
		title string
		flags []*pflag.Flag
	}{{"OPTIONS", p.flags()}, {"COMMON OPTIONS", shared}} {
		if len(group.flags) == 0 {
			continue
		}
		fmt.Fprintf(&b, ".SH %s\n", group.title)
		for _, f := range group.flags {
			spelt, what := flagText(f)
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(spelt), roffText(what))
		}
	}
	if len(p.examples) > 0 {
		b.WriteString(".SH EXAMPLES\n")
		for i := 0; i+1 < len(p.examples); i += 2 {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(p.examples[i]), roffText(p.examples[i+1]))
		}
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, code := range slices.Sorted(slices.Values(p.exits)) {
		fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", code, roffText(exitTexts[code]))
	}
	if parent := p.command.Parent(); parent != nil {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roffText(strings.ReplaceAll(parent.CommandPath(), " ", "-")))
	}
	return b.String()
}

// roffText keeps what roff would read as requests, escapes and hyphens that break.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	var b strings.Builder
	for _, r := range s {
		if r > '~' {
			fmt.Fprintf(&b, `\[u%04X]`, r) // roff reads bytes
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (a *app) writeMarkdown(ctx context.Context, w io.Writer) {
	fmt.Fprint(w, "# Commands of troupe\n\nMade by `troupe docs markdown` from the table of commands; do not edit it by hand.\n\n## Flags that all commands have\n\n")
	for _, f := range a.shared(ctx) {
		spelt, what := flagText(f)
		fmt.Fprintf(w, "- `%s`: %s\n", spelt, what)
	}
	fmt.Fprint(w, "\n## Exit codes\n\n| Code | Meaning |\n|---|---|\n")
	for _, code := range slices.Sorted(slices.Values(allExits())) {
		fmt.Fprintf(w, "| %d | %s |\n", code, exitTexts[code])
	}
	for _, t := range topics() {
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n```\n%s```\n", strings.ToUpper(t.name[:1])+t.name[1:], t.short+".", t.text())
	}
	for _, p := range a.pages(ctx) {
		if p.run == nil {
			fmt.Fprintf(w, "\n## %s\n\n%s.\n", p.command.CommandPath(), p.short)
		} else {
			fmt.Fprintf(w, "\n### %s\n\n%s.\n", p.command.CommandPath(), p.short)
		}
		if p.long != "" {
			fmt.Fprintf(w, "\n%s\n", strings.ReplaceAll(p.long, "\n", " "))
		}
		if p.run != nil {
			fmt.Fprintf(w, "\n    %s\n", p.command.UseLine())
		}
		if own := p.flags(); len(own) > 0 {
			fmt.Fprint(w, "\n")
			for _, f := range own {
				spelt, what := flagText(f)
				fmt.Fprintf(w, "- `%s`: %s\n", spelt, what)
			}
		}
		if p.run != nil {
			fmt.Fprint(w, "\n")
			for i := 0; i+1 < len(p.examples); i += 2 {
				fmt.Fprintf(w, "    # %s\n    %s\n", p.examples[i+1], p.examples[i])
			}
			codes := slices.Sorted(slices.Values(p.exits))
			fmt.Fprintf(w, "\nExit codes: %s\n", strings.Trim(strings.ReplaceAll(fmt.Sprint(codes), " ", ", "), "[]"))
		}
	}
}
