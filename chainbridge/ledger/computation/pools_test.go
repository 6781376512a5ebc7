package computation

import (
	"slices"
	"testing"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

func TestPoolWorkers(t *testing.T) {
	n, worker := newNet(t, rich), workerKey(1)
	const add, remove = "PhalaStakePoolv2.add_worker", "PhalaStakePoolv2.remove_worker"
	pid, second := n.pool(10_000), n.pool(10_000)
	n.must(&bob, "PhalaStakePoolv2.create", Create{})

	n.refused("PhalaStakePoolv2.WorkerNotRegistered", &alice, add, AddWorker{pid, worker})
	n.must(nil, "PhalaRegistry.force_register_worker", registry.ForceRegisterWorker{Pubkey: worker, EcdhPubkey: worker})
	n.refused("PhalaStakePoolv2.UnauthorizedOperator", &alice, add, AddWorker{pid, worker})
	n.must(nil, "PhalaRegistry.force_register_worker", registry.ForceRegisterWorker{Pubkey: worker, EcdhPubkey: worker, Operator: &alice})
	n.refused("PhalaStakePoolv2.UnauthorizedOperator", &bob, add, AddWorker{pid, worker})
	n.refused("PhalaStakePoolv2.BenchmarkMissing", &alice, add, AddWorker{pid, worker})
	n.register(worker, 100)
	n.refused("PhalaStakePoolv2.PoolDoesNotExist", &alice, add, AddWorker{9, worker})
	n.refused("PhalaStakePoolv2.UnauthorizedPoolOwner", &alice, add, AddWorker{2, worker})
	n.refused("System.BadOrigin", nil, add, AddWorker{pid, worker})
	n.must(&alice, add, AddWorker{pid, worker})
	session := SessionAccount(pid, worker)
	same(t, "event", event[PoolWorkerAdded](n, "PhalaStakePoolv2.PoolWorkerAdded"), PoolWorkerAdded{pid, worker, session})
	same(t, "event", event[SessionBound](n, "PhalaComputation.SessionBound"), SessionBound{session, worker})
	n.refused("PhalaStakePoolv2.WorkerExists", &alice, add, AddWorker{pid, worker})
	n.refused("PhalaStakePoolv2.FailedToBindSessionAndWorker", &alice, add, AddWorker{second, worker})

	n.refused("PhalaStakePoolv2.WorkerDoesNotExist", &alice, remove, RemoveWorker{pid, workerKey(2)})
	n.refused("PhalaStakePoolv2.WorkerInAnotherPool", &alice, remove, RemoveWorker{second, worker})
	n.refused("PhalaStakePoolv2.UnauthorizedPoolOwner", &bob, remove, RemoveWorker{pid, worker})
	n.must(&alice, "PhalaStakePoolv2.start_computing", StartComputing{pid, worker, money(2000)})
	n.refused("PhalaStakePoolv2.WorkerIsNotReady", &alice, remove, RemoveWorker{pid, worker})
	n.must(&alice, "PhalaStakePoolv2.stop_computing", StopComputing{pid, worker})
	n.refused("PhalaStakePoolv2.WorkerIsNotReady", &alice, remove, RemoveWorker{pid, worker})
	n.Time += 604_800_000
	n.must(&bob, "PhalaStakePoolv2.reclaim_pool_worker", ReclaimPoolWorker{pid, worker}) // anybody may
	n.must(&alice, remove, RemoveWorker{pid, worker})
	same(t, "event", event[SessionUnbound](n, "PhalaComputation.SessionUnbound"), SessionUnbound{session, worker})
	if _, bound := Look(n.Store, worker); bound {
		t.Error("it is bound")
	}
	n.must(&alice, add, AddWorker{second, worker})
}

// Ready, WorkerIdle, WorkerCoolingDown, Ready: with each call where it does not belong.
func TestLifecycle(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	session := SessionAccount(0, worker)
	start, stop, reclaim := StartComputing{0, worker, money(4000)}, StopComputing{0, worker}, ReclaimPoolWorker{0, worker}
	state := func(want WorkerState) {
		t.Helper()
		if info, _ := sessions.Get(n.Store, session); info.State != want {
			t.Errorf("state %v, want %v", info.State, want)
		}
	}
	state(WorkerIdle)
	n.refused("PhalaComputation.WorkerNotReady", &alice, "PhalaStakePoolv2.start_computing", start)
	n.refused("PhalaComputation.CoolDownNotReady", &alice, "PhalaStakePoolv2.reclaim_pool_worker", reclaim)
	n.refused("PhalaStakePoolv2.UnauthorizedPoolOwner", &bob, "PhalaStakePoolv2.stop_computing", stop)
	n.block()
	n.must(&alice, "PhalaStakePoolv2.stop_computing", stop)
	state(WorkerCoolingDown)
	if e := event[WorkerStopped](n, "PhalaComputation.WorkerStopped"); e.V.Cmp(num("100")) <= 0 || e.Session != session {
		t.Errorf("%+v", e)
	}
	n.refused("PhalaStakePoolv2.WorkerAlreadyStopped", &alice, "PhalaStakePoolv2.stop_computing", stop)
	n.refused("PhalaComputation.WorkerNotReady", &alice, "PhalaStakePoolv2.start_computing", start)
	n.refused("PhalaComputation.CoolDownNotReady", &bob, "PhalaStakePoolv2.reclaim_pool_worker", reclaim)

	stopped := n.Time
	n.Time = stopped + 604_799_999
	n.refused("PhalaComputation.CoolDownNotReady", &bob, "PhalaStakePoolv2.reclaim_pool_worker", reclaim)
	n.Time = stopped + 604_800_000
	n.must(&bob, "PhalaStakePoolv2.reclaim_pool_worker", reclaim)
	same(t, "event", event[WorkerReclaimed](n, "PhalaComputation.WorkerReclaimed"), WorkerReclaimed{Session: session, OriginalStake: money(10_000)})
	state(Ready)
	n.refused("PhalaComputation.CoolDownNotReady", &bob, "PhalaStakePoolv2.reclaim_pool_worker", reclaim)
	n.refused("PhalaComputation.WorkerNotComputing", &alice, "PhalaStakePoolv2.stop_computing", stop)
	n.must(&alice, "PhalaStakePoolv2.start_computing", start)
	state(WorkerIdle)
	same(t, "session", event[WorkerStarted](n, "PhalaComputation.WorkerStarted").SessionID, uint32(1))

	n.refused("System.BadOrigin", &alice, "PhalaComputation.set_cool_down_expiration", SetCoolDownExpiration{5})
	n.must(nil, "PhalaComputation.set_cool_down_expiration", SetCoolDownExpiration{5})
	n.must(nil, "PhalaComputation.force_stop_computing", ForceStopComputing{session})
	n.Time += 5000
	n.must(&alice, "PhalaStakePoolv2.reclaim_pool_worker", reclaim)
	n.refused("System.BadOrigin", &alice, "PhalaComputation.force_start_computing", ForceStartComputing{session, money(4000)})
	n.refused("PhalaComputation.SessionNotFound", nil, "PhalaComputation.force_start_computing", ForceStartComputing{alice, money(4000)})
	n.must(nil, "PhalaComputation.force_start_computing", ForceStartComputing{session, money(4000)})
	state(WorkerIdle)
	n.refused("PhalaComputation.SessionNotBound", nil, "PhalaComputation.force_stop_computing", ForceStopComputing{alice})
}

func TestRestart(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	const restart = "PhalaStakePoolv2.restart_computing"
	n.refused("PhalaStakePoolv2.CannotRestartWithLessStake", &alice, restart, RestartComputing{0, worker, money(9000)})
	n.refused("PhalaStakePoolv2.CannotRestartWithLessStake", &alice, restart, RestartComputing{0, worker, money(10_000)}) // strictly more
	n.refused("PhalaStakePoolv2.InsufficientFreeStake", &alice, restart, RestartComputing{0, worker, money(20_001)})
	n.refused("PhalaStakePoolv2.UnauthorizedPoolOwner", &bob, restart, RestartComputing{0, worker, money(11_000)})
	if !IsComputing(n.Store, worker) {
		t.Fatal("a restart that failed has stopped it")
	}
	n.must(&alice, restart, RestartComputing{0, worker, money(11_000)})
	pool := n.view("PhalaStakePoolv2/pool", `{"pid":0}`)
	same(t, "locked", pool["locked"], any(money(11_000).String()))
	same(t, "free", pool["free"], any(money(9000).String()))

	n.must(&alice, "PhalaStakePoolv2.withdraw", Withdraw{Pid: 0, Shares: money(15_000)})
	n.refused("PhalaStakePoolv2.WithdrawQueueNotEmpty", &alice, restart, RestartComputing{0, worker, money(12_000)})
}

func TestUnbind(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	session := SessionAccount(0, worker)
	n.refused("PhalaComputation.BadSender", &bob, "PhalaComputation.unbind", Unbind{session})
	n.refused("PhalaComputation.SessionNotBound", &alice, "PhalaComputation.unbind", Unbind{alice})
	n.must(&alice, "PhalaComputation.unbind", Unbind{session})
	if IsComputing(n.Store, worker) || n.count("PhalaStakePoolv2.PoolWorkerRemoved") != 1 {
		t.Error("it computes")
	}
	// It can be had again only after the stake of the old session is free, and that stake is not lost.
	n.refused("PhalaStakePoolv2.FailedToBindSessionAndWorker", &alice, "PhalaStakePoolv2.add_worker", AddWorker{0, worker})
	n.Time += 604_800_000
	n.must(&bob, "PhalaStakePoolv2.reclaim_pool_worker", ReclaimPoolWorker{0, worker})
	n.must(&alice, "PhalaStakePoolv2.add_worker", AddWorker{0, worker})
	n.must(&alice, "PhalaStakePoolv2.start_computing", StartComputing{0, worker, money(20_000)})
}

func TestPoolStake(t *testing.T) {
	n := newNet(t, rich)
	pid := n.pool(0)
	const contribute, withdraw = "PhalaStakePoolv2.contribute", "PhalaStakePoolv2.withdraw"
	vault := uint64(1)
	n.refused("PhalaStakePoolv2.PoolDoesNotExist", &bob, contribute, Contribute{Pid: 9, Amount: money(1)})
	n.refused("PhalaStakePoolv2.InsufficientContribution", &bob, contribute, Contribute{Pid: pid, Amount: minus(MinContribution, pallet.Units(1))})
	n.refused("PhalaStakePoolv2.InsufficientBalance", &bob, contribute, Contribute{Pid: pid, Amount: money(1_000_001)})
	n.refused("PhalaStakePoolv2.FeatureNotEnabled", &bob, contribute, Contribute{Pid: pid, Amount: money(1), AsVault: &vault})
	n.refused("PhalaStakePoolv2.FeatureNotEnabled", &bob, withdraw, Withdraw{Pid: pid, Shares: money(1), AsVault: &vault})
	n.must(&alice, "PhalaStakePoolv2.set_cap", SetCap{pid, money(100)})
	n.refused("PhalaStakePoolv2.StakeExceedsCapacity", &bob, contribute, Contribute{Pid: pid, Amount: money(101)})
	n.must(&bob, contribute, Contribute{Pid: pid, Amount: money(100)})
	same(t, "event", event[Contribution](n, "PhalaStakePoolv2.Contribution"), Contribution{pid, bob, money(100), money(100), nil})
	n.refused("PhalaStakePoolv2.InadequateCapacity", &alice, "PhalaStakePoolv2.set_cap", SetCap{pid, money(99)})
	n.must(&alice, "PhalaStakePoolv2.set_cap", SetCap{pid, money(100_000)})

	n.refused("PhalaStakePoolv2.NoNftToWithdraw", &alice, withdraw, Withdraw{Pid: pid, Shares: money(1)})
	n.refused("PhalaStakePoolv2.InvalidWithdrawalAmount", &bob, withdraw, Withdraw{Pid: pid, Shares: money(101)})
	n.refused("PhalaStakePoolv2.InvalidWithdrawalAmount", &bob, withdraw, Withdraw{Pid: pid})
	n.must(&bob, withdraw, Withdraw{Pid: pid, Shares: money(40)})
	same(t, "event", event[Withdrawn](n, "PhalaBasePool.Withdrawal"), Withdrawn{pid, bob, money(40), money(40)})
	same(t, "bob", n.balance(bob), money(999_940))
}

// Where a share is worth more than a contribution, nobody gives it for nothing.
func TestPoolDearShares(t *testing.T) {
	n := newNet(t, rich)
	pid := n.pool(1)
	p, _ := pools.Get(n.Store, pid)
	p.TotalShares = pallet.Units(1)
	p.put(n.Context)
	n.refused("PhalaStakePoolv2.InsufficientContribution", &bob, "PhalaStakePoolv2.contribute", Contribute{Pid: pid, Amount: MinContribution})
	same(t, "bob", n.balance(bob), money(1_000_000))
	p.TotalShares, p.Free = money(1), pallet.Balance{}
	p.put(n.Context)
	n.refused("PhalaStakePoolv2.PoolBankrupt", &bob, "PhalaStakePoolv2.contribute", Contribute{Pid: pid, Amount: money(1)})
}

// Every event has a place among those of its pallet, and so has every error.
func TestNames(t *testing.T) {
	w := newCrowd(t, 77)
	for range 3000 {
		w.step()
		for _, e := range w.last {
			if p, ours := all[e.Pallet]; ours && !slices.Contains(p.Events, e.Name) {
				t.Fatalf("%s has no event %s", e.Pallet, e.Name)
			}
		}
	}
	for _, p := range Pallets() {
		for i, name := range p.Errors {
			if slices.Index(p.Errors, name) != i {
				t.Errorf("%s has %s twice", p.Name, name)
			}
		}
	}
}

// Pay goes to those who have shares, after the owner's part; who comes later gets fewer shares for the same.
func TestPoolPay(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	commission := uint32(100_000) // 10 %
	n.must(&alice, "PhalaStakePoolv2.set_payout_pref", SetPayoutPref{0, &commission})
	n.challenge()
	n.to(12)
	n.heartbeat(worker, 10_000)
	paid := event[SessionSettled](n, "PhalaComputation.SessionSettled").Paid
	e := event[RewardReceived](n, "PhalaStakePoolv2.RewardReceived")
	same(t, "sum", e.ToOwner.Plus(e.ToStakers), paid)
	same(t, "owner", e.ToOwner, paid.Over(pallet.Units(10)))
	pool := n.view("PhalaStakePoolv2/pool", `{"pid":0}`)
	same(t, "value", pool["total_value"], any(money(20_000).Plus(e.ToStakers).String()))
	same(t, "paid", n.view("PhalaComputation/worker", `{"worker":"`+worker.String()+`"}`)["paid"], any(paid.String()))

	n.must(&bob, "PhalaStakePoolv2.contribute", Contribute{Pid: 0, Amount: money(1000)})
	got := event[Contribution](n, "PhalaStakePoolv2.Contribution").Shares
	same(t, "shares", got, part(money(1000), money(20_000), money(20_000).Plus(e.ToStakers)))
	before := n.balance(alice)
	n.refused("PhalaStakePoolv2.UnauthorizedPoolOwner", &bob, "PhalaStakePoolv2.claim_owner_rewards", ClaimOwnerRewards{0, bob})
	n.must(&alice, "PhalaStakePoolv2.claim_owner_rewards", ClaimOwnerRewards{0, alice})
	same(t, "claimed", n.balance(alice), before.Plus(e.ToOwner))
	n.refused("PhalaStakePoolv2.NoRewardToClaim", &alice, "PhalaStakePoolv2.claim_owner_rewards", ClaimOwnerRewards{0, alice})

	// What is locked is waited for.
	n.must(&alice, "PhalaStakePoolv2.withdraw", Withdraw{Pid: 0, Shares: money(20_000)})
	if waits := event[WithdrawalQueued](n, "PhalaBasePool.WithdrawalQueued"); waits.Shares.IsZero() || waits.User != alice {
		t.Errorf("%+v", waits)
	}
	n.must(&alice, "PhalaStakePoolv2.stop_computing", StopComputing{0, worker})
	n.Time += 604_800_000
	before = n.balance(alice)
	n.must(&bob, "PhalaStakePoolv2.reclaim_pool_worker", ReclaimPoolWorker{0, worker})
	if n.balance(alice).Cmp(before) <= 0 {
		t.Error("the free stake did not go to who waits")
	}
	same(t, "queue", len(n.view("PhalaStakePoolv2/pool", `{"pid":0}`)["withdraw_queue"].([]any)), 0)
	same(t, "alice's shares", n.view("PhalaStakePoolv2/shares", `{"pid":0,"account":"`+alice.String()+`"}`)["shares"], any("0"))
	n.must(&bob, "PhalaStakePoolv2.withdraw", Withdraw{Pid: 0, Shares: got})
	p, _ := pools.Get(n.Store, 0)
	if p.TotalShares != (pallet.Balance{}) || p.value() != (pallet.Balance{}) || n.balance(p.PoolAccount) != (pallet.Balance{}) {
		t.Errorf("left: %+v", p)
	}
}

// Who waits for longer than the grace period has the workers stopped; what is free or cools down is waited for.
func TestForcedWithdrawal(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	const check = "PhalaStakePoolv2.check_and_maybe_force_withdraw"
	n.must(&bob, "PhalaStakePoolv2.contribute", Contribute{Pid: 0, Amount: money(1000)})
	n.must(&alice, "PhalaStakePoolv2.withdraw", Withdraw{Pid: 0, Shares: money(15_000)})
	since := n.Time
	for _, c := range []struct {
		later uint64
		stops bool
	}{{0, false}, {604_800_000, false}, {604_801_000, true}} {
		n.Time = since + c.later
		n.must(&bob, check, CheckAndMaybeForceWithdraw{0})
		if IsComputing(n.Store, worker) == c.stops {
			t.Fatalf("after %d ms it computes: %v", c.later, !c.stops)
		}
	}
	n.must(&bob, check, CheckAndMaybeForceWithdraw{0}) // what cools down is enough
	n.refused("PhalaStakePoolv2.PoolDoesNotExist", &bob, check, CheckAndMaybeForceWithdraw{5})
	n.refused("System.BadOrigin", nil, check, CheckAndMaybeForceWithdraw{0})
}

// Pay without a taker stays where it was.
func TestRewardDismissed(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	assignments.Delete(n.Store, worker)
	n.challenge()
	n.to(4)
	before := n.balance(Subsidy())
	n.heartbeat(worker, 4000)
	if n.count("PhalaStakePoolv2.RewardDismissedNotInPool") != 1 {
		t.Error("taken")
	}
	left, _ := before.Minus(n.balance(Treasury()))
	same(t, "subsidies", n.balance(Subsidy()), left)
}

func TestGovernance(t *testing.T) {
	n := newNet(t, `{"max_budget_limit":"200000000000000"}`)
	p, _ := parameters.Get(n.Store)
	bad := p
	bad.TreasuryRatio = num("1.1")
	const update, budget = "PhalaComputation.update_tokenomic", "PhalaComputation.set_budget_per_block"
	n.refused("System.BadOrigin", &alice, update, UpdateTokenomic{p})
	n.refused("PhalaComputation.InternalErrorBadTokenomicParameters", nil, update, UpdateTokenomic{bad})
	n.refused("PhalaComputation.InternalErrorBadTokenomicParameters", nil, update, UpdateTokenomic{})
	p.HeartbeatWindow = 20
	n.must(nil, update, UpdateTokenomic{p})
	if now, _ := parameters.Get(n.Store); now.HeartbeatWindow != 10 {
		t.Error("before the end of the block")
	}
	n.to(5)
	if now, _ := parameters.Get(n.Store); now.HeartbeatWindow != 20 {
		t.Error("not at the end of the block")
	}
	n.refused("System.BadOrigin", &alice, budget, SetBudgetPerBlock{1, 1, money(1)})
	n.must(nil, budget, SetBudgetPerBlock{5, 3, money(150)})
	same(t, "event", event[BudgetUpdated](n, "PhalaComputation.BudgetUpdated"), BudgetUpdated{5, money(150)})
	n.refused("PhalaComputation.NonceIndexInvalid", nil, budget, SetBudgetPerBlock{5, 4, money(1)})
	n.refused("PhalaComputation.BudgetUpdateBlockInvalid", nil, budget, SetBudgetPerBlock{6, 3, money(1)})
	n.refused("PhalaComputation.BudgetUpdateBlockInvalid", nil, budget, SetBudgetPerBlock{6, 6, money(1)})
	n.refused("PhalaComputation.BudgetExceedMaxLimit", nil, budget, SetBudgetPerBlock{6, 4, money(201)})
	now, _ := parameters.Get(n.Store)
	same(t, "budget", now.BudgetPerBlock, num("150"))
	for _, refused := range []string{"PhalaComputation.force_heartbeat"} {
		n.refused("System.BadOrigin", &alice, refused, ForceHeartbeat{})
	}
}

func TestHalving(t *testing.T) {
	n := newNet(t, `{"halving_interval":10}`)
	n.to(9)
	if n.count("PhalaComputation.SubsidyBudgetHalved") != 0 {
		t.Error("early")
	}
	n.block()
	n.to(20)
	p, _ := parameters.Get(n.Store)
	same(t, "budget", p.BudgetPerBlock, num("56.25")) // 100·0.75·0.75
}

func TestGenesisRefuses(t *testing.T) {
	for _, config := range []string{`{"subsidy":-1}`, `{"subsidies":"1"}`, `[]`, `{"tokenomic_parameters":{}}`, `{"block_time_sec":"x"}`} {
		n := &net{TB: t}
		n.Context = newNet(t, "").Context
		if err := genesis(n.Context, []byte(config)); err == nil {
			t.Errorf("%s is taken", config)
		}
	}
}
