package run

import "context"

// Ask is what a guest asks of its host: one call of the module troupe_v1, whose functions package abi lists.
type Ask struct {
	Op   uint16
	Nums []int64  // the numbers among the parameters, and the room of each output buffer, in the order of the parameters
	Args [][]byte // the bytes among the parameters, in their order
	// What the run has used so far, as its worker says: the gas of its initialisation and of the run, and the bytes of its linear
	// memory now.
	Gas, MemoryBytes int64
}

// Answer is what the host says to an Ask.
type Answer struct {
	Errno uint32
	Nums  []uint64 // what is written behind the pointers among the parameters, in their order; none with an Errno
	Data  []byte   // what is copied into the output buffer, at most its room
}

// Calls serves what the guest of one run asks. Call is called for one Ask after the other, never two at a time; what an Ask
// carries is valid until it returns. It must return soon after ctx ended, which is when the run has.
type Calls interface {
	Call(ctx context.Context, a Ask) Answer
}
