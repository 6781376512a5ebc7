package plans

import (
	"slices"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/nodes"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const name = "Marketplace"

// MaxSubscriptions is how many plans an account may have at once.
const MaxSubscriptions = 5

// Plan is what can be bought.
type Plan struct {
	ID                       pallet.Hash    `json:"id"`
	PlanName                 string         `json:"plan_name" scale:"max=128"`
	PlanDescription          string         `json:"plan_description" scale:"max=1024"`
	PlanTechnicalDescription string         `json:"plan_technical_description" scale:"max=4096"`
	IsSuspended              bool           `json:"is_suspended"`
	Price                    pallet.Balance `json:"price"` // of a block
	Name                     string         `json:"name" scale:"max=128"`
}

// UserPlanSubscription is a plan that an account has.
type UserPlanSubscription struct {
	ID                uint32         `json:"id"`
	Owner             pallet.Account `json:"owner"`
	Package           Plan           `json:"package"`
	CdnLocationID     *uint32        `json:"cdn_location_id"`
	Active            bool           `json:"active"`
	LastChargedAt     uint64         `json:"last_charged_at"`
	SelectedImageName string         `json:"selected_image_name" scale:"max=256"`
}

// ImageDetails is what can run.
type ImageDetails struct {
	URL         string `json:"url" scale:"max=256"`
	Description string `json:"description" scale:"max=1024"`
	Name        string `json:"name" scale:"max=256"`
}

// The storage of Marketplace. An account has a list of subscriptions here, one for each plan; the original has one in all.
var (
	Plans                   = state.NewMap[pallet.Hash, Plan](name, "Plans")
	UserPlanSubscriptions   = state.NewMap[pallet.Account, []UserPlanSubscription](name, "UserPlanSubscriptions")
	OSDiskImageURLs         = state.NewMap[string, ImageDetails](name, "OSDiskImageUrls")
	NextSubscriptionID      = state.NewItem[uint32](name, "NextSubscriptionId")
	SpecificMinerRequestFee = state.NewItem[pallet.Balance](name, "SpecificMinerRequestFee")
	SudoKey                 = state.NewItem[*pallet.Account](name, "SudoKey")

	planCount = state.NewItem[uint32](name, "PlanCount")
	dues      = state.NewMap[uint64, []due](name, "Dues")
	meters    = state.NewMap[uint32, clock](name, "Clocks") // by subscription
	grace     = state.NewItem[uint64](name, "ComputeGracePeriod")
)

// Till is the account that gets what compute costs.
var Till = accounts.Module("mrktplce")

func fail(err, detail string) error { return pallet.Fail(name, err, detail) }

// PlanID is the name of a plan: the hash of what it says.
func PlanID(a *AddNewPlan) pallet.Hash { return blake2b.Sum256(scale.Marshal(a)) }

// AddNewPlan offers a plan.
type AddNewPlan struct {
	PlanName                 string         `json:"plan_name" scale:"max=128"`
	PlanDescription          string         `json:"plan_description" scale:"max=1024"`
	PlanTechnicalDescription string         `json:"plan_technical_description" scale:"max=4096"`
	Price                    pallet.Balance `json:"price"`
	Name                     string         `json:"name" scale:"max=128"`
}

// Run implements pallet.Call.
func (a *AddNewPlan) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	id := PlanID(a)
	if _, err := requests.ParseNeeds(a.PlanTechnicalDescription); err != nil {
		return fail("InvalidPlanConfiguration", err.Error())
	}
	if Plans.Has(c.Store, id) {
		return fail("InvalidPlanConfiguration", "there is this plan")
	}
	Plans.Put(c.Store, id, Plan{id, a.PlanName, a.PlanDescription, a.PlanTechnicalDescription, false, a.Price, a.Name})
	n, _ := planCount.Get(c.Store)
	planCount.Put(c.Store, n+1)
	c.Emit(name, "PlanAdded", PlanAdded{id, a.PlanName, a.Price})
	return nil
}

// SetPackageSuspension says whether a plan can be bought.
type SetPackageSuspension struct {
	PlanID      pallet.Hash `json:"plan_id"`
	IsSuspended bool        `json:"is_suspended"`
}

