package report

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/sim"
)

// TestW75W76Simulation runs the core with models of a worker, an outbox and a chain, in random orders: looks, signatures and sends
// that fail, a chain that is away, delays, forks, and begins anew, a host that is killed and comes back with its session, without, or with
// one from a backup, and crashes of the actor between any two effects. In the end the worker is registered and known, the session
// is the same on both sides, a score and an answer to each challenge are there, every report that was made was submitted and had
// one effect at most, what was used is settled, and nobody waits for an answer.
func TestW75W76Simulation(t *testing.T) {
	seeds := 1500
	if n, err := strconv.Atoi(os.Getenv("TROUPE_SIM_SEEDS")); err == nil {
		seeds = n
	}
	sim.Explore(t, sim.Options{Seeds: seeds, Rate: 0.03, Horizon: simEnd, MaxSteps: 100_000}, func(w *sim.World) sim.Check { return newSimWorld(w).check() })
}

const (
	simTrouble = 60 * time.Second // faults are injected
	simEnd     = 140 * time.Second
	simFinal   = 2 // blocks behind the head
)

var simSettings = Settings{Node: "node", Interval: 10 * time.Second, MetricsEvery: 7 * time.Second, LookEvery: 5 * time.Second, ScoreEvery: time.Second,
	Retry: 200 * time.Millisecond, MaxRetry: 4 * time.Second, Refresh: 30 * time.Second}

// entry is a call in the outbox.
type entry struct {
	key      string
	duty     Duty
	session  Session // of a session update
	of       ID      // session of a report or a score
	sn       uint64
	use      uint64 // what a report says
	life     uint64 // app session it is of
	backup   int    // times that the host came from one
	included uint64
	err      *chain.TxError
	final    bool
	waiting  []func(Outcome, error)
}

// chainState is what a block changes.
type chainState struct {
	known, node, described, endpoints bool
	attested                          time.Time
	score                             uint32
	session                           *ChainSession
	challenges                        uint64
	settled                           map[uint64]uint64 // by app session
	effects                           map[string]int    // of keys
}

func (c chainState) clone() chainState {
	if c.session != nil {
		s := *c.session
		c.session = &s
	}
	c.settled, c.effects = maps.Clone(c.settled), maps.Clone(c.effects)
	return c
}

type simWorld struct {
	w     *sim.World
	began time.Time
	err   error
	core  *State

	height  uint64
	state   chainState
	blocks  []chainState // the state before each
	away    bool
	outbox  []*entry
	follows []func(error)

	session *Session // of the host
	opened  uint64
	sn      uint64
	life    uint64 // app session
	backup  int
	used    uint64   // of it
	kept    []sealed // by the shell
	made    map[string]*entry
	reports int
	unwake  func()
	asked   int
	told    int
}

