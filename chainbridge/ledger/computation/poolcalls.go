package computation

import (
	"slices"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

// million is what commissions are parts of.
const million = 1_000_000

// The events of PhalaStakePoolv2, and those of PhalaBasePool that tell of withdrawals.
type (
	// PoolCreated tells of a new pool.
	PoolCreated struct {
		Owner         pallet.Account `json:"owner"`
		Pid           uint64         `json:"pid"`
		Cid           uint32         `json:"cid"`
		PoolAccountID pallet.Account `json:"pool_account_id"`
	}
	// PoolCommissionSet tells the owner's part of all pay, of a million.
	PoolCommissionSet struct {
		Pid        uint64 `json:"pid"`
		Commission uint32 `json:"commission"`
	}
	// PoolCapacitySet tells how much stake a pool takes.
	PoolCapacitySet struct {
		Pid uint64         `json:"pid"`
		Cap pallet.Balance `json:"cap"`
	}
	// PoolWorkerAdded tells that a worker is bound to a session of the pool.
	PoolWorkerAdded struct {
		Pid     uint64         `json:"pid"`
		Worker  pallet.Account `json:"worker"`
		Session pallet.Account `json:"session"`
	}
	// PoolWorker is the event of what happened to a worker of a pool.
	PoolWorker struct {
		Pid    uint64         `json:"pid"`
		Worker pallet.Account `json:"worker"`
	}
	// WorkingStarted tells that a worker computes with a stake.
	WorkingStarted struct {
		Pid    uint64         `json:"pid"`
		Worker pallet.Account `json:"worker"`
		Amount pallet.Balance `json:"amount"`
	}
	// Contribution tells of new stake.
	Contribution struct {
		Pid     uint64         `json:"pid"`
		User    pallet.Account `json:"user"`
		Amount  pallet.Balance `json:"amount"`
		Shares  pallet.Balance `json:"shares"`
		AsVault *uint64        `json:"as_vault"`
	}
	// OwnerRewardsWithdrawn tells that an owner took its part.
	OwnerRewardsWithdrawn struct {
		Pid    uint64         `json:"pid"`
		User   pallet.Account `json:"user"`
		Amount pallet.Balance `json:"amount"`
	}
	// RewardReceived tells how pay was parted.
	RewardReceived struct {
		Pid       uint64         `json:"pid"`
		ToOwner   pallet.Balance `json:"to_owner"`
		ToStakers pallet.Balance `json:"to_stakers"`
	}
	// RewardDismissed tells of pay that a pool could not take.
	RewardDismissed struct {
		Pid    uint64         `json:"pid"`
		Amount pallet.Balance `json:"amount"`
	}
	// RewardDismissedNotInPool tells of pay for a worker without a pool.
	RewardDismissedNotInPool struct {
		Worker pallet.Account `json:"worker"`
		Amount pallet.Balance `json:"amount"`
	}
	// Withdrawn is the event Withdrawal.
	Withdrawn struct {
		Pid    uint64         `json:"pid"`
		User   pallet.Account `json:"user"`
		Amount pallet.Balance `json:"amount"`
		Shares pallet.Balance `json:"shares"`
	}
	// WithdrawalQueued tells of shares that wait for stake.
	WithdrawalQueued struct {
		Pid    uint64         `json:"pid"`
		User   pallet.Account `json:"user"`
		Shares pallet.Balance `json:"shares"`
	}
)

// Create makes a pool.
type Create struct{}

// Run implements pallet.Call.
func (*Create) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	pid, _ := poolCount.Get(c.Store)
	poolCount.Put(c.Store, pid+1)
	p := Pool{
		Pid: pid, Owner: who, PoolAccount: derive("bp/", pid, who), LockAccount: derive("sl/", pid, who), OwnerReward: derive("so/", pid, who),
	}
	p.put(c)
	c.Emit(poolName, "PoolCreated", PoolCreated{who, pid, uint32(pid), p.PoolAccount})
	return nil
}

// AddWorker binds a worker to the pool. Whoever signs is the pool's owner, and the worker's operator.
type AddWorker struct {
	Pid    uint64         `json:"pid"`
	Pubkey pallet.Account `json:"pubkey"`
}

// Run implements pallet.Call.
func (a *AddWorker) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	w, ok := registry.Worker(c.Store, a.Pubkey)
	if !ok {
		return poolFail("WorkerNotRegistered", "")
	}
	if w.Operator == nil || *w.Operator != who {
		return poolFail("UnauthorizedOperator", "")
	}
	if w.InitialScore == nil {
		return poolFail("BenchmarkMissing", "")
	}
	if _, err := ownPool(c, a.Pid); err != nil {
		return err
	}
	r, _ := rosters.Get(c.Store, a.Pid)
	if slices.Contains(r.Workers, a.Pubkey) {
		return poolFail("WorkerExists", "")
	}
	if len(r.Workers) >= MaxPoolWorkers {
		return poolFail("WorkersExceedLimit", "")
	}
	session := SessionAccount(a.Pid, a.Pubkey)
	if err := bind(c, session, a.Pubkey); err != nil {
		return poolFail("FailedToBindSessionAndWorker", err.Error())
	}
	preimages.Put(c.Store, session, preimage{a.Pid, a.Pubkey})
	r.Workers = append(r.Workers, a.Pubkey)
	rosters.Put(c.Store, a.Pid, r)
	assignments.Put(c.Store, a.Pubkey, a.Pid)
	c.Emit(poolName, "PoolWorkerAdded", PoolWorkerAdded{a.Pid, a.Pubkey, session})
	return nil
}