// Run implements pallet.Call.
func (s *SetPackageSuspension) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	p, ok := Plans.Get(c.Store, s.PlanID)
	if !ok {
		return fail("PlanNotFound", "")
	}
	p.IsSuspended = s.IsSuspended
	Plans.Put(c.Store, p.ID, p)
	c.Emit(name, "PackageSuspensionSet", PackageSuspensionSet(*s))
	return nil
}

// IncreasePlanPrice changes the price of a plan for who buys it from now on.
type IncreasePlanPrice struct {
	PlanID   pallet.Hash    `json:"plan_id"`
	NewPrice pallet.Balance `json:"new_price"`
}

// Run implements pallet.Call.
func (i *IncreasePlanPrice) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	p, ok := Plans.Get(c.Store, i.PlanID)
	switch {
	case !ok:
		return fail("PlanNotFound", "")
	case i.NewPrice.Cmp(p.Price) < 0:
		return fail("InvalidPlanConfiguration", "the price is higher now")
	}
	p.Price = i.NewPrice
	Plans.Put(c.Store, p.ID, p)
	c.Emit(name, "PlanPriceUpdated", PlanPriceUpdated(*i))
	return nil
}

// SetOSDiskImageURL offers an image, or another place for it.
type SetOSDiskImageURL struct {
	OSName      string `json:"os_name" scale:"max=256"`
	URL         string `json:"url" scale:"max=256"`
	Name        string `json:"name" scale:"max=256"`
	Description string `json:"description" scale:"max=1024"`
}

// Run implements pallet.Call.
func (s *SetOSDiskImageURL) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if s.OSName == "" || s.URL == "" {
		return fail("InvalidOSDiskImageUrl", "the name and the URL")
	}
	OSDiskImageURLs.Put(c.Store, s.OSName, ImageDetails{s.URL, s.Description, s.Name})
	c.Emit(name, "OSDiskImageUrlSet", OSDiskImageURLSet{s.OSName, s.URL})
	return nil
}

// SetSpecificMinerRequestFee says what it costs to name a miner.
type SetSpecificMinerRequestFee struct {
	Fee pallet.Balance `json:"fee"`
}

// Run implements pallet.Call.
func (s *SetSpecificMinerRequestFee) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	SpecificMinerRequestFee.Put(c.Store, s.Fee)
	c.Emit(name, "SpecificMinerRequestFeeUpdated", FeeUpdated{s.Fee})
	return nil
}

// SetSudoKey says who may deposit.
type SetSudoKey struct {
	NewSudoKey pallet.Account `json:"new_sudo_key"`
}

// Run implements pallet.Call.
func (s *SetSudoKey) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	SudoKey.Put(c.Store, &s.NewSudoKey)
	return nil
}

// Deposit gives credits to an account: governance may, and the sudo key.
type Deposit struct {
	Account             pallet.Account `json:"account"`
	CreditAmount        pallet.Balance `json:"credit_amount"`
	AlphaAmount         pallet.Balance `json:"alpha_amount"`
	FreezeForChargeback bool           `json:"freeze_for_chargeback"`
}

// Run implements pallet.Call.
func (d *Deposit) Run(c *pallet.Context) error {
	if c.Origin.Kind != pallet.Root {
		who, err := c.Signer()
		if err != nil {
			return err
		}
		if key, _ := SudoKey.Get(c.Store); key == nil || *key != who {
			return fail("NotAuthorized", "")
		}
	}
	if !d.AlphaAmount.IsZero() || d.FreezeForChargeback {
		return fail("InvalidSubscriptionType", "there is no alpha and no chargeback on this chain")
	}
	if err := credits.Issue(c, d.Account, d.CreditAmount); err != nil {
		return err
	}
	c.Emit(name, "BatchDeposited", BatchDeposited{d.Account, 0, d.CreditAmount})
	return nil
}

