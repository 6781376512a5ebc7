package control

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

// freshFor is how long what the host has told is told on: however many watch, it is asked no more often.
const freshFor = 200 * time.Millisecond

// feed asks for something, and shares the answer until it is old or an operator has changed something: who has paused a queue sees that
// it is paused.
type feed[T any] struct {
	ask     func(ctx context.Context, old T) (T, error) // old is what it told last, if nobody has that: its memory can be used again
	fresh   time.Duration
	changes *atomic.Uint64 // see Server
	busy    chan struct{}  // holds one: who asks, or uses the answer

	at   time.Time
	as   uint64 // changes when it was asked
	n    uint64 // how often it was asked
	last T
	kept bool // somebody has last
	err  error
}

func newFeed[T any](fresh time.Duration, changes *atomic.Uint64, ask func(ctx context.Context, old T) (T, error)) *feed[T] {
	return &feed[T]{ask: ask, fresh: fresh, changes: changes, busy: make(chan struct{}, 1)}
}

// get returns an answer that is fresh. base is what the host is asked with, so that who leaves spoils it for nobody.
func (f *feed[T]) get(ctx, base context.Context) (v T, at time.Time, err error) {
	err = f.use(ctx, base, func(last T, _ uint64) error {
		v, at, f.kept = last, f.at.UTC(), true
		return nil
	})
	return v, at, err
}

// use calls with with an answer that is fresh, and with its number. Nobody else has it meanwhile, and with must not keep it.
func (f *feed[T]) use(ctx, base context.Context, with func(v T, n uint64) error) error {
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-f.busy }()
	if as := f.changes.Load(); time.Since(f.at) >= f.fresh || f.err != nil || f.as != as {
		f.as = as
		asking, cancel := context.WithTimeout(base, jsonTimeout)
		defer cancel()
		var old T
		if !f.kept {
			old = f.last
		}
		f.last, f.err = f.ask(asking, old)
		f.at, f.kept = time.Now(), false
		f.n++
	}
	if f.err != nil {
		return f.err
	}
	return with(f.last, f.n)
}

// find is what a request wants of a list.
type find struct {
	query query.Query
	sort  string
	after string
	limit int
}

func findOf(r *http.Request, view string) (f find, err error) {
	q := r.URL.Query()
	if f.query, err = query.Parse(view, q.Get("q"), time.Now()); err != nil {
		return f, err
	}
	if f.limit, err = limitOf(q.Get("limit")); err != nil {
		return f, err
	}
	f.sort, f.after = q.Get("sort"), q.Get("after")
	if len(f.sort) > 64 || len(f.after) > 1024 {
		return f, invalid("sort or after", "they are a field, and the next of the page before")
	}
	return f, nil
}

// lister is one view.
type lister interface {
	page(ctx context.Context, f find) (any, error)
	// open returns what shows the rows that match, up to the limit, to those who watch them.
	open(ctx context.Context, f find) *pane
	// targets returns the ids that match, with the rows.
	targets(ctx context.Context, f find) (ids []string, rows []any, err error)
}

// table is a view whose rows are of one type.
type table[T any] struct {
	s       *Server
	view    string
	reverse bool // the host has the oldest first, and the newest is shown first
	feed    *feed[[]T]
	id      func(*T) string
	stamp   func(row *T) uint64 // changes with what is told of a row; nil: that is found out from its JSON

	mu    sync.Mutex
	panes map[pick]*pane
}

func newTable[T any](s *Server, view string, reverse bool, fetch func(context.Context) ([]T, error)) *table[T] {
	return &table[T]{s: s, view: view, reverse: reverse, id: func(v *T) string { return query.ID(view, v) }, panes: map[pick]*pane{},
		feed: newFeed(freshFor, &s.changes, func(ctx context.Context, _ []T) ([]T, error) { return fetch(ctx) })}
}

// rows returns what the caller may see, and when it was so. They must not be changed.
func (l *table[T]) rows(ctx context.Context) ([]T, time.Time, error) {
	if _, yes := confinedTo(ctx); yes {
		rows, err := l.feed.ask(ctx, nil)
		return rows, time.Now().UTC(), err
	}
	return l.feed.get(ctx, l.s.base)
}

// with calls use with what rows returns. Nobody else has it meanwhile, and use must not keep it.
func (l *table[T]) with(ctx context.Context, use func([]T)) error {
	if _, yes := confinedTo(ctx); yes {
		rows, err := l.feed.ask(ctx, nil)
		if err == nil {
			use(rows)
		}
		return err
	}
	return l.feed.use(ctx, l.s.base, func(rows []T, _ uint64) error {
		use(rows)
		return nil
	})
}

func (l *table[T]) find(ctx context.Context, f find) (rows []T, order []int, at time.Time, err error) {
	if rows, at, err = l.rows(ctx); err != nil {
		return nil, nil, at, err
	}
	order, err = l.order(rows, f)
	return rows, order, at, err
}

func (l *table[T]) order(rows []T, f find) ([]int, error) {
	order, err := query.Order(f.query.At(time.Now()), rows, f.sort)
	if l.reverse && f.sort == "" {
		slices.Reverse(order)
	}
	return order, err
}

// from returns where a page begins: behind the row that the page before ended with, or where that was.
func (l *table[T]) from(rows []T, order []int, after string) (int, error) {
	if after == "" {
		return 0, nil
	}
	place, id, ok := strings.Cut(after, ":")
	n, err := strconv.Atoi(place)
	if !ok || err != nil || n < 0 {
		return 0, invalid("after "+fault.Quote(after), "it is the next of the page before")
	}
	for i, at := range order {
		if l.id(&rows[at]) == id {
			return i + 1, nil
		}
	}
	return min(n, len(order)), nil
}

func (l *table[T]) cut(ctx context.Context, f find) (p api.Page[T], err error) {
	rows, order, at, err := l.find(ctx, f)
	if err != nil {
		return p, err
	}
	from, err := l.from(rows, order, f.after)
	if err != nil {
		return p, err
	}
	to := min(from+f.limit, len(order))
	p = api.Page[T]{Rows: make([]T, 0, to-from), Matched: len(order), Total: len(rows), At: at.Truncate(time.Millisecond)}
	for _, i := range order[from:to] {
		p.Rows = append(p.Rows, rows[i])
	}
	if to < len(order) {
		p.Next = strconv.Itoa(to) + ":" + l.id(&rows[order[to-1]])
	}
	return p, nil
}

func (l *table[T]) page(ctx context.Context, f find) (any, error) { return l.cut(ctx, f) }

func (l *table[T]) targets(ctx context.Context, f find) (ids []string, out []any, err error) {
	rows, order, _, err := l.find(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range order {
		ids, out = append(ids, l.id(&rows[i])), append(out, &rows[i])
	}
	return ids, out, nil
}
