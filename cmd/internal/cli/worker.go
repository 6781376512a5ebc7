package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/sandbox"
)

func (a *app) workerVerb() verb {
	return verb{
		use: "worker COMMAND", short: "See worker processes, what runs in them and what confines them; replace or kill one",
		examples: []string{
			"troupe worker sandbox", "what confines guests on this machine",
			"troupe worker guests --sort -cpu", "what runs, the busiest first",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.sandboxVerb(), a.workerListVerb(), a.workerShowVerb(), a.workerGuestsVerb(),
			a.workerDeed("worker.recycle", "Replace workers, each as soon as it is idle"),
			a.workerDeed("worker.kill", "Kill workers, whatever they run"),
		},
	}
}

func (a *app) sandboxVerb() verb {
	return verb{
		use: "sandbox", short: "Show which layers of confinement hold on this machine, and how to mend the others",
		long: `Starts a worker with the rights of this user, has it confine itself, and ends it again. No host is needed. A layer holds
only if it was read back or tried. 'troupe serve --sandbox strict' starts only if all hold but the optional ones, and this
ends with exit code 8 if one of those does not. What a run was confined by stands in its receipt: full is all of these
layers.`,
		examples: []string{
			"troupe worker sandbox", "a table of the layers",
			"troupe worker sandbox -o json", "for scripts",
			"troupe worker sandbox && troupe serve", "serve only where all that is required holds",
		},
		exits: with(exitsHost, exitSome),
		run:   func(ctx context.Context, _ []string) error { return a.showSandbox(ctx) },
	}
}

func (a *app) showSandbox(ctx context.Context) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	s, err := a.confinement(ctx, a.worker)
	if err != nil {
		return err
	}
	if a.json() {
		a.printJSON(s)
	} else {
		a.printSandbox(s)
	}
	if slices.ContainsFunc(s.Layers, func(l inspect.Layer) bool { return !l.Held && !l.Optional }) {
		return exit{code: exitSome}
	}
	return nil
}

// narrow is how wide a line of reasons gets.
const narrow = 68

func (a *app) printSandbox(s inspect.Sandbox) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	landlock := "none"
	if s.Landlock > 0 {
		landlock = "version " + strconv.Itoa(s.Landlock)
	}
	container := "none seen"
	if s.Container != "" {
		container = fault.Quote(s.Container)
	}
	fmt.Fprintf(w, "kernel\t%s\nlandlock\t%s\ncontainer\t%s\n", oneLine(s.Kernel), landlock, container)
	_ = w.Flush()
	fmt.Fprintf(w, "\nLAYER\tHOLDS\tWHAT IT DOES\n")
	for _, l := range s.Layers {
		holds := "yes"
		if !l.Held {
			holds = "no"
			if l.Optional {
				holds = "no (optional)"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", fault.Quote(l.Name), holds, layerTexts[l.Name])
	}
	_ = w.Flush()
	for _, l := range s.Layers {
		if l.Held {
			continue
		}
		fmt.Fprintf(a.out, "\n%s does not hold\n", fault.Quote(l.Name))
		printWrapped(a.out, "why:   ", oneLine(l.Why))
		if l.Hint != "" {
			printWrapped(a.out, "mend:  ", oneLine(l.Hint))
		}
	}
}

func printWrapped(w *sink, label, text string) {
	line := ""
	flush := func() {
		fmt.Fprintf(w, "  %s%s\n", label, line)
		label, line = strings.Repeat(" ", len(label)), ""
	}
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > narrow {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	flush()
}

// layerTexts says what each layer does, for a line of a table.
var layerTexts = map[string]string{
	"env": "no environment", "fds": "no descriptors of others", "userns": "a user of its own",
	"mntns": "mounts of its own", "pidns": "sees no other process", "netns": "no network",
	"ipcns": "no shared System V memory", "utsns": "no host name", "root": "no files: an empty, read-only root",
	"landlock": "no files, sockets and signals, by rule", "caps": "no capabilities", "nnp": "no new privileges by exec",
	"undumpable": "not read or traced by its like", "seccomp": "no system calls but those it needs",
	"noexec": "no new machine code after loading", "rlimits": "limits of files and core dumps",
	"cgroup": "a group with a limit of memory", "pdeathsig": "dies with its host",
}

// mostLacks is how many layers are named that do not hold; with more of them, those that hold are.
const mostLacks = 4

// levelText says how a worker is confined, for a line; JSON has the layers that hold.
func levelText(level string) string {
	var lacks []string
	held := strings.Split(level, "+")
	for _, l := range sandbox.Layers() {
		if !sandbox.Optional(l) && !slices.Contains(held, l) {
			lacks = append(lacks, l)
		}
	}
	switch {
	case len(lacks) == 0:
		return "full"
	case len(lacks) <= mostLacks:
		return "without " + strings.Join(lacks, "+")
	}
	return fault.Quote(level)
}

// confined refuses the host of a 'serve' that does not confine its workers as --sandbox strict wants. A private host
// refuses to start by itself.
func (a *app) confined(ctx context.Context, n *node) error {
	if n.private || a.sandbox != host.SandboxStrict {
		return nil
	}
	st, err := n.Status(ctx)
	if err != nil {
		return err
	}
	for _, x := range st.Health {
		if x.Code == "sandbox.partial" {
			return fault.New(fault.HostSandboxMissing, "run", oneLine(x.Message), nil).WithHint(oneLine(x.Hint))
		}
	}
	return nil
}
