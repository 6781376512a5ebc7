package tui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// tabsOf are the screens of details of a thing.
func tabsOf(kind string) []string {
	switch kind {
	case "actor":
		return []string{"summary", "mailbox", "flights", "why"}
	case "job":
		return []string{"time", "summary", "why"}
	case "artifact", "worker", "app", "queue", "letter":
		return []string{"summary", "why"}
	case "cause":
		return []string{"messages"}
	}
	return []string{"summary"}
}

// needs is what a tab is made of.
func needs(kind, tab string) string {
	switch {
	case tab == "why":
		return "explain"
	case tab == "mailbox":
		return "mailbox"
	case tab == "time":
		return "timeline"
	case kind == "actor":
		return "actor"
	case kind == "cause":
		return "cause"
	}
	return ""
}

// open shows the details of the row under the cursor.
func (m *Model) open(tab string) []effect {
	r := m.selected()
	if r == nil {
		return nil
	}
	if t, ok := r.v.(inspect.Trace); ok && m.here.view.name == "trace" {
		return m.openThing("cause", t.Cause, r, "")
	}
	kind, id := m.subject(m.here.view, r)
	if kind == "" {
		kind = m.here.view.name
	}
	if g, ok := r.v.(inspect.Guest); ok && g.Job == "" {
		kind, id = "guest", r.id
	}
	return m.openThing(kind, id, r, tab)
}

func (m *Model) openThing(kind, id string, r *row, tab string) []effect {
	if id == "" {
		return nil
	}
	o := &opening{kind: kind, id: id, row: r, loaded: map[string]loaded{}, tab: max(0, slices.Index(tabsOf(kind), tab))}
	if m.here.open != nil && m.here.open.kind == kind && m.here.open.id == id { // another tab of the same
		m.here.open.tab, m.here.open.scroll = o.tab, 0
		return m.loadOpen()
	}
	next := m.here
	next.open = o
	held := m.frozen
	stopped := m.stopped
	m.past = append(m.past, m.here)
	m.future = nil
	m.here = next
	m.gen++
	m.frozen, m.stopped = held, stopped
	return append([]effect{unwatch{}}, m.loadOpen()...)
}

// loadOpen asks for what the tab shows.
func (m *Model) loadOpen() []effect {
	o := m.here.open
	if what := needs(o.kind, tabsOf(o.kind)[o.tab]); what != "" {
		return []effect{load{m.gen, what, o.id}}
	}
	return nil
}

// pressOpen handles a key on a screen of details.
func (m *Model) pressOpen(in pressed) []effect {
	o := m.here.open
	tabs := tabsOf(o.kind)
	switch in.key {
	case "tab", "right":
		o.tab, o.scroll = (o.tab+1)%len(tabs), 0
		return m.loadOpen()
	case "shift+tab", "left":
		o.tab, o.scroll = (o.tab+len(tabs)-1)%len(tabs), 0
		return m.loadOpen()
	case "1", "2", "3", "4", "5", "6", "7", "8", "9":
		if n := int(in.key[0] - '1'); n < len(tabs) {
			o.tab, o.scroll = n, 0
			return m.loadOpen()
		}
		return nil
	case "enter":
		if tabs[o.tab] == "time" || tabs[o.tab] == "summary" {
			return nil
		}
		return nil
	}
	before := o.scroll
	o.scroll = scroll(o.scroll, in.key, len(m.openLines(m.w)), m.bodyRows())
	if o.scroll != before || slices.Contains([]string{"up", "down", "j", "k", "g", "G", "pgup", "pgdown", "home", "end", "space"}, in.key) {
		return nil
	}
	return m.act(in.key)
}

