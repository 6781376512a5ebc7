package watch

import (
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
	ticks uint64             // the first has totals only
	at    [slots + 1]int64   // when the newest ticks were, in nanoseconds
	names map[string]*series // by name
}

// counts are what one name accepted, handled and refused.
type counts [3]uint64

// series is what is known of one name.
type series struct {
	tick  uint64 // when it was seen last
	last  counts
	moved uint64 // the tick of the last change
	ring  *[slots][3]uint32
	sum   [2]counts // over 10 and 60 ticks
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
	if s.seen == own { // else the last one who looked has left
		own.tick(time.Now(), s.totals)
	}
}

func (v *seen) tick(now time.Time, totals Totals) {
	v.ticks++
	v.at[v.ticks%uint64(len(v.at))] = now.UnixNano()
	found := 0
	totals(func(name string, accepted, handled, refused uint64) {
		found++
		v.one(name, counts{accepted, handled, refused})
	})
	if found < len(v.names) {
		for name, n := range v.names {
			if n.tick != v.ticks {
				delete(v.names, name)
			}
		}
	}
}

func (v *seen) one(name string, now counts) {
	n := v.names[name]
	if n == nil {
		n = &series{}
		if v.ticks == 1 {
			n.last = now // what was before is not ours
		}
		v.names[name] = n
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

// rates returns the rates of a name, nil if there are none yet.
func (v *seen) rates(n *series) *inspect.Rates {
	if v.ticks < 2 {
		return nil
	}
	r := &inspect.Rates{}
	if n == nil || n.ring == nil {
		return r
	}
	last := v.at[v.ticks%uint64(len(v.at))]
	per := func(ticks uint64) float64 {
		ticks = min(ticks, v.ticks-1)
		took := last - v.at[(v.ticks-ticks)%uint64(len(v.at))]
		return float64(time.Second) / float64(max(took, 1))
	}
	s1, s10, s60 := per(1), per(windows[0]), per(windows[1])
	newest := n.ring[v.ticks%slots]
	for i, to := range []*inspect.Windows{&r.Accepted, &r.Handled, &r.Refused} {
		*to = inspect.Windows{S1: float64(newest[i]) * s1, S10: float64(n.sum[0][i]) * s10, S60: float64(n.sum[1][i]) * s60}
	}
	return r
}

// Fill sets the rates of actors. While nobody looks, and in the first second, it sets none.
func (s *Sampler) Fill(actors []inspect.Actor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return
	}
	for i := range actors {
		actors[i].Rates = s.seen.rates(s.seen.names[actors[i].Path])
	}
}
