package computation

import (
	"encoding/json"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// WorkerView is what is shown of a worker.
type WorkerView struct {
	Worker           pallet.Account  `json:"worker"`
	State            WorkerState     `json:"state"`
	SessionID        *uint32         `json:"session_id"` // null unless it computes
	Session          pallet.Account  `json:"session"`
	Pid              *uint64         `json:"pid"`
	V                fixed.U64F64    `json:"v"`
	Ve               fixed.U64F64    `json:"ve"`
	PInit            uint32          `json:"p_init"`
	PInstant         uint32          `json:"p_instant"`
	P                fixed.U64F64    `json:"p"` // P instant in full
	Confidence       *uint8          `json:"confidence_level"`
	Deductible       fixed.U64F64    `json:"deductible"`
	Waiting          uint32          `json:"waiting_challenges"`
	WaitingSince     *uint64         `json:"waiting_since"` // height of the first of them
	Unresponsive     bool            `json:"unresponsive"`
	LastHeartbeat    *uint64         `json:"last_heartbeat"` // height
	PaidUntil        *uint64         `json:"paid_until"`     // height
	Iterations       uint64          `json:"iterations"`
	IterationsBased  bool            `json:"iterations_based"`
	WorkingStartTime uint64          `json:"working_start_time"`
	CoolDownStart    uint64          `json:"cool_down_start"`
	Stake            *pallet.Balance `json:"stake"`
	Paid             pallet.Balance  `json:"paid"` // in units, to the pool, in this session
}

// Look returns what is known of a worker that is bound to a session.
func Look(s *state.Store, worker pallet.Account) (WorkerView, bool) {
	session, ok := workerBindings.Get(s, worker)
	if !ok {
		return WorkerView{}, false
	}
	info, _ := sessions.Get(s, session)
	v := WorkerView{
		Worker: worker, State: info.State, Session: session, V: info.V, Ve: info.Ve, PInit: info.Benchmark.PInit, PInstant: info.Benchmark.PInstant,
		P: fixed.FromInt(uint64(info.Benchmark.PInstant)), Iterations: info.Benchmark.Iterations, WorkingStartTime: info.Benchmark.WorkingStartTime,
		CoolDownStart: info.CoolDownStart, Paid: info.Stats.TotalReward,
	}
	if pid, ok := assignments.Get(s, worker); ok {
		v.Pid = &pid
	}
	if stake, ok := stakes.Get(s, session); ok {
		v.Stake = &stake
	}
	if _, at, _, ok := find(s, worker); ok {
		v.SessionID, v.V, v.P, v.Confidence = &at.SessionID, at.V, at.Instant, &at.Confidence
		v.Deductible, v.Waiting, v.Unresponsive = at.Deductible, at.Waiting, at.Unresponsive
		v.PaidUntil, v.Iterations, v.IterationsBased = &at.PaidAt, at.Iterations, at.Based
		if at.BeatAt > 0 {
			v.LastHeartbeat = &at.BeatAt
		}
		if at.Waiting > 0 {
			v.WaitingSince = &at.Since
		}
	}
	return v, true
}

func notFound(what string) error {
	return fault.New(fault.CallerNotFound, "view", what, nil)
}

func viewWorker(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Worker pallet.Account `json:"worker"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	v, ok := Look(c.Store, p.Worker)
	if !ok {
		return nil, notFound("worker " + p.Worker.String())
	}
	return v, nil
}

// viewWorkers are those that compute.
func viewWorkers(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[uint32]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	a, n := pallet.NewAnswer[uint32, WorkerView](p), uint32(0)
	online, _ := onlineWorkers.Get(c.Store)
	if p.After != nil {
		n = min(*p.After, online) + 1
	}
	for ; n < online; n++ {
		seats, _ := chunks.Get(c.Store, n/chunkSeats)
		if int(n%chunkSeats) >= len(seats) {
			break
		}
		v, _ := Look(c.Store, seats[n%chunkSeats].Worker)
		if !a.Add(n, v) {
			break
		}
	}
	return a, nil
}

// ParamsView is what is shown of all.
type ParamsView struct {
	Tokenomic       TokenomicParameters  `json:"tokenomic_parameters"`
	Scheduled       *TokenomicParameters `json:"scheduled_tokenomic_update"`
	StaticV         bool                 `json:"static_v"`
	HeartbeatPaused bool                 `json:"heartbeat_paused"`
	Expected        uint32               `json:"expected_heartbeat_count"`
	BlockSeconds    uint32               `json:"block_time_sec"`
	CoolDown        uint64               `json:"cool_down_period_sec"`
	OnlineWorkers   uint32               `json:"online_workers"`
	NextSessionID   uint32               `json:"next_session_id"`
	SumShare        fixed.U64F64         `json:"sum_share"`
	OnlineTarget    U256                 `json:"online_target"` // of a challenge now
	MinInitP        uint32               `json:"min_init_p"`
	UnitsPerToken   uint64               `json:"units_per_token"`
	MaxBudget       *pallet.Balance      `json:"max_budget_limit"`
	SubsidyAccount  pallet.Account       `json:"subsidy_account"`
	Subsidy         pallet.Balance       `json:"subsidy"`
	TreasuryAccount pallet.Account       `json:"treasury_account"`
	Treasury        pallet.Balance       `json:"treasury"`
	Dropped         map[Reason]uint64    `json:"dropped_heartbeats"`
}

func viewParams(c *pallet.Context, params json.RawMessage) (any, error) {
	if err := pallet.Params(params, &struct{}{}); err != nil {
		return nil, err
	}
	s := c.Store
	v := ParamsView{
		BlockSeconds: secondsPerBlock(c), MinInitP: MinInitP, UnitsPerToken: UnitsPerToken, Expected: DefaultExpected,
		SubsidyAccount: Subsidy(), Subsidy: accounts.Free(s, Subsidy()), TreasuryAccount: Treasury(), Treasury: accounts.Free(s, Treasury()),
		Dropped: map[Reason]uint64{},
	}
	v.Tokenomic, _ = parameters.Get(s)
	if next, ok := scheduled.Get(s); ok {
		v.Scheduled = &next
	}
	if most, ok := maxBudget.Get(s); ok {
		v.MaxBudget = &most
	}
	if n, ok := expected.Get(s); ok {
		v.Expected = n
	}
	off, known := paused.Get(s)
	v.HeartbeatPaused = off || !known
	v.StaticV, _ = staticV.Get(s)
	v.CoolDown, _ = coolDown.Get(s)
	v.OnlineWorkers, _ = onlineWorkers.Get(s)
	v.NextSessionID, _ = nextSession.Get(s)
	v.SumShare, _ = sumShare.Get(s)
	v.OnlineTarget = Target(v.Expected, v.OnlineWorkers, v.BlockSeconds)
	for _, r := range reasons {
		v.Dropped[r], _ = dropped.Get(s, r)
	}
	return v, nil
}

// PoolView is what is shown of a pool.
type PoolView struct {
	Pool
	TotalValue pallet.Balance   `json:"total_value"`
	Reward     pallet.Balance   `json:"owner_reward"`
	Workers    []pallet.Account `json:"workers"`
}

func showPool(c *pallet.Context, pid uint64) (PoolView, bool) {
	p, ok := pools.Get(c.Store, pid)
	if !ok {
		return PoolView{}, false
	}
	r, _ := rosters.Get(c.Store, pid)
	p.Queue, r.Workers = append([]Withdrawal{}, p.Queue...), append([]pallet.Account{}, r.Workers...) // no null in JSON
	return PoolView{p, p.value(), accounts.Free(c.Store, p.OwnerReward), r.Workers}, true
}

func viewPool(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Pid uint64 `json:"pid"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	v, ok := showPool(c, p.Pid)
	if !ok {
		return nil, notFound("pool")
	}
	return v, nil
}

func viewPools(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[uint64]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	a, pid := pallet.NewAnswer[uint64, PoolView](p), uint64(0)
	n, _ := poolCount.Get(c.Store)
	if p.After != nil {
		pid = min(*p.After, n) + 1
	}
	for ; pid < n; pid++ {
		v, _ := showPool(c, pid)
		v.Workers = v.Workers[:min(len(v.Workers), pallet.MaxPage)] // all are in the view of the pool
		if !a.Add(pid, v) {
			break
		}
	}
	return a, nil
}

// viewShares is what an account has in a pool.
func viewShares(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Pid     uint64         `json:"pid"`
		Account pallet.Account `json:"account"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	pool, ok := pools.Get(c.Store, p.Pid)
	if !ok {
		return nil, notFound("pool")
	}
	var v struct {
		Shares pallet.Balance `json:"shares"`
		Value  pallet.Balance `json:"value"`
	}
	if v.Shares, ok = shares.Get(c.Store, p.Pid, p.Account); ok {
		v.Value = part(v.Shares, pool.value(), pool.TotalShares)
	}
	return v, nil
}
