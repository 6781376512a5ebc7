package cli

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const maxVerbOutput = 1 << 20 // of a verb that runs inside the console

// capped keeps the first bytes that are written.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := maxVerbOutput - c.Len(); room > 0 {
		c.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// verbInside runs a verb for the console, at the host that the console shows, without a terminal: what would ask is refused. n is a host
// that is not found by flags; nil: it is.
func (a *app) verbInside(ctx context.Context, words []string, n *node) (string, int) {
	var out capped
	b := &app{
		in: strings.NewReader(""), out: &sink{w: &out}, err: &out, getenv: a.getenv, screen: a.screen,
		interrupts: make(chan os.Signal), releaseInterrupts: func() {}, start: a.start, confinement: a.confinement, owner: a.owner,
		askSecret: func(string) ([]byte, error) {
			return nil, usage("a secret is not typed here", "use a shell, or a flag that names a file")
		},
		patience: a.patience, reaction: a.reaction, inside: n, sharedFlags: sharedFlags{systemConfig: a.systemConfig},
	}
	code := b.mainIn(ctx, append(words, a.sameHost()...))
	return out.String(), code
}

// sameHost are the flags by which this invocation chose its host.
func (a *app) sameHost() (flags []string) {
	a.flags.VisitAll(func(f *pflag.Flag) {
		if !f.Changed {
			return
		}
		if slices.Contains(places, f.Name) || f.Name == "context" || f.Name == "config" || strings.HasPrefix(f.Name, "connect-") {
			flags = append(flags, "--"+f.Name+"="+f.Value.String())
		}
	})
	return flags
}

// verbNames are the verbs of the command line that one may type in the console.
func (a *app) verbNames() (names []string) {
	var walk func(lead string, v verb)
	walk = func(lead string, v verb) {
		name := strings.TrimSpace(lead + " " + strings.Fields(v.use)[0])
		if len(v.verbs) == 0 {
			names = append(names, name)
		}
		for _, sub := range v.verbs {
			walk(name, sub)
		}
	}
	for _, v := range a.table().verbs {
		if name := strings.Fields(v.use)[0]; !slices.Contains([]string{"top", "serve", "dev", "web", "bundle", "explain"}, name) {
			walk("", v)
		}
	}
	return names
}
