package chain

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// Limits are the settings of the core. Zero fields mean 20,000, 10,000, 256 MiB, 100,000, 4096, 512, 16, 5 min and 10 s.
type Limits struct {
	Queue    int           // calls on their way
	Reserve  int           // of these, for reports and what is urgent
	Bytes    int64         // of the calls on their way; half of them for reports and what is urgent
	History  int           // calls that are kept when they are finished, the oldest go first
	Waiters  int           // for outcomes
	Window   int           // signed calls of an account that are in no block yet
	Parallel int           // submissions at a time
	Valid    time.Duration // about how long a transaction may come into a block
	Poll     time.Duration // between two looks whether the chain is there
}

// Times and bounds of the core.
const (
	maxStep     = time.Minute // more than this does not pass between two messages: the clock jumped, or the machine slept
	minDelay    = 200 * time.Millisecond
	maxDelay    = 30 * time.Second // after the chain did not answer
	maxResubmit = time.Minute
	maxResign   = 10 * time.Minute // after the chain called a call invalid
	otherDelay  = 30 * time.Second // after it was another chain
	diskDelay   = time.Second
	patience    = 30 * time.Second // without a block that the chain has
	minValid    = 64               // blocks
	maxValid    = 4096
	maxSigning  = 16
	maxRefusals = 5 // transactions of a call that are invalid, unless it is a report
	maxRecent   = 1 << 16
	keepFinal   = 64 // final blocks that are recognised when they come again
	markBlocks  = 64 // a mark is saved after so many blocks, if nothing else happened
	maxPage     = 100
	maxEarly    = 4096 // messages that wait for the store
)

// phase is where an entry stands, in more detail than its progress.
type phase uint8

const (
	adding     phase = 1 + iota // its first write is under way
	waiting                     // has no transaction
	signing                     // one is being made
	saving                      // and written
	ready                       // to be submitted
	submitting                  // is being submitted
	taken                       // the chain has taken it
	included                    // is in a block that may be undone
	doubtful                    // will probably never be in a block, and may be all the same
	again                       // it failed, is to be sent again, and that is being written
	ending                      // has ended, and that is being written
	gone
)

var phaseNames = [...]string{"-", "adding", "waiting", "signing", "saving", "ready", "submitting", "submitted", "included", "doubtful", "again", "ending", "-"}

func (p phase) String() string { return phaseNames[p] }

// flying says whether an entry has a nonce and is in no block.
func (p phase) flying() bool { return p >= signing && p <= taken }

// entry is one call on its way.
type entry struct {
	Record
	phase    phase
	stamp    uint64 // counts the phases: what stands in a queue with another one is void
	since    time.Time
	writing  bool
	failed   bool // the last write failed
	raced    bool // signing, saving: somebody else used the nonce
	invalid  bool // the chain calls the transaction invalid
	refusals int  // transactions that were
	tries    int  // submissions of this transaction, or more
	delays   int  // in a row
	due      time.Duration
	last     string // error
	tx       []byte // saving
	lane     *lane
	asks     []kernel.Reply[inspect.Outgoing]
	waits    []waiter
}

type waiter struct {
	id uint64
	to kernel.Reply[Outcome]
}

// State is the pure core of the chain actor.
type State struct {
	limits  Limits
	seed    uint64
	loading bool
	reload  bool // at the next tick
	early   []Message

	entries map[uint64]*entry
	keys    map[string]*entry
	hashes  map[Hash]*entry // transactions that may be in a block
	order   []*entry        // by number; those that are gone stay until there are many
	left    int             // gone, in order
	next    uint64          // number
	bytes   int64
	lanes   map[Hash]*lane
	senders []*lane // in the order of Config.Signers, then as they came
	timers  queue[time.Duration]
	broken  []*entry // whose last write failed
	block   []*entry // included, in the order of blocks
	submits int
	pause   time.Duration // no submission before
	level   int           // failed submissions in a row
	waiters int
	trim    int // finished since the last Trim
	trimOff bool

	chain

	last    time.Time // of the last message
	clock   time.Duration
	wake    time.Duration // when the next tick comes; 0: none does
	paused  bool          // an operator wants nothing sent
	stuck   fault.Code
	disk    *fault.Error // why something could not be written
	err     string
	errAt   time.Time
	counted inspect.Chain // the totals
}

