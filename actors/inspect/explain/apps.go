package explain

import (
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

func (x *telling) app(a inspect.App) {
	x.is("app", a.Address, a.State)
	name, id := "App "+short(a.Address), short(a.Address)
	if a.Label != "" {
		name += " (" + fault.QuoteTo(a.Label, 64) + ")"
	}
	reason := func(owner string, since time.Time) {
		if a.Reason != "" {
			x.because("app", a.Address, owner, since, "%s", fault.Quote(a.Reason))
		}
	}
	switch a.State {
	case "preparing":
		x.sum("%s waits for its code to be prepared.", name)
		reason("prepare", time.Time{})
		if art, ok := x.artifactOfCode(a.CodeHash); ok {
			x.artifactLink(art)
		}
		x.advise("troupe app raise " + id)
	case "waiting":
		x.sum("%s waits for a slot: %d of %d instances run.", name, a.Running, a.Wanted)
		reason("sessions", time.Time{})
		x.slotLinks()
	case "backoff":
		x.sum("%s waits for its back-off, and begins again %s: its last instance ended too early.", name, x.in(a.NextAt))
		x.lastEnd(a)
		reason("its actor", a.LastEndAt)
		x.advise("troupe app logs "+id, "troupe app restart "+id)
	case "scheduled":
		x.sum("%s waits for its schedule: the next run begins %s.", name, x.in(a.NextAt))
		reason("its manifest", time.Time{})
	case "stopped":
		x.sum("%s waits for an operator: it is stopped.", name)
		reason("an operator", a.LastEndAt)
		x.advise("troupe app start " + id)
	case "failed":
		x.sum("%s waits for an operator: it is down.", name)
		x.lastEnd(a)
		reason("an operator", a.LastEndAt)
		x.advise("troupe app logs "+id, "troupe app start "+id)
	default:
		x.sum("%s waits for nothing: it is %s, with %s under way.", name, a.State, count(a.Active, "request", "requests"))
	}
	if a.Queued > 0 {
		x.because("app", a.Address, "its instances", a.LastQuery, "%s for an instance", count(a.Queued, "request waits", "requests wait"))
	}
	for _, d := range x.f.Demands {
		if d.App == a.Address && d.Reason != "" && x.first("demand", d.ID) {
			x.because(d.Kind, d.ID, "the chain", d.Since, "the chain wants it as %s: %s", fault.Quote(d.ID), fault.Quote(d.Reason))
		}
	}
	if len(x.e.Because) > 0 {
		x.hostLinks()
	}
}

// lastEnd tells how the last instance ended.
func (x *telling) lastEnd(a inspect.App) {
	if a.LastEnd == "" {
		return
	}
	words := fault.Quote(a.LastEnd)
	if strings.Contains(a.LastEnd, ".") && fault.Describe(fault.Code(a.LastEnd)).Class != fault.Bug {
		words = x.blame(a.LastEnd)
	}
	x.because("app", a.Address, "the code of the app", a.LastEndAt, "its last instance ended %s ago: %s", span(x.f.At.Sub(a.LastEndAt)), words)
}

// slotLinks name who has the slots.
func (x *telling) slotLinks() {
	s := x.f.Session
	if s.Slots > 0 {
		x.because("app", "", "sessions", time.Time{}, "%d of %d slots for instances are taken", s.SlotsUsed, s.Slots)
	}
	named := 0
	for _, o := range x.f.Apps {
		if o.Running > 0 && o.Address != x.e.ID && named < 3 {
			named++
			x.because("app", o.Address, "an operator", o.Deployed, "app %s has %s", short(o.Address), count(int(o.Running), "instance", "instances"))
		}
	}
	x.advise("troupe app list", "stop or resize an app, or give 'troupe serve' more --slots")
}

func (x *telling) chain(id string) bool {
	if id != "chain" {
		return false
	}
	v := x.f.Chain
	if v == nil {
		x.is("chain", "chain", "none")
		x.sum("The chain waits for nothing: this host has none.")
		return true
	}
	state := "following"
	switch {
	case v.Chain.Paused:
		state = "paused"
	case !v.Chain.Connected:
		state = "lost"
	}
	x.is("chain", "chain", state)
	waits := 0
	for _, n := range v.Chain.Outbox {
		waits += n
	}
	switch {
	case v.Chain.Paused:
		x.sum("The outbox waits for an operator: it is paused, and %s on the way.", count(waits, "call is", "calls are"))
	case !v.Chain.Connected:
		x.sum("The outbox waits for the chain, which does not answer %s.", x.since(v.Chain.Since))
	case waits == 0 && v.Reporter.Waiting == "" && v.Chain.Waiting == "":
		x.sum("The chain waits for nothing: no call is on its way, and block %d was the last that was read.", v.Chain.Head)
		return true
	default:
		x.sum("The outbox waits until %s; %s on the way.", fault.Quote(or(v.Chain.Waiting, or(v.Reporter.Waiting, "blocks come"))), count(waits, "call is", "calls are"))
	}
	x.chainLinks()
	for _, d := range v.Reporter.Duties {
		if (d.State == "backoff" || d.State == "waiting") && d.Reason != "" {
			x.because("chain", d.Name, "report", d.Since, "the duty %s is in state %s: %s", fault.Quote(d.Name), d.State, fault.Quote(d.Reason))
		}
	}
	return true
}

// chainLinks say why nothing goes to the chain.
func (x *telling) chainLinks() {
	v := x.f.Chain
	if v == nil || !x.first("chain", "links") {
		return
	}
	c := v.Chain
	if c.Paused {
		since := time.Time{}
		for _, w := range x.f.Host.Health {
			if w.Code == "chain.paused" {
				since = w.Since
			}
		}
		x.because("chain", "outbox", "an operator", since, "the outbox is paused: nothing is signed or submitted")
		x.advise("troupe chain resume")
	}
	if !c.Connected {
		x.because("chain", c.Name, "who runs the chain at "+fault.Quote(v.URL), c.Since, "the chain does not answer %s%s", x.since(c.Since), tail(c.LastError))
		x.advise("troupe chain status", "look after the node at "+fault.Quote(v.URL))
	}
	if v.Follower.State == "other_chain" {
		x.because("chain", c.Name, "an operator", v.Follower.Since, "another chain answers than the one of before%s", tail(v.Follower.Reason))
		x.advise("troupe chain adopt")
	}
	if c.Lag > 1 {
		x.because("chain", c.Name, "chain", c.HeadSince, "%d blocks that the chain has are not read yet", c.Lag)
	}
	if c.Waiting != "" && !c.Paused && c.Connected {
		x.because("chain", c.Name, "chain", c.Oldest, "it waits until %s", fault.Quote(c.Waiting))
	}
	for _, w := range x.f.Host.Health {
		if w.Code == "chain.stuck" || w.Code == "chain.heartbeat" {
			x.because("chain", w.Code, "host", w.Since, "%s", fault.Quote(w.Message))
			x.advise(w.Hint)
		}
	}
}

func (x *telling) call(id string) bool {
	number := strings.TrimPrefix(id, "call/")
	for _, c := range x.f.Calls {
		if c.Key != id && !(number != id && strconv.FormatUint(c.Number, 10) == number) {
			continue
		}
		x.is("outgoing", c.Key, c.State)
		what := "Call " + fault.Quote(c.Call)
		switch c.State {
		case "done":
			x.sum("%s waits for nothing: it is final, in block %d.", what, c.Block)
			return true
		case "failed":
			x.e.Blame = fault.Caller.String()
			x.sum("%s waits for nothing: it is final in block %d, and has failed there%s.", what, c.Block, tail(c.Error))
			x.advise("troupe chain events")
			return true
		case "dropped":
			x.e.Blame = fault.Caller.String()
			x.sum("%s waits for nothing: it never came into a block, and never will%s.", what, tail(c.Error))
			return true
		case "waiting":
			x.sum("%s waits to be signed, %s.", what, x.since(c.Since))
		case "signed":
			x.sum("%s waits to be submitted, %s.", what, x.since(c.Since))
		case "submitted":
			x.sum("%s waits for a block, %s.", what, x.since(c.Since))
			x.because("chain", "", "who makes the blocks", c.Since, "its transaction may come into a block up to %d", c.ValidUntil)
		case "in_block":
			x.sum("%s waits for block %d to be final, %s.", what, c.Block, x.since(c.Since))
		case "in_doubt":
			x.sum("%s waits until it is certain that its transaction never comes into a block, %s.", what, x.since(c.Since))
		default:
			x.sum("%s waits to be filed, %s.", what, x.since(c.Since))
		}
		if c.Error != "" {
			x.because("outgoing", c.Key, "chain", c.Since, "the last try: %s", fault.Quote(c.Error))
		}
		if c.Next.After(x.f.At) {
			x.because("outgoing", c.Key, "chain", c.Since, "it is tried again %s", x.in(c.Next))
		}
		x.chainLinks()
		x.hostLinks()
		return true
	}
	return false
}

func (x *telling) demand(id string) bool {
	ticket, isTicket := strings.CutPrefix(id, "ticket/")
	for _, d := range x.f.Demands {
		match := d.ID == id
		if isTicket && !match {
			n, err := strconv.ParseUint(ticket, 10, 64)
			for _, t := range d.Tickets {
				match = match || err == nil && t == n
			}
		}
		if !match {
			continue
		}
		x.is(or(d.Kind, "request"), id, d.State)
		if d.Reason == "" && d.NextAt.IsZero() {
			x.sum("What the chain wants by %s waits for nothing: it is %s %s.", fault.Quote(id), d.State, x.since(d.Since))
			return true
		}
		x.sum("What the chain wants by %s is %s %s%s.", fault.Quote(id), d.State, x.since(d.Since), tail(d.Reason))
		if d.NextAt.After(x.f.At) {
			x.because(d.Kind, d.ID, "follower", d.Since, "it has failed %s in a row, and is tried again %s", count(d.Tries, "time", "times"), x.in(d.NextAt))
		}
		for _, a := range x.f.Apps {
			if d.App != "" && a.Address == d.App && a.State != "running" && a.State != "idle" {
				x.because("app", a.Address, "sessions", a.LastEndAt, "its app %s is %s%s", short(a.Address), a.State, tail(a.Reason))
				x.advise("troupe explain " + short(a.Address))
			}
		}
		x.chainLinks()
		return true
	}
	return false
}
