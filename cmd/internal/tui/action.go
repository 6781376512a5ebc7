package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// stage is how far an action is.
type stage uint8

const (
	asksReason stage = 1 + iota
	plans            // the host is working out what it would do
	confirms         // the user has seen it
	reports          // some of it failed
)

// dialog is an action on its way.
type dialog struct {
	editor
	stage  stage
	seq    int
	verb   api.Verb
	wish   api.Wish
	plan   api.Plan
	word   string // that must be typed; "": enter is enough
	wrong  string
	result api.Operation
	top    int
}

// tracked is an operation and the rows that it concerns.
type tracked struct {
	seq   int
	verb  string
	ids   []string
	op    api.Operation
	err   error
	ended time.Time
}

const (
	trackedFor = 15 * time.Second // an operation is shown so long after its end
	maxTracked = 20
	maxReason  = 512
)

// act does what a key means for the row, if the caller may.
func (m *Model) act(key string) []effect {
	v, kind, id, ok := m.verbOf(key)
	if !ok {
		return nil
	}
	w := api.Wish{Verb: v.Name, Match: map[string]uint64{}}
	switch {
	case len(m.marks) == 0 || kind != v.Kind || v.Kind == "node" || v.Kind == "chain":
		w.IDs = []string{id}
		m.match(&w, m.selected(), id)
	case m.marks[allMarked]:
		w.Selector = m.here.query
	default:
		for _, r := range m.shown {
			if !m.marks[r.id] {
				continue
			}
			k, id := m.subject(m.here.view, r)
			if k == v.Kind && !slices.Contains(w.IDs, id) {
				w.IDs = append(w.IDs, id)
				m.match(&w, r, id)
			}
		}
	}
	return m.begin(v, w)
}

// match holds a wish to what the user has looked at.
func (m *Model) match(w *api.Wish, r *row, id string) {
	if r == nil {
		return
	}
	switch v := r.v.(type) {
	case inspect.Actor:
		w.Match[id] = v.Incarnation
	case inspect.Artifact:
		w.Match[id] = v.Generation
	case inspect.Worker:
		w.Match[id] = uint64(max(0, v.PID))
	}
}

// verbOf finds the verb of a key for the row under the cursor.
func (m *Model) verbOf(key string) (v api.Verb, kind, id string, ok bool) {
	kind, id = m.subject(m.here.view, m.selected())
	if o := m.here.open; o != nil && kind != "failing" {
		kind, id = o.kind, o.id
	}
	for _, v := range m.verbs(kind) {
		if v.Key == key && fits(v, m.selected()) {
			return v, kind, cmp.Or(id, kind), true
		}
	}
	for _, v := range m.verbs("node") {
		if v.Key == key {
			return v, kind, "node", true
		}
	}
	return v, "", "", false
}

// verbs are those of a kind that the caller may use.
func (m *Model) verbs(kind string) (list []api.Verb) {
	for _, v := range api.Verbs {
		if v.Kind == kind && m.can(v.Right) {
			list = append(list, v)
		}
	}
	return list
}

// fits tells apart verbs that share a key.
func fits(v api.Verb, r *row) bool {
	if r == nil {
		return true
	}
	paused := false
	switch t := r.v.(type) {
	case inspect.Actor:
		paused = t.Paused
	case inspect.Queue:
		paused = t.Paused
	case inspect.Artifact:
		switch v.Action {
		case "pin":
			return len(t.Pins) == 0
		case "unpin":
			return len(t.Pins) > 0
		case "retry":
			return t.State == "failed"
		case "raise":
			return t.State == "preparing"
		}
		return true
	case inspect.Guest:
		return slices.Contains([]string{"cancel", "raise", "kill", "recycle", "stop", "restart"}, v.Action)
	case api.Failing:
		return slices.Contains([]string{"retry", "start", "restart", "recycle", "replay"}, v.Action)
	case run.Job:
		return (v.Action == "retry") == (t.State == run.JobSettled)
	case inspect.Letter:
		return v.Action != "replay" || t.Replayable
	case inspect.App:
		if v.Action == "start" || v.Action == "stop" {
			return (v.Action == "start") == (t.State == "stopped" || t.State == "failed")
		}
		return true
	}
	switch v.Action {
	case "pause":
		return !paused
	case "resume":
		return paused
	}
	return true
}

