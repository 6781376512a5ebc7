package tui

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// press handles a key.
func (m *Model) press(in pressed) []effect {
	switch {
	case in.key == "ctrl+c" && m.prompt == nil && m.dialog == nil:
		return []effect{quit{}}
	case in.key == "ctrl+l":
		return nil // bubbletea draws anew
	case m.prompt != nil:
		return m.pressPrompt(in)
	case m.dialog != nil:
		return m.pressDialog(in)
	case in.key == ":" && (m.help || m.raw != nil): // never keys of the view below what hides it
		m.help, m.helpTop = false, 0
		m.closeRaw()
		m.openPrompt(":", "")
		return nil
	case m.help:
		m.helpTop = scroll(m.helpTop, in.key, len(m.helpLines()), m.h-2)
		if in.key == "?" || in.key == "esc" || in.key == "q" || in.key == "enter" {
			m.help, m.helpTop = false, 0
		}
		return nil
	case m.raw != nil:
		m.rawTop = scroll(m.rawTop, in.key, len(m.raw), m.h-2)
		if in.key == "o" || in.key == "esc" || in.key == "q" || in.key == "enter" {
			m.closeRaw()
		}
		return nil
	}
	switch in.key {
	case "q":
		if m.here.open != nil {
			return m.goBack()
		}
		return []effect{quit{}}
	case "?":
		m.help = true
	case "/":
		if m.here.open == nil && m.here.view.watch != "" && m.here.view.columns != nil {
			m.openPrompt("/", m.here.query)
		} else {
			m.say("there are no rows to filter here", warn)
		}
	case ":":
		m.openPrompt(":", "")
	case "esc":
		return m.escape()
	case "[":
		return m.goBack()
	case "]":
		return m.goForward()
	case "O":
		m.showPrinted()
	case "f":
		m.freeze()
	case "+", "=":
		return m.refresh(-1) // more often
	case "-":
		return m.refresh(1)
	case "y", "Y", "o":
		return m.copy(in.key)
	case "t", "m", "l", "e", "w":
		return m.look(in.key)
	default:
		if m.here.open != nil {
			return m.pressOpen(in)
		}
		return m.pressList(in)
	}
	return nil
}

// scroll moves the first line of some text.
func scroll(top int, key string, lines, rows int) int {
	switch key {
	case "down", "j":
		top++
	case "up", "k":
		top--
	case "pgdown", "ctrl+f", "space":
		top += rows - 1
	case "pgup", "ctrl+b":
		top -= rows - 1
	case "g", "home":
		top = 0
	case "G", "end":
		top = lines
	}
	return max(0, min(top, lines-rows))
}

func (m *Model) pressList(in pressed) []effect {
	if v := m.here.view; v.columns == nil {
		before, lines := m.panel, m.overviewLines
		if v.name == "chain" {
			lines = m.chainLines
		}
		if m.panel = scroll(m.panel, in.key, len(lines()), m.bodyRows()); m.panel != before {
			return nil
		}
	}
	page := max(1, m.tableRows()-1)
	end := false
	switch in.key {
	case "down", "j":
		m.at++
	case "up", "k":
		m.at--
	case "pgdown", "ctrl+f":
		m.at += page
	case "pgup", "ctrl+b":
		m.at -= page
	case "g", "home":
		m.at, m.top = 0, 0
	case "G", "end":
		m.at, end = len(m.shown)-1, true
	case "enter":
		return m.open("")
	case "left", "right":
		if r := m.selected(); r != nil && m.here.view.name == "tree" {
			m.closed[r.id] = in.key == "left"
			m.show()
		}
		return nil
	case "space", " ":
		m.markOne()
		m.at++
	case "ctrl+@", "ctrl+space":
		m.markRange()
	case "*":
		m.markAll()
	case "s":
		return m.nextSort()
	case "S":
		m.here.back = !m.here.back
		return m.resort()
	case "tab", "shift+tab":
		i := slices.Index(m.specs, m.here.view)
		step := 1
		if in.key == "shift+tab" {
			step = len(m.specs) - 1
		}
		return m.visit(place{view: m.specs[(i+step)%len(m.specs)], sort: -1})
	default:
		for _, s := range m.specs {
			if s.key == in.key && s.key != "" {
				return m.visit(place{view: s, sort: -1})
			}
		}
		return m.act(in.key)
	}
	m.at = max(0, min(m.at, len(m.shown)-1))
	if len(m.shown) > 0 {
		m.cursor = m.shown[m.at].id
	}
	return m.widen(end)
}