func (x *simWorld) violation(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

func (x *simWorld) trouble() bool { return x.w.Now().Sub(x.began) < simTrouble }

func newSimWorld(w *sim.World) *simWorld {
	x := &simWorld{w: w, began: w.Now(), made: map[string]*entry{}, life: 1, used: 1}
	x.state = chainState{settled: map[uint64]uint64{}, effects: map[string]int{}}
	sim.Add(w, "report", sim.Node[Message, Effect]{
		New: func() sim.Core[Message, Effect] {
			x.follows = nil
			x.core = NewState(simSettings, ID{1})
			w.At(0, func() { _ = w.Send("", "report", tick{}) })
			return x.core
		},
		Faults: func(e Effect) sim.Kind {
			if !x.trouble() {
				return 0
			}
			switch e.(type) {
			case Wake:
				return 0
			case Look, Act, Make, Post, Recall, Await:
				return sim.Fail | sim.Crash
			}
			return sim.Crash
		},
		Crashes: true,
		Do:      x.do,
	})
	x.trial()
	w.At(500*time.Millisecond, x.mine)
	r := w.Rand()
	for range r.IntN(4) {
		w.At(time.Duration(r.IntN(50_000))*time.Millisecond, x.kill)
	}
	for range r.IntN(3) {
		w.At(time.Duration(r.IntN(40_000))*time.Millisecond, func() {
			x.away = true
			x.lose()
			w.At(time.Duration(r.IntN(15_000))*time.Millisecond, func() { x.away = false })
		})
	}
	if r.IntN(4) == 0 {
		w.At(time.Duration(r.IntN(50_000))*time.Millisecond, x.genesis)
	}
	return x
}

// trial is somebody who wants a last report, now and then.
func (x *simWorld) trial() {
	sim.Add(x.w, "follower", sim.Node[any, any]{
		New: func() sim.Core[any, any] { return &caller{left: 5} },
		Do: func(s *sim.Shell, e any) {
			switch e.(type) {
			case askNow:
				x.asked++
				var apps [][32]byte
				if s.Rand().IntN(2) == 0 {
					apps = [][32]byte{{7}, {byte(8 + s.Rand().IntN(2))}}
				}
				sim.Request(s, "report", func(answer func(Settled, error)) any {
					return ReportNow{Apps: apps, Reply: kernel.ReplyFunc(answer)}
				}, func(Settled, error) any {
					x.told++
					return askNow{}
				})
			default:
				s.Go(time.Duration(s.Rand().IntN(20_000))*time.Millisecond, func() any { return pauseEnd{} })
			}
		},
	})
	_ = x.w.Send("", "follower", askNow{})
}

type (
	caller   struct{ left int }
	askNow   struct{}
	pauseEnd struct{}
)

func (c *caller) Step(_ time.Time, m any) []any {
	if _, over := m.(pauseEnd); over {
		return []any{askNow{}}
	}
	if c.left--; c.left < 0 {
		return nil
	}
	return []any{pauseEnd{}}
}

// lose ends what follows the chain.
func (x *simWorld) lose() {
	for _, f := range x.follows {
		f(fault.New(fault.BusyChain, "follow", "", nil))
	}
	x.follows = nil
}

// kill ends the host, which comes back.
func (x *simWorld) kill() {
	for _, p := range x.kept { // made and never sent: the next one has what it said
		delete(x.made, p.key)
	}
	x.kept = nil
	switch r := x.w.Rand(); r.IntN(4) {
	case 0:
		x.session, x.life, x.used = nil, x.life+1, 1
	case 1:
		if x.session != nil && x.sn > 0 {
			x.sn = uint64(r.IntN(int(x.sn))) // from a backup
			x.backup++
		}
	}
	x.w.Crash("report")
}

// genesis has the chain begin anew.
func (x *simWorld) genesis() {
	x.lose()
	x.height, x.blocks = 0, nil
	x.state = chainState{settled: map[uint64]uint64{}, effects: map[string]int{}}
	for _, e := range x.outbox { // what was in its blocks is in none now
		if !e.final {
			e.included, e.err = 0, nil
		}
	}
}

// mine makes a block, and has the chain fork now and then.
func (x *simWorld) mine() {
	w, r := x.w, x.w.Rand()
	if w.Now().Sub(x.began) < simEnd {
		w.At(time.Second, x.mine)
	}
	if x.away {
		return
	}
	if x.trouble() && x.height > simFinal && r.IntN(12) == 0 {
		back := 1 + r.IntN(simFinal-1)
		x.height -= uint64(back)
		x.state = x.blocks[x.height].clone()
		x.blocks = x.blocks[:x.height]
		for _, e := range x.outbox {
			if e.included > x.height {
				e.included, e.err = 0, nil
			}
		}
	}
	x.blocks = append(x.blocks, x.state.clone())
	x.height++
	for _, e := range x.outbox {
		if e.included > 0 {
			continue
		}
		if x.trouble() && r.IntN(4) == 0 {
			break // it waits for a later block, and so do all behind it
		}
		e.included = x.height
		e.err = x.apply(e)
		if e.err == nil {
			x.state.effects[e.key]++
		}
	}
	b := block{Cursor: chain.Cursor{Height: x.height}, at: w.Now()}
	if x.state.score > 0 && x.height%5 == 0 {
		x.state.challenges++
		b.challenges = []challenge{{}, {target: allOnes()}}
	}
	if len(x.follows) > 0 {
		_ = w.Send("", "report", b)
	}
	for _, e := range x.outbox {
		if !e.final && e.included > 0 && e.included+simFinal <= x.height {
			e.final = true
			for _, f := range e.waiting {
				f(x.outcomeOf(e), nil)
			}
			e.waiting = nil
		}
	}
	x.used += uint64(r.IntN(3))
}

func allOnes() (n [32]byte) {
	for i := range n {
		n[i] = 255
	}
	return n
}

func (x *simWorld) outcomeOf(e *entry) Outcome { return Outcome{Height: e.included, Error: e.err} }

// apply is the chain.
func (x *simWorld) apply(e *entry) *chain.TxError {
	refused := func(name string) *chain.TxError { return &chain.TxError{Pallet: "Wapod", Name: name} }
	c := &x.state
	if e.duty != RegisterWorker && !c.known {
		return refused("InvalidWorkerPubkey")
	}
	switch e.duty {
	case RegisterWorker:
		c.known, c.attested = true, x.w.Now()
	case RegisterNode:
		if c.node {
			return refused("NodeAlreadyRegistered")
		}
		c.node = true
	case DescribeWorker:
		c.described = true
	case TellEndpoints:
		c.endpoints = true
	case AgreeOnSession:
		if c.session != nil && string(c.session.LastNonce) != string(e.session.PNonce) {
			return refused("OutdatedMessage")
		}
		c.session = &ChainSession{ID: e.session.ID, LastNonce: e.session.Update}
	case SettleUse, SubmitScore, AnswerChallenge:
		if c.session == nil || c.session.ID != e.of {
			return refused("SessionMismatch")
		}
		last := &c.session.MetricsSN
		if e.duty != SettleUse {
			last = &c.session.ScoreSN
		}
		if e.sn <= *last {
			return refused("OutdatedMessage")
		}
		*last = e.sn
		switch e.duty {
		case SettleUse:
			c.session.LastNonce = fmt.Append(nil, "nonce", e.sn)
			c.settled[e.life] = max(c.settled[e.life], e.use)
		case SubmitScore:
			c.score = 300
		default:
			c.challenges = 0
		}
	}
	return nil
}

// send is the outbox: the same key is the same call.
func (x *simWorld) send(e *entry) {
	if i := slices.IndexFunc(x.outbox, func(o *entry) bool { return o.key == e.key }); i >= 0 {
		return
	}
	if e.duty != SettleUse && slices.ContainsFunc(x.outbox, func(o *entry) bool { return o.duty == e.duty && !o.final }) {
		x.violation("two calls of %s are on their way", e.duty)
	}
	if e.duty == SettleUse && slices.ContainsFunc(x.outbox, func(o *entry) bool {
		return o.duty == SettleUse && o.of == e.of && o.sn >= e.sn && o.backup == e.backup
	}) {
		x.violation("report %s is behind a later one", e.key)
	}
	x.outbox = append(x.outbox, e)
}

func (x *simWorld) view() View {
	c := x.state.clone()
	v := View{Head: chain.Cursor{Height: x.height}, Time: x.w.Now(), Known: c.known, Provider: "test", AttestedAt: c.attested, InitialScore: c.score,
		Session: c.session, Challenges: c.challenges, NodeKnown: c.node, DescribeNew: !c.described, EndpointsNew: !c.endpoints, Open: x.open()}
	if c.score > 0 {
		v.State = "WorkerIdle"
	}
	return v
}

func (x *simWorld) open() *Session {
	if x.session == nil {
		return nil
	}
	s := *x.session
	s.SN = x.sn
	return &s
}

// openSession is what the host does.
func (x *simWorld) openSession(pnonce []byte, anew bool) Session {
	if x.session == nil || anew || string(x.session.PNonce) != string(pnonce) {
		x.opened++
		nonce := fmt.Append(nil, "cnonce", x.opened)
		x.session = &Session{ID: ID(blake2b.Sum256(append(nonce, pnonce...))), PNonce: pnonce, Update: nonce}
		x.sn, x.life, x.used = 0, x.life+1, 1 // apps are removed, and deployed anew
	}
	return *x.open()
}

func (x *simWorld) delay(s *sim.Shell) time.Duration {
	return time.Duration(s.Rand().IntN(300)) * time.Millisecond
}

func (x *simWorld) do(s *sim.Shell, e Effect) {
	err := s.Err()
	switch e := e.(type) {
	case Watch:
		s.Go(x.delay(s), func() any {
			if x.away {
				return lost{fault.New(fault.BusyChain, "", "", nil)}
			}
			x.follows = append(x.follows, func(err error) { s.Go(0, func() any { return lost{err} }) })
			return tick{}
		})
	case Look:
		s.Go(x.delay(s), func() any {
			if x.away && err == nil {
				err = fault.New(fault.BusyChain, "", "", nil)
			}
			if err != nil {
				return looked{err: err}
			}
			return looked{view: x.view()}
		})
	case Recall:
		s.Go(x.delay(s), func() any {
			var open []string
			for _, o := range x.outbox {
				if !o.final {
					open = append(open, o.key)
				}
			}
			return recalled{open: open, made: slices.Clone(x.kept), err: err}
		})
	case Act:
		s.Go(x.delay(s), func() any { return x.act(s, e, err) })
	case Make:
		s.Go(x.delay(s), func() any { return x.make(e, err) })
	case Post:
		s.Go(x.delay(s), func() any {
			if err == nil || s.Rand().IntN(2) == 0 { // an error may come after the call was taken
				x.send(x.made[e.Report.key])
			}
			if err == nil {
				x.kept = slices.DeleteFunc(x.kept, func(p sealed) bool { return p.key == e.Report.key })
			}
			return posted{e.Report.key, err}
		})
	case Await:
		i := slices.IndexFunc(x.outbox, func(o *entry) bool { return o.key == e.Key })
		answer := func(out Outcome, err error) { s.Go(0, func() any { return outcome{e.Key, out, err} }) }
		switch {
		case err != nil:
			answer(Outcome{}, err)
		case i < 0:
			answer(Outcome{}, fault.New(fault.CallerNotFound, "", "", nil))
		case x.outbox[i].final:
			answer(x.outcomeOf(x.outbox[i]), nil)
		default:
			x.outbox[i].waiting = append(x.outbox[i].waiting, answer)
		}
	case Wake:
		if x.unwake != nil {
			x.unwake()
		}
		x.unwake = s.After(max(0, e.At.Sub(s.Now())), tick{})
	case Reply:
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(e.Settled)
	}
}

func (x *simWorld) act(s *sim.Shell, e Act, err error) Message {
	if err != nil && s.Rand().IntN(2) == 0 {
		return acted{duty: e.Duty, err: err} // the worker failed
	}
	o := &entry{key: e.Key, duty: e.Duty}
	switch e.Duty {
	case AgreeOnSession:
		if e.View.resumable() {
			o.session = *e.View.Open
			break
		}
		o.session = x.openSession(e.View.openOn())
	case SubmitScore, AnswerChallenge:
		switch {
		case x.session == nil, e.View.Session == nil || e.View.Session.ID != x.session.ID:
			return acted{duty: e.Duty, why: "no session"}
		case x.trouble() && s.Rand().IntN(3) == 0:
			return acted{duty: e.Duty, why: "none yet"}
		}
		x.sn++
		o.of, o.sn = x.session.ID, x.sn
		if o.sn <= e.Above {
			return acted{duty: e.Duty, why: "too old"}
		}
	}
	if err == nil || s.Rand().IntN(2) == 0 {
		x.send(o)
	}
	return acted{duty: e.Duty, key: e.Key, sn: o.sn, session: o.of, err: err}
}

func (x *simWorld) make(e Make, err error) Message {
	switch {
	case err != nil:
		return made{err: err}
	case x.session == nil:
		return made{err: fault.New(fault.CallerNoSession, "", "", nil)}
	}
	m := made{claims: map[ID][]uint64{{7}: {1, 2}, {8}: {3}}}
	if e.Apps != nil && !slices.Contains(e.Apps, [32]byte{8}) {
		delete(m.claims, ID{8})
	}
	for _, app := range slices.SortedFunc(maps.Keys(m.claims), func(a, b ID) int { return int(a[0]) - int(b[0]) }) {
		x.sn++
		p := sealed{key: reportKey(x.session.ID, x.sn, fmt.Append(nil, x.reports)), session: x.session.ID, sn: x.sn, claims: map[ID][]uint64{app: m.claims[app]}}
		x.reports++
		x.made[p.key] = &entry{key: p.key, duty: SettleUse, of: p.session, sn: p.sn, use: x.used, life: x.life, backup: x.backup}
		m.pages = append(m.pages, p)
	}
	x.kept = append(x.kept, m.pages...)
	return m
}

func (x *simWorld) check() sim.Check {
	return sim.Check{
		Always: func() error {
			for key, n := range x.state.effects {
				if n > 1 {
					x.violation("%s had %d effects", key, n)
				}
			}
			return x.err
		},
		AtEnd: func() error {
			c := &x.state
			v := x.view()
			switch {
			case !c.known, !c.node, !c.described, !c.endpoints:
				return fmt.Errorf("not known: %+v", c)
			case !v.equal():
				return fmt.Errorf("the session of the chain is %+v, that of the host %+v", c.session, x.open())
			case c.score == 0:
				return fmt.Errorf("no score")
			case c.challenges > 1:
				return fmt.Errorf("%d challenges wait", c.challenges)
			case x.told != x.asked:
				return fmt.Errorf("%d of %d requests were answered", x.told, x.asked)
			case c.settled[x.life] == 0:
				return fmt.Errorf("nothing of what was used is settled")
			case x.w.Now().Sub(c.attested) > simSettings.Refresh+10*time.Second:
				return fmt.Errorf("the attestation is of %v", c.attested)
			}
			for key := range x.made {
				if !slices.ContainsFunc(x.outbox, func(o *entry) bool { return o.key == key }) && !slices.ContainsFunc(x.kept, func(p sealed) bool { return p.key == key }) {
					return fmt.Errorf("report %s was made and never submitted", key)
				}
			}
			if len(x.kept) > 4 {
				return fmt.Errorf("%d reports wait to be submitted", len(x.kept))
			}
			return nil
		},
	}
}
