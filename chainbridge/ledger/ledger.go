package ledger

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// What the ledger itself keeps in the state.
var (
	number      = state.NewItem[uint64]("System", "Number")
	chainName   = state.NewItem[string]("System", "ChainName")
	genesisHash = state.NewItem[pallet.Hash]("System", "GenesisHash")
	timestamp   = state.NewItem[uint64]("Timestamp", "Now")
)

// Head is how far a state has come.
type Head struct {
	Name    string      // of the chain
	Genesis pallet.Hash // zero: there is no chain yet
	Height  uint64
	Time    uint64 // milliseconds of Unix time
	AppHash pallet.Hash
}

// Ledger is a machine.Machine.
type Ledger struct {
	run      *Runtime
	src      state.Source
	verified *verified
	head     atomic.Pointer[head]
	pending  *head // what Commit makes the head
}

type head struct {
	Head
	sum *state.Accumulator
}

var _ machine.Machine = (*Ledger)(nil)

// New returns the ledger of a state. Without pallets it has the standard ones.
//
// # Errors
//
// host.chain_corrupt, and those of the Source.
func New(src state.Source, pallets ...pallet.Pallet) (*Ledger, error) {
	run := standard()
	if len(pallets) > 0 {
		run = NewRuntime(pallets...)
	}
	l := &Ledger{run: run, src: src, verified: newVerified(MaxVerified)}
	h, err := readHead(src)
	if err != nil {
		return nil, err
	}
	l.head.Store(h)
	return l, nil
}

func readHead(src state.Source) (*head, error) {
	s := state.NewStore(src)
	h := &head{sum: &state.Accumulator{}}
	h.Name, _ = chainName.Get(s)
	h.Genesis, _ = genesisHash.Get(s)
	h.Height, _ = number.Get(s)
	h.Time, _ = timestamp.Get(s)
	b := s.Get(state.AccumulatorKey())
	if err := s.Err(); err != nil {
		return nil, err
	}
	if begun := h.Genesis != (pallet.Hash{}); begun != (b != nil) {
		return nil, fault.New(fault.HostChainCorrupt, "state", "", fmt.Errorf("it has half a beginning"))
	}
	if b != nil {
		var err error
		if h.sum, err = state.DecodeAccumulator(b); err != nil {
			return nil, err
		}
		h.AppHash = h.sum.Sum()
	}
	return h, nil
}

// Head returns how far the state of the last Commit has come.
func (l *Ledger) Head() Head { return l.head.Load().Head }

// Runtime returns the pallets.
func (l *Ledger) Runtime() *Runtime { return l.run }

// InitChain implements machine.Machine.
//
// # Errors
//
// caller.invalid_config for a genesis document that cannot be, caller.conflict for a state that is not empty.
func (l *Ledger) InitChain(genesis []byte) (res *machine.Result, err error) {
	defer caught("genesis", &err)
	l.pending = nil
	if l.Head().Genesis != (pallet.Hash{}) {
		return nil, fault.New(fault.CallerConflict, "genesis", "", nil).WithHint("there is a chain already")
	}
	g, err := ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	h := Head{Name: g.Name, Time: g.TimeMS}
	if h.Genesis, err = g.Hash(); err != nil {
		return nil, err
	}
	x := newExecution(l, h)
	chainName.Put(x.store, h.Name)
	genesisHash.Put(x.store, h.Genesis)
	if err := l.run.begin(x.context(pallet.Origin{}), g); err != nil {
		return nil, err
	}
	x.gather(-1)
	return l.close(x)
}

// CheckTx implements machine.Machine.
func (l *Ledger) CheckTx(tx []byte) (machine.TxInfo, error) {
	h := l.Head()
	t, err := l.read(h.Genesis, tx)
	if err != nil {
		return machine.TxInfo{}, err
	}
	info := machine.TxInfo{Hash: t.hash, Sender: t.Account, Nonce: t.Nonce, ValidUntil: t.ValidUntil}
	s := state.NewStore(l.src)
	info.Next = accounts.Nonce(s, t.Account)
	if err := s.Err(); err != nil {
		return info, err
	}
	if err := fits(t, info.Next, h.Height+1); err != nil {
		return info, err
	}
	if _, _, _, err := l.run.decode(t.Call); err != nil {
		return info, err
	}
	return info, l.verify(h.Genesis, tx, t)
}

// fits says whether a transaction can be in a block of the height or a later one.
func fits(t *decoded, next, height uint64) error {
	if t.Nonce < next {
		return fault.New(fault.CallerTxNonce, "transaction", t.hash.String(), fmt.Errorf("nonce %d is used, the next is %d", t.Nonce, next))
	}
	if t.ValidUntil != 0 && t.ValidUntil < height {
		return fault.New(fault.CallerTxExpired, "transaction", t.hash.String(), fmt.Errorf("valid until block %d, and this is %d", t.ValidUntil, height))
	}
	return nil
}

// Commit implements machine.Machine.
//
// # Errors
//
// bug.protocol if there is nothing to commit.
func (l *Ledger) Commit() error {
	if l.pending == nil {
		return fault.New(fault.BugProtocol, "commit", "", fmt.Errorf("no block was executed"))
	}
	l.head.Store(l.pending)
	l.pending = nil
	return nil
}

// caught turns a panic into a fault: a block must not end the process.
func caught(what string, err *error) {
	if r := recover(); r != nil {
		*err = fault.New(fault.BugPanic, what, "", fmt.Errorf("%v\n%s", r, debug.Stack()))
	}
}

func blockName(height uint64) string { return "block " + strconv.FormatUint(height, 10) }
