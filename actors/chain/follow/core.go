package follow

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// phase is how far the follower is with its chain.
type phase uint8

const (
	starting  phase = iota // the store is read
	apart                  // no chain answers
	looking                // it is followed, and the picture is not whole
	following              // it is followed, and the picture is whole
	other                  // it is another chain
)

var phaseNames = [...]string{"starting", "lost", "reading", "following", "other_chain"}

// State is the follower.
type State struct {
	cfg Limits
	now time.Time
	out []Effect

	phase  phase
	reason string
	since  time.Time

	genesis chain.Hash
	head    chain.Cursor
	final   uint64
	newest  uint64 // the highest block that is known to be there
	base    uint64 // a fork from here or below has everything read again
	recent  []touched
	forks   uint64
	adopted chain.Hash // by an operator, in place of the one before

	run      uint64 // of Follow
	running  bool   // not lost yet
	meeting  bool
	meetAt   time.Time // when the chain is asked again; zero: not
	misses   int       // in a row
	loadAt   time.Time
	ready    bool // the store was read
	saved    chain.Cursor
	savedAt  time.Time
	saving   bool
	wakeAt   time.Time
	acts     map[uint64]*act
	lastAct  uint64
	actsApps int // under way that count
	actsVMs  int

	picture
	placing
	requests
}

// touched is what a block that is not final touched.
type touched struct {
	at    chain.Cursor
	reads []Read
	moved []chain.Hash // accounts that were not known to be those of tickets
}

// act is an action under way.
type act struct {
	app    *app
	vm     *vm
	action Action
	seq    uint64
}

// NewState returns a follower that knows nothing yet. It waits for what the store has.
func NewState(l Limits) *State {
	return &State{
		cfg: l.withDefaults(), acts: map[uint64]*act{},
		picture: picture{
			reads: map[Read]*question{}, tickets: map[uint64]*ticket{}, accounts: map[chain.Hash]uint64{}, lists: map[uint64]bool{},
			doubt: map[Read]bool{}, gone: map[uint64]uint64{}, moved: map[chain.Hash]uint64{},
		},
		placing:  placing{apps: map[manifest.Address]*app{}},
		requests: requests{vms: map[string]*vm{}},
	}
}

// Step handles a message.
func (s *State) Step(now time.Time, in Message) []Effect {
	s.now, s.out = now, nil
	if s.since.IsZero() {
		s.since = now
	}
	switch m := in.(type) {
	case loaded:
		s.loaded(m)
	case met:
		s.met(m)
	case seen:
		s.seen(m)
	case lost:
		s.lost(m)
	case answered:
		s.answered(m)
	case acted:
		s.acted(m)
	case stored:
		s.saving = false
		if m.err != nil {
			s.saved = chain.Cursor{} // again, later
		}
	case tick:
		if !s.wakeAt.After(now) {
			s.wakeAt = time.Time{}
		}
	case Claims:
		if len(m.Addresses) > 0 && !s.whole {
			s.emit(Claimed{To: m.Reply, Err: fault.New(fault.BusyChain, "claims", "tickets", nil).WithRetryAfter(time.Second)})
			return s.out
		}
		s.emit(Claimed{To: m.Reply, Claims: s.claims(m.Addresses)})
		return s.out
	case List:
		s.emit(Listed{m.Reply, s.list(m)})
		return s.out
	case Status:
		s.emit(Stated{m.Reply, s.status()})
		return s.out
	case Unpaid:
		if a := s.apps[m.Address]; a != nil {
			for _, t := range a.tickets {
				s.mark(Read{Kind: ReadTicket, ID: t.id})
			}
		}
	case Adopt:
		if s.adopted = m.Genesis; s.phase == other {
			s.meetAt = now
		}
	case Changed:
		s.listAt = now
		for _, a := range s.order {
			if a.early {
				a.early, a.next = false, now
			}
		}
	}
	s.work()
	return s.out
}

func (s *State) emit(e Effect) { s.out = append(s.out, e) }

