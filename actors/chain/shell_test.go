package chain_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/chainbridge/fake"
)

// TestR8NothingIsLostAndNothingTwice has calls sent before, during and after each kind of trouble.
func TestR8NothingIsLostAndNothingTwice(t *testing.T) {
	for name, tc := range map[string]struct {
		trouble func(s *stage, n int) // each second of it
		lasts   time.Duration
		waiting string // what it says that it waits for
	}{
		"refuses for an hour":   {func(s *stage, _ int) { s.chain.Set(fake.Faults{Down: true}) }, time.Hour, "the chain answers again"},
		"hangs for an hour":     {func(s *stage, _ int) { s.chain.Set(fake.Faults{Hang: true}) }, time.Hour, "the chain answers again"},
		"makes no blocks":       {func(s *stage, _ int) { s.chain.Set(fake.Faults{Halt: true}) }, time.Hour, "transactions come into a block"},
		"is another":            {func(s *stage, _ int) { s.chain.Set(fake.Faults{Other: true}) }, 10 * time.Minute, "the chain of before"},
		"breaks off replies":    {func(s *stage, n int) { s.chain.Set(fake.Faults{HalfInfo: n%2 == 0, HalfRead: true}) }, 5 * time.Minute, ""},
		"loses its answers":     {func(s *stage, _ int) { s.chain.Set(fake.Faults{Deaf: true}) }, 5 * time.Minute, ""},
		"throws away":           {func(s *stage, _ int) { s.chain.Set(fake.Faults{Lose: true}) }, 15 * time.Minute, "transactions come into a block"},
		"forgets":               {func(s *stage, n int) { s.chain.Forget() }, 5 * time.Minute, ""},
		"forks":                 {func(s *stage, n int) { s.chain.Fork(n%5, n%2 == 0) }, 5 * time.Minute, ""},
		"tells again":           {func(s *stage, _ int) { s.chain.Set(fake.Faults{Replay: 7, Twice: true}) }, 5 * time.Minute, ""},
		"is behind":             {func(s *stage, _ int) { s.chain.Set(fake.Faults{StaleInfo: 6}) }, 5 * time.Minute, ""},
		"has another clock":     {func(s *stage, n int) { s.chain.Set(fake.Faults{Skew: time.Duration(n%3-1) * 10 * time.Minute}) }, 5 * time.Minute, ""},
		"has somebody else too": {func(s *stage, _ int) { s.chain.Steal(s.key.Public()) }, 5 * time.Minute, ""},
		"calls all invalid":     {func(s *stage, _ int) { s.chain.Set(fake.Faults{Refuse: fault.CallerTx}) }, 30 * time.Minute, ""},
		"calls all expired":     {func(s *stage, _ int) { s.chain.Set(fake.Faults{Refuse: fault.CallerTxExpired}) }, 10 * time.Minute, ""},
		"has a busy pool":       {func(s *stage, _ int) { s.chain.Set(fake.Faults{Refuse: fault.BusyChain}) }, 10 * time.Minute, "the chain takes transactions again"},
		"is left and found": {func(s *stage, n int) {
			if n%20 == 0 {
				s.down()
				s.up()
			}
		}, 5 * time.Minute, ""},
		"all at once": {func(s *stage, n int) {
			s.chain.Fork(n%4, n%3 == 0)
			if n%10 == 0 {
				s.chain.Steal(s.key.Public())
				s.chain.Set(fake.Faults{Down: n%30 == 0, Deaf: n%20 == 0, HalfRead: n%50 == 0, Replay: n % 3, Lose: n%70 == 0})
			}
			if n%40 == 0 {
				s.down()
				s.up()
			}
		}, 10 * time.Minute, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			onStage(t, 3, chain.Limits{}, func(s *stage) {
				sent := 0
				some := func(n int) {
					for range n {
						s.send(fmt.Sprint("call-", sent))
						sent++
					}
				}
				some(5)
				s.after(2 * second)
				some(5)
				for n := range int(tc.lasts / second) {
					tc.trouble(s, n)
					if n%10 == 0 {
						some(1)
					}
					s.after(second)
				}
				if w := s.status().Waiting; !strings.Contains(w, tc.waiting) {
					t.Errorf("it waits until %q, and not until %q", w, tc.waiting)
				}
				s.chain.Set(fake.Faults{})
				some(5)
				s.drained(20 * time.Minute)
				s.after(10 * second)
				s.once(sent)
				for n := range sent {
					o, err := s.wait(fmt.Sprint("call-", n))
					if err != nil || o.Err() != nil {
						t.Errorf("call-%d: %v, %v", n, err, o.Err())
					}
				}
			})
		})
	}
}

