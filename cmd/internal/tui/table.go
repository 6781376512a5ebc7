package tui

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/troupehost/troupe/host/control/api"
)

// row is one row of a view. It is never changed: a newer one takes its place.
type row struct {
	id      string
	raw     json.RawMessage
	v       any
	at      time.Time // when it came
	past    *sample   // what its numbers were, the newest first; at most changeWindow old
	numbers []float64
}

// sample is what the numbers of a row were.
type sample struct {
	at      time.Time
	numbers []float64
	before  *sample
}

const (
	changeWindow = 10 * time.Second // of what is sorted by change
	markFresh    = 2 * time.Second  // a marker of a change is bright so long
	markFades    = 6 * time.Second  // and dim so long
	maxSamples   = 12
	maxTail      = 2000 // lines of a log that are kept
)

// column is one column of a view.
type column struct {
	head  string
	cells int  // width; of the one that grows, the least
	grows bool // it takes what is left
	right bool
	keep  int    // the higher, the longer it stays on a narrow screen
	field string // to sort by, of the query grammar; "": it cannot
	down  bool   // the largest comes first by nature
	text  func(c *scene, v any) (string, style)
	num   func(v any) float64 // nil: it is no number
}

// scene is what cells are drawn with.
type scene struct {
	now  time.Time
	wide bool
}

// spec is one view.
type spec struct {
	name    string
	key     string // number
	watch   string // of the host; "": it is no stream of rows
	kind    string // of the verbs that work on its rows; "": none
	title   string // of its rows, in plural
	columns []column
	decode  func(json.RawMessage) (any, error)
	pane    func(c *scene, r *row) []line // what the selected row says besides
	empty   string
	sorted  string // by what, at first
	tail    bool   // rows are only added; the newest come last and are followed
}

// col makes a column of one type of record.
func col[T any](head string, cells int, keep int, field string, text func(*scene, T) (string, style)) column {
	return column{head: head, cells: cells, keep: keep, field: field, text: func(c *scene, v any) (string, style) {
		t, ok := v.(T)
		if !ok {
			return "", normal
		}
		return text(c, t)
	}}
}

// num makes a column of numbers.
func num[T any](head string, cells int, keep int, field string, value func(T) float64, text func(*scene, T) (string, style)) column {
	k := col(head, cells, keep, field, text)
	k.right, k.down = true, true
	k.num = func(v any) float64 {
		t, ok := v.(T)
		if !ok {
			return 0
		}
		return value(t)
	}
	return k
}

func (k column) growing() column { k.grows = true; return k }

func decodeAs[T any](raw json.RawMessage) (any, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}

// list is what is known of the rows of a view.
type list struct {
	rows    []*row
	byID    map[string]*row
	order   []string
	matched int
	total   int
	dropped uint64
	at      time.Time // by the clock of the host
	came    time.Time // by ours
	whole   bool      // a frame has come
	err     error     // why none comes
}

// apply takes over a frame. Rows that cannot be read are counted and left out.
func (l *list) apply(s *spec, f api.Frame, now time.Time) (bad int) {
	if l.byID == nil || f.Full {
		old := l.byID
		l.byID = make(map[string]*row, len(f.Rows))
		l.order = l.order[:0:0]
		for _, r := range f.Rows {
			if _, twice := l.byID[r.ID]; twice {
				continue
			}
			made := s.row(r, old[r.ID], now)
			if made == nil {
				bad++
				continue
			}
			l.byID[r.ID] = made
			l.order = append(l.order, r.ID)
		}
	} else {
		for _, r := range f.Rows {
			before := l.byID[r.ID]
			made := s.row(r, before, now)
			if made == nil {
				bad++
				continue
			}
			l.byID[r.ID] = made
			if before == nil && f.Order == nil {
				l.order = append(l.order, r.ID)
			}
		}
		for _, id := range f.Gone {
			delete(l.byID, id)
		}
	}
	if f.Order != nil {
		l.order = f.Order
	}
	if n := len(l.order) - maxTail; s.tail && n > 0 {
		for _, id := range l.order[:n] {
			delete(l.byID, id)
		}
		l.order = slices.Clone(l.order[n:])
	}
	l.whole, l.err = true, nil
	l.rows = make([]*row, 0, len(l.byID))
	for _, id := range l.order {
		if r := l.byID[id]; r != nil {
			l.rows = append(l.rows, r)
		}
	}
	l.matched, l.total, l.dropped, l.at, l.came = f.Matched, f.Total, f.Dropped, f.At, now
	if s.tail {
		l.matched = len(l.rows)
	}
	return bad
}

// row decodes a row and remembers what its numbers were.
func (s *spec) row(in api.Row, before *row, now time.Time) *row {
	v, err := s.decode(in.Row)
	if err != nil {
		return nil
	}
	r := &row{id: in.ID, raw: in.Row, v: v, at: now}
	for _, k := range s.columns {
		if k.num != nil {
			r.numbers = append(r.numbers, k.num(v))
		}
	}
	if before != nil && len(r.numbers) > 0 {
		r.past = before.past
		if r.past == nil || now.Sub(r.past.at) >= time.Second {
			r.past = &sample{before.at, before.numbers, trim(before.past, now, maxSamples)}
		}
	}
	return r
}

// trim drops samples that are too old, and what is too many.
func trim(s *sample, now time.Time, most int) *sample {
	if s == nil || most == 0 || now.Sub(s.at) > changeWindow+time.Second {
		return nil
	}
	return &sample{s.at, s.numbers, trim(s.before, now, most-1)}
}

// change is by how much number i has changed over the window.
func (r *row) change(i int, now time.Time) float64 {
	if i >= len(r.numbers) {
		return 0
	}
	then := r.numbers[i]
	for s := r.past; s != nil && now.Sub(s.at) <= changeWindow; s = s.before {
		then = s.numbers[i]
	}
	return r.numbers[i] - then
}

// mark says which way number i went lately, and how bright that is.
func (r *row) mark(i int, now time.Time) (string, style) {
	for s := r.past; s != nil && now.Sub(s.at) <= markFades; s = s.before {
		if d := r.numbers[i] - s.numbers[i]; d != 0 && !math.IsNaN(d) {
			how := dim
			if now.Sub(r.at) <= markFresh {
				how = accent
			}
			if d > 0 {
				return "+", how
			}
			return "-", how
		}
	}
	return " ", normal
}

// number is the index of a column among those with numbers, or -1.
func (s *spec) number(column int) int {
	if s.columns[column].num == nil {
		return -1
	}
	n := 0
	for _, k := range s.columns[:column] {
		if k.num != nil {
			n++
		}
	}
	return n
}

// fit chooses the columns for so many cells, and how wide each is: those that matter least go first.
func (s *spec) fit(cells int) (which []int, wide []int) {
	gone := make([]bool, len(s.columns))
	for {
		need, least := 0, -1
		for i, k := range s.columns {
			if gone[i] {
				continue
			}
			need += k.cells + 2
			if k.num != nil {
				need++ // its marker
			}
			if least < 0 || k.keep < s.columns[least].keep {
				least = i
			}
		}
		left := 0
		for i := range gone {
			if !gone[i] {
				left++
			}
		}
		if need-2 <= cells || left <= 1 {
			spare := max(0, cells-(need-2))
			for i, k := range s.columns {
				if gone[i] {
					continue
				}
				w := k.cells
				if k.grows {
					w, spare = w+spare, 0
				}
				which, wide = append(which, i), append(wide, min(w, max(1, cells)))
			}
			return which, wide
		}
		gone[least] = true
	}
}
