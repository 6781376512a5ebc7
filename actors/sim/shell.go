package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

var errInjected = errors.New("injected by the simulation")

// Shell is what a Do has in place of the kernel's Ctx: one incarnation of a node. What it starts ends with it.
type Shell struct {
	w   *World
	n   *node
	err error
}

func (s *Shell) alive() bool { return s.n.shell == s }

// World is where the node lives.
func (s *Shell) World() *World { return s.w }

// Name is the name of the node.
func (s *Shell) Name() string { return s.n.name }

// Incarnation counts from 1.
func (s *Shell) Incarnation() uint64 { return s.n.number }

// Now is the virtual time.
func (s *Shell) Now() time.Time { return s.w.now }

// Rand is for models of the outside.
func (s *Shell) Rand() *rand.Rand { return s.w.model }

// Err is the failure that was chosen for the effect in hand, or nil.
func (s *Shell) Err() error { return s.err }

// Send puts m into the work lane of a node, like the kernel's Ref.Send: busy.queue_full and caller.host_closed are refusals.
func (s *Shell) Send(to string, m any) error { return s.w.post(s.n, to, work, message{m: m}) }

// Control puts m into the control lane of a node.
func (s *Shell) Control(to string, m any) error { return s.w.post(s.n, to, control, message{m: m}) }

// Requeue puts a message behind the work that waits for this node, like the kernel's Ctx.Requeue.
func (s *Shell) Requeue(m any) {
	if s.alive() {
		_ = s.w.post(s.n, s.n.name, behind, message{m: m})
	}
}

// After delivers m to this node in d, like the kernel's Ctx.After.
func (s *Shell) After(d time.Duration, m any) (cancel func()) {
	var e *event
	e = s.w.at(s, d, func() { s.arrive(s.n, func() (any, bool) { return m, !e.canceled }) })
	return func() { e.canceled = true }
}

// Go stands for long work beside the actor: after d its result, made at that time, comes back as a message.
func (s *Shell) Go(d time.Duration, f func() any) {
	s.w.at(s, d, func() {
		m := f()
		s.arrive(s.n, func() (any, bool) { return m, true })
	})
}

// arrive puts something into the answer lane of this incarnation.
func (s *Shell) arrive(from *node, take func() (any, bool)) {
	if !s.alive() {
		return
	}
	_ = s.w.post(from, s.n.name, answers, message{take: func() (any, bool) {
		if !s.alive() {
			return nil, false
		}
		return take()
	}})
}

// Stop stops the node: what waits is answered with canceled.host_stopped, what comes is refused.
func (s *Shell) Stop() {
	if s.alive() {
		s.w.note("  %s stops", s.n.name)
		s.w.stop(s.n)
	}
}

func (w *World) stop(n *node) {
	n.closed, n.shell = true, nil
	err := fault.New(fault.CanceledStopped, "actor", n.name, nil)
	for _, l := range w.links {
		if l.to != n {
			continue
		}
		for _, m := range l.queue {
			failMessage(m.m, err)
			m.loan.fail(err)
		}
		l.queue = nil
	}
	w.links = slices.DeleteFunc(w.links, func(l *link) bool { return l.to == n })
	for _, l := range n.takeHeld() {
		l.fail(err)
	}
}

// crash ends the incarnation of n like a panic.
func (w *World) crash(n *node) {
	if n.shell == nil {
		return
	}
	n.shell = nil
	held := n.takeHeld()
	if cur := n.cur; cur != nil {
		err := fault.New(fault.BugPanic, "actor", n.name, errInjected)
		failMessage(cur.m, err)
		cur.loan.fail(err)
	}
	for _, l := range held {
		l.lost()
	}
	w.at(nil, restartBackoff, func() {
		if !n.closed {
			w.note("%s restarts", n.name)
			n.start()
		}
	})
}

// loan is a request that is not answered yet.
type loan struct {
	attempt int
	settled bool
	holder  *node // whose incarnation has it
	resend  func(attempt int)
	refuse  func(error)
}

func (n *node) takeHeld() []*loan {
	held := n.held
	n.held = nil
	return slices.DeleteFunc(held, func(l *loan) bool { return l.settled })
}

func (l *loan) fail(err error) {
	if l != nil && !l.settled {
		l.refuse(err)
	}
}

func (l *loan) lost() {
	if l.settled {
		return
	}
	if l.attempt == 1 {
		l.attempt = 2
		l.resend(2)
		return
	}
	l.fail(fault.New(fault.BugNoAnswer, "request to", l.holder.name, nil))
}

// Request asks another node, like the kernel's Request: build makes the message around a function that answers, and is
// called again if the asked node restarts before it answers; back makes a message of the answer, which is never refused.
// The function that answers fits the kernel's ReplyFunc. Answering twice fails the run; answering late is ignored.
func Request[R any](s *Shell, to string, build func(answer func(R, error)) any, back func(R, error) any) {
	w, l := s.w, &loan{attempt: 1}
	settle := func(from *node, r R, err error) {
		l.settled = true
		if l.holder != nil {
			l.holder.held = slices.DeleteFunc(l.holder.held, func(h *loan) bool { return h == l })
		}
		s.arrive(from, func() (any, bool) { return back(r, err), true })
	}
	l.refuse = func(err error) {
		var none R
		settle(w.nodes[to], none, err)
	}
	l.resend = func(attempt int) {
		if !s.alive() {
			return
		}
		answered := false
		m := build(func(r R, err error) {
			switch {
			case attempt != l.attempt: // sent again since
			case answered && err == nil:
				w.fail(fmt.Errorf("%s answered a request of %s twice", to, s.n.name))
			case !l.settled:
				answered = true
				settle(w.nodes[to], r, err)
			}
		})
		if err := w.post(s.n, to, work, message{m: m, loan: l}); err != nil {
			l.fail(err)
		}
	}
	l.resend(1)
}
