package follow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// TestSimulation runs the core against a model of a chain that forks, stalls and is replaced by another, and of a host on which
// everything may fail, be slow, or be killed between any two effects. Whatever the order of events, in the end what runs is what is
// demanded; an operator's apps are never touched, a request never has two jobs, and no app with a ticket goes without a final report.
func TestSimulation(t *testing.T) {
	seeds := 1000
	if n, err := strconv.Atoi(os.Getenv("TROUPE_SIM_SEEDS")); err == nil {
		seeds = n
	}
	sim.Explore(t, sim.Options{Seeds: seeds, Rate: 0.06, Horizon: 50 * time.Minute, MaxSteps: 100_000}, func(w *sim.World) sim.Check { return newSim(w).check() })
}

const quiet = 15 * time.Minute // nothing happens or fails any more

type simWorld struct {
	w      *sim.World
	l      *ledger
	h      *hostModel
	limits Limits
	begin  time.Time
	core   *State

	pending []op
	outbox  map[string]*outgoing
	hand    map[manifest.Address]bool // deployed by hand

	run    uint64
	at     chain.Cursor
	ready  bool // for the next block
	shell  *sim.Shell
	orders int
}

type outgoing struct {
	err    error
	height uint64 // 0: waits
}

func newSim(w *sim.World) *simWorld {
	x := &simWorld{
		w: w, l: newLedger(), h: newHost(), begin: w.Now(), outbox: map[string]*outgoing{}, hand: map[manifest.Address]bool{},
		limits: Limits{Worker: chain.Hash{7}, MaxApps: 3, Ahead: 2, Images: true, AnyGenesis: true},
	}
	x.h.knows = func() uint64 { return x.core.final }
	rng := w.Rand()
	x.l.mine(opMember(1, true), opIPs("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"))
	for n := range rng.IntN(3) {
		addr := fakeManifest(20 + n).Address()
		x.hand[addr] = true
		x.h.apps[addr] = &hostApp{}
	}
	sim.Add(w, "follower", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] {
			x.core = NewState(x.limits)
			saved := x.h.saved
			saved.Placed = slices.Clone(saved.Placed)
			w.At(time.Millisecond, func() { _ = w.Send("", "follower", loaded{saved: saved}) })
			return x.core
		},
		Do: x.do,
		Faults: func(e Effect) sim.Kind {
			if w.Now().Sub(x.begin) > quiet {
				return 0
			}
			switch e.(type) {
			case Act, Ask, Meet, SaveCursor:
				return sim.Fail | sim.Crash
			case Follow:
				return sim.Crash
			}
			return 0
		},
	})
	for range 5 + rng.IntN(40) {
		w.At(millis(rng.IntN(600_000)), x.happen)
	}
	w.At(time.Second, x.block)
	return x
}

// happen does one thing that people or networks do.
func (x *simWorld) happen() {
	rng := x.w.Rand()
	addr := fakeManifest(rng.IntN(8)).Address()
	if rng.IntN(6) == 0 && len(x.hand) > 0 {
		addr = fakeManifest(20).Address()
	}
	id := uint64(1 + rng.IntN(12))
	request := strconv.Itoa(1 + rng.IntN(4))
	add := func(o op) { x.pending = append(x.pending, o) }
	switch rng.IntN(16) {
	case 0, 1, 2, 3:
		x.orders++
		add(opTicket(uint64(x.orders), addr, uint64(1+rng.IntN(2)), uint64(rng.IntN(1000))))
	case 4, 5:
		add(opBalance(id, uint64(rng.IntN(3)*500)))
	case 6:
		add(opClosing(id))
	case 7:
		add(opClosed(id))
	case 8:
		add(opMember(uint64(1+rng.IntN(2)), rng.IntN(3) > 0))
	case 9:
		add(opBench([]manifest.Address{{}, fakeManifest(1).Address(), fakeManifest(30).Address()}[rng.IntN(3)]))
	case 10:
		x.l.fork(1 + rng.IntN(3))
		x.feed()
	case 11:
		x.l.down = true
		x.w.At(millis(rng.IntN(90_000)), func() { x.l.down = false })
	case 12:
		if x.l.state().vms[request].request == nil {
			add(opRequest(request, []string{plainPlan, plainPlan, `{"gpu":true}`, `no json`}[rng.IntN(4)]))
		}
	case 13:
		kind := []string{kindStop, kindBoot, kindReboot, kindResize, kindDelete}[rng.IntN(5)]
		add(op{sticky: true, do: func(st *state) []chain.Event { return opSide(request, kind, x.l.head()+1).do(st) }})
	case 14: // the host lost its apps
		for a, app := range x.h.apps {
			if app.mine {
				delete(x.h.apps, a)
			}
		}
		x.h.bench = manifest.Address{}
	case 15:
		x.w.Crash("follower")
	}
}

