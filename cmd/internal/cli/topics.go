package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/troupehost/troupe/actors/inspect/query"
)

// topic is a page of help that is about no single command.
type topic struct {
	name, short string
	text        func() string
}

func topics() []topic {
	return []topic{
		{"query", "How rows are looked for, with --selector and in both consoles", queryHelp},
		{"output", "The forms of what is printed, with -o", func() string { return outputHelp }},
		{"plans", "How something is changed: plan, question, operation", func() string { return fmt.Sprintf(plansHelp, strings.Join(atOnce(), "\n")) }},
		{"exit-codes", "The exit codes of all commands", func() string { return exitHelp(allExits()) }},
		{"environment", "The variables of the environment that are read", func() string { return environmentHelp }},
	}
}

// helpTopic prints a topic, and reports whether there is one of this name.
func helpTopic(w io.Writer, name string) bool {
	all := topics()
	i := slices.IndexFunc(all, func(t topic) bool { return t.name == name })
	if i < 0 {
		return false
	}
	fmt.Fprintf(w, "%s.\n\n%s", all[i].short, all[i].text())
	return true
}

func topicNames() (names []string) {
	for _, t := range topics() {
		names = append(names, t.name)
	}
	return names
}

// queryHelp is the grammar, and the fields of each view.
func queryHelp() string {
	var b strings.Builder
	b.WriteString(`A query is words with spaces between them; a row matches if all of them do.

  state=busy,backoff    the field has one of these values; * stands for anything, nothing for empty
  state!=idle           it has none of them
  age>5s  mailbox>=80%  more, at least; less is < and <=; a percentage is of the capacity
  fault~"gas limit"     it contains this text, whatever the case; !~ it does not
  since:10m             since ten minutes ago; also a day, or a time like 2030-01-31T18:00:00Z
  execute               some text of the row contains the word
  !paused=true  -prep   an exclamation mark or a minus before a word negates it

Durations: 250ms 5s 10m 1h30m 2d. Sizes: 10KiB 5MB. Numbers: 12k 1.5M. In a shell, put quotes around the query.

Fields, by list:
`)
	for _, view := range query.Views() {
		fields := query.Fields(view)
		if len(fields) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", view)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range fields {
			kind := f.Kind.String()
			if f.Percent {
				kind += " or %"
			}
			help := f.Help
			if len(f.Values) > 0 {
				help += ": " + strings.Join(f.Values, ", ")
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\n", f.Name, kind, help)
		}
		_ = w.Flush()
	}
	return b.String()
}

const outputHelp = `  -o table      for people; columns may change with each version
  -o wide       the same with more columns, and ids that are not cut
  -o json       for programs: fields are added, never renamed or removed
  -o jsonl      of a list, one row for each line; of anything else, the JSON in one line
  -o name       of a list, the ids of its rows, for other commands
  -o template=TEXT
                a Go template over the fields of the JSON: of a list for each row, of anything else once. A field that is
                empty is there, one that does not exist is an error. A line ends after each.

In JSON, names are snake_case, durations end in _us (microseconds), sizes in _bytes, counts since the start in _total; times
are RFC 3339 in UTC.

Functions of templates, beside those of Go's text/template:

  json V        V as JSON                      join SEP LIST   the items of a list
  short ID      the first 12 characters        ago TIME        how long ago a time is
  size N        bytes for people               span N          microseconds for people

  troupe job list --all -o 'template={{.id}} {{.submitted_at | ago}} {{.fault}}'

Data goes to stdout, all else to stderr. Text of guests is made harmless in each form, but for
what a guest of 'troupe run' writes, which is passed on as it is. Colour is for terminals only, and not if NO_COLOR is set.
`

// atOnce are the verbs that go by a plan only if a flag of plans is given, a line for each noun.
func atOnce() (lines []string) {
	for _, noun := range (&app{}).table().verbs {
		var names []string
		for _, v := range noun.verbs {
			if v.atOnce {
				name, _, _ := strings.Cut(v.use, " ")
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			word, _, _ := strings.Cut(noun.use, " ")
			lines = append(lines, fmt.Sprintf("  %-10s%s", word, strings.Join(names, ", ")))
		}
	}
	return lines
}

const plansHelp = `What changes something on a host is first made a plan: the targets as they are now, those that were named or found and
cannot be done and why, and the effect. Then it is applied, and the operation is followed to its end.

  on a terminal   the plan is shown, and asked about. If it cannot be undone, or has several targets, their number is to be typed.
  --yes           is the answer; without it, and without a terminal, nothing is done
  --dry-run       prints the plan and ends
  --selector Q    all that match instead of ids; see 'troupe help query'
  --reason TEXT   is kept in the audit log. What cannot be undone needs one, and so does a selector.
  --generation N  of a single id: only if it is still the one that was looked at

These do at once what they are told about the ids that they are given, and ask nobody, so that scripts can rely on them:

%s

With any of --selector, --generation, --dry-run and --yes they go by a plan, too. All others that take --yes always do.

A target that has changed since the plan was made is left alone, and called superseded. Exit code 8: some targets failed; 6: all
had changed, or are not in the state for it. Ctrl-C stops the waiting, not the operation.
`

const environmentHelp = `  TROUPE_SETTING    any setting by its name in capitals, with _ for each -: TROUPE_EXECUTE_WORKERS is --execute-workers, which
                    beats it; 'troupe config show --origin' lists all settings
  TROUPE_CONTEXT    the context to talk to, if --context does not name one; see 'troupe context'
  TROUPE_DEBUG_*    knobs for those who look for a fault; 'troupe version -v' lists them
  XDG_CONFIG_HOME   the file of settings and the contexts are below troupe in it (default ~/.config)
  XDG_DATA_HOME     the data directory is troupe below it (default ~/.local/share)
  HOME              where that is, if XDG_DATA_HOME is not set
  XDG_RUNTIME_DIR   sockets whose path would be too long are there
  TMPDIR            throw-away caches and such sockets are there (default /tmp)
  TERM              dumb: no progress that moves the cursor
  NO_COLOR          if set, nothing is coloured
`
