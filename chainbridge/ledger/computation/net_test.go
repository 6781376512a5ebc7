package computation

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// net is a chain of these pallets only: blocks of 12 seconds, each committed.
type net struct {
	testing.TB
	*pallet.Context
	committed *state.Memory
	last      []pallet.Event // of the block before
}

// Accounts of the tests. The first byte tells whose.
func account(kind, n byte) pallet.Account { return pallet.Account{kind, n} }

func workerKey(n byte) pallet.Account { return account('w', n) }

var (
	alice = account('a', 1)
	bob   = account('b', 1)
	all   = pallets()
)

func pallets() map[string]pallet.Pallet {
	m := map[string]pallet.Pallet{}
	for _, p := range append(Pallets(), registry.Pallet()) {
		m[p.Name] = p
	}
	return m
}

// money returns tokens in units.
func money(n uint64) pallet.Balance { return pallet.Units(n).Times(pallet.Units(UnitsPerToken)) }

func num(s string) fixed.U64F64 { return literal(s) }

func newNet(t testing.TB, config string) *net {
	t.Helper()
	n := &net{TB: t, committed: state.NewMemory()}
	n.Context = &pallet.Context{Genesis: pallet.Hash{7}}
	n.open()
	if err := registry.Pallet().Genesis(n.Context, nil); err != nil {
		t.Fatal(err)
	}
	if err := genesis(n.Context, json.RawMessage(config)); err != nil {
		t.Fatal(err)
	}
	for _, who := range []pallet.Account{alice, bob} {
		if err := accounts.Mint(n.Context, who, money(1_000_000)); err != nil {
			t.Fatal(err)
		}
	}
	n.close()
	return n
}

func (n *net) open() {
	n.Store, n.Events, n.Origin = state.NewStore(n.committed), new([]pallet.Event), pallet.Origin{}
}

func (n *net) close() {
	n.Helper()
	if err := n.Store.Err(); err != nil {
		n.Fatal(err)
	}
	n.committed.Apply(n.Changes())
	n.last = *n.Events
	n.Height++
	n.Time = n.Height * 12_000
	n.open()
}

// block ends the block that is open.
func (n *net) block() {
	n.Helper()
	if err := end(n.Context); err != nil {
		n.Fatal(err)
	}
	n.close()
}

// blocks goes on until the block that is open has a height.
func (n *net) to(height uint64) {
	n.Helper()
	for n.Height < height {
		n.block()
	}
}

// do runs a call as the ledger does: from its encoding, undone if it fails.
func (n *net) do(who *pallet.Account, path string, args any) error {
	n.Helper()
	of, call, _ := strings.Cut(path, ".")
	for _, i := range all[of].Calls {
		if i.Name != call {
			continue
		}
		run, mark, events := i.New(), n.Mark(), len(*n.Events)
		if err := scale.Unmarshal(scale.Marshal(args), run); err != nil {
			n.Fatal(err)
		}
		origin := pallet.Origin{Kind: pallet.Root}
		if who != nil {
			origin = pallet.Origin{Kind: pallet.Signed, Account: *who}
		}
		err := run.Run(n.As(origin))
		if err != nil {
			if e := new(pallet.Error); !errors.As(err, &e) {
				n.Fatalf("%s: %v", path, err)
			}
			n.Revert(mark)
			*n.Events = (*n.Events)[:events]
		}
		return err
	}
	n.Fatalf("no call %s", path)
	return nil
}

func (n *net) must(who *pallet.Account, path string, args any) {
	n.Helper()
	if err := n.do(who, path, args); err != nil {
		n.Fatal(err)
	}
}

// refused wants an error by its name.
func (n *net) refused(want string, who *pallet.Account, path string, args any) {
	n.Helper()
	err := n.do(who, path, args)
	if e := new(pallet.Error); !errors.As(err, &e) || e.Pallet+"."+e.Name != want {
		n.Errorf("%s is %v, want %s", path, err, want)
	}
}

