package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge"
)

// TestOnTheEmbeddedChain sends transfers to the chain that a host brings along, restarts in between, and counts what arrives.
func TestOnTheEmbeddedChain(t *testing.T) {
	for _, blockTime := range []time.Duration{0, 50 * time.Millisecond} {
		ctx, dir := context.Background(), t.TempDir()
		key := meter.KeyFromSeed([meter.SeedBytes]byte{1})
		c, err := chainbridge.Open(ctx, chainbridge.Config{Dir: filepath.Join(dir, "chain"), Root: key.Public(), BlockTime: blockTime, Log: zerolog.Nop()})
		must(t, err)
		d := openDir(t, filepath.Join(dir, "data"))
		const calls = 60
		to := chain.Hash{7}
		for part := range 2 {
			sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
			must(t, err)
			ref, err := chain.Spawn(sys, chain.Config{Port: c, Store: newStore(t, d), Signers: []chain.Signer{key}})
			must(t, err)
			for n := range calls {
				args, _ := json.Marshal(map[string]any{"dest": to, "value": "5"})
				if n == 10 {
					args = []byte(`{"dest":"` + to.String() + `","value":"99999999999999999999999999999999999"}`)
				}
				_, err := kernel.Ask(ctx, ref, func(r kernel.Reply[inspect.Outgoing]) chain.Message {
					return chain.Send{Key: fmt.Sprint("pay/", n), Call: chain.Call{Pallet: "Balances", Name: "transfer_keep_alive", Args: args}, Reply: r}
				})
				must(t, err)
			}
			for n := range calls {
				if part == 0 && n == calls/2 {
					break // the host stops in between
				}
				o, err := kernel.Ask(ctx, ref, func(r kernel.Reply[chain.Outcome]) chain.Message {
					return chain.Wait{Key: fmt.Sprint("pay/", n), Reply: r}
				})
				must(t, err)
				if code := fault.CodeOf(o.Err()); n == 10 && code != fault.CallerTxFailed || n != 10 && (code != "" || len(o.Events) == 0) {
					t.Errorf("%d: %v, %v", n, o.Err(), o.Events)
				}
			}
			must(t, sys.Stop(ctx))
		}
		if a, err := c.Account(ctx, to); err != nil || a.Free != fmt.Sprint(5*(calls-1)) {
			t.Errorf("%v arrived, %v", a.Free, err)
		}
		if a, err := c.Account(ctx, key.Public()); err != nil || a.Nonce != calls {
			t.Errorf("the nonce is %d, %v", a.Nonce, err)
		}
		must(t, c.Close())
		must(t, d.Close())
	}
}