// TestR8TheBacklogOfAnHour has 200 calls a second or more go through when the chain is back.
func TestR8TheBacklogOfAnHour(t *testing.T) {
	onStage(t, 2, chain.Limits{}, func(s *stage) {
		s.after(5 * second)
		s.chain.Set(fake.Faults{Down: true})
		const calls = 3600
		for n := range calls {
			s.send(fmt.Sprint("call-", n))
			s.after(second)
		}
		s.chain.Set(fake.Faults{})
		if took := s.drained(time.Hour); took > calls/200*second+40*second { // it looks each 30 s whether the chain is there
			t.Errorf("%d calls took %v", calls, took)
		}
		s.once(calls)
	})
}

func TestTheOrderOfASender(t *testing.T) {
	onStage(t, 1, chain.Limits{Window: 4}, func(s *stage) {
		s.chain.Set(fake.Faults{Down: true})
		for n := range 50 {
			s.send(fmt.Sprint("call-", n))
		}
		if _, err := s.try(chain.Send{Key: "now", Call: fake.Effect{Key: "now"}.Call(), Class: chain.Urgent}); err != nil {
			t.Fatal(err)
		}
		s.after(time.Minute)
		s.chain.Set(fake.Faults{})
		s.drained(5 * time.Minute)
		var keys []string
		after := chain.Cursor{}
		for {
			b, ok, err := s.chain.Next(after)
			if err != nil || !ok {
				break
			}
			for _, e := range b.Events {
				keys = append(keys, strings.Trim(string(e.Fields), `"`))
			}
			after = b.Cursor
		}
		want := []string{"now"}
		for n := range 50 {
			want = append(want, fmt.Sprint("call-", n))
		}
		if d := cmp.Diff(want, keys); d != "" {
			t.Error(d)
		}
	})
}

func TestOutcomes(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		s.after(3 * second)
		effect := func(e fake.Effect, change func(*chain.Send)) chain.Outcome {
			t.Helper()
			m := chain.Send{Key: e.Key, Call: e.Call()}
			if change != nil {
				change(&m)
			}
			if _, err := s.try(m); err != nil {
				t.Fatal(err)
			}
			o, err := s.wait(e.Key)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := s.wait(e.Key); err != nil || cmp.Diff(o.Err() == nil, again.Err() == nil) != "" || again.Hash != o.Hash {
				t.Errorf("%s ends as %v, and later as %v, %v", e.Key, o, again, err)
			}
			return o
		}
		if o := effect(fake.Effect{Key: "good"}, nil); o.Err() != nil || len(o.Events) != 1 || o.Block.Height == 0 || o.Hash.IsZero() {
			t.Errorf("got %+v", o)
		}
		if o := effect(fake.Effect{Key: "bad", Fail: "Never"}, nil); !errors.Is(o.Err(), fault.CallerTxFailed) || o.Error.Name != "Never" {
			t.Errorf("got %+v", o)
		}
		later := func(m *chain.Send) { m.Transient, m.Retries = []string{"Fake.Later"}, 3 }
		if o := effect(fake.Effect{Key: "later", Fail: "Later", Times: 2}, later); o.Err() != nil {
			t.Errorf("got %+v", o)
		}
		if o := effect(fake.Effect{Key: "too late", Fail: "Later", Times: 9}, later); o.Error == nil || o.Error.Name != "Later" {
			t.Errorf("got %+v", o)
		}
		if o := effect(fake.Effect{Key: "unknown"}, func(m *chain.Send) { m.Call.Pallet = "Unknown" }); !errors.Is(o.Err(), fault.CallerTxCall) {
			t.Errorf("got %+v", o)
		}
		s.chain.Set(fake.Faults{Lose: true})
		if o := effect(fake.Effect{Key: "by noon"}, func(m *chain.Send) { m.Until = time.Now().Add(time.Minute) }); !errors.Is(o.Err(), fault.CanceledDeadline) {
			t.Errorf("got %+v", o)
		}
		s.chain.Set(fake.Faults{Refuse: fault.CallerTx, Halt: true}) // no block is needed to be sure
		begin := time.Now()
		if o := effect(fake.Effect{Key: "invalid"}, nil); !errors.Is(o.Err(), fault.CallerTx) || time.Since(begin) > time.Minute {
			t.Errorf("after %v %+v", time.Since(begin), o)
		}
		s.chain.Set(fake.Faults{})
		s.after(10 * time.Minute)
		if d := cmp.Diff(map[string]int{"good": 1, "later": 1}, s.chain.Effects()); d != "" {
			t.Error(d)
		}
		if _, err := s.wait("nobody"); !errors.Is(err, fault.CallerNotFound) {
			t.Errorf("got %v", err)
		}
		if o := s.show("bad"); o.State != "failed" || !strings.Contains(o.Error, "Fake.Never") {
			t.Errorf("got %+v", o)
		}
	})
}

