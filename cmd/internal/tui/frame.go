package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// frame is one picture: as many lines as the terminal has, none wider than it.
type frame struct {
	lines   []string
	cursorX int // -1: none
	cursorY int
}

// Rows of the screen that are not of the table.
const (
	aboveRows = 3 // bar, place, heads
	paneRows  = 3 // rule and two lines
	footRows  = 1
	minPane   = 14 // a lower screen has no pane
)

func (m *Model) hasPane() bool { return m.h >= minPane && m.here.view.pane != nil }

// tableRows is how many rows of a table are seen.
func (m *Model) tableRows() int {
	n := m.h - aboveRows - footRows
	if m.hasPane() {
		n -= paneRows
	}
	return max(1, n)
}

// bodyRows is how many lines of a text are seen.
func (m *Model) bodyRows() int { return max(1, m.h-2-footRows) }

// stale says whether what is shown is old.
func (m *Model) stale() bool { return !m.link.lost.IsZero() }

// Frame draws the screen.
func (m *Model) Frame() frame {
	f := frame{cursorX: -1}
	over := normal
	if m.stale() {
		over = dim
	}
	add := func(l line, over style) { f.lines = append(f.lines, l.render(m.looks, m.w, over)) }
	add(m.bar(), inverted)
	body := m.h - 1 - footRows
	switch {
	case m.help:
		add(styled(strong, " keys"), normal)
		m.text(add, m.helpLines(), m.helpTop, body-1, normal)
	case m.raw != nil:
		title := line{{" JSON ", strong}, {"o: back", dim}}
		if m.rawTitle != "" {
			title = line{{" " + m.rawTitle + "  ", strong}, {"esc: back", dim}}
		}
		if m.printing {
			title = line{{" output of " + m.program + "  ", strong}, {"esc: the host   O: back here   ctrl-c: end both", dim}}
		}
		add(title, normal)
		for i := m.rawTop; i < len(m.raw) && i < m.rawTop+body-1; i++ {
			add(plainLine(" "+m.raw[i]), normal)
		}
	case m.here.open != nil:
		add(m.openTitle(), normal)
		lines := m.openLines(m.w - 2)
		for i := range lines {
			lines[i] = append(line{{" ", normal}}, lines[i]...)
		}
		m.text(add, lines, m.here.open.scroll, body-1, over)
	default:
		f.cursorX, f.cursorY = m.body(add, body, over)
	}
	for len(f.lines) < m.h-footRows {
		f.lines = append(f.lines, "")
	}
	f.lines = f.lines[:max(1, m.h-footRows)]
	if m.dialog != nil {
		f.cursorX, f.cursorY = m.box(f.lines)
	}
	if m.prompt != nil && f.cursorX < 0 {
		f.cursorX, f.cursorY = m.overPrompt(f.lines)
	}
	if m.h > 1 {
		add(m.foot(), normal)
	}
	if f.cursorY >= m.h {
		f.cursorX = -1
	}
	return f
}

// text draws lines from one on.
func (m *Model) text(add func(line, style), lines []line, top, rows int, over style) {
	top = max(0, min(top, len(lines)-rows))
	for i := top; i < len(lines) && i < top+rows; i++ {
		add(lines[i], over)
	}
}

// bar is the line at the top: which host, and how it is.
func (m *Model) bar() line {
	h := m.head
	name := safe(h.Name)
	if name == "" {
		name = safe(m.me.Host)
	}
	l := plainLine(" troupe@" + dash(cut(name, 24)))
	switch {
	case m.offline != "":
		l = l.add(normal, "  OFFLINE  snapshot of "+m.since.UTC().Format("2006-01-02 15:04:05")+"Z")
	case m.stale():
		l = l.add(normal, "  DISCONNECTED "+seconds(m.now.Sub(m.link.lost)))
	case m.head.At.IsZero():
		l = l.add(normal, "  connecting")
	case h.Draining:
		l = l.add(normal, "  DRAINING")
	case h.Ready:
		l = l.add(normal, "  READY")
	default:
		l = l.add(normal, "  NOT READY")
	}
	if m.frozen != nil {
		l = l.add(normal, "  FROZEN "+seconds(m.now.Sub(m.stopped)))
	}
	if !h.At.IsZero() {
		l = l.add(normal, "  up "+age(h.At, h.StartedAt))
		if m.cpu >= 0 {
			l = l.add(normal, fmt.Sprintf("  cpu %.0f%%", m.cpu))
		}
		l = l.add(normal, "  rss "+size(h.RSSBytes)+"  "+m.healthText())
	}
	right := ""
	if m.knows {
		right = safe(m.me.Caller) + " "
		if top := m.topRight(); top != "" {
			right = top + "  " + right
		}
	}
	if gap := m.w - l.width() - width(right); gap > 0 {
		l = l.add(normal, strings.Repeat(" ", gap)+right)
	}
	return l
}

