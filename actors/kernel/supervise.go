package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/troupehost/troupe/actors/fault"
)

// Policy is the restart budget of an actor. The zero Policy is 5 restarts in 1 minute, 100 ms to 10 s apart.
type Policy struct {
	// MaxRestarts within Window; one more failure and the actor is given up. Default 5.
	MaxRestarts int
	// Window over which restarts are counted. Default 1 minute.
	Window time.Duration
	// Min is the first back-off; it doubles with each restart in the window. Default 100 ms.
	Min time.Duration
	// Max caps the back-off. Default 10 s.
	Max time.Duration
	// Temporary actors are not restarted: the first failure stops them and only their parent is told (Options.OnExit).
	Temporary bool
}

func (p Policy) withDefaults() Policy {
	p.MaxRestarts = cmp.Or(max(p.MaxRestarts, 0), 5)
	p.Window = cmp.Or(max(p.Window, 0), time.Minute)
	p.Min = cmp.Or(max(p.Min, 0), 100*time.Millisecond)
	p.Max = max(cmp.Or(max(p.Max, 0), 10*time.Second), p.Min)
	return p
}

// recent is restarts, oldest first, without those that left the window.
func (p Policy) recent(restarts []time.Time, now time.Time) []time.Time {
	i, _ := slices.BinarySearchFunc(restarts, now.Add(-p.Window), func(t, edge time.Time) int {
		if t.After(edge) {
			return 1
		}
		return -1
	})
	return restarts[i:]
}

// next decides on a failure: the restarts including the one to come, and how long to wait before it, or ok = false when
// the budget is used up. jitter in [0, 1) takes up to a quarter off, so that actors that fell together rise apart.
func (p Policy) next(restarts []time.Time, now time.Time, jitter float64) (kept []time.Time, delay time.Duration, ok bool) {
	kept = p.recent(restarts, now)
	if p.Temporary || len(kept) >= p.MaxRestarts {
		return kept, 0, false
	}
	delay = p.Min
	for range kept {
		delay = min(delay*2, p.Max)
	}
	delay -= time.Duration(jitter * float64(delay) / 4)
	return append(kept, now), delay, true
}

var (
	errBudget = errors.New("it failed more often than its restart policy allows")
	errGoexit = errors.New("a handler ended its goroutine")
	errStuck  = errors.New("it cannot be restarted: what it runs, or runs below it, does not end")
)

// failure travels through the library from a failed actor to the decision.
type failure struct{ b *base }

// Error is for the library's own log line: the failure itself was logged where it was recovered.
func (f *failure) Error() string { return f.b.path + " failed" }

// supervisor is the library's SupervisorStrategy of every actor. The decision is the failed actor's own Policy.
type supervisor struct{}

// HandleFailure runs on the goroutine of the parent of the failed actor.
func (supervisor) HandleFailure(_ *actor.ActorSystem, _ actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	supervise(reason)
}

func supervise(reason any) {
	f, ok := reason.(*failure)
	if !ok {
		return // nothing else ever fails here
	}
	b, now := f.b, time.Now()
	b.mu.Lock()
	if b.closed { // it is stopping already
		b.mu.Unlock()
		return
	}
	var delay time.Duration
	if b.restarts, delay, ok = b.policy.next(b.restarts, now, rand.Float64()); ok {
		b.enter(backoff)
		b.nextRestart = now.Add(delay)
		b.restart = time.AfterFunc(delay, func() { b.self.PostSystemMessage(&actor.Restart{}) })
		b.mu.Unlock()
		return
	}
	if b.policy.Temporary {
		b.exitErr = b.lastFault
		b.mu.Unlock()
	} else {
		err := fault.New(fault.HostGaveUp, "actor", b.path, fmt.Errorf("%w; last: %w", errBudget, b.lastFault))
		b.exitErr = err
		b.enter(gaveUp)
		b.mu.Unlock()
		b.sys.giveUp(b, err)
	}
	b.self.PostSystemMessage(&actor.Stop{})
}

// overdue gives up an actor whose restart waits for children that do not end.
func (b *base) overdue() {
	b.mu.Lock()
	if !b.due || b.closed {
		b.mu.Unlock()
		return
	}
	b.due = false
	err := fault.New(fault.HostGaveUp, "actor", b.path, fmt.Errorf("%w; last: %w", errStuck, b.lastFault))
	b.exitErr = err
	b.enter(gaveUp)
	b.mu.Unlock()
	b.sys.giveUp(b, err)
	b.self.PostSystemMessage(&actor.Stop{})
}

func panicFault(path string, r any) *fault.Error {
	if c, ok := r.(*crash); ok {
		r = c.value
	}
	if err, ok := r.(error); ok { // keep the cause for errors.Is, its text is bounded where it is printed
		return fault.New(fault.BugPanic, "actor", path, err)
	}
	return fault.New(fault.BugPanic, "actor", path, errors.New(fault.Quote(fmt.Sprint(r))))
}