// wishFor begins a verb that was typed, on what was named, what is marked, or the row under the cursor.
func (m *Model) wishFor(v api.Verb, words []string) []effect {
	if !m.can(v.Right) {
		m.say("this needs the right to "+string(v.Right), bad)
		return nil
	}
	w := api.Wish{Verb: v.Name, Args: map[string]string{}, Match: map[string]uint64{}}
	for _, word := range words {
		if name, value, ok := strings.Cut(word, "="); ok && slices.ContainsFunc(v.Args, func(a string) bool { return strings.TrimSuffix(a, "?") == name }) {
			w.Args[name] = value
		} else if strings.ContainsAny(word, "=<>~:") {
			w.Selector = strings.TrimSpace(w.Selector + " " + word)
		} else {
			w.IDs = append(w.IDs, word)
		}
	}
	if len(w.IDs) == 0 && w.Selector == "" {
		kind, id := m.subject(m.here.view, m.selected())
		switch {
		case v.Kind == "node" || v.Kind == "chain":
			w.IDs = []string{v.Kind}
		case kind == v.Kind && id != "":
			w.IDs = []string{id}
			m.match(&w, m.selected(), id)
		default:
			m.say("name the "+v.Kind+", as in :"+v.Kind+" "+v.Action+" ID", warn)
			return nil
		}
	}
	return m.begin(v, w)
}

// begin asks for a reason if there must be one, and else for a plan.
func (m *Model) begin(v api.Verb, w api.Wish) []effect {
	m.seq++
	m.dialog = &dialog{seq: m.seq, verb: v, wish: w, stage: asksReason}
	if v.Danger || len(w.IDs) > 1 || w.Selector != "" {
		return nil
	}
	return m.plan()
}

func (m *Model) plan() []effect {
	d := m.dialog
	d.stage, d.wrong = plans, ""
	return []effect{makePlan{d.seq, d.wish}}
}

func (m *Model) planned(in planned) []effect {
	d := m.dialog
	if d == nil || d.seq != in.seq || d.stage != plans {
		return nil
	}
	if in.err != nil {
		f := fault.From(in.err)
		if f.Code == fault.CallerReason {
			d.stage, d.wrong = asksReason, "the host wants a reason"
			return nil
		}
		m.dialog = nil
		m.complain(in.err)
		return nil
	}
	d.plan, d.stage, d.top = in.plan, confirms, 0
	d.set("")
	if count := max(in.plan.Count, len(in.plan.Targets)); in.plan.Danger || d.verb.Danger || count > 1 {
		d.word = strconv.Itoa(count)
		if count == 1 && len(in.plan.Targets) == 1 {
			d.word = nameOf(in.plan.Targets[0].ID)
		}
	}
	return nil
}

// nameOf is what is typed to confirm an action on one thing.
func nameOf(id string) string {
	id = safe(id)
	id = id[strings.LastIndexByte(id, '/')+1:]
	if len(id) > 16 {
		return id[:8]
	}
	return id
}

