package turns

import (
	"context"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Table has the turns of a host.
type Table struct {
	now func() time.Time

	mu    sync.Mutex
	core  *core
	timer *time.Timer
	armed bool // the timer will look for turns that were kept too long
}

// Turn is the place of one run, or of one instance.
type Turn struct {
	t *Table
	e *entry

	ready chan struct{} // made when it has to wait for the first time; guarded by Table.mu
}

// New returns a table with turns for a number of cores. A nil now is the time of the machine.
func New(cores int, now func() time.Time) *Table {
	if now == nil {
		now = time.Now
	}
	return &Table{now: now, core: newCore(cores)}
}

// Join adds a run of an app, which begins to compute. All runs of an app share its weight; 0 means DefaultWeight, and the one that
// was given last counts. idle: it has turns only when nobody else wants to compute.
func (t *Table) Join(app string, weight uint32, idle bool) *Turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := &Turn{t: t, e: t.core.join(app, weight, idle)}
	u.e.turn = u
	return u
}

// Next ends a slice and returns when the run may compute another one. gas is what it has used in all.
//
// # Errors
//
// canceled.*: ctx ended, and the run has no turn. canceled.stopped: it has left.
func (u *Turn) Next(ctx context.Context, gas int64) error {
	now := u.t.now()
	u.t.mu.Lock()
	u.t.core.next(u.e, gas, now)
	return u.await(ctx)
}

// Spent takes note of the gas that a run has used in all. It asks for nothing, and keeps its turn if it has one.
func (u *Turn) Spent(gas int64) {
	u.t.mu.Lock()
	u.t.core.spent(u.e, gas)
	u.t.mu.Unlock()
}

// Pause says that the run waits for something else.
func (u *Turn) Pause() {
	now := u.t.now()
	u.t.mu.Lock()
	u.t.core.pause(u.e, now)
	u.t.wakeLocked()
	u.t.mu.Unlock()
}

// Resume returns when a run whose wait is over may compute. Its errors are those of Next.
func (u *Turn) Resume(ctx context.Context) error {
	now := u.t.now()
	u.t.mu.Lock()
	if u.e.state != paused {
		u.t.mu.Unlock()
		return nil
	}
	u.t.core.resume(u.e, now)
	return u.await(ctx)
}

// Leave ends the run. It may be called more than once.
func (u *Turn) Leave() {
	now := u.t.now()
	u.t.mu.Lock()
	u.t.core.leave(u.e, now)
	if u.ready != nil {
		u.call()
	}
	u.t.wakeLocked()
	u.t.mu.Unlock()
}

// await returns when the run has its turn. It is called with Table.mu, and gives it back.
func (u *Turn) await(ctx context.Context) error {
	t := u.t
	t.wakeLocked()
	for u.e.state == waiting {
		if u.ready == nil {
			u.ready = make(chan struct{}, 1)
		}
		ready := u.ready
		t.mu.Unlock()
		select {
		case <-ready:
		case <-ctx.Done():
		}
		t.mu.Lock()
		if u.e.state == waiting && ctx.Err() != nil {
			break
		}
	}
	defer t.mu.Unlock()
	if u.e.state == gone {
		return fault.New(fault.CanceledStopped, "turn", "", nil)
	}
	if err := ctx.Err(); err != nil {
		t.core.pause(u.e, t.now())
		t.wakeLocked()
		return fault.From(err)
	}
	return nil
}

func (u *Turn) call() {
	select {
	case u.ready <- struct{}{}:
	default:
	}
}

// wakeLocked tells those that have a turn now, and has the timer look after those that wait.
func (t *Table) wakeLocked() {
	for i, e := range t.core.granted {
		if e.turn.ready != nil {
			e.turn.call()
		}
		t.core.granted[i] = nil
	}
	t.core.granted = t.core.granted[:0]
	if t.armed || !t.core.starved() {
		return
	}
	t.armed = true
	if t.timer == nil {
		t.timer = time.AfterFunc(MaxHold, t.tick)
	} else {
		t.timer.Reset(MaxHold)
	}
}

func (t *Table) tick() {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.armed = false
	t.core.lapse(now)
	t.wakeLocked()
}