func (m *Model) topRight() (top string) {
	for _, r := range m.me.Rights {
		top = string(r)
	}
	if m.offline != "" {
		return "view"
	}
	return top
}

func (m *Model) healthText() string {
	errors, warnings := 0, 0
	for _, h := range m.head.Health {
		if h.Level == "error" {
			errors++
		} else {
			warnings++
		}
	}
	if errors+warnings == 0 {
		return "healthy"
	}
	var parts []string
	if errors > 0 {
		parts = append(parts, plural(errors, "error"))
	}
	if warnings > 0 {
		parts = append(parts, plural(warnings, "warning"))
	}
	return "health: " + strings.Join(parts, ", ")
}

// whereabouts is the line that says which view this is, and how many rows it has.
func (m *Model) whereabouts() line {
	v := m.here.view
	l := line{{":" + v.name, accent}}
	if m.here.query != "" {
		l = l.add(normal, " "+safe(m.here.query))
	}
	var right line
	switch {
	case v.name == "trace":
		right = m.traceText()
	case v.columns != nil:
		c := m.current()
		text := fmt.Sprintf("%d of %d %s", c.matched, c.total, v.title)
		if len(c.rows) < c.matched {
			text = fmt.Sprintf("first %d of %d matching, %d %s", len(c.rows), c.matched, c.total, v.title)
		}
		if c.dropped > 0 {
			text += fmt.Sprintf(", %d overtaken", c.dropped)
		}
		right = styled(dim, text)
		if n := m.marked(); n > 0 {
			right = append(styled(accent, fmt.Sprintf("%d marked  ", n)), right...)
		}
		if m.here.sort >= 0 {
			by := "  by " + v.columns[m.here.sort].head
			if m.here.change {
				by += " change/" + changeWindow.String()
			}
			if m.here.back {
				by += " reversed"
			}
			right = right.add(accent, by)
		}
	}
	if m.offline == "" {
		right = right.add(dim, "  every "+refreshes[m.every].String())
	}
	gap := m.w - l.width() - right.width() - 1
	if gap < 1 {
		right = nil
		gap = 1
	}
	return append(l.add(normal, strings.Repeat(" ", gap)), right...)
}

func (m *Model) traceText() line {
	t := &m.tracing
	if t.gen == 0 {
		return styled(dim, "press t on an actor, a guest or a job to trace it")
	}
	l := line{{fmt.Sprintf("%d seen, %d lost", t.seen, t.dropped), dim}}
	if t.dropped > 0 {
		l = line{{fmt.Sprintf("%d seen, ", t.seen), dim}, {fmt.Sprintf("%d lost", t.dropped), bad}}
	}
	switch {
	case t.err != nil:
		return l.add(bad, "  failed: "+safe(string(fault.CodeOf(t.err))))
	case t.ended:
		return l.add(warn, "  ended: its budget is used up; t begins anew")
	}
	left := max(0, time.Duration(t.filter.ForMicros)*time.Microsecond-m.now.Sub(t.began))
	return l.add(dim, fmt.Sprintf("  budget left %s, %d rows", seconds(left), max(0, t.filter.Rows-t.seen)))
}

