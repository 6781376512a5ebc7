package devchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

var _ chain.Port = (*Chain)(nil)

// Info implements chain.Port. Every block is final once it is there.
func (c *Chain) Info(context.Context) (chain.Info, error) {
	if err := c.open(); err != nil {
		return chain.Info{}, err
	}
	t := c.tip.Load()
	return chain.Info{Name: c.name, Genesis: chain.Hash(c.genesis), Head: t.block.Cursor, Finalized: t.block.Cursor,
		Time: t.block.Time, BlockTime: c.cfg.BlockTime}, nil
}

// Account implements chain.Port.
func (c *Chain) Account(ctx context.Context, account [32]byte) (a chain.Account, err error) {
	return a, c.Query(ctx, "System/account", map[string]any{"account": pallet.Account(account)}, &a)
}

// Sign implements chain.Port.
func (c *Chain) Sign(call chain.Call, s chain.Signing) (chain.Tx, error) { return sign(call, s) }

func sign(call chain.Call, s chain.Signing) (chain.Tx, error) {
	b, err := ledger.EncodeCall(call.Pallet, call.Name, call.Args)
	if err != nil {
		return chain.Tx{}, err
	}
	tx := ledger.SignTx(s.Signer, pallet.Hash(s.Genesis), s.Nonce, s.ValidUntil, b)
	return chain.Tx{Hash: chain.Hash(ledger.TxHash(tx)), Bytes: tx}, nil
}

// Submit implements chain.Port.
func (c *Chain) Submit(_ context.Context, tx []byte) error {
	if len(tx) == 0 || len(tx) > c.cfg.MaxTxBytes {
		return fault.New(fault.CallerTx, "submit", "", errors.New("it is empty, or longer than a transaction may be"))
	}
	tx = bytes.Clone(tx) // it is kept
	hash := txHash(tx)
	waits, height := c.pool.has(hash)
	if waits {
		return nil
	}
	info, err := c.check(tx)
	if err == nil {
		info.Hash = hash
		err = c.pool.add(tx, info, height, func() (machine.TxInfo, error) {
			info, err := c.check(tx)
			info.Hash = hash
			return info, err
		})
	}
	if errors.Is(err, fault.CallerTxNonce) || errors.Is(err, fault.CallerTxExpired) {
		// It may be that it is known. It comes into the database before it leaves the pool.
		if waits, _ := c.pool.has(hash); waits {
			return nil
		}
		if _, _, ok, e := c.where(hash); e == nil && ok {
			return nil
		}
	}
	return err
}

func (c *Chain) check(tx []byte) (info machine.TxInfo, err error) {
	defer contain(&err, "submit")
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return machine.TxInfo{}, err
	}
	return c.machine.CheckTx(tx)
}

// contain turns a panic of the machine into its failure.
func contain(err *error, op string) {
	if r := recover(); r != nil {
		*err = fault.New(fault.BugPanic, op, "", fmt.Errorf("%v", r))
	}
}

func (c *Chain) where(hash pallet.Hash) (height uint64, place int, ok bool, err error) {
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return 0, 0, false, err
	}
	height, place, ok, err = c.store.txAt(hash)
	return height, place, ok && height <= c.tip.Load().Height, err
}

// Query implements chain.Port.
func (c *Chain) Query(_ context.Context, path string, params, out any) error {
	var raw json.RawMessage
	if params != nil {
		b, err := json.Marshal(params)
		if err != nil {
			return fault.New(fault.CallerInvalid, "query", fault.Quote(path), err)
		}
		raw = b
	}
	b, err := c.query(path, raw)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fault.New(fault.CallerInvalid, "query", fault.Quote(path), err)
	}
	return nil
}

func (c *Chain) query(path string, params json.RawMessage) (answer json.RawMessage, err error) {
	defer contain(&err, "query")
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return nil, err
	}
	return c.machine.Query(path, params)
}

// State returns the value of a key of the state, nil if there is none.
func (c *Chain) State(key []byte) ([]byte, error) {
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return nil, err
	}
	return c.source.Get(key)
}

