// Package governance is a key that may do what the ledger leaves to nobody else.
//
// Purpose: the pallet Sudo. Its key has a call run as Root, and hands the power on.
//
// Lifecycle: the key is set at genesis. Without one, Root is nobody, for ever.
//
// Concurrency: that of the Store.
//
// Failure: Sudo.RequireSudo for anybody else. A call that fails as Root does not fail the transaction: the event Sudid has the error.
//
// Limits: those of transactions; calls within calls are bounded by the ledger.
package governance
