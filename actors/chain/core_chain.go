package chain

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// link is how the chain is reached.
type link uint8

const (
	down    link = 1 + iota // until redial
	dialing                 // it is being asked which one it is
	binding                 // the first mark is being written
	up                      // its blocks are being read
)

// chain is what the core knows of the chain.
type chain struct {
	link       link
	linkSince  time.Time
	connection uint64
	redial     time.Duration // down: when it is dialed
	dials      int           // failed, in a row
	other      *fault.Error  // why it is not the chain of before
	seen       Info          // the last that any chain said
	info       Info          // of the chain that we follow
	polling    bool
	pollAt     time.Duration
	mute       int // polls without an answer, in a row
	tip        uint64

	mark      Mark // on disk
	marking   bool
	markedTo  uint64                 // the height of the last mark that was tried
	markedAt  time.Duration          // when
	news      bool                   // something was settled since
	adopting  []func(error) []Effect // who waits for the mark
	recent    []Cursor               // the newest blocks that were read, in order, the final ones of the last keepFinal
	final     uint64                 // height
	headTime  time.Time
	headSince time.Time
	headAt    time.Duration
	signing   int
	diskAt    time.Duration
}

var (
	errGap      = errors.New("a block is missing between two that it told")
	errParent   = errors.New("a block does not continue the one before")
	errUndone   = errors.New("a final block was replaced")
	errSilent   = errors.New("it has blocks, and does not tell them")
	errNoAnswer = errors.New("it did not answer three times")
)

func (s *State) head() Cursor {
	if len(s.recent) == 0 {
		return Cursor{}
	}
	return s.recent[len(s.recent)-1]
}

// synced says whether the blocks that the chain has were read.
func (s *State) synced() bool { return s.link == up && s.head().Height+2 >= s.tip }

// dial connects when it is time to, looks whether the chain is still there, and asks for nonces.
func (s *State) dial(now time.Time) []Effect {
	switch {
	case s.link == down && s.clock >= s.redial:
		s.connection++
		s.link = dialing
		return []Effect{Dial{s.connection}}
	case s.link != up:
		return nil
	}
	var out []Effect
	if s.clock >= s.pollAt && !s.polling {
		s.polling, s.pollAt = true, s.clock+s.limits.Poll
		out = append(out, Dial{s.connection})
	}
	if s.tip > s.head().Height && s.clock-s.headAt > patience+4*s.info.BlockTime {
		return append(out, s.hangup(now, fault.New(fault.BusyChain, "follow", "", errSilent))...)
	}
	return out
}

func (s *State) dialed(now time.Time, m dialed) []Effect {
	if m.connection != s.connection || s.link != dialing && s.link != up {
		return nil
	}
	s.polling = false
	if m.err != nil {
		s.note(now, m.err)
		if s.link == up {
			if s.mute++; s.mute < 3 {
				return nil
			}
			m.err = fault.New(fault.BusyChain, "poll", "", errNoAnswer)
		}
		return s.hangup(now, m.err)
	}
	m.info.BlockTime = min(max(m.info.BlockTime, 0), time.Hour)
	s.mute, s.seen = 0, m.info
	if !s.mark.Genesis.IsZero() && m.info.Genesis != s.mark.Genesis {
		return s.hangup(now, fault.New(fault.HostChainOther, "dial", m.info.Genesis.String(), nil))
	}
	s.info = m.info
	s.tip = m.info.Head.Height
	if s.link == up {
		if s.dials = 0; s.head() == m.info.Head {
			s.other = nil
		}
		return s.proved(now, m.info.Finalized)
	}
	s.pollAt = s.clock + s.limits.Poll
	if s.mark.Genesis.IsZero() {
		s.link, s.marking = binding, true
		return []Effect{SaveMark{Mark{Genesis: m.info.Genesis, Cursor: m.info.Finalized, Nonces: map[Hash]uint64{}}}}
	}
	return s.follow(now)
}

