package tui

import (
	"slices"
	"strings"

	"github.com/troupehost/troupe/host/control/api"
)

// keys are what '?' explains; what verbs do is added from their table.
var keys = []struct{ key, text string }{
	{"arrows, j k", "move"}, {"g G", "to the first, to the last"}, {"PgUp PgDn", "a screen up or down"},
	{"enter, esc", "open, back"}, {"[ ]", "back and forth in the history"}, {"tab, 1-9", "next view or tab; view or tab by number"},
	{"left right", "fold a branch of the tree"},
	{"/", "filter: app=x state=busy,backoff age>5s mailbox>80% fault~fuel"}, {":", "a view with a filter, or any verb of the command line; tab completes:"},
	{"", ":jobs state=queued, :explain ID, :bundle FILE, :job cancel ID, :node log, :quit"}, {"", traceTakes},
	{"space", "mark"}, {"ctrl-space", "mark all from the last mark to here"}, {"*", "mark all that match, or none"},
	{"s S", "sort by the next column, by level and then by change; reverse"}, {"f", "freeze the display; the host goes on"},
	{"t", "trace the messages of this"}, {"m", "what waits in its mailbox"}, {"l", "its lines in the log"}, {"e", "its last fault, with evidence"},
	{"w", "what it waits for, who owns that, since when"},
	{"o O", "the same as JSON; what the program of 'troupe dev' prints"}, {"y Y", "copy its id; copy the command that shows the same"},
	{"+ -", "refresh more often, less often: 250ms to 10s"}, {"q, ctrl-c", "leave"},
}

func (m *Model) helpLines() (lines []line) {
	for _, k := range keys {
		for i, text := range wrap(k.text, max(20, m.w-17)) {
			if i > 0 {
				k.key = ""
			}
			lines = append(lines, line{{"  " + pad(k.key, 14, false), accent}, {text, normal}})
		}
	}
	lines = append(lines, nil, styled(strong, "  what you may do"))
	done := map[string]bool{}
	for _, v := range api.Verbs {
		if v.Key == "" || !m.can(v.Right) {
			continue
		}
		if done[v.Name] {
			continue
		}
		done[v.Name] = true
		lines = append(lines, line{{"  " + pad(v.Key, 4, false), accent}, {pad(v.Kind+" "+v.Action, 19, false) + " ", normal}, {v.Effect, dim}})
	}
	if len(done) == 0 {
		lines = append(lines, styled(dim, "  nothing: you may only look"))
	}
	lines = append(lines, nil, styled(strong, "  views"))
	var names []string
	for _, s := range m.specs {
		names = append(names, strings.TrimSpace(s.key+" "+s.name))
	}
	for _, l := range wrap(strings.Join(names, "   "), max(10, m.w-4)) {
		lines = append(lines, plainLine("  "+l))
	}
	return lines
}

// keyLine shows the keys that work here, as far as they fit.
func (m *Model) keyLine() line {
	l := line{{" ", normal}}
	add := func(key, text string) {
		if l.width()+width(key)+width(text)+3 <= m.w {
			l = l.add(accent, key).add(dim, " "+text+"  ")
		}
	}
	add("?", "help")
	add(":", "view")
	if m.here.open == nil && m.here.view.columns != nil && m.here.view.watch != "" {
		add("/", "filter")
	}
	if m.here.open != nil {
		add("esc", "back")
		add("tab", "next tab")
	} else if m.here.view.columns != nil {
		add("enter", "open")
	}
	kind, _ := m.subject(m.here.view, m.selected())
	if o := m.here.open; o != nil {
		kind = o.kind
	}
	if kind != "" && kind != "node" {
		add("w", "why")
	}
	for _, right := range []api.Right{api.Operate, api.Admin} {
		for _, v := range m.verbs(kind) {
			if v.Key != "" && v.Right == right && fits(v, m.selected()) {
				add(v.Key, v.Action)
			}
		}
	}
	for _, k := range []struct{ key, text string }{{"t", "trace"}, {"m", "mailbox"}, {"l", "log"}, {"y", "copy id"}, {"s", "sort"}, {"f", "freeze"}, {"q", "leave"}} {
		if slices.Contains([]string{"t", "m"}, k.key) && kind != "actor" && kind != "job" && kind != "worker" && kind != "letter" {
			continue
		}
		add(k.key, k.text)
	}
	return l
}
