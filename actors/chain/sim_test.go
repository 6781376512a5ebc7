package chain_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/chainbridge/fake"
)

var update = flag.Bool("update", false, "rewrite the table in doc.go")

// TestSimulation runs the core with a model of the disk and the fake chain, in random orders: with forks, halts, races for nonces, a
// pool that forgets, lost and repeated transactions, half-written replies, other chains, failing writes, also of the kind that is on
// disk all the same, crashes of the actor between any two effects, and hosts that are killed. No call that was acknowledged is lost, none
// takes effect twice, what is told of an end is true, and in the end nothing is left.
func TestSimulation(t *testing.T) {
	seeds := 1500
	if n, err := strconv.Atoi(os.Getenv("TROUPE_SIM_SEEDS")); err == nil {
		seeds = n
	}
	sim.Explore(t, sim.Options{Seeds: seeds, Rate: 0.02, Horizon: horizon, MaxSteps: 60_000}, func(w *sim.World) sim.Check { return newWorld(w, nil).check() })
}

// TestTransitions compares the table in doc.go with what the core does in the simulation.
func TestTransitions(t *testing.T) {
	table := sim.NewTable("Call")
	for seed := range uint64(400) {
		if r := sim.Run(seed, sim.Options{Rate: 0.02, Horizon: horizon, MaxSteps: 60_000}, func(w *sim.World) sim.Check { return newWorld(w, table).check() }); r.Err != nil {
			t.Fatal(r)
		}
	}
	if err := table.CompareDoc("doc.go", *update); err != nil {
		t.Error(err)
	}
}

const (
	trouble   = 4 * time.Minute // faults are injected
	horizon   = 25 * time.Minute
	blockTime = 3 * time.Second
)

type row struct {
	record chain.Record
	call   chain.Call
	tx     []byte
}

type world struct {
	w     *sim.World
	table *sim.Table
	err   error
	core  *chain.State
	chain *fake.Chain
	keys  []fake.Key
	skew  time.Duration

	disk    map[uint64]*row
	history map[uint64]chain.Record
	index   map[string]uint64
	mark    chain.Mark
	next    uint64
	pending []*pendingWrite

	acked    map[string]bool
	ends     map[string]chain.Outcome
	fails    map[string]bool
	lies     int // calls that were refused, and are on disk perhaps
	asked    int
	answered int

	following *following
}

type following struct {
	s          *sim.Shell
	connection uint64
	after      chain.Cursor
	busy       bool
}

type pendingWrite struct {
	apply func()
	ended bool
	fail  error
}

func (x *world) violation(format string, args ...any) {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
}

// box boots each incarnation as the shell does, and looks at what the core does.
type box struct {
	x      *world
	s      *chain.State
	booted bool
}

func (b *box) Step(now time.Time, in chain.Message) []chain.Effect {
	var out []chain.Effect
	if !b.booted {
		b.booted = true
		out = append(out, chain.Load{})
	}
	before := b.s.Phases()
	effects := sim.Step(b.x.w, "chain", sim.Core[chain.Message, chain.Effect](b.s), now.Add(b.x.skew), in)
	if err := b.s.Sound(); err != nil {
		b.x.violation("%w", err)
	}
	if b.x.table != nil {
		b.note(in, before, effects)
	}
	return append(out, effects...)
}

func (b *box) note(in chain.Message, before map[uint64]string, effects []chain.Effect) {
	with := map[uint64][]string{}
	add := func(n uint64, e chain.Effect) {
		with[n] = append(with[n], strings.TrimPrefix(fmt.Sprintf("%T", e), "chain."))
	}
	for _, e := range effects {
		switch e := e.(type) {
		case chain.Add:
			add(e.Record.Number, e)
		case chain.Write:
			add(e.Record.Number, e)
		case chain.Sign:
			add(e.Number, e)
		case chain.Submit:
			add(e.Number, e)
		}
	}
	event := chain.Named(in)
	after := b.s.Phases()
	for n, was := range before {
		next := after[n]
		if next == "" {
			next = "-"
		}
		if next != was || len(with[n]) > 0 {
			b.x.table.Saw(was, event, next, with[n]...)
		}
	}
	for n, is := range after {
		if _, known := before[n]; !known {
			b.x.table.Saw("-", event, is, with[n]...)
		}
	}
}

