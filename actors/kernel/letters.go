package kernel

import (
	"errors"
	"reflect"
	"strconv"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// maxLetters is how many dead letters are kept; the oldest make room.
const maxLetters = 1024

var (
	errTold      = errors.New("its sender was told that it failed")
	errOtherType = errors.New("the actor of that name takes other messages")
)

// letter is a message that was refused, or accepted and not handled.
type letter struct {
	envelope
	id    uint64
	actor *ident
	typ   reflect.Type
	err   *fault.Error
	again func() error // sends it again; nil: somebody was told
}

type letters struct {
	mu   sync.Mutex
	ring ring[letter]
	last uint64
}

// bury keeps the header of a message, and the message if nobody was told of its end. mu is not held.
func (c *cell[M]) bury(it item[M], err *fault.Error, replayable bool) {
	if it.quiet {
		return
	}
	l := letter{envelope: it.envelope, actor: c.id, typ: typeOf(it.m), err: err}
	if replayable {
		l.again = resend(c.sys, c.path, it)
	}
	b := &c.sys.letters
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	l.id = b.last
	if b.ring.n == maxLetters {
		b.ring.pop()
	}
	b.ring.push(l)
}

// resend refers to no actor: one that has ended is not kept alive by what it left.
func resend[M any](s *System, path string, it item[M]) func() error {
	return func() error {
		n, err := s.find(path, 0, "replay")
		if err != nil {
			return err
		}
		to, ok := n.(*cell[M])
		if !ok {
			return fault.New(fault.CallerConflict, "replay", path, errOtherType)
		}
		l := laneWork
		if it.lane == laneControl {
			l = laneControl
		}
		return to.post(it.m, nil, Origin{cause: it.cause, from: it.from}, l)
	}
}

// DeadLetters returns the headers of messages that were refused or dropped, newest last.
func (s *System) DeadLetters() []inspect.Letter {
	b := &s.letters
	b.mu.Lock()
	all := make([]letter, 0, b.ring.n)
	for i := range b.ring.n {
		all = append(all, *b.ring.at(i))
	}
	b.mu.Unlock()
	out := make([]inspect.Letter, 0, len(all))
	for _, l := range all {
		out = append(out, inspect.Letter{ID: strconv.FormatUint(l.id, 10), At: s.wall(l.at), Actor: l.actor.path, Type: l.typ.String(),
			Lane: lanes[l.lane], Cause: l.cause.String(), Code: string(l.err.Code), Reason: fault.Quote(l.err.Error()), Replayable: l.again != nil})
	}
	return out
}

// Replay sends a dead letter again, to the actor that has its path now, and forgets it if that accepts it.
//
// # Errors
//   - caller.not_found: there is no such letter, or no such actor any more
//   - caller.conflict: its sender was told that it failed, or the actor takes other messages
//   - those of Ref.Send
func (s *System) Replay(id string) error {
	l, err := s.takeLetter(id, true)
	if err != nil {
		return err
	}
	if err := l.again(); err != nil {
		s.letters.putBack(l)
		return err
	}
	return nil
}

// Drop forgets a dead letter.
//
// # Errors
//   - caller.not_found: there is no such letter
func (s *System) Drop(id string) error {
	_, err := s.takeLetter(id, false)
	return err
}

// takeLetter takes a letter out, so that two who replay it at once do not both send it.
func (s *System) takeLetter(id string, replay bool) (letter, error) {
	n, err := strconv.ParseUint(id, 10, 64)
	b := &s.letters
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.ring.n {
		l := *b.ring.at(i)
		if err != nil || l.id != n {
			continue
		}
		if replay && l.again == nil {
			return l, fault.New(fault.CallerConflict, "replay", id, errTold)
		}
		var rest ring[letter]
		for b.ring.n > 0 {
			if o := b.ring.pop(); o.id != n {
				rest.push(o)
			}
		}
		b.ring = rest
		return l, nil
	}
	return letter{}, fault.New(fault.CallerNotFound, "letter", fault.Quote(id), nil)
}

// putBack puts a letter where it was, unless newer ones have taken all the room.
func (b *letters) putBack(l letter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ring.n == maxLetters {
		return
	}
	var all ring[letter]
	for b.ring.n > 0 {
		if b.ring.front().id > l.id && l.typ != nil {
			all.push(l)
			l.typ = nil
		}
		all.push(b.ring.pop())
	}
	if l.typ != nil {
		all.push(l)
	}
	b.ring = all
}
