package computation

import (
	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// The events of PhalaComputation. Fields that the original has come first, in its order; what it writes as bits is a decimal number.
type (
	// CoolDownExpirationChanged tells the new period in seconds.
	CoolDownExpirationChanged struct {
		Period uint64 `json:"period"`
	}
	// WorkerStarted tells that a session computes.
	WorkerStarted struct {
		Session   pallet.Account `json:"session"`
		InitV     fixed.U64F64   `json:"init_v"`
		InitP     uint32         `json:"init_p"`
		Worker    pallet.Account `json:"worker"`
		SessionID uint32         `json:"session_id"`
	}
	// WorkerStopped tells that a session cools down.
	WorkerStopped struct {
		Session   pallet.Account `json:"session"`
		Worker    pallet.Account `json:"worker"`
		SessionID uint32         `json:"session_id"`
		V         fixed.U64F64   `json:"v"`
	}
	// WorkerReclaimed tells that a stake is free.
	WorkerReclaimed struct {
		Session       pallet.Account `json:"session"`
		OriginalStake pallet.Balance `json:"original_stake"`
		Slashed       pallet.Balance `json:"slashed"`
	}
	// SessionBound tells that a session has a worker.
	SessionBound struct {
		Session pallet.Account `json:"session"`
		Worker  pallet.Account `json:"worker"`
	}
	// SessionUnbound tells that a session has no worker any more.
	SessionUnbound struct {
		Session pallet.Account `json:"session"`
		Worker  pallet.Account `json:"worker"`
	}
	// WorkerEnterUnresponsive tells that a worker let a challenge go by.
	WorkerEnterUnresponsive struct {
		Session pallet.Account `json:"session"`
		Worker  pallet.Account `json:"worker"`
	}
	// WorkerExitUnresponsive tells that it answers again.
	WorkerExitUnresponsive struct {
		Session pallet.Account `json:"session"`
		Worker  pallet.Account `json:"worker"`
	}
	// SessionSettled tells what a heartbeat earned, in tokens, and what was paid, in units.
	SessionSettled struct {
		Session  pallet.Account `json:"session"`
		V        fixed.U64F64   `json:"v"`
		Payout   fixed.U64F64   `json:"payout"`
		Worker   pallet.Account `json:"worker"`
		Treasury fixed.U64F64   `json:"treasury"`
		Paid     pallet.Balance `json:"paid"`
		Taxed    pallet.Balance `json:"taxed"`
	}
	// InternalErrorWorkerSettleFailed tells that the treasury could not be paid.
	InternalErrorWorkerSettleFailed struct {
		Worker pallet.Account `json:"worker"`
	}
	// SubsidyExhausted tells that there was less than a heartbeat earned.
	SubsidyExhausted struct {
		Worker      pallet.Account `json:"worker"`
		Due         pallet.Balance `json:"due"`
		Paid        pallet.Balance `json:"paid"`
		TreasuryDue pallet.Balance `json:"treasury_due"`
		Taxed       pallet.Balance `json:"taxed"`
	}
	// TokenomicParametersChanged tells the new ones.
	TokenomicParametersChanged struct {
		Params TokenomicParameters `json:"params"`
	}
	// BenchmarkUpdated tells a new P, and it in full as p.
	BenchmarkUpdated struct {
		Session  pallet.Account `json:"session"`
		PInstant uint32         `json:"p_instant"`
		Worker   pallet.Account `json:"worker"`
		P        fixed.U64F64   `json:"p"`
	}
	// BudgetUpdated tells a new budget per block, in units.
	BudgetUpdated struct {
		Nonce  uint64         `json:"nonce"`
		Budget pallet.Balance `json:"budget"`
	}
	// StaticVChanged tells whether V stands still.
	StaticVChanged struct {
		Enabled bool `json:"enabled"`
	}
	// HeartbeatPausedChanged tells whether there are challenges.
	HeartbeatPausedChanged struct {
		Paused bool `json:"paused"`
	}
	// HeartbeatChallenge asks all workers whose hash, exclusive or the seed, is not above the target.
	HeartbeatChallenge struct {
		Seed         U256 `json:"seed"`
		OnlineTarget U256 `json:"online_target"`
	}
	// HeartbeatDropped tells that a heartbeat did not count.
	HeartbeatDropped struct {
		Worker pallet.Account `json:"worker"`
		Reason Reason         `json:"reason"`
	}
)
