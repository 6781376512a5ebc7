package computation

import (
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

// SetCoolDownExpiration sets how many seconds a session cools down.
type SetCoolDownExpiration struct {
	Period uint64 `json:"period"`
}

// Run implements pallet.Call.
func (s *SetCoolDownExpiration) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	coolDown.Put(c.Store, s.Period)
	c.Emit(name, "CoolDownExpirationChanged", CoolDownExpirationChanged{s.Period})
	return nil
}

// Unbind takes a worker from its session, and stops it if it computes. Its operator may ask for it.
type Unbind struct {
	Session pallet.Account `json:"session"`
}

// Run implements pallet.Call.
func (u *Unbind) Run(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	worker, ok := sessionBindings.Get(c.Store, u.Session)
	if !ok {
		return fail("SessionNotBound", "")
	}
	w, ok := registry.Worker(c.Store, worker)
	if !ok {
		return fail("WorkerNotRegistered", "")
	}
	if w.Operator == nil || *w.Operator != who {
		return fail("BadSender", "only the worker's operator may")
	}
	if err := unbindSession(c, u.Session); err != nil {
		return err
	}
	leavePool(c, worker)
	return nil
}

// ForceHeartbeat challenges all workers with this block.
type ForceHeartbeat struct{}

// Run implements pallet.Call.
func (*ForceHeartbeat) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	forced.Put(c.Store, true)
	return nil
}

// ForceStartComputing starts a session without a pool's stake.
type ForceStartComputing struct {
	Session pallet.Account `json:"session"`
	Stake   pallet.Balance `json:"stake"`
}

// Run implements pallet.Call.
func (f *ForceStartComputing) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if err := start(c, f.Session, f.Stake); err != nil {
		return err
	}
	return lockForced(c, f.Session, f.Stake)
}

// ForceStopComputing stops a session.
type ForceStopComputing struct {
	Session pallet.Account `json:"session"`
}

// Run implements pallet.Call.
func (f *ForceStopComputing) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	return stop(c, f.Session)
}

// UpdateTokenomic sets the parameters at the end of this block.
type UpdateTokenomic struct {
	NewParams TokenomicParameters `json:"new_params"`
}

// Run implements pallet.Call.
func (u *UpdateTokenomic) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if err := u.NewParams.check(); err != nil {
		return err
	}
	scheduled.Put(c.Store, u.NewParams)
	return nil
}

// SetHeartbeatPaused stops the challenges, or lets them go on.
type SetHeartbeatPaused struct {
	Paused bool `json:"paused"`
}

// Run implements pallet.Call.
func (s *SetHeartbeatPaused) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	paused.Put(c.Store, s.Paused)
	c.Emit(name, "HeartbeatPausedChanged", HeartbeatPausedChanged{s.Paused})
	return nil
}

// SetBudgetPerBlock sets what is shared out with each block, in units. Nonces and block numbers rise, so that no older one replaces a
// newer one.
type SetBudgetPerBlock struct {
	Nonce       uint64         `json:"nonce"`
	BlockNumber uint32         `json:"block_number"`
	Budget      pallet.Balance `json:"budget"`
}

// Run implements pallet.Call.
func (s *SetBudgetPerBlock) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if last, ok := budgetNonce.Get(c.Store); ok && s.Nonce <= last {
		return fail("NonceIndexInvalid", "")
	}
	if last, ok := budgetBlock.Get(c.Store); ok && s.BlockNumber <= last || uint64(s.BlockNumber) > c.Height {
		return fail("BudgetUpdateBlockInvalid", "")
	}
	if most, ok := maxBudget.Get(c.Store); ok && s.Budget.Cmp(most) > 0 {
		return fail("BudgetExceedMaxLimit", "at most "+most.String())
	}
	p, ok := parameters.Get(c.Store)
	if !ok {
		return fail("InternalErrorBadTokenomicParameters", "there are none")
	}
	p.BudgetPerBlock = tokens(s.Budget)
	if next, ok := scheduled.Get(c.Store); ok { // which would undo it
		next.BudgetPerBlock = p.BudgetPerBlock
		scheduled.Put(c.Store, next)
	}
	parameters.Put(c.Store, p)
	budgetNonce.Put(c.Store, s.Nonce)
	budgetBlock.Put(c.Store, s.BlockNumber)
	c.Emit(name, "BudgetUpdated", BudgetUpdated{s.Nonce, s.Budget})
	return nil
}

// SetStaticV lets V stand still: it neither grows nor is given back. Pay and slashes go on.
type SetStaticV struct {
	Enabled bool `json:"enabled"`
}

// Run implements pallet.Call.
func (s *SetStaticV) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	staticV.Put(c.Store, s.Enabled)
	c.Emit(name, "StaticVChanged", StaticVChanged{s.Enabled})
	return nil
}
