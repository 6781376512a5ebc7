package control

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

// pick is what somebody watches of a view: all who watch the same share the work.
type pick struct {
	query, sort string
	limit       int
}

// pane shows what is picked to those who watch it. Each row is encoded once when it has changed, and each frame once, however many
// watch.
type pane struct {
	look  func(ctx context.Context) (*window, error)
	close func()

	users int // guarded by table.mu

	// By feed.busy, or by the only one who watches.
	of     uint64 // number of the look that last is of
	last   *window
	copies uint64 // of rows that were encoded
	ids    uint64 // of windows
}

// window is the rows of one look. It does not change.
type window struct {
	view, boot     string
	rows           []line
	matched, total int
	at             time.Time

	id     uint64 // from 1, within its pane
	mu     sync.Mutex
	frames map[uint64][]byte // by id of what the caller has, 0: nothing. There are few, since all look at the same moments
}

// line is a row as it is told.
type line struct {
	id    string
	text  []byte // an api.Row in JSON
	stamp uint64
	copy  uint64 // differs whenever text does
}

// open returns the pane of what is picked. A caller who sees less than others has one of its own.
func (l *table[T]) open(ctx context.Context, f find) *pane {
	if _, yes := confinedTo(ctx); yes {
		p := &pane{close: func() {}}
		p.look = func(ctx context.Context) (*window, error) {
			rows, err := l.feed.ask(ctx, nil)
			if err != nil {
				return nil, err
			}
			return l.turn(p, rows, p.of+1, f)
		}
		return p
	}
	key := pick{f.query.Text, f.sort, f.limit}
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.panes[key]
	if p == nil {
		p = &pane{}
		p.look = func(ctx context.Context) (w *window, err error) {
			err = l.feed.use(ctx, l.s.base, func(rows []T, n uint64) error {
				w, err = l.turn(p, rows, n, f)
				return err
			})
			return w, err
		}
		p.close = func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if p.users--; p.users == 0 {
				delete(l.panes, key)
			}
		}
		l.panes[key] = p
	}
	p.users++
	return p
}

// seed of stamps, which are compared with others of this process only.
var seed = maphash.MakeSeed()

// turn makes the window of a look, or returns the last one if that shows the same.
func (l *table[T]) turn(p *pane, rows []T, n uint64, f find) (*window, error) {
	if p.last != nil && p.of == n {
		return p.last, nil
	}
	order, err := l.order(rows, f)
	if err != nil {
		return nil, err
	}
	w := &window{view: l.view, boot: l.s.host.Boot(), matched: len(order), total: len(rows), at: now()}
	order = order[:min(f.limit, len(order))]
	w.rows = make([]line, len(order))
	before := p.last
	if before == nil {
		before = &window{matched: -1}
	}
	old, same := before.finder(), len(order) == len(before.rows)
	for i, at := range order {
		to, from := &w.rows[i], old(i, l.id(&rows[at]))
		if err := l.encode(to, from, &rows[at]); err != nil {
			return nil, err
		}
		if from == nil || to.copy == 0 {
			p.copies++
			to.copy = p.copies
		}
		same = same && to.copy == before.rows[i].copy
	}
	p.of = n
	if !same || w.matched != before.matched || w.total != before.total {
		p.ids++
		w.id, p.last = p.ids, w
	}
	return p.last, nil
}

// encode makes the JSON of a row, unless it is that of the look before. A copy of 0 says that it is another.
func (l *table[T]) encode(to, from *line, row *T) error {
	stamp := uint64(0)
	if l.stamp != nil {
		if stamp = l.stamp(row); from != nil && from.stamp == stamp {
			*to = *from
			return nil
		}
	}
	text, err := json.Marshal(row)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode row", "", err)
	}
	if l.stamp == nil {
		if stamp = maphash.Bytes(seed, text); from != nil && from.stamp == stamp {
			*to = *from
			return nil
		}
	}
	id := l.id(row)
	name, err := json.Marshal(id)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode id", "", err)
	}
	// As Marshal would write an api.Row, which would read the row again.
	text = slices.Concat([]byte(`{"id":`), name, []byte(`,"row":`), text, []byte{'}'})
	*to = line{id: id, text: text, stamp: stamp}
	return nil
}