// NewState returns a core that waits for its store. The first of the senders signs what names none. The seed spreads what is tried
// again.
func NewState(l Limits, senders []Hash, seed uint64) *State {
	l.Queue = cmp.Or(l.Queue, 20_000)
	l.Reserve = min(cmp.Or(l.Reserve, 10_000), l.Queue)
	l.Bytes = cmp.Or(l.Bytes, 256<<20)
	l.History = cmp.Or(l.History, 100_000)
	l.Waiters = cmp.Or(l.Waiters, 4096)
	l.Window = cmp.Or(l.Window, 512)
	l.Parallel = cmp.Or(l.Parallel, 16)
	l.Valid = cmp.Or(l.Valid, 5*time.Minute)
	l.Poll = cmp.Or(l.Poll, 10*time.Second)
	s := &State{limits: l, seed: seed, loading: true, next: 1, entries: map[uint64]*entry{}, keys: map[string]*entry{},
		hashes: map[Hash]*entry{}, lanes: map[Hash]*lane{}, chain: chain{link: down}}
	for _, a := range senders {
		s.laneOf(a).able = true
	}
	return s
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	if !s.last.IsZero() {
		s.clock += min(max(now.Sub(s.last), 0), maxStep)
	}
	s.last = now
	var out []Effect
	if m, ok := in.(loaded); ok {
		out = s.loaded(now, m)
	} else {
		out = s.step(now, in)
	}
	if !s.loading {
		out = append(out, s.dial(now)...)
		out = append(out, s.send(now)...)
		out = append(out, s.saveMark()...)
		if s.trim > s.limits.History/64+64 && !s.trimOff {
			s.trim, s.trimOff = 0, true
			out = append(out, Trim{Keep: s.limits.History})
		}
	}
	out = append(out, s.tell()...)
	return append(out, s.alarm()...)
}

func (s *State) step(now time.Time, in Message) []Effect {
	if m, ok := in.(Pause); ok { // also while the store is read: nothing may be sent before it is known
		s.paused = m.On
		return []Effect{Paused{m.Reply}}
	}
	if s.loading {
		switch m := in.(type) {
		case tick:
			s.rang(m)
			if s.reload {
				s.reload = false
				return []Effect{Load{}}
			}
			return nil
		case Status:
			return []Effect{Stated{To: m.Reply, Chain: s.status(now)}}
		}
		if len(s.early) >= maxEarly {
			return []Effect{Refuse{Message: in, Err: full("load")}}
		}
		s.early = append(s.early, in)
		return nil
	}
	switch m := in.(type) {
	case Send:
		return s.accept(now, m)
	case Wait:
		return s.wait(m)
	case Unwait:
		return s.unwait(m)
	case Show:
		if e := s.visible(m.Key); e != nil {
			return []Effect{Shown{To: m.Reply, Call: s.show(e)}}
		}
		return []Effect{Find{Ask: m, Key: m.Key}}
	case List:
		if m.Limit = min(max(m.Limit, 1), maxPage); m.History {
			return []Effect{Turn{m}}
		}
		return []Effect{Listed{To: m.Reply, Page: s.list(m)}}
	case Status:
		return []Effect{Stated{To: m.Reply, Chain: s.status(now)}}
	case Adopt:
		return s.adopt(now, m)
	case added:
		return s.added(now, m)
	case wrote:
		return s.wrote(now, m)
	case marked:
		return s.marked(now, m)
	case found:
		return s.found(now, m)
	case signed:
		return s.signed(now, m)
	case submitted:
		return s.submitted(now, m)
	case dialed:
		return s.dialed(now, m)
	case nonce:
		return s.nonce(now, m)
	case read:
		return s.read(now, m)
	case lost:
		return s.lost(now, m)
	case trimmed:
		if s.trimOff = false; m.err != nil {
			s.note(now, m.err)
		}
	case tick:
		s.rang(m)
		return s.tick(now)
	}
	return nil
}

