// Package accounts is who owns what: the nonces and balances of accounts, and the calls that move money between them.
//
// Purpose: the pallets System and Balances. Other pallets move money with Transfer; what they hold for others lies on accounts of
// their own (Module), which nobody has a key of, so the sum of all balances is that of all money at any time.
//
// Lifecycle: money is made by Mint at genesis, and by pools of subsidies later; no call makes any. An account that has nothing left
// keeps its nonce, so that nothing it signed is ever valid again.
//
// Concurrency: that of the Store.
//
// Failure: Balances.InsufficientBalance, Balances.Expendability for a transfer that must leave something and does not.
//
// Limits: a remark has at most MaxRemarkBytes. There is no existential deposit above one unit, so nothing is ever lost as dust.
package accounts
