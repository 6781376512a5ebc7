package tui

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

const (
	firstRows = 500    // of a view, at first
	maxRows   = 10_000 // that a view widens to
	maxTraces = 2_000  // that are kept
	maxPlaces = 50     // of the history
	toastFor  = 5 * time.Second
	tryAgain  = 5 * time.Second // what the host could not show
	headEvery = 2 * time.Second // at most: the bar at the top
)

// refreshes are the steps of + and -.
var refreshes = []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// place is where the user is.
type place struct {
	view   *spec
	query  string
	sort   int // column; -1: as the view is at first
	back   bool
	change bool // by change, not by level
	open   *opening
}

// opening is a screen of details.
type opening struct {
	kind, id string
	tab      int
	scroll   int
	loaded   map[string]loaded
	row      *row
}

// Model is the screen. Only Step changes it.
type Model struct {
	looks   Looks
	specs   []*spec
	w, h    int
	now     time.Time
	every   int // index of refreshes
	me      api.Me
	knows   bool
	offline string // what is shown instead of a host
	since   time.Time

	here   place
	past   []place
	future []place

	gen     int // of the watch of the view
	list    list
	frozen  *list
	stopped time.Time // when the display was frozen
	limit   int
	toEnd   bool   // the cursor goes to the last row of the wider window that comes
	cursor  string // id of the row
	at      int    // index of the row, should the id be gone
	top     int
	marks   map[string]bool
	anchor  string // of a range of marks
	closed  map[string]bool
	shown   []*row // what Frame draws, worked out by Step
	depth   []int  // of the rows of a tree

	head     inspect.Host
	headGen  int
	headCame time.Time
	cpu      float64 // percent of one core between the last two heads; -1: not known
	link     link
	boot     string
	news     string // of another boot; stays until a key is pressed

	prompt   *prompt
	dialog   *dialog
	help     bool
	helpTop  int
	panel    int      // first line of a view without rows
	raw      []string // JSON, line by line; nil: not shown
	rawTop   int
	rawTitle string   // of it; "": JSON of a row
	printed  []string // by the program that the console belongs to; nil: it belongs to none
	printing bool     // that is what is shown as raw
	program  string
	verb     int      // of the command line that runs now
	more     []string // words that a command may begin with, besides
	toast    string
	toastIs  style
	toasted  time.Time
	seq      int
	running  []*tracked
	tracing  tracing
	past1    map[string][]string // histories of prompts by kind
}

// link is the connection.
type link struct {
	lost  time.Time // zero: it holds
	err   error
	tries int
}

// tracing is a trace that runs, or ran.
type tracing struct {
	gen     int
	filter  inspect.TraceFilter
	began   time.Time
	ended   bool
	err     error
	seen    int
	dropped uint64
	rows    []*row
}

// NewModel returns the screen before anything is known, and what is to be done first.
func NewModel(looks Looks, view, query, offline string, now time.Time) (*Model, []effect) {
	m := &Model{looks: looks, specs: specs(), w: 80, h: 24, now: now, every: 2, cpu: -1, offline: offline, since: now,
		marks: map[string]bool{}, closed: map[string]bool{}, past1: map[string][]string{}}
	s := m.spec(view)
	if s == nil {
		s = m.specs[0]
	}
	m.here = place{view: s, query: query, sort: -1}
	return m, append([]effect{ask{}, m.watchHead("")}, m.enter()...)
}

func (m *Model) spec(name string) *spec {
	for _, s := range m.specs {
		if s.name == name {
			return s
		}
	}
	return nil
}

// can reports whether the caller has a right.
func (m *Model) can(r api.Right) bool {
	return m.offline == "" && slices.Contains(m.me.Rights, r)
}

func (m *Model) watchHead(last string) effect {
	m.headGen++
	return watch{gen: m.headGen, head: true, view: "overview", every: max(headEvery, refreshes[m.every]), last: last}
}

// enter begins to watch the place where the user is.
func (m *Model) enter() []effect {
	m.gen++
	m.list, m.frozen, m.top, m.at, m.cursor, m.limit = list{}, nil, 0, 0, "", firstRows
	m.marks, m.anchor, m.panel = map[string]bool{}, "", 0
	m.show()
	return m.rewatch()
}

