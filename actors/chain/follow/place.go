package follow

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// placing is what the host has, and what is to be done about it.
type placing struct {
	apps    map[manifest.Address]*app
	order   []*app // those that something is done about, the best paid first
	planned bool   // order is that of the tickets
	listAt  time.Time
	listing uint64                   // action; 0: none
	listed  bool                     // the host's apps are known
	byHand  map[manifest.Address]App // of operators, as listed last
}

// leave is how far an app is on its way out.
type leave uint8

const (
	staying leave = iota
	stopping
	settling
	removing
)

// app is an app that tickets name, the benchmark, or what is left of one.
type app struct {
	address manifest.Address
	tickets []*ticket // in order of their ids

	wanted   bool   // it is to be deployed
	ahead    bool   // it is to be announced
	bench    bool   // it is the benchmark of the chain
	unwanted uint64 // height at which nobody wanted it any more
	paid     meter.Uint128

	there, mine, hostBench bool
	stopped                bool // on its way out, maybe in an earlier life of the follower
	session                [32]byte
	known                  uint64 // action that said so

	manifest  []byte
	blobs     []manifest.Pair
	fetched   int
	announced bool
	leaving   leave

	busy         uint64 // action; 0: none
	tries        int
	next         time.Time
	early        bool // there was no worker session yet: next is too late when there is one
	refusedUntil time.Time
	state        string
	reason       string
	since        time.Time
}

func (s *State) appOf(addr manifest.Address) *app {
	a := s.apps[addr]
	if a == nil {
		a = &app{address: addr, state: "unpaid", since: s.now}
		s.apps[addr] = a
		s.planned = false
		if h, ok := s.byHand[addr]; ok {
			s.has(a, h)
		}
	}
	return a
}

func (a *app) say(now time.Time, state, reason string) {
	if a.state != state {
		a.state, a.since = state, now
	}
	a.reason = reason
}

// place brings the host's apps nearer to what the chain demands.
func (s *State) place() {
	if !s.ready {
		return
	}
	if s.listing == 0 && !s.listAt.IsZero() && !s.listAt.After(s.now) {
		s.listAt = time.Time{}
		s.listing = s.start(act{action: ListApps{}})
	}
	if !s.planned {
		s.plan()
	}
	for _, a := range slices.Clone(s.order) {
		s.advance(a)
	}
}

// appsListed takes in what the host has.
func (s *State) appsListed(a *act, m acted) {
	s.listing = 0
	s.listAt = s.now.Add(s.cfg.Relist)
	list, ok := m.value.([]App)
	if m.err != nil || !ok {
		s.listAt = s.now.Add(s.cfg.RetryMin)
		return
	}
	s.listed = true
	s.byHand = map[manifest.Address]App{}
	there := make(map[manifest.Address]struct{}, len(list))
	for _, h := range list {
		there[h.Address] = struct{}{}
		if !h.Mine {
			s.byHand[h.Address] = h
		}
		x := s.apps[h.Address]
		if x == nil {
			if !h.Mine {
				continue // nobody on chain has to do with it
			}
			x = s.appOf(h.Address)
		}
		if x.known >= a.seq || x.busy != 0 {
			continue // newer things are known
		}
		s.has(x, h)
	}
	for _, x := range s.apps {
		if _, ok := there[x.address]; !ok && x.there && x.busy == 0 && x.known < a.seq {
			x.there, x.mine, x.hostBench, x.leaving = false, false, false, staying
			s.left(x)
			s.planned = false
		}
	}
}

// has says that the host has an app.
func (s *State) has(a *app, h App) {
	if !a.there || a.mine != h.Mine {
		s.planned = false
	}
	a.there, a.mine, a.hostBench, a.session = true, h.Mine, h.Bench, h.Session
	a.stopped = h.Stopped
}

