package turns

import "time"

// Bounds of what is charged, and of what is remembered.
const (
	MaxWeight     = 10_000
	DefaultWeight = 100
	MaxHold       = 100 * time.Millisecond // that a turn is kept while others wait
	MinCharge     = 100_000                // gas that a turn costs at least, about 1 µs
	MaxRemembered = 4096                   // apps without a run, for what they owe

	maxCharge = 1 << 40 // gas that a turn costs at most, about 11 s
	credit    = 2 << 30 // gas that who used less than its share may have before others, about 20 ms
	firstBet  = 1 << 20 // gas that a slice is taken for before one was seen
)

type state uint8

// The states of an entry.
const (
	loose   state = 1 + iota // computes without a turn: its first slice, or it kept its turn too long
	paused                   // waits for something else
	waiting                  // wants a turn
	running                  // has one
	gone
)

// entry is one run.
type entry struct {
	share   *share
	turn    *Turn // for the shell
	state   state
	gas     int64     // used, as it said last
	slice   uint64    // gas of its last one
	advance uint64    // that the clock of its share went on already for the slice under way
	since   time.Time // it has its turn
	held    int       // index in core.held, while running
}

// share is one app of one class.
type share struct {
	class  *class
	weight uint64
	clock  uint64   // may wrap: compare with before
	runs   int      // that have joined
	awake  int      // of them, not paused
	line   []*entry // waiting, longest first
	at     int      // index in class.heap, while there is a line
	seq    uint64   // of when its line began: breaks ties
}

// class is the shares that compete with each other.
type class struct {
	shares map[string]*share
	floor  uint64   // where newcomers begin; may wrap
	weight uint64   // of shares with an entry that is not paused
	awake  int      // entries that are not paused
	heap   []*share // with a line, the clock furthest behind first
}

// core decides who has a turn. The time and the gas are parameters.
type core struct {
	cores     int
	held      []*entry // running
	ordinary  class
	idle      class
	seq       uint64
	granted   []*entry // who has a turn since the shell looked last
	remembers int      // shares in both classes
	sweepAt   int
}

func newCore(cores int) *core {
	c := &core{cores: max(1, cores), sweepAt: MaxRemembered}
	c.ordinary.shares, c.idle.shares = map[string]*share{}, map[string]*share{}
	return c
}

func before(a, b uint64) bool { return int64(a-b) < 0 }

// join adds a run, which computes its first slice.
func (c *core) join(app string, weight uint32, idle bool) *entry {
	cl := &c.ordinary
	if idle {
		cl = &c.idle
	}
	if weight == 0 {
		weight = DefaultWeight
	}
	w := uint64(min(weight, MaxWeight))
	s := cl.shares[app]
	if s == nil {
		if c.remembers >= c.sweepAt {
			c.sweep()
		}
		s = &share{class: cl, weight: w, clock: cl.floor}
		cl.shares[app] = s
		c.remembers++
	}
	if s.awake > 0 {
		cl.weight += w - s.weight
	}
	s.weight = w
	s.runs++
	s.rouse()
	return &entry{share: s, state: loose, slice: firstBet}
}

// sweep forgets apps that have no run. What they owe is seldom more than a slice.
func (c *core) sweep() {
	c.remembers = 0
	for _, cl := range []*class{&c.ordinary, &c.idle} {
		for k, s := range cl.shares {
			if s.runs == 0 {
				delete(cl.shares, k)
			}
		}
		c.remembers += len(cl.shares)
	}
	c.sweepAt = c.remembers + MaxRemembered
}

// next ends the slice of a run and asks for another one.
func (c *core) next(e *entry, gas int64, now time.Time) {
	if e.state == gone || e.state == waiting {
		return
	}
	charged := c.settle(e, gas, MinCharge)
	e.slice = max(charged, MinCharge)
	c.resume(e, now)
}

// resume asks for a turn.
func (c *core) resume(e *entry, now time.Time) {
	switch e.state {
	case gone, waiting:
		return
	case running:
		c.release(e)
	case paused:
		e.share.rouse()
	}
	c.wait(e)
	c.dispatch(now)
}

// spent takes note of what a run used.
func (c *core) spent(e *entry, gas int64) {
	if e.state != gone {
		c.settle(e, gas, 0)
	}
}

