package sessions

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// place is where an app is in its life, as the sessions actor sees it.
type place uint8

const (
	saving   place = 1 + iota // on its way to the disk
	live                      // it has an actor
	lost                      // its actor has failed, and another one begins with what the store has
	broken                    // its actor fails too often, or the store cannot be read: another one begins later
	emptying                  // it has an actor, which ends all that runs
	erasing                   // on its way off the disk
	closing                   // its actor is about to end, and then it is gone
	ghost                     // it could not be saved, nor taken off the disk again
)

func (p place) String() string {
	return [...]string{"-", "saving", "live", "lost", "broken", "emptying", "erasing", "closing", "ghost"}[p]
}

// entry is one app.
type entry struct {
	rec   Record // without a true State
	m     *manifest.Manifest
	name  string
	gen   uint64
	phase place

	deploys  []kernel.Reply[Standing] // saving
	saveErr  error                    // erasing: why it was not saved
	removals []*removal
	final    meter.Metrics
	crashes  []time.Time // within a minute
	reviveAt time.Time   // broken, ghost: when that is looked at again
	actor    bool        // its actor has not ended

	held    int    // slots
	granted uint64 // slots, ever, to this actor
	more    int    // slots that it wants besides
	inLine  bool
	yields  int // slots that it was asked to give up
	pressed bool
}

// removal is who waits for an app to be gone.
type removal struct {
	done func(meter.Metrics, error)
	fail func(error)
}

// nameOf is the name of an app's actor, which has room for 240 bits of the address.
func nameOf(a manifest.Address) string { return "app-" + hex.EncodeToString(a[:])[:60] }

func (s *State) add(r Record, m *manifest.Manifest) *entry {
	e := &entry{rec: r, m: m, name: nameOf(r.Address)}
	s.apps[r.Address], s.names[e.name] = e, e
	s.order = append(s.order, e)
	if r.Bench {
		s.bench = e
	}
	return e
}

func (s *State) drop(e *entry) {
	delete(s.apps, e.rec.Address)
	delete(s.names, e.name)
	s.well(e)
	e.phase = 0
	if s.bench == e {
		s.bench = nil
	}
	if s.left++; s.left > 64 && s.left > len(s.order)/2 {
		s.order, s.left = slices.Clip(slices.DeleteFunc(slices.Clone(s.order), func(e *entry) bool { return e.phase == 0 })), 0
	}
}

func (s *State) well(e *entry) {
	s.sick = slices.DeleteFunc(s.sick, func(o *entry) bool { return o == e })
}

// spawn starts the actor of an app.
func (s *State) spawn(e *entry, b begin) {
	s.gens++
	e.gen, e.phase, e.actor = s.gens, live, true
	e.granted, e.more, e.yields, e.pressed = 0, 0, 0, false
	s.well(e)
	var entered []uint64
	for id, a := range s.requests {
		if a == e.rec.Address {
			entered = append(entered, id)
		}
	}
	slices.Sort(entered)
	s.emit(SpawnApp{Setup{Record: e.rec, Manifest: e.m, Gen: e.gen, Entered: entered, Draining: s.draining}, b})
	for _, n := range s.gatherings() {
		if g := s.gathers[n]; g.missing[e.rec.Address] {
			s.emit(ToApp{e.rec.Address, e.gen, tell{n, g.what}, true})
		}
	}
}

func (s *State) refuse(code fault.Code, a manifest.Address, m any) {
	err := fault.New(code, "app", a.String(), nil)
	if err.Class == fault.Busy {
		err = err.WithRetryAfter(time.Second)
	}
	s.emit(Refuse{m, err})
}

// toApp passes a message on to the actor of its app.
func (s *State) toApp(a manifest.Address, m appMessage) {
	e := s.apps[a]
	switch {
	case e == nil:
		s.refuse(fault.CallerNotFound, a, m)
	case e.phase == live || e.phase == emptying:
		s.emit(ToApp{a, e.gen, m, false})
	case e.phase == lost:
		s.refuse(fault.BusyQueueFull, a, m)
	case e.phase == broken:
		s.refuse(fault.HostGaveUp, a, m)
	default:
		s.refuse(fault.CallerNotFound, a, m)
	}
}

