package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

const (
	restartWait  = time.Second // for which a restart is waited for
	levelFor     = 10 * time.Minute
	maxLevelFor  = 24 * time.Hour
	levelDefault = "default"
)

var (
	errKilled    = errors.New("an operator ended it")
	errByHand    = errors.New("an operator restarts it")
	errEphemeral = errors.New("it is never restarted: its owner starts another one when it is killed")
	errPart      = errors.New("it is a part of the host, which can be restarted")
	errLevel     = errors.New("levels are trace, debug, info, warn, error and default")
)

// find returns an actor. Of another incarnation than the one that is meant, the caller knows too little to touch it;
// generation 0 means any.
func (s *System) find(path string, generation uint64, op string) (node, error) {
	s.mu.Lock()
	n, ok := s.table[path]
	s.mu.Unlock()
	if !ok {
		return nil, fault.New(fault.CallerNotFound, op, fault.Quote(path), nil)
	}
	b := n.core()
	b.mu.Lock()
	defer b.mu.Unlock()
	if generation != 0 && generation != b.number {
		return nil, fault.New(fault.CallerStale, op, path, fmt.Errorf("it is at incarnation %d, not %d", b.number, generation))
	}
	return n, nil
}

// Pause has the work lane of an actor wait: also that of its next incarnations, until Resume. Control messages and answers
// still arrive. What is paused already stays so.
//
// # Errors
//   - caller.not_found: there is no such actor
//   - caller.stale: it has another incarnation
func (s *System) Pause(path string, generation uint64) error {
	return s.hold(path, generation, "pause", true)
}

// Resume has the work lane of an actor move again. Errors are those of Pause.
func (s *System) Resume(path string, generation uint64) error {
	return s.hold(path, generation, "resume", false)
}

func (s *System) hold(path string, generation uint64, op string, paused bool) error {
	n, err := s.find(path, generation, op)
	if err != nil {
		return err
	}
	b := n.core()
	b.mu.Lock()
	if b.paused != paused {
		b.paused = paused
		b.become(map[bool]state{true: pausing, false: resuming}[paused], s.clock())
	}
	n.wakeAndUnlock()
	return nil
}

// again asks an actor, on its system lane, to replace its incarnation.
type again struct{}

// Restart begins a new incarnation of an actor at once, as after a panic but without counting against its restart budget:
// requests that it had accepted and not answered are sent to it once more. It waits up to a second for that.
//
// # Errors
//   - caller.not_found, caller.stale: as of Pause
//   - caller.denied: actors of its kind are never restarted
//   - caller.host_closed: it is stopping
//   - caller.conflict: it cannot be restarted before the handler that it is in returns, or before its children have ended, and is then
//   - canceled.caller_left, canceled.deadline: ctx ended
func (s *System) Restart(ctx context.Context, path string, generation uint64) error {
	n, err := s.find(path, generation, "restart")
	if err != nil {
		return err
	}
	b := n.core()
	b.mu.Lock()
	switch {
	case b.policy.Temporary:
		b.mu.Unlock()
		return fault.New(fault.CallerDenied, "restart", path, errEphemeral)
	case b.closed:
		b.mu.Unlock()
		return fault.New(fault.CallerClosed, "restart", path, nil)
	}
	first := b.risen == nil
	if first {
		b.risen = make(chan struct{})
	}
	risen, from := b.risen, b.number
	b.mu.Unlock()
	if first { // those who ask meanwhile wait for the same one
		n.PostSystemMessage(&again{})
	}
	wait := time.NewTimer(restartWait)
	defer wait.Stop()
	select {
	case <-risen:
	case <-ctx.Done():
		return canceled(ctx, path)
	case <-wait.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.number > from && b.state == running:
		return nil
	case b.hand.typ != nil:
		return fault.New(fault.CallerConflict, "restart", path, fmt.Errorf("it has been handling %s for %v, and is restarted when that returns",
			b.hand.typ, time.Duration(s.clock()-b.hand.began).Round(time.Millisecond)))
	case b.closed:
		return fault.New(fault.CallerClosed, "restart", path, b.exitErr)
	case b.children > 0:
		return fault.New(fault.CallerConflict, "restart", path, fmt.Errorf("it is restarted when its %d children have ended", b.children))
	}
	return fault.New(fault.CallerConflict, "restart", path, errors.New("the new incarnation has not begun yet"))
}

// replace ends the incarnation and has another one begin. It runs between two messages.
func (c *cell[M]) replace() {
	c.mu.Lock()
	switch {
	case c.closed:
		c.mu.Unlock()
		return
	case c.c == nil: // it fell: what is left of its back-off is forgone
		soon := c.state == backoff && !c.due && c.restart != nil && c.restart.Stop()
		c.mu.Unlock()
		if soon {
			c.PostSystemMessage(&actor.Restart{})
		}
		return
	}
	c.suspended, c.byHand = true, true
	c.become(replaced, c.sys.clock())
	c.enter(backoff)
	c.mu.Unlock()
	c.fell(fault.New(fault.CanceledStopped, "actor", c.path, errByHand))
	c.PostSystemMessage(&actor.Restart{})
}

// Kill ends one actor whose Options say Killable, with its children and what it runs. Its parent is told with canceled.revoked.
//
// # Errors
//   - caller.not_found, caller.stale: as of Pause
//   - caller.denied: it is not of a kind that may be ended alone
func (s *System) Kill(path string, generation uint64) error {
	n, err := s.find(path, generation, "kill")
	if err != nil {
		return err
	}
	b := n.core()
	if !b.killable {
		return fault.New(fault.CallerDenied, "kill", path, errPart)
	}
	b.mu.Lock()
	b.killed = true
	b.mu.Unlock()
	n.PostSystemMessage(&actor.Stop{})
	return nil
}

// leveled is the log level that an actor has for a while.
type leveled struct {
	name  string
	timer *time.Timer
}

func (l *leveled) String() string {
	if l == nil {
		return ""
	}
	return l.name
}

func (l *leveled) end() {
	if l != nil {
		l.timer.Stop()
	}
}

// LogLevel gives the logger of an actor another level for a while: 10 minutes if lasts is 0, at most a day. "default" takes that back.
//
// # Errors
//   - caller.not_found: there is no such actor
//   - caller.invalid_request: there is no such level
func (s *System) LogLevel(path, level string, lasts time.Duration) error {
	n, err := s.find(path, 0, "log level")
	if err != nil {
		return err
	}
	l, err := zerolog.ParseLevel(level)
	if plain := level == levelDefault || level == ""; !plain && (err != nil || l < zerolog.TraceLevel || l > zerolog.ErrorLevel) {
		return fault.New(fault.CallerInvalid, "log level", fault.Quote(level), errLevel)
	} else if plain {
		n.core().relevel(nil, s.log)
		return nil
	}
	b := n.core()
	v := &leveled{name: l.String()}
	b.mu.Lock()
	v.timer = time.AfterFunc(min(cmp.Or(max(lasts, 0), levelFor), maxLevelFor), func() {
		b.mu.Lock()
		mine := b.level == v
		b.mu.Unlock()
		if mine {
			b.relevel(nil, s.log)
		}
	})
	b.mu.Unlock()
	b.relevel(v, s.log.Level(l))
	return nil
}

func (b *base) relevel(v *leveled, log zerolog.Logger) {
	l := log.With().Str("actor", b.path).Logger()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level.end()
	b.level = v
	b.logger.Store(&l)
}
