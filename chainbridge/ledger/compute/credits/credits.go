package credits

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const name = "Credits"

// MaxAuthorities is how many accounts may mint and burn.
const MaxAuthorities = 64

// The storage of Credits.
var (
	Authorities           = state.NewItem[[]pallet.Account](name, "Authorities")
	FreeCredits           = state.NewMap[pallet.Account, pallet.Balance](name, "FreeCredits")
	TotalCreditsPurchased = state.NewItem[pallet.Balance](name, "TotalCreditsPurchased") // all that was ever issued
	TotalCreditsBurned    = state.NewItem[pallet.Balance](name, "TotalCreditsBurned")
)

// Vault is the account with the balance that was converted.
var Vault = accounts.Module("credits")

// Amount is the event MintedAccountCredits, BurnedAccountCredits or ConvertedToCredits.
type Amount struct {
	Who    pallet.Account `json:"who"`
	Amount pallet.Balance `json:"amount"`
}

// Who is the event AuthorityAdded or AuthorityRemoved.
type Who struct {
	Who pallet.Account `json:"who"`
}

// IncreasedUserBalance is an event.
type IncreasedUserBalance struct {
	Who                     pallet.Account `json:"who"`
	MarketplaceCreditAmount pallet.Balance `json:"marketplace_credit_amount"`
	AlphaAmount             pallet.Balance `json:"alpha_amount"`
}

func fail(err, detail string) error { return pallet.Fail(name, err, detail) }

// Free returns the credits of an account.
func Free(s *state.Store, who pallet.Account) pallet.Balance {
	v, _ := FreeCredits.Get(s, who)
	return v
}

func set(s *state.Store, who pallet.Account, v pallet.Balance) {
	if v.IsZero() {
		FreeCredits.Delete(s, who)
		return
	}
	FreeCredits.Put(s, who, v)
}

// Issue makes credits.
//
// # Errors
//
// Credits.StorageOverflow.
func Issue(c *pallet.Context, who pallet.Account, amount pallet.Balance) error {
	total, _ := TotalCreditsPurchased.Get(c.Store)
	sum := total.Plus(amount)
	if back, ok := sum.Minus(amount); !ok || back != total { // it saturates
		return fail("StorageOverflow", "")
	}
	TotalCreditsPurchased.Put(c.Store, sum)
	set(c.Store, who, Free(c.Store, who).Plus(amount))
	return nil
}

// burn takes credits away.
func burn(c *pallet.Context, who pallet.Account, amount pallet.Balance) error {
	rest, ok := Free(c.Store, who).Minus(amount)
	if !ok {
		return fail("InsufficientFreeCredits", "there are "+Free(c.Store, who).String())
	}
	burned, _ := TotalCreditsBurned.Get(c.Store)
	TotalCreditsBurned.Put(c.Store, burned.Plus(amount))
	set(c.Store, who, rest)
	return nil
}

// Move pays with credits.
//
// # Errors
//
// Credits.InsufficientFreeCredits.
func Move(c *pallet.Context, from, to pallet.Account, amount pallet.Balance) error {
	rest, ok := Free(c.Store, from).Minus(amount)
	if !ok {
		return fail("InsufficientFreeCredits", "there are "+Free(c.Store, from).String())
	}
	set(c.Store, from, rest)
	set(c.Store, to, Free(c.Store, to).Plus(amount))
	return nil
}

// authority lets governance and authorities pass.
func authority(c *pallet.Context) error {
	if c.Origin.Kind == pallet.Root {
		return nil
	}
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if all, _ := Authorities.Get(c.Store); !slices.Contains(all, who) {
		return fail("NotAuthorized", "")
	}
	return nil
}

// AddAuthority lets an account mint and burn.
type AddAuthority struct {
	Authority pallet.Account `json:"authority"`
}

