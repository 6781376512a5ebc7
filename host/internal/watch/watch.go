package watch

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

const (
	every = time.Second
	slots = 60 // the longest window, in ticks
)

// Totals calls use for each name with its totals.
type Totals func(use func(name string, accepted, handled, refused uint64))

// Sampler makes rates of totals.
type Sampler struct {
	totals Totals

	mu      sync.Mutex
	lookers int
	closed  bool
	stop    chan struct{} // of the goroutine of now; nil: there is none
	running sync.WaitGroup
	seen    *seen // nil: nobody looks
}

// seen is what was gathered since the first one began to look.
type seen struct {
	ticks  uint64             // the first has totals only
	at     [slots + 1]int64   // when the newest ticks were, in nanoseconds
	looked bool               // somebody has looked since the newest tick, or that was a look
	names  map[string]*series // by name
	places []place            // of the last look: most names are in the same places in the next one
}

// place is a name in a look.
type place struct {
	name string
	of   *series
}

// counts are what one name accepted, handled and refused.
type counts [3]uint64

// series is what is known of one name.
type series struct {
	tick  uint64 // when it was seen last
	gone  bool   // and forgotten
	last  counts
	moved uint64 // the tick of the last change
	ring  *[slots][3]uint32
	sum   [2]counts      // over 10 and 60 ticks
	shown *inspect.Rates // at the last look; nil: none
}

var windows = [2]uint64{10, slots}

// New returns a sampler that does nothing yet.
func New(totals Totals) *Sampler { return &Sampler{totals: totals} }

// Watch has rates made until done is called, which may be called more than once.
func (s *Sampler) Watch() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lookers++; s.lookers == 1 && !s.closed {
		s.seen, s.stop = &seen{names: map[string]*series{}}, make(chan struct{})
		stop, now := s.stop, s.seen
		s.running.Go(func() { s.run(stop, now) })
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lookers--; s.lookers == 0 {
			s.endLocked()
		}
	})
}

func (s *Sampler) endLocked() {
	if s.stop != nil {
		close(s.stop)
		s.stop, s.seen = nil, nil
	}
}

// Close ends what goes on. Nothing begins again.
func (s *Sampler) Close() {
	s.mu.Lock()
	s.closed = true
	s.endLocked()
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Sampler) run(stop chan struct{}, own *seen) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		s.tick(own)
		select {
		case <-t.C:
		case <-stop:
			return
		}
	}
}

// tick reads all totals.
func (s *Sampler) tick(own *seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.seen == own && own.due(now, false) { // else the last one who looked has left, or looks tick
		own.tick(now, s.totals)
	}
}

// due reports whether it is time for a tick. While somebody looks each second, looks are the ticks: they have the totals anyway, and
// reading those of all actors a second time would cost as much as the look.
func (v *seen) due(now time.Time, look bool) bool {
	since := time.Duration(now.UnixNano() - v.at[v.ticks%uint64(len(v.at))])
	switch {
	case v.ticks == 0:
		return true
	case look:
		return since >= every*9/10
	case v.looked:
		return since >= every*3/2
	}
	return since >= every/2
}

func (v *seen) tick(now time.Time, totals Totals) {
	v.begin(now)
	found := 0
	totals(func(name string, accepted, handled, refused uint64) {
		found++
		v.one(v.of(name), counts{accepted, handled, refused})
	})
	v.end(found)
}

func (v *seen) begin(now time.Time) {
	v.ticks++
	v.looked = false
	v.at[v.ticks%uint64(len(v.at))] = now.UnixNano()
}

// end forgets the names that were not found.
func (v *seen) end(found int) {
	if found < len(v.names) {
		for name, n := range v.names {
			if n.tick != v.ticks {
				n.gone = true
				delete(v.names, name)
			}
		}
	}
}

// of returns the series of a name, a new one if there is none.
func (v *seen) of(name string) *series {
	n := v.names[name]
	if n == nil {
		n = &series{}
		v.names[name] = n
	}
	return n
}