// plan chooses what is to be deployed: the benchmark, and of the paid apps the best paid. One that is here counts a quarter more, so
// that two that are paid alike do not take turns.
func (s *State) plan() {
	s.planned = true
	var paid []*app
	for addr, a := range s.apps {
		a.bench = addr == s.bench && s.bench != (manifest.Address{})
		a.wanted, a.ahead = a.bench, a.bench
		a.paid = meter.Uint128{}
		for _, t := range a.tickets {
			if t.pays() {
				a.paid = a.paid.Plus(t.balance)
			}
		}
		if !a.paid.IsZero() {
			paid = append(paid, a)
		}
	}
	if a := s.bench; a != (manifest.Address{}) && s.apps[a] == nil {
		b := s.appOf(a)
		b.bench, b.wanted, b.ahead = true, true, true
		s.planned = true
	}
	slices.SortFunc(paid, func(a, b *app) int {
		return cmp.Or(b.weight().Cmp(a.weight()), bytes.Compare(a.address[:], b.address[:]))
	})
	places := s.cfg.MaxApps
	beyond := s.cfg.Ahead
	for _, a := range paid {
		switch {
		case a.bench:
		case a.there && !a.mine: // an operator's: it takes nobody's place
			a.wanted, a.ahead = true, true
		case places > 0:
			a.wanted, a.ahead = true, true
			places--
		case beyond > 0:
			a.ahead = true
			beyond--
		}
	}
	s.order = s.order[:0]
	for _, a := range paid {
		if a.ahead || a.there || a.busy != 0 {
			s.order = append(s.order, a)
		}
	}
	var rest []*app
	for addr, a := range s.apps {
		switch {
		case !a.paid.IsZero():
		case a.bench, a.there, a.busy != 0:
			rest = append(rest, a)
		case len(a.tickets) == 0:
			delete(s.apps, addr)
		}
		if !a.ahead && !a.there && a.busy == 0 {
			a.manifest, a.blobs, a.fetched, a.announced, a.tries, a.next = nil, nil, 0, false, 0, time.Time{}
			a.idle(s)
		}
		switch {
		case a.wanted:
			a.unwanted = 0
		case a.unwanted == 0:
			a.unwanted = max(s.newest, 1)
		}
	}
	slices.SortFunc(rest, func(a, b *app) int { return bytes.Compare(a.address[:], b.address[:]) })
	s.order = append(s.order, rest...)
}

// weight is what an app is paid, as far as it decides who is deployed.
func (a *app) weight() meter.Uint128 {
	if a.there && a.leaving == staying && !a.stopped {
		return a.paid.Plus(a.paid.Over(meter.Uint128{Lo: 4}))
	}
	return a.paid
}

// idle says why nothing is done about an app.
func (a *app) idle(s *State) {
	switch {
	case !a.paid.IsZero():
		a.say(s.now, "waiting", "others are paid better, and all places are taken")
	case slices.ContainsFunc(a.tickets, func(t *ticket) bool { return t.closing || t.ended }):
		a.say(s.now, "unpaid", "its tickets are being closed, or are for other workers now")
	default:
		a.say(s.now, "unpaid", "its tickets are empty")
	}
}

// advance does the next thing for an app.
func (s *State) advance(a *app) {
	switch {
	case a.busy != 0, a.next.After(s.now):
		return
	case !s.listed:
		return
	case a.leaving != staying:
		s.leave(a)
	case a.there && a.mine && a.stopped:
		if a.say(s.now, "leaving", "it was stopped; what the chain demands is still being read"); s.sure() {
			a.leaving = settling
			s.leave(a)
		}
	case a.there && (a.wanted || !a.mine):
		s.settled(a)
	case a.there:
		s.mayLeave(a)
	case a.refusedUntil.After(s.now):
	case a.wanted, a.ahead:
		s.bring(a)
	}
}

// settled is for an app that is there and may stay.
func (s *State) settled(a *app) {
	state, reason := "running", ""
	if !a.mine {
		reason = "an operator deployed it: it serves, and is left alone"
	}
	a.say(s.now, state, reason)
	a.tries, a.next = 0, time.Time{}
	switch {
	case a.bench && !a.hostBench:
		s.begin(a, SetBench{a.address})
	case !a.bench && a.mine && a.hostBench && s.whole && s.bench == (manifest.Address{}):
		s.begin(a, SetBench{})
	}
}

// mayLeave begins to remove an app that nobody pays, once that cannot be undone.
func (s *State) mayLeave(a *app) {
	switch {
	case !s.sure():
		a.say(s.now, "running", "nobody pays it as far as is known; it stays until the chain is read")
	case s.final < a.unwanted:
		a.say(s.now, "running", fmt.Sprintf("nobody pays it; that is final with block %d", a.unwanted))
	case s.bench != (manifest.Address{}) && a.hostBench && !s.benchThere():
		a.say(s.now, "running", "the next benchmark is not here yet")
	default:
		a.leaving = stopping
		s.planned = false // it counts as one that is not here
		s.leave(a)
	}
}