// Run implements pallet.Call.
func (a *AddAuthority) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	all, _ := Authorities.Get(c.Store)
	switch {
	case slices.Contains(all, a.Authority):
		return fail("AuthorityAlreadyExists", "")
	case len(all) >= MaxAuthorities:
		return fail("StorageOverflow", "too many authorities")
	}
	Authorities.Put(c.Store, append(all, a.Authority))
	c.Emit(name, "AuthorityAdded", Who{a.Authority})
	return nil
}

// RemoveAuthority undoes AddAuthority.
type RemoveAuthority struct {
	Authority pallet.Account `json:"authority"`
}

// Run implements pallet.Call.
func (a *RemoveAuthority) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	all, _ := Authorities.Get(c.Store)
	i := slices.Index(all, a.Authority)
	if i < 0 {
		return fail("AuthorityNotFound", "")
	}
	Authorities.Put(c.Store, slices.Delete(all, i, i+1))
	c.Emit(name, "AuthorityRemoved", Who{a.Authority})
	return nil
}

// Mint makes credits for an account.
type Mint struct {
	Who    pallet.Account `json:"who"`
	Amount pallet.Balance `json:"amount"`
	Code   *string        `json:"code" scale:"max=64"`
}

// Run implements pallet.Call.
func (m *Mint) Run(c *pallet.Context) error {
	if err := authority(c); err != nil {
		return err
	}
	if m.Code != nil {
		return fail("InvalidReferralCode", "there are no referrals on this chain")
	}
	if err := Issue(c, m.Who, m.Amount); err != nil {
		return err
	}
	c.Emit(name, "MintedAccountCredits", Amount{m.Who, m.Amount})
	return nil
}

// Burn takes credits from an account.
type Burn struct {
	Who    pallet.Account `json:"who"`
	Amount pallet.Balance `json:"amount"`
}

// Run implements pallet.Call.
func (b *Burn) Run(c *pallet.Context) error {
	if err := authority(c); err != nil {
		return err
	}
	if err := burn(c, b.Who, b.Amount); err != nil {
		return err
	}
	c.Emit(name, "BurnedAccountCredits", Amount{b.Who, b.Amount})
	return nil
}

// IncreaseUserBalance is Mint, as the bridge of the original calls it. There is no alpha on this chain.
type IncreaseUserBalance struct {
	MarketplaceCreditAmount pallet.Balance `json:"marketplace_credit_amount"`
	AlphaAmount             pallet.Balance `json:"alpha_amount"`
	UserToCredit            pallet.Account `json:"user_to_credit"`
}

// Run implements pallet.Call.
func (i *IncreaseUserBalance) Run(c *pallet.Context) error {
	if err := authority(c); err != nil {
		return err
	}
	if !i.AlphaAmount.IsZero() {
		return fail("InvalidConversionAmount", "there is no alpha on this chain")
	}
	if err := Issue(c, i.UserToCredit, i.MarketplaceCreditAmount); err != nil {
		return err
	}
	c.Emit(name, "IncreasedUserBalance", IncreasedUserBalance{i.UserToCredit, i.MarketplaceCreditAmount, i.AlphaAmount})
	return nil
}

// DecreaseUserCreditsBalance is Burn by governance.
type DecreaseUserCreditsBalance struct {
	Account pallet.Account `json:"account"`
	Amount  pallet.Balance `json:"amount"`
}

// Run implements pallet.Call.
func (d *DecreaseUserCreditsBalance) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if err := burn(c, d.Account, d.Amount); err != nil {
		return err
	}
	c.Emit(name, "BurnedAccountCredits", Amount{d.Account, d.Amount})
	return nil
}

// ConvertToCredits buys credits with balance, one for one. There is no way back.
type ConvertToCredits struct {
	Amount pallet.Balance `json:"amount"`
}

