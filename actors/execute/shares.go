package execute

import "github.com/troupehost/troupe/actors/run"

// shares of started runs, by priority, in a window of their sum: 12.
var shares = [run.Critical + 1]int{run.Background: 1, run.Normal: 2, run.High: 3, run.Critical: 6}

// turns chooses the class that starts next: smooth weighted round robin over the classes that have a backlog. Each choice
// adds its share to every class with a backlog and takes their sum from the chosen one, so that over any window each
// stays within one of its share, whatever subset has a backlog. A class without a backlog starts from zero: it can
// neither save up turns nor owe any.
type turns struct {
	credit [run.Critical + 1]int
}

// next returns the class to start, 0 if none can. A class whose runs all wait for a busy worker keeps its credit, and
// gains none while others take its turn.
func (t *turns) next(backlog, ready func(run.Priority) bool) run.Priority {
	var best run.Priority
	sum := 0
	for p := run.Critical; p >= run.Background; p-- {
		if !backlog(p) {
			t.credit[p] = 0
			continue
		}
		if !ready(p) {
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
// first in first out.
type lanes struct {
	n       int
	tenants ring[string, *ring[Binding, *fifo]]
}

type fifo struct{ items []*item }

// ring is a map whose keys take turns.
type ring[K comparable, V any] struct {
	order []K
	at    int
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
		// A newcomer stands behind everybody else: just before the one whose turn it is.
		r.order = append(r.order, k)
		copy(r.order[r.at+1:], r.order[r.at:])
		r.order[r.at] = k
		r.at = (r.at + 1) % len(r.order)
	}
	return v
}

func (r *ring[K, V]) remove(k K) {
	delete(r.items, k)
	for i, o := range r.order {
		if o == k {
			r.order = append(r.order[:i:i], r.order[i+1:]...)
			if i < r.at {
				r.at--
			}
			break
		}
	}
	if r.at >= len(r.order) {
		r.at = 0
	}
}

func (r *ring[K, V]) advance(k K) {
	for i, o := range r.order {
		if o == k {
			r.at = (i + 1) % len(r.order)
		}
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

// next returns the run whose turn it is among those that ok allows, without removing it.
func (l *lanes) next(ok func(*item) bool) *item {
	for n := range l.tenants.order {
		b := l.tenants.items[l.tenants.order[(l.tenants.at+n)%len(l.tenants.order)]]
		for k := range b.order {
			f := b.items[b.order[(b.at+k)%len(b.order)]]
			if i := f.items[0]; ok(i) {
				return i
			}
		}
	}
	return nil
}

// start removes a run and passes the turn on.
func (l *lanes) start(i *item) {
	l.tenants.advance(i.Binding.Tenant)
	l.bindings(i.Binding.Tenant).advance(i.Binding)
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
