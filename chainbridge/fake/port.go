package fake

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

var _ chain.Port = (*Chain)(nil)

// Info implements chain.Port.
func (c *Chain) Info(ctx context.Context) (chain.Info, error) {
	if err := c.enter(ctx); err != nil {
		return chain.Info{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.HalfInfo {
		return chain.Info{}, errHalf
	}
	head := c.stale()
	final := c.blocks[min(c.final, head.Height)]
	i := chain.Info{Name: c.cfg.Name, Genesis: c.genesis, Head: head.Cursor, Finalized: final.Cursor, Time: head.Time, BlockTime: c.cfg.BlockTime}
	if c.faults.Other {
		i.Genesis = sha256.Sum256([]byte("other"))
	}
	return i, nil
}

// stale is the newest block that is told of. mu is held.
func (c *Chain) stale() *block {
	head := c.head()
	return c.blocks[head.Height-min(c.faults.StaleInfo, head.Height)]
}

// Account implements chain.Port.
func (c *Chain) Account(ctx context.Context, account [32]byte) (chain.Account, error) {
	if err := c.enter(ctx); err != nil {
		return chain.Account{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.HalfInfo {
		return chain.Account{}, errHalf
	}
	return chain.Account{Nonce: c.stale().nonces[account], Free: "0"}, nil
}

// Sign implements chain.Port.
func (c *Chain) Sign(call chain.Call, s chain.Signing) (chain.Tx, error) { return Sign(call, s) }

// Sign makes a transaction, as the port of any fake chain does.
func Sign(call chain.Call, s chain.Signing) (chain.Tx, error) {
	if call.Pallet != "Fake" {
		return chain.Tx{}, fault.New(fault.CallerTxCall, "sign", call.Pallet+"."+call.Name, nil)
	}
	t := transaction{Account: s.Signer.Public(), Genesis: s.Genesis, Nonce: s.Nonce, ValidUntil: s.ValidUntil, Call: call}
	msg, err := json.Marshal(t)
	if err != nil {
		return chain.Tx{}, fault.New(fault.CallerTxCall, "sign", "", err)
	}
	sig := s.Signer.Sign(msg)
	t.Salt = sig[:]
	tx, _ := json.Marshal(t)
	return chain.Tx{Hash: sha256.Sum256(tx), Bytes: tx}, nil
}

// Submit implements chain.Port.
func (c *Chain) Submit(ctx context.Context, tx []byte) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.submit(tx); err != nil {
		return err
	}
	if c.faults.Deaf {
		return errHalf
	}
	return nil
}

func (c *Chain) submit(tx []byte) error {
	t := &transaction{hash: sha256.Sum256(tx)}
	if err := json.Unmarshal(tx, t); err != nil || t.Genesis != c.genesis || c.faults.Other {
		return fault.New(fault.CallerTx, "submit", t.hash.String(), err)
	}
	if code := c.faults.Refuse; code != "" {
		return fault.New(code, "submit", t.hash.String(), nil)
	}
	head := c.head()
	for _, b := range slices.Backward(c.blocks[max(0, len(c.blocks)-1000):]) {
		if slices.ContainsFunc(b.txs, func(o *transaction) bool { return o.hash == t.hash }) {
			return nil
		}
		if b.nonces[t.Account] <= t.Nonce {
			break // it was not before
		}
	}
	switch {
	case t.Nonce < head.nonces[t.Account]:
		return fault.New(fault.CallerTxNonce, "submit", t.hash.String(), nil)
	case t.ValidUntil != 0 && t.ValidUntil <= head.Height:
		return fault.New(fault.CallerTxExpired, "submit", t.hash.String(), nil)
	case c.faults.Lose:
		return nil
	case c.faults.Aside:
		c.aside = append(c.aside, t)
		return nil
	case len(c.pool) >= c.cfg.Pool:
		return fault.New(fault.BusyChain, "submit", t.hash.String(), errors.New("the pool is full"))
	}
	for _, o := range slices.Backward(c.pool) {
		if o.hash == t.hash {
			return nil
		}
		if o.Account == t.Account && o.Nonce == t.Nonce {
			return fault.New(fault.CallerTxNonce, "submit", t.hash.String(), errors.New("another one waits"))
		}
		if len(c.pool) > 2000 && o.Account == t.Account && o.Nonce+1 == t.Nonce {
			break // in order, as is usual: none of the earlier ones is the same
		}
	}
	c.pool = append(c.pool, t)
	c.taken++
	return nil
}

// Next returns the block that Follow would tell behind a cursor; ok is false when there is none yet.
//
// # Errors
//
// host.chain_other: the cursor is not of this chain.
func (c *Chain) Next(after chain.Cursor) (b chain.Block, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next(after)
}

func (c *Chain) next(after chain.Cursor) (b chain.Block, ok bool, err error) {
	if c.faults.Other {
		return b, false, fault.New(fault.HostChainOther, "follow", after.Hash.String(), nil)
	}
	hash := after.Hash
	if after == (chain.Cursor{}) {
		hash = c.genesis
	}
	for { // back to what is still there
		height, known := c.heights[hash]
		if !known {
			return b, false, fault.New(fault.HostChainOther, "follow", after.Hash.String(), nil)
		}
		if height < uint64(len(c.blocks)) && c.blocks[height].Hash == hash {
			if height+1 == uint64(len(c.blocks)) {
				return b, false, nil
			}
			b = c.blocks[height+1].Block
			b.Finalized = c.final
			return b, true, nil
		}
		hash = c.known[hash]
	}
}

// Follow implements chain.Port.
func (c *Chain) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	var told []chain.Block
	for n := 0; ; n++ {
		if err := c.enter(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		changed, f := c.changed, c.faults
		b, ok, err := c.next(after)
		c.mu.Unlock()
		switch {
		case err != nil:
			return err
		case !ok:
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-changed:
			}
			continue
		case f.HalfRead && n%2 == 1:
			return errHalf
		}
		for _, old := range told[max(0, len(told)-f.Replay):] {
			if err := use(old); err != nil {
				return err
			}
		}
		if err := use(b); err != nil {
			return err
		}
		after = b.Cursor
		if told = append(told, b); len(told) > 16 {
			told = told[1:]
		}
	}
}

// Query implements chain.Port: "Fake/effects" answers how often each key took effect.
func (c *Chain) Query(ctx context.Context, path string, _, out any) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	if path != "Fake/effects" {
		return fault.New(fault.CallerNotFound, "query", fault.Quote(path), nil)
	}
	raw, err := json.Marshal(c.Effects())
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}
