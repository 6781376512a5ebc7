package devchain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
)

// retryPause is how long the sequencer waits after a block could not be made.
const retryPause = time.Second

// run is the sequencer: it alone makes blocks.
func (c *Chain) run() {
	var tick <-chan time.Time
	ready := (<-chan struct{})(c.pool.ready)
	if c.cfg.BlockTime > 0 {
		t := time.NewTicker(c.cfg.BlockTime)
		defer t.Stop()
		tick, ready = t.C, nil
	}
	var again <-chan time.Time
	for {
		var asked chan error
		select {
		case <-c.ctx.Done():
			return
		case <-tick:
		case <-ready:
			if again != nil {
				continue // it was no use a moment ago
			}
		case <-again:
		case asked = <-c.demand:
		}
		again = nil
		txs := c.pool.take()
		if len(txs) == 0 && asked == nil && c.cfg.BlockTime == 0 {
			continue
		}
		err := c.next(txs)
		if err != nil {
			c.cfg.Log.Warn().Err(err).Uint64("height", c.tip.Load().Height+1).Msg("a block could not be made")
			if tick == nil {
				again = time.After(retryPause)
			}
		}
		if asked != nil {
			asked <- err
		}
	}
}

// Seal makes a block now, of what waits.
//
// # Errors
//
// busy.chain when the chain has been closed; why the block could not be made.
func (c *Chain) Seal(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case c.demand <- done:
		return <-done
	case <-c.ctx.Done():
		return gone()
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
}

// next makes a block of transactions that were taken from the pool. If it cannot, they are back in the pool, but for those that are
// at fault.
func (c *Chain) next(txs []*pending) error {
	if f := c.failed.Load(); f != nil {
		c.pool.giveBack(txs)
		return f
	}
	parent := c.tip.Load()
	h := Header{Height: parent.Height + 1, Parent: parent.hash}
	// Clocks go back; the time of a chain does not.
	h.Time = max(uint64(max(c.cfg.Now().UnixMilli(), 0)), parent.Time+1)
	use, rest := txs, []*pending(nil)
	var wrong []*pending
	var res *machine.Result
	for {
		var err error
		res, err = c.execute(h, use)
		if err != nil {
			// What stops the machine is looked for by halves, and left out; an empty block shows whether it is the machine.
			switch len(use) {
			case 0:
				c.pool.giveBack(append(wrong, rest...))
				return err
			case 1:
				c.cfg.Log.Error().Err(err).Stringer("tx", use[0].info.Hash).Msg("a transaction stops the machine and is left out")
				wrong, use = append(wrong, use[0]), nil
			default:
				half := len(use) / 2
				rest = append(append([]*pending(nil), use[half:]...), rest...)
				use = use[:half:half]
			}
			continue
		}
		kept := use[:0:0]
		for n, t := range res.Txs {
			if t.Invalid == nil {
				kept = append(kept, use[n])
			} else {
				wrong = append(wrong, use[n])
			}
		}
		if len(kept) == len(use) {
			break
		}
		use = kept // and again: a block has no transactions that do nothing
	}
	bytes := make([][]byte, len(use))
	for n, t := range use {
		bytes[n] = t.tx
	}
	r, err := newRecord(h, bytes, res)
	c.source.writing.Lock()
	defer c.source.writing.Unlock()
	if err == nil {
		c.source.begin(res.Changes)
		err = c.store.commit(context.WithoutCancel(c.ctx), r, res.Changes)
	}
	if err != nil {
		if !errors.Is(err, fault.BusyDisk) && !errors.Is(err, fault.HostDiskFull) || c.dir.State.Failed() != nil {
			return c.fail(err)
		}
		if h, e := c.store.head(); e != nil || h == nil || h.Hash != parent.hash {
			return c.fail(err)
		}
		c.source.giveUp()
		c.pool.giveBack(append(append(use, wrong...), rest...))
		return err
	}
	if err := c.publish(r, res); err != nil {
		return c.fail(err)
	}
	c.pool.settle(h.Height, append(use, wrong...))
	for _, n := range wrong {
		c.pool.dropSender(n.info.Sender)
	}
	if len(rest) > 0 {
		c.pool.giveBack(rest)
	}
	return nil
}

// execute runs a block. A panic of the machine is its failure.
func (c *Chain) execute(h Header, txs []*pending) (res *machine.Result, err error) {
	b := machine.Block{Height: h.Height, Time: h.Time, Txs: make([][]byte, len(txs))}
	for n, t := range txs {
		b.Txs[n] = t.tx
	}
	return finalize(c.machine, b)
}

func finalize(m machine.Machine, b machine.Block) (res *machine.Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			res, err = nil, fault.New(fault.BugPanic, "block", block(b.Height), fmt.Errorf("%v", r))
		}
	}()
	if res, err = m.FinalizeBlock(b); err != nil {
		return nil, err
	}
	if len(res.Txs) != len(b.Txs) {
		return nil, fault.New(fault.BugProtocol, "block", block(b.Height), fmt.Errorf("%d results for %d transactions", len(res.Txs), len(b.Txs)))
	}
	return res, nil
}

// publish makes a block that is durable the newest one.
func (c *Chain) publish(r *record, res *machine.Result) error {
	c.source.view.Lock()
	defer c.source.view.Unlock()
	c.source.end(res.Changes)
	if err := c.machine.Commit(); err != nil {
		return err
	}
	c.recent.add(r)
	last := c.tip.Swap(&tip{r, make(chan struct{})})
	close(last.next)
	return nil
}

// fail ends the making of blocks: nobody knows what of the last one is on disk. A new start finds out.
func (c *Chain) fail(err error) error {
	f := fault.From(err).WithHint("no more blocks are made; check the disk, then restart")
	c.failed.Store(f)
	c.pool.stop(f)
	c.cfg.Log.Error().Err(err).Msg("the chain has stopped")
	return f
}