// rewatch asks for the rows of the view again, keeping those that there are until they come.
func (m *Model) rewatch() []effect {
	if m.here.open != nil {
		return append([]effect{unwatch{}}, m.loadOpen()...)
	}
	if m.here.view.name == "trace" {
		return []effect{unwatch{}}
	}
	limit := m.limit
	if m.here.change {
		limit = maxRows // what changes most may stand anywhere
	}
	return []effect{watch{gen: m.gen, view: m.here.view.watch, every: refreshes[m.every],
		find: client.Find{Query: m.here.query, Sort: m.sortField(), Limit: limit}}}
}

// sortField is what the host sorts by.
func (m *Model) sortField() string {
	field, down := m.here.view.sorted, false
	if m.here.sort >= 0 && m.here.view.name != "tree" {
		k := m.here.view.columns[m.here.sort]
		field, down = k.field, k.down
	}
	if rest, ok := strings.CutPrefix(field, "-"); ok {
		field, down = rest, true
	}
	if m.here.back {
		down = !down
	}
	if field == "" || m.here.view.name == "tree" && m.here.sort < 0 {
		return field
	}
	if down {
		return "-" + field
	}
	return field
}

// Step takes what happened at a time, and returns what is to be done.
func (m *Model) Step(now time.Time, in message) []effect {
	m.now = now
	if m.toast != "" && now.Sub(m.toasted) > toastFor {
		m.toast = ""
	}
	switch in := in.(type) {
	case resized:
		m.w, m.h = max(1, in.w), max(1, in.h)
		m.keepInSight()
	case pressed:
		m.news = ""
		out := m.press(in)
		m.keepInSight()
		return out
	case pasted:
		if m.prompt != nil {
			m.prompt.insert(in.text)
		} else if m.dialog != nil {
			m.dialog.insert(in.text)
		}
	case ticked:
		return m.tick()
	case said:
		m.programSaid(in.lines)
	case known:
		if in.err == nil {
			m.me, m.knows = in.me, true
			m.meet(in.me.Boot)
		}
	case framed:
		return m.frame(in)
	case broken:
		return m.lose(in)
	case retried:
		return m.retry(in)
	case loaded:
		if in.gen == m.gen && m.here.open != nil && (in.id == m.here.open.id) {
			if in.err == nil {
				m.holds()
			}
			m.here.open.loaded[in.what] = in
		}
	case planned:
		return m.planned(in)
	case operated:
		return m.operated(in)
	case traced:
		m.traced(in)
	case traceEnded:
		if in.gen == m.tracing.gen {
			m.tracing.ended, m.tracing.err = true, in.err
		}
	case opened:
		return m.opened(in)
	case ran:
		m.verbEnded(in)
	}
	return nil
}

// tick refreshes what is not streamed.
func (m *Model) tick() []effect {
	if m.here.open != nil && m.frozen == nil && m.offline == "" {
		return m.loadOpen()
	}
	return nil
}

// meet compares the boot id of the host with that of before.
func (m *Model) meet(boot string) {
	if boot == "" || boot == m.boot {
		return
	}
	if m.boot != "" {
		m.news = "the host has started anew, counters begin at zero; boot " + safe(boot) + ", before " + safe(m.boot)
		m.list, m.marks, m.tracing = list{}, map[string]bool{}, tracing{}
		m.frozen = nil
		m.show()
	}
	m.boot = boot
}

func (m *Model) holds() { m.link = link{} }