// block makes a block now and then.
func (x *simWorld) block() {
	if !x.l.down {
		x.l.mine(x.pending...)
		x.pending = nil
		x.feed()
	}
	if x.w.Now().Sub(x.begin) < 2*time.Hour {
		x.w.At(6*time.Second, x.block)
	}
}

// feed gives the follower the next block when it is ready for one.
func (x *simWorld) feed() {
	if !x.ready || x.l.down || x.shell == nil {
		return
	}
	b, ok := x.l.after(x.at)
	if !ok {
		return
	}
	x.ready, x.at = false, b.Cursor
	run, s := x.run, x.shell
	s.Go(millis(x.w.Rand().IntN(100)), func() any {
		return seen{run, b, kernel.ReplyFunc(func(struct{}, error) {
			if x.run == run {
				x.ready = true
				x.w.At(0, x.feed)
			}
		})}
	})
}

func (x *simWorld) do(s *sim.Shell, e Effect) {
	rng := x.w.Rand()
	delay := millis(rng.IntN(2000))
	failed := s.Err()
	switch e := e.(type) {
	case Load:
		saved := x.h.saved
		s.Go(delay, func() any { return loaded{saved: saved} })
	case Meet:
		s.Go(delay, func() any {
			info, err := x.l.Info(context.Background())
			return met{info, errors.Join(err, failed)}
		})
	case Follow:
		x.run, x.at, x.ready, x.shell = e.Run, e.After, true, s
		if rng.IntN(4) == 0 && x.w.Now().Sub(x.begin) < quiet {
			s.Go(millis(rng.IntN(60_000)), func() any {
				x.ready = false
				return lost{e.Run, fault.New(fault.BusyChain, "fake", "", nil)}
			})
		}
		x.w.At(0, x.feed)
	case Unfollow:
	case Ask:
		if rng.IntN(2) == 0 { // it is older when it arrives
			value, err := e.Read.ask(context.Background(), x.l, x.limits.withDefaults())
			s.Go(delay, func() any { return answered{e.Read, value, errors.Join(err, failed)} })
			return
		}
		s.Go(delay, func() any {
			value, err := e.Read.ask(context.Background(), x.l, x.limits.withDefaults())
			return answered{e.Read, value, errors.Join(err, failed)}
		})
	case SaveCursor:
		if failed == nil {
			x.h.saved.Genesis, x.h.saved.Cursor = e.Genesis, e.At
		}
		s.Go(delay, func() any { return stored{failed} })
	case Act:
		x.act(s, e, delay, failed)
	case Wake:
		s.After(e.After, tick{})
	case Taken:
		e.To.Answer(struct{}{})
	default:
		panic(fmt.Sprintf("no hand for %T", e))
	}
}

func (x *simWorld) act(s *sim.Shell, e Act, delay time.Duration, failed error) {
	if submit, ok := e.Action.(Submit); ok {
		x.submit(s, e.ID, submit)
		return
	}
	rng := x.w.Rand()
	if failed != nil && rng.IntN(2) == 0 { // it failed before it did anything
		if place, ok := e.Action.(Place); ok && rng.IntN(2) == 0 {
			x.h.keep(place.Placed)
			failed = fmt.Errorf("%w: %w", ErrUnknown, failed)
		}
		s.Go(delay, func() any { return acted{e.ID, nil, failed} })
		return
	}
	value, err := x.h.act(x.l, e.Action) // done, whatever becomes of the answer
	if _, ok := e.Action.(Place); ok && failed != nil {
		failed = fmt.Errorf("%w: %w", ErrUnknown, failed)
	}
	s.Go(delay, func() any { return acted{e.ID, value, errors.Join(err, failed)} })
}