// work begins all that can be done now.
func (s *State) work() {
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(s.now) }
	if due(s.loadAt) {
		s.loadAt = time.Time{}
		s.emit(Load{})
	}
	if due(s.meetAt) && !s.meeting && !s.running {
		s.meetAt, s.meeting = time.Time{}, true
		s.emit(Meet{})
	}
	if s.phase == looking || s.phase == following {
		s.ask()
	}
	s.place()
	if !s.cfg.NoRequests {
		s.serve()
	}
	s.saveCursor()
	s.arm()
}

// sure says whether what is not there any more is known to be gone for good, if it is final.
func (s *State) sure() bool { return s.phase == following && !s.sweeping && len(s.doubt) == 0 }

// to changes the phase.
func (s *State) to(p phase, reason string) {
	if s.phase != p {
		s.phase, s.since = p, s.now
	}
	s.reason = reason
}

func (s *State) loaded(m loaded) {
	if m.err != nil {
		s.to(starting, words(m.err))
		s.loadAt = s.now.Add(s.cfg.RetryMin)
		return
	}
	if s.ready {
		return
	}
	s.ready = true
	s.genesis, s.saved = m.saved.Genesis, m.saved.Cursor
	for _, p := range m.saved.Placed {
		v := s.vmOf(p.Request)
		v.kept, v.hasKept = p, true
	}
	s.to(apart, "it asks the chain who it is")
	s.meetAt = s.now
	s.listAt = s.now
}

// met is the beginning of following, and of following again.
func (s *State) met(m met) {
	s.meeting = false
	if m.err != nil {
		s.miss(m.err)
		return
	}
	s.misses = 0
	s.newest = m.info.Head.Height
	switch {
	case s.genesis == m.info.Genesis:
	case s.genesis.IsZero(), s.cfg.AnyGenesis, s.adopted == m.info.Genesis:
		s.genesis, s.saved = m.info.Genesis, chain.Cursor{}
		s.forgetPicture()
		s.head, s.base = chain.Cursor{}, 0
	default:
		s.to(other, fault.Quote("it is another chain than before: "+m.info.Genesis.String()))
		s.meetAt = s.now.Add(maxChainWait) // the one of before may come back
		return
	}
	if s.head == (chain.Cursor{}) {
		s.head, s.final, s.base = m.info.Finalized, m.info.Finalized.Height, m.info.Finalized.Height
		s.sweep()
	}
	s.run++
	s.running = true
	s.to(looking, "it reads what the chain demands")
	s.checkWhole()
	s.emit(Follow{Run: s.run, After: s.head})
}

// miss has the chain asked again.
func (s *State) miss(err error) {
	s.to(apart, words(err))
	s.meetAt = s.now.Add(backoff(s.misses, chainRetry, maxChainWait))
	s.misses++
}

func (s *State) lost(m lost) {
	if m.run != s.run || !s.running {
		return
	}
	s.running = false
	if fault.CodeOf(m.err) == fault.HostChainOther {
		// Where it stood is on no fork that the chain knows: who it is decides.
		s.head = chain.Cursor{}
	}
	s.miss(m.err)
}

// seen takes a block in.
func (s *State) seen(m seen) {
	s.emit(Taken{m.reply})
	if m.run != s.run || !s.running {
		return
	}
	b := &m.block
	if b.Height <= s.head.Height && s.head != (chain.Cursor{}) {
		s.undo(b)
	}
	s.misses = 0
	s.head = b.Cursor
	s.newest = max(s.newest, b.Height)
	s.final = max(s.final, b.Finalized)
	reads, undone := s.hints(b)
	for _, r := range reads {
		s.mark(r)
	}
	s.recent = append(s.recent, touched{b.Cursor, append(reads, undone...), s.unknown})
	for len(s.recent) > 1 && (s.recent[1].at.Height <= s.final || len(s.recent) > maxRecent) {
		if s.recent[0].at.Height > s.final {
			s.base = s.recent[0].at.Height
		}
		s.recent = s.recent[1:]
	}
}