func (s *State) loaded(now time.Time, m loaded) []Effect {
	if !s.loading {
		return nil
	}
	early := s.early
	s.early = nil
	if m.err != nil {
		var out []Effect
		for _, e := range early {
			out = append(out, Refuse{Message: e, Err: m.err})
		}
		s.disk, s.reload = fault.From(m.err), true
		s.note(now, m.err)
		return out
	}
	s.loading, s.disk = false, nil
	s.next = max(m.saved.Next, 1)
	s.mark, s.marking = m.saved.Mark, false
	s.recent = []Cursor{s.mark.Cursor}
	s.final = s.mark.Cursor.Height
	for a, n := range s.mark.Nonces {
		s.laneOf(a).final = n
	}
	slices.SortFunc(m.saved.Records, func(a, b Record) int { return cmp.Compare(a.Number, b.Number) })
	for _, r := range m.saved.Records {
		s.load(now, r)
	}
	s.trim = s.limits.History // it may be too long
	var out []Effect
	for _, e := range early {
		out = append(out, s.step(now, e)...)
	}
	return out
}

func (s *State) accept(now time.Time, m Send) []Effect {
	fail := func(err error) []Effect { return []Effect{Shown{To: m.Reply, Err: err}} }
	if e := s.keys[m.Key]; e != nil {
		if e.phase == adding {
			if len(e.asks) > s.limits.Waiters {
				return fail(full("send"))
			}
			e.asks = append(e.asks, m.Reply)
			return nil
		}
		return []Effect{Shown{To: m.Reply, Call: s.show(e)}}
	}
	if m.Sender.IsZero() && len(s.senders) > 0 {
		m.Sender = s.senders[0].account
	}
	m.Class = cmp.Or(m.Class, Plain)
	bytes := len(m.Key) + len(m.Call.Args) + len(m.Call.Pallet) + len(m.Call.Name) + 512
	invalid := func(why string) []Effect {
		return fail(fault.New(fault.CallerInvalid, "send", fault.Quote(m.Key), errors.New(why)))
	}
	switch lane := s.lanes[m.Sender]; {
	case lane == nil || !lane.able:
		return invalid("there is no key here for the sender " + m.Sender.String())
	case m.Key == "" || len(m.Key) > MaxKey:
		return invalid("a key has 1 to 256 bytes")
	case len(m.Call.Args) > MaxArgs || len(m.Call.Pallet)+len(m.Call.Name) > MaxKey || len(m.Transient) > 16:
		return invalid("the call is too large")
	case !json.Valid(m.Call.Args):
		return invalid("the arguments are no JSON")
	case m.Class > Urgent:
		return invalid("there is no such class")
	}
	room, space := s.limits.Queue, s.limits.Bytes
	if m.Class == Plain {
		room, space = room-s.limits.Reserve, space/2
	}
	if len(s.entries) >= room || s.bytes+int64(bytes) > space {
		return fail(full("send"))
	}
	for n, t := range m.Transient {
		m.Transient[n] = clip(t)
	}
	e := s.enter(Record{Number: s.next, Key: m.Key, Sender: m.Sender, Class: m.Class, Name: m.Call.Pallet + "." + m.Call.Name, Bytes: bytes,
		Accepted: now.Round(0).UTC(), Until: m.Until, Transient: m.Transient, Retries: cmp.Or(m.Retries, 10), Progress: Waiting})
	s.next++
	s.move(now, e, adding)
	e.asks = append(e.asks, m.Reply)
	return []Effect{Add{Record: e.Record, Call: m.Call}}
}

func full(op string) error {
	return fault.New(fault.BusyQueueFull, op, "chain", nil).WithRetryAfter(10 * time.Second)
}

// clip bounds a text that stays in memory.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		return fault.Quote(s)
	}
	return s
}