// submit is an outbox: a key once, and an answer when it is final.
func (x *simWorld) submit(s *sim.Shell, id uint64, a Submit) {
	out := x.outbox[a.Key]
	if out == nil {
		out = &outgoing{}
		x.outbox[a.Key] = out
		o, err := x.l.call(a.Call)
		if err != nil {
			out.err, out.height = err, x.l.head()
		} else {
			do := o.do
			o.do = func(st *state) []chain.Event { out.height = x.l.head() + 1; return do(st) }
			x.pending = append(x.pending, o)
		}
	}
	var wait func() any
	poll := func() {}
	wait = func() any { return acted{id, nil, out.err} }
	poll = func() {
		if out.height > 0 && out.height <= x.l.final {
			s.Go(time.Millisecond, wait)
			return
		}
		x.w.At(3*time.Second, poll)
	}
	poll()
}

func (x *simWorld) check() sim.Check {
	return sim.Check{
		Always: func() error {
			if len(x.h.problems) > 0 {
				return errors.New(x.h.problems[0])
			}
			for a := range x.hand {
				if x.h.apps[a] == nil {
					return errors.New("an operator's app is gone")
				}
			}
			return nil
		},
		AtEnd: x.atEnd,
	}
}

func (x *simWorld) atEnd() error {
	st := x.l.state()
	paid := map[manifest.Address]uint64{}
	for _, t := range st.tickets {
		if st.lists[t.list] && !t.closing && t.balance > dust {
			paid[t.address] += t.balance
		}
	}
	if st.bench != (manifest.Address{}) {
		if x.h.bench != st.bench {
			return fmt.Errorf("the benchmark is not the one of the chain: %+v", x.core.list(List{}))
		}
		if x.h.apps[st.bench] == nil {
			return errors.New("the benchmark is not deployed")
		}
	}
	byPay := slices.Sorted(maps.Keys(map[uint64]bool{}))
	var lowest, deployed uint64 = 1 << 60, 0
	for a, app := range x.h.apps {
		if !app.mine || a == st.bench {
			continue
		}
		if app.stopped {
			return fmt.Errorf("%s is stopped and not removed: %+v", a, x.core.list(List{}))
		}
		if paid[a] == 0 {
			return fmt.Errorf("%s is deployed, and nobody pays: %+v", a, x.core.list(List{}))
		}
		deployed++
		lowest = min(lowest, paid[a])
	}
	for a, n := range paid {
		if x.h.apps[a] == nil {
			byPay = append(byPay, n)
		}
	}
	for _, n := range byPay {
		if int(deployed) < x.limits.MaxApps || n > lowest+lowest/4 {
			return fmt.Errorf("an app that is paid %d is not deployed, %d are, the lowest for %d: %+v", n, deployed, lowest, x.core.list(List{}))
		}
	}
	if int(deployed) > x.limits.MaxApps {
		return fmt.Errorf("%d apps are deployed", deployed)
	}
	return x.requestsAtEnd(st)
}

func (x *simWorld) requestsAtEnd(st *state) error {
	jobs := map[string]int{}
	for _, j := range x.h.jobs {
		jobs[j.request]++
	}
	for id, v := range st.vms {
		switch {
		case len(v.sides) > 0:
			return fmt.Errorf("request %s: %v is open: %+v", id, v.sides, x.core.list(List{}))
		case v.fail != "":
			if jobs[id] > 0 {
				return fmt.Errorf("request %s failed, and has a job", id)
			}
		case !v.fulfilled:
			if len(st.ips) > 0 {
				return fmt.Errorf("request %s is not fulfilled: %+v", id, x.core.list(List{}))
			}
		case v.hyper == "" || v.port == 0:
			return fmt.Errorf("request %s: nobody was told where it answers: %+v", id, x.core.list(List{}))
		case jobs[id] != 1:
			return fmt.Errorf("request %s has %d jobs", id, jobs[id])
		}
	}
	for id := range jobs {
		if _, ok := st.vms[id]; !ok {
			return fmt.Errorf("there is a job for request %s, which is gone: %+v", id, x.core.list(List{}))
		}
	}
	return nil
}
