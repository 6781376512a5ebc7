package credits

import (
	"encoding/json"
	"strings"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const subName = "SubAccount"

// SubAccounts is the main account of each sub-account.
var SubAccounts = state.NewMap[pallet.Account, pallet.Account](subName, "SubAccount")

// mains counts the sub-accounts of each main account.
var mains = state.NewMap[pallet.Account, uint32](subName, "Mains")

// Main returns the account for which another acts: itself, if it is no sub-account.
func Main(s *state.Store, who pallet.Account) pallet.Account {
	if main, ok := SubAccounts.Get(s, who); ok {
		return main
	}
	return who
}

// Pair is the event SubAccountAdded or SubAccountRemoved.
type Pair struct {
	Main pallet.Account `json:"main"`
	Sub  pallet.Account `json:"sub"`
}

func failSub(err, detail string) error { return pallet.Fail(subName, err, detail) }

// AddSubAccount lets an account act for the main account that signs. Accounts with credits of their own are left alone, as are those
// that have sub-accounts: nobody shall lose what is his because another calls him a sub-account.
type AddSubAccount struct {
	Main          pallet.Account `json:"main"`
	NewSubAccount pallet.Account `json:"new_sub_account"`
}

// Run implements pallet.Call.
func (a *AddSubAccount) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	subs, _ := mains.Get(c.Store, a.NewSubAccount)
	switch {
	case who != a.Main:
		return failSub("NotAllowed", "the main account signs")
	case a.Main == a.NewSubAccount, SubAccounts.Has(c.Store, a.NewSubAccount), SubAccounts.Has(c.Store, a.Main):
		return failSub("AlreadySubAccount", "")
	case subs > 0, !Free(c.Store, a.NewSubAccount).IsZero():
		return failSub("NotAllowed", "it has credits or sub-accounts of its own")
	}
	SubAccounts.Put(c.Store, a.NewSubAccount, a.Main)
	n, _ := mains.Get(c.Store, a.Main)
	mains.Put(c.Store, a.Main, n+1)
	c.Emit(subName, "SubAccountAdded", Pair{a.Main, a.NewSubAccount})
	return nil
}

// RemoveSubAccount undoes AddSubAccount: the main account may, and the sub-account itself.
type RemoveSubAccount struct {
	Main               pallet.Account `json:"main"`
	SubAccountToRemove pallet.Account `json:"sub_account_to_remove"`
}

// Run implements pallet.Call.
func (r *RemoveSubAccount) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	main, ok := SubAccounts.Get(c.Store, r.SubAccountToRemove)
	switch {
	case !ok, main != r.Main:
		return failSub("NoSubAccount", "")
	case who != main && who != r.SubAccountToRemove:
		return failSub("NotAllowed", "")
	}
	SubAccounts.Delete(c.Store, r.SubAccountToRemove)
	if n, _ := mains.Get(c.Store, main); n > 1 {
		mains.Put(c.Store, main, n-1)
	} else {
		mains.Delete(c.Store, main)
	}
	c.Emit(subName, "SubAccountRemoved", Pair{main, r.SubAccountToRemove})
	return nil
}

func viewMain(c *pallet.Context, params json.RawMessage) (any, error) {
	var p struct {
		Account pallet.Account `json:"account"`
	}
	if err := pallet.Params(params, &p); err != nil {
		return nil, err
	}
	return struct {
		Main pallet.Account `json:"main"`
		Sub  bool           `json:"sub"`
	}{Main(c.Store, p.Account), SubAccounts.Has(c.Store, p.Account)}, nil
}

// SubAccount returns the pallet.
func SubAccount() pallet.Pallet {
	return pallet.Pallet{
		Name: subName, Index: 58,
		Calls: []pallet.Info{
			{Index: 0, Name: "add_sub_account", New: func() pallet.Call { return new(AddSubAccount) }},
			{Index: 1, Name: "remove_sub_account", New: func() pallet.Call { return new(RemoveSubAccount) }},
		},
		Views:  []pallet.View{{Name: "main", Run: viewMain}},
		Events: []string{"SubAccountAdded", "SubAccountRemoved"},
		Errors: strings.Fields("NoSubAccount NotAllowed NoAccountsLeft AlreadySubAccount"),
	}
}
