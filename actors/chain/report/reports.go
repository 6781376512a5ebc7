package report

import (
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// reports is what is under way between the meters and the chain.
type reports struct {
	asks    []*ask // that are not answered, the oldest first
	making  bool
	all     bool // what is being made is the report of the interval, too
	unsent  []unsent
	posting bool
	open    map[string]*page

	begun  bool      // the first report is due
	due    time.Time // the next one of the interval
	gas    uint64    // used by all apps, as was told last
	gasAt  uint64    // what it was at the newest report
	lastAt time.Time // the newest report was final
	lastSN uint64

	madeTotal, settledTotal, refusedTotal uint64
}

// ask is a ReportNow.
type ask struct {
	apps    [][32]byte
	to      kernel.Reply[Settled]
	making  bool
	pages   map[string]struct{} // that have its apps and are not final
	wanted  int                 // pages that it needed
	height  uint64
	tries   int
	due     time.Time
	refused *fault.Error // of one of its pages
}

// page is a report in the outbox.
type page struct {
	session ID
	sn      uint64
	regular bool
}

// unsent is a report that is made, and not in the outbox.
type unsent struct {
	sealed
	regular bool
	tries   int
	due     time.Time
}

// ask takes a ReportNow.
func (s *State) ask(now time.Time, m ReportNow) []Effect {
	switch {
	case len(s.asks) >= s.set.Requests:
		return []Effect{Reply{To: m.Reply, Err: fault.New(fault.BusyQueueFull, "report", "", nil).WithRetryAfter(time.Second)}}
	case len(m.Apps) > maxAddresses:
		return []Effect{Reply{To: m.Reply, Err: fault.New(fault.CallerInvalid, "report", "", nil).WithHint("it names too many apps: name none for all")}}
	}
	s.asks = append(s.asks, &ask{apps: m.Apps, to: m.Reply, due: now})
	return nil
}

// used makes a report due when much was used.
func (s *State) used(now time.Time, gas uint64) {
	if gas < s.gasAt {
		s.gasAt = 0 // it counts anew
	}
	s.gas = gas
	if s.set.GasUntilReport > 0 && gas-s.gasAt >= s.set.GasUntilReport && s.due.After(now) {
		s.due = now
	}
}

// reporting says whether a report is under way that may change what the chain knows of the session.
func (s *State) reporting() bool {
	if s.making || s.posting || len(s.unsent) > 0 {
		return true
	}
	for _, p := range s.open {
		if s.view.Session != nil && p.session == s.view.Session.ID {
			return true
		}
	}
	return false
}

// planReports makes reports that are due, and sends what is made.
func (s *State) planReports(now time.Time) []Effect {
	var out []Effect
	if len(s.unsent) > 0 && !s.posting && !now.Before(s.unsent[0].due) {
		s.posting = true
		out = append(out, Post{s.unsent[0].sealed})
	}
	d := &s.duties[SettleUse]
	if why := s.holds(); why != "" {
		d.is(now, waiting, why)
		return out
	}
	if !s.begun {
		s.begun = true
		s.due = now // what was used before the start
	}
	var apps [][32]byte
	all, regular := false, !now.Before(s.due)
	for _, a := range s.asks {
		if a.making || len(a.pages) > 0 || now.Before(a.due) {
			continue
		}
		a.making = true
		apps = append(apps, a.apps...)
		all = all || a.apps == nil
	}
	switch {
	case regular && s.regularOpen():
		regular = false // the next one has what this one had
	case regular:
		all = true
		s.gasAt = s.gas
	}
	if !all && len(apps) == 0 {
		p, why := done, ""
		switch {
		case len(s.open) > 0:
			p, why = sent, "waits until reports are final"
		case d.due.After(now):
			p, why = backoff, d.reason
		}
		d.is(now, p, why)
		return out
	}
	if all {
		apps = nil
	}
	s.making, s.all = true, regular
	d.is(now, working, "has reports signed")
	return append(out, Make{apps})
}

// holds says why no report may be made now.
func (s *State) holds() string {
	if s.away {
		return "waits for the chain: " + s.lookErr
	}
	switch {
	case s.making:
		return "has reports signed"
	case len(s.unsent) > 0:
		return "waits until the reports that are made are in the outbox"
	case s.fresh == 0:
		return "looks at the chain"
	case !s.view.Known:
		return "waits for the worker's registration"
	case !s.view.equal():
		return "waits for the session"
	case len(s.open) >= s.set.OpenReports:
		return "waits until some of the reports in the outbox are final"
	}
	return ""
}

// regularOpen says whether the report of the interval before is not final.
func (s *State) regularOpen() bool {
	for _, p := range s.open {
		if p.regular {
			return true
		}
	}
	return false
}

// made takes over reports that are signed.
func (s *State) made(now time.Time, m made) []Effect {
	s.making = false
	d := &s.duties[SettleUse]
	d.is(now, waiting, "")
	var out []Effect
	if m.err != nil {
		err := fault.From(m.err)
		d.failed(now, s.set, err)
		d.is(now, backoff, "the worker made no report")
		if s.all {
			s.due = d.due
		}
		for _, a := range s.takeMaking() {
			out = append(out, s.retryAsk(now, a, err)...)
		}
		s.lookAgain = true // the session may be gone
		return out
	}
	s.pays.claim(m.claims)
	if s.all {
		s.due = now.Add(s.set.Interval)
	}
	for _, p := range m.pages {
		s.unsent = append(s.unsent, unsent{sealed: p, regular: s.all})
		s.madeTotal++
		s.lastSN = max(s.lastSN, p.sn)
	}
	for _, a := range s.takeMaking() {
		a.pages = map[string]struct{}{}
		for _, p := range m.pages {
			if a.in(p) {
				a.pages[p.key] = struct{}{}
			}
		}
		a.wanted = len(a.pages)
		if a.wanted == 0 {
			out = append(out, s.reply(a, nil))
		}
	}
	s.all = false
	return out
}

// takeMaking returns the requests that what was made is for.
func (s *State) takeMaking() (of []*ask) {
	for _, a := range s.asks {
		if a.making {
			a.making = false
			of = append(of, a)
		}
	}
	return of
}

// in says whether a report has one of the apps.
func (a *ask) in(p sealed) bool {
	return a.apps == nil || slices.ContainsFunc(a.apps, func(app [32]byte) bool { _, ok := p.claims[app]; return ok })
}

// reply answers a request, which is over then.
func (s *State) reply(a *ask, err *fault.Error) Effect {
	s.asks = slices.DeleteFunc(s.asks, func(b *ask) bool { return a == b })
	if err != nil {
		return Reply{To: a.to, Err: err}
	}
	return Reply{To: a.to, Settled: Settled{Pages: a.wanted, Height: a.height}}
}

// retryAsk has a request tried once more, or answers that it failed.
func (s *State) retryAsk(now time.Time, a *ask, err *fault.Error) []Effect {
	a.pages, a.refused = nil, nil
	if a.tries++; a.tries >= maxTries && err.Class != fault.Busy {
		return []Effect{s.reply(a, err)}
	}
	a.due = now.Add(delay(s.set, a.tries))
	return nil
}

// posted is the end of a Post.
func (s *State) posted(now time.Time, m posted) []Effect {
	s.posting = false
	if len(s.unsent) == 0 || s.unsent[0].key != m.key {
		return nil
	}
	u := &s.unsent[0]
	switch err := fault.From(m.err); {
	case m.err == nil:
		s.open[m.key] = &page{session: u.session, sn: u.sn, regular: u.regular}
		s.unsent = s.unsent[1:]
		return []Effect{s.await(now, SettleUse, m.key)}
	case err.Class == fault.Caller && err.Code != fault.CallerClosed:
		s.unsent = s.unsent[1:]
		s.duties[SettleUse].failed(now, s.set, err)
		return append(s.settled(now, m.key, Outcome{}, err), Warn{"a report cannot be sent; the next one has what it said", err})
	}
	u.due = now.Add(delay(s.set, u.tries))
	u.tries++
	s.duties[SettleUse].err = text(m.err)
	return nil
}

// settled is the end of a report.
func (s *State) settled(now time.Time, key string, out Outcome, err *fault.Error) []Effect {
	p := s.open[key]
	delete(s.open, key)
	var effects []Effect
	if err == nil {
		s.settledTotal++
		s.lastAt = now
	} else {
		s.refusedTotal++
		if p == nil || p.regular { // totals go on: the next report has what this one had
			s.due = minTime(s.due, s.duties[SettleUse].due)
		}
	}
	for _, a := range slices.Clone(s.asks) {
		if _, its := a.pages[key]; !its {
			continue
		}
		delete(a.pages, key)
		a.height = max(a.height, out.Height)
		if err != nil {
			a.refused = err
		}
		switch {
		case len(a.pages) > 0:
		case a.refused != nil:
			effects = append(effects, s.retryAsk(now, a, a.refused)...)
		default:
			effects = append(effects, s.reply(a, nil))
		}
	}
	return effects
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// reportsDue tells what the reports wait for.
func (s *State) reportsDue(at func(time.Time)) {
	if s.begun {
		at(s.due)
	}
	for _, a := range s.asks {
		if !a.making && len(a.pages) == 0 {
			at(a.due)
		}
	}
	if len(s.unsent) > 0 {
		at(s.unsent[0].due)
	}
}