func (m *Model) frame(in framed) []effect {
	if in.head {
		if in.gen != m.headGen {
			return nil
		}
		m.holds()
		m.meet(in.frame.Boot)
		for _, r := range in.frame.Rows {
			if v, err := decodeAs[inspect.Host](r.Row); err == nil {
				next := v.(inspect.Host)
				if next.At.IsZero() {
					next.At = in.frame.At
				}
				m.cpu = -1
				if d := next.At.Sub(m.head.At); m.head.Boot == next.Boot && d > 0 && m.head.CPUMicros > 0 {
					m.cpu = 100 * float64(next.CPUMicros-m.head.CPUMicros) / float64(d.Microseconds())
				}
				m.head, m.headCame = next, m.now
			}
		}
		if m.frozen == nil && m.here.view.name == "overview" {
			m.show()
		}
		return nil
	}
	if in.gen != m.gen {
		return nil
	}
	m.holds()
	m.meet(in.frame.Boot)
	atEnd := m.here.view.tail && m.at >= len(m.shown)-1
	if bad := m.list.apply(m.here.view, in.frame, m.now); bad > 0 {
		m.say(unreadable(bad), warn)
	}
	if m.frozen == nil {
		m.show()
		if atEnd || m.toEnd {
			m.at, m.toEnd = len(m.shown)-1, false
		}
		m.keepInSight()
	}
	return nil
}

func unreadable(n int) string {
	return fmt.Sprintf("%d rows could not be read: is the host of another version?", n)
}

func (m *Model) say(text string, how style) {
	m.toast, m.toastIs, m.toasted = safe(text), how, m.now
}

// complain shows a failure with its code and hint.
func (m *Model) complain(err error) {
	f := fault.From(err)
	text := f.Error()
	if f.Hint != "" {
		text += " - " + f.Hint
	}
	m.say(string(f.Code)+": "+text, bad)
}

// lose notes that a watch has ended; it is begun again after a while.
func (m *Model) lose(in broken) []effect {
	if in.head && in.gen != m.headGen || !in.head && in.gen != m.gen {
		return nil
	}
	if in.err != nil && m.answers(in.err) { // it cannot show this; the connection holds
		m.holds()
		if !in.head {
			m.list.err = in.err
		}
		return []effect{later{tryAgain, retried{in.gen, in.head}}}
	}
	if in.err != nil && m.link.lost.IsZero() {
		m.link.lost = m.now
	}
	wait := 250 * time.Millisecond
	if in.err != nil {
		m.link.err = in.err
		m.link.tries++
		wait = min(10*time.Second, 250*time.Millisecond<<min(m.link.tries/2, 6))
	}
	return []effect{later{wait, retried{in.gen, in.head}}}
}

// answers reports whether a failure is what the host answered, and not that it did not.
func (m *Model) answers(err error) bool {
	for _, code := range []fault.Code{fault.CallerUnreachable, fault.CallerClosed, fault.CanceledStopped, fault.CanceledDeadline, fault.CanceledCaller, fault.BugProtocol} {
		if errors.Is(err, code) {
			return false
		}
	}
	return true
}

func (m *Model) retry(in retried) []effect {
	switch {
	case in.head && in.gen == m.headGen:
		return []effect{ask{}, m.watchHead("")}
	case !in.head && in.gen == m.gen && m.here.open == nil:
		return m.rewatch()
	}
	return nil
}

func (m *Model) opened(in opened) []effect {
	if in.err != nil {
		m.complain(in.err)
		return nil
	}
	m.since = in.at
	m.offline, m.boot, m.me, m.knows, m.head = in.offline, "", api.Me{}, false, inspect.Host{}
	m.past, m.future, m.running, m.tracing = nil, nil, nil, tracing{}
	m.here = place{view: m.specs[0], sort: -1}
	return append([]effect{ask{}, untrace{}, m.watchHead("")}, m.enter()...)
}

// current is the list that is on the screen.
func (m *Model) current() *list {
	if m.frozen != nil {
		return m.frozen
	}
	return &m.list
}

// time is what ages are told by: a display that stands still does not grow older.
func (m *Model) time() time.Time {
	switch {
	case m.frozen != nil:
		return m.hostTime(m.stopped, m.frozen)
	case !m.link.lost.IsZero():
		return m.hostTime(m.link.lost, m.current())
	}
	return m.hostTime(m.now, m.current())
}

// hostTime is the clock of the host, as far as a frame told it: machines disagree. A bundle stands still.
func (m *Model) hostTime(now time.Time, l *list) time.Time {
	if m.offline != "" {
		return m.since
	}
	at, came := l.at, l.came
	if at.IsZero() {
		at, came = m.head.At, m.headCame
	}
	if at.IsZero() {
		return now
	}
	return at.Add(now.Sub(came))
}

