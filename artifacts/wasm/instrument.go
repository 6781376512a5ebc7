package wasm

// InstrumentVersion is the version of what Instrument makes, the table of weights apart; a new one makes every artifact anew.
const InstrumentVersion = 1

// Instrumented is a module that is ready to be compiled.
type Instrumented struct {
	Code      []byte // valid if the module was; its only new import is MeterRefill
	Shape     Shape
	Resets    Resets
	Unchecked uint64   // the most gas that a guest uses between two checks: by so much it may pass its limit
	Globals   []uint32 // indices of the mutable globals that are exported under GlobalPrefix
	Symbols   *Symbols
}

// Instrument judges code and rewrites it. The original is not changed.
//
// # Errors
//
// Those of Judge; guest.invalid_module also for an export under ReservedPrefix.
func Instrument(code []byte, p Policy, o Options) (*Instrumented, error) {
	panic("to come")
}