// pressDialog handles a key while an action is on its way.
func (m *Model) pressDialog(in pressed) []effect {
	d := m.dialog
	if in.key == "esc" || in.key == "ctrl+c" {
		m.dialog = nil
		if d.stage != reports {
			m.say("nothing was done", normal)
		}
		return nil
	}
	switch d.stage {
	case asksReason:
		if in.key != "enter" {
			d.key(in)
			return nil
		}
		reason := strings.TrimSpace(d.text)
		if reason == "" || len(reason) > maxReason {
			d.wrong = "say why in at most 512 bytes: it is kept in the audit log"
			return nil
		}
		d.wish.Reason = reason
		return m.plan()
	case confirms:
		switch {
		case in.key == "up", in.key == "down", in.key == "pgup", in.key == "pgdown":
			d.top = scroll(d.top, in.key, len(d.plan.Targets)+len(d.plan.Excluded), 3)
		case len(d.plan.Targets) == 0 && d.plan.Count == 0:
			m.dialog = nil
		case in.key == "enter" && d.text == d.word:
			m.dialog = nil
			return m.apply(d)
		case in.key == "enter":
			d.wrong = "this is not " + d.word
		case d.word != "":
			d.wrong = ""
			d.key(in)
		case in.key == "n" || in.key == "q":
			m.dialog = nil
			m.say("nothing was done", normal)
		case in.key == "y":
			m.dialog = nil
			return m.apply(d)
		}
	case reports:
		if in.key == "enter" || in.key == "q" {
			m.dialog = nil
			return nil
		}
		d.top = scroll(d.top, in.key, len(d.result.Results), 3)
	}
	return nil
}

func (m *Model) apply(d *dialog) []effect {
	t := &tracked{seq: d.seq, verb: d.verb.Name, op: api.Operation{State: "running"}}
	for _, target := range d.plan.Targets {
		t.ids = append(t.ids, target.ID)
	}
	m.running = append(m.running, t)
	if len(m.running) > maxTracked {
		m.running = m.running[1:]
	}
	m.marks, m.anchor = map[string]bool{}, ""
	return []effect{applyPlan{d.seq, d.plan.ID, fmt.Sprintf("top-%d-%d", m.since.UnixNano(), d.seq)}}
}

// operated takes what is known of an operation: it is followed to its end.
func (m *Model) operated(in operated) []effect {
	i := slices.IndexFunc(m.running, func(t *tracked) bool { return t.seq == in.seq })
	if i < 0 {
		return nil
	}
	t := m.running[i]
	if in.err != nil {
		if t.op.ID != "" && !m.answers(in.err) { // we lost sight of it; it goes on
			return []effect{follow{t.seq, t.op.ID}}
		}
		t.err, t.ended = in.err, m.now
		m.complain(in.err)
		return nil
	}
	t.op = in.op
	if in.op.State == "running" {
		return []effect{follow{t.seq, in.op.ID}}
	}
	t.ended = m.now
	how := good
	if in.op.State != "done" {
		how = bad
		if m.dialog == nil && m.prompt == nil {
			m.dialog = &dialog{stage: reports, seq: t.seq, result: in.op, verb: api.Verb{Name: in.op.Verb}}
		}
	}
	m.say(fmt.Sprintf("%s %s: %d done, %d failed", t.verb, in.op.State, in.op.Done, in.op.Failed), how)
	return nil
}

// doing says which operation concerns a row, and how it stands.
func (m *Model) doing(id string) (string, style) {
	for _, t := range slices.Backward(m.running) {
		if !slices.Contains(t.ids, id) || !t.ended.IsZero() && m.now.Sub(t.ended) > trackedFor {
			continue
		}
		_, action, _ := strings.Cut(t.verb, ".")
		switch {
		case t.err != nil:
			return action + " refused", bad
		case t.ended.IsZero():
			return action + " …", accent
		}
		for _, r := range t.op.Results {
			if r.ID == id {
				if r.State == "done" {
					return action + " ok", good
				}
				return action + " " + safe(r.State), bad
			}
		}
		return action + " " + safe(t.op.State), good
	}
	return "", normal
}

