package devchain

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

func testKey(t testing.TB, n uint64) *meter.Key {
	t.Helper()
	var seed [meter.SeedBytes]byte
	binary.LittleEndian.PutUint64(seed[:], n+1)
	return meter.KeyFromSeed(seed)
}

func genesisDoc(t testing.TB, name string, balances map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"name": name, "time_ms": 1_700_000_000_000, "balances": balances})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func transfer(to [32]byte, value uint64) chain.Call {
	return chain.Call{Pallet: "Balances", Name: "transfer_allow_death", Args: json.RawMessage(fmt.Sprintf(`{"dest":"%x","value":"%d"}`, to, value))}
}

// kvConfig is a chain of the machine of keys and values.
func kvConfig(dir string) Config {
	return Config{Dir: dir, Machine: newKV, HashState: hashKV, Genesis: []byte(`{"name":"kv"}`), Log: zerolog.Nop()}
}

func openChain(t testing.TB, cfg Config) *Chain {
	t.Helper()
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func submit(t testing.TB, c *Chain, txs ...kvTx) {
	t.Helper()
	for _, tx := range txs {
		if err := c.Submit(t.Context(), tx.bytes()); err != nil {
			t.Fatal(err)
		}
	}
}

var errEnough = errors.New("enough")

// settled waits until transactions are in blocks.
func settled(t testing.TB, p chain.Port, after chain.Cursor, txs ...kvTx) (blocks []chain.Block) {
	t.Helper()
	left := map[chain.Hash]bool{}
	for _, tx := range txs {
		left[chain.Hash(txHash(tx.bytes()))] = true
	}
	err := p.Follow(t.Context(), after, func(b chain.Block) error {
		blocks = append(blocks, b)
		for _, r := range b.Txs {
			delete(left, r.Hash)
		}
		if len(left) == 0 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return blocks
}

func ops(changes []state.Change) (out []db.Op) {
	for _, c := range changes {
		out = append(out, db.Op{Key: stateKey(c.Key), Value: c.New, Delete: c.New == nil})
	}
	return out
}