// follow reads on behind the newest block that was read.
func (s *State) follow(now time.Time) []Effect {
	s.link, s.linkSince, s.headAt = up, now.Round(0).UTC(), s.clock
	for _, l := range s.senders {
		l.fresh, l.asking = false, false
	}
	return []Effect{Follow{Connection: s.connection, After: s.head()}}
}

// hangup ends the connection, and has it made anew after a while.
func (s *State) hangup(now time.Time, err error) []Effect {
	s.note(now, err)
	was := s.link
	if was == up || s.linkSince.IsZero() && s.dials == 0 {
		s.linkSince = now.Round(0).UTC()
	}
	s.link, s.polling, s.mute = down, false, 0
	s.redial = s.clock + s.backoff(&s.dials, minDelay, maxDelay)
	if f := fault.From(err); f.Code == fault.HostChainOther {
		s.other = f
		s.redial = s.clock + otherDelay
	}
	if was == up {
		return []Effect{Hangup{}}
	}
	return nil
}

func (s *State) lost(now time.Time, m lost) []Effect {
	if m.connection != s.connection || s.link != up {
		return nil
	}
	if m.err == nil {
		m.err = fault.New(fault.BusyChain, "follow", "", nil)
	}
	if fault.CodeOf(m.err) == fault.HostChainOther && s.head().Height > s.final {
		s.rollback(now, s.final+1) // perhaps only the last of it
		m.err = fault.New(fault.BusyChain, "follow", "", m.err)
	}
	return s.hangup(now, m.err)
}

// adopt takes another chain for ours.
func (s *State) adopt(now time.Time, m Adopt) []Effect {
	if s.seen.Genesis != m.Genesis || s.other == nil || s.marking {
		return []Effect{Adopted{To: m.Reply, Err: fault.New(fault.CallerConflict, "adopt", m.Genesis.String(), nil).
			WithHint("name the genesis of the other chain that answers now")}}
	}
	var out []Effect
	if s.link == up {
		out = append(out, s.hangup(now, fault.New(fault.BusyChain, "adopt", "", nil))...)
	}
	s.link, s.marking = binding, true
	s.adopting = append(s.adopting, func(err error) []Effect { return []Effect{Adopted{To: m.Reply, Err: err}} })
	return append(out, SaveMark{Mark{Genesis: m.Genesis, Cursor: s.seen.Finalized, Nonces: map[Hash]uint64{}}})
}

// saveMark puts on disk how far the chain was read, if that spares much.
func (s *State) saveMark() []Effect {
	if s.link != up || s.marking || s.final <= s.mark.Cursor.Height || s.diskAt > s.clock && s.disk != nil {
		return nil
	}
	if s.final < s.mark.Cursor.Height+markBlocks && (!s.news || s.final < s.markedTo+8 && s.clock < s.markedAt+time.Second) {
		return nil
	}
	// What was settled and is not on disk must be found in a block again after a crash, and the nonces must not be ahead of that.
	at, nonces := s.final, true
	for _, e := range s.order {
		if (e.phase == again || e.phase == ending) && e.Block.Height > 0 && e.Block.Height <= at {
			at, nonces = e.Block.Height-1, false
		}
	}
	n, ok := slices.BinarySearchFunc(s.recent, at, func(c Cursor, h uint64) int {
		return int(int64(c.Height) - int64(h))
	})
	if !ok || at <= s.mark.Cursor.Height {
		return nil
	}
	m := Mark{Genesis: s.mark.Genesis, Cursor: s.recent[n], Nonces: s.mark.Nonces}
	if nonces {
		m.Nonces = map[Hash]uint64{}
		for a, l := range s.lanes {
			if l.final > 0 && l.able {
				m.Nonces[a] = l.final
			}
		}
	}
	s.marking, s.news, s.markedTo = true, false, s.final
	s.markedAt = s.clock
	return []Effect{SaveMark{m}}
}