// escape leaves one thing after another.
func (m *Model) escape() []effect {
	switch {
	case m.here.open != nil:
		return m.goBack()
	case len(m.marks) > 0:
		m.marks, m.anchor = map[string]bool{}, ""
	case m.frozen != nil:
		m.freeze()
	case m.here.query != "":
		next := m.here
		next.query = ""
		return m.visit(next)
	case len(m.past) > 0:
		return m.goBack()
	}
	return nil
}

// visit goes to a place and remembers the one before.
func (m *Model) visit(next place) []effect {
	m.past = append(m.past, m.here)
	if len(m.past) > maxPlaces {
		m.past = m.past[1:]
	}
	m.future = nil
	m.here = next
	return m.enter()
}

func (m *Model) goBack() []effect {
	if len(m.past) == 0 {
		return nil
	}
	m.future = append(m.future, m.here)
	m.here = m.past[len(m.past)-1]
	m.past = m.past[:len(m.past)-1]
	return m.returned()
}

func (m *Model) goForward() []effect {
	if len(m.future) == 0 {
		return nil
	}
	m.past = append(m.past, m.here)
	m.here = m.future[len(m.future)-1]
	m.future = m.future[:len(m.future)-1]
	return m.returned()
}

// returned enters a place with the cursor where it was, if that row is still there.
func (m *Model) returned() []effect {
	cursor, at := "", 0
	if n := len(m.future); n > 0 && m.future[n-1].open != nil && m.future[n-1].open.row != nil {
		cursor = m.future[n-1].open.row.id
	}
	out := m.enter()
	m.cursor, m.at = cursor, at
	return out
}

// freeze makes the display stand still, or go on. The host does not notice.
func (m *Model) freeze() {
	if m.frozen != nil {
		m.frozen = nil
		m.show()
		m.say("live again", good)
		return
	}
	held := m.list
	m.frozen, m.stopped = &held, m.now
	m.show()
}

func (m *Model) refresh(step int) []effect {
	before := m.every
	m.every = max(0, min(len(refreshes)-1, m.every+step))
	m.say("every "+refreshes[m.every].String(), normal)
	if m.every == before || m.offline != "" {
		return nil
	}
	return append([]effect{m.watchHead("")}, m.rewatch()...)
}

func (m *Model) markOne() {
	if r := m.selected(); r != nil && m.here.view.kind != "" {
		if m.marks[r.id] {
			delete(m.marks, r.id)
		} else {
			m.marks[r.id] = true
			m.anchor = r.id
		}
	}
}

// markRange marks all between the last one that was marked and the cursor.
func (m *Model) markRange() {
	from := slices.IndexFunc(m.shown, func(r *row) bool { return r.id == m.anchor })
	if from < 0 || m.here.view.kind == "" {
		m.markOne()
		return
	}
	for i := min(from, m.at); i <= max(from, m.at) && i < len(m.shown); i++ {
		m.marks[m.shown[i].id] = true
	}
}

// allMarked stands for everything that matches, on the screen or not.
const allMarked = "\x00all"

func (m *Model) markAll() {
	if m.here.view.kind == "" {
		return
	}
	if len(m.marks) > 0 {
		m.marks = map[string]bool{}
		return
	}
	for _, r := range m.shown {
		m.marks[r.id] = true
	}
	if l := m.current(); l.matched > len(l.rows) {
		m.marks[allMarked] = true
	}
}

