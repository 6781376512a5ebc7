package abi

// ChargeVersion is the version of the table of charges. A test holds the digest of the table beside it: a charge that changes
// makes every artifact anew, and is another gas table in receipts.
const ChargeVersion = 3

// Charge is the gas of one call: Base, and PerUnit times the parameter at index Param. Gas is in units of about 0.01 ns.
type Charge struct {
	Base    uint32
	PerUnit uint32
	Param   int
}

// The charges are rounded up from what calls take, so that nobody gains by calling: BenchmarkHostCalls of host/engine measures
// what stays within a worker. An exchange with the host was measured with guests that read and write a byte at a time: 11.5 us of
// a worker's time for a read, since each buffer may be one, and 7 us for a write to the other stream than the last. A buffer of
// a write takes 22 ns.
//
// What depends on bytes that a count of buffers does not tell is bounded elsewhere: what is written by the output limit (about 1.1 ns
// a byte), arguments and environment by what a request may carry (their charge pays for about 50 KB).
const (
	chargeCall   = 15_000    // leaving the guest and coming back, and a look at memory or at the files
	chargeClock  = 20_000    // a reading of the clock, also of a real one
	chargeRead   = 50_000    // a read, without its buffers
	chargeAsk    = 1_200_000 // each buffer of a read: the host may be asked for it
	chargeWrite  = 700_000   // a write that sends what was written to the other stream
	chargeVector = 2_500     // each buffer of a write, and of what no stream can do
	chargeRandom = 40_000    // a question to the source of random bytes
	chargeByte   = 250       // each of these
	chargePoll   = 200_000   // a wait, which may be for no time
	chargeEvent  = 10_000    // each subscription
	chargeAlloc  = 20_000    // a block of the allocator
	chargeFresh  = 84        // each byte asked of it: memory may grow by twice as much, at the price of memory.grow
	chargeTexts  = 500_000   // arguments and environment, which may be long

	chargeTroupe = 1_200_000 // what the host is asked by the module troupe_v1
	chargeCarry  = 60        // each byte that such a call carries, or has room for
)

var charges = map[string]map[string]Charge{
	WASI: {
		"args_get": {Base: chargeTexts}, "environ_get": {Base: chargeTexts},
		"clock_time_get": {Base: chargeClock},
		"fd_write":       {Base: chargeWrite, PerUnit: chargeVector, Param: 2},
		"fd_read":        {Base: chargeRead, PerUnit: chargeAsk, Param: 2},
		"fd_pwrite":      {Base: chargeCall, PerUnit: chargeVector, Param: 2}, // the streams have no offsets
		"fd_pread":       {Base: chargeCall, PerUnit: chargeVector, Param: 2},
		"poll_oneoff":    {Base: chargePoll, PerUnit: chargeEvent, Param: 2},
		"random_get":     {Base: chargeRandom, PerUnit: chargeByte, Param: 1},
	},
	Env: {Malloc: {Base: chargeAlloc, PerUnit: chargeFresh, Param: 0}, Free: {Base: chargeAlloc}},
}

// ChargeOf returns the charge of a call; what has none of its own, known or not, costs as much as leaving the guest.
func ChargeOf(module, name string) Charge {
	if c, ok := charges[module][name]; ok {
		return c
	}
	if module == Troupe {
		for i := range TroupeFunctions {
			if f := &TroupeFunctions[i]; f.Name == name {
				return f.charge()
			}
		}
	}
	return Charge{Base: chargeCall}
}

// charge is that of a function which asks the host: by the bytes that it may carry, where it may carry many.
func (f *Function) charge() Charge {
	if f.Op == OpGasLeft {
		return Charge{Base: chargeClock}
	}
	c := Charge{Base: chargeTroupe}
	if heavy := f.Heavy(); heavy >= 0 {
		c.PerUnit = chargeCarry
		for _, letter := range f.Params[:heavy] {
			c.Param += len(shape(letter))
		}
		c.Param++ // behind the pointer
	}
	return c
}
