package cache

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// remedy is what a run needs that is to be tried once more.
type remedy uint8

const (
	noRemedy     remedy = iota // it is not tried again
	newArtifact                // another generation of the artifact
	newAttempt                 // a fresh worker, and another generation unless the present one works for others
	maxSuspicion = 4096        // records of what counted against code
)

// remedyFor says whether a fault of a run may be gone the next time. Limits are not: a run that passed its wall limit was
// given all the time that it asked for, and would take as much again.
func remedyFor(c fault.Code) remedy {
	switch c {
	case fault.HostArtifactMissing, fault.HostArtifactCorrupt, fault.SuspectArtifact:
		return newArtifact
	case fault.SuspectWorkerDied, fault.SuspectBadReply:
		return newAttempt
	}
	return noRemedy
}

// executed takes the end of a run.
func (s *State) executed(now time.Time, m executed) []Effect {
	a := s.asks[m.id]
	if a == nil || a.entry == nil {
		return nil
	}
	e, o := a.entry, m.outcome
	a.trail, o.Trail = a.trail.Join(o.Trail), nil
	a.entry = nil
	e.inUse--
	f := o.Fault
	switch {
	case a.revoked && (m.err != nil || f != nil):
		return s.fail(a, revoked(a.Validity))
	case m.err != nil:
		return s.fail(a, m.err)
	case f != nil && a.departed: // nobody is left to repeat it for, and a verdict on the code would come too late
		return s.fail(a, fault.New(fault.CanceledCaller, "cache", "", nil))
	case f == nil:
		e.well = true
		s.forgive(a.Key, a.Tenant)
		return s.answer(a, Answer{Outcome: o, Meta: e.meta})
	}
	others := e.inUse > 0 || a.Tried != nil && a.Tried.Others && a.attempts == 1
	works := others && e.well // for others, right now
	e.well = e.well && f.Class != fault.Suspect || f.Class == fault.Guest
	if r := remedyFor(f.Code); r != noRemedy && a.attempts == 1 {
		if o.Delivered == 0 {
			a.attempts++
			a.suspect = f.Class == fault.Suspect
			if r == newAttempt && (works || a.NoCode || e.exceeds(a.Budget) != nil) { // else it could not be had again
				return append([]Effect{Retried{Fault: f}}, s.lead(now, a)...)
			}
			return append([]Effect{Retried{Fault: f}}, s.again(now, e, a)...)
		}
		f = unrepeated(f)
		o.Fault = f
	}
	if f.Class != fault.Guest && f.Class != fault.Suspect {
		return s.fail(a, f) // no verdict on the code
	}
	repeated := f.Class == fault.Suspect && a.suspect
	counted := repeated && !s.limits.Forgive
	var out []Effect
	if counted {
		out = s.suspect(now, a)
	}
	return append(out, s.answer(a, Answer{Outcome: o, Meta: e.meta, Repeated: repeated, Counted: counted})...)
}

// unrepeated says in a fault why the run was not tried again.
func unrepeated(f *fault.Error) *fault.Error {
	why := errors.New("not repeated: output was delivered or input was taken")
	if f.Err != nil {
		why = fmt.Errorf("%w; %w", f.Err, why)
	}
	c := *f
	c.Err = why
	return &c
}

// suspicion is what counted against the code of a tenant.
type suspicion struct {
	runs  int // in a row
	at    time.Time
	until time.Time // of the quarantine; zero: none
}

// suspect counts a run against its code.
func (s *State) suspect(now time.Time, a *ask) (out []Effect) {
	if s.limits.QuarantineAfter < 0 {
		return nil
	}
	tenants := s.suspicion[a.Key]
	if tenants == nil {
		tenants = map[string]*suspicion{}
		s.suspicion[a.Key] = tenants
	}
	r := tenants[a.Tenant]
	if r == nil {
		r = &suspicion{}
		tenants[a.Tenant] = r
	}
	r.runs, r.at = r.runs+1, now
	if r.runs >= s.limits.QuarantineAfter {
		if r.until.IsZero() {
			out = append(out, Quarantined{}, Release{Key: a.Key, Tenant: a.Tenant})
		}
		r.until = now.Add(s.limits.Quarantine)
	}
	s.boundSuspicion()
	return out
}

// boundSuspicion drops the record that changed least recently, over the limit.
func (s *State) boundSuspicion() {
	n := 0
	for _, tenants := range s.suspicion {
		n += len(tenants)
	}
	if n <= maxSuspicion {
		return
	}
	var key artifacts.Key
	var tenant string
	var oldest *suspicion
	for k, tenants := range s.suspicion {
		for t, r := range tenants {
			if oldest == nil || cmp.Or(r.at.Compare(oldest.at), bytes.Compare(k[:], key[:]), cmp.Compare(t, tenant)) < 0 {
				key, tenant, oldest = k, t, r
			}
		}
	}
	s.forgive(key, tenant)
}

// forgive forgets what counted against the code of a tenant.
func (s *State) forgive(k artifacts.Key, tenant string) {
	if delete(s.suspicion[k], tenant); len(s.suspicion[k]) == 0 {
		delete(s.suspicion, k)
	}
}

// quarantined refuses a run of code that is in quarantine.
func (s *State) quarantined(now time.Time, a *ask) *fault.Error {
	r := s.suspicion[a.Key][a.Tenant]
	if a.Kind != Execute || r == nil || r.until.IsZero() {
		return nil
	}
	if !now.Before(r.until) {
		s.forgive(a.Key, a.Tenant)
		return nil
	}
	return fault.New(fault.GuestQuarantined, "execute", a.Code.String(), fmt.Errorf("%v are left", r.until.Sub(now).Round(time.Second)))
}

// quarantineEnds returns when the last quarantine of an artifact ends, zero if there is none.
func (s *State) quarantineEnds(k artifacts.Key) (at time.Time) {
	for _, r := range s.suspicion[k] {
		if r.until.After(at) {
			at = r.until
		}
	}
	return at
}

// refuse answers a run that no worker is spent on.
func (s *State) refuse(a *ask, f *fault.Error) []Effect {
	return s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: artifacts.Meta{Key: a.Key, Code: a.Code}})
}