// pause has a run give its turn back, or its place among those that wait.
func (c *core) pause(e *entry, now time.Time) {
	if e.state == gone || e.state == paused {
		return
	}
	c.withdraw(e)
	e.state = paused
	e.share.rest()
	c.dispatch(now)
}

// leave ends a run.
func (c *core) leave(e *entry, now time.Time) {
	if e.state == gone {
		return
	}
	c.withdraw(e)
	if e.state != paused {
		e.share.rest()
	}
	e.state = gone
	e.share.runs--
	c.dispatch(now)
}

// lapse takes the turns back that were kept too long.
func (c *core) lapse(now time.Time) {
	for i := len(c.held) - 1; i >= 0; i-- {
		if e := c.held[i]; now.Sub(e.since) >= MaxHold {
			c.release(e)
			e.state = loose
		}
	}
	c.dispatch(now)
}

// starved reports whether someone waits for those that have turns.
func (c *core) starved() bool {
	return len(c.ordinary.heap) > 0 || len(c.idle.heap) > 0 && c.ordinary.awake == 0
}

// settle charges what a run used since it said so last, in place of what was charged in advance.
func (c *core) settle(e *entry, gas int64, least uint64) uint64 {
	s := e.share
	used := uint64(min(max(gas-e.gas, 0), maxCharge))
	e.gas = max(e.gas, gas)
	used = max(used, least)
	s.clock += used/s.weight - e.advance
	e.advance = 0
	if w := s.class.weight; w > 0 {
		s.class.floor += used / w
	}
	s.class.moved(s)
	return used
}

// wait puts a run into the line of its app.
func (c *core) wait(e *entry) {
	s, cl := e.share, e.share.class
	if low := cl.floor - credit/s.weight; before(s.clock, low) {
		s.clock = low
		cl.moved(s)
	}
	e.state = waiting
	s.line = append(s.line, e)
	if len(s.line) == 1 {
		c.seq++
		s.seq = c.seq
		cl.push(s)
	}
}

// withdraw takes from a run what it has: its turn, or its place in the line.
func (c *core) withdraw(e *entry) {
	switch e.state {
	case running:
		e.share.clock -= e.advance // what it used of this slice is charged when it says so
		e.advance = 0
		e.share.class.moved(e.share)
		c.release(e)
	case waiting:
		s := e.share
		for i, o := range s.line {
			if o == e {
				s.line = append(s.line[:i], s.line[i+1:]...)
				break
			}
		}
		if len(s.line) == 0 {
			s.class.remove(s)
		}
	}
}

// release takes a turn from a run.
func (c *core) release(e *entry) {
	last := len(c.held) - 1
	c.held[e.held] = c.held[last]
	c.held[e.held].held = e.held
	c.held[last] = nil
	c.held = c.held[:last]
}

// rouse says that one more run of an app is not paused.
func (s *share) rouse() {
	if s.awake == 0 {
		s.class.weight += s.weight
	}
	s.awake++
	s.class.awake++
}

// rest undoes rouse.
func (s *share) rest() {
	s.awake--
	s.class.awake--
	if s.awake == 0 {
		s.class.weight -= s.weight
	}
}

// oust takes a turn from a run of the idle class, if one has any: it computes to the end of its slice, beside who is next.
func (c *core) oust() bool {
	for _, e := range c.held {
		if e.share.class == &c.idle {
			c.release(e)
			e.state = loose
			return true
		}
	}
	return false
}

// dispatch gives turns while there are any.
func (c *core) dispatch(now time.Time) {
	for len(c.held) < c.cores || len(c.ordinary.heap) > 0 && c.oust() {
		cl := &c.ordinary
		if len(cl.heap) == 0 {
			if cl.awake > 0 {
				return
			}
			if cl = &c.idle; len(cl.heap) == 0 {
				return
			}
		}
		s := cl.heap[0]
		e := s.line[0]
		copy(s.line, s.line[1:])
		s.line[len(s.line)-1] = nil
		s.line = s.line[:len(s.line)-1]
		if before(cl.floor, s.clock) {
			cl.floor = s.clock
		}
		e.advance = e.slice / s.weight
		s.clock += e.advance
		if len(s.line) == 0 {
			cl.remove(s)
		} else {
			cl.moved(s)
		}
		e.state, e.since, e.held = running, now, len(c.held)
		c.held = append(c.held, e)
		c.granted = append(c.granted, e)
	}
}