// finder finds rows by their ids. Most are where they were, so that an index is made only if one is not.
func (w *window) finder() func(i int, id string) *line {
	var index map[string]int
	return func(i int, id string) *line {
		if i < len(w.rows) && w.rows[i].id == id {
			return &w.rows[i]
		}
		if index == nil {
			index = make(map[string]int, len(w.rows))
			for i := range w.rows {
				index[w.rows[i].id] = i
			}
		}
		if i, ok := index[id]; ok {
			return &w.rows[i]
		}
		return nil
	}
}

// since is the frame for who has seen before, nil for nothing yet. It is not to be changed.
func (w *window) since(before *window) ([]byte, error) {
	f := api.Frame{View: w.view, Full: before == nil, Matched: w.matched, Total: w.total, Boot: w.boot, At: w.at}
	if before == nil {
		before = &window{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if text := w.frames[before.id]; text != nil {
		return text, nil
	}
	rows, gone := w.changes(before)
	f.Gone = gone
	if f.Full || !slices.EqualFunc(w.rows, before.rows, func(a, b line) bool { return a.id == b.id }) {
		f.Order = make([]string, len(w.rows))
		for i := range w.rows {
			f.Order[i] = w.rows[i].id
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fault.New(fault.BugUnexpected, "encode frame", "", err)
	}
	if rows != nil { // they are JSON already, which Marshal would read again
		text = append(text[:len(text)-1], `,"rows":[`...)
		text = append(append(text, bytes.Join(rows, []byte{','})...), "]}"...)
	}
	if w.frames == nil {
		w.frames = map[uint64][]byte{}
	}
	w.frames[before.id] = text
	return text, nil
}

// changes are the rows that are not as they were before, and the ids of those that are not there any more.
func (w *window) changes(before *window) (rows [][]byte, gone []string) {
	old := before.finder()
	for i := range w.rows {
		if was := old(i, w.rows[i].id); was == nil || was.copy != w.rows[i].copy {
			rows = append(rows, w.rows[i].text)
		}
	}
	now := w.finder()
	for i := range before.rows {
		if id := before.rows[i].id; now(i, id) == nil {
			gone = append(gone, id)
		}
	}
	return rows, gone
}

// stampOf changes with everything that is told of an actor, but for the moment of the look.
func stampOf(a *inspect.Actor) uint64 {
	var room [768]byte
	b := room[:0]
	number := func(all ...uint64) {
		for _, n := range all {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
	}
	text := func(all ...string) {
		for _, s := range all {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	text(a.Path, a.Kind, a.State, a.Handling, a.LastFault, a.App, a.LogLevel)
	for _, t := range [...]*time.Time{&a.Since, &a.OldestSince, &a.HandledAt, &a.NextRestart, &a.NextTimer} {
		number(uint64(t.UnixNano()))
	}
	number(a.Incarnation, a.Accepted, a.Handled, a.Refused, uint64(a.Depth), uint64(a.Cap), uint64(a.Restarts), uint64(a.MaxRestarts), uint64(a.Requests),
		uint64(a.Tasks), uint64(a.Timers), uint64(a.Children), a.Handler.Count, uint64(a.Handler.P50Micros), uint64(a.Handler.P99Micros), uint64(a.Handler.MaxMicros))
	b = strconv.AppendBool(b, a.Paused)
	if r := a.Rates; r != nil {
		for _, w := range [...]*inspect.Windows{&r.Accepted, &r.Handled, &r.Refused} {
			number(math.Float64bits(w.S1), math.Float64bits(w.S10), math.Float64bits(w.S60))
		}
	}
	for _, l := range a.Lanes {
		text(l.Name)
		number(uint64(l.Depth), uint64(l.Cap), uint64(l.OldestSince.UnixNano()))
	}
	dropped := uint64(0)
	for code, n := range a.Dropped { // in any order
		dropped += maphash.String(seed, code) * (n + 1)
	}
	number(dropped)
	return maphash.Bytes(seed, b)
}
