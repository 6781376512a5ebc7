package chain_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// FuzzHostileChain drives the core with a chain that says anything, in any order. It must neither panic nor give a nonce twice.
func FuzzHostileChain(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"))
	f.Add([]byte{9, 9, 9, 0, 1, 0, 3, 3, 4, 4, 1, 1, 1, 0, 3, 1, 2, 2, 0, 3, 1, 3, 3, 0, 5, 5, 3, 1, 1, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		a := chain.Hash{1}
		s := chain.NewState(chain.Limits{Queue: 8, Reserve: 4, Window: 3, Parallel: 2, Waiters: 4}, []chain.Hash{a}, 1)
		now := time.Unix(0, 0)
		next := func() byte {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return b
		}
		number := func() uint64 {
			switch n := next(); {
			case n < 64:
				return uint64(n % 8)
			case n < 192:
				return uint64(n)
			case n < 224:
				return 1<<64 - 1 - uint64(n%4)
			}
			return binary.BigEndian.Uint64([]byte{next(), next(), next(), next(), next(), next(), next(), next()})
		}
		hash := func() chain.Hash { return chain.Hash{next() % 4} }
		cursor := func() chain.Cursor { return chain.Cursor{Height: number(), Hash: hash()} }
		fails := func() error {
			switch next() % 8 {
			case 0:
				return fault.New(fault.BusyChain, "", "", nil)
			case 1:
				return fault.New(fault.CallerTx, "", "", nil)
			case 2:
				return fault.New(fault.HostChainOther, "", "", nil)
			case 3:
				return errors.New("anything")
			}
			return nil
		}
		var open []chain.Effect
		var step func(m chain.Message)
		step = func(m chain.Message) {
			for _, e := range s.Step(now, m) {
				switch e := e.(type) {
				case chain.Load:
					step(chain.Loaded(chain.Saved{}, nil))
				case chain.Add, chain.Write, chain.SaveMark, chain.Sign, chain.Submit, chain.Dial, chain.AskNonce, chain.Find:
					open = append(open, e)
				case chain.Ended:
					if e.Err == nil && e.Outcome.Fault == nil && e.Outcome.Hash.IsZero() {
						t.Error("an outcome without a transaction")
					}
				default:
					chain.Give(e)
				}
			}
			if err := s.Sound(); err != nil {
				t.Fatal(err)
			}
		}
		step(chain.Loaded(chain.Saved{}, nil))
		connection := uint64(0)
		for len(script) > 0 {
			now = now.Add(time.Duration(next()) * 100 * time.Millisecond)
			switch op := next() % 8; {
			case op == 0:
				key := string(rune('a' + next()%8))
				step(chain.Send{Key: key, Call: chain.Call{Args: json.RawMessage("{}")}, Class: chain.Class(next() % 4),
					Transient: []string{"P.E"}, Reply: kernel.ReplyFunc(func(inspect.Outgoing, error) {})})
			case op == 1:
				step(chain.Tick(time.Duration(number())))
			case op == 2:
				b := chain.Block{Cursor: cursor(), Parent: hash(), Finalized: number()}
				for range next() % 4 {
					r := chain.Result{Hash: hash(), Signer: chain.Hash{next() % 2}, Nonce: number()}
					if next()%2 == 0 {
						r.Error = &chain.TxError{Pallet: "P", Name: "E"}
					}
					b.Txs = append(b.Txs, r)
				}
				step(chain.Read(connection, b))
			case op == 3:
				step(chain.Lost(connection, fails()))
			case op == 4:
				step(chain.Wait{Key: string(rune('a' + next()%8)), Reply: kernel.ReplyFunc(func(chain.Outcome, error) {})})
				step(chain.Status{})
				step(chain.List{Limit: int(next()), After: number(), Newest: next()%2 == 0})
			case len(open) > 0:
				n := int(next()) % len(open)
				e := open[n]
				open = append(open[:n], open[n+1:]...)
				switch e := e.(type) {
				case chain.Add:
					step(chain.Added(e.Record.Number, nil, fails()))
				case chain.Write:
					step(chain.Wrote(e.Record.Number, fails()))
				case chain.SaveMark:
					step(chain.Marked(e.Mark, fails()))
				case chain.Sign:
					step(chain.SignedTx(e, chain.Tx{Hash: chain.Hash{byte(e.Number), byte(e.Made), 7}}, fails()))
				case chain.Submit:
					step(chain.Submitted(e, fails()))
				case chain.Dial:
					connection = e.Connection
					step(chain.Dialed(e, chain.Info{Genesis: hash(), Head: cursor(), Finalized: cursor(), BlockTime: time.Duration(number())}, fails()))
				case chain.AskNonce:
					step(chain.Nonce(e, number(), fails()))
				case chain.Find:
					step(chain.Found(e.Ask, nil, fails()))
				}
			}
		}
	})
}
