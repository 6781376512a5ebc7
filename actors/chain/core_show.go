package chain

import (
	"fmt"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// shown are the phases as others see them.
var shown = [...]string{"", "waiting", "waiting", "waiting", "signed", "signed", "signed", "submitted", "in_block", "in_doubt", "ending", "ending", ""}

// show returns an entry as others see it.
func (s *State) show(e *entry) inspect.Outgoing {
	o := show(e.Record)
	o.State, o.Since = shown[e.phase], e.since.Round(0).UTC()
	if o.Error == "" {
		o.Error = e.last
	}
	if e.due > 0 {
		o.Next = s.last.Round(0).Add(max(e.due-s.clock, 0)).UTC()
	}
	return o
}

// show returns an entry as the disk has it.
func show(r Record) inspect.Outgoing {
	o := inspect.Outgoing{Number: r.Number, Key: fault.Quote(r.Key), Call: fault.Quote(r.Name), Sender: r.Sender.String(), Class: r.Class.String(),
		State: r.Progress.String(), Accepted: r.Accepted, Since: r.Finished, ValidUntil: r.ValidUntil, Block: r.Block.Height, Tries: r.Made, Error: r.Why}
	if !r.Hash.IsZero() {
		o.Hash, o.Nonce = r.Hash.String(), &r.Nonce
	}
	if r.Error != nil {
		o.Error = fault.Quote(r.Error.Fault().Subject)
	}
	for _, e := range r.Events {
		o.Events = append(o.Events, inspect.OutgoingEvent{Name: fault.Quote(e.Pallet + "." + e.Name), Fields: string(e.Fields)})
	}
	return o
}

// outcome is what is told of a record that is finished.
func (r *Record) outcome() Outcome {
	o := Outcome{Number: r.Number, Key: r.Key, Hash: r.Hash, Block: r.Block, Error: r.Error, Events: r.Events, Cut: r.Cut}
	if r.Progress == Dropped {
		o.Hash, o.Error = Hash{}, nil
		o.Fault = fault.New(r.Fault, "transaction", fault.Quote(r.Key), reason(r.Why))
	}
	return o
}

// reason is a text that was an error.
type reason string

// Error returns the text.
func (r reason) Error() string { return string(r) }

func (s *State) list(m List) (p Page) {
	at, ok := slices.BinarySearchFunc(s.order, m.After, func(e *entry, n uint64) int {
		switch {
		case e.Number < n:
			return -1
		case e.Number > n:
			return 1
		}
		return 0
	})
	step := 1
	switch {
	case m.Newest && m.After == 0:
		at, step = len(s.order)-1, -1
	case m.Newest:
		at, step = at-1, -1
	case ok:
		at++
	}
	for ; at >= 0 && at < len(s.order); at += step {
		e := s.order[at]
		if e.phase == gone || e.phase == adding {
			continue
		}
		if len(p.Calls) == m.Limit {
			p.Next = p.Calls[m.Limit-1].Number
			break
		}
		p.Calls = append(p.Calls, s.show(e))
	}
	return p
}

func (s *State) status(now time.Time) inspect.Chain {
	c := s.counted
	head := s.head()
	c.Name, c.Head, c.Finalized, c.BlockTime = fault.Quote(s.info.Name), head.Height, s.final, s.info.BlockTime
	c.HeadTime, c.HeadSince = s.headTime, s.headSince
	c.Tip = max(s.tip, head.Height)
	c.Lag = c.Tip - head.Height
	if !s.mark.Genesis.IsZero() {
		c.Genesis, c.HeadHash = s.mark.Genesis.String(), head.Hash.String()
	}
	c.Connected, c.Since, c.Paused = s.link == up, s.linkSince, s.paused
	c.Cap, c.Bytes = s.limits.Queue, s.bytes
	c.LastError, c.LastErrorAt = s.err, s.errAt
	c.Outbox = map[string]int{}
	for _, e := range s.order {
		if e.phase == gone || e.phase == adding {
			continue
		}
		if c.Oldest.IsZero() {
			c.Oldest = e.Accepted
		}
		c.Outbox[shown[e.phase]]++
	}
	for _, l := range s.senders {
		c.Senders = append(c.Senders, inspect.ChainSender{Account: l.account.String(), Nonce: l.chainNonce(), Flight: l.flight})
	}
	at := map[*lane]int{}
	for n, l := range s.senders {
		at[l] = n
	}
	for _, e := range s.order {
		if e.phase == waiting {
			c.Senders[at[e.lane]].Waiting++
		}
	}
	c.Waiting = s.waitsFor(now, c)
	return c
}

// waitsFor says in words what has to happen next.
func (s *State) waitsFor(now time.Time, c inspect.Chain) string {
	since := func(t time.Time) string { return max(now.Sub(t), 0).Round(time.Second).String() }
	switch {
	case s.loading && s.disk != nil:
		return "the outbox can be read from the disk: " + string(s.disk.Code)
	case s.loading:
		return "the outbox is read from the disk"
	case s.other != nil:
		return "the chain of before: another one answers, and nothing is sent to it"
	case s.link == binding:
		return "it is written down which chain this is"
	case s.link != up && s.linkSince.IsZero():
		return "the chain answers for the first time"
	case s.link != up:
		return "the chain answers again, since " + since(s.linkSince)
	case len(s.broken) > 0:
		return fmt.Sprintf("%d changes can be written to the disk", len(s.broken))
	case !s.synced():
		return fmt.Sprintf("%d blocks are read that the chain has", c.Lag)
	case len(s.entries) == 0:
		return ""
	case s.paused && c.Outbox["waiting"] > 0:
		return fmt.Sprintf("an operator lets %d calls go on: the outbox is paused", c.Outbox["waiting"])
	case s.clock < s.pause:
		return "the chain takes transactions again: it refused the last one"
	}
	for _, l := range s.senders {
		if !l.able && l.waiting.some() {
			return "a key for the sender " + l.account.String()
		}
	}
	switch {
	case c.Outbox["submitted"]+c.Outbox["signed"] > 0:
		return fmt.Sprintf("%d transactions come into a block", c.Outbox["submitted"]+c.Outbox["signed"])
	case c.Outbox["in_block"] > 0:
		return fmt.Sprintf("%d transactions become final", c.Outbox["in_block"])
	case c.Outbox["in_doubt"] > 0:
		return fmt.Sprintf("it is certain that %d transactions never come into a block", c.Outbox["in_doubt"])
	case c.Outbox["waiting"] > 0:
		return fmt.Sprintf("%d calls are signed", c.Outbox["waiting"])
	}
	return "the disk"
}

func (q *queue[K]) some() bool {
	_, ok := q.first()
	return ok
}
