package sessions

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Limits bound the sessions actor and those of the apps. Zero means default.
type Limits struct {
	Slots     int           // instances of all apps. Default 8.
	Apps      int           // deployed. Default 65,536.
	Active    int           // requests of an app that have runs of their own, or that one instance has. Default 64.
	Requests  int           // of all apps, under way and waiting; of one at most as many as are left for the others. Default 512.
	Overlap   int           // runs of a schedule at a time. Default 4.
	Grace     time.Duration // an instance that was asked to end is killed after it. Default 1 s.
	Patience  time.Duration // requests that were ended with their app are given up after it. Default 5 s.
	Announced int           // heads-ups under way. Default 64.
	Gathers   int           // answers that all apps have a part in, at a time. Default 64.
}

func (l Limits) withDefaults() Limits {
	l.Slots = cmp.Or(l.Slots, 8)
	l.Apps = cmp.Or(l.Apps, 65_536)
	l.Active = cmp.Or(l.Active, 64)
	l.Requests = cmp.Or(l.Requests, 512)
	l.Overlap = cmp.Or(l.Overlap, 4)
	l.Grace = cmp.Or(l.Grace, time.Second)
	l.Patience = cmp.Or(l.Patience, 5*time.Second)
	l.Announced = cmp.Or(l.Announced, 64)
	l.Gathers = cmp.Or(l.Gathers, 64)
	return l
}

// maxEarly bounds what waits for the store.
const maxEarly = 4096

// State is the core of the sessions actor.
type State struct {
	limits Limits
	resume bool
	gens   uint64 // the last one given
	ids    uint64 // of instances, the last one given

	loading  bool
	loadAt   time.Time
	early    []Message
	forgets  []manifest.Address // nil: nothing is to be forgotten
	draining bool

	session *WorkerSession
	opening []kernel.Reply[WorkerSession]
	opens   *WorkerSession // being opened
	ticket  ticket

	apps     map[manifest.Address]*entry
	names    map[string]*entry // by the name of the actor
	sick     []*entry          // to be seen to at their time
	order    []*entry          // by Sequence; some may have left
	left     int               // in order
	sequence uint64

	line     []*entry // that want slots, oldest first
	used     int      // slots
	holders  []*entry // that have slots; some twice, or no more
	bench    *entry
	requests map[uint64]manifest.Address
	shares   map[manifest.Address]int // of requests
	heads    int

	gathers  map[uint64]*gather
	gathered uint64 // the last number

	dirty    bool      // something was noted since the last Sync began
	syncAt   time.Time // zero: none is due
	syncs    uint64    // begun
	syncing  bool
	syncWait []*gather // that wait for a sync
	wakeAt   time.Time
	pending  []Effect
}

// ticket is the work on numbers of tokens: those that are asked for while a write is under way share the next one.
type ticket struct {
	writing bool
	sn      uint64 // of the write under way
	wait    []claim
	under   []claim // that the write is for
}

// claim is who wants tokens.
type claim struct {
	n     int
	give  func(first uint64)
	fail  func(error)
	token uint64 // the first, once the write is under way
}

// NewState returns a core that waits for its store. resume says that what the store has goes on. first is above all numbers
// that earlier incarnations have given to actors and instances.
func NewState(l Limits, resume bool, first uint64) *State {
	return &State{limits: l.withDefaults(), resume: resume, gens: first, ids: first, loading: true,
		apps: map[manifest.Address]*entry{}, names: map[string]*entry{}, requests: map[uint64]manifest.Address{}, shares: map[manifest.Address]int{}, gathers: map[uint64]*gather{}}
}

func (s *State) emit(e Effect) { s.pending = append(s.pending, e) }

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	s.step(now, in)
	s.share()
	s.press()
	s.write()
	s.sync(now)
	s.wake(now)
	out := s.pending
	s.pending = nil
	return out
}

