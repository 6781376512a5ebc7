package sessions

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Setup is what the actor of an app begins with.
type Setup struct {
	Record   Record
	Manifest *manifest.Manifest
	Gen      uint64
	Entered  []uint64 // requests that an actor before it has let in
	Draining bool
}

// app is the core of the actor of one app.
type app struct {
	limits Limits
	rec    Record // its State is what is true, on disk or not
	m      *manifest.Manifest
	terms  manifest.Terms
	origin origin

	finishing bool // removed, or about to be
	gone      bool // emptied was sent
	draining  bool
	stopping  []kernel.Reply[Standing] // answered when nothing runs any more
	settling  []settling               // answered when it is on disk and known whether there are slots
	cancelAt  time.Time                // zero: requests are not ended
	enough    time.Time                // when requests that do not end are given up

	// Slots.
	asked   int    // how many more the sessions actor knows of
	granted uint64 // how many it has given
	scarce  bool   // it has said that there are none
	pressed bool   // others wait for slots

	// Instances, oldest first.
	instances []*instance
	lost      uint32    // ended too soon to be started again
	streak    uint32    // of those in a row that ended too soon
	retryAt   time.Time // none is started before
	why       string    // none is running
	failed    bool      // it was a fault
	served    int       // counts requests, for turns

	// Requests.
	requests  map[uint64]*request
	line      []*request // that wait, oldest first
	own       int        // admitted with a run of their own
	lastQuery time.Time
	refused   uint64

	// Schedule.
	due    int       // runs that are to begin and wait for a slot
	nextAt time.Time // zero: no more

	// The code.
	fresh    bool         // deployed just now: an app that comes back is prepared when it is wanted
	wish     run.Priority // the highest that anything asked for
	passed   run.Priority // what Prepare was told
	known    run.Priority // of the last Prepare that failed: nothing asks again for less
	prepared bool

	now     time.Time // of this step
	meter   ledger
	wakeAt  time.Time
	pending []Effect
}

// settling is an answer that waits for the disk and for the slots.
type settling struct {
	version uint64
	to      kernel.Reply[Standing]
}

type phase uint8

const (
	starting phase = 1 + iota
	running
	ending
)

func (p phase) String() string { return [...]string{"", "starting", "running", "stopping"}[p] }

// instance is one that holds a slot.
type instance struct {
	id        uint64
	phase     phase
	since     time.Time // of the phase
	upAt      time.Time // zero: no worker has had it
	counted   time.Time // running time is counted up to here
	active    int       // requests
	idleSince time.Time
	scheduled bool
	endAt     time.Time // of a scheduled one: it takes too long
	timedOut  bool
	killAt    time.Time // ending: it has not ended by itself
	killed    bool
	reason    string // ending: why
}

func newApp(now time.Time, l Limits, s Setup) *app {
	a := &app{limits: l.withDefaults(), rec: s.Record, m: s.Manifest, terms: s.Manifest.Settled(), draining: s.Draining,
		origin: origin{s.Record.Address, s.Gen}}
	a.rec.State.Totals.Address, a.rec.State.Totals.Session = a.rec.Address, a.rec.Session
	a.meter.safe = a.rec.State.Totals
	for _, id := range s.Entered {
		a.request(&request{id: id, admitted: true})
		a.own++
	}
	a.planFirst(now)
	return a
}

// lives reports whether the app has instances of its own accord, other than those of a schedule.
func (a *app) lives() bool {
	if a.m.OnDemand {
		return a.rec.Reuse == manifest.Keep
	}
	return !a.hasSchedule() && (a.rec.Reuse == manifest.Keep || a.rec.Entry == manifest.Command || a.rec.Entry == manifest.Service)
}

// keeps reports whether requests go to instances that serve many.
func (a *app) keeps() bool { return a.rec.Reuse == manifest.Keep && a.rec.Entry == manifest.Service }

func (a *app) hasSchedule() bool { return a.terms.Schedule != (manifest.Schedule{}) }

func (a *app) emit(e Effect) { a.pending = append(a.pending, e) }

// Step decides what one message means.
func (a *app) Step(now time.Time, in appMessage) []Effect {
	a.now = now
	a.step(now, in)
	a.settle(now)
	out := a.pending
	a.pending = nil
	return out
}

