package sessions

import (
	"slices"
	"strconv"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
)

// ledger is what has become of the totals on the way to the disk. Versions count changes; there is one write at a time, and
// what changes meanwhile shares the next one.
type ledger struct {
	version uint64 // of the record
	written uint64 // on disk, or at least out of this process
	saved   uint64 // the last that must be on disk, not only noted
	writing uint64 // under way; 0: nothing
	uses    []used
	keys    []uint64            // of uses that are counted and not known to be written
	keyed   map[uint64]struct{} // the same
	sending int                 // how many of keys the write under way has
	totals  meter.Metrics       // that it has
	retryAt time.Time           // the last write failed
	tells   []telling
	safe    meter.Metrics // that are written: what is shown never goes back
}

// used is a Use that is counted, and answered when it is written.
type used struct {
	version uint64
	to      kernel.Reply[struct{}]
}

// telling is a tell that is answered when what it is about is written.
type telling struct {
	version uint64
	tell    tell
}

func (l *ledger) change() { l.version++ }

// save has the whole record written.
func (l *ledger) save(a *app) {
	l.version++
	l.saved = l.version
}

func (l *ledger) starts(a *app) {
	a.add(meter.Use{Starts: 1})
	l.change()
}

func (a *app) add(u meter.Use) { a.rec.State.Totals.Add(u, &a.rec.State.GasRest) }

func (a *app) use(m Use) {
	l := &a.meter
	_, counted := l.keyed[m.Key]
	if m.Key == 0 || !counted {
		a.add(m.Use)
		l.change()
	}
	if m.Key != 0 && !counted && len(l.keys) < maxKeys {
		if l.keyed == nil {
			l.keyed = map[uint64]struct{}{}
		}
		l.keyed[m.Key] = struct{}{}
		l.keys = append(l.keys, m.Key)
	}
	l.uses = append(l.uses, used{l.version, m.Reply})
}

// maxKeys bounds the keys that are remembered.
const maxKeys = 4096

// syncEvery is how often running time is counted, and how long what was noted may wait for the disk.
const syncEvery = time.Second

// count adds the running time of instances.
func (a *app) count(now time.Time) {
	for _, i := range a.instances {
		if i.upAt.IsZero() {
			continue
		}
		if d := now.Sub(i.counted).Truncate(time.Millisecond); d > 0 { // the rest is counted next time
			i.counted = i.counted.Add(d)
			a.add(meter.Use{Running: d})
			a.meter.change()
		} else if d < 0 {
			i.counted = now
		}
	}
}

// write has what changed written.
func (a *app) write(now time.Time) {
	for _, i := range a.instances {
		if !i.upAt.IsZero() && now.Sub(i.counted) >= syncEvery {
			a.count(now)
			break
		}
	}
	l := &a.meter
	switch {
	case l.writing > 0 || l.version == l.written:
		return
	case now.Before(l.retryAt) && len(l.uses) == 0 && len(l.tells) == 0 && len(a.settling) == 0:
		return
	}
	l.retryAt = time.Time{}
	l.writing, l.sending, l.totals = l.version, len(l.keys), a.rec.State.Totals
	keys := slices.Clone(l.keys)
	if l.saved > l.written {
		a.emit(Save{a.rec, keys})
	} else {
		a.emit(Note{a.rec.State, keys})
	}
}

func (a *app) noted(now time.Time, m noted) {
	l := &a.meter
	version := l.writing
	l.writing = 0
	if m.err == nil {
		l.written, l.safe = version, l.totals
		for _, k := range l.keys[:l.sending] {
			delete(l.keyed, k)
		}
		if l.keys = l.keys[l.sending:]; len(l.keys) == 0 {
			l.keys, l.keyed = nil, nil
		}
	} else {
		l.retryAt = now.Add(retryEvery)
		a.emit(Warn{m.err, "what an app has used could not be written; it is tried again"})
		a.settling = slices.DeleteFunc(a.settling, func(s settling) bool {
			if s.version > version {
				return false
			}
			a.emit(answer[Standing]{to: s.to, err: m.err})
			return true
		})
	}
	l.uses = slices.DeleteFunc(l.uses, func(u used) bool {
		if u.version > version {
			return false
		}
		a.emit(answer[struct{}]{to: u.to, err: m.err})
		return true
	})
	l.tells = slices.DeleteFunc(l.tells, func(t telling) bool {
		if t.version > version || t.tell.what == drained {
			return false
		}
		a.emit(Tell{told{from: a.origin, gather: t.tell.gather, metrics: l.totals, err: m.err}})
		return true
	})
	if len(l.uses) == 0 {
		l.uses = nil
	}
	if len(l.tells) == 0 {
		l.tells = nil
	}
}

// tell gives the app's part of an answer.
func (a *app) tell(now time.Time, m tell) {
	a.count(now)
	l := &a.meter
	switch m.what {
	case viewed:
		a.emit(Tell{told{from: a.origin, gather: m.gather, view: a.view(now, false)}})
	case totals:
		if l.written == l.version {
			a.emit(Tell{told{from: a.origin, gather: m.gather, metrics: a.rec.State.Totals}})
			return
		}
		l.tells = append(l.tells, telling{l.version, m})
	case drained:
		a.draining = true
		a.failLine(a.fault(fault.BusyDraining, nil).WithRetryAfter(time.Second))
		a.stopAll(now, "the host stops", a.limits.Grace)
		l.tells = append(l.tells, telling{l.version, m})
	}
}

