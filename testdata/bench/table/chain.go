//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	chains "github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/devchain"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// chain is the embedded chain on the disk: transfers of a thousand accounts, each signed before with sr25519 and verified as it comes,
// until they are in durable blocks; then all of it again, from the genesis.
func (r *rig) chain() (rows []report.Row) {
	const signed, perBlock, again = "chain, signed transfers in durable blocks", "chain, a block of them", "chain, transfers executed again by a full verification"
	num := 24_000
	if r.least {
		num = 2000
	}
	c, txs, err := r.transfers(num)
	if err != nil {
		return []report.Row{report.Failed(signed, err)}
	}
	defer c.Close()
	took, blocks, err := r.include(c, txs)
	if err != nil {
		return []report.Row{report.Failed(signed, err)}
	}
	block := report.AtMost(perBlock, 0, float64(took.Microseconds())/float64(blocks), report.Micros)
	block.Goal, block.Met = "", ""
	block.Measured += fmt.Sprintf(", %d transfers in each", num/blocks)
	rows = append(rows, report.AtLeast(signed, 8000, float64(num)/took.Seconds(), report.Rate), block)
	begin := time.Now()
	if err := c.Verify(r.ctx, true, nil); err != nil {
		return append(rows, report.Failed(again, err))
	}
	return append(rows, report.Row{What: again, Measured: report.Rate(float64(num) / time.Since(begin).Seconds())})
}

// transfers opens a chain and signs transfers between its accounts.
func (r *rig) transfers(num int) (c *devchain.Chain, txs [][]byte, err error) {
	keys, balances := make([]*meter.Key, 1000), map[string]string{}
	for n := range keys {
		var seed [meter.SeedBytes]byte
		binary.LittleEndian.PutUint64(seed[:], uint64(n)+1)
		keys[n] = meter.KeyFromSeed(seed)
		balances[fmt.Sprintf("%x", keys[n].Public())] = "1000000000000"
	}
	genesis, err := json.Marshal(map[string]any{"name": "bench", "time_ms": 1_700_000_000_000, "balances": balances})
	if err != nil {
		return nil, nil, err
	}
	r.serial++
	dir := filepath.Join(r.dir, fmt.Sprint("chain-", r.serial))
	if c, err = devchain.Open(r.ctx, devchain.Config{Dir: dir, Genesis: genesis, Log: zerolog.Nop()}); err != nil {
		return nil, nil, err
	}
	info, err := c.Info(r.ctx)
	txs = make([][]byte, num)
	for n := 0; n < num && err == nil; n++ {
		var tx chains.Tx
		call := chains.Call{Pallet: "Balances", Name: "transfer_allow_death", Args: fmt.Appendf(nil, `{"dest":"%x","value":"1"}`, keys[(n+1)%len(keys)].Public())}
		tx, err = c.Sign(call, chains.Signing{Signer: keys[n%len(keys)], Genesis: info.Genesis, Nonce: uint64(n / len(keys))})
		txs[n] = tx.Bytes
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, txs, nil
}

// include submits transactions from four goroutines, and follows the chain until all are there.
func (r *rig) include(c *devchain.Chain, txs [][]byte) (took time.Duration, blocks int, err error) {
	info, err := c.Info(r.ctx)
	if err != nil {
		return 0, 0, err
	}
	ctx, stop := context.WithCancelCause(r.ctx)
	defer stop(nil)
	all := errors.New("all are there")
	var next atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for range 4 {
		group.Go(func() {
			for n := next.Add(1); int(n) <= len(txs); n = next.Add(1) {
				err := c.Submit(ctx, txs[n-1])
				for ; fault.CodeOf(err) == fault.BusyChain && ctx.Err() == nil; err = c.Submit(ctx, txs[n-1]) {
					<-time.After(time.Millisecond)
				}
				if err != nil {
					stop(err)
					return
				}
			}
		})
	}
	seen := 0
	err = c.Follow(ctx, info.Head, func(b chains.Block) error {
		blocks++
		if seen += len(b.Txs); seen >= len(txs) {
			return all
		}
		return nil
	})
	took = time.Since(begin)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	stop(nil)
	group.Wait()
	if errors.Is(err, all) {
		err = nil
	}
	return took, blocks, err
}
