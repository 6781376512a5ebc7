package devchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

func value(t *testing.T, p chain.Port, key string) string {
	t.Helper()
	var v string
	if err := p.Query(t.Context(), "KV/get", map[string]string{"key": key}, &v); err != nil && !errors.Is(err, fault.CallerNotFound) {
		t.Fatal(err)
	}
	return v
}

// TestBlocksAndRestart fills a chain by small and large blocks, and finds all of it again.
func TestBlocksAndRestart(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	txs := []kvTx{
		{sender: 1, op: opSet, key: "a", value: []byte("1")},
		{sender: 1, nonce: 1, op: opFail, key: "why"},
		{sender: 2, op: opMany, key: "many", value: []byte{0xe8, 3}}, // a thousand: more than one write takes
		{sender: 1, nonce: 2, op: opDelete, key: "a"},
		{sender: 1, nonce: 3, op: opSet, key: "b", value: []byte("2")},
		{sender: 3, op: opMany, key: "more", value: []byte{0xe8, 3}},
	}
	for _, tx := range txs { // a block each
		submit(t, c, tx)
		settled(t, c, c.tip.Load().block.Cursor, tx)
	}
	var before []chain.Block
	for h := range uint64(len(txs) + 1) {
		b, err := c.Block(h)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, b)
	}
	if r := before[2].Txs[0]; r.Error == nil || r.Error.Name != "Failed" || r.Error.Detail != "why" {
		t.Errorf("a failed call: %+v", r)
	}
	if plan, err := c.store.get(numbered(appliedPrefix, 3, allParts)); err != nil || plan == nil {
		t.Errorf("the large block was written as a small one: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Info(t.Context()); !errors.Is(err, fault.BusyChain) {
		t.Errorf("info of a closed chain: %v", err)
	}
	if err := c.Submit(t.Context(), txs[0].bytes()); !errors.Is(err, fault.BusyChain) {
		t.Errorf("submit to a closed chain: %v", err)
	}

	cfg.Genesis = nil
	c = openChain(t, cfg)
	for h, want := range before {
		got, err := c.Block(uint64(h))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if a, b, m := value(t, c, "a"), value(t, c, "b"), value(t, c, "many/999"); a != "" || b != "2" || len(m) != 1000 {
		t.Errorf("a %q, b %q, many %q", a, b, m)
	}
	for _, full := range []bool{false, true} {
		var done uint64
		if err := c.Verify(t.Context(), full, func(n, total uint64) { done = n }); err != nil || done != uint64(len(txs)) {
			t.Errorf("verify %v: %v after %d blocks", full, err, done)
		}
	}
	at, err := c.Tx(before[2].Txs[0].Hash)
	if err != nil || at.Height != 2 || at.Result == nil || at.Result.Error == nil {
		t.Errorf("%+v, %v", at, err)
	}
	submit(t, c, txs[0]) // known, so no error
	if n, _ := c.pool.size(); n != 0 {
		t.Errorf("a transaction of old waits again")
	}
}

func TestOtherGenesis(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	if err := openNow(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Genesis = []byte("{}")
	if _, err := Open(t.Context(), cfg); !errors.Is(err, fault.HostChainOther) {
		t.Errorf("another genesis: %v", err)
	}
	if _, err := Open(t.Context(), Config{Dir: t.TempDir(), Machine: newKV}); !errors.Is(err, fault.CallerConfig) {
		t.Errorf("neither chain nor genesis: %v", err)
	}
}

func openNow(t testing.TB, cfg Config) *Chain {
	t.Helper()
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSecondHostIsRefused(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	openChain(t, cfg)
	if _, err := Open(t.Context(), cfg); !errors.Is(err, fault.HostDataDirLocked) {
		t.Errorf("second open: %v", err)
	}
}

// TestClockOff sets the clock back and forth by ten minutes: the time of the chain never goes back, nor does a restart begin again.
func TestClockOff(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000).UTC()
	cfg := kvConfig(t.TempDir())
	cfg.Now = func() time.Time { return at }
	c := openNow(t, cfg)
	var got []int64
	for n, step := range []time.Duration{0, -10 * time.Minute, -10 * time.Minute, 20 * time.Minute, 10 * time.Minute, -10 * time.Minute} {
		at = at.Add(step)
		if n == 2 {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = openNow(t, cfg)
		}
		if err := c.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		got = append(got, c.tip.Load().block.Time.UnixMilli()-1_800_000_000_000)
	}
	if diff := cmp.Diff([]int64{0, 1, 2, 3, 600_000, 600_001}, got); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(c.Verify(t.Context(), true, nil), c.Close()); err != nil {
		t.Error(err)
	}
	at = time.Unix(-5, 0) // before all time
	c = openChain(t, kvConfig(t.TempDir()))
	c.cfg.Now = cfg.Now
	if err := c.Seal(t.Context()); err != nil || c.tip.Load().Time != 1 {
		t.Errorf("%v, at %d", err, c.tip.Load().Time)
	}
}

// TestBlockTime makes empty blocks, as long as there is a time between them.
func TestBlockTime(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	cfg.BlockTime = time.Millisecond
	c := openChain(t, cfg)
	n := 0
	err := c.Follow(t.Context(), chain.Cursor{}, func(b chain.Block) error {
		if n++; b.Height != uint64(n) || len(b.Txs) != 0 || b.Finalized != b.Height {
			return fmt.Errorf("%+v", b)
		}
		if n == 20 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// TestBadTransactionsDoNotStopTheChain lets transactions through that are invalid in a block, or stop the machine.
func TestBadTransactionsDoNotStopTheChain(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	c := openChain(t, cfg)
	m := c.machine.(*kv)
	m.setBroken(fault.New(fault.HostDiskIO, "test", "", nil)) // so that all of them come into one block
	good := []kvTx{{sender: 1, op: opSet, key: "1"}, {sender: 4, op: opSet, key: "4"}, {sender: 5, op: opSet, key: "5"}, {op: opSet, key: "0"}}
	submit(t, c, good[0], kvTx{sender: 2, op: opPanic, key: "boom"}, kvTx{sender: 2, nonce: 1, op: opSet, key: "lost"},
		kvTx{sender: 3, op: opInvalid}, kvTx{sender: 3, nonce: 1, op: opSet, key: "lost"}, good[1], good[2], good[3])
	if err := c.Seal(t.Context()); !errors.Is(err, fault.HostDiskIO) {
		t.Fatal(err)
	}
	if n, _ := c.pool.size(); n < 6 {
		t.Fatalf("%d transactions wait", n)
	}
	m.setBroken(nil)
	// An empty block would not have been made either, so nothing was left out but what went through the halves alone.
	submit(t, c, good...)
	for _, tx := range []kvTx{{sender: 2, op: opPanic, key: "boom"}, {sender: 3, op: opInvalid}} {
		_ = c.Submit(t.Context(), tx.bytes())
	}
	from := chain.Cursor{}
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled(t, c, from, good...)
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := c.pool.size(); n != 0 {
		t.Errorf("%d transactions wait", n)
	}
	if v := value(t, c, "lost"); v != "" {
		t.Error("a transaction behind a bad one came through")
	}
	if err := c.Verify(t.Context(), true, nil); err != nil {
		t.Error(err)
	}
}

func (m *kv) setBroken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

// TestQueriesNeverSeeHalfABlock asks for a sum over the whole state while small and large blocks are made.
func TestQueriesNeverSeeHalfABlock(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	cfg.CacheBytes = 4 << 10 // so that nearly all is read from the database
	c := openChain(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	wrong := make(chan error, 2)
	for range 2 {
		go func() {
			for ctx.Err() == nil {
				var fits bool
				if err := c.Query(ctx, "KV/sum", nil, &fits); err != nil || !fits {
					wrong <- fmt.Errorf("fits: %v, %w", fits, err)
					return
				}
			}
			wrong <- nil
		}()
	}
	var txs []kvTx
	for n := range uint64(60) {
		tx := kvTx{sender: 1, nonce: n, op: opSet, key: fmt.Sprint(n % 7), value: fmt.Append(nil, n)}
		if n%15 == 14 {
			tx.op, tx.value = opMany, []byte{0x58, 2} // 600
		}
		txs = append(txs, tx)
		submit(t, c, tx)
	}
	settled(t, c, chain.Cursor{}, txs...)
	cancel()
	for range 2 {
		if err := <-wrong; err != nil {
			t.Error(err)
		}
	}
}

// TestTheSourceMergesWhatIsBeingWritten scans while the database has new values already.
func TestTheSourceMergesWhatIsBeingWritten(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	s := c.source
	var changes []state.Change
	for n := range 600 {
		changes = append(changes, state.Change{Key: fmt.Appendf(nil, "v/%04d", n), New: []byte("old")})
	}
	for _, b := range batches(ops(changes)) {
		if err := c.dir.State.Write(t.Context(), b...); err != nil {
			t.Fatal(err)
		}
	}
	next := []state.Change{{Key: []byte("v/0000"), Old: []byte("old")}, {Key: []byte("v/0300"), Old: []byte("old"), New: []byte("new")},
		{Key: []byte("v/0599"), Old: []byte("old")}, {Key: []byte("v/0300x"), New: []byte("new")}, {Key: []byte("v/9"), New: []byte("new")}}
	look := func(after string, want int, first string) {
		t.Helper()
		var from []byte
		if after != "" {
			from = []byte(after)
		}
		n, last := 0, after
		if err := s.Scan([]byte("v/"), from, func(k, v []byte) bool {
			if n == 0 && string(k) != first || string(k) <= last || string(v) != "old" {
				t.Errorf("key %s has %s", k, v)
			}
			n, last = n+1, string(k)
			return true
		}); err != nil || n != want {
			t.Errorf("%d keys behind %q, want %d: %v", n, after, want, err)
		}
	}
	look("", 600, "v/0000")
	s.begin(next)
	look("", 600, "v/0000")
	if err := c.dir.State.Write(t.Context(), ops(next)...); err != nil {
		t.Fatal(err)
	}
	look("", 600, "v/0000")
	look("v/0299", 300, "v/0300")
	look("v/0598", 1, "v/0599")
	for _, k := range next {
		if v, err := s.Get(k.Key); err != nil || string(v) != string(k.Old) {
			t.Errorf("%s is %s: %v", k.Key, v, err)
		}
	}
	s.view.Lock()
	s.end(next)
	s.view.Unlock()
	for _, k := range next {
		if v, err := s.Get(k.Key); err != nil || string(v) != string(k.New) {
			t.Errorf("%s is %s: %v", k.Key, v, err)
		}
	}
	n := 0
	if err := s.Scan([]byte("v/"), nil, func([]byte, []byte) bool { n++; return true }); err != nil || n != 600 {
		t.Errorf("%d keys, %v", n, err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	v := newValues(10 * (keptBytes + 10))
	for n := range 100 {
		v.put(fmt.Sprintf("%05d", n), []byte("12345"))
		v.put("keep!", []byte("12345"))
	}
	if len(v.at) != 10 || v.bytes > v.max {
		t.Errorf("%d values of %d bytes", len(v.at), v.bytes)
	}
	if _, ok := v.get([]byte("00050")); ok {
		t.Error("an old value is kept")
	}
	if _, ok := v.get([]byte("00099")); !ok {
		t.Error("a new value is not kept")
	}
	v.put("00099", nil)
	if b, ok := v.get([]byte("00099")); !ok || b != nil {
		t.Error("a key without a value is not known")
	}
	v.put("huge", make([]byte, 1<<20))
	if len(v.at) != 0 || v.bytes != 0 {
		t.Errorf("%d values of %d bytes after a huge one", len(v.at), v.bytes)
	}
}

// TestManyBlocksRestartFast opens a chain of ten thousand blocks: as soon as one of a few.
func TestManyBlocksRestartFast(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	c := openNow(t, cfg)
	for range 10_000 {
		if err := c.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c = openChain(t, cfg)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Log(took)
	}
	if h := c.tip.Load().Height; h != 10_000 {
		t.Errorf("head %d", h)
	}
}

// TestCursors follows from places on the chain and from places that are not.
func TestCursors(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	for range 5 {
		if err := c.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	at := func(h uint64) chain.Cursor {
		b, err := c.Block(h)
		if err != nil {
			t.Fatal(err)
		}
		return b.Cursor
	}
	for what, row := range map[string]struct {
		after chain.Cursor
		first uint64
		code  fault.Code
	}{
		"the beginning":        {chain.Cursor{}, 1, ""},
		"block 0":              {at(0), 1, ""},
		"block 3":              {at(3), 4, ""},
		"a fork that is gone":  {chain.Cursor{Height: 3, Hash: chain.Hash{1}}, 1, ""},
		"above the head":       {chain.Cursor{Height: 9, Hash: chain.Hash{1}}, 1, ""},
		"another chain's root": {chain.Cursor{Hash: chain.Hash{1}}, 0, fault.HostChainOther},
	} {
		err := c.Follow(t.Context(), row.after, func(b chain.Block) error {
			if b.Height != row.first {
				t.Errorf("%s: began with %d", what, b.Height)
			}
			return errEnough
		})
		if row.code == "" && !errors.Is(err, errEnough) || row.code != "" && !errors.Is(err, row.code) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Follow(ctx, at(5), nil); !errors.Is(err, fault.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestLedgerIsTheMachine runs transfers on the ledger, and a restart.
func TestLedgerIsTheMachine(t *testing.T) {
	alice, bob := testKey(t, 1), testKey(t, 2)
	cfg := Config{Dir: filepath.Join(t.TempDir(), "chain"), Genesis: genesisDoc(t, "test", map[string]string{fmt.Sprintf("%x", alice.Public()): "1000"})}
	c := openNow(t, cfg)
	info, err := c.Info(t.Context())
	if err != nil || info.Name != "test" || info.Genesis.IsZero() || !info.Time.Equal(time.UnixMilli(1_700_000_000_000)) {
		t.Fatalf("%+v, %v", info, err)
	}
	tx, err := c.Sign(transfer(bob.Public(), 300), chain.Signing{Signer: alice, Genesis: info.Genesis})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Submit(t.Context(), tx.Bytes); err != nil {
		t.Fatal(err)
	}
	if err := c.Follow(t.Context(), chain.Cursor{}, func(b chain.Block) error {
		if len(b.Txs) != 1 || b.Txs[0].Hash != tx.Hash || b.Txs[0].Error != nil || len(b.Events) == 0 || !json.Valid(b.Events[0].Fields) {
			return fmt.Errorf("%+v", b)
		}
		return errEnough
	}); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	for range 2 {
		a, err1 := c.Account(t.Context(), alice.Public())
		b, err2 := c.Account(t.Context(), bob.Public())
		if diff := cmp.Diff([]any{chain.Account{Nonce: 1, Free: "700"}, chain.Account{Free: "300"}, nil, nil}, []any{a, b, err1, err2}); diff != "" {
			t.Error(diff)
		}
		if err := errors.Join(c.Verify(t.Context(), false, nil), c.Verify(t.Context(), true, nil), c.Close()); err != nil {
			t.Error(err)
		}
		c = openNow(t, cfg)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	cfg.Genesis = genesisDoc(t, "test", nil)
	if _, err := Open(t.Context(), cfg); !errors.Is(err, fault.HostChainOther) {
		t.Errorf("another genesis: %v", err)
	}
}
