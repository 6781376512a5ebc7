package devchain

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
)

func (p *pool) put(t testing.TB, tx kvTx) error {
	t.Helper()
	b := tx.bytes()
	i := machine.TxInfo{Hash: txHash(b), Sender: account(tx.sender), Nonce: tx.nonce, ValidUntil: tx.end}
	return p.add(b, i, p.height, nil)
}

func nonces(txs []*pending) (all []uint64) {
	for _, n := range txs {
		all = append(all, n.info.Nonce)
	}
	return all
}

// TestPoolOrder hands transactions in out of order: they leave in the order of their nonces.
func TestPoolOrder(t *testing.T) {
	p := newPool(Limits{MaxBlockTxs: 3, MaxBlockBytes: 1 << 20, MaxPoolTxs: 100, MaxPoolBytes: 1 << 20, MaxSenderTxs: 10}, 5)
	for _, n := range []uint64{2, 1, 4} {
		if err := p.put(t, kvTx{sender: 1, nonce: n}); err != nil {
			t.Fatal(err)
		}
	}
	if txs := p.take(); txs != nil {
		t.Errorf("%v left before their turn", nonces(txs))
	}
	if err := p.put(t, kvTx{sender: 1}); err != nil {
		t.Fatal(err)
	}
	first := p.take()
	if diff := cmp.Diff([]uint64{0, 1, 2}, nonces(first)); diff != "" {
		t.Error(diff)
	}
	if err := p.put(t, kvTx{sender: 1, nonce: 3}); err != nil { // while the block is made
		t.Fatal(err)
	}
	if err := p.put(t, kvTx{sender: 1, nonce: 1, op: opDelete}); !errors.Is(err, fault.CallerTxNonce) {
		t.Errorf("a nonce that is in the block: %v", err)
	}
	p.giveBack(first)
	p.settle(6, p.take())
	if diff := cmp.Diff([]uint64{3, 4}, nonces(p.take())); diff != "" {
		t.Error(diff)
	}
}