// openLines are the lines of the tab that is shown.
func (m *Model) openLines(cells int) []line {
	o := m.here.open
	tab := tabsOf(o.kind)[o.tab]
	what := needs(o.kind, tab)
	c := &scene{now: m.time(), wide: cells > 120}
	if what == "" {
		return m.fields(o.row, cells)
	}
	got, ok := o.loaded[what]
	switch {
	case !ok:
		return []line{styled(dim, "loading")}
	case got.err != nil:
		f := fault.From(got.err)
		lines := []line{styled(bad, safe(string(f.Code))), styled(normal, safe(f.Error()))}
		if f.Hint != "" {
			lines = append(lines, line{{"do: ", dim}, {safe(f.Hint), accent}})
		}
		return lines
	}
	switch v := got.v.(type) {
	case inspect.ActorDetail:
		if tab == "flights" {
			return flightLines(c, v)
		}
		return actorLines(c, v, cells)
	case []inspect.Letter:
		return mailboxLines(c, v)
	case inspect.Timeline:
		return timelineLines(c, v, cells)
	case inspect.Explanation:
		return explanationLines(c, v, cells)
	case []inspect.Trace:
		return causeLines(v, cells)
	}
	return []line{styled(dim, "nothing is known of it")}
}

func pair(name string, how style, value string) line {
	return line{{pad(name, 14, false) + " ", dim}, {value, how}}
}

func actorLines(c *scene, a inspect.ActorDetail, cells int) []line {
	text, how := state(a.State)
	if a.Paused {
		text, how = text+", paused by an operator", warn
	}
	lines := []line{
		pair("actor", strong, safe(a.Path)),
		pair("kind", normal, fmt.Sprintf("%s, incarnation %d, %s", safe(a.Kind), a.Incarnation, plural(a.Children, "child"))),
		{{pad("state", 14, false) + " ", dim}, {text, how}, {" for " + age(c.now, a.Since), normal}},
	}
	if a.Dead {
		lines = append(lines, pair("died", bad, age(c.now, a.DiedAt)+" ago; this is what it left"))
	}
	if a.Handling != "" {
		lines = append(lines, pair("handles", warn, safe(a.Handling)+" for "+age(c.now, a.HandledAt)))
	}
	if a.App != "" {
		lines = append(lines, pair("app", normal, safe(a.App)))
	}
	lines = append(lines,
		pair("restarts", normal, fmt.Sprintf("%s in the window, next %s", part(a.Restarts, a.MaxRestarts), until(c.now, a.NextRestart))),
		pair("last fault", bad, dash(safe(a.LastFault))),
		pair("messages", normal, fmt.Sprintf("accepted %s  handled %s  refused %s  total", count(float64(a.Accepted)), count(float64(a.Handled)), count(float64(a.Refused)))),
		pair("handler", normal, fmt.Sprintf("p50 %s  p99 %s  max %s", micros(a.Handler.P50Micros), micros(a.Handler.P99Micros), micros(a.Handler.MaxMicros))),
	)
	if r := a.Rates; r != nil {
		lines = append(lines, pair("handled/s", normal, fmt.Sprintf("%s over 1s  %s over 10s  %s over 60s", count(r.Handled.S1), count(r.Handled.S10), count(r.Handled.S60))))
		lines = append(lines, pair("refused/s", normal, fmt.Sprintf("%s over 1s  %s over 10s  %s over 60s", count(r.Refused.S1), count(r.Refused.S10), count(r.Refused.S60))))
	}
	for _, code := range sortedKeys(a.Dropped) {
		lines = append(lines, pair("dropped", bad, fmt.Sprintf("%s total: %s", count(float64(a.Dropped[code])), safe(code))))
	}
	lines = append(lines, pair("out", normal, fmt.Sprintf("%d requests, %d tasks, %d timers, the next %s", a.Requests, a.Tasks, a.Timers, until(c.now, a.NextTimer))),
		pair("snapshot", normal, age(c.now, a.At)+" old"), nil, styled(strong, "LANE        WAITING    OLDEST"))
	for _, l := range a.Lanes {
		how := normal
		if l.Cap > 0 && l.Depth*5 >= l.Cap*4 {
			how = bad
		}
		share := 0.0
		if l.Cap > 0 {
			share = float64(l.Depth) / float64(l.Cap)
		}
		lines = append(lines, line{{pad(safe(l.Name), 11, false) + " ", normal}, {pad(part(l.Depth, l.Cap), 10, false) + " ", how}, {pad(age(c.now, l.OldestSince), 8, false), normal}, {bar(share, max(0, min(30, cells-40))), how}})
	}
	return lines
}