type turn struct{}
type pause struct{}

// client does one thing after the other, each when the one before is answered.
type client struct{ left int }

func (c *client) Step(_ time.Time, m any) []any {
	switch {
	case m == any(turn{}):
		return []any{turn{}}
	case c.left == 0:
		return nil
	}
	c.left--
	return []any{pause{}}
}

func newWorld(w *sim.World, table *sim.Table) *world {
	x := &world{w: w, table: table, disk: map[uint64]*row{}, history: map[uint64]chain.Record{}, index: map[string]uint64{}, next: 1,
		acked: map[string]bool{}, ends: map[string]chain.Outcome{}, fails: map[string]bool{}}
	x.keys = []fake.Key{fake.NewKey("a"), fake.NewKey("b")}
	began := w.Now()
	x.chain = fake.New(fake.Config{Name: "sim", BlockTime: blockTime, Finality: uint64(w.Rand().IntN(4)), PerBlock: w.Rand().IntN(4), Now: w.Now})
	if w.Rand().IntN(2) == 0 {
		x.chain.Mine(3)
	}
	seed := w.Rand().Uint64()
	sim.Add(w, "chain", sim.Node[chain.Message, chain.Effect]{
		New: func() sim.Core[chain.Message, chain.Effect] {
			x.following = nil
			x.core = chain.NewState(chain.Limits{Queue: 16, Reserve: 8, Window: 5, Parallel: 2, History: 8, Waiters: 64, Valid: time.Minute},
				[]chain.Hash{x.keys[0].Public(), x.keys[1].Public()}, seed)
			w.At(0, func() { _ = w.Send("", "chain", chain.Tick(0)) })
			return &box{x: x, s: x.core}
		},
		Faults: func(e chain.Effect) sim.Kind {
			if w.Now().Sub(began) > trouble {
				return 0 // all must end well without another crash that would clean up
			}
			switch e.(type) {
			case chain.Wake, chain.Load, chain.Hangup:
				return 0
			case chain.Shown, chain.Ended, chain.Listed, chain.Stated, chain.Adopted, chain.Requeue, chain.Refuse, chain.Stuck, chain.Turn:
				return sim.Crash
			}
			return sim.Fail | sim.Crash
		},
		Do: x.do,
	})
	for n := range 3 {
		name := fmt.Sprint("client-", n)
		sim.Add(w, name, sim.Node[any, any]{
			New: func() sim.Core[any, any] { return &client{left: 8} },
			Do: func(s *sim.Shell, e any) {
				if e == any(turn{}) {
					x.turn(s)
					return
				}
				s.Go(time.Duration(s.Rand().IntN(20_000))*time.Millisecond, func() any { return turn{} })
			},
		})
		_ = w.Send("", name, nil)
	}
	for range w.Rand().IntN(3) {
		w.At(time.Duration(w.Rand().IntN(200))*time.Second, x.kill)
	}
	for range w.Rand().IntN(10) {
		w.At(time.Duration(w.Rand().IntN(200))*time.Second, x.mischief)
	}
	w.At(trouble, func() { x.chain.Set(fake.Faults{}) })
	x.mine()
	return x
}

func (x *world) mine() {
	x.w.At(blockTime, func() {
		x.chain.Mine(1)
		x.changed()
		x.mine()
	})
}

// changed looks at the ledger, and tells who follows.
func (x *world) changed() {
	for key, n := range x.chain.Effects() {
		if n > 1 && key != "stolen" {
			x.violation("%s took effect %d times", key, n)
		}
		if o, ok := x.ends[key]; ok && o.Err() != nil && n > 0 {
			x.violation("%s took effect, and was said to have ended with %v", key, o.Err())
		}
	}
	x.pump()
}

