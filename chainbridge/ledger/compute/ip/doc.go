// Package ip hands out addresses: the pallet PalletIp.
//
// Purpose: governance fills a pool of addresses for each kind of role. One for a VM is reserved when its request is placed,
// assigned when its job runs, and rests in quarantine after its release before it is back in the pool.
//
// Lifecycle: pool, reserved, assigned, quarantine, pool. Genesis may fill pools: {"vm": [ip], "hypervisor": …, "client": …,
// "storage_miner": …, "release_period": blocks}.
//
// Concurrency: one goroutine per Context.
//
// Failure: errors of the pallet. What failed changed nothing.
//
// Limits: MaxIPs in all, each in exactly one place. A name of a VM has at most MaxVM bytes.
package ip