// marked is how many rows are marked.
func (m *Model) marked() int {
	if m.marks[allMarked] {
		return m.current().matched
	}
	return len(m.marks)
}

// nextSort goes through the columns, each by level and then, if it is a number, by change.
func (m *Model) nextSort() []effect {
	cols := m.here.view.columns
	if len(cols) == 0 || m.here.view.watch == "" || m.here.view.name == "tree" {
		m.say("this view has an order of its own", warn)
		return nil
	}
	if m.here.sort >= 0 && !m.here.change && cols[m.here.sort].num != nil {
		m.here.change, m.here.back = true, false
		return m.resort()
	}
	m.here.change, m.here.back = false, false
	for range cols {
		m.here.sort++
		if m.here.sort >= len(cols) {
			m.here.sort = -1
			break
		}
		if cols[m.here.sort].field != "" {
			break
		}
	}
	return m.resort()
}

func (m *Model) resort() []effect {
	m.at, m.top, m.cursor = 0, 0, ""
	m.show()
	return m.rewatch()
}

// subject is what a row is about: the kind and the id of the verbs that fit it.
func (m *Model) subject(s *spec, r *row) (kind, id string) {
	if r == nil {
		return "", ""
	}
	switch v := r.v.(type) {
	case inspect.Guest:
		switch {
		case v.Job != "":
			return "job", v.Job
		case v.Kind == "prepare":
			return "artifact", v.Artifact
		case v.App != "":
			return "app", v.App
		}
		return "worker", v.Worker
	case api.Failing:
		return v.Kind, v.ID
	}
	return s.kind, r.id
}

// copy copies what the cursor is on, or shows it as JSON.
func (m *Model) copy(key string) []effect {
	r := m.selected()
	if r == nil && key != "Y" {
		return nil
	}
	switch key {
	case "o":
		raw := r.raw
		if raw == nil {
			raw, _ = json.Marshal(r.v)
		}
		if o := m.here.open; o != nil {
			all := map[string]any{"row": r.raw}
			for what, l := range o.loaded {
				if l.err == nil {
					all[what] = l.v
				}
			}
			if text, err := json.Marshal(all); err == nil {
				raw = text
			}
		}
		var b bytes.Buffer
		if err := json.Indent(&b, raw, "", "  "); err != nil {
			return nil
		}
		m.closeRaw()
		for l := range strings.SplitSeq(b.String(), "\n") {
			m.raw = append(m.raw, safe(l))
		}
		return nil
	case "y":
		_, id := m.subject(m.here.view, r)
		m.say("copied "+id, good)
		return []effect{copied{safe(id)}}
	}
	text := m.equivalent()
	m.say("copied: "+text, good)
	return []effect{copied{text}}
}

// equivalent is the command line that shows the same.
func (m *Model) equivalent() string {
	kind := strings.TrimSuffix(m.here.view.name, "s")
	switch m.here.view.name {
	case "overview":
		return "troupe status"
	case "tree", "actors":
		kind = "actor"
	}
	if o := m.here.open; o != nil {
		return shows(o)
	}
	switch m.here.view.name {
	case "health": // it takes no query
		return "troupe node health"
	case "outbox":
		return "troupe chain outbox"
	case "demands":
		return "troupe chain demand"
	case "log", "audit", "failures", "guests":
		kind = map[string]string{"log": "node log", "audit": "node audit", "failures": "failures", "guests": "worker guests"}[m.here.view.name]
		if m.here.query != "" {
			return "troupe " + kind + " --selector " + quoted(m.here.query)
		}
		return "troupe " + kind
	case "chain":
		return "troupe chain status"
	case "trace":
		if m.tracing.filter.Actor == "" {
			return "troupe actor trace"
		}
		return "troupe actor trace " + quoted(m.tracing.filter.Actor)
	}
	text := "troupe " + kind + " list"
	if m.here.view.name == "tree" {
		text = "troupe actor tree"
	}
	if m.here.query != "" {
		text += " --selector " + quoted(m.here.query)
	}
	return text
}

