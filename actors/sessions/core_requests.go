package sessions

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// request is one that has entered and not left.
type request struct {
	id       uint64
	reply    kernel.Reply[Admission]
	until    time.Time // waiting: no longer
	admitted bool
	instance uint64 // admitted: where; 0: a run of its own
}

func (a *app) fault(code fault.Code, why error) *fault.Error {
	return fault.New(code, "app", a.rec.Address.String(), why)
}

// refuse answers a request that is not let in.
func (a *app) refuse(to kernel.Reply[Admission], err *fault.Error) {
	a.refused++
	a.emit(answer[Admission]{to: to, err: err})
	a.emit(Refused{string(err.Code)})
}

func (a *app) request(r *request) {
	if a.requests == nil {
		a.requests = map[uint64]*request{}
	}
	a.requests[r.id] = r
}

func (a *app) enter(now time.Time, m Enter) {
	a.lastQuery = now.Round(0)
	if old := a.requests[m.ID]; old != nil { // an asker that has given up on its first answer
		a.leave(now, Leave{ID: m.ID})
	}
	switch {
	case a.finishing:
		a.refuse(m.Reply, a.fault(fault.CallerNotFound, nil))
		return
	case a.draining:
		a.refuse(m.Reply, a.fault(fault.BusyDraining, nil).WithRetryAfter(time.Second))
		return
	case !a.m.OnDemand && (a.hasSchedule() || a.lives() && !a.keeps()):
		a.refuse(m.Reply, a.fault(fault.CallerAppState, errorText("it takes no requests")).
			WithHint("a command takes requests if its manifest says on_demand, and has no instance then"))
		return
	case a.halted():
		a.refuse(m.Reply, a.fault(fault.CallerAppState, errorText("it is stopped")).WithHint("start it first"))
		return
	case !a.m.OnDemand && a.lost >= a.rec.Wanted && len(a.instances) == 0 && a.lives():
		a.refuse(m.Reply, a.fault(fault.CallerAppState, errorText("it has ended: "+a.why)).WithHint("start it again"))
		return
	}
	r := &request{id: m.ID, reply: m.Reply, until: now.Add(a.terms.QueryTimeout)}
	if len(a.line) == 0 && a.admit(r) {
		a.request(r)
		return
	}
	if len(a.line) >= int(a.terms.Queue) {
		a.refuse(m.Reply, a.fault(fault.BusyApp, nil).WithRetryAfter(100*time.Millisecond))
		return
	}
	a.request(r)
	a.line = append(a.line, r)
}

// admit lets a request in if there is room for it: it goes to the running instances in turn, or has a run of its own.
func (a *app) admit(r *request) bool {
	if len(a.stopping) > 0 {
		return false
	}
	if !a.keeps() {
		if a.own >= a.limits.Active {
			return false
		}
		a.own++
		a.letIn(r)
		return true
	}
	for n := range a.instances {
		i := a.instances[(a.served+n)%len(a.instances)]
		if i.phase == running && !i.scheduled && i.active < a.limits.Active {
			a.served = (a.served + n + 1) % len(a.instances)
			i.active++
			r.instance = i.id
			a.letIn(r)
			return true
		}
	}
	return false
}

func (a *app) letIn(r *request) {
	r.admitted = true
	a.emit(answer[Admission]{to: r.reply, r: Admission{Record: a.rec, Manifest: a.m, Instance: r.instance}})
}

func (a *app) leave(now time.Time, m Leave) {
	r := a.requests[m.ID]
	if r == nil {
		if !m.again {
			m.again = true
			a.emit(Requeue{m})
		}
		return
	}
	delete(a.requests, m.ID)
	if len(a.requests) == 0 {
		a.requests = nil // a map keeps the room that it once took
	}
	switch {
	case !r.admitted:
		a.line = slices.DeleteFunc(a.line, func(o *request) bool { return o == r })
		a.emit(answer[Admission]{to: r.reply, err: a.fault(fault.CanceledCaller, nil)})
	case r.instance == 0:
		a.own--
	default:
		if i := a.find(r.instance); i != nil {
			i.active--
			i.idleSince = now
		}
	}
}

// serve lets in who waits.
func (a *app) serve(time.Time) {
	for len(a.line) > 0 && a.admit(a.line[0]) {
		a.line[0] = nil
		a.line = a.line[1:]
	}
	if len(a.line) == 0 {
		a.line = nil
	}
}

// expire refuses who has waited too long.
func (a *app) expire(now time.Time) {
	for len(a.line) > 0 && !now.Before(a.line[0].until) {
		r := a.line[0]
		a.line = a.line[1:]
		delete(a.requests, r.id)
		switch {
		case !a.keeps() || slices.ContainsFunc(a.instances, func(i *instance) bool { return i.phase == running }):
			a.refuse(r.reply, a.fault(fault.BusyApp, nil).WithRetryAfter(time.Second)) // all that serve are at work
		case a.asked > 0:
			a.refuse(r.reply, a.fault(fault.BusySlots, nil).WithRetryAfter(time.Second))
		case len(a.instances) > 0:
			a.refuse(r.reply, a.fault(fault.GuestNoReply, errorText("it has not begun to serve by then")))
		default:
			a.refuse(r.reply, notServing(nil, a.rec.Address, a.why))
		}
	}
}

// failLine refuses all who wait.
func (a *app) failLine(err *fault.Error) {
	for _, r := range a.line {
		delete(a.requests, r.id)
		a.refuse(r.reply, err)
	}
	a.line = nil
}

