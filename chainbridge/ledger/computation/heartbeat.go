package computation

import (
	"math"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

// Reason is why a heartbeat was dropped.
type Reason string

// The reasons.
const (
	UnknownWorker   Reason = "unknown_worker"   // it is not registered
	NotComputing    Reason = "not_computing"    // it has no session
	SessionMismatch Reason = "session_mismatch" // it is of another session
	NoChallenge     Reason = "no_challenge"     // there is nothing to answer
	ClockBehind     Reason = "clock_behind"     // it is not after the one before
)

var reasons = []Reason{UnknownWorker, NotComputing, SessionMismatch, NoChallenge, ClockBehind}

func drop(c *pallet.Context, worker pallet.Account, why Reason) {
	n, _ := dropped.Get(c.Store, why)
	if n < math.MaxUint64 {
		dropped.Put(c.Store, why, n+1)
	}
	c.Emit(name, "HeartbeatDropped", HeartbeatDropped{worker, why})
}

// Beat is what became of a score that is a heartbeat.
type Beat struct {
	Answered  bool // it counts, and has answered all challenges
	SessionID uint32
	PInstant  uint32
}

// Heartbeat answers the challenges of a worker that its score vouches for: iterations is the counter of its app session, at the time
// in seconds. The first since the start tells where the counter stands, and answers nothing. What cannot count is dropped, with an
// event.
//
// # Errors
//
// PhalaComputation.WorkerNotComputing.
func Heartbeat(c *pallet.Context, worker pallet.Account, iterations, at uint64) (Beat, error) {
	seats, who, number, ok := find(c.Store, worker)
	if !ok {
		return Beat{}, fail("WorkerNotComputing", "")
	}
	now := at * 1000
	if at > math.MaxUint64/1000 {
		now = math.MaxUint64
	}
	switch {
	case !who.Based:
		who.Based, who.Counted = true, now
	case now <= who.Counted:
		drop(c, worker, ClockBehind)
	default:
		return beat(c, seats, who, number, iterations, now), nil
	}
	who.Iterations = iterations
	chunks.Put(c.Store, number/chunkSeats, seats)
	return Beat{SessionID: who.SessionID}, nil
}

// HeartbeatV3 is the call heartbeat: the worker itself answers its challenges. Iterations are those since the session's start. P is
// what the ledger makes of them, whatever the worker says.
type HeartbeatV3 struct {
	SessionID  uint32 `json:"session_id"`
	Iterations uint64 `json:"iterations"`
	PInstant   uint32 `json:"p_instant"`
}

// Run implements pallet.Call.
func (h *HeartbeatV3) Run(c *pallet.Context) error {
	worker, err := c.Signer()
	if err != nil {
		return err
	}
	seats, who, number, ok := find(c.Store, worker)
	switch {
	case ok && who.SessionID != h.SessionID:
		drop(c, worker, SessionMismatch)
	case ok:
		beat(c, seats, who, number, h.Iterations, c.Time)
	default:
		why := NotComputing
		if _, known := registry.Worker(c.Store, worker); !known {
			why = UnknownWorker
		}
		drop(c, worker, why)
	}
	return nil
}

// beat is a heartbeat of the worker's session. It answers all challenges at once.
func beat(c *pallet.Context, seats chunk, who *seat, number uint32, iterations, now uint64) Beat {
	if who.Waiting == 0 {
		drop(c, who.Worker, NoChallenge)
		return Beat{SessionID: who.SessionID}
	}
	session, _ := workerBindings.Get(c.Store, who.Worker)
	info, _ := sessions.Get(c.Store, session)
	if w, ok := registry.Worker(c.Store, who.Worker); ok {
		who.Confidence = w.ConfidenceLevel // what a new report says counts from here on
	}
	who.count(iterations, now)
	who.Waiting, who.Since, who.BeatAt = 0, 0, c.Height
	info.Benchmark.PInstant = uint32(min(who.Instant.Int, math.MaxUint32))
	info.Benchmark.Iterations, info.Benchmark.ChallengeTimeLast = iterations, now/1000
	c.Emit(name, "BenchmarkUpdated", BenchmarkUpdated{session, info.Benchmark.PInstant, who.Worker, who.Instant})
	if who.Unresponsive {
		who.recovered(c.Height)
		info.State = WorkerIdle
		c.Emit(name, "WorkerExitUnresponsive", WorkerExitUnresponsive{session, who.Worker})
	} else {
		settle(c, who, session, &info)
	}
	info.V, info.VUpdatedAt = who.V, seconds(c)
	sessions.Put(c.Store, session, info)
	chunks.Put(c.Store, number/chunkSeats, seats)
	return Beat{true, who.SessionID, info.Benchmark.PInstant}
}

// settle pays what a heartbeat earns: first the worker, then the treasury, both out of the subsidies.
func settle(c *pallet.Context, who *seat, session pallet.Account, info *SessionInfo) {
	p, ok := parameters.Get(c.Store)
	sum, _ := sumShare.Get(c.Store)
	if !ok || sum.IsZero() || c.Height <= who.PaidAt {
		return
	}
	pay, tax := who.due(&p, sum, c.Height)
	due, taxDue := units(pay), units(tax)
	free := accounts.Free(c.Store, Subsidy())
	paid := lesser(due, free)
	left, _ := free.Minus(paid)
	taxed := lesser(taxDue, left)
	if paid != due { // V gives back only what is paid for
		pay = tokens(paid)
	}
	if paid != due || taxed != taxDue {
		c.Emit(name, "SubsidyExhausted", SubsidyExhausted{who.Worker, due, paid, taxDue, taxed})
	}
	static, _ := staticV.Get(c.Store)
	who.paid(pay, static, c.Height)
	info.Stats.TotalReward = info.Stats.TotalReward.Plus(reward(c, who.Worker, paid))
	if err := accounts.Transfer(c, Subsidy(), Treasury(), taxed, false); err != nil {
		c.Emit(name, "InternalErrorWorkerSettleFailed", InternalErrorWorkerSettleFailed{who.Worker})
	}
	c.Emit(name, "SessionSettled", SessionSettled{session, who.V, pay, who.Worker, tax, paid, taxed})
}
