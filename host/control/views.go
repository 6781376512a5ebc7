package control

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// freshFor is how long what the host has told is told on: however many watch, it is asked no more often.
const freshFor = 200 * time.Millisecond

// feed asks for something, and shares the answer until it is old or an operator has changed something: who has paused a queue sees that
// it is paused.
type feed[T any] struct {
	ask     func(context.Context) (T, error)
	fresh   time.Duration
	changes *atomic.Uint64 // see Server
	busy    chan struct{}  // holds one: who asks

	at   time.Time
	as   uint64 // changes when it was asked
	last T
	err  error
}

func newFeed[T any](fresh time.Duration, changes *atomic.Uint64, ask func(context.Context) (T, error)) *feed[T] {
	return &feed[T]{ask: ask, fresh: fresh, changes: changes, busy: make(chan struct{}, 1)}
}

// get returns an answer that is fresh. base is what the host is asked with, so that who leaves spoils it for nobody.
func (f *feed[T]) get(ctx, base context.Context) (T, time.Time, error) {
	var none T
	select {
	case f.busy <- struct{}{}:
	case <-ctx.Done():
		return none, time.Time{}, ctx.Err()
	}
	defer func() { <-f.busy }()
	if as := f.changes.Load(); time.Since(f.at) >= f.fresh || f.err != nil || f.as != as {
		f.as = as
		asking, cancel := context.WithTimeout(base, jsonTimeout)
		defer cancel()
		f.last, f.err = f.ask(asking)
		f.at = time.Now()
	}
	return f.last, f.at.UTC(), f.err
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
	// window returns the rows that match, up to the limit, as JSON.
	window(ctx context.Context, f find) (rows []api.Row, matched, total int, err error)
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
}

func newTable[T any](s *Server, view string, reverse bool, fetch func(context.Context) ([]T, error)) *table[T] {
	return &table[T]{s: s, view: view, reverse: reverse, feed: newFeed(freshFor, &s.changes, fetch), id: func(v *T) string { return query.ID(view, v) }}
}

// rows returns what the caller may see, and when it was so. They must not be changed.
func (l *table[T]) rows(ctx context.Context) ([]T, time.Time, error) {
	if _, yes := confinedTo(ctx); yes {
		rows, err := l.feed.ask(ctx)
		return rows, time.Now().UTC(), err
	}
	return l.feed.get(ctx, l.s.base)
}