// show works out which rows are drawn.
func (m *Model) show() {
	if m.here.view.name == "trace" {
		m.shown = m.tracing.rows
		return
	}
	l := m.current()
	m.shown, m.depth = l.rows, nil
	switch {
	case m.here.view.name == "tree":
		m.showTree(l)
	case m.here.change && m.here.sort >= 0:
		n := m.here.view.number(m.here.sort)
		m.shown = slices.Clone(l.rows)
		now := m.now
		slices.SortStableFunc(m.shown, func(a, b *row) int {
			c := cmp.Compare(abs(b.change(n, now)), abs(a.change(n, now)))
			if m.here.back {
				return -c
			}
			return c
		})
	}
	for i, r := range m.shown {
		if r.id == m.cursor {
			m.at = i
			return
		}
	}
	m.at = max(0, min(m.at, len(m.shown)-1))
	if len(m.shown) > 0 {
		m.cursor = m.shown[m.at].id
	}
}

func abs(f float64) float64 { return max(f, -f) }

// showTree puts each actor under the one that owns it, and leaves out what is below a closed one.
func (m *Model) showTree(l *list) {
	rows := slices.Clone(l.rows)
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(treeKey(a.id), treeKey(b.id)) })
	m.shown, m.depth = m.shown[:0:0], nil
	hidden := ""
	there := map[string]int{}
	for _, r := range rows {
		if hidden != "" && strings.HasPrefix(r.id, hidden) {
			continue
		}
		hidden = ""
		depth := 0
		for parent := r.id; ; {
			i := strings.LastIndexByte(parent, '/')
			if i < 0 {
				break
			}
			parent = parent[:i]
			if d, ok := there[parent]; ok {
				depth = d + 1
				break
			}
		}
		there[r.id] = depth
		m.shown, m.depth = append(m.shown, r), append(m.depth, depth)
		if m.closed[r.id] {
			hidden = r.id + "/"
		}
	}
}

// treeKey sorts children right behind their parent.
func treeKey(path string) string { return strings.ReplaceAll(path, "/", "\x00") }

// selected is the row under the cursor.
func (m *Model) selected() *row {
	if m.here.open != nil {
		return m.here.open.row
	}
	if m.at < 0 || m.at >= len(m.shown) {
		return nil
	}
	return m.shown[m.at]
}

// keepInSight scrolls so that the cursor is on the screen, and widens the window when it comes near its end.
func (m *Model) keepInSight() {
	rows := m.tableRows()
	m.at = max(0, min(m.at, len(m.shown)-1))
	m.top = max(0, min(m.top, len(m.shown)-rows))
	if m.at < m.top {
		m.top = m.at
	}
	if m.at >= m.top+rows {
		m.top = m.at - rows + 1
	}
	if len(m.shown) > 0 {
		m.cursor = m.shown[m.at].id
	}
}

// widen asks for more rows if the user goes where there are none yet.
func (m *Model) widen(end bool) []effect {
	l := m.current()
	if m.here.open != nil || len(l.rows) >= l.matched || m.limit >= maxRows || m.frozen != nil || m.offline != "" && len(l.rows) == 0 {
		return nil
	}
	if !end && m.at < len(m.shown)-2*m.tableRows() {
		return nil
	}
	if m.limit = min(maxRows, m.limit*4); end {
		m.limit, m.toEnd = maxRows, true
	}
	return m.rewatch()
}

// traced keeps the newest messages of a trace.
func (m *Model) traced(in traced) {
	t := &m.tracing
	if in.gen != t.gen {
		return
	}
	t.seen++
	t.dropped = max(t.dropped, in.t.Dropped)
	if m.frozen != nil && m.here.view.name == "trace" {
		return // counted, and not shown: the display stands still
	}
	atEnd := m.here.view.name == "trace" && m.at >= len(m.shown)-1
	t.rows = append(t.rows, &row{id: fmt.Sprint(in.t.Seq), v: in.t, at: m.now})
	if len(t.rows) > maxTraces {
		t.rows = slices.Clone(t.rows[len(t.rows)-maxTraces:])
	}
	if m.here.view.name == "trace" {
		m.show()
		if atEnd {
			m.at = len(m.shown) - 1
		}
		m.keepInSight()
	}
}