// undo has read again what blocks touched that are no more. Until that is done nothing is removed: that nobody paid may have been
// undone with them.
func (s *State) undo(b *chain.Block) {
	height := b.Height
	s.forks++
	s.doubting = true
	defer func() { s.doubting = false }()
	if height <= s.base {
		s.base = 0
		s.sweep()
	}
	for _, a := range s.apps {
		if a.unwanted >= height {
			a.unwanted = s.newest
		}
	}
	for _, v := range s.vmOrder {
		if v.absent >= height {
			v.absent = s.newest
		}
	}
	s.recent = slices.DeleteFunc(s.recent, func(t touched) bool {
		if t.at.Height < height {
			return false
		}
		for _, r := range t.reads {
			s.mark(r)
			if r.Kind == ReadWorker {
				s.sweep() // which tickets were read at all hung on it
			}
		}
		for _, account := range t.moved {
			if id, ok := s.accounts[account]; ok {
				s.mark(Read{Kind: ReadTicket, ID: id})
			} else if len(s.reads) > 0 {
				s.moved[account] = s.readSeq
			}
		}
		return true
	})
}

// saveCursor keeps now and then how far the chain is final, which is where the next life begins to look.
func (s *State) saveCursor() {
	if s.saving || s.phase != following || s.now.Sub(s.savedAt) < saveEvery {
		return
	}
	var at chain.Cursor
	for _, t := range s.recent {
		if t.at.Height <= s.final {
			at = t.at
		}
	}
	if at == (chain.Cursor{}) || at == s.saved {
		return
	}
	s.saving, s.saved, s.savedAt = true, at, s.now
	s.emit(SaveCursor{Genesis: s.genesis, At: at})
}

// start begins an action.
func (s *State) start(a act) uint64 {
	s.lastAct++
	a.seq = s.lastAct
	s.acts[a.seq] = &a
	if counts(a.action) {
		if a.vm != nil {
			s.actsVMs++
		} else {
			s.actsApps++
		}
	}
	s.emit(Act{ID: a.seq, Action: a.action})
	return a.seq
}

// counts says that only some actions of a kind may be under way. One that waits for the chain would keep all others from it.
func counts(a Action) bool {
	switch a.(type) {
	case Settle, Submit, ListApps:
		return false
	}
	return true
}

func (s *State) acted(m acted) {
	a := s.acts[m.id]
	if a == nil {
		return
	}
	delete(s.acts, m.id)
	if counts(a.action) {
		if a.vm != nil {
			s.actsVMs--
		} else {
			s.actsApps--
		}
	}
	switch {
	case a.vm != nil:
		s.vmActed(a, m)
	case a.app != nil:
		s.appActed(a, m)
	default:
		s.appsListed(a, m)
	}
}

// arm has a tick sent when something is due next.
func (s *State) arm() {
	var next time.Time
	at := func(t time.Time) {
		// What was due and is not done waits for something else.
		if t.After(s.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	at(s.loadAt)
	if !s.running && !s.meeting {
		at(s.meetAt)
	}
	if len(s.queue) > 0 && s.flying == 0 {
		at(s.readAt)
	}
	at(s.listAt)
	for _, a := range s.order {
		if a.busy == 0 {
			at(a.next)
		}
	}
	for _, v := range s.vmOrder {
		if v.busy == 0 {
			at(v.next)
		}
	}
	if next.IsZero() || !s.wakeAt.IsZero() && !next.Before(s.wakeAt) {
		return
	}
	s.wakeAt = next
	s.emit(Wake{After: max(next.Sub(s.now), time.Millisecond)})
}

// backoff doubles from least to most.
func backoff(tries int, least, most time.Duration) time.Duration {
	d := least
	for range min(tries, 16) {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}

// words says why in words that are fit for people.
func words(err error) string { return fault.Quote(fault.From(err).Error()) }
