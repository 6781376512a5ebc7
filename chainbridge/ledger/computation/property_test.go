package computation

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// crowd is what the random operations are about.
type crowd struct {
	*net
	r       *rand.Rand
	users   []pallet.Account
	workers []pallet.Account
	total   pallet.Balance
	digest  []byte // of all changes so far
	ok      map[string]int
}

func newCrowd(t testing.TB, seed uint64) *crowd {
	n := newNet(t, `{"subsidy":"9000000000000000","cool_down_period_sec":60,"heartbeat_paused":false,"expected_heartbeat_count":1000,"halving_interval":500}`)
	w := &crowd{net: n, r: rand.New(rand.NewPCG(seed, 1)), users: []pallet.Account{alice, bob}, ok: map[string]int{}}
	for i := range byte(8) {
		w.workers = append(w.workers, workerKey(i))
		if i < 6 { // two are nobody's
			n.register(workerKey(i), uint32(i)*40)
		}
	}
	for i := range byte(3) {
		u := account('u', i)
		w.users = append(w.users, u)
		if err := accounts.Mint(n.Context, u, money(20_000)); err != nil {
			t.Fatal(err)
		}
	}
	n.pool(50_000)
	n.pool(9000)
	w.total = accounts.Total(n.Store)
	return w
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

// amount is one of those that are of interest, or any.
func (w *crowd) amount() pallet.Balance {
	switch w.r.IntN(8) {
	case 0:
		return pallet.Balance{}
	case 1:
		return pallet.Units(w.r.Uint64N(1000))
	case 2:
		return pallet.Balance{Lo: w.r.Uint64(), Hi: w.r.Uint64()}
	case 3:
		return money(w.r.Uint64N(20)).Plus(pallet.Units(w.r.Uint64()))
	}
	return money(500 + w.r.Uint64N(6000))
}

// step does something at random.
func (w *crowd) step() {
	r := w.r
	who, worker, pid := pick(r, w.users), pick(r, w.workers), r.Uint64N(4)
	if r.IntN(3) > 0 {
		who, pid = alice, r.Uint64N(2)
	}
	call := func(path string, args any) {
		err := w.do(&who, path, args)
		if err == nil {
			w.ok[path]++
		}
	}
	root := func(path string, args any) {
		if w.do(nil, path, args) == nil {
			w.ok[path]++
		}
	}
	iterations := r.Uint64() >> r.IntN(64)
	if _, at, _, ok := find(w.Store, worker); ok && r.IntN(8) > 0 {
		iterations = at.Iterations + r.Uint64N(20_000)
	}
	switch r.IntN(26) {
	case 0:
		if poolNumber, _ := poolCount.Get(w.Store); poolNumber < 4 {
			call("PhalaStakePoolv2.create", Create{})
		}
	case 1, 2:
		call("PhalaStakePoolv2.add_worker", AddWorker{pid, worker})
	case 3:
		call("PhalaStakePoolv2.remove_worker", RemoveWorker{pid, worker})
	case 4, 5:
		who = pick(r, w.users)
		call("PhalaStakePoolv2.contribute", Contribute{Pid: pid, Amount: w.amount()})
	case 6, 7:
		who = pick(r, w.users)
		amount := w.amount()
		if had, _ := shares.Get(w.Store, pid, who); r.IntN(4) == 0 {
			amount = had
		}
		call("PhalaStakePoolv2.withdraw", Withdraw{Pid: pid, Shares: amount})
	case 8, 9:
		call("PhalaStakePoolv2.start_computing", StartComputing{pid, worker, w.amount()})
	case 10:
		call("PhalaStakePoolv2.stop_computing", StopComputing{pid, worker})
	case 11, 12:
		call("PhalaStakePoolv2.reclaim_pool_worker", ReclaimPoolWorker{pid, worker})
	case 13:
		call("PhalaStakePoolv2.restart_computing", RestartComputing{pid, worker, w.amount()})
	case 14:
		part := r.Uint32N(2 * million)
		call("PhalaStakePoolv2.set_payout_pref", SetPayoutPref{pid, &part})
	case 15:
		call("PhalaStakePoolv2.claim_owner_rewards", ClaimOwnerRewards{pid, pick(r, w.users)})
	case 16:
		call("PhalaStakePoolv2.check_and_maybe_force_withdraw", CheckAndMaybeForceWithdraw{pid})
		call("PhalaComputation.unbind", Unbind{SessionAccount(pid, worker)})
	case 17:
		root("PhalaComputation.force_start_computing", ForceStartComputing{SessionAccount(pid, worker), w.amount()})
	case 18:
		root("PhalaComputation.force_stop_computing", ForceStopComputing{SessionAccount(pid, worker)})
	case 19:
		root("PhalaComputation.set_static_v", SetStaticV{r.IntN(3) == 0})
	case 20, 21, 22:
		who = worker
		id := uint32(0)
		if _, at, _, ok := find(w.Store, worker); ok && r.IntN(10) > 0 {
			id = at.SessionID
		}
		call("PhalaComputation.heartbeat", HeartbeatV3{id, iterations, 0})
	case 23:
		at := w.Time / 1000
		if r.IntN(5) == 0 {
			at = r.Uint64() >> r.IntN(64)
		}
		if _, err := Heartbeat(w.Context, worker, iterations, at); err != nil && !errors.As(err, new(*pallet.Error)) {
			w.Fatal(err)
		}
	case 24:
		if r.IntN(8) == 0 {
			root("PhalaComputation.force_heartbeat", ForceHeartbeat{})
		}
	default:
		w.check()
		for range 1 + r.IntN(3) {
			if err := end(w.Context); err != nil {
				w.Fatal(err)
			}
			for _, change := range w.Changes() {
				sum := blake2b.Sum256(bytes.Join([][]byte{w.digest, change.Key, change.New}, []byte{'/'}))
				w.digest = sum[:]
			}
			w.close()
		}
	}
}

// check says what holds at any time.
func (w *crowd) check() {
	w.Helper()
	if got := accounts.Total(w.Store); got != w.total {
		w.Fatalf("%v in all, want %v", got, w.total)
	}
	sum := w.balance(Subsidy()).Plus(w.balance(Treasury()))
	for _, u := range w.users {
		sum = sum.Plus(w.balance(u))
	}
	count, _ := poolCount.Get(w.Store)
	computing := 0
	for pid := range count {
		p, _ := pools.Get(w.Store, pid)
		sum = sum.Plus(w.balance(p.PoolAccount)).Plus(w.balance(p.LockAccount)).Plus(w.balance(p.OwnerReward))
		if w.balance(p.PoolAccount) != p.Free || w.balance(p.LockAccount) != p.Locked {
			w.Fatalf("pool %d has %v free and %v locked, and says %v and %v", pid, w.balance(p.PoolAccount), w.balance(p.LockAccount), p.Free, p.Locked)
		}
		var held, owned pallet.Balance
		for _, worker := range w.workers {
			session := SessionAccount(pid, worker)
			info, known := sessions.Get(w.Store, session)
			stake, staked := stakes.Get(w.Store, session)
			held = held.Plus(stake)
			if staked != (info.State != Ready) || !known && staked {
				w.Fatalf("a session that is %v has a stake: %v", info.State, staked)
			}
			bound, isBound := sessionBindings.Get(w.Store, session)
			_, at, _, sits := find(w.Store, worker)
			if info.State.computes() {
				computing++
				if !isBound || bound != worker || !sits || at.Unresponsive != (info.State == WorkerUnresponsive) {
					w.Fatalf("a session is %v, bound: %v, with a seat: %v", info.State, isBound, sits)
				}
			}
			if in, _ := assignments.Get(w.Store, worker); isBound && in != pid {
				w.Fatalf("a session of pool %d has a worker of pool %d", pid, in)
			}
		}
		for _, u := range w.users {
			has, _ := shares.Get(w.Store, pid, u)
			owned = owned.Plus(has)
		}
		if held != p.Locked || owned != p.TotalShares || p.TotalShares.IsZero() && !p.value().IsZero() {
			w.Fatalf("pool %d has locked %v of %v, and shares %v of %v, for %v", pid, held, p.Locked, owned, p.TotalShares, p.value())
		}
		for _, q := range p.Queue {
			if q.Shares.IsZero() {
				w.Fatalf("nothing waits in pool %d", pid)
			}
		}
	}
	if sum != w.total {
		w.Fatalf("all accounts have %v, want %v", sum, w.total)
	}
	if online, _ := onlineWorkers.Get(w.Store); int(online) != computing {
		w.Fatalf("%d seats for %d that compute", online, computing)
	}
}

// Whatever happens: nothing is made or lost, no stake is forgotten, and the same happens each time.
func TestConservation(t *testing.T) {
	for seed := range uint64(3) {
		var digests [2][]byte
		for again := range digests {
			w := newCrowd(t, seed)
			for range 10_000 {
				w.step()
			}
			w.check()
			digests[again] = w.digest
			if again == 0 && seed == 0 {
				t.Log(w.ok, "height", w.Height)
				for _, path := range []string{"PhalaStakePoolv2.restart_computing", "PhalaStakePoolv2.reclaim_pool_worker", "PhalaStakePoolv2.withdraw",
					"PhalaComputation.unbind", "PhalaComputation.force_start_computing", "PhalaStakePoolv2.claim_owner_rewards"} {
					if w.ok[path] == 0 {
						t.Errorf("%s never succeeded", path)
					}
				}
				if w.balance(Treasury()).IsZero() {
					t.Error("nothing was paid")
				}
			}
		}
		if !bytes.Equal(digests[0], digests[1]) {
			t.Error("two runs differ")
		}
	}
}

// FuzzOperations does what the input says.
func FuzzOperations(f *testing.F) {
	f.Add(uint64(1), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, seed uint64, _ []byte) {
		w := newCrowd(t, seed)
		for range 200 {
			w.step()
		}
		w.check()
	})
}

