package computation

import (
	"fmt"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const name = "PhalaComputation"

func fail(err, detail string) *pallet.Error { return pallet.Fail(name, err, detail) }

// WorkerState is what a session does.
type WorkerState uint8

// The states, by their numbers on chain.
const (
	Ready              WorkerState = 0
	WorkerIdle         WorkerState = 1
	WorkerUnresponsive WorkerState = 3
	WorkerCoolingDown  WorkerState = 4
)

func (w WorkerState) String() string {
	switch w {
	case Ready:
		return "Ready"
	case WorkerIdle:
		return "WorkerIdle"
	case WorkerUnresponsive:
		return "WorkerUnresponsive"
	case WorkerCoolingDown:
		return "WorkerCoolingDown"
	}
	return fmt.Sprintf("state(%d)", uint8(w))
}

// MarshalText is String.
func (w WorkerState) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

func (w WorkerState) computes() bool { return w == WorkerIdle || w == WorkerUnresponsive }

// Benchmark is how fast a session's worker is.
type Benchmark struct {
	PInit             uint32 `json:"p_init"`
	PInstant          uint32 `json:"p_instant"`
	Iterations        uint64 `json:"iterations"`
	WorkingStartTime  uint64 `json:"working_start_time"`  // seconds of Unix time
	ChallengeTimeLast uint64 `json:"challenge_time_last"` // seconds of Unix time
}

// Stats sums a session up.
type Stats struct {
	TotalReward pallet.Balance `json:"total_reward"`
}

// SessionInfo is what is known of a session. V is that of the last settlement: what it is now, is in the view.
type SessionInfo struct {
	State         WorkerState  `json:"state"`
	Ve            fixed.U64F64 `json:"ve"`
	V             fixed.U64F64 `json:"v"`
	VUpdatedAt    uint64       `json:"v_updated_at"` // seconds of Unix time
	Benchmark     Benchmark    `json:"benchmark"`
	CoolDownStart uint64       `json:"cool_down_start"` // seconds of Unix time
	Stats         Stats        `json:"stats"`
}

var (
	sessions        = state.NewMap[pallet.Account, SessionInfo](name, "Sessions")
	sessionBindings = state.NewMap[pallet.Account, pallet.Account](name, "SessionBindings")
	workerBindings  = state.NewMap[pallet.Account, pallet.Account](name, "WorkerBindings")
	stakes          = state.NewMap[pallet.Account, pallet.Balance](name, "Stakes")
)

func seconds(c *pallet.Context) uint64 { return c.Time / 1000 }

// IsComputing says whether a worker computes, unresponsive or not.
func IsComputing(s *state.Store, worker pallet.Account) bool { return places.Has(s, worker) }

// SetInitialScore sets the score that a worker starts with.
//
// # Errors
//
// Those of the registry.
func SetInitialScore(c *pallet.Context, worker pallet.Account, score uint32) error {
	return registry.SetInitialScore(c, worker, score)
}

// bind gives a worker to a session.
func bind(c *pallet.Context, session, worker pallet.Account) error {
	w, ok := registry.Worker(c.Store, worker)
	if !ok {
		return fail("WorkerNotRegistered", "")
	}
	if w.InitialScore == nil {
		return fail("BenchmarkMissing", "")
	}
	if sessionBindings.Has(c.Store, session) {
		return fail("DuplicateBoundSession", "")
	}
	if workerBindings.Has(c.Store, worker) {
		return fail("DuplicateBoundWorker", "")
	}
	// A session that cools down still holds a stake: to make it new would lose it.
	if old, ok := sessions.Get(c.Store, session); ok && old.State != Ready || stakes.Has(c.Store, session) {
		return fail("WorkerNotReady", "the session is "+old.State.String())
	}
	sessionBindings.Put(c.Store, session, worker)
	workerBindings.Put(c.Store, worker, session)
	now := seconds(c)
	sessions.Put(c.Store, session, SessionInfo{VUpdatedAt: now, Benchmark: Benchmark{WorkingStartTime: now}})
	c.Emit(name, "SessionBound", SessionBound{session, worker})
	return nil
}

// unbindSession takes the worker from a session, and stops it before if it computes.
func unbindSession(c *pallet.Context, session pallet.Account) error {
	worker, ok := sessionBindings.Get(c.Store, session)
	if !ok {
		return fail("SessionNotBound", "")
	}
	if info, _ := sessions.Get(c.Store, session); info.State.computes() {
		if err := stop(c, session); err != nil {
			return err
		}
	}
	sessionBindings.Delete(c.Store, session)
	workerBindings.Delete(c.Store, worker)
	c.Emit(name, "SessionUnbound", SessionUnbound{session, worker})
	return nil
}

// start lets a session compute with a stake, which is locked by then.
func start(c *pallet.Context, session pallet.Account, stake pallet.Balance) error {
	worker, ok := sessionBindings.Get(c.Store, session)
	if !ok {
		return fail("SessionNotFound", "")
	}
	info, _ := sessions.Get(c.Store, session)
	if info.State != Ready {
		return fail("WorkerNotReady", "the session is "+info.State.String())
	}
	if stakes.Has(c.Store, session) {
		return fail("InternalErrorCannotStartWithExistingStake", "")
	}
	w, ok := registry.Worker(c.Store, worker)
	if !ok {
		return fail("WorkerNotRegistered", "")
	}
	if w.InitialScore == nil {
		return fail("BenchmarkMissing", "")
	}
	score := *w.InitialScore
	if score < MinInitP {
		return fail("BenchmarkTooLow", fmt.Sprintf("%d, below %d", score, MinInitP))
	}
	p, ok := parameters.Get(c.Store)
	if !ok {
		return fail("InternalErrorBadTokenomicParameters", "there are none")
	}
	if least := units(p.minStake(score)); stake.Cmp(least) < 0 {
		return fail("InsufficientStake", "at least "+least.String()+" for a score of "+fmt.Sprint(score))
	}
	ve := p.ve(tokens(stake), score, w.ConfidenceLevel)
	if ve.Cmp(p.VMax) > 0 {
		return fail("TooMuchStake", "V would be "+ve.String()+", above "+p.VMax.String())
	}
	if n, _ := onlineWorkers.Get(c.Store); n >= MaxComputing {
		return fail("TooManyWorkers", fmt.Sprintf("%d compute", n))
	}
	now, id := seconds(c), uint32(0)
	id, _ = nextSession.Get(c.Store)
	nextSession.Put(c.Store, id+1)
	stakes.Put(c.Store, session, stake)
	info.State, info.Ve, info.V, info.VUpdatedAt, info.Stats = WorkerIdle, ve, ve, now, Stats{}
	info.Benchmark = Benchmark{PInit: score, PInstant: score, WorkingStartTime: now, ChallengeTimeLast: now}
	sessions.Put(c.Store, session, info)
	bench := fixed.FromInt(uint64(score))
	sit(c.Store, seat{
		Worker: worker, Hash: blake2b.Sum256(worker[:]), SessionID: id, Confidence: w.ConfidenceLevel,
		PaidAt: c.Height, V: ve, Bench: bench, Instant: bench, Counted: c.Time,
	})
	c.Emit(name, "WorkerStarted", WorkerStarted{session, ve, score, worker, id})
	return nil
}

// stop ends a session's computing, and begins its cool-down.
func stop(c *pallet.Context, session pallet.Account) error {
	worker, ok := sessionBindings.Get(c.Store, session)
	if !ok {
		return fail("SessionNotBound", "")
	}
	info, ok := sessions.Get(c.Store, session)
	if !ok {
		return fail("SessionNotFound", "")
	}
	if !info.State.computes() {
		return fail("WorkerNotComputing", "the session is "+info.State.String())
	}
	last, _ := rise(c.Store, worker)
	info.State, info.CoolDownStart = WorkerCoolingDown, seconds(c)
	info.V, info.VUpdatedAt = last.V, info.CoolDownStart
	sessions.Put(c.Store, session, info)
	c.Emit(name, "WorkerStopped", WorkerStopped{session, worker, last.SessionID, last.V})
	return nil
}

// reclaim ends the cool-down of a session, and returns the stake that is free then.
func reclaim(c *pallet.Context, session pallet.Account, wait bool) (pallet.Balance, error) {
	info, ok := sessions.Get(c.Store, session)
	if !ok {
		return pallet.Balance{}, fail("SessionNotFound", "")
	}
	if info.State != WorkerCoolingDown {
		return pallet.Balance{}, fail("CoolDownNotReady", "the session is "+info.State.String())
	}
	period, _ := coolDown.Get(c.Store)
	if gone := seconds(c) - min(info.CoolDownStart, seconds(c)); wait && gone < period {
		return pallet.Balance{}, fail("CoolDownNotReady", fmt.Sprintf("%d seconds are left", period-gone))
	}
	info.State, info.CoolDownStart = Ready, 0
	sessions.Put(c.Store, session, info)
	stake, _ := stakes.Get(c.Store, session)
	stakes.Delete(c.Store, session)
	c.Emit(name, "WorkerReclaimed", WorkerReclaimed{Session: session, OriginalStake: stake})
	return stake, nil
}
