package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// help prints one screen: what it does, examples, usage, flags, and at the end the exit codes.
func (a *app) help(c *cobra.Command, v verb, w io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n", v.short)
	if v.long != "" {
		fmt.Fprintf(&b, "%s\n", v.long)
	}
	if len(v.examples) > 0 {
		b.WriteString("\nExamples:\n")
		for i := 0; i+1 < len(v.examples); i += 2 {
			fmt.Fprintf(&b, "  %s\n      %s\n", v.examples[i], v.examples[i+1])
		}
	}
	fmt.Fprintf(&b, "\nUsage:\n  %s\n", c.UseLine())
	if c.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %-12s%s\n", sub.Name(), sub.Short)
			}
		}
	}
	if !c.HasParent() {
		b.WriteString("\nMore help:\n")
		for _, t := range topics() {
			fmt.Fprintf(&b, "  %-26s%s\n", "troupe help "+t.name, t.short)
		}
	}
	flags(&b, "Flags", c.LocalNonPersistentFlags())
	common := pflag.NewFlagSet("", pflag.ContinueOnError)
	common.AddFlagSet(c.InheritedFlags())
	common.AddFlagSet(c.PersistentFlags())
	flags(&b, "Common flags", common)
	if len(v.exits) > 0 {
		fmt.Fprintf(&b, "\nExit codes:\n%s", exitHelp(v.exits))
	}
	_, _ = io.WriteString(w, b.String())
}

func flags(b *strings.Builder, title string, fs *pflag.FlagSet) {
	if fs.HasAvailableFlags() {
		fmt.Fprintf(b, "\n%s:\n%s", title, fs.FlagUsages())
	}
}
