package chain

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// What the tests outside of the package make and see: they use the fake chain, which imports this package.

func Loaded(s Saved, err error) Message               { return loaded{s, err} }
func Added(n uint64, old *Record, err error) Message  { return added{n, old, err} }
func Wrote(n uint64, err error) Message               { return wrote{n, err} }
func Marked(m Mark, err error) Message                { return marked{m, err} }
func Found(ask Message, r *Record, err error) Message { return found{ask, r, err} }
func Trimmed(err error) Message                       { return trimmed{err} }
func Read(c uint64, b Block) Message                  { return read{c, b} }
func Lost(c uint64, err error) Message                { return lost{c, err} }
func Tick(at time.Duration) Message                   { return tick{at} }

func SignedTx(e Sign, tx Tx, err error) Message { return signed{e.Number, e.Made, tx, err} }
func Submitted(e Submit, err error) Message     { return submitted{e.Number, e.Hash, err} }
func Dialed(e Dial, i Info, err error) Message  { return dialed{e.Connection, i, err} }
func Nonce(e AskNonce, n uint64, err error) Message {
	return nonce{e.Connection, e.Asked, e.Sender, n, err}
}

// Fail answers a message that could not be handled.
func Fail(m Message, err error) { m.(interface{ Failed(error) }).Failed(err) }

// Give answers who asked.
func Give(e Effect) bool {
	switch e := e.(type) {
	case Shown:
		give(e.To, e.Call, e.Err)
	case Ended:
		give(e.To, e.Outcome, e.Err)
	case Listed:
		e.To.Answer(e.Page)
	case Stated:
		e.To.Answer(e.Chain)
	case Adopted:
		give(e.To, struct{}{}, e.Err)
	case Paused:
		e.To.Answer(struct{}{})
	default:
		return false
	}
	return true
}

// Phases returns where each entry stands.
func (s *State) Phases() map[uint64]string {
	out := map[uint64]string{}
	for n, e := range s.entries {
		out[n] = e.phase.String()
	}
	return out
}

// Idle says what is left in a core that has nothing to do.
func (s *State) Idle() error {
	n := len(s.entries) + len(s.keys) + len(s.hashes) + len(s.broken) + len(s.block) + s.submits + s.waiters + s.chain.signing + int(s.bytes)
	for _, l := range s.senders {
		n += l.flight + len(l.held)
	}
	if n > 0 {
		return fmt.Errorf("left behind: %d entries, %d keys, %d hashes, %d broken, %d in blocks, %d submissions, %d waiters, %d signing, %d bytes: %v",
			len(s.entries), len(s.keys), len(s.hashes), len(s.broken), len(s.block), s.submits, s.waiters, s.chain.signing, s.bytes, s.Phases())
	}
	return nil
}

// Sound says what must never be: two entries with a nonce, a flight that was miscounted.
func (s *State) Sound() error {
	flights := map[*lane]int{}
	count := 0
	for _, e := range s.entries {
		if e.phase.flying() {
			flights[e.lane]++
			if o := e.lane.held[e.Nonce]; o != e && !e.raced {
				return fmt.Errorf("%d is %v, and its nonce %d is not held for it", e.Number, e.phase, e.Nonce)
			}
		}
		if e.phase == signing {
			count++
		}
	}
	for _, l := range s.senders {
		if flights[l] != l.flight {
			return fmt.Errorf("%d fly, %d were counted", flights[l], l.flight)
		}
		for n, e := range l.held {
			if e.Nonce != n || !e.phase.flying() {
				return fmt.Errorf("the nonce %d is held for %d, which is %v with %d", n, e.Number, e.phase, e.Nonce)
			}
		}
	}
	if count != s.chain.signing {
		return fmt.Errorf("%d are signed, %d were counted", count, s.chain.signing)
	}
	return nil
}

// Named names a message for the table.
func Named(m Message) string {
	name, err := strings.TrimPrefix(fmt.Sprintf("%T", m), "chain."), error(nil)
	switch m := m.(type) {
	case loaded:
		err = m.err
	case added:
		if err = m.err; m.old != nil {
			name += " old"
		}
	case wrote:
		err = m.err
	case signed:
		err = m.err
	case submitted:
		if f := fault.From(m.err); f != nil {
			return name + " " + string(f.Code)
		}
	}
	if err != nil {
		name += " err"
	}
	return name
}
