package computation

import (
	"math/big"
	"slices"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const (
	poolName = "PhalaStakePoolv2"
	baseName = "PhalaBasePool" // whose events tell of withdrawals
)

// Bounds of pools.
const (
	MaxPoolWorkers = 1024
	MaxQueue       = 64      // withdrawals of a pool that wait for stake
	GracePeriod    = 604_800 // seconds that they wait before anybody can have the pool's workers stopped
)

// MinContribution is the least that one can contribute, in units.
var MinContribution = pallet.Units(UnitsPerToken / 100)

func poolFail(err, detail string) *pallet.Error { return pallet.Fail(poolName, err, detail) }

// Withdrawal waits until the pool has free stake.
type Withdrawal struct {
	User      pallet.Account `json:"user"`
	Shares    pallet.Balance `json:"shares"`
	StartTime uint64         `json:"start_time"` // seconds of Unix time
}

// Pool is stake of many for the workers of one.
type Pool struct {
	Pid              uint64          `json:"pid"`
	Owner            pallet.Account  `json:"owner"`
	TotalShares      pallet.Balance  `json:"total_shares"`
	Free             pallet.Balance  `json:"free"`   // on PoolAccountID
	Locked           pallet.Balance  `json:"locked"` // on LockAccount, for sessions that compute or cool down
	Cap              *pallet.Balance `json:"cap"`
	PayoutCommission uint32          `json:"payout_commission"` // of a million
	Queue            []Withdrawal    `json:"withdraw_queue" scale:"max=64"`
	PoolAccount      pallet.Account  `json:"pool_account_id"`
	LockAccount      pallet.Account  `json:"lock_account"`
	OwnerReward      pallet.Account  `json:"owner_reward_account"`
}

// roster is the workers of a pool.
type roster struct {
	Workers []pallet.Account `scale:"max=1024"`
}

// preimage is what a session's account is made of.
type preimage struct {
	Pid    uint64
	Worker pallet.Account
}

var (
	pools       = state.NewMap[uint64, Pool](baseName, "Pools")
	poolCount   = state.NewItem[uint64](baseName, "PoolCount")
	shares      = state.NewDouble[uint64, pallet.Account, pallet.Balance](poolName, "Shares")
	rosters     = state.NewMap[uint64, roster](poolName, "PoolWorkers")
	assignments = state.NewMap[pallet.Account, uint64](poolName, "WorkerAssignments")
	preimages   = state.NewMap[pallet.Account, preimage](poolName, "SubAccountPreimages")
)

// derive makes an account that nobody has a key of, as the original does: a tag of four bytes and the beginning of a hash.
func derive(tag string, pid uint64, of pallet.Account) (a pallet.Account) {
	var e scale.Encoder
	e.U64(pid)
	e.Raw(of[:])
	hash := blake2b.Sum256(e.Encoded())
	copy(a[copy(a[:], tag):], hash[:])
	return a
}

// SessionAccount returns the account of the session that a worker of a pool has.
func SessionAccount(pid uint64, worker pallet.Account) pallet.Account {
	return derive("spm/", pid, worker)
}

// value is all stake of a pool.
func (p *Pool) value() pallet.Balance { return p.Free.Plus(p.Locked) }

// part returns a*b/c, cut off. c must not be 0, and no less than a or b.
func part(a, b, c pallet.Balance) pallet.Balance {
	x, y, z := wide(a), wide(b), wide(c)
	var out [16]byte
	x.Mul(x, y).Quo(x, z)
	if x.BitLen() > 128 { // a value that grew beyond all money
		return pallet.Balance{Lo: ^uint64(0), Hi: ^uint64(0)}
	}
	x.FillBytes(out[:])
	var n pallet.Balance
	for i := range 8 {
		n.Hi, n.Lo = n.Hi<<8|uint64(out[i]), n.Lo<<8|uint64(out[8+i])
	}
	return n
}

func wide(b pallet.Balance) *big.Int {
	n := new(big.Int).SetUint64(b.Hi)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(b.Lo))
}

// minus is for differences that there are.
func minus(a, b pallet.Balance) pallet.Balance {
	d, _ := a.Minus(b)
	return d
}

func poolOf(c *pallet.Context, pid uint64) (*Pool, error) {
	p, ok := pools.Get(c.Store, pid)
	if !ok {
		return nil, poolFail("PoolDoesNotExist", "")
	}
	return &p, nil
}

