package fake

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

func submit(t *testing.T, c *Chain, k Key, nonce, until uint64, e Effect) error {
	t.Helper()
	tx, err := c.Sign(e.Call(), chain.Signing{Signer: k, Genesis: c.Genesis(), Nonce: nonce, ValidUntil: until})
	if err != nil {
		t.Fatal(err)
	}
	return c.Submit(context.Background(), tx.Bytes)
}

func TestTransactions(t *testing.T) {
	k := NewKey("a")
	c := New(Config{Name: "t"})
	ok := func(err error, want ...fault.Code) {
		t.Helper()
		if code := fault.CodeOf(err); len(want) == 0 && err != nil || len(want) > 0 && code != want[0] {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	ok(submit(t, c, k, 1, 9, Effect{Key: "second"}))
	c.Mine(1)
	if n := c.Effects(); len(n) > 0 || c.Waiting() != 1 {
		t.Errorf("a nonce was left out: %v", n)
	}
	ok(submit(t, c, k, 0, 9, Effect{Key: "first"}))
	ok(submit(t, c, k, 2, 9, Effect{Key: "third", Fail: "No"}))
	c.Mine(1)
	ok(submit(t, c, k, 1, 9, Effect{Key: "again"}), fault.CallerTxNonce)
	ok(submit(t, c, k, 3, 2, Effect{Key: "late"}), fault.CallerTxExpired)
	ok(c.Submit(context.Background(), []byte("{")), fault.CallerTx)
	if d := cmp.Diff(map[string]int{"first": 1, "second": 1}, c.Effects()); d != "" {
		t.Error(d)
	}
	if a, err := c.Account(context.Background(), k.Public()); err != nil || a.Nonce != 3 {
		t.Errorf("a failed call has no nonce: %v, %v", a, err)
	}
	if _, err := c.Sign(chain.Call{Pallet: "Other"}, chain.Signing{Signer: k}); !errors.Is(err, fault.CallerTxCall) {
		t.Error(err)
	}
}

// TestFollow tells what came, what replaced it, and that it is another chain.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKey("a")
		c := New(Config{Name: "t", Finality: 3, Now: time.Now})
		var heights []uint64
		end := make(chan error, 1)
		go func() {
			end <- c.Follow(context.Background(), chain.Cursor{}, func(b chain.Block) error {
				heights = append(heights, b.Height)
				return nil
			})
		}()
		c.Mine(3)
		synctest.Wait()
		if err := submit(t, c, k, 0, 0, Effect{Key: "k"}); err != nil {
			t.Fatal(err)
		}
		c.Mine(1)
		synctest.Wait()
		c.Fork(2, false)
		synctest.Wait()
		if d := cmp.Diff(map[string]int{"k": 1}, c.Effects()); d != "" {
			t.Error(d)
		}
		c.Fork(9, true) // only what is not final
		synctest.Wait()
		if d := cmp.Diff([]uint64{1, 2, 3, 4, 3, 4, 5, 3, 4, 5, 6}, heights); d != "" {
			t.Error(d)
		}
		if n := c.Effects(); len(n) > 0 {
			t.Errorf("what was undone is there: %v", n)
		}
		c.Restart(false)
		if err := <-end; !errors.Is(err, fault.HostChainOther) {
			t.Error(err)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Name: "t"})
		c.Set(Faults{Hang: true})
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		begin := time.Now()
		if _, err := c.Info(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Hour {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		c.Set(Faults{Down: true})
		if _, err := c.Info(context.Background()); !errors.Is(err, fault.BusyChain) {
			t.Error(err)
		}
		c.Set(Faults{HalfInfo: true})
		if _, err := c.Info(context.Background()); err == nil || errors.Is(err, fault.Busy) {
			t.Error(err)
		}
	})
}
