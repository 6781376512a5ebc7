package execute

import (
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// shares of turns, by priority.
var shares = [run.Critical + 1]int{run.Background: 1, run.Normal: 2, run.High: 3, run.Critical: 6}

// letters are the priorities in cycles.
const letters = " bnhc"

// cycles holds the order of turns for each set of classes that have a backlog; bit p-1 of the index stands for priority p.
// In any window of n turns, wherever it begins in the cycle, a class has
// n x its share / the sum, give or take one. Only the set of high, normal and critical has no such order: there, windows of
// 5 or 6 turns (of 16 or 17, and so on) may give normal one and 1/11 more or less.
var cycles = [16]string{
	0b0001: "b", 0b0010: "n", 0b0100: "h", 0b1000: "c",
	0b0011: "nbn", 0b0101: "hhbh", 0b0110: "hnhnh", 0b1001: "cccbccc", 0b1010: "ccncccnc", 0b1100: "chcchcchc",
	0b0111: "hnhbnh", 0b1011: "cnccbcncc", 0b1101: "chcchcbchc", 0b1110: "chcnchcnchc",
	0b1111: "chcnchbccnhc",
}

// turns gives turns to the classes that have a backlog. Each set of them goes through its cycle and is resumed where it was
// left, so that shares hold for the turns of each set, whatever other sets come between. A class without a backlog can
// neither save up turns nor owe any.
type turns struct {
	at [len(cycles)]int
}

// next returns the class whose turn it is, 0 if none has a backlog.
func (t *turns) next(backlog func(run.Priority) bool) run.Priority {
	set := 0
	for p := run.Background; p <= run.Critical; p++ {
		if backlog(p) {
			set |= 1 << (p - 1)
		}
	}
	c := cycles[set]
	if c == "" {
		return 0
	}
	p := strings.IndexByte(letters, c[t.at[set]])
	t.at[set] = (t.at[set] + 1) % len(c)
	return run.Priority(p) //nolint:gosec // an index into letters
}

const (
	// affinityWait is how long others may pass that have an idle worker.
	affinityWait = 100 * time.Millisecond

	// maxAhead is how many starts they may be ahead by that.
	maxAhead = 32

	// maxAway is how many tenants, or bindings of a tenant, are remembered that have nothing parked.
	maxAway = 1024
)

// lanes holds the parked runs of one class: tenants take turns, within a tenant bindings take turns, within a binding
// first in first out.
type lanes struct {
	n       int
	tenants ring[string, *apps]
}

// apps holds the parked runs of a tenant.
type apps struct {
	ring[Binding, *fifo]
	n int
}

type fifo struct{ items []*item }

// ring is a map whose entries take turns: whoever was served stands behind everybody else, in turn or not, so that the
// first is who waits longest. An entry that has nothing parked is remembered as long as it is ahead of the others, so that
// nobody gains by having little parked; of too many, who left first is forgotten.
type ring[K comparable, V any] struct {
	order []*entry[K, V]     // those that have something parked
	away  []*entry[K, V]     // those that are remembered, in the order in which they left
	items map[K]*entry[K, V] // both
}

type entry[K comparable, V any] struct {
	key    K
	v      V
	parked bool
	starts int // compared with others; who is new has as many as who has the fewest
	served time.Time
}

func (r *ring[K, V]) get(k K, make func() V) *entry[K, V] {
	if r.items == nil {
		r.items = map[K]*entry[K, V]{}
	}
	e := r.items[k]
	if e == nil {
		e = &entry[K, V]{key: k, v: make()}
		r.items[k] = e
	}
	if !e.parked {
		r.away = slices.DeleteFunc(r.away, func(o *entry[K, V]) bool { return o == e })
		e.parked, e.starts = true, max(e.starts, r.fewest())
		r.order = append(r.order, e)
	}
	return e
}

// fewest returns the fewest starts of those that have something parked.
func (r *ring[K, V]) fewest() int {
	fewest := 0
	for n, e := range r.order {
		if n == 0 || e.starts < fewest {
			fewest = e.starts
		}
	}
	return fewest
}

// remove takes an entry out that has nothing parked.
func (r *ring[K, V]) remove(e *entry[K, V]) {
	e.parked = false
	r.order = slices.DeleteFunc(r.order, func(o *entry[K, V]) bool { return o == e })
	r.away = append(r.away, e)
	r.forget()
}

// forget drops who is remembered and not ahead of the others, or one too many.
func (r *ring[K, V]) forget() {
	if len(r.away) == 0 {
		return
	}
	fewest, over := r.fewest(), len(r.away)-maxAway
	r.away = slices.DeleteFunc(r.away, func(e *entry[K, V]) bool {
		gone := e.starts <= fewest || len(r.order) == 0 || over > 0
		if over--; gone {
			delete(r.items, e.key)
		}
		return gone
	})
}

// serve gives an entry its turn.
func (r *ring[K, V]) serve(e *entry[K, V], now time.Time) {
	e.starts++
	e.served = now
	r.order = append(slices.DeleteFunc(r.order, func(o *entry[K, V]) bool { return o == e }), e)
	r.forget()
}

// pick chooses the entry that waits longest, if that is too long; else one whose run has an idle worker, unless it is ahead
// by too many starts; else the one with the fewest. first returns the run that an entry would start, nil if none may.
func (r *ring[K, V]) pick(now time.Time, first func(V) *item, warm func(V) bool) V {
	var least *entry[K, V]
	for _, e := range r.order {
		i := first(e.v)
		switch {
		case i == nil:
			continue
		case now.Sub(i.since) >= affinityWait && now.Sub(e.served) >= affinityWait:
			return e.v
		case least == nil || e.starts < least.starts:
			least = e
		}
	}
	for _, e := range r.order {
		if e.starts < least.starts+maxAhead && warm(e.v) {
			return e.v
		}
	}
	return least.v
}

func newFIFO() *fifo { return &fifo{} }
func newApps() *apps { return &apps{} }

// put adds a run behind those of its binding, or before them.
func (l *lanes) put(i *item, first bool) {
	a := l.tenants.get(i.Binding.Tenant, newApps).v
	f := a.get(i.Binding, newFIFO).v
	if first {
		f.items = slices.Insert(f.items, 0, i)
	} else {
		f.items = append(f.items, i)
	}
	a.n++
	l.n++
}

// remove takes a run out without giving its tenant a turn.
func (l *lanes) remove(i *item) {
	t := l.tenants.items[i.Binding.Tenant]
	b := t.v.items[i.Binding]
	n := slices.Index(b.v.items, i)
	b.v.items = append(b.v.items[:n:n], b.v.items[n+1:]...)
	t.v.n--
	l.n--
	if len(b.v.items) == 0 {
		t.v.ring.remove(b)
	}
	if t.v.n == 0 {
		l.tenants.remove(t)
	}
}

// start removes a run and gives its tenant and its binding their turn.
func (l *lanes) start(i *item, now time.Time) {
	t := l.tenants.items[i.Binding.Tenant]
	l.tenants.serve(t, now)
	t.v.serve(t.v.items[i.Binding], now)
	l.remove(i)
}

// first returns the first run, in the order of bindings, that ok allows; nil if there is none. ok depends on the binding
// only.
func (a *apps) first(ok func(*item) bool) *item {
	for _, b := range a.order {
		if i := b.v.first(ok); i != nil {
			return i
		}
	}
	return nil
}

func (f *fifo) first(ok func(*item) bool) *item {
	if i := f.items[0]; ok(i) {
		return i
	}
	return nil
}

// first returns a run that ok allows, nil if there is none.
func (l *lanes) first(ok func(*item) bool) *item {
	for _, t := range l.tenants.order {
		if i := t.v.first(ok); i != nil {
			return i
		}
	}
	return nil
}

// pick returns the run that starts next among those that may start; there must be one. warm are those that have an idle
// worker.
func (l *lanes) pick(now time.Time, may, warm func(*item) bool) *item {
	t := l.tenants.pick(now, func(a *apps) *item { return a.first(may) }, func(a *apps) bool { return a.first(warm) != nil })
	b := t.pick(now, func(f *fifo) *item { return f.first(may) }, func(f *fifo) bool { return f.first(warm) != nil })
	return b.items[0]
}

// newest returns the run of a tenant that came last, nil if it has none.
func (l *lanes) newest(tenant string) *item {
	var last *item
	if t := l.tenants.items[tenant]; t != nil {
		for _, b := range t.v.order {
			if i := b.v.items[len(b.v.items)-1]; last == nil || i.since.After(last.since) || i.since.Equal(last.since) && i.Run > last.Run {
				last = i
			}
		}
	}
	return last
}

// each visits all parked runs.
func (l *lanes) each(f func(*item)) {
	for _, t := range l.tenants.order {
		for _, b := range t.v.order {
			for _, i := range b.v.items {
				f(i)
			}
		}
	}
}