func (l *table[T]) find(ctx context.Context, f find) (rows []T, order []int, at time.Time, err error) {
	if rows, at, err = l.rows(ctx); err != nil {
		return nil, nil, at, err
	}
	order, err = query.Order(f.query.At(time.Now()), rows, f.sort)
	if l.reverse && f.sort == "" {
		slices.Reverse(order)
	}
	return rows, order, at, err
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

func (l *table[T]) window(ctx context.Context, f find) (out []api.Row, matched, total int, err error) {
	rows, order, _, err := l.find(ctx, f)
	if err != nil {
		return nil, 0, 0, err
	}
	for _, i := range order[:min(f.limit, len(order))] {
		text, err := json.Marshal(&rows[i])
		if err != nil {
			return nil, 0, 0, fault.New(fault.BugUnexpected, "encode row", "", err)
		}
		out = append(out, api.Row{ID: l.id(&rows[i]), Row: text})
	}
	return out, len(order), len(rows), nil
}

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

// viewSet is all views, and who watches.
type viewSet struct {
	s     *Server
	by    map[string]lister
	host  *feed[inspect.Host]
	jobs  *table[run.Job]
	apps  *table[inspect.App]
	cache *table[inspect.Artifact]

	stopped chan struct{}
	once    sync.Once

	mu       sync.Mutex
	watching int
	unwatch  func()
}

func newViews(s *Server) *viewSet {
	v := &viewSet{s: s, stopped: make(chan struct{})}
	v.host = newFeed(freshFor, &s.changes, s.host.Inspect)
	v.jobs = newTable(s, "jobs", true, v.fetchJobs)
	v.jobs.feed.fresh = time.Second // there may be many
	v.apps = newTable(s, "apps", false, v.fetchApps)
	v.cache = newTable(s, "artifacts", false, part(v, func(h inspect.Host) []inspect.Artifact { return h.Artifacts }))
	v.by = map[string]lister{
		"actors":    newTable(s, "actors", false, part(v, func(h inspect.Host) []inspect.Actor { return h.Actors })),
		"queues":    newTable(s, "queues", false, part(v, func(h inspect.Host) []inspect.Queue { return h.Queues })),
		"health":    newTable(s, "health", false, part(v, func(h inspect.Host) []inspect.Health { return h.Health })),
		"artifacts": v.cache, "jobs": v.jobs, "apps": v.apps,
		"guests":   newTable(s, "guests", false, s.host.Guests),
		"workers":  newTable(s, "workers", false, s.host.Workers),
		"dead":     newTable(s, "dead", true, s.host.DeadLetters),
		"failures": newTable(s, "failures", true, v.fetchFailures),
		"outbox":   newTable(s, "outbox", true, v.fetchCalls),
		"demands":  newTable(s, "demands", false, v.fetchDemands),
		"overview": v.overview(), "chain": v.chain(),
	}
	return v
}

// inspect returns the host as the caller may see it.
func (v *viewSet) inspect(ctx context.Context) (inspect.Host, error) {
	if _, yes := confinedTo(ctx); yes {
		return v.s.host.Inspect(ctx)
	}
	h, _, err := v.host.get(ctx, v.s.base)
	return h, err
}

// part is a view that is a part of what the host tells of itself.
func part[T any](v *viewSet, of func(inspect.Host) []T) func(context.Context) ([]T, error) {
	return func(ctx context.Context) ([]T, error) {
		h, err := v.inspect(ctx)
		return of(h), err
	}
}

// overview is one row: the host without its lists.
func (v *viewSet) overview() lister {
	l := newTable(v.s, "overview", false, part(v, func(h inspect.Host) []inspect.Host {
		h.Actors, h.Artifacts, h.Workers = nil, nil, nil
		h.Queues = slices.Clone(h.Queues)
		for i := range h.Queues {
			h.Queues[i].Preparations = nil
		}
		return []inspect.Host{h}
	}))
	l.id = func(*inspect.Host) string { return "host" }
	return l
}

// chain is one row, or none.
func (v *viewSet) chain() lister {
	l := newTable(v.s, "chain", false, func(ctx context.Context) ([]inspect.ChainView, error) {
		c, err := v.s.host.Chain(ctx)
		if fault.CodeOf(err) == fault.CallerNotFound {
			return nil, nil
		}
		return []inspect.ChainView{c}, err
	})
	l.id = func(*inspect.ChainView) string { return "chain" }
	return l
}

// maxViewRows bounds what is held of lists that the host gives in pages. Of jobs these are the newest.
const maxViewRows = 20_000

func (v *viewSet) fetchJobs(ctx context.Context) (all []run.Job, err error) {
	for after := ""; ; {
		page, next, err := v.s.host.Jobs(ctx, host.JobFilter{After: after, Limit: api.MaxPage})
		if err != nil {
			return nil, err
		}
		for i := range page { // lists are without output, whatever the host thinks
			page[i].Events = nil
			if r := page[i].Receipt; r != nil && (r.Result != nil || r.Stdout != nil || r.Stderr != nil) {
				page[i].Receipt = new(*r)
				page[i].Receipt.Result, page[i].Receipt.Stdout, page[i].Receipt.Stderr = nil, nil, nil
			}
		}
		if all = append(all, page...); len(all) > maxViewRows {
			all = slices.Clone(all[len(all)-maxViewRows:])
		}
		if next <= after {
			return all, nil
		}
		after = next
	}
}

func (v *viewSet) fetchApps(ctx context.Context) (all []inspect.App, err error) {
	for after := uint64(0); len(all) < maxViewRows; {
		page, next, err := v.s.host.Apps(ctx, host.AppFilter{After: after, Limit: api.MaxAppPage})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next <= after {
			break
		}
		after = next
	}
	return all, nil
}

// maxCalls bounds the calls to the chain that a view holds: those that are on their way, and the newest that are settled.
const maxCalls = 2000

func (v *viewSet) fetchCalls(ctx context.Context) ([]inspect.Outgoing, error) {
	settled, _, err := v.s.host.ChainCalls(ctx, host.CallFilter{History: true, Newest: true, Limit: api.MaxChainPage})
	if fault.CodeOf(err) == fault.CallerNotFound {
		return nil, nil
	}
	all := slices.Clone(settled)
	slices.Reverse(all)
	for after := uint64(0); err == nil && len(all) < maxCalls; {
		var (
			page []inspect.Outgoing
			next uint64
		)
		page, next, err = v.s.host.ChainCalls(ctx, host.CallFilter{After: after, Limit: api.MaxChainPage})
		all = append(all, page...)
		if next <= after {
			break
		}
		after = next
	}
	return all, err
}

func (v *viewSet) fetchDemands(ctx context.Context) (all []inspect.Demand, err error) {
	for after := ""; len(all) < maxCalls; {
		page, next, err := v.s.host.ChainDemands(ctx, after, api.MaxChainPage)
		if fault.CodeOf(err) == fault.CallerNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next <= after {
			break
		}
		after = next
	}
	return all, nil
}

// watch has the host sample rates until the function that it returns is called.
func (v *viewSet) watch() func() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watching++; v.watching == 1 {
		v.unwatch = v.s.host.Watched()
	}
	return sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.watching--; v.watching == 0 && v.unwatch != nil {
			v.unwatch()
			v.unwatch = nil
		}
	})
}

// stop ends all streams.
func (v *viewSet) stop() { v.once.Do(func() { close(v.stopped) }) }