func TestARepeatedSendIsOne(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		numbers := map[uint64]bool{}
		for range 3 {
			done := make(chan struct{})
			for range 3 {
				go func() {
					o, err := s.try(chain.Send{Key: "k", Call: fake.Effect{Key: "k"}.Call()})
					if err != nil {
						t.Error(err)
					}
					s.mu.Lock()
					numbers[o.Number] = true
					s.mu.Unlock()
					done <- struct{}{}
				}()
			}
			for range 3 {
				<-done
			}
			s.after(10 * second)
		}
		if d := cmp.Diff(map[string]int{"k": 1}, s.chain.Effects()); d != "" || len(numbers) != 1 {
			t.Errorf("%v %s", numbers, d)
		}
	})
}

func TestTheReserveIsForReports(t *testing.T) {
	onStage(t, 1, chain.Limits{Queue: 10, Reserve: 4}, func(s *stage) {
		s.chain.Set(fake.Faults{Down: true})
		try := func(n int, c chain.Class) error {
			_, err := s.try(chain.Send{Key: fmt.Sprint("call-", n), Call: fake.Effect{Key: fmt.Sprint("call-", n)}.Call(), Class: c})
			return err
		}
		for n := range 10 {
			class := chain.Plain
			if n >= 6 {
				class = chain.Report
				if err := try(n, chain.Plain); !errors.Is(err, fault.BusyQueueFull) {
					t.Errorf("%d: %v", n, err)
				}
			}
			if err := try(n, class); err != nil {
				t.Fatal(n, err)
			}
		}
		if err := try(10, chain.Report); !errors.Is(err, fault.BusyQueueFull) {
			t.Errorf("%v", err)
		}
		s.chain.Set(fake.Faults{})
		s.drained(5 * time.Minute)
		s.once(10)
	})
}

