package meter

import "time"

// Uint128 is an unsigned number of 128 bits.
type Uint128 struct{ Lo, Hi uint64 }

// Metrics are the cumulative use of one app within one app session. No field ever goes down, and each saturates.
type Metrics struct {
	Address        [32]byte
	Session        [32]byte
	RunningTimeMS  uint64 // of instances and runs, from when a worker has the guest on; preparation is not billed
	Gas            uint64 // in units of gas / 1024; see Use.Gas
	NetworkIngress uint64 // bytes
	NetworkEgress  uint64
	StorageRead    uint64
	StorageWrite   uint64
	StorageUsed    Uint128 // byte-milliseconds
	MemoryUsed     Uint128 // byte-milliseconds
	Tip            uint64
	Starts         uint64
}

// Use is what something used: a run, or an instance since it was asked last.
type Use struct {
	Running                   time.Duration
	Gas                       uint64  // as the gas table counts it, about 0.01 ns each
	Ingress, Egress           uint64  // bytes of the network
	StorageRead, StorageWrite uint64  // bytes
	StorageUsed, MemoryUsed   Uint128 // byte-milliseconds
	Tip                       uint64
	Starts                    uint64
}

// Token makes a report one of a kind.
type Token struct {
	SN      uint64
	Session [32]byte
	Nonce   [32]byte
}
