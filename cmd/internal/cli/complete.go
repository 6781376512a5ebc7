package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host"
)

// completeFlags offers the values of the flags that take one of a few, or a list of names.
func (a *app) completeFlags(c *cobra.Command, fs *pflag.FlagSet, view string) {
	fs.VisitAll(func(f *pflag.Flag) {
		value := f.Value
		if o, ok := value.(*once); ok {
			value = o.Value
		}
		var offer func(typed string) ([]string, cobra.ShellCompDirective)
		switch v := value.(type) {
		case *form:
			offer = func(string) ([]string, cobra.ShellCompDirective) {
				return forms, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
			}
		case *choice:
			offer = func(string) ([]string, cobra.ShellCompDirective) {
				return v.allowed, cobra.ShellCompDirectiveNoFileComp
			}
		default:
			switch f.Name {
			case "selector":
				offer = func(typed string) ([]string, cobra.ShellCompDirective) { return a.completeQuery(view, typed) }
			case "sort":
				offer = func(typed string) ([]string, cobra.ShellCompDirective) {
					return sortFields(view, typed), cobra.ShellCompDirectiveNoFileComp
				}
			case "data-dir":
				offer = func(string) ([]string, cobra.ShellCompDirective) { return nil, cobra.ShellCompDirectiveFilterDirs }
			case "wasm-features":
				offer = func(typed string) ([]string, cobra.ShellCompDirective) {
					return nextOf(typed, append([]string{"wasm2", "all"}, wasm.AllFeatures.Names()...)), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
				}
			case "wasm-caps":
				offer = func(typed string) ([]string, cobra.ShellCompDirective) {
					var names []string
					for _, n := range host.CapNames() {
						names = append(names, n+"=")
					}
					return nextOf(typed, names), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
				}
			default:
				return
			}
		}
		_ = c.RegisterFlagCompletionFunc(f.Name, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return offer(typed)
		}) // it fails for a flag that is not there, or has one
	})
}

// nextOf returns what a list joined by commas may be with one more of the names, of which none stands in it yet.
func nextOf(typed string, names []string) []string {
	before := typed[:strings.LastIndexByte(typed, ',')+1]
	var out []string
	for _, n := range names {
		used := slices.ContainsFunc(strings.Split(before, ","), func(word string) bool {
			return word == n || strings.HasSuffix(n, "=") && strings.HasPrefix(word, n)
		})
		if !used {
			out = append(out, before+n)
		}
	}
	return out
}