// Follow implements chain.Port. This chain never forks, but it may have been restored from an older state: a cursor that is not on it
// begins again with the first block, since nobody knows where the two parted.
func (c *Chain) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	height, err := c.resumeAt(after)
	if err != nil {
		return err
	}
	for {
		t := c.tip.Load()
		for ; height <= t.Height; height++ {
			if ctx.Err() != nil {
				return fault.From(context.Cause(ctx))
			}
			b, err := c.Block(height)
			if err != nil {
				return err
			}
			if err := use(b); err != nil {
				return err
			}
		}
		select {
		case <-t.next:
		case <-c.ctx.Done():
			return gone()
		case <-ctx.Done():
			return fault.From(context.Cause(ctx))
		}
	}
}

// resumeAt returns the height of the first block behind a cursor.
func (c *Chain) resumeAt(after chain.Cursor) (uint64, error) {
	switch {
	case after == chain.Cursor{}:
		return 1, c.open()
	case after.Height > c.tip.Load().Height:
		return 1, c.open()
	}
	b, err := c.Block(after.Height)
	switch {
	case err != nil:
		return 0, err
	case b.Hash == after.Hash:
		return after.Height + 1, nil
	case after.Height == 0:
		return 0, fault.New(fault.HostChainOther, "follow", "", nil)
	}
	return 1, nil
}

// Block returns the block of a height.
//
// # Errors
//
// caller.not_found, host.chain_corrupt.
func (c *Chain) Block(height uint64) (chain.Block, error) {
	r, err := c.record(height)
	if err != nil {
		return chain.Block{}, err
	}
	return r.block, nil
}

func (c *Chain) record(height uint64) (*record, error) {
	if r := c.recent.get(height); r != nil {
		return r, nil
	}
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return nil, err
	}
	if height > c.tip.Load().Height {
		return nil, fault.New(fault.CallerNotFound, "block", block(height), nil)
	}
	return c.store.block(height)
}

// TxPlace is where a transaction is.
type TxPlace struct {
	Hash   chain.Hash    `json:"hash"`
	Waits  bool          `json:"waits"` // for a block
	Height uint64        `json:"height,omitempty"`
	Index  int           `json:"index"`
	Time   time.Time     `json:"time,omitzero"`
	Result *chain.Result `json:"result,omitempty"` // nil while it waits
	Events []chain.Event `json:"events,omitempty"`
}

// Tx tells where a transaction is, and what became of it.
//
// # Errors
//
// caller.not_found.
func (c *Chain) Tx(hash chain.Hash) (TxPlace, error) {
	waits, _ := c.pool.has(pallet.Hash(hash))
	height, index, ok, err := c.where(pallet.Hash(hash))
	switch {
	case err != nil:
		return TxPlace{}, err
	case !ok && waits:
		return TxPlace{Hash: hash, Waits: true}, nil
	case !ok:
		return TxPlace{}, fault.New(fault.CallerNotFound, "transaction", hash.String(), nil)
	}
	b, err := c.Block(height)
	if err == nil && (index >= len(b.Txs) || b.Txs[index].Hash != hash) {
		err = corrupt(block(height), errors.New("a transaction is not where it should be"))
	}
	if err != nil {
		return TxPlace{}, err
	}
	at := TxPlace{Hash: hash, Height: height, Index: index, Time: b.Time, Result: &b.Txs[index]}
	for _, e := range b.Events {
		if e.Tx == index {
			at.Events = append(at.Events, e)
		}
	}
	return at, nil
}

// recent keeps the newest blocks for those who follow.
type recent struct {
	mu    sync.Mutex
	list  []*record
	bytes int
}

const (
	maxRecent      = 256
	maxRecentBytes = 8 << 20
)

func (r *recent) add(b *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, b)
	for r.bytes += len(b.stored); len(r.list) > 1 && (len(r.list) > maxRecent || r.bytes > maxRecentBytes); r.list = r.list[1:] {
		r.bytes -= len(r.list[0].stored)
		r.list[0] = nil
	}
}

func (r *recent) get(height uint64) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 || height < r.list[0].Height || height-r.list[0].Height >= uint64(len(r.list)) {
		return nil
	}
	return r.list[height-r.list[0].Height]
}