func (a *app) step(now time.Time, in appMessage) {
	if a.gone {
		switch in.(type) {
		case unfinish, tell, ended, noted, up, Leave, tick, prepared, pressed, scarce, yield:
		case grant:
			a.granted++
			a.emit(Tell{freed{a.origin, 1}})
			return
		default:
			a.emit(Refuse{in, a.fault(fault.CallerNotFound, nil)})
			return
		}
	}
	switch m := in.(type) {
	case begin:
		a.fresh = a.fresh || m.fresh
		a.settling = append(a.settling, settling{to: m.reply})
	case Start:
		a.start(m)
	case Stop:
		a.stop(now, m.Reply, m.Hold)
	case Resize:
		a.resize(now, m)
	case setBench:
		a.setBench(now, m)
	case RaiseApp:
		a.wish = max(a.wish, m.Priority)
		a.emit(answer[struct{}]{to: m.Reply})
	case Show:
		a.count(now)
		a.emit(answer[inspect.App]{to: m.Reply, r: a.view(now, true)})
	case Enter:
		a.enter(now, m)
	case Leave:
		a.leave(now, m)
	case Use:
		a.use(m)
	case grant:
		a.grant(now, m)
	case scarce:
		a.scarce = true
	case yield:
		a.yield(now)
	case pressed:
		a.pressed = m.on
	case finish:
		a.finishing = true
		a.failLine(a.fault(fault.CallerNotFound, nil))
		a.stopAll(now, "it is removed", 0)
	case unfinish:
		a.finishing, a.gone, a.enough = false, false, time.Time{}
		a.rec.Wanted, a.why = 0, "it could not be removed"
	case tell:
		a.tell(now, m)
	case prepared:
		a.hasPrepared(m)
	case up:
		a.up(now, m.instance)
	case ended:
		a.ended(now, m)
	case noted:
		a.noted(now, m)
	case tick:
		a.wakeAt = time.Time{}
	}
}

// settle does what has become due or possible.
func (a *app) settle(now time.Time) {
	a.plan(now)
	a.expire(now)
	a.serve(now)
	a.bound(now)
	a.fit(now)
	a.prepare(now)
	a.write(now)
	a.answerSettled()
	a.answerGone(now)
	a.wake(now)
}

// short is how many instances there should be more; below zero, fewer.
func (a *app) short(now time.Time) int {
	have := 0
	for _, i := range a.instances {
		if i.phase != ending && !i.scheduled {
			have++
		}
	}
	switch {
	case a.finishing || a.draining || len(a.stopping) > 0:
		return -have
	case !a.lives():
		return -have
	case a.m.OnDemand:
		if have == 0 && len(a.line) > 0 {
			return 1
		}
		return min(0, 1-have)
	}
	more := int(a.rec.Wanted) - int(min(a.lost, a.rec.Wanted)) - have
	if more > 0 && now.Before(a.retryAt) {
		return 0
	}
	return more
}

// fit has as many instances as there should be: those that are too many end, the newest first, and for those that are too few
// slots are asked for.
func (a *app) fit(now time.Time) {
	more := a.short(now)
	for _, i := range slices.Backward(a.instances) {
		if more >= 0 {
			break
		}
		if i.phase != ending && !i.scheduled {
			a.end(now, i, cmp.Or(a.whyFewer(), "it was resized"))
			more++
		}
	}
	more = max(more, 0) + a.due
	if more != a.asked {
		if more == 0 || more > a.asked {
			a.scarce = false
		}
		a.asked = more
		a.emit(Tell{wants{a.origin, more, a.granted}})
	}
}

func (a *app) whyFewer() string {
	switch {
	case a.finishing:
		return "it is removed"
	case a.draining:
		return "the host stops"
	case len(a.stopping) > 0 || a.rec.Wanted == 0 && !a.m.OnDemand:
		return "it was stopped"
	}
	return ""
}

// grant uses a slot, or gives it back.
func (a *app) grant(now time.Time, m grant) {
	a.granted++
	a.asked = max(a.asked-1, 0)
	switch {
	case a.due > 0:
		a.due--
		a.launch(now, m.instance, true)
	case a.short(now) > 0:
		a.launch(now, m.instance, false)
	default:
		a.emit(Tell{freed{a.origin, 1}})
	}
}

