package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// causes says which condition explains others: while it lasts, they are no news.
var causes = map[string][]string{
	"disk.unreadable": {"disk.short", "jobs.unwritten", "artifact.unstored", "warm.failed"},
	"disk.short":      {"jobs.unwritten", "artifact.unstored", "warm.failed"},
	"database.failed": {"jobs.unwritten", "artifact.unstored", "warm.failed"},
}

// visible leaves out what follows from something else that is wrong, errors first.
func visible(all []inspect.Health) []inspect.Health {
	hidden := map[string]bool{}
	for _, x := range all {
		for _, code := range causes[x.Code] {
			hidden[code] = true
		}
	}
	list := slices.DeleteFunc(slices.Clone(all), func(x inspect.Health) bool { return hidden[x.Code] })
	slices.SortStableFunc(list, func(a, b inspect.Health) int {
		return cmp.Or(-cmp.Compare(severity(a), severity(b)), a.Since.Compare(b.Since))
	})
	return list
}

// severe are conditions in which a host does not do its work, whatever level it gives them.
var severe = []string{"disk.unreadable", "disk.short", "database.failed"}

// severity is 1 for a warning and 2 for an error.
func severity(x inspect.Health) int {
	if x.Level == "warning" && !slices.Contains(severe, x.Code) {
		return 1
	}
	return 2
}

// What monitoring systems call the states of a plugin, which are its exit codes.
var pluginStates = []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

const pluginUnknown = 3

// checked is the health of a host.
type checked struct {
	State   string           `json:"state"` // ok, warning, error
	Checks  []inspect.Health `json:"checks"`
	Derived int              `json:"derived"` // that follow from those, and are not in checks
	Ready   bool             `json:"ready"`
	Host    string           `json:"host"`
}

func (a *app) healthVerb() verb {
	var plugin, all bool
	return verb{
		use: "health", short: "Show what is wrong with a host, and what to do about it",
		long: `What follows from something else that is wrong is left out. Exit code 8 says that there is an error, not only warnings. With
--plugin it prints one line for a monitoring system, and the exit code is 0 for OK, 1 for WARNING, 2 for CRITICAL (also if no host
answers) and 3 for UNKNOWN, whatever happens.`,
		examples: []string{
			"troupe node health", "code, age and remedy of each condition",
			"troupe node health --plugin", "for Nagios and those that understand its plugins",
			"troupe node health -o json | jq -r '.checks[].code'", "for scripts",
		},
		exits: with(exitsHost, exitSome),
		flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&plugin, "plugin", false, "speak the protocol of monitoring plugins")
			fs.BoolVar(&all, "all", false, "what follows from something else, too")
		},
		run: func(ctx context.Context, _ []string) error {
			var h inspect.Host
			err := a.at(ctx, served, func(ctx context.Context, n *node) (err error) {
				h, err = n.Status(ctx)
				return err
			})
			if plugin {
				return a.pluginHealth(h, err)
			}
			if err != nil {
				return err
			}
			return a.showHealth(h, all)
		},
	}
}

func (a *app) showHealth(h inspect.Host, all bool) error {
	list := visible(h.Health)
	derived := len(h.Health) - len(list)
	if all {
		list, derived = h.Health, 0
	}
	worst := 0
	for _, x := range h.Health {
		worst = max(worst, severity(x))
	}
	if a.json() {
		if list == nil {
			list = []inspect.Health{}
		}
		a.printJSON(checked{[]string{"ok", "warning", "error"}[worst], list, derived, h.Ready, h.Name})
	} else {
		a.printHealth(h, list, derived)
	}
	if worst > 1 {
		return exit{code: exitSome}
	}
	return nil
}

func (a *app) printHealth(h inspect.Host, list []inspect.Health, derived int) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	switch {
	case h.Draining:
		fmt.Fprintf(w, "host\t%s  draining, %d requests are under way\n", oneLine(h.Name), h.Requests)
	case len(list) == 0:
		fmt.Fprintf(w, "host\t%s  ok\n", oneLine(h.Name))
	}
	for _, x := range list {
		fmt.Fprintf(w, "%s\t%s  for %s\n\t%s\n", fault.Quote(x.Level), fault.Quote(x.Code), age(x.Since), oneLine(x.Message))
		if x.Hint != "" {
			fmt.Fprintf(w, "\thint: %s\n", oneLine(x.Hint))
		}
	}
	if derived > 0 {
		fmt.Fprintf(w, "\t%d more follow from these: see --all\n", derived)
	}
	_ = w.Flush()
}

// pluginHealth prints the line of a plugin: state, words, and numbers behind a bar.
func (a *app) pluginHealth(h inspect.Host, err error) error {
	state, words := 0, "ready"
	if f := fault.From(err); err != nil {
		state, words = pluginUnknown, f.Error()
		if errors.Is(err, fault.CallerUnreachable) || errors.Is(err, fault.CallerClosed) {
			state = 2
		}
		a.printPlugin(state, words, "")
		return exit{code: state}
	}
	var told []string
	for _, x := range visible(h.Health) {
		state = max(state, severity(x))
		told = append(told, x.Code+": "+x.Message)
	}
	switch {
	case h.Draining:
		state, words = max(state, 1), "draining"
	case !h.Ready:
		state, words = max(state, 1), "not ready"
	}
	if len(told) > 0 {
		words = strings.Join(told, "; ")
	}
	waiting, running := 0, 0
	for _, q := range h.Queues {
		for _, n := range q.Parked {
			waiting += n
		}
		running += q.Running
	}
	a.printPlugin(state, words, fmt.Sprintf("requests=%d;;;0 waiting=%d;;;0 running=%d;;;0 workers=%d;;;0 artifacts=%d;;;0 store_bytes=%dB;;%d;0 disk_free_bytes=%dB;;%d:;0 warnings=%d;;;0",
		h.Requests, waiting, running, len(h.Workers), h.Store.Entries, h.Store.Bytes, h.Store.LimitBytes, h.Store.FreeBytes, h.Store.ReserveBytes, len(h.Health)))
	if state == 0 {
		return nil
	}
	return exit{code: state}
}

func (a *app) printPlugin(state int, words, numbers string) {
	words = strings.ReplaceAll(oneLine(words), "|", "/") // a bar begins the numbers
	line := "TROUPE " + pluginStates[state] + " - " + words
	if numbers != "" {
		line += " | " + numbers
	}
	fmt.Fprintln(a.out, line)
}

// asPlugin gives the exit code that a monitoring system understands to a command line that came to nothing.
func (a *app) asPlugin(args []string, err error, code int) int {
	if _, said := errors.AsType[exit](err); said || err == nil || !slices.Contains(untilDashes(args), "--plugin") {
		return code
	}
	a.printPlugin(pluginUnknown, err.Error(), "")
	return pluginUnknown
}
