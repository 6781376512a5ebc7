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

// Judge decodes and validates code, and holds it against a policy. The result shares memory with code.
//
// # Errors
//
// Those of Scan; guest.feature, guest.too_complex, guest.invalid_module. Messages name the function and the offset.
func Judge(code []byte, p Policy) (*Module, error) {
	panic("to come")
}

// Within holds a shape that was recorded against a policy, as Judge would.
//
// # Errors
//
// guest.feature, guest.too_complex.
func (s Shape) Within(p Policy) error {
	panic("to come")
}

// Symbols name the functions of the original code, for messages.
type Symbols struct {
	// to come: function index (original numbering) -> name, offset of the body in the original code
}