func (a *app) launch(now time.Time, id uint64, scheduled bool) {
	p := run.Normal
	switch {
	case a.rec.Bench:
		p = run.Background
	case len(a.line) > 0:
		p = run.High
	}
	a.instances = append(a.instances, &instance{id: id, phase: starting, since: now, scheduled: scheduled})
	a.emit(Run{Launch{Instance: id, App: a.rec, Manifest: a.m, Priority: p}})
}

func (a *app) find(id uint64) *instance {
	for _, i := range a.instances {
		if i.id == id {
			return i
		}
	}
	return nil
}

func (a *app) up(now time.Time, id uint64) {
	i := a.find(id)
	if i == nil || !i.upAt.IsZero() {
		return
	}
	i.upAt, i.counted, i.idleSince = now, now, now
	if d := a.terms.Schedule.Duration; i.scheduled && d > 0 {
		i.endAt = now.Add(d)
	}
	if i.phase == starting {
		i.phase, i.since = running, now
		a.why, a.failed = "", false
	}
	a.meter.starts(a)
	a.emit(Started{})
}

// end asks an instance to end, and has it killed if it does not.
func (a *app) end(now time.Time, i *instance, why string) {
	if i.phase == ending {
		return
	}
	if i.phase == starting { // nothing that could listen
		a.kill(now, i, why)
		return
	}
	i.phase, i.since, i.reason, i.killAt = ending, now, why, now.Add(a.limits.Grace)
	a.emit(StopGuest{i.id})
}

func (a *app) kill(now time.Time, i *instance, why string) {
	if i.phase != ending {
		i.phase, i.since, i.reason = ending, now, why
	}
	if !i.killed {
		i.killed = true
		a.emit(Kill{i.id})
	}
}

func (a *app) yield(now time.Time) {
	for _, i := range slices.Backward(a.instances) {
		if i.phase != ending {
			a.kill(now, i, "it made room for another app")
			return
		}
	}
}

// stopAll ends all instances, and the requests that have runs of their own after a while.
func (a *app) stopAll(now time.Time, why string, requests time.Duration) {
	for _, i := range a.instances {
		a.end(now, i, why)
	}
	a.due = 0
	a.cancelAt, a.enough = now.Add(requests), now.Add(requests+a.limits.Patience)
}

// cancel ends the requests that have runs of their own.
func (a *app) cancel() {
	a.cancelAt = time.Time{}
	for id, r := range a.requests {
		if r.admitted && r.instance == 0 {
			a.emit(Cancel{id})
		}
	}
	slices.SortStableFunc(a.pending, func(x, y Effect) int { // the map has no order
		c, ok := x.(Cancel)
		d, ok2 := y.(Cancel)
		if ok && ok2 {
			return cmp.Compare(c.Request, d.Request)
		}
		return 0
	})
}

// bound kills what has not ended in time, and ends what takes too long or is idle.
func (a *app) bound(now time.Time) {
	if !a.cancelAt.IsZero() && !now.Before(a.cancelAt) {
		a.cancel()
	}
	for _, i := range a.instances {
		switch {
		case i.phase == ending && !i.killed && !now.Before(i.killAt):
			a.kill(now, i, i.reason)
		case i.phase == running && !i.endAt.IsZero() && !now.Before(i.endAt):
			i.timedOut = true
			a.kill(now, i, "time: it took longer than its schedule allows")
		case i.phase == running && a.m.OnDemand && !i.scheduled && i.active == 0 && len(a.line) == 0 && !now.Before(a.idleEnd(i)):
			a.end(now, i, "it was idle")
		}
	}
}

// idleEnd is when an idle instance ends.
func (a *app) idleEnd(i *instance) time.Time {
	if a.pressed {
		return i.idleSince
	}
	return i.idleSince.Add(a.terms.IdleTimeout)
}

