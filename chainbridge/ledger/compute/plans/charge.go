package plans

import (
	"github.com/troupehost/troupe/chainbridge/ledger/compute/credits"
	"github.com/troupehost/troupe/chainbridge/ledger/compute/requests"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// How subscriptions are charged.
const (
	BlocksPerHour      = 600
	ComputeGracePeriod = 0    // blocks; a genesis may say otherwise
	maxCharges         = 1024 // of a block
)

// due is a subscription to look at in a block.
type due struct {
	Owner  pallet.Account
	PlanID pallet.Hash
	ID     uint32
}

// clock is how far a subscription is paid.
type clock struct {
	Next    uint64 // when it is looked at; 0: it does not run
	Short   uint64 // since when credits do not suffice; 0: they do
	Stopped bool   // because of that
}

func gracePeriod(s *state.Store) uint64 {
	if n, ok := grace.Get(s); ok {
		return n
	}
	return ComputeGracePeriod
}

// schedule has a subscription looked at, a little later if there is too much to do at once.
func schedule(c *pallet.Context, d due, k clock, at uint64) {
	for ; ; at++ {
		if all, _ := dues.Get(c.Store, at); len(all) < maxCharges {
			dues.Put(c.Store, at, append(all, d))
			k.Next = at
			meters.Put(c.Store, d.ID, k)
			return
		}
	}
}

// find returns a subscription, and how to write it back or, with false, to remove it.
func find(s *state.Store, owner pallet.Account, plan pallet.Hash) (UserPlanSubscription, func(UserPlanSubscription, bool), bool) {
	all, _ := UserPlanSubscriptions.Get(s, owner)
	for i, u := range all {
		if u.Package.ID == plan {
			return u, func(u UserPlanSubscription, keep bool) {
				all[i] = u
				if !keep {
					all = append(all[:i], all[i+1:]...)
				}
				if len(all) == 0 {
					UserPlanSubscriptions.Delete(s, owner)
					return
				}
				UserPlanSubscriptions.Put(s, owner, all)
			}, true
		}
	}
	return UserPlanSubscription{}, nil, false
}

// take charges up to what there is, and says whether it was all.
func take(c *pallet.Context, owner pallet.Account, amount pallet.Balance) bool {
	free := credits.Free(c.Store, owner)
	enough := free.Cmp(amount) >= 0
	if !enough {
		amount = free
	}
	if !amount.IsZero() && credits.Move(c, owner, Till, amount) == nil {
		c.Emit(name, "CreditsConsumed", CreditsConsumed{owner, amount})
	}
	return enough
}

// settle charges for the blocks since the last charge, when something stops to run.
func settle(c *pallet.Context, u *UserPlanSubscription, k clock) {
	if k.Next == 0 { // it did not run
		return
	}
	take(c, u.Owner, u.Package.Price.Times(pallet.Units(c.Height-u.LastChargedAt)))
	u.LastChargedAt = c.Height
}

// notice follows what became of requests in this block.
func notice(c *pallet.Context, n requests.Notice) {
	u, put, ok := find(c.Store, n.Owner, n.PlanID)
	if !ok {
		return
	}
	k, _ := meters.Get(c.Store, u.ID)
	switch n.Kind {
	case requests.Began:
		u.LastChargedAt = c.Height
		put(u, true)
		schedule(c, due{u.Owner, u.Package.ID, u.ID}, clock{}, c.Height+BlocksPerHour)
	case requests.Paused:
		settle(c, &u, k)
		put(u, true)
		meters.Delete(c.Store, u.ID)
	case requests.Ended:
		settle(c, &u, k)
		meters.Delete(c.Store, u.ID)
		put(u, false)
		c.Emit(name, "SubscriptionCancelled", Cancelled{u.Owner, u.Package.ID})
	}
}

// charge looks at a subscription that is due.
func charge(c *pallet.Context, d due) error {
	k, _ := meters.Get(c.Store, d.ID)
	u, put, ok := find(c.Store, d.Owner, d.PlanID)
	if !ok || u.ID != d.ID || k.Next != c.Height {
		return nil // it ended, or paused
	}
	r, there, running := requests.Serving(c.Store, d.Owner, d.PlanID)
	if !running {
		meters.Delete(c.Store, d.ID)
		return nil
	}
	if !there {
		meters.Delete(c.Store, d.ID) // for a miner that is gone nobody pays
		return requests.Lose(c, d.Owner, d.PlanID)
	}
	price := u.Package.Price.Times(pallet.Units(BlocksPerHour))
	if credits.Free(c.Store, d.Owner).Cmp(price) >= 0 {
		take(c, d.Owner, price)
		u.LastChargedAt = c.Height
		put(u, true)
		if k.Stopped && !requests.Stopping(c.Store, r) { // once it is stopped; if it cannot boot now, it can in an hour
			k.Stopped = r.Status == requests.Stopped && requests.Boot(c, d.Owner, d.Owner, d.PlanID) != nil
		}
		k.Short = 0
		schedule(c, d, k, c.Height+BlocksPerHour)
		return nil
	}
	if k.Short == 0 {
		k.Short = c.Height
	}
	end := k.Short + gracePeriod(c.Store)
	if c.Height > end {
		return requests.End(c, d.Owner, d.Owner, d.PlanID)
	}
	if r.Status == requests.Running && requests.Stop(c, d.Owner, d.Owner, d.PlanID) == nil {
		k.Stopped = true
	}
	schedule(c, d, k, min(c.Height+BlocksPerHour, end+1))
	return nil
}

// end charges what is due.
func end(c *pallet.Context) error {
	for _, n := range requests.TakeNotices(c) {
		notice(c, n)
	}
	all, ok := dues.Get(c.Store, c.Height)
	if !ok {
		return nil
	}
	dues.Delete(c.Store, c.Height)
	for _, d := range all {
		if err := charge(c, d); err != nil {
			return err
		}
	}
	for _, n := range requests.TakeNotices(c) { // of what was ended just now
		notice(c, n)
	}
	return nil
}