// RemoveWorker takes a worker that is ready from the pool.
type RemoveWorker struct {
	Pid    uint64         `json:"pid"`
	Worker pallet.Account `json:"worker"`
}

// Run implements pallet.Call.
func (r *RemoveWorker) Run(c *pallet.Context) error {
	if _, err := ownPool(c, r.Pid); err != nil {
		return err
	}
	pid, ok := assignments.Get(c.Store, r.Worker)
	if !ok {
		return poolFail("WorkerDoesNotExist", "")
	}
	if pid != r.Pid {
		return poolFail("WorkerInAnotherPool", "")
	}
	session := SessionAccount(r.Pid, r.Worker)
	info, ok := sessions.Get(c.Store, session)
	if !ok {
		return poolFail("SessionDoesNotExist", "")
	}
	if info.State != Ready {
		return poolFail("WorkerIsNotReady", "the session is "+info.State.String())
	}
	if err := unbindSession(c, session); err != nil {
		return err
	}
	leavePool(c, r.Worker)
	return nil
}

// SetCap bounds the stake of a pool.
type SetCap struct {
	Pid uint64         `json:"pid"`
	Cap pallet.Balance `json:"cap"`
}

// Run implements pallet.Call.
func (s *SetCap) Run(c *pallet.Context) error {
	p, err := ownPool(c, s.Pid)
	if err != nil {
		return err
	}
	if p.value().Cmp(s.Cap) > 0 {
		return poolFail("InadequateCapacity", "the pool has "+p.value().String())
	}
	p.Cap = &s.Cap
	p.put(c)
	c.Emit(poolName, "PoolCapacitySet", PoolCapacitySet{s.Pid, s.Cap})
	return nil
}

// SetPayoutPref sets the owner's part of all pay, of a million.
type SetPayoutPref struct {
	Pid              uint64  `json:"pid"`
	PayoutCommission *uint32 `json:"payout_commission"`
}

// Run implements pallet.Call.
func (s *SetPayoutPref) Run(c *pallet.Context) error {
	p, err := ownPool(c, s.Pid)
	if err != nil {
		return err
	}
	p.PayoutCommission = 0
	if s.PayoutCommission != nil {
		p.PayoutCommission = min(*s.PayoutCommission, million) // as the original's type saturates
	}
	p.put(c)
	c.Emit(poolName, "PoolCommissionSet", PoolCommissionSet{s.Pid, p.PayoutCommission})
	return nil
}

// ClaimOwnerRewards pays out the owner's part.
type ClaimOwnerRewards struct {
	Pid    uint64         `json:"pid"`
	Target pallet.Account `json:"target"`
}

// Run implements pallet.Call.
func (r *ClaimOwnerRewards) Run(c *pallet.Context) error {
	p, err := ownPool(c, r.Pid)
	if err != nil {
		return err
	}
	all := accounts.Free(c.Store, p.OwnerReward)
	if all.IsZero() {
		return poolFail("NoRewardToClaim", "")
	}
	if err := accounts.Transfer(c, p.OwnerReward, r.Target, all, false); err != nil {
		return err
	}
	c.Emit(poolName, "OwnerRewardsWithdrawn", OwnerRewardsWithdrawn{r.Pid, p.Owner, all})
	return nil
}

// Contribute adds stake to a pool.
type Contribute struct {
	Pid     uint64         `json:"pid"`
	Amount  pallet.Balance `json:"amount"`
	AsVault *uint64        `json:"as_vault"` // there are no vaults
}

// Run implements pallet.Call.
func (r *Contribute) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if r.AsVault != nil {
		return poolFail("FeatureNotEnabled", "there are no vaults")
	}
	p, err := poolOf(c, r.Pid)
	if err != nil {
		return err
	}
	if r.Amount.Cmp(MinContribution) < 0 {
		return poolFail("InsufficientContribution", "at least "+MinContribution.String())
	}
	if accounts.Free(c.Store, who).Cmp(r.Amount) < 0 {
		return poolFail("InsufficientBalance", "")
	}
	if p.Cap != nil && p.value().Plus(r.Amount).Cmp(*p.Cap) > 0 {
		return poolFail("StakeExceedsCapacity", "at most "+p.Cap.String())
	}
	made, err := p.contribute(c, who, r.Amount)
	if err != nil {
		return err
	}
	c.Emit(poolName, "Contribution", Contribution{r.Pid, who, r.Amount, made, nil})
	if err := p.serve(c); err != nil {
		return err
	}
	p.put(c)
	return nil
}