func (s *State) step(now time.Time, in Message) {
	if s.loading {
		s.load(now, in)
		return
	}
	switch m := in.(type) {
	case OpenSession:
		s.open(now, m)
	case Session:
		v := SessionView{Apps: len(s.apps), Slots: s.limits.Slots, SlotsUsed: s.used, Requests: len(s.requests)}
		if s.session != nil {
			open := *s.session
			v.Open = &open
		}
		if s.bench != nil {
			v.Bench, v.HasBench = s.bench.rec.Address, true
		}
		s.emit(answer[SessionView]{to: m.Reply, r: v})
	case Deploy:
		s.deploy(now, m)
	case Announce:
		s.announce(m)
	case announced:
		s.heads--
	case Start:
		s.toApp(m.Address, m)
	case Stop:
		s.toApp(m.Address, m)
	case Resize:
		s.toApp(m.Address, m)
	case RaiseApp:
		s.toApp(m.Address, m)
	case Show:
		s.toApp(m.Address, m)
	case Use:
		s.toApp(m.Address, m)
	case Enter:
		s.enter(m)
	case Leave:
		s.leave(m)
	case Remove:
		s.remove(m.Address, func(t meter.Metrics, err error) { s.emit(answer[meter.Metrics]{m.Reply, t, err}) }, m.Reply.Fail)
	case RemoveAll:
		s.removeAll(m)
	case SetBench:
		s.setBench(m)
	case List:
		s.list(m)
	case Report:
		s.report(m)
	case NextToken:
		s.nextToken(m)
	case Drain:
		s.drain(m)
	case savedSession:
		s.savedSession(m)
	case savedApp:
		s.savedApp(m)
	case erased:
		s.erased(now, m)
	case reloaded:
		s.reloaded(now, m)
	case exited:
		s.exited(now, m)
	case wants:
		s.wants(m)
	case freed:
		s.freed(m)
	case told:
		s.told(m)
	case emptied:
		s.emptied(m)
	case dirtied:
		s.dirty = true
		if s.syncAt.IsZero() {
			s.syncAt = now.Add(syncEvery)
		}
	case synced:
		s.hasSynced(now, m)
	case tick:
		s.wakeAt = time.Time{}
		s.revive(now)
	}
}

// load takes over what the store has, or forgets it.
func (s *State) load(now time.Time, in Message) {
	again := func(err error, what string) {
		s.emit(Warn{err, what})
		early := s.early
		s.early = nil
		for _, m := range early {
			s.emit(Refuse{m, err})
		}
		s.loadAt = now.Add(retryEvery)
	}
	switch m := in.(type) {
	case tick:
		s.wakeAt = time.Time{}
		if !s.loadAt.IsZero() && !now.Before(s.loadAt) {
			s.loadAt = time.Time{}
			s.emit(Load{})
		}
	case loaded:
		switch {
		case m.err != nil:
			again(m.err, "the apps could not be read; it is tried again")
		case !s.resume && (len(m.saved.Apps) > 0 || opened(m.saved.Session)):
			for _, r := range m.saved.Apps {
				s.forgets = append(s.forgets, r.Address)
			}
			s.emit(Forget{s.forgets})
		default:
			s.takeOver(now, m.saved)
		}
	case forgot:
		s.forgets = nil
		if m.err != nil {
			again(m.err, "the apps of the last session could not be removed; it is tried again")
			return
		}
		s.takeOver(now, Saved{})
	case Drain: // there is nothing to end; what comes after it is refused
		s.early = append(s.early, in)
	default:
		if len(s.early) >= maxEarly {
			s.emit(Refuse{in, busy("sessions")})
			return
		}
		s.early = append(s.early, in)
	}
}

// opened reports whether there is a session: a store that can forget an app cannot forget a session, so it has an empty one.
func opened(w *WorkerSession) bool { return w != nil && w.ID != ([32]byte{}) }