func flightLines(c *scene, a inspect.ActorDetail) []line {
	lines := []line{styled(strong, pad("AGO", 8, false)+pad("WHAT", 12, false)+pad("MESSAGE", 30, false)+pad("LANE", 9, false)+pad("WAITED", 8, true)+pad("TOOK", 8, true))}
	for _, f := range slices.Backward(a.Flights) {
		how := normal
		if f.What == "panicked" || f.What == "refused" || f.What == "undelivered" {
			how = bad
		}
		what := safe(f.Type)
		if f.State != "" {
			what = "now " + safe(f.State)
		}
		lines = append(lines, line{{pad(age(c.now, f.At), 8, false), dim}, {pad(safe(f.What), 12, false), how}, {pad(what, 29, false) + " ", normal}, {pad(safe(f.Lane), 9, false), dim},
			{pad(micros(f.WaitMicros), 8, true) + pad(micros(f.TookMicros), 8, true), normal}})
		if f.Fault != "" {
			lines = append(lines, line{{"                    ", normal}, {safe(f.Fault), bad}})
		}
	}
	if len(a.Flights) == 0 {
		lines = append(lines, styled(dim, "the flight recorder is empty"))
	}
	return lines
}

func mailboxLines(c *scene, letters []inspect.Letter) []line {
	lines := []line{styled(strong, pad("WAITS FOR", 11, false)+pad("LANE", 9, false)+pad("MESSAGE", 34, false)+"CAUSE")}
	for _, l := range letters {
		lines = append(lines, line{{pad(age(c.now, l.At), 11, false), warn}, {pad(safe(l.Lane), 9, false), dim}, {pad(safe(l.Type), 33, false) + " ", normal}, {safe(l.Cause), dim}})
	}
	if len(letters) == 0 {
		lines = append(lines, styled(dim, "nothing waits"))
	}
	return lines
}

// stageStyle tells work from waiting.
func stageStyle(name string) style {
	switch name {
	case "artifact-wait", "queued":
		return warn
	case "running":
		return good
	}
	return normal
}

func timelineLines(c *scene, t inspect.Timeline, cells int) []line {
	text, how := state(t.State)
	lines := []line{
		{{"job ", dim}, {safe(t.ID), strong}, {"  ", dim}, {text, how}, {"  cause ", dim}, {dash(safe(t.Cause)), normal}}, nil,
	}
	total := max(1, t.WallMicros)
	room := max(8, cells-36)
	for _, b := range []struct {
		name string
		us   int64
		how  style
	}{{"wall", t.WallMicros, normal}, {"cpu", t.CPUMicros, good}, {"waited", t.WaitMicros, warn}} {
		lines = append(lines, line{{pad(b.name, 14, false) + " ", dim}, {pad(micros(b.us), 8, true) + "  ", normal}, {bar(share(b.us, total), room), b.how}})
	}
	lines = append(lines, nil, styled(strong, pad("STAGE", 15, false)+pad("FOR", 8, true)+"  WHEN IN ITS TIME"))
	var at int64
	sum := int64(0)
	for _, s := range t.Stages {
		sum += s.Micros
	}
	for i, s := range t.Stages {
		lead := int(share(at, max(1, sum)) * float64(room))
		length := max(1, int(share(s.Micros, max(1, sum))*float64(room)+0.5))
		lead = min(lead, room-1)
		length = min(length, room-lead)
		lines = append(lines, line{{pad(safe(s.Name), 14, false) + " ", normal}, {pad(micros(s.Micros), 8, true) + "  ", normal}, {strings.Repeat(" ", lead), normal}, {strings.Repeat("█", length), stageStyle(s.Name)}})
		if s.Waits != "" {
			waits := "  └ waited for "
			if i == len(t.Stages)-1 && t.State != "settled" {
				waits = "  └ waits for "
			}
			lines = append(lines, line{{waits, dim}, {safe(s.Waits), warn}, {", owned by ", dim}, {short(s.Owner), accent}})
		}
		at += s.Micros
	}
	if len(t.Workers) > 0 {
		var names []string
		for _, w := range t.Workers {
			names = append(names, safe(w))
		}
		lines = append(lines, nil, pair("workers", normal, strings.Join(names, ", ")))
	}
	return lines
}

