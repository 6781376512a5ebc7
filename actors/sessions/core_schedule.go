package sessions

import (
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// planFirst finds when the schedule begins, or goes on after the host was down: what was missed is not made up for, but a
// first run that has not begun is late.
func (a *app) planFirst(now time.Time) {
	s, wall := a.terms.Schedule, now.Round(0)
	if !a.hasSchedule() || a.over() {
		return
	}
	// The wall clock counts while the host is down, and only then.
	wait := min(a.rec.Deployed.Round(0).Add(s.Start).Sub(wall), s.Start)
	if wait < 0 && a.rec.State.Runs > 0 && s.Period > 0 {
		wait %= s.Period
		if wait < 0 {
			wait += s.Period
		}
	}
	a.nextAt = now.Add(max(wait, 0))
}

// over reports whether all runs of the schedule have begun.
func (a *app) over() bool {
	s, n := a.terms.Schedule, a.rec.State.Runs
	if s.Period == 0 {
		return n >= 1
	}
	return s.Repeats > 0 && n >= uint64(s.Repeats)
}

// plan has the runs of the schedule begin. One that would be one too many is left out, as are all but the last of those that
// have become due while nobody looked.
func (a *app) plan(now time.Time) {
	if a.nextAt.IsZero() || now.Before(a.nextAt) || a.finishing || a.draining {
		return
	}
	s := a.terms.Schedule
	if s.Period > 0 {
		a.nextAt = now.Add(s.Period - now.Sub(a.nextAt)%s.Period)
	}
	if a.halted() { // stopped: the clock goes on
		if s.Period == 0 {
			a.nextAt = now.Add(retryEvery)
		}
		return
	}
	under := a.due
	for _, i := range a.instances {
		if i.scheduled {
			under++
		}
	}
	a.meter.change()
	if under >= a.limits.Overlap {
		a.rec.State.Skipped++
	} else {
		a.rec.State.Runs++
		a.due++
	}
	if a.over() {
		a.nextAt = time.Time{}
	}
}

// prepare passes on what asks for the code.
func (a *app) prepare(now time.Time) {
	if a.prepared || a.finishing || a.draining {
		return
	}
	want, later := a.wish, !a.nextAt.IsZero() && a.nextAt.Sub(now) > near
	switch {
	case a.rec.Bench:
		want = max(want, run.Background)
	case len(a.line) > 0 || a.own > 0:
		want = max(want, run.High)
	case a.due > 0 || !a.nextAt.IsZero() && !later || a.fresh && (!later || a.m.OnDemand):
		want = max(want, run.Normal)
	case a.fresh:
		want = max(want, run.Background)
	}
	if want > max(a.passed, a.known) {
		a.passed = want
		a.emit(Prepare{want})
	}
}

func (a *app) hasPrepared(m prepared) {
	switch {
	case m.err == nil:
		a.prepared = true
	case m.priority == a.passed: // else one with a higher priority is under way
		a.passed, a.known = 0, m.priority
		if f := fault.From(m.err); f.Class == fault.Guest && a.why == "" {
			a.why, a.failed = fault.Quote(f.Error()), true
		}
	}
}
