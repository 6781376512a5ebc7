package accounts

import (
	"encoding/json"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// MaxRemarkBytes bounds what a remark says.
const MaxRemarkBytes = 16 << 10

// Remark says something, and changes nothing.
type Remark struct {
	Remark pallet.Bytes `json:"remark" scale:"max=16384"`
}

// Remarked is its event.
type Remarked struct {
	Sender pallet.Account `json:"sender"`
	Hash   pallet.Hash    `json:"hash"` // BLAKE2b-256 of what was said
}

// Run implements pallet.Call.
func (r *Remark) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	c.Emit("System", "Remarked", Remarked{who, blake2b.Sum256(r.Remark)})
	return nil
}

// TransferAllowDeath moves money, all of it if need be.
type TransferAllowDeath struct {
	Dest  pallet.Account `json:"dest"`
	Value pallet.Balance `json:"value"`
}

// Run implements pallet.Call.
func (t *TransferAllowDeath) Run(c *pallet.Context) error { return send(c, t.Dest, t.Value, false) }

// TransferKeepAlive moves money, and leaves something.
type TransferKeepAlive struct {
	Dest  pallet.Account `json:"dest"`
	Value pallet.Balance `json:"value"`
}

// Run implements pallet.Call.
func (t *TransferKeepAlive) Run(c *pallet.Context) error { return send(c, t.Dest, t.Value, true) }

func send(c *pallet.Context, to pallet.Account, value pallet.Balance, keepAlive bool) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	return Transfer(c, who, to, value, keepAlive)
}

// TransferAll moves all there is, or all but the last unit.
type TransferAll struct {
	Dest      pallet.Account `json:"dest"`
	KeepAlive bool           `json:"keep_alive"`
}

// Run implements pallet.Call.
func (t *TransferAll) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	value := Free(c.Store, who)
	if t.KeepAlive {
		value, _ = value.Minus(pallet.Units(1))
	}
	return Transfer(c, who, t.Dest, value, t.KeepAlive)
}

// Shown is an account as views show it.
type Shown struct {
	Account pallet.Account `json:"account"`
	Nonce   uint64         `json:"nonce"`
	Free    pallet.Balance `json:"free"`
}

// Pallets returns System and Balances.
func Pallets() []pallet.Pallet {
	return []pallet.Pallet{{
		Name: "System", Index: 0,
		Calls:  []pallet.Info{{Index: 0, Name: "remark", New: func() pallet.Call { return new(Remark) }}},
		Errors: []string{"BadOrigin", "TooDeep", "NoCall", "TooLarge"},
		Events: []string{"Remarked"},
		Views: []pallet.View{
			{Name: "account", Run: viewAccount},
			{Name: "accounts", Run: viewAccounts},
		},
	}, {
		Name: "Balances", Index: 40,
		Calls: []pallet.Info{
			{Index: 0, Name: "transfer_allow_death", New: func() pallet.Call { return new(TransferAllowDeath) }},
			{Index: 3, Name: "transfer_keep_alive", New: func() pallet.Call { return new(TransferKeepAlive) }},
			{Index: 4, Name: "transfer_all", New: func() pallet.Call { return new(TransferAll) }},
		},
		Errors: []string{"VestingBalance", "LiquidityRestrictions", "InsufficientBalance", "ExistentialDeposit", "Expendability",
			"ExistingVestingSchedule", "DeadAccount", "TooManyReserves", "TooManyHolds", "TooManyFreezes", "IssuanceDeactivated"},
		Events: []string{"Endowed", "DustLost", "Transfer", "Minted", "Burned"},
		Views: []pallet.View{{Name: "total", Run: func(c *pallet.Context, _ json.RawMessage) (any, error) {
			return map[string]pallet.Balance{"total": Total(c.Store)}, nil
		}}},
	}}
}

func viewAccount(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Account pallet.Account `json:"account"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	i := Get(c.Store, p.Account)
	return Shown{p.Account, i.Nonce, i.Free}, nil
}

func viewAccounts(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[pallet.Account]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	a := pallet.NewAnswer[pallet.Account, Shown](p)
	all.Each(c.Store, p.After, func(who pallet.Account, i Info) bool { return a.Add(who, Shown{who, i.Nonce, i.Free}) })
	return a, nil
}