// PurchasePlan buys a plan for who signs, and pays with his credits, or somebody else's who allowed it: a sub-account pays with those
// of its main account.
type PurchasePlan struct {
	PlanID            pallet.Hash     `json:"plan_id"`
	LocationID        *uint32         `json:"location_id"`
	SelectedImageName string          `json:"selected_image_name" scale:"max=256"`
	CloudInitCid      *string         `json:"cloud_init_cid" scale:"max=256"`
	PayFor            *pallet.Account `json:"pay_for"`
	MinerID           *nodes.ID       `json:"miner_id" scale:"max=128"`
}

// Run implements pallet.Call.
func (p *PurchasePlan) Run(c *pallet.Context) error {
	caller, err := c.Signer()
	if err != nil {
		return err
	}
	owner := credits.Main(c.Store, caller)
	if p.PayFor != nil && *p.PayFor != owner {
		return fail("NotAuthorized", "what is bought for another account, that account could not pay for")
	}
	plan, ok := Plans.Get(c.Store, p.PlanID)
	if !ok {
		return fail("PlanNotFound", "")
	}
	image, known := OSDiskImageURLs.Get(c.Store, p.SelectedImageName)
	subs, _ := UserPlanSubscriptions.Get(c.Store, owner) // with those that end in this block
	fee, _ := SpecificMinerRequestFee.Get(c.Store)
	if p.MinerID == nil {
		fee = pallet.Balance{}
	}
	switch {
	case plan.IsSuspended:
		return fail("PlanSuspended", "")
	case p.LocationID != nil:
		return fail("LocationNotFound", "there are no locations on this chain")
	case !known:
		return fail("InvalidImageSelection", "")
	case !nodes.Enabled(c.Store, nodes.ComputeMiner):
		return fail("NodeTypeDisabled", "")
	case len(subs) >= MaxSubscriptions:
		return fail("RecipientTooManySubscriptions", "")
	case slices.ContainsFunc(subs, func(s UserPlanSubscription) bool { return s.Package.ID == plan.ID }):
		return fail("AlreadyHasActiveSubscription", "")
	case credits.Free(c.Store, owner).Cmp(plan.Price.Plus(fee)) < 0:
		return fail("InsufficientFreeCredits", "the price is "+plan.Price.String()+", and "+fee.String()+" for naming a miner")
	}
	if err := credits.Move(c, owner, Till, fee); err != nil {
		return err
	}
	if _, err := requests.Create(c, owner, plan.ID, plan.PlanTechnicalDescription,
		requests.ImageMetadata{Name: p.SelectedImageName, ImageURL: image.URL}, p.CloudInitCid, p.MinerID); err != nil {
		return err
	}
	id, _ := NextSubscriptionID.Get(c.Store)
	NextSubscriptionID.Put(c.Store, id+1)
	UserPlanSubscriptions.Put(c.Store, owner, append(subs, UserPlanSubscription{
		ID: id, Owner: owner, Package: plan, Active: true, LastChargedAt: c.Height, SelectedImageName: p.SelectedImageName,
	}))
	c.Emit(name, "PlanPurchased", PlanPurchased{caller, owner, plan.ID, nil, p.SelectedImageName, p.CloudInitCid})
	return nil
}

// CancelSubscription ends a subscription: its request is cancelled or deleted.
type CancelSubscription struct {
	PlanID pallet.Hash `json:"plan_id"`
}

// Run implements pallet.Call.
func (s *CancelSubscription) Run(c *pallet.Context) error {
	caller, err := c.Signer()
	if err != nil {
		return err
	}
	owner := credits.Main(c.Store, caller)
	if !slices.ContainsFunc(active(c.Store, owner), func(o UserPlanSubscription) bool { return o.Package.ID == s.PlanID }) {
		return fail("NoActiveSubscription", "")
	}
	return requests.End(c, owner, caller, s.PlanID)
}

// active returns the subscriptions of an account.
func active(s *state.Store, owner pallet.Account) []UserPlanSubscription {
	all, _ := UserPlanSubscriptions.Get(s, owner)
	return slices.DeleteFunc(all, func(u UserPlanSubscription) bool {
		if !u.Active {
			return true
		}
		_, lives := requests.Find(s, owner, u.Package.ID)
		return !lives // its end is noticed after the block's calls
	})
}
