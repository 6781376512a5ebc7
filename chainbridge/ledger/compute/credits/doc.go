// Package credits holds what accounts may spend on compute, and who may act for them: the pallets Credits and SubAccount.
//
// Purpose: credits are minted and burned by authorities, or bought with balance one for one; [Move] pays with them. A sub-account
// acts for its main account: [Main].
//
// Lifecycle: genesis may name authorities and credits: {"authorities": [account], "free": {account: amount}}.
//
// Concurrency: one goroutine per Context.
//
// Failure: errors of the pallets, Credits.InsufficientFreeCredits first of all.
//
// Limits: MaxAuthorities. The sum of all free credits is what was issued less what was burned, at any time. Referrals and locks of
// the original are not here: a referral code is refused.
package credits
