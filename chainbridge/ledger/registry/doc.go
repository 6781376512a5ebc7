// Package registry is the pallet PhalaRegistry: which workers there are, who operates them, how far their word is trusted, and where
// they are reached.
//
// Purpose: a worker registers with what it says of itself and an attestation of it. Attestations are a port: a Verifier per provider
// says which confidence level a report is worth. Two are built in. "none" proves no more than that the worker's own account asks,
// and is shown as "none" everywhere. "test-root" is a report signed by a key that governance has set. The level enters V and pay.
//
// Lifecycle: the genesis sets the root, the age from which a report is stale, and whether workers may come without an attestation.
// To register again refreshes; a report serves once.
//
// Concurrency: that of the ledger, one goroutine per Context. Verifiers keep nothing.
//
// Failure: errors of the pallet by name. Nothing that a report or a payload holds makes a call panic.
//
// Limits: 4 KiB of registration, 16 KiB of report, and what package meter says of endpoints.
package registry