// view asks for a view and returns its JSON.
func (n *net) view(path, params string) map[string]any {
	n.Helper()
	of, view, _ := strings.Cut(path, "/")
	for _, v := range all[of].Views {
		if v.Name != view {
			continue
		}
		got, err := v.Run(n.Context, json.RawMessage(params))
		if err != nil {
			n.Fatal(err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			n.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			n.Fatal(err)
		}
		return m
	}
	n.Fatalf("no view %s", path)
	return nil
}

// count returns how often an event is among those of the open block and, ended with it, the block before.
func (n *net) count(path string) (times int) {
	for _, e := range append(append([]pallet.Event(nil), n.last...), *n.Events...) {
		if e.Pallet+"."+e.Name == path {
			times++
		}
	}
	return times
}

// event returns the last event of a name of the open block or the one before.
func event[E any](n *net, path string) E {
	n.Helper()
	var found *E
	for _, e := range append(append([]pallet.Event(nil), n.last...), *n.Events...) {
		if e.Pallet+"."+e.Name == path {
			v, ok := e.Fields.(E)
			if !ok {
				n.Fatalf("%s is a %T", path, e.Fields)
			}
			found = &v
		}
	}
	if found == nil {
		n.Fatalf("no event %s", path)
	}
	return *found
}

// register registers a worker that alice operates, with a score.
func (n *net) register(worker pallet.Account, score uint32) {
	n.Helper()
	n.must(nil, "PhalaRegistry.force_register_worker", registry.ForceRegisterWorker{Pubkey: worker, EcdhPubkey: worker, Operator: &alice})
	if err := SetInitialScore(n.Context, worker, score); err != nil {
		n.Fatal(err)
	}
}

// pool makes a pool of alice with stake in tokens, and returns its number.
func (n *net) pool(stake uint64) uint64 {
	n.Helper()
	n.must(&alice, "PhalaStakePoolv2.create", Create{})
	pid := event[PoolCreated](n, "PhalaStakePoolv2.PoolCreated").Pid
	if stake > 0 {
		n.must(&alice, "PhalaStakePoolv2.contribute", Contribute{Pid: pid, Amount: money(stake)})
	}
	return pid
}

// started returns a net with one worker that computes since the block that is open, of height 2, with V and P as given.
func started(t testing.TB, config string, score uint32, v string) (*net, pallet.Account) {
	t.Helper()
	n, worker := newNet(t, config), workerKey(1)
	n.register(worker, score)
	pid := n.pool(20_000)
	n.must(&alice, "PhalaStakePoolv2.add_worker", AddWorker{pid, worker})
	n.to(2)
	n.must(&alice, "PhalaStakePoolv2.start_computing", StartComputing{pid, worker, money(10_000)})
	n.seat(worker, func(s *seat) { s.V = num(v) })
	return n, worker
}

// seat changes what is reckoned of a worker.
func (n *net) seat(worker pallet.Account, change func(*seat)) seat {
	n.Helper()
	seats, at, number, ok := find(n.Store, worker)
	if !ok {
		n.Fatalf("%v does not compute", worker)
	}
	change(at)
	chunks.Put(n.Store, number/chunkSeats, seats)
	return *at
}

func (n *net) look(worker pallet.Account) seat { return n.seat(worker, func(*seat) {}) }

// challenge challenges all with the block that is open.
func (n *net) challenge() {
	n.Helper()
	n.must(nil, "PhalaComputation.force_heartbeat", ForceHeartbeat{})
}

func (n *net) heartbeat(worker pallet.Account, iterations uint64) {
	n.Helper()
	id := uint32(0)
	if _, at, _, ok := find(n.Store, worker); ok {
		id = at.SessionID
	}
	n.must(&worker, "PhalaComputation.heartbeat", HeartbeatV3{SessionID: id, Iterations: iterations})
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

// near wants a number to 1e-15 of another.
func near(t testing.TB, what string, got fixed.U64F64, want string) {
	t.Helper()
	w := num(want)
	off := got.Minus(w).Plus(w.Minus(got))
	if off.Cmp(num("0.000000000000001")) > 0 {
		t.Errorf("%s is %v, want %s", what, got, want)
	}
}

const rich = `{"subsidy":"1000000000000000000000"}`
const static = `{"subsidy":"1000000000000000000000","static_v":true}`

func (n *net) balance(who pallet.Account) pallet.Balance { return accounts.Free(n.Store, who) }