func (s *State) deploy(now time.Time, m Deploy) {
	fail := func(code fault.Code, why error) {
		err := fault.New(code, "deploy", m.Record.Address.String(), why)
		if err.Class == fault.Busy {
			err = err.WithRetryAfter(time.Second)
		}
		s.emit(answer[Standing]{to: m.Reply, err: err})
	}
	e := s.apps[m.Record.Address]
	again := e != nil && e.rec.Session == m.Record.Session
	switch {
	case again && e.phase == saving:
		e.deploys = append(e.deploys, m.Reply)
		return
	case again && e.phase == live:
		s.emit(ToApp{e.rec.Address, e.gen, begin{reply: m.Reply}, false})
		return
	case e != nil && e.phase == ghost:
		s.drop(e) // what is saved now takes its place
	case e != nil && e.phase >= emptying:
		fail(fault.CallerConflict, errorText("it is being removed"))
		return
	case e != nil:
		fail(fault.CallerAppExists, nil)
		return
	}
	switch {
	case s.session == nil || s.opens != nil:
		fail(fault.CallerNoSession, nil)
	case s.draining:
		fail(fault.BusyDraining, nil)
	case len(s.apps) >= s.limits.Apps:
		fail(fault.CallerQuota, errorText("as many apps as there may be"))
	case m.Record.Bench && s.bench != nil:
		fail(fault.CallerConflict, errorText("there is a benchmark app already"))
	case m.Record.Bench && !benchable(m.Manifest, 1):
		fail(fault.CallerAppState, errorText("a benchmark app is long-running"))
	default:
		r := m.Record
		s.sequence++
		r.Sequence, r.Wanted = s.sequence, 1
		if m.Manifest.OnDemand {
			r.Wanted = 0
		}
		if r.Deployed.IsZero() {
			r.Deployed = now.Round(0)
		}
		r.State = Progress{Complete: r.State.Complete}
		r.State.Totals.Address, r.State.Totals.Session = r.Address, r.Session
		e := s.add(r, m.Manifest)
		s.gens++
		e.phase, e.gen, e.deploys = saving, s.gens, []kernel.Reply[Standing]{m.Reply}
		s.emit(SaveApp{r, e.gen})
	}
}

// benchable says whether an app can fill idle slots with n instances.
func benchable(m *manifest.Manifest, n uint32) bool {
	return !m.OnDemand && n <= maxInstances && (n <= 1 || m.Resizable)
}

func (s *State) savedApp(m savedApp) {
	e := s.apps[m.address]
	if e == nil || e.phase != saving || e.gen != m.gen {
		return
	}
	if m.err != nil { // it may be there all the same
		e.phase, e.saveErr = erasing, m.err
		s.emit(EraseApp{m.address})
		return
	}
	deploys := e.deploys
	e.deploys = nil
	s.spawn(e, begin{true, deploys[0]})
	for _, to := range deploys[1:] {
		s.emit(ToApp{m.address, e.gen, begin{true, to}, false})
	}
	if len(e.removals) > 0 { // they came while it was saved
		s.empty(e)
	}
}

func (s *State) remove(a manifest.Address, done func(meter.Metrics, error), fail func(error)) {
	e := s.apps[a]
	if e == nil || e.phase == ghost || e.phase == erasing && e.saveErr != nil {
		done(meter.Metrics{}, fault.New(fault.CallerNotFound, "remove", a.String(), nil))
		return
	}
	e.removals = append(e.removals, &removal{done, fail})
	s.empty(e)
}

// empty has an app end all that it does. One without an actor is forgotten at once.
func (s *State) empty(e *entry) {
	switch e.phase {
	case live:
		e.phase = emptying
		s.emit(ToApp{e.rec.Address, e.gen, finish{}, true})
	case lost, broken:
		if !e.actor {
			s.well(e)
			e.phase = erasing
			s.emit(EraseApp{e.rec.Address})
		}
	}
}

func (s *State) emptied(m emptied) {
	if e := s.from(m.from); e != nil && e.phase == emptying {
		e.phase, e.final = erasing, m.metrics
		s.emit(EraseApp{e.rec.Address})
	}
}

