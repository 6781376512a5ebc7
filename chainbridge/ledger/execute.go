package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// maxDepth bounds how deep calls lie within calls.
const maxDepth = 4

// execution is a block that is being executed.
type execution struct {
	ledger *Ledger
	head   Head // of the block
	store  *state.Store
	events []pallet.Event // of what runs
	result machine.Result
}

func newExecution(l *Ledger, h Head) *execution {
	x := &execution{ledger: l, head: h, store: state.NewStore(l.src)}
	number.Put(x.store, h.Height)
	timestamp.Put(x.store, h.Time)
	return x
}

func (x *execution) context(o pallet.Origin) *pallet.Context {
	return &pallet.Context{Store: x.store, Height: x.head.Height, Time: x.head.Time, Genesis: x.head.Genesis, Origin: o,
		Events: &x.events, Dispatch: x.dispatch(1)}
}

// dispatch returns the Context.Dispatch of a call that lies so deep.
func (x *execution) dispatch(depth int) func(o pallet.Origin, call []byte) error {
	return func(o pallet.Origin, encoded []byte) error {
		if depth >= maxDepth {
			return pallet.Fail("System", "TooDeep", "")
		}
		_, _, call, err := x.ledger.run.decode(encoded)
		if err != nil {
			return pallet.Fail("System", "NoCall", err.Error())
		}
		c := x.context(o)
		c.Dispatch = x.dispatch(depth + 1)
		return x.attempt(call, c)
	}
}

// attempt runs a call, and undoes it if it fails.
func (x *execution) attempt(call pallet.Call, c *pallet.Context) error {
	mark, events := x.store.Mark(), len(x.events)
	err := call.Run(c)
	if err == nil {
		err = x.store.Err()
	}
	if err == nil && x.store.TooLarge() {
		err = pallet.Fail("System", "TooLarge", "what it writes is more than the chain keeps under one key")
	}
	if err != nil {
		x.store.Revert(mark)
		x.events = x.events[:events]
	}
	return err
}

// gather files what happened under a transaction.
func (x *execution) gather(tx int) {
	for _, e := range x.events {
		x.result.Events = append(x.result.Events, machine.Event{Tx: tx, Event: e})
	}
	x.events = x.events[:0]
}

// FinalizeBlock implements machine.Machine.
//
// # Errors
//
// bug.protocol for a block that does not follow the head, bug.panic, host.chain_corrupt, and those of the Source.
func (l *Ledger) FinalizeBlock(b machine.Block) (res *machine.Result, err error) {
	defer caught(blockName(b.Height), &err)
	l.pending = nil
	h := l.Head()
	if h.Genesis == (pallet.Hash{}) || b.Height != h.Height+1 || b.Time < h.Time {
		return nil, fault.New(fault.BugProtocol, blockName(b.Height), "", fmt.Errorf("it does not follow block %d of time %d", h.Height, h.Time))
	}
	h.Height, h.Time = b.Height, b.Time
	txs, refused := l.readAll(h.Genesis, b.Txs)
	x := newExecution(l, h)
	x.result.Txs = make([]machine.TxResult, len(txs))
	for _, p := range l.run.pallets {
		if err := x.phase(p.Name, p.Begin); err != nil {
			return nil, err
		}
	}
	x.gather(-1)
	for i, t := range txs {
		r := &x.result.Txs[i]
		if r.Invalid = refused[i]; r.Invalid != nil {
			r.Hash = TxHash(b.Txs[i])
			continue
		}
		if err := x.apply(t, r); err != nil {
			return nil, err
		}
		x.gather(i)
	}
	for _, p := range l.run.pallets {
		if err := x.phase(p.Name, p.End); err != nil {
			return nil, err
		}
	}
	x.gather(-1)
	return l.close(x)
}

// phase is what a pallet does before or after the calls of a block. It must not fail.
func (x *execution) phase(name string, do func(c *pallet.Context) error) error {
	if do == nil {
		return nil
	}
	if err := do(x.context(pallet.Origin{})); err != nil {
		if failed, ok := errors.AsType[*pallet.Error](err); ok {
			return fault.New(fault.BugUnexpected, blockName(x.head.Height), name, failed)
		}
		return err
	}
	if x.store.TooLarge() {
		return fault.New(fault.BugUnexpected, blockName(x.head.Height), name, fmt.Errorf("it writes more than the chain keeps under one key"))
	}
	return x.store.Err()
}

// apply executes a transaction. It fails for a fault of the node only.
func (x *execution) apply(t *decoded, r *machine.TxResult) error {
	r.Hash, r.Sender, r.Nonce = t.hash, t.Account, t.Nonce
	next := accounts.Nonce(x.store, t.Account)
	if r.Invalid = fits(t, next, x.head.Height); r.Invalid != nil {
		return nil
	}
	if t.Nonce > next {
		r.Invalid = fault.New(fault.CallerTxNonce, "transaction", t.hash.String(), fmt.Errorf("nonce %d comes too early, the next is %d", t.Nonce, next))
		return nil
	}
	_, _, call, err := x.ledger.run.decode(t.Call)
	if err != nil {
		r.Invalid = err
		return nil
	}
	accounts.UseNonce(x.store, t.Account)
	err = x.attempt(call, x.context(pallet.Origin{Kind: pallet.Signed, Account: t.Account}))
	if broken := x.store.Err(); broken != nil { // whatever the call made of it
		return broken
	}
	if failed, ok := errors.AsType[*pallet.Error](err); ok {
		r.Error = failed
		return nil
	}
	return err
}

// close ends a block: it counts what changed, and makes it what Commit commits.
func (l *Ledger) close(x *execution) (*machine.Result, error) {
	if err := x.store.Err(); err != nil {
		return nil, err
	}
	before := l.head.Load()
	res := &x.result
	res.Changes = x.store.Changes()
	sum := *before.sum
	sum.Apply(res.Changes)
	change := state.Change{Key: state.AccumulatorKey(), New: sum.Encode()}
	if before.Genesis != (pallet.Hash{}) {
		change.Old = before.sum.Encode()
	}
	at, _ := slices.BinarySearchFunc(res.Changes, change, func(a, b state.Change) int { return bytes.Compare(a.Key, b.Key) })
	res.Changes = slices.Insert(res.Changes, at, change)
	x.head.AppHash = sum.Sum()
	res.AppHash = x.head.AppHash
	l.pending = &head{x.head, &sum}
	return res, nil
}
