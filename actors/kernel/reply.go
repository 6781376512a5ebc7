package kernel

import (
	"errors"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
)

// Reply is a one-shot answer, lent to the asked actor inside of a message. It is a value: it may be stored, compared and
// passed on to another actor. The first answer counts. Another Answer is a bug, which is logged and counted; another Fail is
// nothing, so that a message may be failed without asking how far it came. What comes too late, because the asker left or
// sent the request again after a restart, is ignored. The zero Reply ignores its answer.
type Reply[R any] struct {
	to      replier[R]
	attempt uint8
}

type replier[R any] interface {
	settle(attempt uint8, r R, err error)
}

// Answer gives the asker its answer.
func (r Reply[R]) Answer(v R) {
	if r.to != nil {
		r.to.settle(r.attempt, v, nil)
	}
}

// Fail gives the asker an error in place of an answer.
func (r Reply[R]) Fail(err error) {
	if err == nil {
		err = fault.New(fault.BugProtocol, "reply", "", errors.New("failed without an error"))
	}
	if r.to != nil {
		var none R
		r.to.settle(r.attempt, none, err)
	}
}

// String keeps addresses and internals out of logs and traces.
func (r Reply[R]) String() string { return "reply" }

// ReplyFunc makes a Reply that calls f with the first answer, on the goroutine that answers. It is for adapters and for
// tests of cores; between actors there is Request.
func ReplyFunc[R any](f func(R, error)) Reply[R] { return Reply[R]{to: &funcReply[R]{f: f}} }

type funcReply[R any] struct {
	once sync.Once
	f    func(R, error)
}

func (p *funcReply[R]) settle(_ uint8, r R, err error) { p.once.Do(func() { p.f(r, err) }) }

// promise is an unanswered request. The asker owns it; while the asked actor has it, it is also on that actor's loans.
type promise[R any] struct {
	loan
	sys  *System
	path string // of the asked actor
	wake func() // tells the asker that poll has something new

	ready chan struct{} // where wake tells an asker outside of the actors

	mu      sync.Mutex
	attempt uint8
	state   promiseState
	value   R
	err     error
}

type promiseState uint8

const (
	waiting   promiseState = iota
	retry                  // the asked actor restarted: the asker is to send the request again
	answered               // by the asked actor
	refused                // by the kernel
	abandoned              // by the asker
)

const maxAttempts = 2

func (p *promise[R]) init(b *base, wake func()) {
	p.sys, p.path, p.wake, p.attempt = b.sys, b.path, wake, 1
	p.lender = p
}

// reply is the asked actor's end.
func (p *promise[R]) reply() Reply[R] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Reply[R]{to: p, attempt: p.attempt}
}

func (p *promise[R]) settle(attempt uint8, r R, err error) {
	p.mu.Lock()
	if p.state == answered && attempt == p.attempt && err == nil {
		p.mu.Unlock()
		p.sys.bug(p.path, "request answered twice", fault.New(fault.BugProtocol, "reply", p.path, nil), nil)
		return
	}
	if p.state != waiting || attempt != p.attempt { // too late
		p.mu.Unlock()
		return
	}
	p.state, p.value, p.err = answered, r, err
	p.mu.Unlock()
	p.giveBack()
	p.wake()
}

// refuse answers for the asked actor: the message was refused, drained, or panicked on.
func (p *promise[R]) refuse(err error) {
	p.mu.Lock()
	if p.state != waiting {
		p.mu.Unlock()
		return
	}
	p.state, p.err = refused, err
	p.mu.Unlock()
	p.giveBack()
	p.wake()
}

// lost tells that the incarnation which had the request is gone.
func (p *promise[R]) lost() {
	p.mu.Lock()
	switch {
	case p.state != waiting:
		p.mu.Unlock()
		return
	case p.attempt < maxAttempts:
		p.attempt++
		p.state = retry
	default:
		p.state, p.err = refused, fault.New(fault.BugNoAnswer, "request to", p.path, nil)
	}
	p.mu.Unlock()
	p.wake()
}

// lend puts the request on the loans of the actor that is about to handle it.
func (p *promise[R]) lendTo(to *loans) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == waiting {
		to.add(&p.loan)
	}
}

func (p *promise[R]) abandon() {
	p.mu.Lock()
	if p.state == waiting || p.state == retry {
		p.state = abandoned
	}
	p.mu.Unlock()
	p.giveBack()
}

// poll is the asker's look at the promise: the request is to be sent again, or here is the answer.
func (p *promise[R]) poll() (r R, err error, again bool) { //nolint:revive // the error is half of the answer
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == retry {
		p.state = waiting
		return r, nil, true
	}
	return p.value, p.err, false
}

// loans are the requests that an incarnation has accepted and not answered.
type loans struct {
	mu   sync.Mutex
	last *loan
}

// loan is the link of a promise in the list of its borrower.
type loan struct {
	lender interface {
		lendTo(*loans)
		lost()
		refuse(error)
	}
	to         *loans // set when it is first lent; guarded by the promise
	prev, next *loan  // guarded by to.mu
	linked     bool   // guarded by to.mu
}

func (l *loan) lend(to *loans) { l.lender.lendTo(to) }

func (l *loan) giveBack() {
	to := l.to
	if to == nil {
		return
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if l.linked {
		to.unlink(l)
	}
}

func (s *loans) add(l *loan) {
	l.to = s
	s.mu.Lock()
	defer s.mu.Unlock()
	l.prev, l.next, l.linked = s.last, nil, true
	if s.last != nil {
		s.last.next = l
	}
	s.last = l
}

func (s *loans) unlink(l *loan) {
	if l.prev != nil {
		l.prev.next = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		s.last = l.prev
	}
	l.prev, l.next, l.linked = nil, nil, false
}

// takeAll empties the list and returns the loans, oldest first.
func (s *loans) takeAll() []*loan {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*loan
	for s.last != nil {
		all = append(all, s.last)
		s.unlink(s.last)
	}
	slices.Reverse(all)
	return all
}

// Opaque is what recordings know of a Reply: that it is the same one, and not what it is.
type Opaque interface {
	// Identity is comparable; nil: the zero Reply.
	Identity() (identity any, attempt uint8)
	// Forge makes a Reply that answers nobody, equal to others of the same identity, which it returns; nil: of a new one.
	Forge(identity any, attempt uint8) any
}

// Identity is part of Opaque.
func (r *Reply[R]) Identity() (identity any, attempt uint8) {
	if r.to == nil {
		return nil, 0
	}
	return r.to, r.attempt
}

// Forge is part of Opaque.
func (r *Reply[R]) Forge(identity any, attempt uint8) any {
	to, ok := identity.(replier[R])
	if !ok {
		to = &forged[R]{}
	}
	r.to, r.attempt = to, attempt
	return to
}

// forged answers nobody.
type forged[R any] struct{ _ byte } // two of them are not at one address

func (*forged[R]) settle(uint8, R, error) {}