// body draws the place line, the heads and the rows, or a panel; it returns where the cursor of a prompt is.
func (m *Model) body(add func(line, style), rows int, over style) (int, int) {
	x, y := -1, 0
	var hint []line
	if p := m.prompt; p != nil {
		var l line
		l, x = m.promptLine()
		y = 1
		add(l, normal)
		hint = m.promptHint()
	} else {
		add(m.whereabouts(), normal)
	}
	rows--
	switch m.here.view.name {
	case "overview":
		for _, l := range hint {
			add(l, normal)
			rows--
		}
		m.text(add, m.overviewLines(), m.panel, rows, over)
		return x, y
	case "chain":
		for _, l := range hint {
			add(l, normal)
			rows--
		}
		m.text(add, m.chainLines(), m.panel, rows, over)
		return x, y
	}
	v := m.here.view
	which, wide := v.fit(m.w - 3)
	if hint == nil {
		hint = []line{m.heads(which, wide)}
	}
	for _, l := range hint {
		add(l, normal)
		rows--
	}
	pane := m.hasPane()
	if pane {
		rows -= paneRows
	}
	c := &scene{now: m.time(), wide: m.w > 120}
	drawn := 0
	for i := m.top; i < len(m.shown) && drawn < rows; i++ {
		how := over
		if i == m.at {
			how = chosen
		}
		add(m.rowLine(c, i, which, wide), how)
		drawn++
	}
	if drawn == 0 {
		for _, l := range m.nothing() {
			if drawn < rows {
				add(l, over)
				drawn++
			}
		}
	}
	for ; drawn < rows; drawn++ {
		add(nil, normal)
	}
	if pane {
		add(styled(dim, strings.Repeat("─", m.w)), normal)
		var lines []line
		if r := m.selected(); r != nil && len(m.shown) > 0 {
			lines = v.pane(c, r)
		}
		for i := range paneRows - 1 {
			l := line{{" ", normal}}
			if i < len(lines) {
				l = append(l, lines[i]...)
			}
			add(l, over)
		}
	}
	return x, y
}

// safeLine is safe without a limit on the length, for what the user types.
func safeLine(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(safe(string(r)))
	}
	return b.String()
}

// nothing says why there are no rows.
func (m *Model) nothing() []line {
	err := m.current().err
	if err == nil && !m.current().whole {
		err = m.link.err
	}
	switch {
	case m.here.view.name != "trace" && err != nil:
		f := fault.From(err)
		return []line{nil, {{"  ", normal}, {safe(string(f.Code)), bad}, {"  " + safe(f.Error()), normal}}, {{"  " + safe(f.Hint), accent}}}
	case m.here.view.name != "trace" && !m.current().whole:
		return []line{nil, styled(dim, "  waiting for the host")}
	case m.here.query != "":
		return []line{nil, styled(dim, "  "+m.here.view.empty), styled(dim, "  esc takes the filter away")}
	}
	return []line{nil, styled(dim, "  "+m.here.view.empty)}
}

func (m *Model) heads(which, wide []int) line {
	l := line{{"   ", normal}}
	for n, i := range which {
		k := m.here.view.columns[i]
		head := k.head
		sorted := m.here.sort == i
		if sorted && !m.here.change {
			head = cut(head, wide[n])
		}
		how := strong
		if sorted {
			how = accent
		}
		if n > 0 {
			l = l.add(normal, "  ")
		}
		l = l.add(how, pad(head, wide[n], k.right))
		if k.num != nil {
			mark := " "
			if sorted && m.here.change {
				mark = "±"
			} else if sorted {
				mark = "^"
			}
			l = l.add(how, mark)
		}
	}
	return l
}

func (m *Model) rowLine(c *scene, i int, which, wide []int) line {
	r := m.shown[i]
	lead := [3]string{" ", " ", " "}
	if i == m.at {
		lead[0] = ">"
	}
	if m.marks[r.id] {
		lead[1] = "*"
	}
	l := line{{strings.Join(lead[:], ""), accent}}
	note, noteHow := m.doing(r.id)
	if note == "" {
		if _, id := m.subject(m.here.view, r); id != r.id {
			note, noteHow = m.doing(id)
		}
	}
	for n, i2 := range which {
		k := m.here.view.columns[i2]
		text, how := k.text(c, r.v)
		if n == 0 && m.depth != nil && i < len(m.depth) {
			text = m.branch(i) + text[strings.LastIndexByte(text, '/')+1:]
		} else if k.head == "ACTOR" || k.head == "FOR" || k.head == "FROM" {
			text = cutLeft(text, wide[n])
		}
		if note != "" && (k.head == "STATE" || k.head == "BLAME" || k.head == "CODE" || k.head == "STAGE") {
			text, how, note = note, noteHow, ""
		}
		if n > 0 {
			l = l.add(normal, "  ")
		}
		l = l.add(how, pad(text, wide[n], k.right))
		if k.num != nil {
			mark, how := " ", normal
			if num := m.here.view.number(i2); num < len(r.numbers) && m.frozen == nil {
				mark, how = r.mark(num, m.now)
			}
			l = l.add(how, mark)
		}
	}
	return l
}