// dialogLines are what the box of an action says.
func (m *Model) dialogLines(cells int) (lines []line, cursor int, at int) {
	d := m.dialog
	cursor, at = -1, -1
	input := func(label string) {
		lines = append(lines, line{{label, strong}, {d.text, normal}})
		cursor, at = width(label)+width(d.text[:d.cursor]), len(lines)-1
		if d.wrong != "" {
			lines = append(lines, styled(bad, d.wrong))
		}
	}
	switch d.stage {
	case asksReason:
		what := strconv.Itoa(len(d.wish.IDs)) + " of them"
		if len(d.wish.IDs) == 1 {
			what = safe(d.wish.IDs[0])
		} else if len(d.wish.IDs) == 0 {
			what = "all that match " + safe(d.wish.Selector)
		}
		lines = append(lines, line{{d.verb.Name + "  ", strong}, {what, normal}})
		for _, w := range wrap(d.verb.Effect, cells) {
			lines = append(lines, styled(dim, w))
		}
		lines = append(lines, nil)
		input("why: ")
		lines = append(lines, nil, styled(dim, "enter: see what it would do   esc: leave"))
	case plans:
		lines = append(lines, line{{d.verb.Name, strong}}, styled(dim, "the host works out what it would do"))
	case confirms:
		p := d.plan
		lines = append(lines, line{{d.verb.Name + "  ", strong}, {plural(max(p.Count, len(p.Targets)), "target"), normal}})
		for _, w := range wrap(safe(cmp.Or(p.Effect, d.verb.Effect)), cells) {
			lines = append(lines, styled(normal, w))
		}
		lines = append(lines, nil)
		lost, children := 0, 0
		room := max(1, m.h-14-len(lines))
		for i, t := range p.Targets {
			lost, children = lost+t.Lost, children+t.Children
			if i < d.top || i >= d.top+room {
				continue
			}
			l := line{{" " + safe(t.ID), accent}}
			if t.Label != t.ID && t.Label != "" {
				l = l.add(dim, "  "+safe(t.Label))
			}
			l = l.add(normal, "  "+safe(t.State))
			if t.Generation > 0 {
				l = l.add(dim, "  generation "+strconv.FormatUint(t.Generation, 10))
			}
			if t.Children > 0 {
				l = l.add(warn, "  "+plural(t.Children, "child"))
			}
			if t.Lost > 0 {
				l = l.add(bad, "  "+plural(t.Lost, "run")+" lost")
			}
			lines = append(lines, l)
		}
		if n := len(p.Targets) - room; n > 0 {
			lines = append(lines, styled(dim, fmt.Sprintf(" … %d of them; up and down to see all", len(p.Targets))))
		}
		for i, x := range p.Excluded {
			if i == 3 {
				lines = append(lines, styled(dim, fmt.Sprintf(" … %d are left out", len(p.Excluded))))
				break
			}
			lines = append(lines, line{{" left out: ", warn}, {safe(x.ID), normal}, {"  " + safe(because(x)), dim}})
		}
		lines = append(lines, line{{fmt.Sprintf("in all: %s affected, %s lost, %d left out", plural(children, "child"), plural(lost, "run"), len(p.Excluded)), dim}}, nil)
		switch {
		case len(p.Targets) == 0 && p.Count == 0:
			lines = append(lines, styled(warn, "nothing can be done   any key: leave"))
		case d.word != "":
			input("type " + d.word + " to do it: ")
			lines = append(lines, styled(dim, "esc: leave"))
		default:
			lines = append(lines, styled(strong, "enter: do it   esc: leave"))
		}
	case reports:
		lines = append(lines, line{{safe(d.result.Verb) + " " + safe(d.result.State), bad}, {fmt.Sprintf("  %d done, %d failed", d.result.Done, d.result.Failed), normal}}, nil)
		room := max(1, m.h-12)
		for i, r := range d.result.Results {
			if i >= d.top && i < d.top+room {
				lines = append(lines, line{{" " + safe(r.ID) + "  ", accent}, {safe(r.State) + "  ", normal}, {safe(because(r)), dim}})
			}
		}
		lines = append(lines, nil, styled(dim, "enter: go on"))
	}
	return lines, cursor, at
}

func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "child":
		return strconv.Itoa(n) + " children"
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// because is why a target was left out or what it came to, and what helps.
func because(x api.PlanOutcome) string {
	why := cmp.Or(x.Why, x.Code)
	if x.Hint == "" || x.State == "done" {
		return why
	}
	return why + "; " + x.Hint
}