func (v *seen) one(n *series, now counts) {
	if n.tick == 0 && v.ticks == 1 {
		n.last = now // what was before is not ours
	}
	n.tick = v.ticks
	var delta counts
	if now != n.last {
		for i := range now {
			if delta[i] = now[i]; now[i] >= n.last[i] {
				delta[i] -= n.last[i]
			}
		}
		n.last, n.moved = now, v.ticks
	}
	if n.ring == nil {
		if delta == (counts{}) {
			return
		}
		n.ring = &[slots][3]uint32{}
	} else if v.ticks-n.moved >= slots {
		n.ring, n.sum = nil, [2]counts{} // all windows are empty
		return
	}
	slot := &n.ring[v.ticks%slots]
	for w, size := range windows {
		gone := n.ring[(v.ticks+slots-size)%slots] // of slots itself: what slot still has
		for i := range delta {
			n.sum[w][i] += uint64(clamp(delta[i])) - uint64(gone[i])
		}
	}
	for i := range delta {
		slot[i] = clamp(delta[i])
	}
}

func clamp(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// idle are the rates of all who did nothing for a minute.
var idle = &inspect.Rates{}

// per is by what counts over so many ticks are multiplied to make them rates.
func (v *seen) per(ticks uint64) float64 {
	ticks = min(ticks, v.ticks-1)
	took := v.at[v.ticks%uint64(len(v.at))] - v.at[(v.ticks-ticks)%uint64(len(v.at))]
	return float64(time.Second) / float64(max(took, 1))
}

// rates returns the rates of a name. They are those that it has shown last if they are the same.
func (v *seen) rates(n *series, s1, s10, s60 float64) *inspect.Rates {
	if n == nil || n.ring == nil {
		return idle
	}
	var r inspect.Rates
	newest := n.ring[v.ticks%slots]
	for i, to := range [...]*inspect.Windows{&r.Accepted, &r.Handled, &r.Refused} {
		*to = inspect.Windows{S1: rounded(float64(newest[i]) * s1), S10: rounded(float64(n.sum[0][i]) * s10), S60: rounded(float64(n.sum[1][i]) * s60)}
	}
	if n.shown == nil || *n.shown != r {
		n.shown = new(r)
	}
	return n.shown
}

// rounded is a rate to three digits at least, and to three places: ticks are not exactly a second apart, and what goes on as before is
// to be shown as before.
func rounded(rate float64) float64 {
	if rate >= 100 {
		return math.Round(rate)
	}
	return math.Round(rate*1000) / 1000
}

// Look sets the rates of actors, which are all there are: it is a tick too, if it is time for one. While nobody looks, and in the first
// second, it sets none. Rates are shared, and not to be changed.
func (s *Sampler) Look(actors []inspect.Actor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.seen
	if v == nil {
		return
	}
	now := time.Now()
	tick := v.due(now, true)
	if tick {
		v.begin(now)
	}
	v.looked = true
	if v.fill(actors, tick); tick {
		v.end(len(actors))
	}
}

func (v *seen) fill(actors []inspect.Actor, tick bool) {
	if v.ticks == 0 {
		return
	}
	s1, s10, s60 := v.per(1), v.per(windows[0]), v.per(windows[1])
	if len(v.places) > len(actors) {
		clear(v.places[len(actors):])
	}
	v.places = slices.Grow(v.places[:0], len(actors))[:len(actors)]
	for i := range actors {
		a, p := &actors[i], &v.places[i]
		if p.of == nil || p.of.gone || p.name != a.Path {
			*p = place{a.Path, v.names[a.Path]}
		}
		if tick {
			if p.of == nil {
				p.of = v.of(a.Path)
			}
			v.one(p.of, counts{a.Accepted, a.Handled, a.Refused})
		}
		if v.ticks > 1 {
			a.Rates = v.rates(p.of, s1, s10, s60)
		}
	}
}