// TestPoolExpiry drops one in the middle of a sender's transactions: those behind it wait, and go when another has its nonce.
func TestPoolExpiry(t *testing.T) {
	p := newPool(Limits{MaxBlockTxs: 1, MaxBlockBytes: 1 << 20, MaxPoolTxs: 100, MaxPoolBytes: 1 << 20, MaxSenderTxs: 10}, 5)
	for n := range uint64(4) {
		tx := kvTx{sender: 1, nonce: n}
		if n == 1 {
			tx.end = 6
		}
		if err := p.put(t, tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.put(t, kvTx{sender: 2, end: 5}); !errors.Is(err, fault.CallerTxExpired) {
		t.Errorf("its last block was made: %v", err)
	}
	p.settle(6, p.take())
	if txs := p.take(); txs != nil {
		t.Errorf("%v left though one before is missing", nonces(txs))
	}
	if err := p.put(t, kvTx{sender: 1, nonce: 1}); err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n < 4; n++ {
		txs := p.take()
		if diff := cmp.Diff([]uint64{n}, nonces(txs)); diff != "" {
			t.Error(diff)
		}
		p.settle(6+n, txs)
	}
	if len(p.known)+len(p.senders)+len(p.ends)+p.bytes+p.lined != 0 {
		t.Errorf("something is left: %+v", p)
	}
}

func TestPoolBounds(t *testing.T) {
	l := Limits{MaxBlockTxs: 1, MaxBlockBytes: 1 << 20, MaxPoolTxs: 40, MaxPoolBytes: 10_000, MaxSenderTxs: 5}
	for what, row := range map[string]struct {
		tx   func(n uint64) kvTx
		want int
	}{
		"number":       {func(n uint64) kvTx { return kvTx{sender: n + 1} }, 40},
		"bytes":        {func(n uint64) kvTx { return kvTx{sender: n + 1, value: make([]byte, 1000-kvHead)} }, 10},
		"of a sender":  {func(n uint64) kvTx { return kvTx{sender: 1, nonce: n} }, 5},
		"behind a gap": {func(n uint64) kvTx { return kvTx{sender: n + 1, nonce: 1} }, 10},
		"far ahead":    {func(n uint64) kvTx { return kvTx{sender: n + 1, nonce: 1000 + n} }, 0},
	} {
		p := newPool(l, 0)
		for n := range uint64(100) {
			if err := p.put(t, row.tx(n)); err != nil && !errors.Is(err, fault.BusyChain) {
				t.Errorf("%s: %v", what, err)
			}
		}
		got := len(p.known) // of those behind a gap any may have made room
		if got != row.want {
			t.Errorf("%s: %d were taken, want %d", what, got, row.want)
		}
	}
}

// TestPoolKeepsItsBooks does at random what a pool is asked for, and compares its counts with what is there.
func TestPoolKeepsItsBooks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := newPool(Limits{MaxBlockTxs: 7, MaxBlockBytes: 500, MaxPoolTxs: 60, MaxPoolBytes: 4000, MaxSenderTxs: 12}, 0)
	next := map[uint64]uint64{}
	for range 50_000 {
		switch r.IntN(10) {
		case 0, 1:
			txs := p.take()
			switch r.IntN(4) {
			case 0:
				p.giveBack(txs)
			case 1:
				half := len(txs) / 2
				for _, n := range txs[:half] {
					next[senderOf(n)] = n.info.Nonce + 1
				}
				p.settle(p.height+1, txs[:half])
				if half > 0 {
					p.dropSender(txs[0].info.Sender)
				}
				p.giveBack(txs[half:])
			default:
				for _, n := range txs {
					if n.info.Nonce != next[senderOf(n)] {
						t.Fatalf("nonce %d, want %d", n.info.Nonce, next[senderOf(n)])
					}
					next[senderOf(n)]++
				}
				p.settle(p.height+1, txs)
			}
		default:
			s := 1 + r.Uint64N(8)
			tx := kvTx{sender: s, nonce: next[s] + r.Uint64N(5), key: fmt.Sprint(r.IntN(3))}
			if r.IntN(3) == 0 {
				tx.end = p.height + r.Uint64N(4)
			}
			b := tx.bytes()
			_ = p.add(b, machine.TxInfo{Hash: txHash(b), Sender: account(s), Nonce: tx.nonce, Next: next[s], ValidUntil: tx.end}, p.height, nil)
		}
		bytes, txs, lined, ends := 0, 0, 0, 0
		for _, s := range p.senders {
			for nonce, n := range s.all {
				if bytes, txs = bytes+len(n.tx), txs+1; n.place != nil {
					lined++
				}
				if n.place != nil && nonce >= s.next || n.place == nil && nonce < s.next {
					t.Fatalf("nonce %d, the next is %d, in the line: %v", nonce, s.next, n.place != nil)
				}
			}
			if len(s.all) == 0 {
				t.Fatal("a sender without transactions")
			}
		}
		for end, of := range p.ends {
			if ends += len(of); end <= p.height {
				t.Fatalf("some may not come after block %d, and this is %d", end, p.height)
			}
		}
		if bytes != p.bytes || txs != len(p.known) || lined != p.lined || ends > txs {
			t.Fatalf("bytes %d %d, transactions %d %d, line %d %d", bytes, p.bytes, txs, len(p.known), lined, p.lined)
		}
	}
}

func senderOf(n *pending) uint64 {
	return uint64(n.info.Sender[0])
}

// TestFullPoolRefuses fills the pool of a chain that makes no blocks for now.
func TestFullPoolRefuses(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	cfg.MaxPoolTxs = 10
	c := openChain(t, cfg)
	c.machine.(*kv).setBroken(fault.New(fault.HostDiskIO, "test", "", nil))
	for n := range uint64(10) {
		submit(t, c, kvTx{sender: n + 1, op: opSet, key: "k"})
	}
	err := c.Submit(t.Context(), kvTx{sender: 11}.bytes())
	if !errors.Is(err, fault.BusyChain) || fault.From(err).RetryAfter == 0 {
		t.Errorf("an eleventh: %v", err)
	}
	submit(t, c, kvTx{sender: 1, op: opSet, key: "k"}) // known
}

// TestDiskTrouble runs out of space, and then the disk fails: nothing that was acknowledged is lost.
func TestDiskTrouble(t *testing.T) {
	var free atomic.Int64
	var broken atomic.Bool
	free.Store(1 << 40)
	cfg := kvConfig(filepath.Join(t.TempDir(), "chain"))
	cfg.FS = db.FS{Free: func(string) (int64, error) { return free.Load(), nil }, Commit: func(_ string, commit func() error) error {
		if broken.Load() {
			return errors.New("input/output error")
		}
		return commit()
	}}
	c := openNow(t, cfg)
	one := kvTx{sender: 1, op: opSet, key: "a", value: []byte("1")}
	submit(t, c, one)
	settled(t, c, chain.Cursor{}, one)
	free.Store(100 << 20)
	two := kvTx{sender: 1, nonce: 1, op: opSet, key: "b", value: []byte("2")}
	submit(t, c, two)
	if err := c.Seal(t.Context()); !errors.Is(err, fault.BusyDisk) && err != nil {
		t.Errorf("without space: %v", err)
	}
	if v := value(t, c, "b"); v != "" || c.Failed() != nil {
		t.Errorf("b is %q, %v", v, c.Failed())
	}
	free.Store(1 << 40)
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled(t, c, chain.Cursor{}, one, two)
	broken.Store(true)
	submit(t, c, kvTx{sender: 1, nonce: 2, op: opSet, key: "c"})
	if err := c.Seal(t.Context()); !errors.Is(err, fault.HostDiskIO) {
		t.Errorf("on a broken disk: %v", err)
	}
	if c.Failed() == nil || value(t, c, "a") != "1" {
		t.Error("the chain has not stopped, or does not answer")
	}
	if err := c.Submit(t.Context(), kvTx{sender: 2}.bytes()); !errors.Is(err, fault.HostDiskIO) {
		t.Errorf("submit: %v", err)
	}
	broken.Store(false)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = openChain(t, cfg)
	if a, b := value(t, c, "a"), value(t, c, "b"); a != "1" || b != "2" {
		t.Errorf("a %q, b %q", a, b)
	}
	if err := c.Verify(t.Context(), true, nil); err != nil {
		t.Error(err)
	}
}

// TestALargeBlockThatBecomesSmall runs out of space in the middle of a large block; the next one of that height is small.
func TestALargeBlockThatBecomesSmall(t *testing.T) {
	var left atomic.Int64
	left.Store(1 << 40)
	cfg := kvConfig(filepath.Join(t.TempDir(), "chain"))
	cfg.FS = db.FS{Free: func(string) (int64, error) {
		if left.Add(-1) < 0 {
			return 0, nil
		}
		return 1 << 40, nil
	}}
	c := openNow(t, cfg)
	left.Store(1) // one write passes
	submit(t, c, kvTx{sender: 1, end: 2, op: opMany, key: "many", value: []byte{0x58, 2}})
	for left.Load() >= 0 {
		_ = c.Seal(t.Context())
	}
	if plan, err := c.store.get(numbered(appliedPrefix, 1, allParts)); err != nil || plan == nil || c.tip.Load().Height != 0 {
		t.Fatalf("it did not break off in the middle: block %d, %v", c.tip.Load().Height, err)
	}
	c.pool.dropSender(account(1))
	left.Store(1 << 40)
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Verify(t.Context(), true, nil), c.Close()); err != nil {
		t.Fatal(err)
	}
	if err := openChain(t, cfg).Verify(t.Context(), true, nil); err != nil {
		t.Error(err)
	}
}