func (s *State) benchThere() bool {
	b := s.apps[s.bench]
	return b != nil && (b.there || b.refusedUntil.After(s.now))
}

// leave goes on removing an app. What it used is settled before it goes, as long as there is a ticket to settle it from.
func (s *State) leave(a *app) {
	if !a.mine {
		a.leaving = staying
		return
	}
	if a.leaving == settling && len(a.tickets) == 0 {
		if !s.sure() {
			a.say(s.now, "leaving", "whether it has a ticket is being read")
			return
		}
		a.leaving = removing
	}
	switch a.leaving {
	case stopping:
		a.say(s.now, "leaving", "it is stopped: "+s.whyGone(a))
		s.begin(a, Stop{a.address})
	case settling:
		a.say(s.now, "leaving", "its final report is to be settled")
		s.begin(a, Settle{a.address})
	case removing:
		a.say(s.now, "leaving", "it is removed")
		s.begin(a, Remove{a.address})
	}
}

func (s *State) whyGone(a *app) string {
	switch {
	case !a.paid.IsZero():
		return "others are paid better"
	case len(a.tickets) == 0:
		return "it has no ticket"
	case slices.ContainsFunc(a.tickets, func(t *ticket) bool { return t.closing || t.ended }):
		return "its tickets are being closed, or are for other workers now"
	}
	return "its tickets are empty"
}

// bring does the next thing to have an app here.
func (s *State) bring(a *app) {
	switch {
	case a.manifest == nil:
		a.say(s.now, "fetching", "its manifest")
		s.begin(a, FetchManifest{s.cid(a), a.address})
	case a.fetched == 0 && len(a.blobs) > 0: // the code
		a.say(s.now, "fetching", "its code")
		s.begin(a, FetchBlob{a.blobs[0].Key, a.blobs[0].Value})
	case !a.announced:
		a.say(s.now, "fetching", "its code is announced")
		s.begin(a, Announce{a.manifest})
	case !a.wanted:
		a.say(s.now, "waiting", "others are paid better, and all places are taken; its code is prepared ahead")
	case a.fetched < len(a.blobs):
		a.say(s.now, "fetching", fmt.Sprintf("blob %d of %d", a.fetched+1, len(a.blobs)))
		s.begin(a, FetchBlob{a.blobs[a.fetched].Key, a.blobs[a.fetched].Value})
	default:
		a.say(s.now, "deploying", "")
		s.begin(a, Deploy{a.manifest, a.bench})
	}
}