func explanationLines(c *scene, e inspect.Explanation, cells int) []line {
	text, how := state(e.State)
	lines := []line{{{safe(e.Kind) + " ", dim}, {safe(e.ID), strong}, {"  ", dim}, {text, how}}}
	if e.Blame != "" {
		b, how := blame(e.Blame)
		lines = append(lines, line{{"to blame: ", dim}, {b, how}})
	}
	lines = append(lines, nil)
	for _, w := range wrap(safe(e.Summary), cells-2) {
		lines = append(lines, styled(strong, w))
	}
	lines = append(lines, nil)
	for i, b := range e.Because {
		for j, w := range wrap(safe(b.Words), max(10, cells-8-2*i)) {
			lead := strings.Repeat("  ", i) + "└ "
			if j > 0 {
				lead = strings.Repeat("  ", i) + "  "
			}
			lines = append(lines, line{{lead, dim}, {w, normal}})
		}
		tail := line{{strings.Repeat("  ", i) + "    ", dim}}
		if b.ID != "" {
			tail = tail.add(dim, safe(b.Kind)+" ").add(accent, short(b.ID)+"  ")
		}
		if b.Owner != "" {
			tail = tail.add(dim, "owned by ").add(accent, safe(b.Owner)+"  ")
		}
		if !b.Since.IsZero() {
			tail = tail.add(dim, "for ").add(normal, age(c.now, b.Since))
		}
		lines = append(lines, tail)
	}
	if len(e.Because) == 0 && e.Summary == "" {
		lines = append(lines, styled(dim, "it waits for nothing"))
	}
	for _, a := range e.Advice {
		for i, w := range wrap(safe(a), cells-6) {
			lead := "do: "
			if i > 0 {
				lead = "    "
			}
			lines = append(lines, line{{lead, dim}, {w, accent}})
		}
	}
	return lines
}

// causeLines draw what one cause did across actors, as a waterfall.
func causeLines(list []inspect.Trace, cells int) []line {
	if len(list) == 0 {
		return []line{styled(dim, "the flight recorders hold nothing of this cause any more")}
	}
	begin, end := list[0].Sent, list[0].Sent
	for _, t := range list {
		for _, at := range []time.Time{t.Sent, t.Finished, t.Started, t.Accepted} {
			if !at.IsZero() && at.Before(begin) {
				begin = at
			}
			if at.After(end) {
				end = at
			}
		}
	}
	whole := max(1, end.Sub(begin).Microseconds())
	room := max(8, cells-62)
	lines := []line{{{"cause ", dim}, {safe(list[0].Cause), strong}, {"  " + plural(len(list), "message") + " in " + span(end.Sub(begin)), normal}}, nil,
		styled(strong, pad("ACTOR", 28, false)+pad("MESSAGE", 22, false)+pad("TOOK", 8, true)+"  WHEN")}
	for _, t := range list {
		from := t.Sent
		upto := t.Finished
		if upto.IsZero() {
			upto = from
		}
		lead := min(room-1, int(share(from.Sub(begin).Microseconds(), whole)*float64(room)))
		length := max(1, min(room-lead, int(share(upto.Sub(from).Microseconds(), whole)*float64(room))))
		how := good
		if t.Fault != "" {
			how = bad
		}
		took := "-"
		if !t.Finished.IsZero() && !t.Started.IsZero() {
			took = span(t.Finished.Sub(t.Started))
		}
		lines = append(lines, line{{pad(cutLeft(shortPath(t.Actor), 27), 28, false), normal}, {pad(safe(t.Type), 21, false) + " ", accent}, {pad(took, 8, true) + "  ", normal}, {strings.Repeat(" ", lead), normal}, {strings.Repeat("█", length), how}})
	}
	return lines
}

