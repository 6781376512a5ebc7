package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
			return bashCompletion(root, a.out)
		case "zsh":
			return zshCompletion(root, a.out)
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

// bashCompletion is the script of cobra without what it takes from the package bash-completion: many systems have none. It also trims
// what readline has typed already, up to the last = as up to the last colon.
func bashCompletion(root *cobra.Command, w io.Writer) error {
	var script bytes.Buffer
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	_, err := strings.NewReplacer(
		`_get_comp_words_by_ref "$@" cur prev words cword`, `__troupe_words`,
		`__ltrim_colon_completions`, `__troupe_trim`,
		`declare -F _init_completion`, `false`,
	).WriteString(w, script.String()+bashWords)
	return err
}

// zshCompletion is the script of cobra, which takes the field in --flag=field=value for a part of the flag.
func zshCompletion(root *cobra.Command, w io.Writer) error {
	var script bytes.Buffer
	if err := root.GenZshCompletion(&script); err != nil {
		return err
	}
	_, err := strings.NewReplacer(`'-.*='`, `'^-[^=]*='`).WriteString(w, script.String())
	return err
}

const bashWords = `
# The words of the line: readline cuts them at = and : too.
__troupe_words()
{
    local i spaces rest=$COMP_LINE
    words=() cword=0
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        spaces=${rest%%[! ]*}
        rest=${rest#"$spaces"}
        rest=${rest#"${COMP_WORDS[i]}"}
        if [[ -z $spaces && $i -gt 0 ]]; then
            words[${#words[@]}-1]+=${COMP_WORDS[i]}
        else
            words+=("${COMP_WORDS[i]}")
        fi
        if ((i == COMP_CWORD)); then
            cword=$((${#words[@]} - 1))
        fi
    done
    cur=${words[cword]}
    prev=${words[cword > 0 ? cword - 1 : 0]}
}

# What is offered, without what readline holds for words before it.
__troupe_trim()
{
    local i before=${1%"${1##*[=:]}"}
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$before"}
    done
}
`