// cid chooses by turns among those that the tickets of an app name: a wrong one of somebody else's must not keep it away.
func (s *State) cid(a *app) string {
	var all []string
	if a.bench && s.benchCID != "" {
		all = append(all, s.benchCID)
	}
	for _, t := range a.tickets {
		if t.pays() && !slices.Contains(all, t.cid) {
			all = append(all, t.cid)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return all[a.tries%len(all)]
}

// begin has something done for an app, when there is room.
func (s *State) begin(a *app, what Action) {
	if counts(what) && s.actsApps >= maxActs {
		return
	}
	a.busy = s.start(act{app: a, action: what})
}

// retry waits for a while.
func (s *State) retry(a *app, err error) {
	wait := backoff(a.tries, s.cfg.RetryMin, s.cfg.RetryMax)
	if a.early = fault.CodeOf(err) == fault.CallerNoSession; a.early {
		wait = s.cfg.RetryMin // it is opened soon, and the host says so
	}
	a.tries++
	a.next = s.now.Add(wait)
	a.reason = words(err)
}

func (s *State) appActed(c *act, m acted) {
	a := c.app
	a.busy, a.known = 0, s.lastAct
	a.next = time.Time{}
	if !a.ahead {
		s.planned = false // it may have no place in the order any more
	}
	if m.err != nil {
		s.appFailed(a, c.action, m.err)
		return
	}
	switch done := c.action.(type) {
	case FetchManifest:
		s.gotManifest(a, m.value)
	case FetchBlob:
		a.fetched++
		a.tries = 0
	case Announce:
		a.announced = true
	case Deploy:
		h, _ := m.value.(App)
		a.tries = 0
		h.Address = a.address
		s.has(a, h)
		if h.Bench {
			s.benchIs(a)
		}
	case Stop:
		a.leaving, a.stopped, a.tries = settling, true, 0
	case Settle:
		a.leaving, a.tries = removing, 0
	case Remove:
		a.leaving, a.tries = staying, 0
		a.there, a.mine, a.hostBench = false, false, false
		s.left(a)
		s.planned = false
	case SetBench:
		s.benchIs(s.apps[done.Address])
	}
}

// benchIs says which app fills the slots of the host; nil: none.
func (s *State) benchIs(a *app) {
	for _, o := range s.apps {
		o.hostBench = o == a
	}
}

// gotManifest takes in a manifest. It was verified; that it is the app's own is certain only here.
func (s *State) gotManifest(a *app, value any) {
	b, _ := value.([]byte)
	m, err := manifest.Decode(b)
	if err == nil {
		err = m.Validate()
	}
	if err == nil && m.Address() != a.address {
		err = fault.New(fault.CallerBlobMismatch, "manifest", a.address.String(), nil)
	}
	if err != nil {
		s.refuse(a, err)
		return
	}
	a.manifest, a.fetched, a.tries = b, 0, 0
	a.blobs = needs(m)
}

// needs lists the blobs of a manifest with their CIDs, the code first.
func needs(m *manifest.Manifest) []manifest.Pair {
	out := []manifest.Pair{{Key: m.CodeHash}}
	for _, b := range m.Blobs {
		i := slices.IndexFunc(out, func(p manifest.Pair) bool { return p.Key == b.Key })
		if i < 0 {
			out = append(out, b)
		} else if out[i].Value == "" {
			out[i].Value = b.Value
		}
	}
	return out
}

// refuse leaves an app alone for long: what is wrong with it does not mend itself.
func (s *State) refuse(a *app, err error) {
	a.say(s.now, "refused", words(err))
	a.refusedUntil = s.now.Add(refusedFor)
	a.next = a.refusedUntil
	a.tries = 0
}

func (s *State) appFailed(a *app, what Action, err error) {
	f := fault.From(err)
	switch what.(type) {
	case Announce:
		a.announced = true // it was a favour
		return
	case Stop:
		if f.Class == fault.Caller { // it does not run, or is not there: Remove says
			a.leaving, a.tries = settling, 0
			return
		}
	case Settle:
		if f.Class != fault.Busy && f.Class != fault.Host && f.Class != fault.Canceled {
			a.leaving, a.tries = removing, 0
			return
		}
	case Deploy:
		switch f.Code {
		case fault.CallerBlobMissing:
			a.fetched = 0
		case fault.CallerAppExists:
			s.listAt = s.now
		}
		if f.Class == fault.Guest || isManifest(f.Code) {
			s.refuse(a, err)
			return
		}
	case FetchManifest, FetchBlob:
		if isManifest(f.Code) {
			s.refuse(a, err)
			return
		}
	}
	s.retry(a, err)
}

func isManifest(c fault.Code) bool {
	switch c {
	case fault.CallerManifest, fault.CallerManifestVersion, fault.CallerManifestConflict, fault.CallerManifestLabel, fault.CallerManifestTooLarge:
		return true
	}
	return false
}

// claims says which tickets pay for apps.
func (s *State) claims(addresses []manifest.Address) map[manifest.Address][]uint64 {
	out := map[manifest.Address][]uint64{}
	for _, addr := range addresses {
		a := s.apps[addr]
		if a == nil || len(a.tickets) == 0 {
			continue
		}
		list := slices.Clone(a.tickets)
		rank := func(t *ticket) int {
			switch least := (meter.Uint128{Lo: dust}); {
			case t.balance.Cmp(least) <= 0:
				return 2 // it has nothing to pay with
			case t.closing, t.ended:
				return 0
			}
			return 1
		}
		slices.SortStableFunc(list, func(a, b *ticket) int { return cmp.Compare(rank(a), rank(b)) })
		for _, t := range list[:min(len(list), MaxClaims)] {
			out[addr] = append(out[addr], t.id)
		}
	}
	return out
}