// Withdraw takes stake from a pool, by shares. What is not free waits, and replaces what waited before.
type Withdraw struct {
	Pid     uint64         `json:"pid"`
	Shares  pallet.Balance `json:"shares"`
	AsVault *uint64        `json:"as_vault"` // there are no vaults
}

// Run implements pallet.Call.
func (w *Withdraw) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if w.AsVault != nil {
		return poolFail("FeatureNotEnabled", "there are no vaults")
	}
	p, err := poolOf(c, w.Pid)
	if err != nil {
		return err
	}
	had, ok := shares.Get(c.Store, w.Pid, who)
	if !ok {
		return poolFail("NoNftToWithdraw", "")
	}
	if w.Shares.IsZero() || w.Shares.Cmp(had) > 0 {
		return poolFail("InvalidWithdrawalAmount", "there are "+had.String()+" shares")
	}
	p.Queue = slices.DeleteFunc(p.Queue, func(q Withdrawal) bool { return q.User == who })
	if len(p.Queue) >= MaxQueue {
		return poolFail("_PoolIsBusy", "too many wait for stake")
	}
	p.Queue = append(p.Queue, Withdrawal{who, w.Shares, seconds(c)})
	if err := p.serve(c); err != nil {
		return err
	}
	if n := len(p.Queue); n > 0 && p.Queue[n-1].User == who {
		c.Emit(baseName, "WithdrawalQueued", WithdrawalQueued{w.Pid, who, p.Queue[n-1].Shares})
	}
	p.put(c)
	return nil
}

// CheckAndMaybeForceWithdraw serves those who wait for stake. If one has waited for too long, all workers of the pool are stopped.
// Anybody may ask for it.
type CheckAndMaybeForceWithdraw struct {
	Pid uint64 `json:"pid"`
}

// Run implements pallet.Call.
func (f *CheckAndMaybeForceWithdraw) Run(c *pallet.Context) error {
	if _, err := c.Signer(); err != nil {
		return err
	}
	p, err := poolOf(c, f.Pid)
	if err != nil {
		return err
	}
	if err := p.serve(c); err != nil {
		return err
	}
	p.put(c)
	r, _ := rosters.Get(c.Store, f.Pid)
	releasing, computing := p.Locked, []pallet.Account(nil)
	for _, worker := range r.Workers {
		session := SessionAccount(f.Pid, worker)
		if info, _ := sessions.Get(c.Store, session); info.State.computes() {
			stake, _ := stakes.Get(c.Store, session)
			releasing, computing = minus(releasing, stake), append(computing, session)
		}
	}
	if !p.overdue(seconds(c), releasing) {
		return nil
	}
	for _, session := range computing {
		if err := stop(c, session); err != nil {
			return err
		}
	}
	return nil
}

// StartComputing starts a worker with stake of the pool.
type StartComputing struct {
	Pid    uint64         `json:"pid"`
	Worker pallet.Account `json:"worker"`
	Stake  pallet.Balance `json:"stake"`
}

// Run implements pallet.Call.
func (s *StartComputing) Run(c *pallet.Context) error {
	p, err := ownPool(c, s.Pid)
	if err != nil {
		return err
	}
	return p.startWorker(c, s.Worker, s.Stake)
}

// StopComputing stops a worker, whose stake cools down.
type StopComputing struct {
	Pid    uint64         `json:"pid"`
	Worker pallet.Account `json:"worker"`
}

// Run implements pallet.Call.
func (s *StopComputing) Run(c *pallet.Context) error {
	p, err := ownPool(c, s.Pid)
	if err != nil {
		return err
	}
	return p.stopWorker(c, s.Worker)
}

// ReclaimPoolWorker frees the stake of a worker that has cooled down. Anybody may ask for it.
type ReclaimPoolWorker struct {
	Pid    uint64         `json:"pid"`
	Worker pallet.Account `json:"worker"`
}

// Run implements pallet.Call.
func (r *ReclaimPoolWorker) Run(c *pallet.Context) error {
	if _, err := c.Signer(); err != nil {
		return err
	}
	p, err := poolOf(c, r.Pid)
	if err != nil {
		return err
	}
	_, err = p.reclaimWorker(c, r.Worker, true)
	return err
}

// RestartComputing gives a worker more stake, without a cool-down.
type RestartComputing struct {
	Pid    uint64         `json:"pid"`
	Worker pallet.Account `json:"worker"`
	Stake  pallet.Balance `json:"stake"`
}

// Run implements pallet.Call.
func (r *RestartComputing) Run(c *pallet.Context) error {
	p, err := ownPool(c, r.Pid)
	if err != nil {
		return err
	}
	if len(p.Queue) > 0 {
		return poolFail("WithdrawQueueNotEmpty", "")
	}
	if err := p.stopWorker(c, r.Worker); err != nil {
		return err
	}
	old, err := p.reclaimWorker(c, r.Worker, false)
	if err != nil {
		return err
	}
	if r.Stake.Cmp(old) <= 0 {
		return poolFail("CannotRestartWithLessStake", "it has "+old.String())
	}
	return p.startWorker(c, r.Worker, r.Stake)
}