func TestInvalidSends(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		good := fake.Effect{Key: "k"}.Call()
		for name, m := range map[string]chain.Send{
			"no key":         {Call: good},
			"long key":       {Key: strings.Repeat("k", chain.MaxKey+1), Call: good},
			"other sender":   {Key: "k", Call: good, Sender: chain.Hash{1}},
			"no JSON":        {Key: "k", Call: chain.Call{Pallet: "Fake", Name: "effect", Args: []byte("{")}},
			"no arguments":   {Key: "k", Call: chain.Call{Pallet: "Fake", Name: "effect"}},
			"long arguments": {Key: "k", Call: chain.Call{Args: []byte(`"` + strings.Repeat("k", chain.MaxArgs) + `"`)}},
			"class":          {Key: "k", Call: good, Class: 9},
		} {
			if _, err := s.try(m); !errors.Is(err, fault.CallerInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestAnotherChain keeps all when the chain begins anew, and sends it to the new one when an operator says so.
func TestAnotherChain(t *testing.T) {
	for _, same := range []bool{false, true} {
		onStage(t, 1, chain.Limits{}, func(s *stage) {
			s.after(10 * second)
			s.send("call-0")
			s.after(5 * second)
			s.chain.Set(fake.Faults{Lose: true})
			s.send("call-1")
			s.after(2 * second)
			s.chain.Set(fake.Faults{})
			s.chain.Restart(same)
			s.send("call-2")
			s.after(2 * time.Minute)
			c := s.status()
			if !strings.Contains(c.Waiting, "the chain of before") || len(s.chain.Effects()) > 0 {
				t.Fatalf("it waits until %q, %v", c.Waiting, s.chain.Effects())
			}
			adopt := func(h chain.Hash) error {
				_, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[struct{}]) chain.Message { return chain.Adopt{Genesis: h, Reply: r} })
				return err
			}
			if err := adopt(chain.Hash{1}); !errors.Is(err, fault.CallerConflict) {
				t.Error(err)
			}
			if err := adopt(s.chain.Genesis()); err != nil {
				t.Fatal(err)
			}
			s.down()
			s.up()
			s.drained(10 * time.Minute)
			if d := cmp.Diff(map[string]int{"call-1": 1, "call-2": 1}, s.chain.Effects()); d != "" {
				t.Error(d)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if d := cmp.Diff([]fault.Code{fault.HostChainOther, ""}, s.stuck[:2]); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestTheDiskFails tells nobody of what is not on disk.
func TestTheDiskFails(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		s.chain.Set(fake.Faults{Down: true})
		for n := range 5 {
			s.send(fmt.Sprint("call-", n))
		}
		s.disk.set(fault.New(fault.HostDiskFull, "", "", nil))
		s.chain.Set(fake.Faults{})
		if _, err := s.try(chain.Send{Key: "no", Call: fake.Effect{Key: "no"}.Call()}); !errors.Is(err, fault.HostDiskFull) {
			t.Errorf("got %v", err)
		}
		s.after(10 * time.Minute)
		if len(s.chain.Effects()) > 0 {
			t.Errorf("what was not signed on disk took effect: %v", s.chain.Effects())
		}
		s.disk.set(nil)
		s.drained(5 * time.Minute)
		s.once(5)
	})
}

func TestUnwait(t *testing.T) {
	onStage(t, 1, chain.Limits{Waiters: 1}, func(s *stage) {
		s.chain.Set(fake.Faults{Down: true})
		s.send("k")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := kernel.AskWithdrawing(ctx, s.ref, func(r kernel.Reply[chain.Outcome]) chain.Message {
			return chain.Wait{Key: "k", Waiter: 5, Reply: r}
		}, chain.Message(chain.Unwait{Waiter: 5}), time.Second)
		if !errors.Is(err, fault.CanceledDeadline) {
			t.Errorf("got %v", err)
		}
		s.after(second)
		s.chain.Set(fake.Faults{})
		if o, err := s.wait("k"); err != nil || o.Err() != nil {
			t.Errorf("the place is not free: %v, %v", o, err)
		}
	})
}

// bomb is a port that panics now and then, and with it the actor.
type bomb struct {
	chain.Port
	calls atomic.Int64
}

func (b *bomb) Submit(ctx context.Context, tx []byte) error {
	err := b.Port.Submit(ctx, tx)
	if n := b.calls.Add(1); n%5 == 0 && n <= 20 {
		panic("boom")
	}
	return err
}

// TestTheActorFails goes on with what is on disk.
func TestTheActorFails(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		s.down()
		s.cfg.Port = &bomb{Port: s.chain}
		s.up()
		for n := range 30 {
			s.send(fmt.Sprint("call-", n))
			s.after(20 * second)
		}
		s.drained(5 * time.Minute)
		s.once(30)
		s.bugs = 4
	})
}

// far is a port whose answers take a while.
type far struct {
	chain.Port
	away time.Duration
}

func (f far) Submit(ctx context.Context, tx []byte) error {
	<-time.After(f.away)
	return f.Port.Submit(ctx, tx)
}

// TestOneHiccupIsNoOutage loses the answers to all that is being submitted, and goes on at once.
func TestOneHiccupIsNoOutage(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		s.down()
		s.cfg.Port = far{s.chain, 50 * time.Millisecond}
		s.up()
		s.after(5 * second)
		s.chain.Set(fake.Faults{Deaf: true})
		for n := range 100 {
			s.send(fmt.Sprint("call-", n))
		}
		s.after(100 * time.Millisecond)
		s.chain.Set(fake.Faults{})
		if took := s.drained(time.Minute); took > 8*second {
			t.Errorf("it took %v", took)
		}
		s.once(100)
	})
}

