package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) warmVerb() verb {
	var timeout span
	list := false
	return verb{
		use: "warm [flags] app.wasm...", short: "Keep code prepared, also over restarts and upgrades",
		long: `The code goes to the host's warm-up list, and its hash to stdout; it is prepared in the background. After an upgrade of
the engine it is prepared again before it is needed. 'troupe artifact cool' takes it off the list.`,
		examples: []string{
			"troupe artifact warm app.wasm", "put it on the list",
			"troupe artifact warm --list", "what is on it, and whether it is ready",
		},
		exits: with(exitsCode, exitConflict, exitSome),
		args: func(c *cobra.Command, args []string) error {
			switch {
			case list && len(args) > 0:
				return usage("--list with files", "choose one of them")
			case !list && len(args) == 0:
				return usage("no program", "name .wasm files, or pass --list")
			}
			return nil
		},
		flags: func(fs *pflag.FlagSet) {
			fs.Var(&timeout, "timeout", "give up after D (default none)")
			fs.BoolVar(&list, "list", false, "print the list instead")
		},
		run: func(ctx context.Context, files []string) error {
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			return a.at(ctx, directory, func(ctx context.Context, n *node) error {
				if list {
					return a.listWarm(ctx, n)
				}
				return a.warm(ctx, n, files)
			})
		},
	}
}

// warmResult is one line of what 'artifact warm' did.
type warmResult struct {
	File string `json:"file"`
	*inspect.Warm
	Error *api.Error `json:"error,omitempty"`
}

func (a *app) warm(ctx context.Context, n *node, files []string) error {
	results := make([]warmResult, 0, len(files))
	errs := make([]error, len(files))
	for i, file := range files {
		r := warmResult{File: file}
		code, err := readFile(ctx, file)
		if err == nil {
			var done inspect.Warm
			done, err = n.Warm(ctx, api.Code{}, code)
			r.Warm = &done
		}
		if errs[i] = err; err != nil {
			r.Warm, r.Error = nil, new(api.ErrorOf(err))
			if len(files) > 1 {
				a.printFailure("warm", file, err)
			}
		} else if !a.json() {
			fmt.Fprintf(a.out, "%s %s\n", fault.Quote(r.CodeHash), fault.Quote(r.State))
		}
		results = append(results, r)
	}
	if a.json() {
		a.printJSON(map[string]any{"warm": results})
	}
	return together(errs)
}

func (a *app) listWarm(ctx context.Context, n *node) error {
	all, err := n.Warmed(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		printRows(a, api.WarmList{Warm: all}, all, func(x inspect.Warm) string { return x.CodeHash })
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "CODE\tTENANT\tSTATE\tARTIFACT\tSIZE\tON THE LIST\n")
	for _, x := range all {
		code, artifact := short(x.CodeHash), short(x.Artifact)
		if a.format.value == formWide {
			code, artifact = x.CodeHash, x.Artifact
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", fault.Quote(code), fault.Quote(x.Tenant), fault.Quote(x.State), fault.Quote(artifact), sizeText(x.Bytes), since(x.Since))
	}
	_ = w.Flush()
	return nil
}

func (a *app) coolVerb() verb {
	return verb{
		use: "cool CODE_HASH...", short: "Take code off the warm-up list",
		long:     "What is prepared stays until it is pruned.",
		examples: []string{"troupe artifact cool 9c1185", "a unique beginning of the hash is enough; see 'troupe artifact warm --list'"},
		exits:    exitsOnKey, args: atLeast(1, "one or more hashes of code"), complete: a.completeWarm,
		run: a.onEach("cool", "warm", func(ctx context.Context, n *node, prefix string) (keyResult, error) {
			hash, err := resolveWarm(ctx, n, prefix)
			if err != nil {
				return keyResult{}, err
			}
			d, err := n.Cool(ctx, hash)
			return keyResult{Key: hash, State: d.State}, err
		}),
	}
}

// resolveWarm completes the beginning of the hash of code that is on the list.
func resolveWarm(ctx context.Context, n *node, prefix string) (string, error) {
	prefix = strings.ToLower(prefix)
	if len(prefix) < minPrefix || len(prefix) > keyLength || strings.Trim(prefix, "0123456789abcdef") != "" {
		return "", fault.New(fault.CallerInvalid, "code hash", fault.Quote(prefix), nil).WithHint(fmt.Sprintf("pass at least %d hex digits of a hash from 'troupe artifact warm --list'", minPrefix))
	}
	if len(prefix) == keyLength {
		return prefix, nil
	}
	all, err := n.Warmed(ctx)
	if err != nil {
		return "", err
	}
	found := map[string]bool{}
	for _, x := range all {
		if strings.HasPrefix(x.CodeHash, prefix) {
			found[x.CodeHash] = true
		}
	}
	if len(found) > 1 {
		return "", fault.New(fault.CallerConflict, "code hash", prefix, nil).WithHint(fmt.Sprintf("%d hashes begin like this: pass more digits", len(found)))
	}
	for hash := range found {
		return hash, nil
	}
	return "", fault.New(fault.CallerNotFound, "code hash", prefix, nil).WithHint("'troupe artifact warm --list' shows what there is")
}

// completeWarm asks a running host; without one it stays silent.
func (a *app) completeWarm([]string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	a.quiet = true
	n, err := a.open(ctx, served)
	if err != nil {
		return nil
	}
	defer n.close()
	all, err := n.Warmed(ctx)
	if err != nil {
		return nil
	}
	hashes := make([]string, 0, len(all))
	for _, x := range all {
		hashes = append(hashes, fault.Quote(x.CodeHash))
	}
	return hashes
}
