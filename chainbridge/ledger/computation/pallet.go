package computation

import (
	"encoding/json"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Genesis is what PhalaComputation is told at the beginning. What is left out has the value of the original.
type Genesis struct {
	Tokenomic       *TokenomicParameters `json:"tokenomic_parameters"`
	CoolDown        *uint64              `json:"cool_down_period_sec"`
	BlockSeconds    uint32               `json:"block_time_sec"`           // 0: 12
	HeartbeatPaused *bool                `json:"heartbeat_paused"`         // nil: yes
	Expected        *uint32              `json:"expected_heartbeat_count"` // nil: 20
	HalvingInterval uint32               `json:"halving_interval"`         // blocks; 0: never
	MaxBudget       *pallet.Balance      `json:"max_budget_limit"`         // per block, in units; nil: no limit
	StaticV         bool                 `json:"static_v"`
	Subsidy         pallet.Balance       `json:"subsidy"` // minted for the pool of subsidies, in units
}

func genesis(c *pallet.Context, config json.RawMessage) error {
	var g Genesis
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	if g.BlockSeconds == 0 {
		g.BlockSeconds = DefaultBlock
	}
	p := Defaults(g.BlockSeconds)
	if g.Tokenomic != nil {
		p = *g.Tokenomic
	}
	if err := p.check(); err != nil {
		return err
	}
	parameters.Put(c.Store, p)
	blockSeconds.Put(c.Store, g.BlockSeconds)
	period := uint64(DefaultCoolDown)
	if g.CoolDown != nil {
		period = *g.CoolDown
	}
	coolDown.Put(c.Store, period)
	paused.Put(c.Store, g.HeartbeatPaused == nil || *g.HeartbeatPaused)
	if g.Expected != nil {
		expected.Put(c.Store, *g.Expected)
	}
	if g.HalvingInterval > 0 {
		halving.Put(c.Store, g.HalvingInterval)
		startBlock.Put(c.Store, 0)
	}
	if g.MaxBudget != nil {
		maxBudget.Put(c.Store, *g.MaxBudget)
	}
	if g.StaticV {
		staticV.Put(c.Store, true)
	}
	return accounts.Mint(c, Subsidy(), g.Subsidy)
}

// Pallets returns PhalaComputation, PhalaStakePoolv2, and PhalaBasePool, which has events only.
func Pallets() []pallet.Pallet {
	return []pallet.Pallet{{
		Name: name, Index: 87,
		Calls: []pallet.Info{
			{Index: 0, Name: "set_cool_down_expiration", New: func() pallet.Call { return new(SetCoolDownExpiration) }},
			{Index: 1, Name: "unbind", New: func() pallet.Call { return new(Unbind) }},
			{Index: 2, Name: "force_heartbeat", New: func() pallet.Call { return new(ForceHeartbeat) }},
			{Index: 3, Name: "force_start_computing", New: func() pallet.Call { return new(ForceStartComputing) }},
			{Index: 4, Name: "force_stop_computing", New: func() pallet.Call { return new(ForceStopComputing) }},
			{Index: 5, Name: "update_tokenomic", New: func() pallet.Call { return new(UpdateTokenomic) }},
			{Index: 6, Name: "set_heartbeat_paused", New: func() pallet.Call { return new(SetHeartbeatPaused) }},
			{Index: 7, Name: "set_budget_per_block", New: func() pallet.Call { return new(SetBudgetPerBlock) }},
			{Index: 20, Name: "set_static_v", New: func() pallet.Call { return new(SetStaticV) }},
			{Index: 21, Name: "heartbeat", New: func() pallet.Call { return new(HeartbeatV3) }},
		},
		Views: []pallet.View{{Name: "worker", Run: viewWorker}, {Name: "workers", Run: viewWorkers}, {Name: "params", Run: viewParams}},
		Errors: []string{
			"BadSender", "_InvalidMessage", "WorkerNotRegistered", "_GatekeeperNotRegistered", "DuplicateBoundSession", "BenchmarkMissing",
			"SessionNotFound", "SessionNotBound", "WorkerNotReady", "WorkerNotComputing", "WorkerNotBound", "CoolDownNotReady", "InsufficientStake",
			"TooMuchStake", "InternalErrorBadTokenomicParameters", "DuplicateBoundWorker", "BenchmarkTooLow",
			"InternalErrorCannotStartWithExistingStake", "NotMigrationRoot", "NonceIndexInvalid", "BudgetUpdateBlockInvalid",
			"BudgetExceedMaxLimit", "WorkerReregisterNeeded", "TooManyWorkers",
		},
		Events: []string{
			"CoolDownExpirationChanged", "WorkerStarted", "WorkerStopped", "WorkerReclaimed", "SessionBound", "SessionUnbound",
			"WorkerEnterUnresponsive", "WorkerExitUnresponsive", "SessionSettled", "InternalErrorWorkerSettleFailed", "SubsidyBudgetHalved",
			"InternalErrorWrongHalvingConfigured", "TokenomicParametersChanged", "SessionSettlementDropped", "BenchmarkUpdated", "BudgetUpdated",
			"StaticVChanged", "HeartbeatChallenge", "HeartbeatDropped", "HeartbeatPausedChanged", "SubsidyExhausted",
		},
		Genesis: genesis, End: end,
	}, {
		Name: poolName, Index: 93,
		Calls: []pallet.Info{
			{Index: 0, Name: "create", New: func() pallet.Call { return new(Create) }},
			{Index: 1, Name: "add_worker", New: func() pallet.Call { return new(AddWorker) }},
			{Index: 2, Name: "remove_worker", New: func() pallet.Call { return new(RemoveWorker) }},
			{Index: 3, Name: "set_cap", New: func() pallet.Call { return new(SetCap) }},
			{Index: 4, Name: "set_payout_pref", New: func() pallet.Call { return new(SetPayoutPref) }},
			{Index: 7, Name: "claim_owner_rewards", New: func() pallet.Call { return new(ClaimOwnerRewards) }},
			{Index: 8, Name: "check_and_maybe_force_withdraw", New: func() pallet.Call { return new(CheckAndMaybeForceWithdraw) }},
			{Index: 9, Name: "contribute", New: func() pallet.Call { return new(Contribute) }},
			{Index: 10, Name: "withdraw", New: func() pallet.Call { return new(Withdraw) }},
			{Index: 13, Name: "start_computing", New: func() pallet.Call { return new(StartComputing) }},
			{Index: 14, Name: "stop_computing", New: func() pallet.Call { return new(StopComputing) }},
			{Index: 15, Name: "reclaim_pool_worker", New: func() pallet.Call { return new(ReclaimPoolWorker) }},
			{Index: 17, Name: "restart_computing", New: func() pallet.Call { return new(RestartComputing) }},
		},
		Views: []pallet.View{{Name: "pool", Run: viewPool}, {Name: "pools", Run: viewPools}, {Name: "shares", Run: viewShares}},
		Errors: []string{
			"WorkerNotRegistered", "BenchmarkMissing", "WorkerExists", "WorkerAlreadyStopped", "WorkerDoesNotExist", "WorkerInAnotherPool",
			"UnauthorizedOperator", "UnauthorizedPoolOwner", "InadequateCapacity", "StakeExceedsCapacity", "PoolDoesNotExist", "_PoolIsBusy",
			"InsufficientContribution", "NoNftToWithdraw", "InsufficientBalance", "PoolStakeNotFound", "InsufficientFreeStake",
			"InvalidWithdrawalAmount", "FailedToBindSessionAndWorker", "InternalSubsidyPoolCannotWithdraw", "PoolBankrupt", "NoRewardToClaim",
			"FeatureNotEnabled", "WorkersExceedLimit", "CannotRestartWithLessStake", "InvalidForceRewardAmount", "WithdrawQueueNotEmpty",
			"MissingCollectionId", "VaultIsLocked", "SessionDoesNotExist", "WorkerIsNotReady", "LockAccountStakeError", "NoLegacyRewardToClaim",
		},
		Events: []string{
			"PoolCreated", "PoolCommissionSet", "PoolCapacitySet", "PoolWorkerAdded", "Contribution", "OwnerRewardsWithdrawn", "PoolSlashed",
			"SlashSettled", "RewardDismissedNotInPool", "RewardDismissedNoShare", "RewardDismissedDust", "PoolWorkerRemoved", "WorkerReclaimed",
			"RewardReceived", "WorkingStarted", "RewardToOwnerDismissedDust", "RewardToDistributionDismissedDust",
		},
	}, {
		Name: baseName, Index: 96,
		Events: []string{
			"NftCreated", "WithdrawalQueued", "Withdrawal", "PoolWhitelistCreated", "PoolWhitelistDeleted", "PoolWhitelistStakerAdded",
			"PoolWhitelistStakerRemoved",
		},
	}}
}
