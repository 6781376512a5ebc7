package sessions

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// requestOf sends a request in the name of a client; then is what it makes of the answer.
func requestOf[R any](x *world, s *sim.Shell, build func(kernel.Reply[R]) Message, then func(R, error)) {
	x.asked++
	sim.Request(s, "sessions", func(answer func(R, error)) any { return build(kernel.ReplyFunc(answer)) }, func(r R, err error) any {
		x.answered++
		if err != nil && errors.Is(err, fault.Bug) && !errors.Is(err, fault.BugNoAnswer) && !errors.Is(err, fault.BugPanic) {
			x.violation("%v", err)
		}
		if then != nil {
			then(r, err)
		}
		return nil
	})
}

// turn does something at random.
func (x *world) turn(s *sim.Shell) {
	x.turns++
	r := s.Rand()
	m := x.manifests[r.IntN(len(x.manifests))]
	a := m.Address()
	if x.session == nil {
		requestOf(x, s, func(to kernel.Reply[WorkerSession]) Message { return OpenSession{Resume: true, Reply: to} }, nil)
		return
	}
	standing := func(build func(kernel.Reply[Standing]) Message, then func(Standing, error)) {
		requestOf(x, s, build, then)
	}
	switch r.IntN(18) {
	default:
		q := record(m)
		q.Deployed = s.Now()
		x.keys++
		q.Session = [32]byte{1, byte(x.keys), byte(x.keys >> 8)}
		standing(func(to kernel.Reply[Standing]) Message { return Deploy{Record: q, Manifest: m, Reply: to} }, func(_ Standing, err error) {
			if _, there := x.apps[a]; err == nil && !there && !x.emptied {
				x.violation("%s is deployed and not on disk", a)
			}
		})
	case 0:
		standing(func(to kernel.Reply[Standing]) Message { return Start{a, to} }, nil)
	case 1:
		standing(func(to kernel.Reply[Standing]) Message { return Stop{Address: a, Reply: to} }, nil)
	case 2:
		n := uint32(r.IntN(4))
		standing(func(to kernel.Reply[Standing]) Message { return Resize{a, n, to} }, nil)
	case 3:
		x.remove(s, a)
	case 4:
		n, none := uint32(r.IntN(3)), r.IntN(4) == 0
		standing(func(to kernel.Reply[Standing]) Message { return SetBench{a, none, n, to} }, nil)
	case 5, 6, 7, 8:
		x.enter(s, a)
	case 9, 10, 11:
		x.use(s, a)
	case 12:
		requestOf(x, s, func(to kernel.Reply[[]ReportPage]) Message { return Report{Reply: to} }, nil)
	case 13:
		requestOf(x, s, func(to kernel.Reply[meter.Token]) Message { return NextToken{to} }, nil)
	case 14:
		requestOf(x, s, func(to kernel.Reply[Page]) Message { return List{Limit: 3, Reply: to} }, nil)
	case 15:
		requestOf(x, s, func(to kernel.Reply[inspect.App]) Message { return Show{a, to} }, nil)
	}
}

func (x *world) remove(s *sim.Shell, a manifest.Address) {
	session := x.apps[a].Session
	x.emptied = true
	requestOf(x, s, func(to kernel.Reply[meter.Metrics]) Message { return Remove{a, to} }, func(m meter.Metrics, err error) {
		if err != nil {
			return
		}
		if r, there := x.apps[a]; there && r.Session == session && session != ([32]byte{}) {
			x.violation("%s is removed and on disk", a)
		}
	})
}

func (x *world) enter(s *sim.Shell, a manifest.Address) {
	x.ids++
	id := x.ids
	r := s.Rand()
	leave := func(after int, last bool) {
		x.w.At(time.Duration(r.IntN(after))*time.Millisecond, func() {
			if last {
				delete(x.entered, id)
			}
			_ = s.Control("sessions", Leave{Address: a, ID: id})
		})
	}
	x.entered[id] = a
	// The last one comes after the answer: an Enter that is sent again would else be let in after an earlier one.
	requestOf(x, s, func(to kernel.Reply[Admission]) Message { return Enter{Address: a, ID: id, Reply: to} }, func(Admission, error) { leave(4000, true) })
	if r.IntN(3) == 0 {
		leave(1000, false)
	}
}

// use is sent until it is acknowledged, or its app is gone.
func (x *world) use(s *sim.Shell, a manifest.Address) {
	session := x.apps[a].Session
	if session == ([32]byte{}) {
		requestOf(x, s, func(to kernel.Reply[struct{}]) Message { return Use{Address: a, Reply: to} }, nil)
		return
	}
	x.keys++
	key := x.keys
	tip := uint64(1 + s.Rand().IntN(100))
	x.sent[a] += tip
	var try func(n int)
	try = func(n int) {
		requestOf(x, s, func(to kernel.Reply[struct{}]) Message {
			return Use{Address: a, Key: key, Use: meter.Use{Tip: tip}, Reply: to}
		},
			func(_ struct{}, err error) {
				now, there := x.apps[a]
				switch {
				case !there || now.Session != session: // a deployment after it is another one
				case err == nil:
					x.acked[session] += tip
					if now.State.Totals.Tip < x.acked[session] {
						x.violation("acknowledged %d, on disk %d", x.acked[session], now.State.Totals.Tip)
					}
				case n < 5 && s.Now().Sub(x.began) < quiet:
					x.w.At(300*time.Millisecond, func() { try(n + 1) })
				}
			})
	}
	try(0)
}

// finish ends the world: all is removed, or the host stops.
func (x *world) finish(s *sim.Shell) {
	if s.Rand().IntN(2) == 0 {
		x.drained = true
		requestOf(x, s, func(to kernel.Reply[struct{}]) Message { return Drain{to} }, func(_ struct{}, err error) {
			if err != nil || len(x.live) > 0 {
				x.violation("drained: %v, %d live", err, len(x.live))
			}
		})
		return
	}
	x.emptied = true
	requestOf(x, s, func(to kernel.Reply[int]) Message { return RemoveAll{to} }, func(_ int, err error) {
		if err != nil {
			x.violation("remove all: %v", err)
		}
	})
}

func (x *world) check() sim.Check {
	return sim.Check{
		Always: func() error {
			if x.core.used > simSlots {
				x.violation("%d slots", x.core.used)
			}
			return x.err
		},
		AtEnd: func() error {
			c := x.core
			if x.asked != x.answered {
				return fmt.Errorf("%d asked, %d answered", x.asked, x.answered)
			}
			if len(c.requests) > 0 || len(c.gathers) > 0 || len(c.syncWait) > 0 || c.ticket.writing || len(c.ticket.wait) > 0 || x.writes > 0 {
				return fmt.Errorf("left: requests %v, %d gathers, %d waits", c.requests, len(c.gathers), len(c.syncWait))
			}
			if len(x.live) > 0 || c.used > 0 || len(c.line) > 0 {
				return fmt.Errorf("left: %d live, %d slots, %d in line", len(x.live), c.used, len(c.line))
			}
			for _, a := range x.actors {
				if n := len(a.core.requests) + a.core.own + len(a.core.line) + len(a.core.outstanding()); n > 0 {
					return fmt.Errorf("left in %s: %v, %d own", a.name(), slices.Collect(maps.Keys(a.core.requests)), a.core.own)
				}
			}
			if !x.drained && (len(x.apps) > 0 || len(c.apps) > 0 || len(x.actors) > 0) {
				return fmt.Errorf("left: %d on disk, %d apps, %d actors", len(x.apps), len(c.apps), len(x.actors))
			}
			return nil
		},
	}
}
