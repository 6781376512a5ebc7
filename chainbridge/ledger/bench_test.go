package ledger

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// benchTxs is how many transfers a benchmark signs: their keys are senders and receivers.
const benchTxs = 2000

// transfers returns a chain and transfers of as many accounts to as many others.
func transfers(b *testing.B) (*chain, [][]byte) {
	g := Genesis{Name: "bench", Balances: map[pallet.Account]pallet.Balance{}}
	keys := make([]*meter.Key, benchTxs)
	for i := range keys {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], uint64(i))
		keys[i] = meter.KeyFromSeed(seed)
		g.Balances[account(keys[i])] = pallet.Units(1 << 40)
	}
	c := begin(b, g)
	txs := make([][]byte, len(keys))
	for i, k := range keys {
		var to pallet.Account
		binary.LittleEndian.PutUint64(to[:], uint64(i)+1<<32)
		txs[i] = c.transfer(k, 0, to, 7)
	}
	return c, txs
}

// BenchmarkCheckTx is one transaction that nobody has seen, on one processor.
func BenchmarkCheckTx(b *testing.B) {
	c, txs := transfers(b)
	i := 0
	for b.Loop() {
		if i%len(txs) == 0 {
			c.verified = newVerified(MaxVerified)
		}
		if _, err := c.CheckTx(txs[i%len(txs)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkFinalizeTransfers is a block of transfers between accounts that are all different; "new" transactions are verified in it.
func BenchmarkFinalizeTransfers(b *testing.B) {
	for _, known := range []bool{true, false} {
		b.Run(map[bool]string{true: "checked", false: "new"}[known], func(b *testing.B) {
			c, txs := transfers(b)
			for _, tx := range txs {
				if _, err := c.CheckTx(tx); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if !known {
					c.verified = newVerified(MaxVerified)
				}
				res, err := c.FinalizeBlock(machine.Block{Height: 1, Txs: txs})
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range res.Txs {
					if r.Invalid != nil || r.Error != nil {
						b.Fatalf("%+v", r)
					}
				}
			}
			b.ReportMetric(float64(b.N)*benchTxs/b.Elapsed().Seconds(), "tx/s")
		})
	}
}

// BenchmarkMillionAccounts is what a state of 1,000,000 accounts takes in memory, and how long a transfer takes on it.
func BenchmarkMillionAccounts(b *testing.B) {
	const n = 1_000_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	mem := state.NewMemory()
	alice := key(1)
	c := &chain{nil, b, mem}
	var err error
	if c.Ledger, err = New(mem, basic()...); err != nil {
		b.Fatal(err)
	}
	g := Genesis{Name: "million", Balances: map[pallet.Account]pallet.Balance{account(alice): pallet.Units(1 << 40)}}
	for i := range n {
		var who pallet.Account
		binary.LittleEndian.PutUint64(who[:], uint64(i)+1)
		g.Balances[who] = pallet.Units(uint64(i) + 1)
	}
	doc, err := g.Encode()
	if err != nil {
		b.Fatal(err)
	}
	g.Balances = nil
	res, err := c.InitChain(doc)
	if err != nil {
		b.Fatal(err)
	}
	c.commit(res)
	doc, res = nil, nil
	used := heap() - before
	nonce := uint64(0)
	for b.Loop() {
		if r := c.block(c.transfer(alice, nonce, pallet.Account{byte(nonce)}, 1)).Txs[0]; r.Invalid != nil || r.Error != nil {
			b.Fatalf("%+v", r)
		}
		nonce++
	}
	b.ReportMetric(float64(used)/n, "B/account")
	b.ReportMetric(float64(used)/(1<<20), "MiB")
	runtime.KeepAlive(fmt.Sprint(doc, res))
}