// ended takes note of the end of an instance, and decides whether there is another.
func (a *app) ended(now time.Time, m ended) {
	i := a.find(m.instance)
	if i == nil {
		return
	}
	a.count(now)
	a.instances = slices.DeleteFunc(a.instances, func(o *instance) bool { return o == i })
	a.emit(Tell{freed{a.origin, 1}})
	f := m.how.Outcome.Fault
	why := reason(m.how.Outcome)
	if i.phase == ending || m.how.Stopped {
		why = cmp.Or(i.reason, "it was stopped")
	}
	a.rec.State.LastEnd, a.rec.State.LastAt = why, now.Round(0)
	a.meter.change()
	a.emit(Over{why})
	switch {
	case i.scheduled:
		switch {
		case i.timedOut:
			a.rec.State.TimedOut++
		case f == nil && i.phase != ending:
			a.rec.State.Complete++
		}
		a.why, a.failed = why, f != nil && i.phase != ending
	case i.phase == ending: // as we wanted
		if a.rec.Wanted > 0 || a.m.OnDemand {
			a.why, a.failed = why, false
		}
	case a.m.OnDemand:
		a.why, a.failed = why, f != nil
		if i.upAt.IsZero() { // those who wait would wait for the next one to fail
			a.failLine(notServing(f, a.rec.Address, why))
		}
	default:
		a.again(now, i, f, why)
	}
}

// again decides whether an instance that ended by itself is started again.
func (a *app) again(now time.Time, i *instance, f *fault.Error, why string) {
	r := a.terms.Restart
	a.why, a.failed = why, f != nil
	long := !i.upAt.IsZero() && now.Sub(i.upAt) >= r.MinRun
	ours := f != nil && (f.Class == fault.Host || f.Class == fault.Busy || f.Class == fault.Canceled || f.Class == fault.Bug)
	switch {
	case ours: // the guest is not to blame: it is tried for as long as it takes
	case r.Policy == manifest.RestartNever, r.Policy == manifest.RestartOnFailure && f == nil, !long && a.streak >= r.Max:
		a.lost++
		a.failLine(notServing(f, a.rec.Address, why))
		return
	}
	a.rec.State.Restarts++
	if long && !ours {
		a.streak = 0
		return
	}
	a.retryAt = now.Add(backoff(r, a.streak))
	a.streak = min(a.streak+1, 1<<16)
}

func backoff(r manifest.Restart, streak uint32) time.Duration {
	d := r.BackoffMin
	for range min(streak, 32) {
		if d = 2 * d; d >= r.BackoffMax {
			return r.BackoffMax
		}
	}
	return min(d, r.BackoffMax)
}

// notServing is for requests that waited for an instance which ended.
func notServing(f *fault.Error, at manifest.Address, why string) *fault.Error {
	if f != nil && f.Class != fault.Guest && f.Class != fault.Suspect {
		return f
	}
	return fault.New(fault.GuestNotServing, "enter", at.String(), errorText(why))
}

// near is how long before a run of the schedule its code is wanted.
const near = time.Minute

// retryEvery is how long after it failed something is tried again.
const retryEvery = time.Second

// wake has a tick come when something is due next.
func (a *app) wake(now time.Time) {
	var at time.Time
	by := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if !a.finishing && !a.draining {
		by(a.nextAt)
		if !a.nextAt.IsZero() && !a.prepared && a.nextAt.Sub(now) > near {
			by(a.nextAt.Add(-near))
		}
		if len(a.line) > 0 {
			by(a.line[0].until)
		}
		if a.retryAt.After(now) {
			by(a.retryAt)
		}
	}
	if (len(a.stopping) > 0 || a.finishing && !a.gone || len(a.meter.tells) > 0) && a.enough.After(now) {
		by(a.enough)
	}
	by(a.cancelAt)
	for _, i := range a.instances {
		switch i.phase {
		case ending:
			if !i.killed {
				by(i.killAt)
			}
		case running:
			by(i.endAt)
			if a.m.OnDemand && !i.scheduled && i.active == 0 {
				by(a.idleEnd(i))
			}
		}
		if !i.upAt.IsZero() {
			by(i.counted.Add(syncEvery))
		}
	}
	by(a.meter.retryAt)
	if !at.Equal(a.wakeAt) {
		a.wakeAt = at
		a.emit(WakeAt{at})
	}
}