// tellDrained tells that nothing runs and all is written.
func (a *app) tellDrained(now time.Time) {
	l := &a.meter
	l.tells = slices.DeleteFunc(l.tells, func(t telling) bool {
		if t.tell.what != drained {
			return false
		}
		a.emit(Tell{told{from: a.origin, gather: t.tell.gather}})
		return true
	})
}

// state is the one that operators see, and why.
func (a *app) state() (state, why string) {
	up, begins := 0, 0
	for _, i := range a.instances {
		switch i.phase {
		case running:
			up++
		case starting:
			begins++
		}
	}
	switch {
	case up > 0 || a.own > 0:
		return "running", ""
	case begins > 0:
		return "preparing", ""
	case a.finishing:
		return "stopped", "it is removed"
	case a.asked > 0:
		return "waiting", cmpOr(a.scarce, "all slots are taken", "")
	case a.retryAt.After(a.now) && a.rec.Wanted > a.lost:
		return "backoff", a.why
	case a.rec.Held:
		return "stopped", cmpOr(a.why == "", "it was stopped", a.why)
	case !a.nextAt.IsZero() && (a.m.OnDemand || a.rec.Wanted > 0):
		return "scheduled", a.why
	case a.m.OnDemand:
		return "idle", a.why
	case a.rec.Wanted == 0:
		return "stopped", cmpOr(a.why == "", "it was stopped", a.why)
	case a.hasSchedule():
		return "stopped", "its schedule is over"
	case !a.lives():
		return "idle", ""
	case a.failed:
		return "failed", a.why
	}
	return "stopped", a.why
}

func cmpOr(b bool, x, y string) string {
	if b {
		return x
	}
	return y
}

// running is how many instances go on.
func (a *app) runningNow() (n uint32) {
	for _, i := range a.instances {
		if i.phase != ending {
			n++
		}
	}
	return n
}

func (a *app) standing() Standing {
	state, why := a.state()
	return Standing{Record: a.rec, Running: a.runningNow(), Wanted: a.rec.Wanted, State: state, Reason: why}
}

func (a *app) view(now time.Time, all bool) inspect.App {
	state, why := a.state()
	r, t := a.rec, a.meter.safe
	v := inspect.App{
		Address: r.Address.String(), Session: hexOf(r.Session), Label: a.m.Label, Tenant: r.Tenant, Version: a.m.Version,
		CodeHash: a.m.CodeHash, Entry: r.Entry.String(), Reuse: r.Reuse.String(), OnDemand: a.m.OnDemand, Resizable: a.m.Resizable,
		Bench: r.Bench, State: state, Reason: why, Wanted: r.Wanted, Running: a.runningNow(), Queued: len(a.line),
		Active: len(a.requests) - len(a.line), Refused: a.refused, Restarts: r.State.Restarts, Weight: a.terms.Weight,
		Deployed: r.Deployed, LastEnd: r.State.LastEnd, LastEndAt: r.State.LastAt, LastQuery: a.lastQuery, Sequence: r.Sequence,
		Scheduled: r.State.Runs, Complete: r.State.Complete, TimedOut: r.State.TimedOut, Skipped: r.State.Skipped,
		Metrics: Shown(t),
	}
	switch {
	case state == "backoff":
		v.NextAt = a.retryAt.Round(0)
	case !a.nextAt.IsZero():
		v.NextAt = a.nextAt.Round(0)
	}
	if all {
		for _, i := range a.instances {
			v.Instances = append(v.Instances, inspect.Instance{ID: i.id, State: i.phase.String(), Since: i.since.Round(0), Reason: i.reason})
		}
	}
	return v
}

// reason says in words why a guest ended.
func reason(o run.Outcome) string {
	if o.Fault == nil {
		return "it ended by itself"
	}
	word := map[fault.Code]string{
		fault.GuestGasLimit: "gas", fault.GuestMemory: "memory", fault.GuestCPULimit: "cpu time", fault.GuestWallLimit: "time",
		fault.SuspectWallLimit: "time", fault.GuestOutputLimit: "output", fault.GuestStack: "stack", fault.GuestTrap: "trap",
		fault.GuestExit: "exit " + strconv.Itoa(int(o.GuestExit)), fault.GuestStartTrap: "trap at start",
	}[o.Fault.Code]
	if word == "" {
		word = string(o.Fault.Code)
	}
	return fault.Quote(word + ": " + o.Fault.Error())
}

// Shown returns totals as operators see them.
func Shown(t meter.Metrics) inspect.AppMetrics {
	return inspect.AppMetrics{Address: hexOf(t.Address), Session: hexOf(t.Session), RunningTimeMS: t.RunningTimeMS, Gas: t.Gas,
		NetworkIngress: t.NetworkIngress, NetworkEgress: t.NetworkEgress, StorageRead: t.StorageRead, StorageWrite: t.StorageWrite,
		StorageUsed: t.StorageUsed.String(), MemoryUsed: t.MemoryUsed.String(), Tip: t.Tip, Starts: t.Starts}
}
