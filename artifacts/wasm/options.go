package wasm

// Names that the instrumentation adds. Code that exports something under the prefix is refused.
const (
	ReservedPrefix = "troupe:"
	MeterModule    = "troupe:meter" // the module of the one import that is added
	MeterRefill    = "refill"       // () -> (): called when the gas or the stack account is below zero
	GasGlobal      = "troupe:gas"   // export, mutable i64: gas that is left of what was granted; starts at 0
	StackGlobal    = "troupe:stack" // export, mutable i64: values that are left on the stack; starts at 0
	GlobalPrefix   = "troupe:g"     // exports of the mutable globals of the code: the index follows in decimal
	StartExport    = "troupe:start" // export of the start function, in skeletons that lack the section for it
)

// Options say what Instrument adds. The zero value adds nothing but what the warm path needs.
type Options struct {
	Weights       *Weights                         // gas is metered by this table; nil: it is not
	Stack         bool                             // the depth of the stack is accounted, in functions that call others
	CanonicalNaNs bool                             // every NaN that arithmetic makes is the canonical one; RATIONALE.md has the cost
	Charge        func(module, name string) Charge // gas of calls to imported functions; nil: Weights.HostCall for each
}

// Charge is the gas of a call to an imported function: Base, and PerUnit times the parameter at index Param, read as
// unsigned. It is taken before the call.
type Charge struct {
	Base    uint32
	PerUnit uint32
	Param   int // ignored while PerUnit is 0; must name a parameter of type i32
}

// Weights is a table of gas per instruction, in units of about 0.01 ns on the machine where it was fitted.
type Weights struct {
	Version  uint32
	Op       [256]uint32 // by opcode; 0 for the prefixes
	Misc     [32]uint32  // behind the prefix 0xfc
	Vector   [256]uint32 // behind the prefix 0xfd
	Function uint32      // entering and leaving a function that the module defines
	Local    uint32      // each local that is not a parameter, set to zero at entry
	Value    uint32      // each value past FreeValues; see there
	HostCall uint32      // a call to an imported function, on top of the instruction, unless Options.Charge says otherwise

	// By amount, taken before it happens, on top of the instruction.
	GrowPage    uint32 // memory.grow: each page asked for, given or not
	BulkByte    uint32 // memory.fill, memory.copy, memory.init: each byte
	TableGrow   uint32 // table.grow: each element
	BulkElement uint32 // table.fill, table.copy, table.init: each element
}

// FreeValues is how many values a call or a branch hands on without a price of their own, since they travel in registers.
// Each value past it costs Weights.Value: of the parameters and, counted apart, of the results of a defined function, taken
// when it is entered; of the values that br, br_if, br_table (the default's count) and return carry, with the instruction.
const FreeValues = 8

// Resets are things that the code contains and that a reset of globals and linear memory does not undo.
type Resets uint32

// The flags.
const (
	ChangesTables Resets = 1 << iota // table.set, table.fill, table.copy, table.init, table.grow
	DropsSegments                    // data.drop, elem.drop
	GrowsMemory                      // memory.grow
	Throws                           // throw, throw_ref
)