func (s *State) takeOver(now time.Time, saved Saved) {
	s.loading = false
	s.emit(TookOver{})
	if opened(saved.Session) {
		s.session = saved.Session
	}
	slices.SortFunc(saved.Apps, func(a, b Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, r := range saved.Apps {
		s.sequence = max(s.sequence, r.Sequence)
		m, err := manifest.Decode(r.Manifest)
		if err != nil {
			s.emit(Warn{err, "a deployed app has a manifest that cannot be read; it is left alone"})
			continue
		}
		e := s.add(r, m)
		s.spawn(e, begin{})
	}
	early := s.early
	s.early = nil
	for _, m := range early {
		s.step(now, m)
	}
}

func busy(what string) *fault.Error {
	return fault.New(fault.BusyQueueFull, what, "", nil).WithRetryAfter(time.Second)
}

func (s *State) open(now time.Time, m OpenSession) {
	fail := func(err error) { s.emit(answer[WorkerSession]{to: m.Reply, err: err}) }
	switch {
	case len(m.PNonce) > 64 || len(m.Recipient) > 32:
		fail(fault.New(fault.CallerInvalid, "open session", "", errorText("a nonce has at most 64 bytes, a recipient 32")))
	case m.Resume && s.session != nil && s.opens == nil:
		s.emit(answer[WorkerSession]{to: m.Reply, r: *s.session})
	case s.draining:
		fail(draining())
	case len(s.apps) > 0:
		fail(fault.New(fault.CallerSession, "open session", "", nil))
	case len(s.opening) >= s.limits.Gathers:
		fail(busy("open session"))
	default:
		s.opening = append(s.opening, m.Reply)
		if s.opens == nil {
			s.opens = &WorkerSession{ID: meter.SessionID(m.cnonce, m.PNonce), CNonce: m.cnonce, PNonce: m.PNonce, Recipient: m.Recipient, Opened: now.Round(0)}
		}
	}
}

func draining() *fault.Error {
	return fault.New(fault.BusyDraining, "sessions", "", nil).WithRetryAfter(time.Second)
}

// write puts a new session, or numbers of tokens, on disk.
func (s *State) write() {
	t := &s.ticket
	switch {
	case s.loading || t.writing:
	case s.opens != nil:
		t.writing = true
		s.emit(SaveSession{*s.opens})
	case len(t.wait) > 0 && s.session == nil:
		wait := t.wait
		t.wait = nil
		for _, c := range wait {
			c.fail(noSession())
		}
	case len(t.wait) > 0:
		t.writing, t.sn = true, s.session.SN
		t.under, t.wait = t.wait, nil
		for i := range t.under {
			t.under[i].token = t.sn + 1
			t.sn += uint64(t.under[i].n)
		}
		next := *s.session
		next.SN = t.sn
		s.emit(SaveSession{next})
	}
}

func noSession() *fault.Error { return fault.New(fault.CallerNoSession, "sessions", "", nil) }

func (s *State) savedSession(m savedSession) {
	t := &s.ticket
	t.writing = false
	if s.opens != nil && len(t.under) == 0 {
		opens, opening := s.opens, s.opening
		s.opens, s.opening = nil, nil
		if m.err == nil {
			s.session = opens
		}
		for _, to := range opening {
			s.emit(answer[WorkerSession]{to, *opens, m.err})
		}
		return
	}
	under := t.under
	t.under = nil
	s.session.SN = t.sn // also after an error: the numbers may be on disk, and are not given again
	for _, c := range under {
		if m.err != nil {
			c.fail(m.err)
			continue
		}
		c.give(c.token)
	}
}

func (s *State) nextToken(m NextToken) {
	fail := func(err error) { s.emit(answer[meter.Token]{to: m.Reply, err: err}) }
	switch {
	case s.session == nil || s.opens != nil:
		fail(noSession())
	case len(s.ticket.wait) >= s.limits.Gathers*16:
		fail(busy("tokens"))
	default:
		s.ticket.wait = append(s.ticket.wait, claim{n: 1, fail: fail, give: func(first uint64) {
			s.emit(IssueToken{m.Reply, meter.Token{SN: first, Session: s.session.ID}})
		}})
	}
}

func (s *State) announce(m Announce) {
	switch {
	case s.draining:
		s.emit(answer[struct{}]{to: m.Reply, err: draining()})
	case s.heads >= s.limits.Announced:
		s.emit(answer[struct{}]{to: m.Reply, err: busy("announce")})
	default:
		s.heads++
		s.emit(Head{m.Record, m.Manifest})
		s.emit(answer[struct{}]{to: m.Reply})
	}
}

// sync puts what was noted on disk each second, and when an answer waits for it.
func (s *State) sync(now time.Time) {
	due := !s.syncAt.IsZero() && !now.Before(s.syncAt)
	if s.loading || s.syncing || !due && len(s.syncWait) == 0 {
		return
	}
	if !s.dirty && len(s.syncWait) > 0 && !due { // what is told was written by then, and is on disk
		for _, g := range s.takeWaiting() {
			s.finishGather(g)
		}
		s.write()
		return
	}
	s.syncing, s.dirty, s.syncAt = true, false, time.Time{}
	s.syncs++
	for _, g := range s.syncWait {
		if g.sync == 0 {
			g.sync = s.syncs
		}
	}
	s.emit(Sync{s.syncs})
}

func (s *State) takeWaiting() []*gather {
	w := s.syncWait
	s.syncWait = nil
	return w
}

func (s *State) hasSynced(now time.Time, m synced) {
	s.syncing = false
	if m.err != nil {
		s.dirty, s.syncAt = true, now.Add(retryEvery)
		s.emit(Warn{m.err, "what apps have used could not be put on disk; it is tried again"})
		for _, g := range s.takeWaiting() {
			s.failGather(g, m.err)
		}
		return
	}
	for _, g := range s.takeWaiting() {
		if g.sync == 0 || g.sync > m.number {
			s.syncWait = append(s.syncWait, g)
			continue
		}
		s.finishGather(g)
	}
}

// wake has a tick come when something is due next.
func (s *State) wake(now time.Time) {
	var at time.Time
	by := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	by(s.loadAt)
	if !s.loading && !s.syncing {
		by(s.syncAt)
	}
	for _, e := range s.sick {
		by(e.reviveAt)
	}
	if !at.Equal(s.wakeAt) {
		s.wakeAt = at
		s.emit(WakeAt{at})
	}
}
