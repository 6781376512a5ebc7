package host

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// useAgain is how long after a failure what was used is sent again.
const useAgain = 200 * time.Millisecond

// appMeter gathers what one guest uses. What is on its way to the app's actor has a key until it is known to be written: an ask that
// failed may have been counted, and is repeated under the same key.
type appMeter struct {
	a   *apps
	app manifest.Address
	own bool // the guest is a run of its own, whose start and time are counted here

	mu      sync.Mutex
	pending meter.Use
	sent    meter.Use
	key     uint64    // of sent; 0: there is none
	told    meter.Use // that is written, or will be
	since   time.Time // own: until when its time is counted; zero: it has not begun
}

// Add implements calls.Meter.
func (m *appMeter) Add(u meter.Use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending.Merge(u)
}

// begun counts the start of a run of its own, the first time.
func (m *appMeter) begun() {
	if !m.own {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() {
		m.since = time.Now()
		m.pending.Starts++
	}
}

// runLocked counts the time of a run of its own.
func (m *appMeter) runLocked() {
	if m.since.IsZero() {
		return
	}
	if d := time.Since(m.since).Truncate(time.Millisecond); d > 0 {
		m.since = m.since.Add(d)
		m.pending.Running += d
	}
}

// take returns what is not sent yet, which is the caller's from now on, and what is.
func (m *appMeter) take() (rest, told meter.Use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key != 0 {
		m.a.later(&appMeter{a: m.a, app: m.app, sent: m.sent, key: m.key})
		m.told.Merge(m.sent)
		m.sent, m.key = meter.Use{}, 0
	}
	m.runLocked()
	rest, m.pending = m.pending, meter.Use{}
	return rest, m.told
}

// Commit implements calls.Meter.
func (m *appMeter) Commit(ctx context.Context) error {
	for range 2 { // what is on its way, and what was added since
		key, u := m.send()
		if key == 0 {
			return nil
		}
		if err := m.a.useOnce(ctx, m.app, key, u); err != nil {
			return err
		}
		m.mu.Lock()
		if m.key == key {
			m.told.Merge(u)
			m.sent, m.key = meter.Use{}, 0
		}
		m.mu.Unlock()
	}
	return nil
}

// send returns what is on its way, or is from now on.
func (m *appMeter) send() (uint64, meter.Use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.key != 0 {
		return m.key, m.sent
	}
	m.runLocked()
	if m.pending == (meter.Use{}) {
		return 0, meter.Use{}
	}
	m.key, m.sent, m.pending = m.a.useKeys.Add(1), m.pending, meter.Use{}
	return m.key, m.sent
}

// countEvery is how often guests that say nothing are counted.
const countEvery = time.Second

// keepCounting has counted what guests use while they live, so that little is lost should this process die.
func (a *apps) keepCounting(ctx context.Context) {
	t := time.NewTicker(countEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if n%int(historyEvery/countEvery) == 0 {
			a.keepHistory(ctx)
		}
		a.mu.Lock()
		guests := slices.Collect(maps.Keys(a.guests))
		a.mu.Unlock()
		for _, g := range guests {
			if err := g.count(ctx); err != nil && fault.CodeOf(err) != fault.CallerNotFound {
				a.h.log.Debug().Err(err).Str("app", g.meter.app.String()).Msg("what a guest used is written later")
			}
		}
	}
}

// lastWait is how long the end of an instance waits until what it used is written.
const lastWait = 300 * time.Millisecond

// last has what is left written. An actor that has failed begins again when its guests have ended, so that none may wait for it: then
// that is written as soon as there is an actor.
func (m *appMeter) last(u meter.Use) {
	m.Add(u)
	ctx, cancel := context.WithTimeout(context.Background(), lastWait)
	defer cancel()
	if err := m.Commit(ctx); err != nil && fault.CodeOf(err) != fault.CallerNotFound {
		m.a.later(m)
	}
}

// later has what was used written by somebody else, as soon as that works.
func (a *apps) later(m *appMeter) {
	a.h.beside.Go(func() {
		t := time.NewTimer(0)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-a.h.life.Done():
				a.h.log.Error().Str("app", m.app.String()).Msg("what an app used was not written before the host stopped")
				return
			}
			err := m.Commit(a.h.life)
			if err == nil || fault.CodeOf(err) == fault.CallerNotFound { // it was removed
				return
			}
			t.Reset(useAgain)
		}
	})
}

// use has an app's actor count what was used, and returns when that is written. After an error it is tried again until it is.
func (a *apps) use(ctx context.Context, app manifest.Address, u meter.Use) error {
	m := &appMeter{a: a, app: app, pending: u}
	err := m.Commit(ctx)
	if err != nil && fault.CodeOf(err) != fault.CallerNotFound {
		a.later(m)
	}
	return err
}

func (a *apps) useOnce(ctx context.Context, app manifest.Address, key uint64, u meter.Use) error {
	_, err := kernel.Ask(ctx, a.actor, func(to kernel.Reply[struct{}]) sessions.Message {
		return sessions.Use{Address: app, Key: key, Use: u, Reply: to}
	})
	if err == nil {
		a.history.touch(app)
	}
	return err
}