// TestWhatMayStillComeIsNotSignedAnew has a transaction expire, and its nonce used, in blocks that are undone later: only then it
// comes into a block.
func TestWhatMayStillComeIsNotSignedAnew(t *testing.T) {
	onStage(t, 75, chain.Limits{Valid: 64 * second}, func(s *stage) {
		s.after(10 * second)
		s.chain.Set(fake.Faults{Aside: true})
		s.send("call-0")
		s.after(10 * time.Millisecond)
		s.chain.Set(fake.Faults{})
		s.chain.Steal(s.key.Public())
		s.after(72 * second)
		o := s.show("call-0")
		if c := s.status(); o.State != "in_doubt" || c.Head <= o.ValidUntil || c.Finalized == 0 || c.Finalized > 9 {
			t.Errorf("it is %+v, %+v", o, c)
		}
		s.chain.Fork(100, true)
		s.drained(20 * time.Minute)
		s.once(1)
	})
}

// TestAForkPutsBack has what was in a block that is gone in another one soon, even if the chain forgot it.
func TestAForkPutsBack(t *testing.T) {
	onStage(t, 5, chain.Limits{}, func(s *stage) {
		s.after(10 * second)
		for n := range 5 {
			s.send(fmt.Sprint("call-", n))
		}
		s.after(3 * second)
		if c := s.status(); c.Outbox["in_block"] != 5 {
			t.Errorf("there are %v", c.Outbox)
		}
		s.chain.Fork(4, true)
		s.after(2 * second)
		if c := s.status(); c.Outbox["in_block"] != 5 || c.Forks != 1 || c.Resubmitted != 5 {
			t.Errorf("there are %+v", c)
		}
		s.drained(10 * second)
		s.once(5)
	})
}

// TestAMarkIsNotAheadOfTheDisk: the nonces of a mark are those of its block, as long as the end of something later is not on disk. Else
// what is read again after a crash would seem to have lost its nonce.
func TestAMarkIsNotAheadOfTheDisk(t *testing.T) {
	a, now := chain.Hash{1}, time.Unix(0, 0)
	s := chain.NewState(chain.Limits{}, []chain.Hash{a}, 1)
	saved := chain.Saved{Mark: chain.Mark{Genesis: chain.Hash{9}, Cursor: chain.Cursor{Hash: chain.Hash{9}}}}
	for n := range uint64(3) {
		saved.Records = append(saved.Records, chain.Record{Number: n + 1, Key: fmt.Sprint(n), Sender: a, Class: chain.Plain, Progress: chain.Signed,
			Genesis: chain.Hash{9}, Nonce: n, ValidUntil: 100, Hash: chain.Hash{2, byte(n)}})
	}
	var marks []chain.Mark
	step := func(m chain.Message) {
		now = now.Add(2 * second)
		for _, e := range s.Step(now, m) {
			switch e := e.(type) {
			case chain.Dial:
				defer func() {
					for range s.Step(now, chain.Dialed(e, chain.Info{Genesis: chain.Hash{9}}, nil)) {
					}
				}()
			case chain.SaveMark:
				marks = append(marks, e.Mark)
			}
		}
	}
	step(chain.Loaded(saved, nil))
	for n := range byte(3) {
		b := chain.Block{Cursor: chain.Cursor{Height: uint64(n) + 1, Hash: chain.Hash{3, n + 1}}, Parent: chain.Hash{3, n}, Finalized: uint64(n) + 1,
			Txs: []chain.Result{{Hash: chain.Hash{2, n}, Signer: a, Nonce: uint64(n)}}}
		if n == 0 {
			b.Parent = chain.Hash{9}
		}
		step(chain.Read(1, b))
	}
	step(chain.Wrote(1, nil))
	want := []chain.Mark{{Genesis: chain.Hash{9}, Cursor: chain.Cursor{Height: 1, Hash: chain.Hash{3, 1}}}}
	if d := cmp.Diff(want, marks); d != "" {
		t.Error(d)
	}
}

// hider is a line that does not tell the first blocks of forks.
type hider struct{ chain.Port }

func (h hider) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	last := uint64(0)
	return h.Port.Follow(ctx, after, func(b chain.Block) error {
		if b.Height <= last {
			return nil
		}
		last = b.Height
		return use(b)
	})
}

// TestALineThatHidesForks finds out what it was not told.
func TestALineThatHidesForks(t *testing.T) {
	onStage(t, 5, chain.Limits{}, func(s *stage) {
		s.down()
		s.cfg.Port = hider{s.chain}
		s.up()
		s.after(20 * second)
		for n := range 20 {
			s.send(fmt.Sprint("call-", n))
			s.after(1500 * time.Millisecond)
			s.chain.Fork(n%4, true)
		}
		s.drained(10 * time.Minute)
		s.once(20)
	})
}