// ownPool is for calls of the pool's owner.
func ownPool(c *pallet.Context, pid uint64) (*Pool, error) {
	who, err := c.Signer()
	if err != nil {
		return nil, err
	}
	p, err := poolOf(c, pid)
	if err != nil {
		return nil, err
	}
	if p.Owner != who {
		return nil, poolFail("UnauthorizedPoolOwner", "")
	}
	return p, nil
}

func (p *Pool) put(c *pallet.Context) { pools.Put(c.Store, p.Pid, *p) }

// contribute makes shares of an amount that the pool has got.
func (p *Pool) contribute(c *pallet.Context, who pallet.Account, amount pallet.Balance) (pallet.Balance, error) {
	made := amount
	if !p.TotalShares.IsZero() {
		if p.value().IsZero() {
			return made, poolFail("PoolBankrupt", "")
		}
		made = part(amount, p.TotalShares, p.value())
	}
	if made.IsZero() {
		return made, poolFail("InsufficientContribution", "a share is worth more")
	}
	if err := accounts.Transfer(c, who, p.PoolAccount, amount, false); err != nil {
		return made, err
	}
	had, _ := shares.Get(c.Store, p.Pid, who)
	shares.Put(c.Store, p.Pid, who, had.Plus(made))
	p.TotalShares, p.Free = p.TotalShares.Plus(made), p.Free.Plus(amount)
	return made, nil
}

// redeem pays for shares of an account, as far as free stake reaches, and returns how many it paid for.
func (p *Pool) redeem(c *pallet.Context, who pallet.Account, wanted pallet.Balance) (pallet.Balance, error) {
	had, _ := shares.Get(c.Store, p.Pid, who)
	done := lesser(wanted, had)
	if done.IsZero() || p.value().IsZero() {
		return pallet.Balance{}, nil
	}
	amount := part(done, p.value(), p.TotalShares)
	if amount.Cmp(p.Free) > 0 {
		done = lesser(done, part(p.Free, p.TotalShares, p.value()))
		amount = lesser(p.Free, part(done, p.value(), p.TotalShares))
	}
	if done.IsZero() {
		return done, nil
	}
	if err := accounts.Transfer(c, p.PoolAccount, who, amount, false); err != nil {
		return done, err
	}
	if left := minus(had, done); left.IsZero() {
		shares.Delete(c.Store, p.Pid, who)
	} else {
		shares.Put(c.Store, p.Pid, who, left)
	}
	p.TotalShares, p.Free = minus(p.TotalShares, done), minus(p.Free, amount)
	c.Emit(baseName, "Withdrawal", Withdrawn{p.Pid, who, amount, done})
	return done, nil
}

// serve pays those who wait, in their order, until free stake ends.
func (p *Pool) serve(c *pallet.Context) error {
	for len(p.Queue) > 0 {
		first := &p.Queue[0]
		done, err := p.redeem(c, first.User, first.Shares)
		if err != nil {
			return err
		}
		first.Shares = minus(first.Shares, done)
		if had, _ := shares.Get(c.Store, p.Pid, first.User); !first.Shares.IsZero() && !had.IsZero() {
			return nil
		}
		p.Queue = p.Queue[1:]
	}
	return nil
}

// lock moves stake to a session.
func (p *Pool) lock(c *pallet.Context, stake pallet.Balance) error {
	left, ok := p.Free.Minus(stake)
	if !ok {
		return poolFail("InsufficientFreeStake", "the pool has "+p.Free.String())
	}
	if err := accounts.Transfer(c, p.PoolAccount, p.LockAccount, stake, false); err != nil {
		return err
	}
	p.Free, p.Locked = left, p.Locked.Plus(stake)
	return nil
}

// startWorker starts a worker of the pool.
func (p *Pool) startWorker(c *pallet.Context, worker pallet.Account, stake pallet.Balance) error {
	if p.Free.Cmp(stake) < 0 {
		return poolFail("InsufficientFreeStake", "the pool has "+p.Free.String())
	}
	if pid, ok := assignments.Get(c.Store, worker); !ok || pid != p.Pid {
		return poolFail("WorkerDoesNotExist", "")
	}
	if err := start(c, SessionAccount(p.Pid, worker), stake); err != nil {
		return err
	}
	if err := p.lock(c, stake); err != nil {
		return err
	}
	p.put(c)
	c.Emit(poolName, "WorkingStarted", WorkingStarted{p.Pid, worker, stake})
	return nil
}