// mischief has the chain do something wrong, for a while if it lasts.
func (x *world) mischief() {
	r := x.w.Rand()
	f := x.chain.Faults()
	switch r.IntN(17) {
	case 0:
		f.Down = true
	case 1:
		f.Halt = true
	case 2:
		f.Other = !x.mark.Genesis.IsZero() // who meets another chain first takes it for ours
	case 3:
		f.Lose = true
	case 4:
		f.Deaf = true
	case 5:
		f.HalfInfo = true
	case 6:
		f.HalfRead = true
	case 7:
		f.Replay = 1 + r.IntN(4)
	case 8:
		f.Twice = true
	case 9:
		f.StaleInfo = uint64(1 + r.IntN(5))
	case 10:
		f.Refuse = []fault.Code{fault.CallerTx, fault.BusyChain, fault.CallerTxNonce, fault.CallerTxExpired}[r.IntN(4)]
	case 16:
		f.Aside = true
	case 11, 12:
		x.chain.Steal(x.keys[0].Public())
	case 13:
		x.chain.Forget()
	default:
		x.chain.Fork(1+r.IntN(3), r.IntN(2) == 0)
		x.changed()
	}
	x.chain.Set(f)
	x.w.At(time.Duration(r.IntN(60))*time.Second, func() { x.chain.Set(fake.Faults{}); x.pump() })
}

// kill ends the host: what was not synced is on disk or not.
func (x *world) kill() {
	for _, p := range x.pending {
		if !p.ended {
			p.ended = true
			if x.w.Rand().IntN(2) == 0 {
				p.apply()
			}
		}
	}
	x.skew += time.Duration(x.w.Rand().IntN(3)-1) * 10 * time.Minute
	x.w.Crash("chain")
}

// write ends after a while. A failed one is on disk all the same now and then.
func (x *world) write(s *sim.Shell, apply func(), back func(error) chain.Message) {
	p := &pendingWrite{apply: apply, fail: s.Err()}
	x.pending = append(x.pending, p)
	lie := s.Rand().IntN(2) == 0
	end := func() {
		if p.ended {
			return
		}
		p.ended = true
		if p.fail == nil || lie {
			p.apply()
		}
	}
	d := time.Duration(1+s.Rand().IntN(20)) * time.Millisecond
	x.w.At(d, end) // whether or not the actor lives
	s.Go(d, func() any { end(); return back(p.fail) })
}

// pump tells the next block to who follows.
func (x *world) pump() {
	f := x.following
	if f == nil || f.busy || x.chain.Faults().Down {
		return
	}
	faults := x.chain.Faults()
	b, ok, err := x.chain.Next(f.after)
	if faults.HalfRead && x.w.Rand().IntN(3) == 0 {
		err = errors.New("half a reply")
	}
	if err != nil {
		x.following = nil
		f.s.Go(time.Millisecond, func() any { return chain.Lost(f.connection, busyUnless(err)) })
		return
	}
	if !ok {
		return
	}
	f.busy = true
	f.s.Go(time.Duration(1+x.w.Rand().IntN(5))*time.Millisecond, func() any {
		f.busy, f.after = false, b.Cursor
		x.w.At(0, x.pump)
		return chain.Read(f.connection, b)
	})
}

func busyUnless(err error) error {
	if fault.From(err).Code == fault.BugUnexpected {
		return fault.New(fault.BusyChain, "", "", err)
	}
	return err
}