// FuzzCalls runs calls that are decoded from anything, and asks all views with anything.
func FuzzCalls(f *testing.F) {
	f.Add(byte(9), []byte{0, 0, 0, 0, 1}, `{"worker":"00"}`)
	f.Add(byte(13), scale.Marshal(StartComputing{0, workerKey(1), money(1000)}), `{"pid":1}`)
	f.Add(byte(5), scale.Marshal(UpdateTokenomic{Defaults(1)}), `{"after":4294967295}`)
	f.Add(byte(17), scale.Marshal(Withdraw{Pid: 0, Shares: money(3)}), `{"after":18446744073709551615}`)
	f.Fuzz(func(t *testing.T, which byte, args []byte, params string) {
		n, worker := started(t, rich, 1000, "100")
		for _, p := range Pallets() {
			for i, info := range p.Calls {
				run := info.New()
				if i != int(which)%len(p.Calls) || scale.Unmarshal(args, run) != nil {
					continue
				}
				for _, o := range []pallet.Origin{{}, {Kind: pallet.Root}, {Kind: pallet.Signed, Account: alice}, {Kind: pallet.Signed, Account: worker}} {
					mark := n.Mark()
					if err := run.Run(n.As(o)); err != nil {
						if !errors.As(err, new(*pallet.Error)) {
							t.Fatal(err)
						}
						n.Revert(mark)
					}
				}
				n.challenge()
				n.block()
				n.block()
			}
			for _, v := range p.Views {
				_, _ = v.Run(n.Context, []byte(params))
			}
		}
		if n.Store.Err() != nil {
			t.Fatal(n.Store.Err())
		}
	})
}

// FuzzChunk reads what the state could never have.
func FuzzChunk(f *testing.F) {
	f.Add(scale.Marshal(&chunk{{Unresponsive: true, Iterations: 7}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c chunk
		if scale.Unmarshal(b, &c) == nil && !bytes.Equal(scale.Marshal(&c), b) {
			t.Errorf("%x is read as %+v", b, c)
		}
	})
}