// stopWorker stops a worker of the pool.
func (p *Pool) stopWorker(c *pallet.Context, worker pallet.Account) error {
	if pid, ok := assignments.Get(c.Store, worker); !ok || pid != p.Pid {
		return poolFail("WorkerDoesNotExist", "")
	}
	session := SessionAccount(p.Pid, worker)
	if info, _ := sessions.Get(c.Store, session); info.State == WorkerCoolingDown {
		return poolFail("WorkerAlreadyStopped", "")
	}
	return stop(c, session)
}

// reclaimWorker gives the pool back what a session had.
func (p *Pool) reclaimWorker(c *pallet.Context, worker pallet.Account, wait bool) (pallet.Balance, error) {
	stake, err := reclaim(c, SessionAccount(p.Pid, worker), wait)
	if err != nil {
		return stake, err
	}
	if err := accounts.Transfer(c, p.LockAccount, p.PoolAccount, stake, false); err != nil {
		return stake, err
	}
	p.Free, p.Locked = p.Free.Plus(stake), minus(p.Locked, stake)
	c.Emit(poolName, "WorkerReclaimed", PoolWorker{p.Pid, worker})
	if err := p.serve(c); err != nil {
		return stake, err
	}
	p.put(c)
	return stake, nil
}

// overdue says whether a withdrawal has waited for too long, for more than what is free and what cools down: releasing.
func (p *Pool) overdue(now uint64, releasing pallet.Balance) bool {
	coming := p.Free.Plus(releasing)
	for _, q := range p.Queue {
		left, ok := coming.Minus(part(q.Shares, p.value(), p.TotalShares))
		if !ok {
			return now-min(q.StartTime, now) > GracePeriod
		}
		coming = left
	}
	return false
}

// lockForced locks the stake that governance has started a session with.
func lockForced(c *pallet.Context, session pallet.Account, stake pallet.Balance) error {
	of, ok := preimages.Get(c.Store, session)
	if !ok {
		return fail("SessionNotFound", "it is of no pool")
	}
	p, err := poolOf(c, of.Pid)
	if err != nil {
		return err
	}
	if err := p.lock(c, stake); err != nil {
		return err
	}
	p.put(c)
	return nil
}

// leavePool takes a worker from its pool, if it has one.
func leavePool(c *pallet.Context, worker pallet.Account) {
	pid, ok := assignments.Get(c.Store, worker)
	if !ok {
		return
	}
	assignments.Delete(c.Store, worker)
	r, _ := rosters.Get(c.Store, pid)
	if i := slices.Index(r.Workers, worker); i >= 0 {
		r.Workers = slices.Delete(r.Workers, i, i+1)
		rosters.Put(c.Store, pid, r)
	}
	c.Emit(poolName, "PoolWorkerRemoved", PoolWorker{pid, worker})
}

// reward gives a worker's pay to its pool, and returns what was given. What has no taker stays with the subsidies.
func reward(c *pallet.Context, worker pallet.Account, amount pallet.Balance) pallet.Balance {
	if amount.IsZero() {
		return amount
	}
	pid, ok := assignments.Get(c.Store, worker)
	if !ok {
		c.Emit(poolName, "RewardDismissedNotInPool", RewardDismissedNotInPool{worker, amount})
		return pallet.Balance{}
	}
	p, ok := pools.Get(c.Store, pid)
	if !ok || p.TotalShares.IsZero() {
		c.Emit(poolName, "RewardDismissedNoShare", RewardDismissed{pid, amount})
		return pallet.Balance{}
	}
	owner := part(amount, pallet.Units(uint64(p.PayoutCommission)), pallet.Units(million))
	stakers := minus(amount, owner)
	// The caller has looked how much there is.
	if accounts.Transfer(c, Subsidy(), p.OwnerReward, owner, false) != nil || accounts.Transfer(c, Subsidy(), p.PoolAccount, stakers, false) != nil {
		c.Emit(name, "InternalErrorWorkerSettleFailed", InternalErrorWorkerSettleFailed{worker})
		return pallet.Balance{}
	}
	p.Free = p.Free.Plus(stakers)
	p.put(c)
	c.Emit(poolName, "RewardReceived", RewardReceived{pid, owner, stakers})
	return amount
}