// Run implements pallet.Call.
func (b *ConvertToCredits) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if b.Amount.IsZero() {
		return fail("InvalidConversionAmount", "nothing")
	}
	if err := accounts.Transfer(c, who, Vault, b.Amount, true); err != nil {
		return err
	}
	if err := Issue(c, who, b.Amount); err != nil {
		return err
	}
	c.Emit(name, "ConvertedToCredits", Amount{who, b.Amount})
	return nil
}

// Genesis is what a chain begins with.
type Genesis struct {
	Authorities []pallet.Account          `json:"authorities"`
	Free        map[string]pallet.Balance `json:"free"`
}

func genesis(c *pallet.Context, config json.RawMessage) error {
	var g Genesis
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	root := c.As(pallet.Origin{Kind: pallet.Root})
	for _, a := range g.Authorities {
		if err := (&AddAuthority{a}).Run(root); err != nil {
			return err
		}
	}
	var keys []string
	for k := range g.Free {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		var who pallet.Account
		if err := who.UnmarshalText([]byte(k)); err != nil {
			return err
		}
		if err := Issue(c, who, g.Free[k]); err != nil {
			return err
		}
	}
	return nil
}

func viewFree(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Account pallet.Account `json:"account"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	main := Main(c.Store, p.Account)
	return struct {
		Account pallet.Account `json:"account"` // who pays: the main account
		Free    pallet.Balance `json:"free"`
	}{main, Free(c.Store, main)}, nil
}

func viewTotal(c *pallet.Context, _ json.RawMessage) (any, error) {
	issued, _ := TotalCreditsPurchased.Get(c.Store)
	burned, _ := TotalCreditsBurned.Get(c.Store)
	return struct {
		Purchased pallet.Balance `json:"total_credits_purchased"`
		Burned    pallet.Balance `json:"total_credits_burned"`
	}{issued, burned}, nil
}

func viewAuthorities(c *pallet.Context, _ json.RawMessage) (any, error) {
	all, _ := Authorities.Get(c.Store)
	return append([]pallet.Account{}, all...), nil
}

// Credits returns the pallet.
func Credits() pallet.Pallet {
	return pallet.Pallet{
		Name: name, Index: 65,
		Calls: []pallet.Info{
			{Index: 0, Name: "add_authority", New: func() pallet.Call { return new(AddAuthority) }},
			{Index: 1, Name: "remove_authority", New: func() pallet.Call { return new(RemoveAuthority) }},
			{Index: 2, Name: "mint", New: func() pallet.Call { return new(Mint) }},
			{Index: 3, Name: "burn", New: func() pallet.Call { return new(Burn) }},
			{Index: 4, Name: "increase_user_balance", New: func() pallet.Call { return new(IncreaseUserBalance) }},
			{Index: 7, Name: "decrease_user_credits_balance", New: func() pallet.Call { return new(DecreaseUserCreditsBalance) }},
			{Index: 13, Name: "convert_to_credits", New: func() pallet.Call { return new(ConvertToCredits) }},
		},
		Views: []pallet.View{{Name: "free", Run: viewFree}, {Name: "total", Run: viewTotal}, {Name: "authorities", Run: viewAuthorities}},
		Events: strings.Fields(`MintedAccountCredits BurnedAccountCredits AuthorityAdded AuthorityRemoved ConvertedToCredits CreditLocked
			CreditFulfilled MinLockAmountSet ReferralDiscountApplied ConvertedToAlpha IncreasedUserBalance`),
		Errors: strings.Fields(`NoneValue StorageOverflow InsufficientFreeCredits UserNotFound InsufficientLockedCredits NotAuthorized
			AuthorityAlreadyExists AuthorityNotFound InvalidConversionAmount InsufficientBalance ConversionFailed InvalidReferralCode
			ReferralCodeCooldown NoReferralCodeUsed InvalidRefferalOwner CreditAlreadyFulfilled LockedCreditNotFound OutsideLockPeriod
			NoActiveLockPeriod InvalidLockPeriod MinLockAmountNotSet InsufficientLockAmount InsufficientAlphaBalance`),
		Genesis: genesis,
	}
}