func (s *State) erased(now time.Time, m erased) {
	e := s.apps[m.address]
	switch {
	case e == nil || e.phase != erasing:
	case e.saveErr != nil: // a deployment that failed
		for _, to := range e.deploys {
			s.emit(answer[Standing]{to: to, err: e.saveErr})
		}
		e.deploys = nil
		s.answerRemovals(e, fault.New(fault.CallerNotFound, "remove", m.address.String(), nil))
		if m.err == nil {
			s.drop(e)
			return
		}
		e.phase, e.reviveAt = ghost, now.Add(retryEvery)
		s.sick = append(s.sick, e)
		if s.bench == e {
			s.bench = nil
		}
	case m.err != nil:
		s.emit(Warn{m.err, "an app could not be removed"})
		s.answerRemovals(e, m.err)
		if e.actor {
			e.phase = live
			s.emit(ToApp{e.rec.Address, e.gen, unfinish{}, true})
			return
		}
		e.phase, e.reviveAt = broken, now.Add(retryEvery)
		s.sick = append(s.sick, e)
	case e.actor:
		e.phase = closing
		s.emit(StopActor{e.rec.Address, e.gen})
	default:
		s.goneFor(e)
	}
}

// goneFor ends an app that is off the disk, and has no actor any more.
func (s *State) goneFor(e *entry) {
	s.answerRemovals(e, nil)
	s.drop(e)
	s.skip(e.rec.Address)
}

func (s *State) answerRemovals(e *entry, err error) {
	for _, r := range e.removals {
		r.done(e.final, err)
	}
	e.removals = nil
}

// exited takes note of the end of an actor. One that failed is replaced, but not for ever.
func (s *State) exited(now time.Time, m exited) {
	e := s.names[m.name]
	if e == nil || !e.actor {
		return
	}
	e.actor = false
	s.used -= e.held
	e.held, e.more, e.yields = 0, 0, 0
	s.unline(e)
	switch e.phase {
	case closing:
		s.goneFor(e)
		return
	case erasing: // its fate is with the disk
		return
	case live, emptying:
	default:
		return
	}
	e.crashes = append(slices.DeleteFunc(e.crashes, func(t time.Time) bool { return now.Sub(t) > time.Minute }), now)
	if len(e.removals) > 0 {
		e.phase = lost
		s.empty(e)
		return
	}
	if len(e.crashes) > maxCrashes {
		s.breakApp(now, e, fault.New(fault.HostGaveUp, "app", e.rec.Address.String(), m.err))
		return
	}
	e.phase = lost
	s.emit(Reload{e.rec.Address, e.gen})
}

// maxCrashes is how often within a minute an app's actor is replaced; then that waits for a minute.
const maxCrashes = 5

func (s *State) breakApp(now time.Time, e *entry, err error) {
	e.phase, e.reviveAt = broken, now.Add(time.Minute)
	s.sick = append(s.sick, e)
	s.emit(Warn{err, "an app is down"})
	s.skip(e.rec.Address)
}

func (s *State) reloaded(now time.Time, m reloaded) {
	e := s.apps[m.address]
	if e == nil || e.phase != lost || e.gen != m.gen || e.actor {
		return
	}
	switch {
	case m.err != nil || !m.found:
		err := m.err
		if err == nil {
			err = fault.New(fault.BugProtocol, "app", m.address.String(), errorText("the store has lost it"))
		}
		s.breakApp(now, e, err)
	default:
		e.rec = m.record
		s.spawn(e, begin{})
	}
}

// revive tries again what failed a while ago.
func (s *State) revive(now time.Time) {
	for _, e := range slices.Clone(s.sick) {
		if now.Before(e.reviveAt) {
			continue
		}
		s.well(e)
		if e.phase == ghost {
			e.phase = erasing
			s.emit(EraseApp{e.rec.Address})
			continue
		}
		e.phase, e.crashes = lost, nil
		s.emit(Reload{e.rec.Address, e.gen})
	}
}

// from finds the app that a message came from, if its actor has not been replaced.
func (s *State) from(o origin) *entry {
	if e := s.apps[o.address]; e != nil && e.gen == o.gen && e.actor {
		return e
	}
	return nil
}
