package report

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
)

// TestThrough gives the chain actor what the reporter wants of its outbox.
func TestThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, err := kernel.New(kernel.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var sent []chain.Send
		var left []uint64
		waits := map[uint64]chain.Wait{}
		ref, err := kernel.Spawn(sys, kernel.Options[chain.Message]{Name: "chain", New: func(*kernel.Ctx[chain.Message]) kernel.Handler[chain.Message] {
			return kernel.HandlerFunc[chain.Message](func(_ *kernel.Ctx[chain.Message], m chain.Message) {
				switch m := m.(type) {
				case chain.Send:
					sent = append(sent, m)
					m.Reply.Answer(inspect.Outgoing{Key: m.Key})
				case chain.Wait:
					if m.Key == "never" {
						waits[m.Waiter] = m
						return
					}
					m.Reply.Answer(chain.Outcome{Block: chain.Cursor{Height: 5}, Error: &chain.TxError{Name: "x"}})
				case chain.Unwait:
					left = append(left, m.Waiter)
					waits[m.Waiter].Reply.Fail(fault.New(fault.CanceledCaller, "", "", nil))
				case chain.List:
					p := chain.Page{}
					for i := m.After + 1; i <= 250 && len(p.Calls) < m.Limit; i++ {
						key := fmt.Sprintf("worker/%d", i)
						if i%2 == 0 {
							key = "session/x"
						}
						p.Calls = append(p.Calls, inspect.Outgoing{Number: i, Key: key})
						if p.Next = i; i == 250 {
							p.Next = 0
						}
					}
					m.Reply.Answer(p)
				}
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		var n uint64
		o := Through(ref, chain.Hash{3}, func() uint64 { n++; return n })
		for _, d := range []Duty{RegisterWorker, SettleUse, AnswerChallenge} {
			if err := o.Send(ctx, d, d.String(), chain.Call{Name: "c"}); err != nil {
				t.Error(err)
			}
		}
		var classes []chain.Class
		for _, s := range sent {
			if classes = append(classes, s.Class); s.Sender != (chain.Hash{3}) || s.Call.Name != "c" {
				t.Errorf("%+v", s)
			}
		}
		if want := []chain.Class{chain.Plain, chain.Report, chain.Urgent}; !cmp.Equal(classes, want) {
			t.Errorf("classes %v", classes)
		}
		if out, err := o.Wait(ctx, "k"); err != nil || out.Height != 5 || out.Error == nil {
			t.Errorf("%+v, %v", out, err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := o.Wait(short, "never"); fault.CodeOf(err) != fault.CanceledDeadline || !cmp.Equal(left, []uint64{2}) {
			t.Errorf("%v, %v left", err, left)
		}
		keys, err := o.Open(ctx, keyPrefix)
		if err != nil || len(keys) != 125 || keys[124] != "worker/249" {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		if err := sys.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestSays compares descriptions.
func TestSays(t *testing.T) {
	price := func(n uint64) *meter.Uint128 { return &meter.Uint128{Lo: n} }
	own := meter.Description{Text: "a", Prices: meter.Prices{Gas: price(3), Tip: price(0)}}
	for in, same := range map[string]bool{
		`{"description":"a","prices":{"gas_price":"3","tip_price":"0","storage_price":null}}`: true,
		`{"description":"a","prices":{"gas_price":3,"tip_price":0}}`:                          true,
		`{"description":"a","prices":{"gas_price":"3"}}`:                                      false,
		`{"description":"a","prices":{"gas_price":"4","tip_price":"0"}}`:                      false,
		`{"description":"a","prices":{"gas_price":"3","tip_price":"0","memory_price":"1"}}`:   false,
		`{"description":"b","prices":{"gas_price":"3","tip_price":"0"}}`:                      false,
		`{"description":null,"prices":{}}`:                                                    false,
		`{}`:                                                                                  false,
	} {
		var m marketView
		if err := json.Unmarshal([]byte(in), &m); err != nil {
			t.Fatal(err)
		}
		if m.says(own) != same {
			t.Errorf("%s: %v", in, !same)
		}
	}
}

// answers is a chain that answers all questions alike.
type answers struct {
	fakeChain
	b []byte
}

func (a *answers) Query(_ context.Context, _ string, _, out any) error {
	if err := json.Unmarshal(a.b, out); err != nil {
		return fault.New(fault.CallerInvalid, "", "", err)
	}
	return nil
}

// FuzzLook reads views that no chain should give.
func FuzzLook(f *testing.F) {
	f.Add([]byte(`{"pubkey":"00","session":{"session_id":"00","last_nonce":"0x"},"state":"WorkerIdle","waiting_challenges":[1]}`))
	f.Add([]byte(`{"prices":{"gas_price":{}},"description":[]}`))
	f.Add([]byte(`null`))
	host := newHost(meter.KeyFromSeed([32]byte{1}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		v, err := look(context.Background(), &answers{b: b}, host, host.Key(), "n")
		s := NewState(Settings{Node: "n"}, host.Key())
		s.Step(time.Time{}, recalled{})
		s.Step(time.Time{}, looked{v, err})
		s.Step(time.Time{}, tick{})
	})
}
