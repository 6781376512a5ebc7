package devchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// ports are the ways to a chain: in the process, and by each kind of URL.
func ports(t *testing.T, c *Chain) map[string]chain.Port {
	t.Helper()
	s := httptest.NewServer(c.Handler())
	t.Cleanup(s.Close)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	u := &http.Server{Handler: c.Handler()}
	go func() { _ = u.Serve(l) }()
	t.Cleanup(func() { _ = u.Close() })
	all := map[string]chain.Port{"process": c}
	for what, url := range map[string]string{"http": s.URL, "ws": "ws" + strings.TrimPrefix(s.URL, "http"), "unix": "unix://" + socket} {
		d, err := Dial(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		all[what] = d
	}
	return all
}

// TestPort holds each way to a chain to the contract of chain.Port.
func TestPort(t *testing.T) {
	alice := testKey(t, 1)
	c := openChain(t, Config{Dir: t.TempDir(), Genesis: genesisDoc(t, "test", map[string]string{fmt.Sprintf("%x", alice.Public()): "1000000"})})
	var nonce uint64
	for what, p := range ports(t, c) {
		t.Run(what, func(t *testing.T) {
			ctx := t.Context()
			info, err := p.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			signing := chain.Signing{Signer: alice, Genesis: info.Genesis, Nonce: nonce}
			if a, err := p.Account(ctx, alice.Public()); err != nil || a.Nonce != nonce {
				t.Errorf("account %+v, %v", a, err)
			}
			if a, err := p.Account(ctx, [32]byte{9}); err != nil || a != (chain.Account{Free: "0"}) {
				t.Errorf("an account that nobody knows: %+v, %v", a, err)
			}
			if _, err := p.Sign(chain.Call{Pallet: "No", Name: "such"}, signing); !errors.Is(err, fault.CallerTxCall) {
				t.Errorf("sign: %v", err)
			}
			sign := func(s chain.Signing, value uint64) chain.Tx {
				tx, err := p.Sign(transfer([32]byte{7}, value), s)
				if err != nil {
					t.Fatal(err)
				}
				return tx
			}
			good := sign(signing, 10)
			other := signing
			other.Genesis[0]++
			used, ended := signing, signing
			if used.Nonce--; nonce == 0 {
				used.Nonce = 0
			}
			ended.ValidUntil = info.Head.Height
			for what, row := range map[string]struct {
				tx   []byte
				want fault.Code
			}{
				"nothing":            {nil, fault.CallerTx},
				"garbage":            {[]byte("garbage"), fault.CallerTx},
				"too long":           {make([]byte, 1<<17), fault.CallerTx},
				"of another chain":   {sign(other, 10).Bytes, fault.CallerTx},
				"a flipped bit":      {flipped(good.Bytes, len(good.Bytes)-1), fault.CallerTx},
				"truncated":          {good.Bytes[:len(good.Bytes)-1], fault.CallerTx},
				"a nonce that was":   {sign(used, 11).Bytes, fault.CallerTxNonce},
				"its time is behind": {sign(ended, 12).Bytes, fault.CallerTxExpired},
			} {
				if what == "a nonce that was" && nonce == 0 || what == "its time is behind" && ended.ValidUntil == 0 {
					continue
				}
				if err := p.Submit(ctx, row.tx); !errors.Is(err, row.want) {
					t.Errorf("%s: %v, want %s", what, err, row.want)
				}
			}
			for range 2 { // the second time it is known
				if err := p.Submit(ctx, good.Bytes); err != nil {
					t.Fatal(err)
				}
			}
			var got chain.Block
			if err := p.Follow(ctx, info.Head, func(b chain.Block) error {
				got = b
				return errEnough
			}); !errors.Is(err, errEnough) {
				t.Fatal(err)
			}
			if len(got.Txs) != 1 || got.Txs[0].Hash != good.Hash || got.Txs[0].Signer != chain.Hash(alice.Public()) || got.Parent != info.Head.Hash {
				t.Errorf("%+v", got)
			}
			want, err := c.Block(got.Height)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Error(diff, err)
			}
			if err := p.Submit(ctx, good.Bytes); err != nil {
				t.Errorf("submitted again: %v", err)
			}
			nonce++
			var a chain.Account
			if err := p.Query(ctx, "System/account", map[string]string{"account": fmt.Sprintf("%x", alice.Public())}, &a); err != nil || a.Nonce != nonce {
				t.Errorf("query: %+v, %v", a, err)
			}
			if err := p.Query(ctx, "System/nothing", nil, nil); !errors.Is(err, fault.CallerNotFound) {
				t.Errorf("query: %v", err)
			}
			if err := p.Query(ctx, "System/account", map[string]string{"account": "x"}, nil); !errors.Is(err, fault.CallerInvalid) {
				t.Errorf("query: %v", err)
			}

			next := uint64(1)
			if err := p.Follow(ctx, chain.Cursor{}, func(b chain.Block) error {
				if b.Height != next {
					return fmt.Errorf("block %d, want %d", b.Height, next)
				}
				if next++; b.Height == got.Height {
					return errEnough
				}
				return nil
			}); !errors.Is(err, errEnough) {
				t.Error(err)
			}
			if err := p.Follow(ctx, chain.Cursor{Hash: chain.Hash{1}}, nil); !errors.Is(err, fault.HostChainOther) {
				t.Errorf("the cursor of another chain: %v", err)
			}
			leaving, cancel := context.WithCancel(ctx)
			if err := p.Follow(leaving, chain.Cursor{}, func(b chain.Block) error {
				cancel()
				return nil
			}); !errors.Is(err, fault.Canceled) {
				t.Errorf("canceled: %v", err)
			}
		})
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// TestPortOfAChainThatIsGone closes the chain under those who follow.
func TestPortOfAChainThatIsGone(t *testing.T) {
	cfg := kvConfig(t.TempDir())
	c := openNow(t, cfg)
	all := ports(t, c)
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg, there sync.WaitGroup
	there.Add(len(all))
	for what, p := range all {
		wg.Go(func() {
			if err := p.Follow(t.Context(), chain.Cursor{}, func(chain.Block) error { there.Done(); return nil }); !errors.Is(err, fault.BusyChain) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	there.Wait()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for what, p := range all {
		_, err := p.Info(t.Context())
		if !errors.Is(err, fault.BusyChain) {
			t.Errorf("%s: info: %v", what, err)
		}
		if err := p.Follow(t.Context(), chain.Cursor{}, nil); !errors.Is(err, fault.BusyChain) {
			t.Errorf("%s: follow: %v", what, err)
		}
	}
	nobody, err := Dial("unix://" + filepath.Join(t.TempDir(), "nobody"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.Info(t.Context()); !errors.Is(err, fault.BusyChain) {
		t.Errorf("nobody there: %v", err)
	}
	for _, url := range []string{"", "ftp://x", "unix://host/path", "unix://", "http://", "http://user:word@x", ":"} {
		if _, err := Dial(url); !errors.Is(err, fault.CallerChainURL) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