func (s *State) added(now time.Time, m added) []Effect {
	e := s.entries[m.number]
	if e == nil {
		return nil
	}
	asks := e.asks
	e.asks = nil
	answer := func(c inspect.Outgoing, err error) (out []Effect) {
		for _, to := range asks {
			out = append(out, Shown{To: to, Call: c, Err: err})
		}
		return out
	}
	switch {
	case m.err != nil:
		out := answer(inspect.Outgoing{}, m.err)
		for _, w := range e.waits {
			out = append(out, Ended{To: w.to, Err: m.err})
		}
		s.waiters -= len(e.waits)
		s.leave(now, e)
		s.note(now, m.err)
		return out
	case m.old == nil:
		s.move(now, e, waiting)
		e.lane.waiting.push(e.turn(), e)
		return answer(s.show(e), nil)
	}
	s.leave(now, e)
	out := answer(s.showRecord(now, *m.old), nil)
	if o := s.entries[m.old.Number]; o != nil {
		o.waits = append(o.waits, e.waits...)
		return out
	}
	for _, w := range e.waits {
		out = append(out, Ended{To: w.to, Outcome: m.old.outcome()})
	}
	s.waiters -= len(e.waits)
	return out
}

// write puts an entry on disk as it is now.
func (s *State) write(e *entry) []Effect {
	e.writing = true
	return []Effect{Write{Record: e.Record, Tx: e.tx, Finish: e.phase == ending}}
}

func (s *State) wrote(now time.Time, m wrote) []Effect {
	e := s.entries[m.number]
	if e == nil {
		return nil
	}
	e.writing = false
	if m.err != nil {
		s.disk = fault.From(m.err)
		s.note(now, m.err)
		if !e.failed {
			e.failed = true
			s.broken = append(s.broken, e)
		}
		return nil
	}
	s.disk = nil
	if e.failed {
		e.failed = false
		s.broken = slices.DeleteFunc(s.broken, func(o *entry) bool { return o == e })
	}
	switch e.phase {
	case waiting: // it was voided meanwhile
		e.lane.waiting.push(e.turn(), e)
	case saving:
		e.tx = nil
		if e.raced { // it never left
			s.resign(now, e, 0)
			return nil
		}
		s.hashes[e.Hash] = e
		e.lane.live = append(e.lane.live, e)
		s.move(now, e, ready)
		e.lane.ready.push(e.Nonce, e)
	case again:
		s.settled(e)
		s.move(now, e, waiting)
		s.delay(e, s.backoff(&e.delays, minDelay, maxDelay))
	case ending:
		s.settled(e)
		return s.finished(now, e)
	}
	return nil
}

// finished is the moment at which everybody may know how a call ended.
func (s *State) finished(now time.Time, e *entry) []Effect {
	s.counted.Finished++
	switch e.Progress {
	case Failed:
		s.counted.Failed++
	case Dropped:
		s.counted.Dropped++
	}
	var out []Effect
	for _, w := range e.waits {
		out = append(out, Ended{To: w.to, Outcome: e.outcome()})
	}
	s.waiters -= len(e.waits)
	e.waits = nil
	s.leave(now, e)
	s.trim++
	return out
}

// tick does what time brings.
func (s *State) tick(now time.Time) []Effect {
	var out []Effect
	for i, ok := s.timers.first(); ok && i.key <= s.clock; i, ok = s.timers.first() {
		s.timers.pop()
		e := i.e
		switch e.phase {
		case waiting:
			e.due = 0
			e.lane.waiting.push(e.turn(), e)
		case taken:
			e.lane.fresh = false
			s.move(now, e, ready)
			e.lane.ready.push(e.Nonce, e)
		}
	}
	if s.clock >= s.diskAt {
		s.diskAt = s.clock + diskDelay
		for _, e := range s.broken[:min(len(s.broken), 64)] {
			if !e.writing {
				out = append(out, s.write(e)...)
			}
		}
	}
	return out
}

// delay has an entry tried again.
func (s *State) delay(e *entry, after time.Duration) {
	e.due = s.clock + after
	s.timers.push(e.due, e)
}

// backoff doubles, and takes up to a quarter off, so that what fell together rises apart.
func (s *State) backoff(level *int, least, most time.Duration) time.Duration {
	d := min(least<<min(*level, 16), most)
	*level = min(*level+1, 16)
	return d - time.Duration(s.random()%uint64(d/4+1))
}

func (s *State) random() uint64 {
	s.seed += 0x9e3779b97f4a7c15
	z := s.seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// note remembers an error for those who look.
func (s *State) note(now time.Time, err error) {
	s.err, s.errAt = fault.Quote(err.Error()), now.Round(0).UTC()
}