// fields lists all that is known of a row, in the order in which the host sent it.
func (m *Model) fields(r *row, cells int) []line {
	if r == nil {
		return nil
	}
	var lines []line
	if w, ok := r.v.(inspect.Worker); ok {
		lines = append(lines, postureLines(w)...)
	}
	if q, ok := r.v.(inspect.Queue); ok && len(q.Preparations) > 0 {
		lines = append(lines, styled(strong, pad("PREPARATION", 14, false)+pad("PRIORITY", 12, false)+pad("STATE", 10, false)+pad("FOR", 8, true)+pad("CPU BUDGET", 12, true)))
		for _, p := range q.Preparations {
			lines = append(lines, line{{pad(short(p.Artifact), 14, false), accent}, {pad(safe(p.Priority), 12, false) + pad(safe(p.State), 10, false) + pad(age(m.time(), p.Since), 8, true) + pad(micros(p.BudgetCPU), 12, true), normal}})
		}
		lines = append(lines, nil)
	}
	raw := r.raw
	if raw == nil {
		raw, _ = json.Marshal(r.v)
	}
	return append(lines, jsonLines(raw, "", 0, cells)...)
}

// postureLines say what confines a worker, layer by layer.
func postureLines(w inspect.Worker) []line {
	lines := []line{styled(strong, pad("DEFENCE", 16, false)+pad("HOLDS", 10, false)+"WHY NOT, AND WHAT TO DO")}
	for _, d := range w.Defences {
		text, how := "held", good
		switch {
		case !d.Held && d.Optional:
			text, how = "off", warn
		case !d.Held:
			text, how = "REFUSED", bad
		}
		l := line{{pad(safe(d.Name), 16, false), normal}, {pad(text, 10, false), how}, {safe(d.Why), normal}}
		if d.Hint != "" {
			l = l.add(dim, " - ").add(accent, safe(d.Hint))
		}
		lines = append(lines, l)
	}
	return append(lines, nil)
}

// jsonLines prints JSON as names and values.
func jsonLines(raw json.RawMessage, indent string, deep, cells int) (lines []line) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var walk func(name, indent string, deep int)
	walk = func(name, indent string, deep int) {
		t, err := d.Token()
		if err != nil || len(lines) > 5000 {
			return
		}
		if open, ok := t.(json.Delim); ok {
			if name != "" {
				lines = append(lines, styled(dim, indent+name))
				indent += "  "
			}
			for n := 0; d.More() && deep < 12; n++ {
				key := strconv.Itoa(n)
				if open == '{' {
					k, err := d.Token()
					if err != nil {
						return
					}
					key, _ = k.(string)
					key = safe(key)
				}
				walk(key, indent, deep+1)
			}
			_, _ = d.Token()
			return
		}
		lines = append(lines, line{{pad(indent+name, 24, false) + " ", dim}, {safe(fmt.Sprint(t)), normal}})
	}
	walk("", indent, deep)
	return lines
}

// openTitle names what is open.
func (m *Model) openTitle() line {
	o := m.here.open
	l := line{{" " + safe(o.kind) + " ", strong}, {cutLeft(safe(o.id), max(8, m.w-40)), normal}, {"  ", normal}}
	for i, t := range tabsOf(o.kind) {
		if i == o.tab {
			l = l.add(chosen, fmt.Sprintf(" %d %s ", i+1, t))
		} else {
			l = l.add(dim, fmt.Sprintf(" %d %s ", i+1, t))
		}
	}
	return l
}
