package plans

import (
	"encoding/json"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Events.
type (
	// PlanAdded is an event of this chain.
	PlanAdded struct {
		PlanID   pallet.Hash    `json:"plan_id"`
		PlanName string         `json:"plan_name"`
		Price    pallet.Balance `json:"price"`
	}
	// PackageSuspensionSet is an event.
	PackageSuspensionSet SetPackageSuspension
	// PlanPriceUpdated is an event.
	PlanPriceUpdated IncreasePlanPrice
	// OSDiskImageURLSet is an event.
	OSDiskImageURLSet struct {
		OSName string `json:"os_name"`
		URL    string `json:"url"`
	}
	// FeeUpdated is the event SpecificMinerRequestFeeUpdated.
	FeeUpdated struct {
		Fee pallet.Balance `json:"fee"`
	}
	// BatchDeposited is an event. There are no batches on this chain.
	BatchDeposited struct {
		Owner   pallet.Account `json:"owner"`
		BatchID uint64         `json:"batch_id"`
		Amount  pallet.Balance `json:"amount"`
	}
	// PlanPurchased is an event.
	PlanPurchased struct {
		Caller            pallet.Account `json:"caller"`
		Owner             pallet.Account `json:"owner"`
		PlanID            pallet.Hash    `json:"plan_id"`
		LocationID        *uint32        `json:"location_id"`
		SelectedImageName string         `json:"selected_image_name"`
		CloudInitCid      *string        `json:"cloud_init_cid"`
	}
	// Cancelled is the event SubscriptionCancelled.
	Cancelled struct {
		Who    pallet.Account `json:"who"`
		PlanID pallet.Hash    `json:"plan_id"`
	}
	// CreditsConsumed is an event.
	CreditsConsumed struct {
		Owner   pallet.Account `json:"owner"`
		Credits pallet.Balance `json:"credits"`
	}
)

func viewPlans(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[pallet.Hash]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	a := pallet.NewAnswer[pallet.Hash, Plan](p)
	Plans.Each(c.Store, p.After, a.Add)
	return a, nil
}

func viewPlan(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		PlanID pallet.Hash `json:"plan_id"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	plan, ok := Plans.Get(c.Store, p.PlanID)
	if !ok {
		return nil, fault.New(fault.CallerNotFound, "plan", p.PlanID.String(), nil)
	}
	return plan, nil
}

func viewImages(c *pallet.Context, params json.RawMessage) (any, error) {
	var p pallet.Page[string]
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	type image struct {
		OSName string `json:"os_name"`
		ImageDetails
	}
	a := pallet.NewAnswer[string, image](p)
	OSDiskImageURLs.Each(c.Store, p.After, func(os string, i ImageDetails) bool { return a.Add(os, image{os, i}) })
	return a, nil
}

func viewSubscriptions(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Account pallet.Account `json:"account"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	type sub struct {
		UserPlanSubscription
		NextCharge *uint64 `json:"next_charge"`
	}
	out := []sub{}
	for _, u := range active(c.Store, credits.Main(c.Store, p.Account)) {
		v := sub{UserPlanSubscription: u}
		if k, ok := meters.Get(c.Store, u.ID); ok && k.Next > 0 {
			v.NextCharge = &k.Next
		}
		out = append(out, v)
	}
	return out, nil
}

func viewParams(c *pallet.Context, _ json.RawMessage) (any, error) {
	n, _ := planCount.Get(c.Store)
	fee, _ := SpecificMinerRequestFee.Get(c.Store)
	key, _ := SudoKey.Get(c.Store)
	return struct {
		Plans              uint32          `json:"plans"`
		BlocksPerHour      uint64          `json:"blocks_per_hour"`
		ComputeGracePeriod uint64          `json:"compute_grace_period"`
		Fee                pallet.Balance  `json:"specific_miner_request_fee"`
		SudoKey            *pallet.Account `json:"sudo_key"`
		Till               pallet.Account  `json:"till"`
		TillCredits        pallet.Balance  `json:"till_credits"`
	}{n, BlocksPerHour, gracePeriod(c.Store), fee, key, Till, credits.Free(c.Store, Till)}, nil
}

func genesis(c *pallet.Context, config json.RawMessage) error {
	var g struct {
		Plans  []AddNewPlan        `json:"plans"`
		Images []SetOSDiskImageURL `json:"images"`
		Grace  *uint64             `json:"compute_grace_period"`
	}
	if err := pallet.Params(config, &g); err != nil {
		return err
	}
	root := c.As(pallet.Origin{Kind: pallet.Root})
	for i := range g.Plans {
		if err := g.Plans[i].Run(root); err != nil {
			return err
		}
	}
	for i := range g.Images {
		if err := g.Images[i].Run(root); err != nil {
			return err
		}
	}
	if g.Grace != nil {
		grace.Put(c.Store, min(*g.Grace, 1<<40))
	}
	return nil
}

// Pallet returns the pallet.
func Pallet() pallet.Pallet {
	return pallet.Pallet{
		Name: name, Index: 56,
		Calls: []pallet.Info{
			{Index: 3, Name: "set_package_suspension", New: func() pallet.Call { return new(SetPackageSuspension) }},
			{Index: 6, Name: "add_new_plan", New: func() pallet.Call { return new(AddNewPlan) }},
			{Index: 7, Name: "purchase_plan", New: func() pallet.Call { return new(PurchasePlan) }},
			{Index: 9, Name: "set_os_disk_image_url", New: func() pallet.Call { return new(SetOSDiskImageURL) }},
			{Index: 10, Name: "increase_plan_price", New: func() pallet.Call { return new(IncreasePlanPrice) }},
			{Index: 12, Name: "set_specific_miner_request_fee", New: func() pallet.Call { return new(SetSpecificMinerRequestFee) }},
			{Index: 14, Name: "deposit", New: func() pallet.Call { return new(Deposit) }},
			{Index: 16, Name: "set_sudo_key", New: func() pallet.Call { return new(SetSudoKey) }},
			{Index: 17, Name: "cancel_subscription", New: func() pallet.Call { return new(CancelSubscription) }},
		},
		Views: []pallet.View{
			{Name: "plans", Run: viewPlans}, {Name: "plan", Run: viewPlan}, {Name: "images", Run: viewImages},
			{Name: "subscriptions", Run: viewSubscriptions}, {Name: "params", Run: viewParams},
		},
		Events: strings.Fields(`CdnLocationAdded AutoRenewalUpdated SubscriptionTransferred TokensBurned PackageSuspensionSet PinRequested
			UnpinRequestAdded StorageRequestAdded StoragePlanPriceUpdated ComputePlanPriceUpdated PointTransactionRecorded PlanPurchased
			FileHashCleanedUp PricePerGbUpdated PricePerBandwidthUpdated SubscriptionCancelled BackupEnabled BackupDisabled
			OSDiskImageUrlSet PlanPriceUpdated SpecificMinerRequestFeeUpdated BatchDeposited CreditsConsumed PlanAdded`),
		Errors: strings.Fields(`NoneValue NotSubscriptionOwner SubscriptionNotFound TooManySharedUsers InsufficientPermissions
			CannotTransferToSelf RecipientTooManySubscriptions CannotModifyOwnerPermissions CannotTransferInactiveSubscription
			AlreadyHasAccess NoExistingAccess NotAuthorized InsufficientBalance PackageNotFound SubscriptionNotActive
			InvalidSubscriptionType StorageLimitExceeded StorageRequestNotFound PlanNotFound InvalidPlanType AlreadyHasActiveSubscription
			PlanSuspended InsufficientFreeCredits LocationNotFound InvalidPlanLimits NodeTypeDisabled InvalidStorageReduction
			InvalidSubscriptionUsage ComputeResourceExceeded NoActiveSubscription BackupAlreadyEnabled InvalidImageSelection
			NoActiveComputeSubscription InvalidPlanForSubscription InvalidPlanConfiguration InvalidOSDiskImageUrl NoSubscriptionFound`),
		Genesis: genesis,
		End:     end,
	}
}
