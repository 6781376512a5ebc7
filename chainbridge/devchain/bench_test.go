package devchain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// BenchmarkUnsignedKV submits transactions of a key and a value without signatures, and waits until they are in durable blocks.
func BenchmarkUnsignedKV(b *testing.B) {
	c, err := Open(b.Context(), Config{Dir: b.TempDir(), Machine: newKV, Genesis: []byte("{}"), Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	run(b, c, func(n uint64) []byte {
		return kvTx{op: opSet, key: fmt.Sprintf("key%08d", n), value: fmt.Appendf(nil, "value%08d", n)}.bytes()
	})
}

// speed is how fast transactions came into durable blocks.
type speed struct {
	rate, perBlock float64       // transactions in a second, and in a block
	block, longest time.Duration // from one block to the next
}

// run has b.N transactions measured.
func run(b *testing.B, c *Chain, tx func(n uint64) []byte) {
	b.ResetTimer()
	s := submitAll(b, c, b.N, tx)
	b.StopTimer()
	b.ReportMetric(s.rate, "tx/s")
	b.ReportMetric(s.block.Seconds()*1000, "ms/block")
	b.ReportMetric(s.perBlock, "tx/block")
	b.ReportMetric(float64(s.longest.Milliseconds()), "longest-ms")
}

// submitAll submits transactions by several goroutines and waits for all of them in blocks.
func submitAll(t testing.TB, c *Chain, num int, tx func(n uint64) []byte) (s speed) {
	var next atomic.Uint64
	var wg sync.WaitGroup
	seen, begin, last := 0, time.Now(), time.Time{}
	from := c.tip.Load()
	for range 4 {
		wg.Go(func() {
			for n := next.Add(1); n <= uint64(num); n = next.Add(1) {
				for {
					err := c.Submit(t.Context(), tx(n))
					if err == nil {
						break
					}
					if fault.CodeOf(err) != fault.BusyChain {
						t.Error(err)
						return
					}
					<-c.tip.Load().next
				}
			}
		})
	}
	err := c.Follow(t.Context(), from.block.Cursor, func(bl chain.Block) error {
		now := time.Now()
		if !last.IsZero() {
			s.longest = max(s.longest, now.Sub(last))
		}
		last = now
		if seen += len(bl.Txs); seen >= num {
			return errEnough
		}
		return nil
	})
	took := time.Since(begin)
	wg.Wait()
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	blocks := c.tip.Load().Height - from.Height
	s.rate, s.perBlock, s.block = float64(num)/took.Seconds(), float64(num)/float64(blocks), took/time.Duration(blocks)
	return s
}

// BenchmarkSignedTransfers submits transfers that were signed before, of a thousand accounts, and waits until they are in durable
// blocks. Each signature is verified once, as it comes.
func BenchmarkSignedTransfers(b *testing.B) {
	c, keys := richChain(b, b.TempDir())
	defer c.Close()
	txs := signedTransfers(b, c, keys, 0, b.N)
	run(b, c, func(n uint64) []byte { return txs[n-1] })
}

// richChain opens a chain with a thousand accounts that can pay.
func richChain(t testing.TB, dir string) (*Chain, []*meter.Key) {
	t.Helper()
	keys := make([]*meter.Key, 1000)
	balances := map[string]string{}
	for n := range keys {
		keys[n] = testKey(t, uint64(n))
		balances[fmt.Sprintf("%x", keys[n].Public())] = "1000000000000"
	}
	c, err := Open(context.Background(), Config{Dir: dir, Genesis: genesisDoc(t, "bench", balances), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return c, keys
}

// signedTransfers signs num transfers, of all accounts in turn, which have sent as many each as are sent before.
func signedTransfers(t testing.TB, c *Chain, keys []*meter.Key, before uint64, num int) [][]byte {
	t.Helper()
	txs := make([][]byte, num)
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for n := part; n < num; n += 4 {
				to := keys[(n+1)%len(keys)].Public()
				s := chain.Signing{Signer: keys[n%len(keys)], Genesis: chain.Hash(c.genesis), Nonce: before + uint64(n/len(keys))}
				tx, err := c.Sign(transfer(to, 1), s)
				if err != nil {
					t.Error(err)
				}
				txs[n] = tx.Bytes
			}
		})
	}
	wg.Wait()
	return txs
}

// BenchmarkReplay executes a chain of transfers again, from its genesis.
func BenchmarkReplay(b *testing.B) {
	for what, signed := range map[string]bool{"kv": false, "transfers": true} {
		b.Run(what, func(b *testing.B) {
			const num = 20_000
			cfg := Config{Dir: b.TempDir(), Machine: newKV, Genesis: []byte("{}"), Log: zerolog.Nop()}
			key := testKey(b, 1)
			if signed {
				cfg.Machine, cfg.Genesis = nil, genesisDoc(b, "bench", map[string]string{fmt.Sprintf("%x", key.Public()): "1000000000000"})
			}
			c, err := Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for n := range uint64(num) {
				tx := kvTx{op: opSet, key: fmt.Sprint(n), value: []byte("value")}.bytes()
				if signed {
					t, err := c.Sign(transfer([32]byte{1}, 1), chain.Signing{Signer: key, Genesis: chain.Hash(c.genesis), Nonce: n})
					if err != nil {
						b.Fatal(err)
					}
					tx = t.Bytes
				}
				for err = c.Submit(b.Context(), tx); fault.CodeOf(err) == fault.BusyChain; err = c.Submit(b.Context(), tx) {
					<-c.tip.Load().next
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			for txs, _ := c.pool.size(); txs > 0; txs, _ = c.pool.size() {
				<-c.tip.Load().next
			}
			b.ResetTimer()
			for b.Loop() {
				if err := c.Verify(b.Context(), true, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*num/b.Elapsed().Seconds(), "tx/s")
		})
	}
}
