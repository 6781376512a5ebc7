package host_test

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"

	chains "github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
)

// chainSwitch is a chain that can be another one at any time, or none.
type chainSwitch struct {
	to    atomic.Pointer[chains.Port]
	reads atomic.Uint64
	off   atomic.Pointer[context.CancelFunc] // ends all that is under way
	life  atomic.Pointer[context.Context]
}

func newChainSwitch(p chains.Port) *chainSwitch {
	s := &chainSwitch{}
	s.plug(p)
	return s
}

func (s *chainSwitch) plug(p chains.Port) {
	ctx, cancel := context.WithCancel(context.Background())
	s.life.Store(&ctx)
	s.off.Store(&cancel)
	s.to.Store(&p)
}

// pull ends it: nobody answers from now on.
func (s *chainSwitch) pull() {
	s.to.Store(nil)
	(*s.off.Load())()
}

func (s *chainSwitch) port() (chains.Port, error) {
	if p := s.to.Load(); p != nil {
		return *p, nil
	}
	return nil, fault.New(fault.BusyChain, "call", "switch", nil)
}

func (s *chainSwitch) Info(ctx context.Context) (i chains.Info, err error) {
	p, err := s.port()
	if err != nil {
		return i, err
	}
	return p.Info(ctx)
}

func (s *chainSwitch) Account(ctx context.Context, a [32]byte) (x chains.Account, err error) {
	p, err := s.port()
	if err != nil {
		return x, err
	}
	return p.Account(ctx, a)
}

func (s *chainSwitch) Sign(c chains.Call, x chains.Signing) (tx chains.Tx, err error) {
	p, err := s.port()
	if err != nil {
		return tx, err
	}
	return p.Sign(c, x)
}

func (s *chainSwitch) Submit(ctx context.Context, tx []byte) error {
	p, err := s.port()
	if err != nil {
		return err
	}
	return p.Submit(ctx, tx)
}

func (s *chainSwitch) Follow(ctx context.Context, after chains.Cursor, use func(chains.Block) error) error {
	p, err := s.port()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(*s.life.Load(), cancel)()
	if err = p.Follow(ctx, after, use); s.to.Load() == nil {
		return fault.New(fault.BusyChain, "follow", "switch", nil)
	}
	return err
}

func (s *chainSwitch) Query(ctx context.Context, path string, params, out any) error {
	p, err := s.port()
	if err != nil {
		return err
	}
	s.reads.Add(1)
	return p.Query(ctx, path, params, out)
}

// TestChainAway: the chain is gone for a while, and comes back as it was: the host serves on, and what was used is paid.
func TestChainAway(t *testing.T) {
	r := newChainRig(t, "away", chainBlock, nil)
	plug := newChainSwitch(r.c)
	h := r.host(func(c *host.Config) { c.Chain.Port = plug })
	list := r.list(h)
	m, cid := r.app("c-handler", "away", nil)
	id := r.pay(list, m, cid, "1000000000000", "gas_price", "11")
	address := r.deployed(h, m).Address
	ask(t, h, address, "echo", "before")
	plug.pull()
	r.shut()
	r.until("the loss to be noticed", func() (bool, string) { v := r.view(h); return !v.Chain.Connected, chainText(v.Chain) })
	for n := range 20 {
		want := fmt.Sprint(n)
		if got := ask(t, h, address, "echo", want); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if s := r.view(h); s.Reporter.Waiting == "" || s.Follower.State != "lost" {
		t.Errorf("nobody says that the chain is away: %s", chainText(s))
	}
	r.begin()
	plug.plug(r.c)
	r.until("the chain", func() (bool, string) { v := r.view(h); return v.Chain.Connected && v.Reporter.Following, chainText(v) })
	r.settle(h)
	r.paidExactly(h, m, id, 11)
}

// TestChainReplaced: another chain stands in the place of the one that was known. The host says so, sends nothing to it, and goes on
// with it when its operator says so.
func TestChainReplaced(t *testing.T) {
	one := newChainRig(t, "one", chainBlock, nil)
	other := newChainRig(t, "other", chainBlock, nil)
	plug := newChainSwitch(one.c)
	h := one.host(func(c *host.Config) { c.Chain.Port = plug })
	worker := one.ready(h)
	plug.pull()
	one.until("the loss to be noticed", func() (bool, string) { v := one.view(h); return !v.Chain.Connected, chainText(v.Chain) })
	plug.plug(other.c)
	one.until("a warning", func() (bool, string) {
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := chainText(s.Health)
		return strings.Contains(text, "chain"), text
	})
	if w := other.worker(worker); w.Registered {
		t.Error("the worker registered with a chain that nobody has adopted")
	}
	info, err := other.c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AdoptChain(t.Context(), info.Genesis); err != nil {
		t.Fatal(err)
	}
	other.ready(h)
	list := other.list(h)
	m, cid := other.app("c-handler", "other", nil)
	one.publish(cid, readFile(t, other.source, cid))
	one.publish(m.CodeHash, guest(t, "c-handler"))
	id := other.pay(list, m, cid, "1000000000000", "gas_price", "11")
	address := other.deployed(h, m).Address
	ask(t, h, address, "echo", "hello")
	other.settle(h)
	other.paidExactly(h, m, id, 11)
	one.until("the end of the warning", func() (bool, string) {
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := chainText(s.Health)
		return !strings.Contains(text, "chain"), text
	})
}

// TestTwoHosts: two workers of a list serve one ticket, and both are paid for what they did.
func TestTwoHosts(t *testing.T) {
	r := newChainRig(t, "two", chainBlock, nil)
	hosts := []*host.Host{r.host(nil), r.host(nil)}
	list := r.list(hosts...)
	m, cid := r.app("c-handler", "two", nil)
	id := r.pay(list, m, cid, "1000000000000", "gas_price", "13")
	want := map[chains.Hash]string{}
	for i, h := range hosts {
		address := r.deployed(h, m).Address
		for range 5 * (i + 1) {
			ask(t, h, address, "echo", "hello")
		}
		r.settle(h)
		want[chains.Hash(workerKey(t, h))] = new(big.Int).Mul(big.NewInt(13), new(big.Int).SetUint64(r.metrics(h, m).Gas)).String()
	}
	ticket := r.ticket(id)
	if len(ticket.Workers) != 2 {
		t.Fatalf("the ticket has %+v", ticket)
	}
	for _, w := range ticket.Workers {
		if w.TotalPaid != want[w.Worker] {
			t.Errorf("%s was paid %s, want %s", w.Worker, w.TotalPaid, want[w.Worker])
		}
		if got := r.free(w.Worker); got.String() != w.TotalPaid {
			t.Errorf("%s has %v, want %s", w.Worker, got, w.TotalPaid)
		}
	}
}

// TestKeyOfAChain: the chain knows the worker by its key, which stays.
func TestKeyOfAChain(t *testing.T) {
	r := newChainRig(t, "key", chainBlock, nil)
	h := r.host(nil)
	worker := r.ready(h)
	backup, err := h.BackupKey(t.Context(), []byte("a passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.RotateKey(t.Context()); fault.CodeOf(err) != fault.CallerConflict || fault.From(err).Hint == "" {
		t.Errorf("rotate: %v", err)
	}
	if err := h.RestoreKey(t.Context(), backup, []byte("a passphrase")); fault.CodeOf(err) != fault.CallerConflict {
		t.Errorf("restore: %v", err)
	}
	if now := chains.Hash(workerKey(t, h)); now != worker {
		t.Errorf("the key is %s, it was %s", now, worker)
	}
}
