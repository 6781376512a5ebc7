package abi

// ChargeVersion is the version of the table of charges. A test holds the digest of the table beside it: a charge that changes
// makes every artifact anew, and is another gas table in receipts.
const ChargeVersion = 1

// Charge is the gas of one call: Base, and PerUnit times the parameter at index Param. Gas is in units of about 0.01 ns.
type Charge struct {
	Base    uint32
	PerUnit uint32
	Param   int
}

// The charges are rounded up from what calls take, so that nobody gains by calling: see BenchmarkHostCalls of host/engine.
// What depends on bytes that a count of buffers does not tell is bounded elsewhere: what is written by the output limit, what is
// read by the input, arguments and environment by what a request may carry.
const (
	chargeCall   = 20_000  // leaving the guest and coming back, and a look at memory
	chargeClock  = 30_000  // a reading of the clock
	chargeStream = 200_000 // a write or a read that may go to the host
	chargeVector = 5_000   // each buffer of those
	chargeByte   = 200     // each random byte
	chargePoll   = 50_000  // each subscription
	chargeAlloc  = 20_000  // a block of the allocator
	chargeTexts  = 500_000 // arguments and environment, which may be long
)

var charges = map[string]map[string]Charge{
	WASI: {
		"args_get": {Base: chargeTexts}, "environ_get": {Base: chargeTexts},
		"clock_time_get": {Base: chargeClock},
		"fd_write":       {Base: chargeStream, PerUnit: chargeVector, Param: 2},
		"fd_read":        {Base: chargeStream, PerUnit: chargeVector, Param: 2},
		"fd_pwrite":      {Base: chargeStream, PerUnit: chargeVector, Param: 2},
		"fd_pread":       {Base: chargeStream, PerUnit: chargeVector, Param: 2},
		"poll_oneoff":    {Base: chargeCall, PerUnit: chargePoll, Param: 2},
		"random_get":     {Base: chargeCall, PerUnit: chargeByte, Param: 1},
	},
	Env: {Malloc: {Base: chargeAlloc}, Free: {Base: chargeAlloc}},
}

// ChargeOf returns the charge of a call; what has none of its own, known or not, costs as much as leaving the guest.
func ChargeOf(module, name string) Charge {
	if c, ok := charges[module][name]; ok {
		return c
	}
	return Charge{Base: chargeCall}
}
