package computation

import (
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// UnitsPerToken is how many of the chain's smallest units make the token in which V and the budget are counted.
const UnitsPerToken = 1_000_000_000_000

// Bounds and constants.
const (
	MinInitP        = 50     // below it a worker does not start
	MaxComputing    = 16_384 // workers at a time
	DefaultCoolDown = 604_800
	DefaultBlock    = 12 // seconds
	DefaultExpected = 20 // heartbeats in each block
)

// TokenomicParameters are what V, P and pay are reckoned with. Rates are per block.
type TokenomicParameters struct {
	PhaRate         fixed.U64F64 `json:"pha_rate"`
	Rho             fixed.U64F64 `json:"rho"`
	BudgetPerBlock  fixed.U64F64 `json:"budget_per_block"`
	VMax            fixed.U64F64 `json:"v_max"`
	CostK           fixed.U64F64 `json:"cost_k"`
	CostB           fixed.U64F64 `json:"cost_b"`
	SlashRate       fixed.U64F64 `json:"slash_rate"`
	TreasuryRatio   fixed.U64F64 `json:"treasury_ratio"`
	HeartbeatWindow uint32       `json:"heartbeat_window"` // blocks
	RigK            fixed.U64F64 `json:"rig_k"`
	RigB            fixed.U64F64 `json:"rig_b"`
	Re              fixed.U64F64 `json:"re"`
	K               fixed.U64F64 `json:"k"`
	Kappa           fixed.U64F64 `json:"kappa"`
}

// literal is for constants of this package.
func literal(s string) fixed.U64F64 {
	n, err := fixed.Parse(s)
	if err != nil {
		panic(err)
	}
	return n
}

// Defaults returns the parameters of the original for blocks of so many seconds.
func Defaults(blockSeconds uint32) TokenomicParameters {
	const hour, day, year = 3600, 24 * 3600, 365 * 24 * 3600
	per := func(amount string, seconds uint64) fixed.U64F64 {
		return literal(amount).Times(fixed.FromInt(uint64(blockSeconds))).Over(fixed.FromInt(seconds))
	}
	p := TokenomicParameters{
		PhaRate: fixed.One, Rho: literal("1.000000666600231"), // the 300th root of 1.0002, which is the rate of an hour
		BudgetPerBlock: per("720000", day), VMax: fixed.FromInt(30_000),
		CostK: per("0.0415625", year), CostB: per("88.59375", year),
		SlashRate: per("0.001", hour), TreasuryRatio: literal("0.2"), HeartbeatWindow: 10,
		RigK: literal("0.3"), Re: literal("1.3"), K: fixed.FromInt(100), Kappa: fixed.One,
	}
	if blockSeconds != DefaultBlock { // roots are beyond us; interest this small is the same without interest on it
		p.Rho = fixed.One.Plus(p.Rho.Minus(fixed.One).Times(fixed.FromInt(uint64(blockSeconds))).Over(fixed.FromInt(DefaultBlock)))
	}
	return p
}

// check refuses parameters with which nothing can be reckoned.
func (p *TokenomicParameters) check() error {
	for _, bad := range []struct {
		is  bool
		why string
	}{
		{p.Rho.Cmp(fixed.One) < 0, "rho is below 1"},
		{p.Re.Cmp(fixed.One) < 0, "re is below 1"},
		{p.SlashRate.Cmp(fixed.One) > 0, "slash_rate is above 1"},
		{p.TreasuryRatio.Cmp(fixed.One) > 0, "treasury_ratio is above 1"},
		{p.VMax.IsZero(), "v_max is 0"},
	} {
		if bad.is {
			return fail("InternalErrorBadTokenomicParameters", bad.why)
		}
	}
	return nil
}

var (
	parameters    = state.NewItem[TokenomicParameters](name, "TokenomicParameters")
	scheduled     = state.NewItem[TokenomicParameters](name, "ScheduledTokenomicUpdate")
	onlineWorkers = state.NewItem[uint32](name, "OnlineWorkers")
	expected      = state.NewItem[uint32](name, "ExpectedHeartbeatCount")
	paused        = state.NewItem[bool](name, "HeartbeatPaused")
	maxBudget     = state.NewItem[pallet.Balance](name, "MaxBudgetLimit")
	budgetNonce   = state.NewItem[uint64](name, "BudgetUpdateNonce")
	budgetBlock   = state.NewItem[uint32](name, "LastBugdetUpdateBlock") // the original's spelling
	coolDown      = state.NewItem[uint64](name, "CoolDownPeriod")
	nextSession   = state.NewItem[uint32](name, "NextSessionId")
	startBlock    = state.NewItem[uint32](name, "ComputingStartBlock")
	halving       = state.NewItem[uint32](name, "ComputingHalvingInterval")
	staticV       = state.NewItem[bool](name, "StaticV")
	forced        = state.NewItem[bool](name, "ForcedHeartbeat") // of this block
	sumShare      = state.NewItem[fixed.U64F64](name, "SumShare")
	blockSeconds  = state.NewItem[uint32](name, "BlockSeconds")
	dropped       = state.NewMap[Reason, uint64](name, "DroppedHeartbeats")
)

// Subsidy returns the account from which all pay comes. Who funds it, funds the pay.
func Subsidy() pallet.Account { return accounts.Module("phala/pp") }

// Treasury returns the account that gets its share of all pay.
func Treasury() pallet.Account { return accounts.Module("py/trsry") }

// tokens returns an amount in tokens.
func tokens(b pallet.Balance) fixed.U64F64 { return fixed.FromUnits(b.Lo, b.Hi, UnitsPerToken) }

// units returns tokens as an amount, cut off.
func units(n fixed.U64F64) pallet.Balance {
	lo, hi := n.Units(UnitsPerToken)
	return pallet.Balance{Lo: lo, Hi: hi}
}

func lesser(a, b pallet.Balance) pallet.Balance {
	if a.Cmp(b) > 0 {
		return b
	}
	return a
}