// shows is the command line that shows what is open.
func shows(o *opening) string {
	switch {
	case o.kind == "cause":
		return "troupe actor trace --cause " + quoted(o.id)
	case tabsOf(o.kind)[o.tab] == "why":
		return "troupe explain " + quoted(o.id)
	case tabsOf(o.kind)[o.tab] == "mailbox":
		return "troupe actor mailbox " + quoted(o.id)
	case tabsOf(o.kind)[o.tab] == "time":
		return "troupe job timeline " + quoted(o.id)
	}
	switch o.kind {
	case "actor", "job", "queue", "artifact", "worker", "app":
		return "troupe " + o.kind + " show " + quoted(o.id)
	case "letter":
		return "troupe dead show " + quoted(o.id)
	case "guest":
		return "troupe worker guests --selector " + quoted("id="+o.id)
	}
	return "troupe explain " + quoted(o.id)
}

// quoted is one word of a shell. What is not safe to show is not safe to copy either.
func quoted(s string) string {
	s = safe(s)
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// look goes to what belongs to the row under the cursor.
func (m *Model) look(key string) []effect {
	r := m.selected()
	kind, id := m.subject(m.here.view, r)
	if o := m.here.open; o != nil {
		kind, id = o.kind, o.id
	}
	switch key {
	case "t":
		return m.beginTrace(r, kind, id)
	case "w":
		if id == "" || kind == "" || !slices.Contains(tabsOf(kind), "why") {
			return nil
		}
		return m.openThing(kind, id, r, "why")
	case "l":
		next := place{view: m.spec("log"), sort: -1}
		if id != "" && kind != "node" && kind != "chain" {
			next.query = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(id) + `"`
		}
		return m.visit(next)
	case "m":
		path := m.actorOf(r, kind, id)
		if path == "" {
			m.say("only actors have a mailbox", warn)
			return nil
		}
		return m.openThing("actor", path, r, "mailbox")
	case "e":
		switch {
		case r == nil:
			return nil
		case kind == "actor":
			return m.openThing("actor", id, r, "flights")
		case kind == "job":
			return m.openThing("job", id, r, "summary")
		}
		return m.openThing(kind, id, r, "why")
	}
	return nil
}

// actorOf is the actor behind a row.
func (m *Model) actorOf(r *row, kind, id string) string {
	if kind == "actor" {
		return id
	}
	if r == nil {
		return ""
	}
	switch v := r.v.(type) {
	case inspect.Letter:
		return v.Actor
	case inspect.Trace:
		return v.Actor
	case inspect.Queue:
		return "troupe/" + v.Name
	case inspect.Worker:
		return "troupe/" + v.Kind + "/worker-" + v.ID[strings.LastIndexByte(v.ID, '-')+1:]
	}
	return ""
}

// Budgets of a trace that is begun by a key.
const (
	traceRows = 1000
	traceFor  = time.Minute
)

// beginTrace traces what the row is about: one cause, or an actor with all below it.
func (m *Model) beginTrace(r *row, kind, id string) []effect {
	f := inspect.TraceFilter{Rows: traceRows, ForMicros: traceFor.Microseconds()}
	job := ""
	if r != nil {
		switch v := r.v.(type) {
		case inspect.Guest:
			f.Cause = v.Cause
		case inspect.Letter:
			f.Cause = v.Cause
		case run.Job:
			if o := m.here.open; o != nil {
				if t, ok := o.loaded["timeline"].v.(inspect.Timeline); ok {
					f.Cause = t.Cause
				}
			}
			if f.Cause == "" {
				job = v.ID
			}
		}
	}
	if f.Cause == "" && f.Actor == "" && job == "" {
		if f.Actor = m.actorOf(r, kind, id); f.Actor == "" {
			f.Actor = "troupe"
		}
	}
	return m.traceWith(f, job)
}