// branch draws where an actor stands in the tree.
func (m *Model) branch(i int) string {
	lead := strings.Repeat("  ", min(m.depth[i], 12))
	switch {
	case m.closed[m.shown[i].id]:
		return lead + "+ "
	case i+1 < len(m.depth) && m.depth[i+1] > m.depth[i]:
		return lead + "- "
	}
	return lead + "  "
}

// promptHint are the lines below a prompt: an error under its column, or how one may go on.
func (m *Model) promptHint() []line {
	p := m.prompt
	if p.wrong != "" && (p.tried || len(p.offers) == 0) {
		col := 1
		if p.column > 0 {
			col = 1 + width(safeLine(p.text[:min(len(p.text), p.column-1)]))
		}
		caret, say := line{{strings.Repeat(" ", col) + "^", bad}}, safe(p.wrong)
		return []line{caret, {{strings.Repeat(" ", max(0, min(col, m.w-width(say)))), normal}, {say, bad}}}
	}
	l := line{{" ", normal}}
	from := max(0, p.offer)
	for i := from; i < len(p.offers) && l.width() < m.w-12; i++ {
		how := dim
		if i == p.offer {
			how = accent
		}
		l = l.add(how, safe(p.offers[i].Text)+"  ")
	}
	if len(p.offers) == 0 {
		l = l.add(dim, "enter: go   esc: leave   up: what was typed before")
	}
	return []line{l}
}

// overPrompt draws a prompt on a screen without rows.
func (m *Model) overPrompt(lines []string) (int, int) {
	l, x := m.promptLine()
	if len(lines) > 1 {
		lines[1] = l.render(m.looks, m.w, normal)
	}
	for i, l := range m.promptHint() {
		if i+2 < len(lines) {
			lines[i+2] = l.render(m.looks, m.w, normal)
		}
	}
	return x, min(1, m.h-1)
}

// promptLine is what is typed, moved so far to the left that the cursor is seen, and where that is.
func (m *Model) promptLine() (line, int) {
	p := m.prompt
	runes, cursor := []rune(safeLine(p.text)), width(safeLine(p.text[:p.cursor]))
	for len(runes) > 0 && cursor+2 > m.w {
		cursor -= width(string(runes[0]))
		runes = runes[1:]
	}
	return line{{p.sign, accent}, {string(runes), normal}}, min(m.w-1, 1+cursor)
}

// box draws the dialog over the lines.
func (m *Model) box(lines []string) (int, int) {
	cells := max(1, min(m.w-4, 76))
	in, cursor, at := m.dialogLines(cells - 4)
	top := max(1, (len(lines)-len(in)-2)/2)
	left := max(0, (m.w-cells)/2)
	lead := strings.Repeat(" ", left)
	x, y := -1, 0
	put := func(i int, s string) {
		if i >= 0 && i < len(lines) {
			lines[i] = s
		}
	}
	if cells < 6 {
		return x, y
	}
	first := max(0, len(in)+2-(len(lines)-top)) // what does not fit scrolls up: the question stands at the end
	put(top, line{{lead + "┌" + strings.Repeat("─", cells-2) + "┐", accent}}.render(m.looks, m.w, normal))
	for i := first; i < len(in); i++ {
		row := top + 1 + i - first
		l := line{{lead + "│ ", accent}}
		room := cells - 4
		for _, p := range in[i] {
			text := cut(p.text, room)
			room -= width(text)
			l = l.add(p.style, text)
		}
		l = l.add(normal, strings.Repeat(" ", max(0, room))).add(accent, " │")
		put(row, l.render(m.looks, m.w, normal))
		if i == at {
			x, y = min(m.w-1, left+2+cursor), row
		}
	}
	put(top+1+len(in)-first, line{{lead + "└" + strings.Repeat("─", cells-2) + "┘", accent}}.render(m.looks, m.w, normal))
	return x, y
}

// foot is the line at the bottom: news, what happened, or keys.
func (m *Model) foot() line {
	switch {
	case m.news != "":
		return line{{" " + m.news, warn}}
	case m.toast != "":
		return line{{" " + cut(m.toast, m.w-1), m.toastIs}}
	case !m.stale() && m.current().err != nil && len(m.shown) > 0:
		return line{{" the host cannot show this now: " + safe(m.current().err.Error()), bad}}
	case m.stale():
		why := ""
		if m.link.err != nil {
			why = ": " + safe(string(fault.CodeOf(m.link.err)))
		}
		return line{{fmt.Sprintf(" lost the host %s ago, trying again; this is old%s", seconds(m.now.Sub(m.link.lost)), why), bad}}
	}
	return m.keyLine()
}
