package chain

import (
	"errors"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// lane is one account that sends. Its calls go in the order in which they came, as long as nobody else uses its nonces.
type lane struct {
	account Hash
	able    bool // there is a key
	waiting queue[uint64]
	ready   queue[uint64] // by nonce
	flight  int           // have a nonce, and are in no block
	live    []*entry      // whose transactions may come into a block; some are through
	held    map[uint64]*entry

	scan   uint64 // no nonce before it is free
	hint   uint64 // what the chain said last
	fresh  bool   // and that is still so
	asking bool
	asked  uint64
	askAt  time.Duration
	final  uint64 // the next nonce after the last final block
	used   []use  // in blocks that are not final
}

// use is a nonce in a block.
type use struct{ height, nonce uint64 }

func (s *State) laneOf(a Hash) *lane {
	l := s.lanes[a]
	if l == nil {
		l = &lane{account: a, held: map[uint64]*entry{}}
		s.lanes[a] = l
		s.senders = append(s.senders, l)
	}
	return l
}

// chainNonce is the next nonce of the account, as far as is known.
func (l *lane) chainNonce() uint64 {
	n := max(l.hint, l.final)
	for _, u := range l.used {
		n = max(n, u.nonce+1)
	}
	return n
}

// free takes the least nonce that nobody has.
func (l *lane) free(next uint64) uint64 {
	n := max(l.scan, next)
	for l.held[n] != nil {
		n++
	}
	l.scan = n + 1
	return n
}

// release gives the nonce of an entry back.
func (s *State) release(e *entry) {
	l := e.lane
	if l.held[e.Nonce] == e {
		delete(l.held, e.Nonce)
		l.scan = 0
	}
}

// turn is the place of an entry among those that wait.
func (e *entry) turn() uint64 {
	if e.Class == Urgent {
		return e.Number
	}
	return 1<<63 | e.Number
}

// send signs and submits what may be.
func (s *State) send(now time.Time) []Effect {
	if s.link != up || s.paused {
		return nil
	}
	var out []Effect
	for _, l := range s.senders {
		out = append(out, s.askNonce(l)...)
		if s.synced() && l.able && l.fresh {
			out = append(out, s.sign(now, l)...)
		}
	}
	for _, l := range s.senders {
		out = append(out, s.submit(now, l)...)
	}
	return out
}

func (s *State) askNonce(l *lane) []Effect {
	if l.fresh || l.asking || !s.synced() || s.clock < l.askAt || !l.waiting.some() && l.flight == 0 {
		return nil
	}
	l.asking = true
	l.asked++
	return []Effect{AskNonce{Connection: s.connection, Asked: l.asked, Sender: l.account}}
}

func (s *State) nonce(now time.Time, m nonce) []Effect {
	l := s.lanes[m.sender]
	if l == nil || m.connection != s.connection || m.asked != l.asked {
		return nil
	}
	l.asking = false
	l.askAt = s.clock + minDelay
	if m.err != nil {
		s.note(now, m.err)
		l.askAt = s.clock + 2*time.Second
		return nil
	}
	if l.hint != m.next {
		l.hint, l.scan = m.next, 0
	}
	l.fresh = true
	return nil
}

func (s *State) sign(now time.Time, l *lane) []Effect {
	var out []Effect
	next, counted := uint64(0), false
	for l.flight < s.limits.Window && s.chain.signing < maxSigning {
		i, ok := l.waiting.first()
		if !ok {
			break
		}
		l.waiting.pop()
		e := i.e
		if !e.Until.IsZero() && !now.Before(e.Until) {
			out = append(out, s.drop(now, e, fault.CanceledDeadline, "it was in no block before its deadline")...)
			continue
		}
		if !counted {
			next, counted = l.chainNonce(), true
		}
		s.move(now, e, signing)
		e.Genesis, e.Nonce, e.ValidUntil = s.mark.Genesis, l.free(next), max(s.head().Height, s.tip)+s.span()
		l.held[e.Nonce] = e
		e.Made++
		e.raced, e.invalid, e.tries = false, false, 0
		out = append(out, Sign{Number: e.Number, Made: e.Made, Sender: e.Sender, Genesis: e.Genesis, Nonce: e.Nonce, ValidUntil: e.ValidUntil})
	}
	return out
}

// span is how many blocks a transaction is valid for.
func (s *State) span() uint64 {
	if s.info.BlockTime <= 0 {
		return 1024
	}
	return min(max(uint64(s.limits.Valid/s.info.BlockTime), minValid), maxValid)
}

func (s *State) signed(now time.Time, m signed) []Effect {
	e := s.entries[m.number]
	if e == nil || e.phase != signing || e.Made != m.made {
		return nil
	}
	if m.err == nil && len(m.tx.Bytes) > MaxTx {
		m.err = fault.New(fault.CallerTxCall, "sign", fault.Quote(e.Key), errors.New("the transaction is too large"))
	}
	if m.err != nil {
		s.note(now, m.err)
		s.release(e)
		f := fault.From(m.err)
		if f.Class == fault.Caller {
			return s.drop(now, e, f.Code, f.Error())
		}
		e.Made--
		s.resign(now, e, s.backoff(&e.delays, minDelay, maxDelay))
		e.last = fault.Quote(m.err.Error())
		return nil
	}
	e.Hash, e.Progress, e.tx = m.tx.Hash, Signed, m.tx.Bytes
	s.move(now, e, saving)
	return s.write(e)
}

// resign has a new transaction made of an entry, after a while. The old one, if there is any, is never in a block.
func (s *State) resign(now time.Time, e *entry, after time.Duration) {
	if s.hashes[e.Hash] == e {
		delete(s.hashes, e.Hash)
	}
	s.release(e)
	if e.Made > 0 {
		s.counted.Resigned++
	}
	s.void(e)
	s.move(now, e, waiting)
	if after > 0 {
		s.delay(e, after)
		return
	}
	if !e.writing && !e.failed { // else when it is on disk
		e.lane.waiting.push(e.turn(), e)
	}
}

// void forgets the transaction of an entry.
func (s *State) void(e *entry) {
	e.Progress, e.Hash, e.Nonce, e.ValidUntil, e.Genesis = Waiting, Hash{}, 0, 0, Hash{}
	e.Block, e.Error, e.Events, e.Cut = Cursor{}, nil, nil, false
	e.raced, e.tx = false, nil
}

// forgetChain begins anew on another chain. What was signed is void there, unless it has the same genesis: then it may still come
// into a block.
func (s *State) forgetChain(now time.Time, same bool) {
	for _, l := range s.senders {
		l.used, l.hint, l.final, l.scan, l.fresh, l.asking = nil, 0, 0, 0, false, false
	}
	blocks := s.block
	s.block = nil
	if same {
		for _, e := range blocks {
			e.Block, e.Error, e.Events, e.Cut = Cursor{}, nil, nil, false
			s.fly(now, e)
		}
		return
	}
	clear(s.hashes)
	for _, l := range s.senders {
		l.live = nil
		clear(l.held)
	}
	for _, e := range s.order {
		if e.phase < signing || e.phase > doubtful {
			continue
		}
		e.delays, e.refusals = 0, 0
		s.resign(now, e, 0)
	}
}

// drop ends an entry that no block will ever have.
func (s *State) drop(now time.Time, e *entry, code fault.Code, why string) []Effect {
	if s.hashes[e.Hash] == e {
		delete(s.hashes, e.Hash)
	}
	s.release(e)
	s.void(e)
	e.Progress, e.Fault, e.Why = Dropped, code, fault.Quote(why)
	return s.end(now, e)
}

// submit hands in what is ready, in the order of nonces; one at a time while the chain refuses.
func (s *State) submit(now time.Time, l *lane) []Effect {
	var out []Effect
	for s.submits < s.limits.Parallel && s.clock >= s.pause && (s.level == 0 || s.submits == 0) {
		i, ok := l.ready.first()
		if !ok {
			break
		}
		l.ready.pop()
		e := i.e
		s.move(now, e, submitting)
		if s.submits++; e.tries > 0 {
			s.counted.Resubmitted++
		}
		e.tries++
		out = append(out, Submit{Number: e.Number, Hash: e.Hash})
	}
	return out
}

func (s *State) submitted(now time.Time, m submitted) []Effect {
	s.submits = max(s.submits-1, 0)
	f := fault.From(m.err)
	if f == nil || f.Class == fault.Caller {
		s.level = 0 // it answers
	} else {
		if s.note(now, m.err); s.clock >= s.pause { // those that were under way together count once
			s.pause = s.clock + s.backoff(&s.level, minDelay, maxDelay)
		}
	}
	e := s.entries[m.number]
	if e == nil || e.phase != submitting || e.Hash != m.hash {
		return nil
	}
	e.last = ""
	if f != nil {
		e.last = fault.Quote(f.Error())
	}
	switch {
	case f == nil:
	case f.Class != fault.Caller:
		s.move(now, e, ready)
		e.lane.ready.push(e.Nonce, e)
		return nil
	case f.Code == fault.CallerTxNonce:
		e.lane.fresh = false
	case f.Code == fault.CallerTxExpired: // that is certain when a block behind it is final
	default:
		s.note(now, m.err)
		if e.tries == 1 { // nobody else has it
			return s.refused(now, e)
		}
		e.invalid = true
		s.release(e) // the next call may have it: only one of both can be in a block
		s.move(now, e, doubtful)
		return nil
	}
	s.move(now, e, taken)
	tries := e.tries - 1
	s.delay(e, s.backoff(&tries, max(2*time.Second, 3*s.info.BlockTime), max(maxResubmit, 6*s.info.BlockTime)))
	return nil
}

// refused has an entry signed anew after a while whose transaction was invalid, and drops it when that happened often.
func (s *State) refused(now time.Time, e *entry) []Effect {
	why := e.last
	if e.refusals++; e.refusals >= maxRefusals && e.Class != Report {
		return s.drop(now, e, fault.CallerTx, why)
	}
	s.resign(now, e, s.backoff(&e.delays, diskDelay, maxResign))
	e.last = why
	return nil
}

// bury has those signed anew whose transactions can be in no block any more: a block behind them is final, or one that used
// their nonce.
func (s *State) bury(now time.Time, l *lane) []Effect {
	var out []Effect
	kept := l.live[:0]
	for _, e := range l.live {
		switch {
		case e.phase < ready || e.phase > doubtful:
			continue
		case e.phase == included, e.Nonce >= l.final && (e.ValidUntil == 0 || e.ValidUntil > s.final):
			kept = append(kept, e)
			continue
		}
		if e.invalid {
			out = append(out, s.refused(now, e)...)
			continue
		}
		s.resign(now, e, 0)
	}
	clear(l.live[len(kept):])
	l.live = slices.Clip(kept)
	return out
}

// tell has a tick sent when there is something to do by then.
func (s *State) tell() []Effect {
	next := s.clock + 10*time.Second
	by := func(t time.Duration) { next = min(next, max(t, s.clock)) }
	switch {
	case s.loading:
		by(s.clock + diskDelay)
	case s.link == down:
		by(s.redial)
	case s.link == up && !s.polling:
		by(s.pollAt)
	}
	if i, ok := s.timers.first(); ok {
		by(i.key)
	}
	if len(s.broken) > 0 {
		by(s.diskAt)
	}
	if s.link == up && s.pause > s.clock {
		for _, l := range s.senders {
			if l.ready.some() {
				by(s.pause)
			}
		}
	}
	for _, l := range s.senders {
		if !l.fresh && s.link == up && l.askAt > s.clock {
			by(l.askAt)
		}
	}
	next = max(next, s.clock+10*time.Millisecond)
	if s.wake > s.clock && s.wake <= next {
		return nil
	}
	s.wake = next
	return []Effect{Wake{After: next - s.clock, At: next}}
}

// rang takes note of a tick. One that was meant to come before the last one that was asked for changes nothing.
func (s *State) rang(m tick) {
	if m.at >= s.wake {
		s.wake = 0
	}
}

// alarm tells operators what stands in the way, and when nothing does any more.
func (s *State) alarm() []Effect {
	why := s.other
	if s.disk != nil {
		why = s.disk
	}
	code := fault.Code("")
	if why != nil {
		code = why.Code
	}
	if code == s.stuck {
		return nil
	}
	s.stuck = code
	return []Effect{Stuck{why}}
}
