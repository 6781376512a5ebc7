package sessions

import (
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// TestClockThatJumps: running time is what went on between two looks; a clock that is set back neither takes any away nor stops
// the count.
func TestClockThatJumps(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	m := &manifest.Manifest{Version: 2, Terms: &manifest.Terms{}}
	a := newApp(start, Limits{}, Setup{Record: Record{Entry: manifest.Service, Reuse: manifest.Keep, Wanted: 1}, Manifest: m})
	a.Step(start, begin{reply: kernel.ReplyFunc(func(Standing, error) {})})
	a.Step(start, grant{1})
	a.Step(start, up{1})
	var before, want time.Duration
	now := start
	for _, step := range []time.Duration{time.Second, -time.Hour, 2 * time.Second, -time.Millisecond, 0, 3 * time.Second, -48 * time.Hour, time.Second} {
		now = now.Add(step)
		want += max(step, 0)
		a.count(now)
		got := time.Duration(a.rec.State.Totals.RunningTimeMS) * time.Millisecond
		if got < before || got != want {
			t.Errorf("after a step of %v: %v are counted, %v before, want %v", step, got, before, want)
		}
		before = got
	}
}

// TestScheduleOverAClockJump: the first run after a restart is due by the clock of then, but no later than it was from the
// deployment; and runs that were missed are not made up for.
func TestScheduleOverAClockJump(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := &manifest.Manifest{Version: 2, Terms: &manifest.Terms{Schedule: manifest.Schedule{Start: time.Minute, Period: time.Minute}}}
	for deployed, want := range map[time.Duration]time.Duration{
		0:                 time.Minute,
		-20 * time.Second: 40 * time.Second,
		time.Hour:         time.Minute, // the clock was set back
		-48 * time.Hour:   0,           // it was set forward, or the host was away
	} {
		a := newApp(now, Limits{}, Setup{Record: Record{Entry: manifest.Command, Reuse: manifest.Reset, Wanted: 1, Deployed: now.Add(deployed)}, Manifest: m})
		if got := a.nextAt.Sub(now); got != want {
			t.Errorf("deployed at %v: the first run is due in %v, want %v", deployed, got, want)
		}
		a.Step(now.Add(want), tick{})
		if a.due > 1 {
			t.Errorf("deployed at %v: %d runs are due at once", deployed, a.due)
		}
		if next := a.nextAt.Sub(now.Add(want)); next <= 0 || next > time.Minute {
			t.Errorf("deployed at %v: the run after that is due in %v", deployed, next)
		}
	}
}
