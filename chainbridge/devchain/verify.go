package devchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// headed is a Machine that knows how far its state has come, as the ledger does. That is compared with the head at the start.
type headed interface{ Head() ledger.Head }

// lookBack is how many bytes of blocks a start reads. What a damaged log may have lost in the middle is less: it is not in a table yet.
const (
	lookBack  = 12 << 20
	leastLook = 1 << 10 // as how much a small block counts
)

// resume goes on with the chain of a directory.
func (c *Chain) resume(ctx context.Context, h *head) error {
	g, err := c.store.genesis()
	if err != nil {
		return err
	}
	if c.cfg.Genesis == nil {
		c.cfg.Genesis = g.Document
	}
	own, _, err := c.cfg.genesis()
	switch {
	case own == g.Hash:
	case bytes.Equal(c.cfg.Genesis, g.Document):
		return corrupt("genesis", errors.Join(errors.New("it is not that of the hash"), err))
	case err != nil:
		return err
	default:
		return fault.New(fault.HostChainOther, "open", "", fmt.Errorf("its genesis is %s, not %s", g.Hash, own))
	}
	c.genesis = g.Hash
	top, err := c.store.block(h.Height)
	if err != nil {
		return err
	}
	if top.hash != h.Hash {
		return corrupt(block(h.Height), errors.New("it is not the head"))
	}
	for r, looked := top, 0; ; {
		if err := c.store.whole(r.Height); err != nil {
			return err
		}
		if looked += max(len(r.stored), leastLook); r.Height == 0 || looked > lookBack {
			break
		}
		if err := ctx.Err(); err != nil {
			return fault.From(err)
		}
		below, err := c.store.block(r.Height - 1)
		if err != nil {
			return err
		}
		if below.hash != r.Parent {
			return corrupt(block(r.Height), errors.New("it is not linked to the one below"))
		}
		r = below
	}
	if first, err := c.store.block(0); err != nil {
		return err
	} else if first.Parent != g.Hash {
		return corrupt(block(0), errors.New("it is not that of the genesis"))
	}
	if m, ok := c.machine.(headed); ok {
		if at := m.Head(); at.AppHash != top.AppHash || at.Height != top.Height {
			return corrupt("state", fmt.Errorf("it is that of block %d with the hash %s, and block %d has %s", at.Height, at.AppHash, top.Height, top.AppHash))
		}
	}
	c.recent.add(top)
	c.tip.Store(&tip{top, make(chan struct{})})
	return nil
}

// genesis reads what is kept of the genesis.
func (s *store) genesis() (g genesisRecord, err error) {
	var b []byte
	err = s.db.Scan([]byte(genesisKey), func(_, piece []byte) error {
		b = append(b, piece...)
		return nil
	})
	if err == nil {
		if e := scale.Unmarshal(b, &g); e != nil {
			err = corrupt("genesis", e)
		}
	}
	return g, err
}

// Verify proves the chain up to the block that is the newest when it is called: every block is read, and its hash and its link to the
// one below are checked. The app hash is found again from the whole state. With full, each block is executed
// again instead, from the genesis on an empty state in memory, so that every app hash and every result is proved; then the state that
// is stored is compared, key by key, with the one that came out. progress may be nil.
// It uses none of the chain's own memory of the state, and blocks go on being made.
//
// # Errors
//
// host.chain_corrupt names the first block, or the key of the state, that is wrong.
func (c *Chain) Verify(ctx context.Context, full bool, progress func(done, total uint64)) error {
	top := c.tip.Load()
	var replayed *replay
	var parent *record
	for height := uint64(0); height <= top.Height; height++ {
		if err := ctx.Err(); err != nil {
			return fault.From(err)
		}
		r, err := c.stored(height)
		if err != nil {
			return err
		}
		switch {
		case parent == nil && r.Parent != c.genesis:
			return corrupt(block(height), errors.New("it is not that of the genesis"))
		case parent != nil && (r.Parent != parent.hash || r.Time <= parent.Time):
			return corrupt(block(height), errors.New("it is not linked to the one below"))
		case height == top.Height && r.hash != top.hash:
			return corrupt(block(height), errors.New("it is not the head"))
		}
		if err := c.indexed(r); err != nil {
			return err
		}
		if full {
			if replayed == nil {
				if replayed, err = newReplay(c.cfg, c.genesis); err != nil {
					return err
				}
			}
			if err := replayed.step(r); err != nil {
				return err
			}
		}
		if parent = r; progress != nil {
			progress(height, top.Height)
		}
	}
	if full {
		return c.compareState(ctx, replayed)
	}
	return c.countState(ctx)
}

// countState finds the app hash again from all that is in the state.
func (c *Chain) countState(ctx context.Context) error {
	if c.cfg.HashState == nil {
		return nil
	}
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return err
	}
	sum, err := c.cfg.HashState(canceled{ctx, c.source})
	if err != nil {
		return err
	}
	if top := c.tip.Load(); sum != top.AppHash {
		return corrupt("state", fmt.Errorf("its hash is %s, and block %d has %s", sum, top.Height, top.AppHash))
	}
	return nil
}

// canceled is a state that can be read until ctx ends.
type canceled struct {
	ctx context.Context
	state.Source
}

func (c canceled) Scan(prefix, after []byte, use func(key, value []byte) bool) error {
	err := c.Source.Scan(prefix, after, func(k, v []byte) bool { return c.ctx.Err() == nil && use(k, v) })
	if c.ctx.Err() != nil {
		return fault.From(c.ctx.Err())
	}
	return err
}