func (s *State) marked(now time.Time, m marked) []Effect {
	s.marking = false
	waiters := s.adopting
	s.adopting = nil
	var out []Effect
	for _, w := range waiters {
		out = append(out, w(m.err)...)
	}
	if m.err != nil {
		s.disk = fault.From(m.err)
		s.diskAt = s.clock + diskDelay
		s.news = true
		s.note(now, m.err)
		if s.link == binding {
			out = append(out, s.hangup(now, m.err)...)
		}
		return out
	}
	if len(s.broken) == 0 {
		s.disk = nil
	}
	s.mark.Nonces = maps.Clone(m.mark.Nonces)
	if len(waiters) == 0 && m.mark.Genesis == s.mark.Genesis {
		s.mark.Cursor = m.mark.Cursor
		return out
	}
	same := m.mark.Genesis == s.mark.Genesis
	s.mark = m.mark
	s.recent, s.final, s.tip = []Cursor{s.mark.Cursor}, s.mark.Cursor.Height, s.mark.Cursor.Height
	s.info, s.markedTo = s.seen, 0
	if len(waiters) == 0 {
		return append(out, s.follow(now)...)
	}
	s.forgetChain(now, same)
	s.link, s.other, s.redial = down, nil, s.clock
	return out
}

// read takes a block.
func (s *State) read(now time.Time, m read) []Effect {
	if m.connection != s.connection || s.link != up {
		return nil
	}
	b, head := m.block, s.head()
	switch hash, known := s.hashAt(b.Height); {
	case known && hash == b.Hash:
		return nil // told again
	case b.Height <= s.final:
		return s.hangup(now, fault.New(fault.HostChainOther, "follow", b.Hash.String(), errUndone))
	case b.Height > head.Height+1:
		return s.hangup(now, fault.New(fault.BusyChain, "follow", b.Hash.String(), errGap))
	case b.Height <= head.Height:
		s.counted.Forks++
		s.rollback(now, b.Height)
	}
	if parent := s.head(); !parent.Hash.IsZero() && parent.Hash != b.Parent {
		s.rollback(now, s.final+1)
		return s.hangup(now, fault.New(fault.BusyChain, "follow", b.Hash.String(), errParent))
	}
	s.recent = append(s.recent, b.Cursor)
	if len(s.recent) > maxRecent+keepFinal {
		s.recent = slices.Delete(s.recent, 0, len(s.recent)-maxRecent)
	}
	s.headTime, s.headSince, s.headAt, s.dials, s.other = b.Time, now.Round(0).UTC(), s.clock, 0, nil
	for n, r := range b.Txs {
		s.happened(now, b, n, r)
	}
	return s.finalize(now, min(b.Finalized, b.Height))
}

func (s *State) hashAt(height uint64) (h Hash, ok bool) {
	if len(s.recent) == 0 || height < s.recent[0].Height || height-s.recent[0].Height >= uint64(len(s.recent)) {
		return h, false
	}
	return s.recent[height-s.recent[0].Height].Hash, true
}

// happened takes note of a transaction in a block.
func (s *State) happened(now time.Time, b Block, n int, r Result) {
	l := s.lanes[r.Signer]
	if l != nil {
		l.used = append(l.used, use{height: b.Height, nonce: r.Nonce})
	}
	e := s.hashes[r.Hash]
	if e != nil {
		if e.phase == included {
			return
		}
		s.counted.Included++
		s.move(now, e, included)
		e.Block, e.Error, e.Events, e.Cut, e.last = b.Cursor, r.Error, nil, false, ""
		bytes := 0
		for _, v := range b.Events {
			if v.Tx != n {
				continue
			}
			if bytes += len(v.Fields) + len(v.Name) + len(v.Pallet); bytes > MaxEvents {
				e.Cut = true
				break
			}
			e.Events = append(e.Events, v)
		}
		s.block = append(s.block, e)
		s.release(e)
	}
	if l == nil {
		return
	}
	if o := l.held[r.Nonce]; o != nil && o != e {
		s.counted.Races++
		s.note(now, errRace)
		s.release(o)
		if o.phase == signing || o.phase == saving {
			o.raced = true
			return
		}
		o.last = errRace.Error()
		s.move(now, o, doubtful)
	}
}