// halted says that an app does nothing before a Start.
func (a *app) halted() bool { return a.rec.Held || !a.m.OnDemand && a.rec.Wanted == 0 }

// start is the wish of an operator, as are stop, resize and setBench.
func (a *app) start(m Start) {
	switch {
	case a.rec.Held:
		a.rec.Held = false
		a.want(0, m.Reply)
		return
	case a.m.OnDemand:
		a.emit(answer[Standing]{to: m.Reply, err: a.fault(fault.CallerAppState, errorText("it is on demand: requests start it"))})
		return
	}
	a.want(max(a.rec.Wanted, 1), m.Reply)
}

// want changes how many instances are wanted, and forgets how earlier ones ended.
func (a *app) want(n uint32, to kernel.Reply[Standing]) {
	for _, r := range a.stopping {
		a.emit(answer[Standing]{to: r, r: a.standing()})
	}
	a.stopping = nil
	a.lost, a.streak, a.retryAt, a.why, a.failed, a.scarce = 0, 0, time.Time{}, "", false, a.scarce && n == a.rec.Wanted
	a.rec.Wanted = n
	a.meter.save(a)
	a.settling = append(a.settling, settling{a.meter.version, to})
}

func (a *app) stop(now time.Time, to kernel.Reply[Standing], hold bool) {
	switch {
	case !a.m.OnDemand && a.rec.Wanted > 0:
		a.rec.Wanted = 0
		a.meter.save(a)
	case a.m.OnDemand && hold && !a.rec.Held:
		a.rec.Held = true
		a.meter.save(a)
	}
	a.failLine(a.fault(fault.CallerAppState, errorText("it is stopped")))
	a.stopAll(now, "it was stopped", 0)
	a.why, a.failed, a.lost = "it was stopped", false, 0
	a.stopping = append(a.stopping, to)
}

func (a *app) resize(now time.Time, m Resize) {
	switch {
	case a.m.OnDemand:
		a.emit(answer[Standing]{to: m.Reply, err: a.fault(fault.CallerAppState, errorText("it is on demand: requests start it"))})
	case m.Instances > 1 && (!a.m.Resizable || !a.lives()):
		a.emit(answer[Standing]{to: m.Reply, err: a.fault(fault.CallerAppState, errorText("it is not resizable"))})
	case m.Instances > maxInstances:
		a.emit(answer[Standing]{to: m.Reply, err: fault.New(fault.CallerInvalid, "resize", a.rec.Address.String(), errorText("more than 4096 instances"))})
	case m.Instances == 0:
		a.stop(now, m.Reply, false)
	default:
		a.want(m.Instances, m.Reply)
	}
}

func (a *app) setBench(now time.Time, m setBench) {
	switch {
	case m.bench && !benchable(a.m, m.instances):
		a.emit(answer[Standing]{to: m.reply, err: a.fault(fault.CallerAppState, errorText("it is on demand, or not resizable"))})
		return
	case a.rec.Bench == m.bench && !m.bench:
		a.emit(answer[Standing]{to: m.reply, r: a.standing()})
		return
	}
	a.rec.Bench = m.bench
	switch {
	case !m.bench:
		a.meter.save(a)
		a.settling = append(a.settling, settling{a.meter.version, m.reply})
	case m.instances == 0:
		a.meter.save(a)
		a.stop(now, m.reply, false)
	default:
		a.want(m.instances, m.reply)
	}
}

const maxInstances = 4096

// answerSettled answers wishes that are on disk, when it is known whether there are slots.
func (a *app) answerSettled() {
	if a.asked > 0 && !a.scarce {
		return
	}
	a.settling = slices.DeleteFunc(a.settling, func(s settling) bool {
		done := s.version <= a.meter.written
		if done {
			a.emit(answer[Standing]{to: s.to, r: a.standing()})
		}
		return done
	})
}

// quiet reports whether nothing runs any more, or what does is given up. An app that is removed waits for all requests that were let
// in: what they used is told before they leave.
func (a *app) quiet(now time.Time) bool {
	busy := a.own
	if a.finishing {
		busy = len(a.requests) - len(a.line)
	}
	return len(a.instances) == 0 && (busy == 0 || !now.Before(a.enough))
}

// answerGone answers who waits for the end of all that runs.
func (a *app) answerGone(now time.Time) {
	if !a.quiet(now) || a.meter.written < a.meter.version {
		return
	}
	for _, to := range a.stopping {
		a.emit(answer[Standing]{to: to, r: a.standing()})
	}
	if a.stopping != nil {
		a.stopping = nil
		a.fit(now)
		a.wake(now)
	}
	if a.finishing && !a.gone {
		a.gone = true
		for _, s := range a.settling {
			a.emit(answer[Standing]{to: s.to, r: a.standing()})
		}
		a.settling = nil
		a.emit(Tell{emptied{a.origin, a.rec.State.Totals}})
	}
	a.tellDrained(now)
}

// outstanding are the replies that the core has not answered.
func (a *app) outstanding() (fail []func(error)) {
	for _, r := range a.line {
		fail = append(fail, r.reply.Fail)
	}
	for _, r := range a.stopping {
		fail = append(fail, r.Fail)
	}
	for _, s := range a.settling {
		fail = append(fail, s.to.Fail)
	}
	for _, u := range a.meter.uses {
		fail = append(fail, u.to.Fail)
	}
	return fail
}