// stored reads a block from the database, whether it is in memory or not.
func (c *Chain) stored(height uint64) (*record, error) {
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return nil, err
	}
	if err := c.store.whole(height); err != nil {
		return nil, err
	}
	return c.store.block(height)
}

// indexed checks that a block and its transactions are found by their hashes.
func (c *Chain) indexed(r *record) error {
	c.source.view.RLock()
	defer c.source.view.RUnlock()
	if err := c.open(); err != nil {
		return err
	}
	height, ok, err := c.store.heightOf(r.hash)
	if err == nil && (!ok || height != r.Height) {
		err = corrupt(block(r.Height), errors.New("it is not found by its hash"))
	}
	for n := 0; err == nil && n < len(r.block.Txs); n++ {
		var place int
		height, place, ok, err = c.store.txAt(pallet.Hash(r.block.Txs[n].Hash))
		// The same bytes may be in two blocks, if the machine has no nonces: then the last one counts.
		if err == nil && (!ok || height < r.Height || height == r.Height && place < n || height == r.Height && place >= len(r.txs)) {
			err = corrupt(block(r.Height), fmt.Errorf("transaction %d is not found by its hash", n))
		}
		if err == nil && height > r.Height {
			if b, e := c.store.block(height); e != nil || place >= len(b.block.Txs) || b.block.Txs[place].Hash != r.block.Txs[n].Hash {
				err = corrupt(block(r.Height), fmt.Errorf("transaction %d is not found by its hash", n))
			}
		} else if err == nil && r.block.Txs[place].Hash != r.block.Txs[n].Hash {
			err = corrupt(block(r.Height), fmt.Errorf("transaction %d is not found by its hash", n))
		}
	}
	return err
}

// compareState compares the stored state with that of a replay, which is brought up to the newest block first.
func (c *Chain) compareState(ctx context.Context, p *replay) error {
	for {
		c.source.view.RLock()
		err := c.open()
		top := c.tip.Load()
		if err == nil && top.Height == p.height {
			err = c.compareLocked(ctx, p)
			c.source.view.RUnlock()
			return err
		}
		c.source.view.RUnlock()
		for err == nil && p.height < top.Height {
			var r *record
			if r, err = c.stored(p.height + 1); err == nil {
				err = p.step(r)
			}
		}
		if err != nil {
			return err
		}
	}
}

// compareLocked walks through both states at once.
func (c *Chain) compareLocked(ctx context.Context, p *replay) error {
	want, stop := iter.Pull2(func(yield func(string, []byte) bool) {
		_ = p.state.Scan(nil, nil, func(k, v []byte) bool { return yield(string(k), v) })
	})
	defer stop()
	key, value, more := want()
	var err error
	if e := c.source.Scan(nil, nil, func(k, v []byte) bool {
		switch {
		case ctx.Err() != nil:
			err = fault.From(ctx.Err())
		case more && key < string(k):
			err = corrupt("state", fmt.Errorf("key %x is missing", key))
		case !more || key > string(k):
			err = corrupt("state", fmt.Errorf("key %x should not be there", k))
		case !bytes.Equal(v, value):
			err = corrupt("state", fmt.Errorf("the value of key %x is wrong", k))
		}
		key, value, more = want()
		return err == nil
	}); e != nil {
		return e
	}
	if err == nil && more {
		err = corrupt("state", fmt.Errorf("key %x is missing", key))
	}
	return err
}

// replay executes blocks again, from the genesis on, on a state in memory.
type replay struct {
	machine machine.Machine
	state   *state.Memory
	genesis pallet.Hash
	time    uint64 // of block 0
	height  uint64
	res     *machine.Result // of the genesis
}

// newReplay makes the state of a genesis.
func newReplay(cfg Config, genesis pallet.Hash) (*replay, error) {
	p := &replay{state: state.NewMemory(), genesis: genesis}
	var err error
	if _, p.time, err = cfg.genesis(); err != nil {
		return nil, err
	}
	if p.machine, err = cfg.Machine(p.state); err != nil {
		return nil, err
	}
	if p.res, err = p.machine.InitChain(cfg.Genesis); err != nil {
		return nil, err
	}
	p.state.Apply(p.res.Changes)
	return p, p.machine.Commit()
}

// step executes a block, and compares what it does with what is on record.
func (p *replay) step(r *record) error {
	if r.Height == 0 {
		own, err := genesisBlock(p.genesis, p.time, p.res)
		if err == nil && own.hash != r.hash {
			err = corrupt(block(0), errors.New("another genesis state comes out"))
		}
		return err
	}
	res, err := finalize(p.machine, machine.Block{Height: r.Height, Time: r.Time, Txs: r.txs})
	if err != nil {
		return err
	}
	for n, t := range res.Txs {
		if t.Invalid != nil {
			return corrupt(block(r.Height), fmt.Errorf("transaction %d: %w", n, t.Invalid))
		}
	}
	own, err := newRecord(Header{Height: r.Height, Parent: r.Parent, Time: r.Time}, r.txs, res)
	switch {
	case err != nil:
		return err
	case own.AppHash != r.AppHash:
		return corrupt(block(r.Height), fmt.Errorf("another app hash comes out: %s", own.AppHash))
	case own.hash != r.hash:
		return corrupt(block(r.Height), errors.New("other results come out"))
	}
	p.state.Apply(res.Changes)
	p.height = r.Height
	return p.machine.Commit()
}
