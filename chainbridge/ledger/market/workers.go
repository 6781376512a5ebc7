package market

import (
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// WorkerDescribed is the event WorkerDescriptionSet.
type WorkerDescribed struct {
	Worker      pallet.Account `json:"worker"`
	Prices      Prices         `json:"prices"`
	Description string         `json:"description"`
}

// WorkerPricesChanged says that a worker asks for other prices from now on. Lists that it belongs to and tickets keep theirs.
type WorkerPricesChanged struct {
	Worker pallet.Account `json:"worker"`
	Old    Prices         `json:"old"`
	New    Prices         `json:"new"`
}

// WorkerSessionUpdated says that a worker has opened a session.
type WorkerSessionUpdated struct {
	Worker    pallet.Account `json:"worker"`
	Session   pallet.Hash    `json:"session"`
	Nonce     pallet.Hash    `json:"nonce"`
	Recipient pallet.Account `json:"recipient"`
}

// WorkerDescriptionSet sets what a worker says of itself. Anybody may bring the first one. A change must come from the worker's own
// account, since nothing in the message tells an old one from a new one.
type WorkerDescriptionSet struct {
	Signed pallet.Bytes `json:"signed" scale:"max=4096"` // as meter.SignDescription returns it
}

// Run implements pallet.Call.
func (w *WorkerDescriptionSet) Run(c *pallet.Context) error {
	signer, err := c.Signer()
	if err != nil {
		return err
	}
	d, key, err := meter.OpenDescription(w.Signed)
	if err != nil {
		return opened(err)
	}
	worker := pallet.Account(key)
	if err := isRegistered(c.Store, worker); err != nil {
		return err
	}
	before, known := described.Get(c.Store, worker)
	if known && signer != worker {
		return fail("NotAllowed", "only the worker's own account changes its description")
	}
	now := Description{Prices(d.Prices), d.Text}
	described.Put(c.Store, worker, now)
	c.Emit(name, "WorkerDescriptionSet", WorkerDescribed{worker, now.Prices, now.Description})
	if known && !before.Prices.equal(now.Prices) {
		c.Emit(name, "WorkerPricesChanged", WorkerPricesChanged{worker, before.Prices, now.Prices})
	}
	return nil
}

// WorkerSessionUpdate opens a worker's session. Anybody may bring what the worker has signed.
type WorkerSessionUpdate struct {
	Signed pallet.Bytes `json:"signed" scale:"max=512"` // as meter.SignSessionUpdate returns it
}

// Run implements pallet.Call.
func (w *WorkerSessionUpdate) Run(c *pallet.Context) error {
	if _, err := c.Signer(); err != nil {
		return err
	}
	u, key, err := meter.OpenSessionUpdate(w.Signed)
	if err != nil {
		return opened(err)
	}
	worker := pallet.Account(key)
	if err := isRegistered(c.Store, worker); err != nil {
		return err
	}
	// A session is made with the nonce that was last seen here, so it cannot be opened twice. Of the first one nothing is known.
	if last, known := sessions.Get(c.Store, worker); known && u.Session != meter.SessionID(u.Nonce, last.LastNonce[:]) {
		return fail("OutdatedMessage", "the session was not made with the last nonce")
	}
	if len(u.Recipient) != len(pallet.Account{}) {
		return fail("InvalidRewardReceiver", "a recipient is an account of 32 bytes")
	}
	now := Session{SessionID: u.Session, LastNonce: u.Nonce, Recipient: pallet.Account(u.Recipient)}
	sessions.Put(c.Store, worker, now)
	c.Emit(name, "WorkerSessionUpdated", WorkerSessionUpdated{worker, now.SessionID, now.LastNonce, now.Recipient})
	return nil
}