var errRace = errors.New("somebody else used the nonce with the same key")

// rollback undoes the blocks from a height on.
func (s *State) rollback(now time.Time, height uint64) {
	for len(s.recent) > 0 && s.head().Height >= height && s.head().Height > s.final {
		s.recent = s.recent[:len(s.recent)-1]
	}
	for _, l := range s.senders {
		for len(l.used) > 0 && l.used[len(l.used)-1].height >= height {
			l.used = l.used[:len(l.used)-1]
		}
		l.hint, l.fresh, l.scan = 0, false, 0
		l.asked++ // what is on its way tells of the blocks that are gone
		l.asking = false
	}
	kept := s.block[:0]
	for _, e := range s.block {
		if e.Block.Height < height {
			kept = append(kept, e)
			continue
		}
		e.Block, e.Error, e.Events, e.Cut = Cursor{}, nil, nil, false
		s.fly(now, e)
	}
	clear(s.block[len(kept):])
	s.block = kept
	for _, l := range s.senders {
		for _, e := range l.live {
			if e.phase == doubtful && !e.invalid && e.Nonce >= l.chainNonce() {
				s.fly(now, e)
			}
		}
	}
}

// fly has an entry submitted that is in no block any more. If its nonce has another owner meanwhile, only one of both can be in a
// block.
func (s *State) fly(now time.Time, e *entry) {
	l := e.lane
	if o := l.held[e.Nonce]; o != nil && o != e {
		s.move(now, e, doubtful)
		return
	}
	l.held[e.Nonce] = e
	s.move(now, e, ready)
	l.ready.push(e.Nonce, e)
}

// proved raises what is final when the chain says so without a block.
func (s *State) proved(now time.Time, final Cursor) []Effect {
	if hash, ok := s.hashAt(final.Height); ok && hash == final.Hash {
		return s.finalize(now, final.Height)
	}
	return nil
}

// finalize settles what is in blocks up to a height, and what can be in no block any more.
func (s *State) finalize(now time.Time, height uint64) []Effect {
	if height <= s.final {
		return nil
	}
	s.final = height
	var out []Effect
	n := 0
	for ; n < len(s.block) && s.block[n].Block.Height <= height; n++ {
		out = append(out, s.settle(now, s.block[n])...)
	}
	s.block = slices.Delete(s.block, 0, n)
	for _, l := range s.senders {
		n := 0
		for ; n < len(l.used) && l.used[n].height <= height; n++ {
			l.final = max(l.final, l.used[n].nonce+1)
		}
		l.used = slices.Delete(l.used, 0, n)
		out = append(out, s.bury(now, l)...)
	}
	if first := s.recent[0].Height; height > first+2*keepFinal {
		s.recent = slices.Delete(s.recent, 0, int(height-first-keepFinal))
	}
	return out
}

// settle ends an entry that is in a final block, or has it sent again.
func (s *State) settle(now time.Time, e *entry) []Effect {
	delete(s.hashes, e.Hash)
	if e.Error != nil && e.Retries > 0 && slices.Contains(e.Transient, e.Error.Pallet+"."+e.Error.Name) {
		e.last = fault.Quote(e.Error.Fault().Subject)
		s.move(now, e, again)
		e.Retries--
		was := e.Block
		s.void(e)
		e.Block = was // until it is on disk
		r := e.Record
		r.Block = Cursor{}
		e.writing = true
		return []Effect{Write{Record: r}}
	}
	e.Progress = Done
	if e.Error != nil {
		e.Progress = Failed
	}
	return s.end(now, e)
}

// end puts the end of an entry on disk.
func (s *State) end(now time.Time, e *entry) []Effect {
	s.move(now, e, ending)
	e.Finished = now.Round(0).UTC()
	return s.write(e)
}

// settled is the moment at which the end of an entry is on disk.
func (s *State) settled(e *entry) {
	if e.phase == again {
		e.Block = Cursor{}
	}
	s.news = true
}