func (x *world) do(s *sim.Shell, e chain.Effect) {
	ctx := context.Background()
	late := func(f func(err error) any) {
		err := s.Err()
		s.Go(time.Duration(1+s.Rand().IntN(200))*time.Millisecond, func() any { return f(err) })
	}
	switch e := e.(type) {
	case chain.Load:
		for _, p := range x.pending { // the shell waits for them
			if !p.ended {
				s.Go(5*time.Millisecond, func() any { x.do(s, e); return chain.Tick(0) })
				return
			}
		}
		x.pending = nil
		s.Go(time.Millisecond, func() any {
			saved := chain.Saved{Mark: x.mark, Next: x.next}
			for _, n := range slices.Sorted(maps.Keys(x.disk)) {
				saved.Records = append(saved.Records, clone(x.disk[n].record))
			}
			return chain.Loaded(saved, nil)
		})
	case chain.Add:
		var old *chain.Record
		x.write(s, func() {
			if n, ok := x.index[e.Record.Key]; ok {
				old = x.find(n)
				return
			}
			if x.find(e.Record.Number) != nil {
				x.violation("the number %d is used twice", e.Record.Number)
			}
			x.disk[e.Record.Number] = &row{record: clone(e.Record), call: e.Call}
			x.index[e.Record.Key] = e.Record.Number
			x.next = max(x.next, e.Record.Number+1)
		}, func(err error) chain.Message {
			if err != nil {
				old = nil
				x.lies++
			}
			return chain.Added(e.Record.Number, old, err)
		})
	case chain.Write:
		x.write(s, func() { x.put(e) }, func(err error) chain.Message { return chain.Wrote(e.Record.Number, err) })
	case chain.SaveMark:
		x.write(s, func() { x.mark = e.Mark }, func(err error) chain.Message { return chain.Marked(e.Mark, err) })
	case chain.Trim:
		x.write(s, func() {}, func(err error) chain.Message { return chain.Trimmed(err) })
	case chain.Find:
		late(func(err error) any {
			n, ok := x.index[e.Key]
			if err != nil || !ok {
				return chain.Found(e.Ask, nil, err)
			}
			return chain.Found(e.Ask, x.find(n), nil)
		})
	case chain.Sign:
		r := x.disk[e.Number]
		if r == nil {
			x.violation("%d is signed, and not on disk", e.Number)
			return
		}
		late(func(err error) any {
			if err != nil {
				return chain.SignedTx(e, chain.Tx{}, err)
			}
			tx, err := x.chain.Sign(r.call, chain.Signing{Signer: x.signer(e.Sender), Genesis: e.Genesis, Nonce: e.Nonce, ValidUntil: e.ValidUntil})
			return chain.SignedTx(e, tx, err)
		})
	case chain.Submit:
		r := x.disk[e.Number]
		if r == nil || r.record.Hash != e.Hash || r.tx == nil {
			x.violation("%d is submitted, and not on disk", e.Number)
			return
		}
		tx := r.tx
		late(func(err error) any {
			got := x.chain.Submit(ctx, tx)
			if err == nil {
				err = got
			}
			return chain.Submitted(e, busyUnlessNil(err))
		})
	case chain.Dial:
		late(func(err error) any {
			i, got := x.chain.Info(ctx)
			return chain.Dialed(e, i, busyUnlessNil(errors.Join(err, got)))
		})
	case chain.AskNonce:
		late(func(err error) any {
			a, got := x.chain.Account(ctx, e.Sender)
			return chain.Nonce(e, a.Nonce, busyUnlessNil(errors.Join(err, got)))
		})
	case chain.Follow:
		x.following = &following{s: s, connection: e.Connection, after: e.After}
		x.pump()
	case chain.Hangup:
		x.following = nil
	case chain.Wake:
		s.After(e.After, chain.Tick(e.At))
	case chain.Requeue:
		s.Requeue(e.Message)
	case chain.Refuse:
		chain.Fail(e.Message, e.Err)
	case chain.Ended:
		if e.Err == nil {
			x.told(e.Outcome)
		}
		chain.Give(e)
	default:
		chain.Give(e)
	}
}

func busyUnlessNil(err error) error {
	if err == nil {
		return nil
	}
	return busyUnless(err)
}

func clone(r chain.Record) (out chain.Record) {
	b, _ := json.Marshal(r)
	_ = json.Unmarshal(b, &out)
	return out
}

func (x *world) find(n uint64) *chain.Record {
	if r := x.disk[n]; r != nil {
		c := clone(r.record)
		return &c
	}
	if r, ok := x.history[n]; ok {
		return &r
	}
	return nil
}

func (x *world) put(e chain.Write) {
	n := e.Record.Number
	if old, ok := x.history[n]; ok {
		if !e.Finish || old.Progress != e.Record.Progress {
			x.violation("%s had ended as %v, and is written as %v", old.Key, old.Progress, e.Record.Progress)
		}
		return
	}
	if e.Finish {
		x.history[n] = clone(e.Record)
		delete(x.disk, n)
		return
	}
	r := x.disk[n]
	if r == nil {
		x.violation("%d is written, and was not on disk", n)
		return
	}
	r.record, r.tx = clone(e.Record), slices.Clone(e.Tx)
}

func (x *world) signer(a chain.Hash) chain.Signer {
	for _, k := range x.keys {
		if k.Public() == a {
			return k
		}
	}
	return nil
}

