package cli

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
)

func (a *app) versionVerb() verb {
	return verb{
		use: "version", short: "Print the version of this program",
		examples: []string{"troupe version -o json", "for scripts and bug reports"},
		exits:    exitsText, settle: settleEnv,
		run: func(context.Context, []string) error {
			if a.json() {
				a.printJSON(map[string]string{"version": host.Version, "revision": revision(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
				return nil
			}
			fmt.Fprintf(a.out, "troupe %s %s %s/%s\n", host.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if a.verbose {
				a.printKnobs()
			}
			return nil
		},
	}
}

func (a *app) completion(shells []string) func(context.Context, []string) error {
	return func(ctx context.Context, args []string) error {
		root := a.tree(ctx)
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(a.out, true)
		case "zsh":
			return root.GenZshCompletion(a.out)
		case "fish":
			return root.GenFishCompletion(a.out, true)
		}
		hint := "choose bash, zsh or fish"
		if n := nearest(args[0], shells); n != "" && !slices.Contains(shells, args[0]) {
			hint = "did you mean '" + n + "'?"
		}
		return usage("shell "+fault.Quote(args[0]), hint)
	}
}
