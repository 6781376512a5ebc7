package execute

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// shares of started runs, by priority, in a window of their sum: 12.
var shares = [run.Critical + 1]int{run.Background: 1, run.Normal: 2, run.High: 3, run.Critical: 6}

// turns chooses the class that starts next: smooth weighted round robin over the classes that have a backlog. Each choice
// adds its share to every class with a backlog and takes their sum from the chosen one, so that over any window each
// stays within one of its share, whatever subset has a backlog. A class without a backlog starts from zero: it can
// neither save up turns nor owe any.
type turns struct {
	credit [run.Critical + 1]int
}

// next returns the class whose turn it is and charges it, 0 if none has a backlog.
func (t *turns) next(backlog func(run.Priority) bool) run.Priority {
	var best run.Priority
	sum := 0
	for p := run.Critical; p >= run.Background; p-- {
		if !backlog(p) {
			t.credit[p] = 0
			continue
		}
		sum += shares[p]
		t.credit[p] += shares[p]
		if best == 0 || t.credit[p] > t.credit[best] {
			best = p
		}
	}
	if best != 0 {
		t.credit[best] -= sum
	}
	return best
}

// lanes holds the parked runs of one class: tenants take turns, within a tenant bindings take turns, within a binding
// first in first out. Whoever was served stands behind everybody else, in turn or not, so that the head is who waits
// longest.
type lanes struct {
	n       int
	tenants ring[string, *ring[Binding, *fifo]]
}

type fifo struct {
	items  []*item
	served time.Time // when its last run started
}

// ring is a map whose keys take turns: the first in order is next.
type ring[K comparable, V any] struct {
	order []K
	items map[K]V
}

func (r *ring[K, V]) get(k K, make func() V) V {
	if r.items == nil {
		r.items = map[K]V{}
	}
	v, ok := r.items[k]
	if !ok {
		v = make()
		r.items[k] = v
		r.order = append(r.order, k)
	}
	return v
}

func (r *ring[K, V]) remove(k K) {
	delete(r.items, k)
	if n := slices.Index(r.order, k); n >= 0 {
		r.order = slices.Delete(r.order, n, n+1)
	}
}

// back puts k behind all others.
func (r *ring[K, V]) back(k K) {
	if n := slices.Index(r.order, k); n >= 0 {
		r.order = append(slices.Delete(r.order, n, n+1), k)
	}
}

func newFIFO() *fifo                                     { return &fifo{} }
func newBindings() *ring[Binding, *fifo]                 { return &ring[Binding, *fifo]{} }
func (l *lanes) bindings(t string) *ring[Binding, *fifo] { return l.tenants.get(t, newBindings) }

func (l *lanes) push(i *item) {
	f := l.bindings(i.Binding.Tenant).get(i.Binding, newFIFO)
	f.items = append(f.items, i)
	l.n++
}

// remove takes a run out without giving its tenant a turn.
func (l *lanes) remove(i *item) {
	b := l.bindings(i.Binding.Tenant)
	f := b.get(i.Binding, newFIFO)
	for n, o := range f.items {
		if o == i {
			f.items = append(f.items[:n:n], f.items[n+1:]...)
			l.n--
			break
		}
	}
	if len(f.items) == 0 {
		b.remove(i.Binding)
	}
	if len(b.order) == 0 {
		l.tenants.remove(i.Binding.Tenant)
	}
}

// head returns the run whose turn it is, and since when it waits for that: since it came, or since its binding was served.
func (l *lanes) head() (*item, time.Time) {
	b := l.tenants.items[l.tenants.order[0]]
	f := b.items[b.order[0]]
	i := f.items[0]
	if f.served.After(i.since) {
		return i, f.served
	}
	return i, i.since
}

// next returns the first run in the order of turns that ok allows, without removing it; nil if there is none.
func (l *lanes) next(ok func(*item) bool) *item {
	for _, t := range l.tenants.order {
		b := l.tenants.items[t]
		for _, k := range b.order {
			if i := b.items[k].items[0]; ok(i) {
				return i
			}
		}
	}
	return nil
}

// start removes a run and puts its tenant and its binding behind the others.
func (l *lanes) start(i *item, now time.Time) {
	b := l.bindings(i.Binding.Tenant)
	l.tenants.back(i.Binding.Tenant)
	b.back(i.Binding)
	b.get(i.Binding, newFIFO).served = now
	l.remove(i)
}

// each visits all parked runs.
func (l *lanes) each(f func(*item)) {
	for _, b := range l.tenants.items {
		for _, q := range b.items {
			for _, i := range q.items {
				f(i)
			}
		}
	}
}