// told is the moment at which somebody knows how a call ended.
func (x *world) told(o chain.Outcome) {
	if old, ok := x.ends[o.Key]; ok && (old.Hash != o.Hash || (old.Err() == nil) != (o.Err() == nil)) {
		x.violation("%s ended twice: %v, %v", o.Key, old, o)
	}
	x.ends[o.Key] = o
	if n := x.chain.Effects()[o.Key]; (n == 1) != (o.Err() == nil) {
		x.violation("%s took effect %d times, and was said to have ended with %v", o.Key, n, o.Err())
	}
	if o.Err() == nil && (len(o.Events) != 1 || o.Events[0].Name != "Effected") {
		x.violation("%s did %v", o.Key, o.Events)
	}
}

// turn does something at random.
func (x *world) turn(s *sim.Shell) {
	r := s.Rand()
	key := fmt.Sprint("key-", r.IntN(12))
	x.asked++
	next := func(err error) any {
		x.answered++
		if err != nil && errors.Is(err, fault.Bug) && !errors.Is(err, fault.BugNoAnswer) && !errors.Is(err, fault.BugPanic) {
			x.violation("%v", err)
		}
		return nil
	}
	switch r.IntN(8) {
	default:
		m := chain.Send{Key: key, Sender: x.keys[r.IntN(2)].Public(), Class: chain.Class(r.IntN(4))}
		effect := fake.Effect{Key: key}
		switch r.IntN(6) {
		case 0:
			effect.Fail, effect.Times, m.Transient = "Later", 1+r.IntN(2), []string{"Fake.Later"}
		case 1:
			effect.Fail = "Never"
		case 2:
			m.Until = s.Now().Add(x.skew + time.Duration(r.IntN(300))*time.Second)
		}
		m.Call = effect.Call()
		if r.IntN(20) == 0 {
			m.Call.Pallet = "Unknown"
		}
		x.fails[key] = x.fails[key] || effect.Fail == "Never" || !m.Until.IsZero() || m.Call.Pallet != "Fake"
		sim.Request(s, "chain", func(answer func(inspect.Outgoing, error)) any {
			m.Reply = kernel.ReplyFunc(answer)
			return m
		}, func(o inspect.Outgoing, err error) any {
			if err == nil {
				if x.find(o.Number) == nil {
					x.violation("%s is acknowledged, and not on disk", key)
				}
				x.acked[key] = true
			}
			return next(err)
		})
	case 0, 1:
		waiter, leaves := uint64(x.asked), r.IntN(3) == 0
		sim.Request(s, "chain", func(answer func(chain.Outcome, error)) any {
			return chain.Wait{Key: key, Waiter: waiter, Reply: kernel.ReplyFunc(answer)}
		}, func(_ chain.Outcome, err error) any { return next(err) })
		if leaves {
			s.World().At(time.Duration(r.IntN(60_000))*time.Millisecond, func() { _ = s.Control("chain", chain.Unwait{Waiter: waiter}) })
		}
	case 2:
		sim.Request(s, "chain", func(answer func(inspect.Chain, error)) any {
			return chain.Status{Reply: kernel.ReplyFunc(answer)}
		}, func(_ inspect.Chain, err error) any { return next(err) })
	}
}

func (x *world) check() sim.Check {
	return sim.Check{
		Always: func() error { return x.err },
		AtEnd: func() error {
			effects := x.chain.Effects()
			for key := range x.acked {
				r := x.find(x.index[key])
				switch {
				case r == nil:
					return fmt.Errorf("%s was acknowledged, and is lost", key)
				case r.Progress <= chain.Signed:
					return fmt.Errorf("%s has not ended: %v %v, now at %v", key, r.Progress, x.core.Phases(), x.chain.Head().Height)
				case (r.Progress == chain.Done) != (effects[key] == 1):
					return fmt.Errorf("%s is %v, and took effect %d times", key, r.Progress, effects[key])
				case r.Progress != chain.Done && !x.fails[key] && r.Fault != fault.CallerTx:
					return fmt.Errorf("%s is %v: %s", key, r.Progress, r.Why)
				}
			}
			switch {
			case x.asked != x.answered:
				return fmt.Errorf("%d asked, %d answered", x.asked, x.answered)
			case len(x.disk) > x.lies:
				return fmt.Errorf("%d calls are still on disk, and %d failed to be kept", len(x.disk), x.lies)
			}
			return x.core.Idle()
		},
	}
}
